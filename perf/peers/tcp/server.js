// JSON lines over raw TCP: PORT of the clients, PORT of the pushes.
"use strict";
const net = require("net");
const push = require("../push.js");

const clients = new Map();

net.createServer({ noDelay: true }, (socket) => {
    let said = "", id;
    socket.on("data", (bytes) => {
        said += bytes;
        const end = said.indexOf("\n");
        if (id !== undefined || end < 0)
            return;
        id = JSON.parse(said.slice(0, end)).id;
        clients.set(id, socket);
        socket.write(push.welcome + "\n");
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => clients.delete(id));
}).listen({ port: +process.argv[2], host: "127.0.0.1", backlog: 4096 });

push.listen(+process.argv[3], (id, text) => {
    const socket = clients.get(id);
    if (socket)
        socket.write(text + "\n");
    return socket ? 1 : 0;
}, (text) => {
    const bytes = Buffer.from(text + "\n"); // made once for all
    for (const socket of clients.values())
        socket.write(bytes);
    return clients.size;
});
