// JSON lines over raw TCP: PORT of the clients, PORT of the pushes.
"use strict";
const lines = require("../lines.js");
const push = require("../push.js");

const clients = new Map();

lines.listen(+process.argv[2], clients);

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
