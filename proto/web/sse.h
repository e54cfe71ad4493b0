/* sse.h - sessions over server-sent events: GET /events, and POST /events/ack.
 *
 *   GET: register_query --> who comes back is looked for --> welcome --> messages ... the end
 *            400               (Last-Event-ID, trail.h)
 *
 * The stream is an answer in pieces (http_stream.h) for as long as the session lasts. Its head goes
 * out at once, the welcome when the head has left and when it is known what Last-Event-ID settles;
 * from then on the session has the outbox of the connection, and its encoding writes each message
 * (sse_write.h). The stream ends with the session, and the connection with the stream: when the
 * peer sends its end, is too slow or gone, when an operator closes the session, after the goodbye
 * of a drain. A peer that is silent is not suspicious: a comment goes out when nothing else did for
 * --heartbeat, and a socket that takes nothing is found out (http_connection.h).
 *
 * The client acknowledges by name over any connection, on any worker (session_ack.h), or when it
 * comes back.
 *
 * A drain waits with its goodbye for producers who wait for an acknowledgement, as for other
 * sessions; and while there are any, also for connections without a stream, over one of which the
 * acknowledgement may come: no new one can.
 *
 * Threads: sse_init and sse_fini: before the workers run, after they have ended; the rest: the
 * connection's worker. Owns: sessions, charged to the account. Limits: those of connections; one
 * question about Last-Event-ID for each (call.h): without room for it nothing is settled, and the
 * messages come again. */
#ifndef RINGPOST_PROTO_WEB_SSE_H
#define RINGPOST_PROTO_WEB_SSE_H

#include "core/protocol.h"
#include "proto/http/routes.h"

struct server;

/* A list of acknowledgements has at most so many bytes. */
#define SSE_ACK_BODY_BYTES_MAX 131072

/* Once, after server_init and before the workers run. False: no memory. */
bool sse_init(struct server *server);
void sse_fini(void);

extern const struct route_body sse_ack_body;
void sse_get_events(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request);
void sse_post_ack(struct worker *worker, struct http_exchange *exchange,
                  const struct route_request *request);

/* For the protocol of the listener. */
bool sse_is_waited(const struct worker *worker, const struct connection *connection);
struct session *sse_session(struct connection *connection);

#endif
