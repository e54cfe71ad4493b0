/* web.h - the `web` listener: browsers.
 *
 * It serves sessions over server-sent events (sse.h), WebSocket (ws_route.h) and Socket.IO (eio/,
 * sio/), GET /healthz and, with --demo, the page GET /. Each path reads its own query. Every
 * request with an Origin that is neither its own host nor in --cors is refused, and with --web-host
 * one for another host (origin.h); an allowed origin is echoed, and every path answers preflight.
 *
 * Threads: the connection's worker. */
#ifndef RINGPOST_PROTO_WEB_WEB_H
#define RINGPOST_PROTO_WEB_WEB_H

#include "core/base/span.h"
#include "core/protocol.h"
#include "proto/http/http_connection.h"

extern const struct protocol web_protocol;
extern const struct http_service web_service; /* for http_init */

/* web_demo.c: a page that makes a client of a browser, the same on every node; and the header
 * lines that go with it. `script`: the page loads /socket.io/socket.io.js, too. */
struct span web_demo_page(bool script);
struct span web_demo_lines(bool script);

/* web_script.c: GET /socket.io/socket.io.js, the script of --socketio-client; 404 without one. */
void web_get_script(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request);

#endif
