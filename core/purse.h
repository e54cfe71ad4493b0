/* purse.h - what one kind of thing may take of the node's memory, all of it together, whichever
 * worker takes it and whichever gives it back.
 *
 * An account (memory.h) belongs to one thread; what crosses from one worker to another, such as the
 * parts of an answer, is charged here. A purse takes from the node's budget, within a share of its
 * own, so that what it is for cannot use up what messages need. One without a budget is memory
 * beyond --memory: small, for what must go on when everything else is full.
 *
 * Threads: any. Limits: its ceiling. */
#ifndef RINGPOST_CORE_PURSE_H
#define RINGPOST_CORE_PURSE_H

#include "core/memory.h"

struct purse {
    struct budget *budget; /* NULL: it is beyond --memory */
    uint64_t ceiling_bytes;
    _Atomic uint64_t used_bytes;
};

void purse_init(struct purse *purse, struct budget *budget, uint64_t ceiling_bytes);
/* False: the share is used up, or the node is at its ceiling; nothing was taken. `account` is one
 * of the calling thread: if it presses, what can be missed gives way. */
bool purse_take(struct purse *purse, struct account *account, uint64_t bytes);
void purse_give(struct purse *purse, uint64_t bytes);
static inline uint64_t purse_used(const struct purse *purse) {
    return atomic_load_explicit(&purse->used_bytes, memory_order_relaxed);
}

#endif
