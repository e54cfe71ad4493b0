/* api.h - the `api` listener: producers push here, operators look here.
 *
 * A message with wait=ack is answered when it is settled (api_wait.c): its exchange stays owed, and
 * what is pipelined behind it is carried out meanwhile.
 *
 * api.c finds the route and checks the key; the handlers stand in api_*.c by what they are about.
 * docs/api.md is the reference for users.
 *
 * Threads: the connection's worker; calls (core/call.h) run on all of them. */
#ifndef RINGPOST_INGEST_API_API_H
#define RINGPOST_INGEST_API_API_H

#include "core/protocol.h"
#include "ingest/api/api_context.h"
#include "ingest/api/auth.h"
#include "ingest/gate/gate.h"
#include "proto/http/http_connection.h"
#include "proto/http/http_context.h"
#include "proto/http/routes.h"

struct call;
struct call_nodes;

extern const struct protocol api_protocol;
extern const struct http_service api_service; /* for http_init; needs api_init */

/* What the API keeps for a connection. */
struct api_state {
    struct gate_source source; /* where its messages come from */
    struct auth_seen seen;     /* the key that its requests bring */
    struct list waits;         /* for acknowledgements, of api_wait.c */
};

static inline struct api_state *api_state(struct http_connection *http) {
    return http_state(http);
}
static inline struct gate_source *api_source(struct http_connection *http) {
    return &api_state(http)->source;
}

/* For server_parts (api_nodes.c). */
struct call *api_call_of(struct endpoint *endpoint, struct span asked);

/* --- the handlers ----------------------------------------------------------------------------- */

/* api_messages.c */
void api_post_messages(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request);
void api_post_client(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request);
void api_post_group(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request);
void api_post_broadcast(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request);
/* api_fates.c */
void api_get_message(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request);
void api_delete_message(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request);
void api_get_pending(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request);
/* api_clients.c */
void api_get_client(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request);
void api_delete_client(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request);
void api_put_member(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request);
void api_delete_member(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request);
/* api_groups.c */
void api_get_group(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request);
/* api_stats.c, api_metrics.c */
void api_get_stats(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request);
void api_get_metrics(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request);

#define API_PAGE_MAX 1000 /* entries of a page */

/* --- what they share -------------------------------------------------------------------------- */

/* The result of every message that came over HTTP: answers its exchange, or a part of its batch. */
void api_on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                   uint32_t index, const struct gate_result *result);

/* Answers with the result of one message. */
void api_answer_result(struct worker *worker, struct http_exchange *exchange,
                       const struct gate_result *result);

/* wait=ack (api_wait.c): the message that is published next for this exchange, with the index
 * API_WAITS, is answered when its fate is settled or that time is over. False: no memory; it was
 * answered. */
#define API_WAITS UINT32_MAX
bool api_wait_prepare(struct worker *worker, struct http_exchange *exchange, uint64_t timeout_ns);
void api_wait_on_result(struct worker *worker, struct http_exchange *exchange,
                        const struct gate_result *result);
/* A message was taken back: answers with its fate when that is settled; where it is not after so
 * long, or nobody can wait for it, with 503. Lets go of the fate. */
void api_wait_withdrawn(struct worker *worker, struct http_exchange *exchange, struct fate *fate,
                        uint64_t timeout_ns);
/* Answers with the fate as it is, and lets go of it. `reserve` as chunk_get has it. */
void api_answer_fate(struct worker *worker, struct http_exchange *exchange, struct fate *fate,
                     bool reserve);
/* The producer has ended its connection, and may be gone: its waits end, and are answered at once.
 */
void api_waits_end(struct worker *worker, struct http_connection *http);

/* Is the text of one message short enough to be looked at? False: `complaint`. */
bool api_text_fits(const struct worker *worker, struct span text, struct complaint *complaint);
/* A batch (api_batch.c): an array, or lines. */
void api_post_array(struct worker *worker, struct http_exchange *exchange, struct span body);
void api_post_lines(struct worker *worker, struct http_exchange *exchange, struct span body);
void batch_on_result(struct worker *worker, struct http_exchange *exchange, uint32_t index,
                     const struct gate_result *result);
/* Hands one message, in the context's envelope, to the gate. */
void api_publish(struct worker *worker, struct http_exchange *exchange, uint32_t index);

/* A call for the exchange; NULL: it was answered (overloaded). `nodes` and `reserve` as call_get
 * has them. */
struct call *api_call_get(struct worker *worker, struct http_exchange *exchange,
                          const struct call_nodes *nodes, bool reserve);
/* Sends it; `finish` must end with api_call_end. The connection is held until then. */
/* False: it could not be sent, and was answered. */
bool api_call_start(struct worker *worker, struct call *call);
/* The same for one that only looks: it is given up where its connection closes. */
void api_look_up_start(struct worker *worker, struct call *call);
/* The call is answered: the connection may go. The exchange is gone already. */
void api_call_end(struct worker *worker, struct http_connection *http);
/* Did some worker have no memory for its part? */
bool api_call_failed(const struct call *call);
/* Answers with what was written, or says that there was no memory for it; empties it. */
void api_answer_chain(struct worker *worker, struct http_exchange *exchange, const char *type,
                      struct chain *chain);

#endif
