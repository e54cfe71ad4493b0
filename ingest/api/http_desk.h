/* http_desk.h - what the HTTP listeners keep for each worker: pools, and room for the one request
 * that is being served.
 *
 * A worker serves one request at a time, from its bytes to gate_publish or call_start; only answers
 * wait. So the room for a parsed request, an envelope and an answer exists once for each worker and
 * nothing is allocated for a request.
 *
 * Threads: http_init and http_fini: before the workers run, after they have ended; the rest: the
 * worker's own. Owns: everything in it. */
#ifndef RINGPOST_INGEST_API_HTTP_DESK_H
#define RINGPOST_INGEST_API_HTTP_DESK_H

#include "core/memory.h"
#include "core/stats.h"
#include "ingest/api/routes.h"
#include "ingest/api/slowest.h"
#include "ingest/gate/envelope.h"
#include "proto/http/http.h"
#include "proto/http/http_date.h"

struct server;
struct worker;

/* An answer that is written here: a head with some header lines, and a result or an error. */
#define HTTP_ANSWER_BYTES_MAX 8192

struct http_desk {
    struct pool connections; /* struct http_connection */
    struct pool exchanges;   /* struct http_exchange */
    struct http_request request;
    struct route_match match; /* of that request */
    struct complaint complaint;
    struct envelope envelope;
    char busy[512]; /* the answer of exchange_busy, for busy_flags */
    uint32_t busy_bytes;
    uint8_t busy_flags;
    uint64_t busy_date_s;   /* of its date */
    struct stats total;     /* of what is being told of all workers */
    uint64_t busy_since_ns; /* of api_stats.c: when the share of busy time was last taken */
    uint64_t busy_ns;       /* the counter at that time */
    double busy_ratio;
    struct slowest_places slowest; /* of api_stats.c, too */
    uint64_t date_s;               /* of `date`, since 1970; 0: it was not written yet */
    char date[HTTP_DATE_BYTES];
    /* From here on not zeroed at the start. */
    struct envelope_room room;
    char names[HTTP_TARGET_BYTES_MAX]; /* what a target decodes to */
    char answer[HTTP_ANSWER_BYTES_MAX];
};

/* Prepares the desks of all workers. Once, after server_init and before the workers run. False: no
 * memory. */
bool http_init(struct server *server);
/* After all workers have ended. Does not look into `server`, whose workers may be freed already. */
void http_fini(struct server *server);

struct http_desk *http_desk(const struct worker *worker);
/* The Date line of an answer that is made in this turn; stays as it is for the turn. */
struct span http_date(const struct worker *worker);

/* The version that statistics and metrics tell; a text that stays. Once, before the workers run. */
void http_version_set(const char *text);
const char *http_version(void);

#endif
