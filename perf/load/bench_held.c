#include "perf/load/bench_held.h"

#include "core/base/rand.h"

#include <stdlib.h>
#include <string.h>

#define ID_BYTES_MAX 63

struct held_id {
    uint8_t len;
    uint8_t at[ID_BYTES_MAX];
    uint64_t callback;
};

struct bench_held {
    uint32_t count;
    struct held_id out; /* what the last call gave */
    struct held_id ids[];
};

bool bench_held_swap(struct bench_held **held, uint32_t most, const struct bench_asks *asks,
                     struct bench_asks *out) {
    if (asks->id_len > ID_BYTES_MAX)
        return false;
    if (*held == NULL)
        *held = calloc(1, sizeof(struct bench_held) + most * sizeof(struct held_id));
    struct bench_held *all = *held;
    if (all == NULL)
        return false;
    for (uint32_t i = 0; asks->again && i < all->count; i++)
        if (all->ids[i].len == asks->id_len && memcmp(all->ids[i].at, asks->id, asks->id_len) == 0)
            return false;
    bool full = all->count == most;
    struct held_id *place = &all->ids[full ? rand_u64() % most : all->count++];
    if (full)
        all->out = *place;
    place->len = (uint8_t)asks->id_len;
    place->callback = asks->callback;
    memcpy(place->at, asks->id, asks->id_len);
    *out = (struct bench_asks){
        .id = all->out.at, .id_len = all->out.len, .callback = all->out.callback};
    return full;
}

uint32_t bench_held_count(const struct bench_held *held) {
    return held != NULL ? held->count : 0;
}

uint32_t bench_held_drop(struct bench_held **held) {
    uint32_t count = bench_held_count(*held);
    free(*held);
    *held = NULL;
    return count;
}
