/* client_write.h - what a session of the JSON client protocol is told, in the framing that its
 * transport chose: JSON lines or counted framing over TCP, text frames over WebSocket.
 *
 * Threads: the connection's worker; the connection is open. Owns nothing: what is written is
 * copied. */
#ifndef RINGPOST_PROTO_CLIENT_CLIENT_WRITE_H
#define RINGPOST_PROTO_CLIENT_CLIENT_WRITE_H

#include "core/connection.h"
#include "proto/client/line.h"

struct worker;

void client_write_welcome(struct worker *worker, struct connection *connection,
                          const struct welcome *welcome);
/* Nothing, if the line had no ref. */
void client_write_ok(struct worker *worker, struct connection *connection, struct span ref);
void client_write_sent(struct worker *worker, struct connection *connection, struct span ref,
                       struct span id, const char *state);
/* Unless `ends` is CLOSE_NONE, the connection ends with it, for that reason. `close_code` is what a
 * close frame says then; 0: what belongs to the reason. */
void client_write_error(struct worker *worker, struct connection *connection, enum code code,
                        const char *text, struct span ref, enum close_reason ends,
                        unsigned close_code);
void client_write_goodbye(struct worker *worker, struct connection *connection);
/* A heartbeat: over WebSocket a ping frame. */
void client_write_ping(struct worker *worker, struct connection *connection);
/* The answer to a ping of the protocol, not of WebSocket. */
void client_write_pong(struct worker *worker, struct connection *connection);
/* The last word, and the end. Only WebSocket has one: a close frame. */
void client_finish(struct worker *worker, struct connection *connection, enum close_reason reason);

#endif
