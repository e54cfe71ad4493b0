/* engine_serve.h - requests of Engine.IO over HTTP: /socket.io/, and with --conformance
 * /engine.io/.
 *
 * What is wrong with one is answered in the words and in the order of the reference server; the
 * listener has looked at its Origin before.
 *
 * Threads: the connection's worker. */
#ifndef RINGPOST_PROTO_WEB_EIO_ENGINE_SERVE_H
#define RINGPOST_PROTO_WEB_EIO_ENGINE_SERVE_H

#include "proto/http/http_connection.h"
#include "proto/web/eio/engine_poll.h"

/* Is it a path that is served here? */
bool engine_serves(struct span path);
/* Answers a request, now or later. `origin`: the header lines for whoever asks from another one. */
void engine_serve(struct worker *worker, struct http_exchange *exchange,
                  const struct http_request *http, struct span origin);
/* A request whose body has not come yet: false, and `error`, if that is too long. */
bool engine_admit(struct worker *worker, const struct http_request *http, struct http_error *error);
/* For the routes of the listener: how long a body may be. */
extern const struct route_body engine_body;
/* For a page that may not use the listener. */
void engine_forbid(struct worker *worker, struct http_exchange *exchange,
                   const struct http_request *http, struct span extra);
struct http_error engine_forbidden(void);

/* What the listener keeps for each connection begins with a struct poll_list
 * (http_service.state_bytes), and its `open` and `ended` call these. */
void engine_http_open(struct http_connection *http);
void engine_http_ended(struct worker *worker, struct http_connection *http);

#endif
