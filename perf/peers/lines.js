// Clients that speak JSON lines over raw TCP, for the peers that have them.
"use strict";
const net = require("net");
const push = require("./push.js");

// Takes clients on that port: each says its id once, and is in the map `clients` under it.
exports.listen = (port, clients) => net.createServer({ noDelay: true }, (socket) => {
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
}).listen({ port, host: "127.0.0.1", backlog: 4096 });
