// Socket.IO in two processes with its adapter for Redis between them: PORT of the clients, PORT of
// the pushes, FOLDER. Which process has a client, none of them knows.
"use strict";
const http = require("http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { Server } = require("socket.io");
const push = require("../push.js");
const { processes } = require("../redis.js");

processes(process.argv[4], async (connect) => {
    const web = http.createServer();
    const io = new Server(web, { transports: ["websocket"] });
    io.adapter(createAdapter(await connect(), await connect()));
    io.on("connection", (socket) => socket.join(socket.handshake.auth.id));
    web.listen({ port: +process.argv[2], host: "127.0.0.1", backlog: 4096 });
    push.listen(+process.argv[3], (id, data) => io.to(id).emit("message", data) ? 1 : 0,
        (data) => io.emit("message", data) ? 1 : 0, JSON.parse);
});
