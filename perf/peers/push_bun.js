// The same as push.js on Bun's own HTTP server, which is faster there than node's.
"use strict";

let number = 0;

function messageOf(body) {
    const id = (number + 1).toString(36).padStart(26, "0");
    return `{"type":"message","id":"${id}","event":"message","data":${body}}`;
}

exports.listen = (port, one, all, make = messageOf) => Bun.serve({
    port, hostname: "127.0.0.1", idleTimeout: 0,
    async fetch(request) {
        const message = make(await request.text());
        const path = request.url.slice(request.url.indexOf("/", 8));
        number++;
        const recipients = path === "/v1/broadcast"
            ? all(message) : one(path.slice("/v1/clients/".length), message);
        return new Response(`{"id":"${number}","state":"queued","recipients":${recipients}}`, {
            status: recipients ? 202 : 404, headers: { "Content-Type": "application/json" } });
    },
});
