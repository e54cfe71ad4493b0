// JSON lines over raw TCP in two processes with Redis between them: PORT of the clients, PORT of the
// pushes, FOLDER. Each message goes to each process, which looks whether it has the client.
"use strict";
const lines = require("../lines.js");
const push = require("../push.js");
const { processes } = require("../redis.js");

const clients = new Map();

function deliver(message) {
    const end = message.indexOf(" "), id = message.slice(0, end), text = message.slice(end + 1);
    if (id !== "") {
        clients.get(id)?.write(text + "\n");
        return;
    }
    const bytes = Buffer.from(text + "\n"); // made once for all
    for (const socket of clients.values())
        socket.write(bytes);
}

processes(process.argv[4], async (connect) => {
    const redis = await connect();
    await (await connect()).subscribe("push", deliver);
    lines.listen(+process.argv[2], clients);
    const send = (id, text) => {
        redis.publish("push", `${id} ${text}`);
        return 1; // nobody knows
    };
    push.listen(+process.argv[3], send, (text) => send("", text));
});
