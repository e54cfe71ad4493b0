// A Redis of its own and two processes beside it, which the servers on node.js that need more than
// one share. FOLDER is for Redis' socket.
"use strict";
const { spawn } = require("child_process");
const cluster = require("cluster");
const { createClient } = require("redis");

const PROCESSES = 2;

// Calls `serve` in each of the processes with `connect`, which gives a client of Redis.
exports.processes = (folder, serve) => {
    const path = `${folder}/redis.sock`;
    const connect = async () => {
        const client = createClient({ socket: { path } });
        client.on("error", () => {}); // it connects again by itself
        await client.connect();
        return client;
    };
    if (!cluster.isPrimary) {
        serve(connect);
        return;
    }
    const redis = spawn("redis-server", ["--port", "0", "--unixsocket", path, "--save", "",
        "--appendonly", "no", "--dir", folder], { stdio: "ignore" });
    const end = (status) => {
        redis.kill();
        process.exit(status);
    };
    redis.on("exit", () => end(1));
    process.on("SIGTERM", () => end(0));
    process.on("SIGINT", () => end(0));
    cluster.on("exit", () => end(1));
    for (let i = 0; i < PROCESSES; i++)
        cluster.fork();
};
