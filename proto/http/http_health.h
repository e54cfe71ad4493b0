/* http_health.h - is the process alive, does it take work: what balancers and supervisors ask.
 *
 * For the routes of any listener. Neither path has parameters; the answer to the first never
 * changes, the other one follows the phase of the node (core/server.h).
 *
 * Threads: the connection's worker. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_HEALTH_H
#define RINGPOST_PROTO_HTTP_HTTP_HEALTH_H

#include "proto/http/routes.h"

void http_get_healthz(struct worker *worker, struct http_exchange *exchange,
                      const struct route_request *request);
void http_get_readyz(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request);

#endif
