/* client_rates.h - what each client id may still send (--rate-limit), whatever number of sessions
 * and workers it sends through.
 *
 * One table for the node. An entry is the moment at which what was let through is used up (see
 * gate_rate in gate.h); once that is past, the entry says nothing any more and its place is free.
 * When all places of a bucket are in use, the one that is free soonest is given away, so a full
 * table is lenient to somebody, and never refuses for want of a place.
 *
 * Threads: any; each bucket is behind one of CLIENT_RATES_LOCKS mutexes. Owns: the table. Limits:
 * CLIENT_RATES entries of 16 bytes. */
#ifndef RINGPOST_INGEST_GATE_CLIENT_RATES_H
#define RINGPOST_INGEST_GATE_CLIENT_RATES_H

#include "core/base/span.h"

#include <pthread.h>

#define CLIENT_RATES_BUCKETS 8192
#define CLIENT_RATES_WAYS 8
#define CLIENT_RATES (CLIENT_RATES_BUCKETS * CLIENT_RATES_WAYS)
#define CLIENT_RATES_LOCKS 64

struct client_rates {
    struct client_rate {
        uint64_t hash;
        uint64_t used_until_ns;
    } places[CLIENT_RATES_BUCKETS][CLIENT_RATES_WAYS];
    pthread_mutex_t locks[CLIENT_RATES_LOCKS];
};

void client_rates_init(struct client_rates *rates);
void client_rates_fini(struct client_rates *rates);
/* As gate_rate_take, for the client that this text stands for. */
bool client_rates_take(struct client_rates *rates, struct span client, double per_second,
                       uint64_t now_ns, uint64_t *retry_ns);

#endif
