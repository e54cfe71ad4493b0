#include "ingest/api/distinct.h"

#include <string.h>

#define CLEAR_SLOTS 4096

static uint64_t slots_for(uint64_t hashes) {
    uint64_t slots = 16;
    while (slots < 2 * hashes)
        slots *= 2;
    return slots;
}

size_t distinct_bytes(uint64_t hashes) {
    return sizeof(struct distinct) + slots_for(hashes) * sizeof(uint64_t);
}

struct distinct *distinct_over(void *memory, uint64_t hashes) {
    struct distinct *distinct = memory;
    *distinct = (struct distinct){.mask = slots_for(hashes) - 1};
    return distinct;
}

bool distinct_clear(struct distinct *distinct) {
    uint64_t left = distinct->mask + 1 - distinct->cleared;
    uint64_t count = left < CLEAR_SLOTS ? left : CLEAR_SLOTS;
    memset(distinct->slots + distinct->cleared, 0, count * sizeof(uint64_t));
    distinct->cleared += count;
    return count == left;
}

bool distinct_add(struct distinct *distinct, uint64_t hash) {
    hash += hash == 0; /* 0 is an empty slot */
    uint64_t at = hash & distinct->mask;
    while (distinct->slots[at] != 0) {
        if (distinct->slots[at] == hash)
            return false;
        at = (at + 1) & distinct->mask;
    }
    distinct->slots[at] = hash;
    distinct->count++;
    return true;
}
