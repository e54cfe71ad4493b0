/* memory.h - who holds how much, under one ceiling.
 *
 * The ceiling (--memory) holds for everything that waits: messages, outboxes, input of which a part
 * is missing, request bodies, answers not yet sent, the idempotency table; and for names and
 * memberships. A worker takes its share from the node's budget in grants, so that the shared
 * counter is touched once in a while and not per message. What is refused is refused by the caller
 * at the edge (503, `overloaded`).
 *
 * So that the process has no more memory than the ceiling says, an account also answers for what
 * blocks leave behind until it is back with the system: pages of which a part is free, and what is
 * warm beyond WARM_BYTES_MAX (block_cache.h) or, of a small ceiling, a 64th. It is not in
 * `used_bytes`.
 *
 * A start that restores what was taken under the same ceiling may need more than before, since
 * other accounts have it: it goes up to a quarter beyond (budget_restore). Where no grant is left
 * then, no message is taken until one is, and whatever else there is has a quarter more, so that
 * clients can come and acknowledge (budget_restored).
 *
 * Threads: budget: any; account: its endpoint's. */
#ifndef RINGPOST_CORE_MEMORY_H
#define RINGPOST_CORE_MEMORY_H

#include "core/block_cache.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct account;

/* What a start, and a node that has more than its ceiling from one, may have beyond it. */
#define BUDGET_BEYOND_PART 4

struct budget {
    uint64_t ceiling_bytes;
    uint64_t grant_bytes; /* what one account takes or returns at a time */
    _Atomic uint64_t granted_bytes;
    _Atomic uint64_t
        beyond_bytes; /* so far beyond the ceiling grants may go, if nothing gives way */
    atomic_bool over; /* what was restored leaves no grant: no message is taken */
    /* Asked at the ceiling by an account that presses, on its thread: somebody gives up about a
     * grant of what can be missed best. False: nobody has anything. NULL: nobody does. */
    bool (*relieve)(void *argument, struct account *account);
    void *relieve_argument;
};

struct account {
    struct budget *budget;
    uint64_t used_bytes;
    uint64_t granted_bytes; /* `used_bytes`, block_cache_kept(`blocks`), and a little in hand */
    struct block_cache blocks;
    bool presses; /* an endpoint's */
    bool keeps;   /* what is given back is about to be taken again: it stays granted */
};

void budget_init(struct budget *budget, uint64_t ceiling_bytes);
void account_init(struct account *account, struct budget *budget);
/* What the blocks of one account may leave warm, beyond the ceiling. */
uint64_t account_warm_max(const struct budget *budget);
/* False: the ceiling is reached, nothing was taken. */
bool account_take(struct account *account, size_t bytes);
/* The same, but nothing gives way for it. */
bool account_try(struct account *account, size_t bytes);
/* Takes even past the ceiling: for what is bounded by what was charged before it. */
void account_force(struct account *account, size_t bytes);
void account_give(struct account *account, size_t bytes);

/* What one account has taken and another will have: charged to neither on its way, but to the
 * budget; one that never arrives is given back by budget_give. */
void account_send(struct account *account, size_t bytes);
void account_receive(struct account *account, size_t bytes);

/* Takes from the budget itself, for what another thread may give back (quota.h); the account is one
 * of the caller's thread, for whom others may give way. False: the ceiling is reached. */
bool budget_take(struct account *account, uint64_t bytes);
/* Takes even past the ceiling, as account_force. */
void budget_force(struct budget *budget, uint64_t bytes);
void budget_give(struct budget *budget, uint64_t bytes);
/* Is the ceiling reached? Any thread. */
static inline bool budget_is_full(const struct budget *budget) {
    return atomic_load_explicit(&budget->granted_bytes, memory_order_relaxed) +
               budget->grant_bytes >
           budget->ceiling_bytes;
}

/* A start restores: it may go a quarter beyond the ceiling. */
void budget_restore(struct budget *budget);
/* All is restored; returns how much is granted beyond the ceiling. */
uint64_t budget_restored(struct budget *budget);
/* May a message be taken? Not while what was restored is beyond the ceiling; then what can be
 * missed best gives way. */
bool account_admits(struct account *account);

/* Gives every grant back that is not used, so that other accounts can have it now. */
void account_trim(struct account *account);

/* Blocks whose size the caller remembers, at the account's expense; NULL at the ceiling or when the
 * system has none. An account's blocks are for its own thread: one that goes to another thread's is
 * copied. */
void *memory_get(struct account *account, size_t bytes);
/* A larger block with what was in it. Beyond BLOCK_BYTES_MAX the kernel moves it page by page
 * instead of copying it. NULL: as memory_get, and the old block stays. `at` NULL: memory_get. */
void *memory_grow(struct account *account, void *at, size_t bytes, size_t more_bytes);
void memory_put(struct account *account, void *at, size_t bytes);

/* Gives so much of what blocks took, and nobody needs any more, back to the system and the budget
 * (block_cache_due). Returns how much it was. */
uint64_t account_release(struct account *account, uint64_t bytes);
static inline bool account_wants_release(const struct account *account) {
    return block_cache_wants_trim(&account->blocks);
}
/* Every block must be back. */
void account_fini(struct account *account);

/* Once, before any thread: the C library's own memory, of texts that are being written, stays warm
 * up to some MiB; and it reserves no address space for each thread where a limit leaves little. */
void memory_begin(void);

#endif
