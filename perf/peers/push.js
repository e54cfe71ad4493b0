// The HTTP side that the servers on node.js share: what `ringpost bench` pushes, to one client or to
// all. It does no more than it must: no checks, no ids to remember, no JSON that is parsed.
"use strict";
const http = require("http");

let number = 0;

// What goes to a client, with an id of its own as ringpost's has.
function messageOf(body) {
    const id = (++number).toString(36).padStart(26, "0");
    return `{"type":"message","id":"${id}","event":"message","data":${body}}`;
}

// `one(id, text)` and `all(text)` send, and give how many got it.
exports.listen = (port, one, all) => {
    const server = http.createServer((request, response) => {
        const parts = [];
        request.on("data", (part) => parts.push(part));
        request.on("end", () => {
            const text = messageOf(Buffer.concat(parts).toString());
            const recipients = request.url === "/v1/broadcast"
                ? all(text) : one(request.url.slice("/v1/clients/".length), text);
            const answer = `{"id":"${number}","state":"queued","recipients":${recipients}}`;
            response.writeHead(recipients ? 202 : 404, {
                "Content-Type": "application/json", "Content-Length": answer.length });
            response.end(answer);
        });
    });
    server.keepAliveTimeout = 0;
    server.listen(port, "127.0.0.1");
};

exports.welcome = '{"type":"welcome","session":"1","node":"peer","heartbeat":25}';
