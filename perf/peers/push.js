// The HTTP side that the servers on node.js share: what `ringpost bench` pushes, to one client or to
// all. It does no more than it must: no checks, no ids to remember, no JSON that is parsed, unless
// a server cannot do without.
"use strict";
const http = require("http");

let number = 0;

// What goes to a client, with an id of its own as ringpost's has.
function messageOf(body) {
    const id = (number + 1).toString(36).padStart(26, "0");
    return `{"type":"message","id":"${id}","event":"message","data":${body}}`;
}

// `one(id, message)` and `all(message)` send, and give how many got it. `make` makes the message of a
// body.
exports.listen = (port, one, all, make = messageOf) => {
    const server = http.createServer((request, response) => {
        const parts = [];
        request.on("data", (part) => parts.push(part));
        request.on("end", () => {
            const text = make(Buffer.concat(parts).toString());
            number++;
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
