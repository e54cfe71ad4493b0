/* fate_feed.h - the fates of messages as they settle, for one endpoint that tells others of each
 * (--amqp-results).
 *
 * A fate is put in once, by the thread that settles its last address, or by its producer's where
 * that came first; each is held until the endpoint has let go of it. While it takes none, up to
 * FATE_FEED_MAX wait; more are not told, and counted. Messages that are lent (another node keeps
 * them, and tells of them) are none of its.
 *
 * Locks: its own, taken alone or while a stripe's is held (fates.h).
 *
 * Threads: any for fates.c; the endpoint for the rest. Owns: nothing but the places. */
#ifndef RINGPOST_CORE_FATE_FEED_H
#define RINGPOST_CORE_FATE_FEED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FATE_FEED_MAX 16384

struct fate;
struct fates;

struct fate_feed {
    pthread_mutex_t lock;
    atomic_bool runs;
    unsigned endpoint;       /* that is nudged */
    _Atomic uint64_t untold; /* had no place */
    uint32_t first, count;
    struct fate **fates; /* FATE_FEED_MAX of them */
};

/* By that endpoint: it takes them, from now on, until fates_fini. False: no memory. */
bool fates_feed(struct fates *fates, unsigned endpoint);
/* The next one that has settled, held until fates_release; NULL: there is none. */
struct fate *fates_feed_next(struct fates *fates);
/* No more are put in; those that are there are let go of. */
void fates_feed_end(struct fates *fates);

/* For fates.c, under the stripe's lock: true, its endpoint is to be nudged. */
bool fate_feed_put(struct fate_feed *feed, struct fate *fate);

#endif
