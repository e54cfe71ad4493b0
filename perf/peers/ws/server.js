// A bare `ws` server: PORT of the clients, PORT of the pushes.
"use strict";
const { WebSocketServer } = require("ws");
const push = require("../push.js");

const clients = new Map();

new WebSocketServer({ port: +process.argv[2], host: "127.0.0.1", perMessageDeflate: false,
                      backlog: 4096 })
    .on("connection", (socket, request) => {
        const id = new URLSearchParams(request.url.split("?")[1]).get("id");
        clients.set(id, socket);
        socket.on("close", () => clients.delete(id));
        socket.send(push.welcome);
    });

push.listen(+process.argv[3], (id, text) => {
    const socket = clients.get(id);
    if (socket)
        socket.send(text);
    return socket ? 1 : 0;
}, (text) => {
    const bytes = Buffer.from(text); // made once for all
    for (const socket of clients.values())
        socket.send(bytes, { binary: false });
    return clients.size;
});
