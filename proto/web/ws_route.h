/* ws_route.h - GET /ws: a connection of `web` becomes a session of the JSON client protocol over
 * WebSocket (proto/client/websocket.h).
 *
 *   /ws                        a hello must follow
 *   /ws?id=till-7&group=a      the query is the registration; `welcome` comes unasked
 *
 * What is wrong with the handshake or the query is told before the upgrade, as HTTP.
 *
 * Threads: the connection's worker. */
#ifndef RINGPOST_PROTO_WEB_WS_ROUTE_H
#define RINGPOST_PROTO_WEB_WS_ROUTE_H

#include "proto/http/http_connection.h"

void web_get_ws(struct worker *worker, struct http_exchange *exchange,
                const struct route_request *request);

#endif
