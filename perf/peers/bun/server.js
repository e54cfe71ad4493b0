// Bun's WebSocket server: PORT of the clients, PORT of the pushes. A broadcast is a publish to a
// topic, which is what Bun has for it.
"use strict";
const push = require("../push_bun.js");

const welcome = '{"type":"welcome","session":"1","node":"peer","heartbeat":25}';
const clients = new Map();

const web = Bun.serve({
    port: +process.argv[2], hostname: "127.0.0.1",
    fetch(request, server) {
        const id = new URL(request.url).searchParams.get("id");
        return server.upgrade(request, { data: { id } })
            ? undefined : new Response("a WebSocket is wanted", { status: 400 });
    },
    websocket: {
        perMessageDeflate: false,
        open(socket) {
            clients.set(socket.data.id, socket);
            socket.subscribe("all");
            socket.send(welcome);
        },
        message() {},
        close(socket) { clients.delete(socket.data.id); },
    },
});

push.listen(+process.argv[3], (id, text) => {
    const socket = clients.get(id);
    if (socket)
        socket.send(text);
    return socket ? 1 : 0;
}, (text) => {
    web.publish("all", text);
    return clients.size;
});
