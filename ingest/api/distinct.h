/* distinct.h - how many different hashes there are, when some come more than once.
 *
 * Open addressing in a table that is twice as large as it must be at least, so it never grows; it
 * is cleared in steps, since a large one takes longer than a turn has.
 *
 * Threads: one at a time. Owns nothing: the caller brings distinct_bytes of memory. */
#ifndef RINGPOST_INGEST_API_DISTINCT_H
#define RINGPOST_INGEST_API_DISTINCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct distinct {
    uint64_t count;
    uint64_t mask;
    uint64_t cleared; /* slots */
    uint64_t slots[]; /* 0: empty */
};

/* For so many hashes at the most. */
size_t distinct_bytes(uint64_t hashes);
struct distinct *distinct_over(void *memory, uint64_t hashes);
/* Clears some more, in a few microseconds. True: it is ready to take hashes. */
bool distinct_clear(struct distinct *distinct);
/* False: it was there already. */
bool distinct_add(struct distinct *distinct, uint64_t hash);

#endif
