/* websocket.h - the JSON client protocol over WebSocket: one object a text frame.
 *
 * A connection comes here from HTTP (proto/web/ws_route.h), with its handshake done, and goes on as
 * a session of client.h: with a registration from the query it has its welcome unasked, otherwise
 * it waits for the hello. Heartbeats are ping frames; any frame is a sign of life. A binary message
 * ends the session (1003), and so does what is no WebSocket.
 *
 * Threads: the connection's worker. Owns nothing. Limits: a message as a line of TCP; pieces of one
 * as ws_frame.h says. */
#ifndef RINGPOST_PROTO_CLIENT_WEBSOCKET_H
#define RINGPOST_PROTO_CLIENT_WEBSOCKET_H

#include "core/protocol.h"

struct client_line;

extern const struct protocol websocket_protocol;

/* After connection_become: the query has said what a hello says. */
void websocket_register(struct worker *worker, struct connection *connection,
                        const struct client_line *hello);

#endif
