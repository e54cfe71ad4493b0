#include "core/holders.h"

#include "core/base/check.h"
#include "core/base/shortage.h"

#include <pthread.h>
#include <stdlib.h>

#define STRIPE_BITS 10
#define STRIPES (1u << STRIPE_BITS)
#define ENTRIES_MIN 4

struct entry {
    uint64_t hash;
    uint64_t endpoints; /* 0: the entry is free */
    uint32_t sessions;
};

struct stripe {
    _Alignas(64) pthread_mutex_t lock;
    struct entry *entries; /* `cap` of them, a power of two; at most three quarters are used */
    uint32_t cap, used;
};

struct holders {
    struct stripe stripes[STRIPES];
};

struct holders *holders_new(void) {
    struct holders *holders = aligned_alloc(_Alignof(struct stripe), sizeof(*holders));
    if (holders == NULL)
        return NULL;
    for (unsigned i = 0; i < STRIPES; i++) {
        holders->stripes[i] = (struct stripe){.entries = NULL};
        CHECK(pthread_mutex_init(&holders->stripes[i].lock, NULL) == 0);
    }
    return holders;
}

void holders_free(struct holders *holders) {
    for (unsigned i = 0; i < STRIPES; i++) {
        CHECK(holders->stripes[i].used == 0, "%u names are still held", holders->stripes[i].used);
        pthread_mutex_destroy(&holders->stripes[i].lock);
        free(holders->stripes[i].entries);
    }
    free(holders);
}

static struct stripe *stripe_lock(struct holders *holders, uint64_t hash) {
    struct stripe *stripe = &holders->stripes[hash >> (64 - STRIPE_BITS)];
    CHECK(pthread_mutex_lock(&stripe->lock) == 0);
    return stripe;
}

static void stripe_unlock(struct stripe *stripe) {
    CHECK(pthread_mutex_unlock(&stripe->lock) == 0);
}

/* The entry of the hash, or the free one where it belongs. */
static uint32_t entry_at(const struct entry *entries, uint32_t cap, uint64_t hash) {
    uint32_t at = (uint32_t)hash & (cap - 1);
    while (entries[at].endpoints != 0 && entries[at].hash != hash)
        at = (at + 1) & (cap - 1);
    return at;
}

static bool stripe_resize(struct stripe *stripe, uint32_t cap) {
    struct entry *entries = calloc(cap, sizeof(*entries));
    if (SHORTAGE(entries == NULL))
        return false;
    for (uint32_t i = 0; i < stripe->cap; i++)
        if (stripe->entries[i].endpoints != 0)
            entries[entry_at(entries, cap, stripe->entries[i].hash)] = stripe->entries[i];
    free(stripe->entries);
    stripe->entries = entries;
    stripe->cap = cap;
    return true;
}

/* The entry of the hash, made if it is not there; NULL: no memory. */
static struct entry *entry_get(struct stripe *stripe, uint64_t hash) {
    if (stripe->cap != 0) {
        struct entry *entry = &stripe->entries[entry_at(stripe->entries, stripe->cap, hash)];
        if (entry->endpoints != 0)
            return entry;
    }
    if (stripe->used >= stripe->cap / 4 * 3 &&
        SHORTAGE(!stripe_resize(stripe, stripe->cap == 0 ? ENTRIES_MIN : stripe->cap * 2)))
        return NULL;
    struct entry *entry = &stripe->entries[entry_at(stripe->entries, stripe->cap, hash)];
    entry->hash = hash;
    entry->sessions = 0;
    stripe->used++;
    return entry;
}

bool holders_add(struct holders *holders, uint64_t hash, unsigned endpoint) {
    struct stripe *stripe = stripe_lock(holders, hash);
    struct entry *entry = entry_get(stripe, hash);
    bool added = !SHORTAGE(entry == NULL);
    if (added)
        entry->endpoints |= UINT64_C(1) << endpoint;
    stripe_unlock(stripe);
    return added;
}

/* Frees an entry, and closes the gap that searches would end at. */
static void entry_free(struct stripe *stripe, uint32_t gap) {
    uint32_t mask = stripe->cap - 1;
    for (uint32_t at = (gap + 1) & mask; stripe->entries[at].endpoints != 0; at = (at + 1) & mask) {
        uint32_t wanted = (uint32_t)stripe->entries[at].hash & mask;
        /* Whoever would be found from the gap on moves into it. */
        if (((at - wanted) & mask) >= ((at - gap) & mask)) {
            stripe->entries[gap] = stripe->entries[at];
            gap = at;
        }
    }
    stripe->entries[gap].endpoints = 0;
    stripe->used--;
    /* Without memory for a smaller one it stays as large as it is. */
    if (stripe->cap > ENTRIES_MIN && stripe->used < stripe->cap / 8)
        (void)SHORTAGE(!stripe_resize(stripe, stripe->cap / 2));
}

void holders_remove(struct holders *holders, uint64_t hash, unsigned endpoint) {
    struct stripe *stripe = stripe_lock(holders, hash);
    CHECK(stripe->cap != 0, "a name that nobody holds is given up");
    uint32_t at = entry_at(stripe->entries, stripe->cap, hash);
    struct entry *entry = &stripe->entries[at];
    CHECK(entry->endpoints >> endpoint & 1, "endpoint %u gives up a name that it does not hold",
          endpoint);
    entry->endpoints &= ~(UINT64_C(1) << endpoint);
    if (entry->endpoints == 0)
        entry_free(stripe, at);
    stripe_unlock(stripe);
}

void holders_grow(struct holders *holders, uint64_t hash, int32_t sessions) {
    struct stripe *stripe = stripe_lock(holders, hash);
    CHECK(stripe->cap != 0, "a name that nobody holds has sessions");
    stripe->entries[entry_at(stripe->entries, stripe->cap, hash)].sessions += (uint32_t)sessions;
    stripe_unlock(stripe);
}

uint64_t holders_find(struct holders *holders, uint64_t hash, uint32_t *sessions) {
    struct stripe *stripe = stripe_lock(holders, hash);
    uint64_t endpoints = 0;
    if (stripe->cap != 0) {
        const struct entry *entry = &stripe->entries[entry_at(stripe->entries, stripe->cap, hash)];
        endpoints = entry->endpoints;
        if (endpoints != 0)
            *sessions += entry->sessions;
    }
    stripe_unlock(stripe);
    return endpoints;
}
