/* ended.h - the youngest of what is settled, at a start: a heap by the time, the oldest on top.
 *
 * Threads: the store's. Owns: its pages, which take memory only as far as they are used. Limits:
 * `max` entries; one more is there for a moment. */
#ifndef RINGPOST_HA_STORE_ENDED_H
#define RINGPOST_HA_STORE_ENDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct restored;

struct ended_entry {
    uint64_t at_ns; /* when it was settled */
    struct restored *restored;
};

struct ended {
    struct ended_entry *heap;
    size_t bytes, count, max;
};

/* False: no memory; ended_fini does no harm. */
bool ended_init(struct ended *ended, size_t max);
void ended_fini(struct ended *ended);
/* True: there is one more than `max` now, and the oldest is to be taken out. */
bool ended_push(struct ended *ended, struct ended_entry entry);
/* Takes the oldest out; NULL: there is none. */
struct restored *ended_pop(struct ended *ended);
/* From now on the heap is a list, the oldest first. */
void ended_sort(struct ended *ended);

#endif
