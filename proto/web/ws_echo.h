/* ws_echo.h - a WebSocket that sends every message back, for --conformance: what public test suites
 * of WebSocket talk to. Messages have at most --max-payload bytes.
 *
 * Threads: the connection's worker. */
#ifndef RINGPOST_PROTO_WEB_WS_ECHO_H
#define RINGPOST_PROTO_WEB_WS_ECHO_H

#include "proto/http/routes.h"

/* GET /echo; 404 without --conformance. */
void web_get_echo(struct worker *worker, struct http_exchange *exchange,
                  const struct route_request *request);

#endif
