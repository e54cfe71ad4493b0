/* slowest.h - which sessions have most bytes queued: for GET /v1/stats and who watches a node.
 *
 * Nothing is done for it while messages are delivered. A look goes over at most SLOWEST_WALK
 * sessions of a worker, some 0.1 ms, beginning where the look before ended, and over the places
 * where that one found the longest queues. So with up to SLOWEST_WALK sessions a look is exact;
 * with more, a long queue is found after a few looks and then stays found.
 *
 * Threads: the worker's own. Owns nothing. */
#ifndef RINGPOST_INGEST_API_SLOWEST_H
#define RINGPOST_INGEST_API_SLOWEST_H

#include "core/base/builder.h"
#include "core/limits.h"
#include "core/session.h"

struct worker;

#define SLOWEST_MAX 8
#define SLOWEST_WALK 2048
/* Room for slowest_write. */
#define SLOWEST_BYTES (SLOWEST_MAX * 1024)

/* What a worker remembers between two looks: places in its list of sessions. */
struct slowest_places {
    uint32_t next;
    uint32_t count;
    uint32_t at[SLOWEST_MAX];
};

struct slow_session {
    uint64_t queued_bytes; /* of its connection, with what is in flight */
    uint32_t place;
    uint16_t id_len; /* 0: it goes without a client id */
    char id[NAME_BYTES_MAX];
    struct session_look look;
};

/* The longest queue first; only such that are not empty. */
struct slowest {
    unsigned count;
    struct slow_session sessions[SLOWEST_MAX];
};

/* One look. Fills `found`. */
void slowest_look(struct worker *worker, struct slowest_places *places, struct slowest *found);
/* Keeps the longest of both in `all`. */
void slowest_merge(struct slowest *all, const struct slowest *more);
/* Writes the value of "slowest": a list of objects. */
void slowest_write(struct builder *out, const struct slowest *found);

#endif
