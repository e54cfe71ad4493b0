/* memory.h - who holds how much, under one ceiling.
 *
 * The ceiling (--memory) holds for everything that waits: messages, outboxes, input of which a part
 * is missing, request bodies, answers not yet sent, the idempotency table; and for names and
 * memberships. A worker takes its share from the node's budget in grants, so that the shared
 * counter is touched once in a while and not per message. What is refused is refused by the caller
 * at the edge (503, `overloaded`).
 *
 * Threads: budget: any; account: its endpoint's. */
#ifndef RINGPOST_CORE_MEMORY_H
#define RINGPOST_CORE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct account;

struct budget {
    uint64_t ceiling_bytes;
    uint64_t grant_bytes; /* what one account takes or returns at a time */
    _Atomic uint64_t granted_bytes;
    /* Asked at the ceiling by an account that presses, on its thread: somebody gives up about a
     * grant of what can be missed best. False: nobody has anything. NULL: nobody does. */
    bool (*relieve)(void *argument, struct account *account);
    void *relieve_argument;
};

struct account {
    struct budget *budget;
    uint64_t used_bytes;
    uint64_t granted_bytes;
    bool presses; /* an endpoint's */
    bool keeps;   /* what is given back is about to be taken again: it stays granted */
};

void budget_init(struct budget *budget, uint64_t ceiling_bytes);
void account_init(struct account *account, struct budget *budget);
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
void budget_give(struct budget *budget, uint64_t bytes);
/* Is the ceiling reached? Any thread. */
static inline bool budget_is_full(const struct budget *budget) {
    return atomic_load_explicit(&budget->granted_bytes, memory_order_relaxed) +
               budget->grant_bytes >
           budget->ceiling_bytes;
}

/* Gives every grant back that is not used, so that other accounts can have it now. */
void account_trim(struct account *account);

/* malloc for bounded, accounted blocks whose size the caller remembers; NULL at the ceiling or when
 * the system has none. */
void *memory_get(struct account *account, size_t bytes);
/* A larger block with what was in it. From MEMORY_MOVES_BYTES on the kernel moves it page by page
 * instead of copying it. NULL: as memory_get, and the old block stays. `at` NULL: memory_get. */
void *memory_grow(struct account *account, void *at, size_t bytes, size_t more_bytes);
#define MEMORY_MOVES_BYTES (4 * 1024 * 1024)
/* Once, before any thread: blocks from that size on are mappings of their own, always; smaller ones
 * are taken from memory that stays warm. */
void memory_begin(void);
void memory_put(struct account *account, void *at, size_t bytes);

#endif
