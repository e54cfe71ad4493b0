/* quota.h - what one kind of thing may take of the node's memory, all of it together, whichever
 * worker takes it and whichever gives it back.
 *
 * An account (memory.h) belongs to one thread; what crosses from one worker to another, such as the
 * parts of an answer, is charged here. A quota takes from the node's budget, within a share of its
 * own, so that what it is for cannot use up what messages need. One without a budget is memory
 * beyond --memory: small, for what must go on when everything else is full.
 *
 * Threads: any. Limits: its ceiling. */
#ifndef RINGPOST_CORE_QUOTA_H
#define RINGPOST_CORE_QUOTA_H

#include "core/memory.h"

struct quota {
    struct budget *budget; /* NULL: it is beyond --memory */
    uint64_t ceiling_bytes;
    _Atomic uint64_t used_bytes;
};

void quota_init(struct quota *quota, struct budget *budget, uint64_t ceiling_bytes);
/* False: the share is used up, or the node is at its ceiling; nothing was taken. `account` is one
 * of the calling thread: if it presses, what can be missed gives way. */
bool quota_take(struct quota *quota, struct account *account, uint64_t bytes);
/* Takes even past both: for what must be told and is bounded by what was charged before it. */
void quota_force(struct quota *quota, uint64_t bytes);
void quota_give(struct quota *quota, uint64_t bytes);
static inline uint64_t quota_used(const struct quota *quota) {
    return atomic_load_explicit(&quota->used_bytes, memory_order_relaxed);
}

#endif
