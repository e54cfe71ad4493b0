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

#include <stdbool.h>

struct client_line;

extern const struct protocol websocket_protocol;

/* After connection_become. `hello`: what the query said in its place; NULL: it named nobody.
 * `deflates`: messages may be compressed. */
void websocket_begin(struct worker *worker, struct connection *connection,
                     const struct client_line *hello, bool deflates);

#endif
