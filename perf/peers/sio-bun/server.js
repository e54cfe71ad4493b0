// Socket.IO on its engine for Bun, one process: PORT of the clients, PORT of the pushes.
"use strict";
const { Server: Engine } = require("@socket.io/bun-engine");
const { Server } = require("socket.io");
const push = require("../push_bun.js");

const engine = new Engine({ path: "/socket.io/" });
const io = new Server();
io.bind(engine);
io.on("connection", (socket) => socket.join(socket.handshake.auth.id));
Bun.serve({ port: +process.argv[2], hostname: "127.0.0.1", ...engine.handler() });

push.listen(+process.argv[3], (id, data) => {
    io.to(id).emit("message", data);
    return io.of("/").adapter.rooms.has(id) ? 1 : 0;
}, (data) => {
    io.emit("message", data);
    return io.of("/").sockets.size;
}, JSON.parse);
