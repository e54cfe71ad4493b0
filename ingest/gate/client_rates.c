#include "ingest/gate/client_rates.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "ingest/gate/gate.h"

#include <string.h>

void client_rates_init(struct client_rates *rates) {
    memset(rates->places, 0, sizeof(rates->places));
    for (unsigned i = 0; i < CLIENT_RATES_LOCKS; i++)
        CHECK(pthread_mutex_init(&rates->locks[i], NULL) == 0);
}

void client_rates_fini(struct client_rates *rates) {
    for (unsigned i = 0; i < CLIENT_RATES_LOCKS; i++)
        pthread_mutex_destroy(&rates->locks[i]);
}

/* The client's place in the bucket: its own, or the one that is free first. */
static struct client_rate *place_of(struct client_rate bucket[CLIENT_RATES_WAYS], uint64_t hash) {
    struct client_rate *soonest = &bucket[0];
    for (unsigned i = 0; i < CLIENT_RATES_WAYS; i++) {
        if (bucket[i].hash == hash)
            return &bucket[i];
        if (bucket[i].used_until_ns < soonest->used_until_ns)
            soonest = &bucket[i];
    }
    *soonest = (struct client_rate){.hash = hash};
    return soonest;
}

bool client_rates_take(struct client_rates *rates, struct span client, double per_second,
                       uint64_t now_ns, uint64_t *retry_ns) {
    if (!(per_second > 0))
        return true;
    uint64_t hash = hash64(client);
    unsigned bucket = (unsigned)(hash % CLIENT_RATES_BUCKETS);
    pthread_mutex_t *lock = &rates->locks[bucket % CLIENT_RATES_LOCKS];
    CHECK(pthread_mutex_lock(lock) == 0);
    struct client_rate *place = place_of(rates->places[bucket], hash);
    struct gate_rate rate;
    atomic_init(&rate.used_until_ns, place->used_until_ns);
    bool may = gate_rate_take(&rate, per_second, now_ns, retry_ns);
    place->used_until_ns = atomic_load_explicit(&rate.used_until_ns, memory_order_relaxed);
    CHECK(pthread_mutex_unlock(lock) == 0);
    return may;
}
