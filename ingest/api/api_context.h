/* api_context.h - what the API keeps for each worker: room for the one message that is being read,
 * and for statistics.
 *
 * A worker reads one message at a time, from the body of a request to gate_publish, so an envelope
 * and its lists exist once for each worker.
 *
 * Threads: api_init, api_fini and api_version_set: before the workers run, after they have ended;
 * the rest: the worker's own. Owns: everything in it. */
#ifndef RINGPOST_INGEST_API_API_CONTEXT_H
#define RINGPOST_INGEST_API_API_CONTEXT_H

#include "core/stats.h"
#include "ingest/api/slowest.h"
#include "ingest/gate/envelope.h"

struct server;
struct worker;

struct api_context {
    struct envelope envelope;
    struct stats total;     /* of what is being told of all workers */
    uint64_t busy_since_ns; /* of api_stats.c: when the share of busy time was last taken */
    uint64_t busy_ns;       /* the counter at that time */
    double busy_ratio;
    struct slowest_places slowest; /* of api_stats.c, too */
    /* Not zeroed at the start. */
    struct envelope_scratch room;
};

/* Prepares the contexts of all workers, and the keys. Once, after server_init and before the
 * workers run. False: no memory. */
bool api_init(struct server *server);
void api_fini(void);

struct api_context *api_context(const struct worker *worker);

/* The version that statistics and metrics tell; a text that stays. */
void api_version_set(const char *text);
const char *api_version(void);

#endif
