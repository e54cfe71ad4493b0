// Socket.IO in one process: PORT of the clients, PORT of the pushes. A client is in a room of its id.
"use strict";
const http = require("http");
const { Server } = require("socket.io");
const push = require("../push.js");

const web = http.createServer();
const io = new Server(web, { transports: ["websocket"] });
io.on("connection", (socket) => socket.join(socket.handshake.auth.id));
web.listen({ port: +process.argv[2], host: "127.0.0.1", backlog: 4096 });

push.listen(+process.argv[3], (id, data) => {
    io.to(id).emit("message", data);
    return io.of("/").adapter.rooms.has(id) ? 1 : 0;
}, (data) => {
    io.emit("message", data);
    return io.of("/").sockets.size;
}, JSON.parse);
