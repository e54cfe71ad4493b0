// Bun's WebSocket server: PORT of the clients, PORT of the pushes. A broadcast is a publish to a
// topic, which is what Bun has for it.
"use strict";

const welcome = '{"type":"welcome","session":"1","node":"peer","heartbeat":25}';
const clients = new Map();
let number = 0;

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

Bun.serve({
    port: +process.argv[3], hostname: "127.0.0.1", idleTimeout: 0,
    async fetch(request) {
        const body = await request.text();
        const path = request.url.slice(request.url.indexOf("/", 8));
        const id = (++number).toString(36).padStart(26, "0");
        const text = `{"type":"message","id":"${id}","event":"message","data":${body}}`;
        let recipients = 0;
        if (path === "/v1/broadcast") {
            web.publish("all", text);
            recipients = clients.size;
        } else {
            const socket = clients.get(path.slice("/v1/clients/".length));
            if (socket) {
                socket.send(text);
                recipients = 1;
            }
        }
        return new Response(`{"id":"${id}","state":"queued","recipients":${recipients}}`, {
            status: recipients ? 202 : 404, headers: { "Content-Type": "application/json" } });
    },
});
