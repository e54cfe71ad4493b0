/* http_context.h - what HTTP keeps for each worker: pools, and room for the one request that is
 * being served.
 *
 * A worker serves one request at a time, from its bytes until it is handed on; only answers wait.
 * So the room for a parsed request and an answer exists once for each worker, and nothing is
 * allocated for a request.
 *
 * Threads: http_init and http_fini: before the workers run, after they have ended; the rest: the
 * worker's own. Owns: everything in it. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_CONTEXT_H
#define RINGPOST_PROTO_HTTP_HTTP_CONTEXT_H

#include "core/config.h"
#include "core/pool.h"
#include "proto/http/http.h"
#include "proto/http/http_connection.h"
#include "proto/http/http_date.h"
#include "proto/http/routes.h"
#include "proto/text/complaint.h"

struct server;
struct worker;

/* An answer that is written here: a head with some header lines, and a result or an error. */
#define HTTP_ANSWER_BYTES_MAX 8192

struct http_context {
    struct pool states[LISTENER_KINDS];    /* of services that keep much for a connection */
    struct pool exchanges;                 /* struct http_exchange */
    struct pool incoming;                  /* struct http_incoming */
    size_t body_bytes_max[LISTENER_KINDS]; /* no reload changes what bodies may have */
    struct http_request request;
    struct route_match match;    /* of that request */
    struct http_upgrade upgrade; /* what its connection becomes, when `serve` has returned */
    struct complaint complaint;
    char busy[512]; /* the answer of exchange_busy, for busy_service and busy_flags */
    uint32_t busy_bytes;
    uint8_t busy_flags;
    const struct http_service *busy_service;
    uint64_t busy_date_s; /* of its date */
    uint64_t date_s;      /* of `date`, since 1970; 0: it was not written yet */
    char date[HTTP_DATE_BYTES];
    /* From here on not zeroed at the start. */
    char names[HTTP_TARGET_BYTES_MAX]; /* what a target decodes to */
    char answer[HTTP_ANSWER_BYTES_MAX];
};

/* Prepares the contexts of all workers; `services` are those of the listeners, NULL where one
 * speaks no HTTP. Once, after server_init and before the workers run. False: no memory. */
bool http_init(struct server *server, const struct http_service *const services[LISTENER_KINDS]);
/* After all workers have ended. Does not look into `server`, whose workers may be freed already. */
void http_fini(struct server *server);

struct http_context *http_context(const struct worker *worker);
/* The Date line of an answer that is made in this turn; stays as it is for the turn. */
struct span http_date(const struct worker *worker);
/* The body that may be the longest of any route; NULL: none takes one. */
const struct route_body *http_body_largest(const struct http_service *service,
                                           const struct config *config);

#endif
