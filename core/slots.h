/* slots.h - the places of a worker's connections, in blocks that are made when they are needed.
 *
 * A slot is reused only after its connection has ended in every respect (slot_put asserts it), and
 * with another generation, so that an old handle or tag finds nothing. Slot 0 does not exist.
 *
 * Threads: the worker's. Owns: the blocks. Limits: CONNECTION_BLOCKS_MAX. */
#ifndef RINGPOST_CORE_SLOTS_H
#define RINGPOST_CORE_SLOTS_H

#include "core/connection.h"

#define CONNECTION_BLOCK 256
#define CONNECTION_BLOCKS_MAX 8192

/* What a phase of the end asks of each connection, done slot by slot as the slices of the turns
 * allow. A later phase begins anew, and asks more. */
struct sweep {
    uint32_t slot;  /* to be looked at next; 0: it is through */
    uint32_t phase; /* enum server_phase */
};

struct slots {
    struct connection **blocks; /* CONNECTION_BLOCK each */
    uint32_t block_count;
    uint32_t free;      /* 0: none; linked through next_free */
    uint32_t live;      /* in use */
    uint32_t live_api;  /* of them, of the api listeners */
    uint32_t live_late; /* of them, that the end of the node does not wait for */
    uint32_t refusing;  /* refused descriptors that are being closed */
    struct sweep sweep;
};

/* A free slot, zeroed but for its number and generation. It is whole: its lists are unlinked, its
 * timer is not armed and calls `deadline`, so that it can be put back at any moment. NULL: no
 * memory. No slot has a larger number than there ever were slots in use at once. */
/* One of worker->slots.block_count blocks, in whatever state. */
struct connection *slot_at(const struct worker *worker, uint32_t slot);

struct connection *slot_get(struct worker *worker, timer_fire *deadline);
void slot_put(struct worker *worker, struct connection *connection);
/* NULL when there is no connection of that generation. */
struct connection *slot_resolve(struct worker *worker, uint32_t slot, uint32_t generation);

/* Tells its protocol that the node drains, unless it was told. */
void connection_drain(struct worker *worker, struct connection *connection);
/* Has the sweep that would tell it begun? Then whoever comes now is to be told at once. */
bool sweep_tells(const struct worker *worker, const struct connection *connection);
/* Begins: GOODBYE lets the client connections say goodbye; CLOSING closes what is left of them and
 * lets those of `api` end after their last answers; STOPPED closes everything. */
void sweep_begin(struct worker *worker, uint32_t phase);
/* Goes on for as long as the slice lasts. */
void sweep_work(struct worker *worker);
static inline bool sweep_busy(const struct sweep *sweep) {
    return sweep->slot != 0;
}
/* Every slot must be free. */
void connections_fini(struct worker *worker);

#endif
