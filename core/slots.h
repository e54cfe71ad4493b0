/* slots.h - the places of a worker's connections, in blocks that are made when they are needed.
 *
 * A slot is reused only after its connection has ended in every respect (slot_put asserts it), and
 * with another generation, so that an old handle or tag finds nothing. Slot 0 does not exist.
 *
 * Threads: the worker's. Owns: the blocks. Limits: CONNECTION_BLOCKS_MAX. */
#ifndef RINGPOST_CORE_SLOTS_H
#define RINGPOST_CORE_SLOTS_H

#include "core/connection.h"

/* A free slot, zeroed but for its number and generation. It is whole: its lists are unlinked, its
 * timer is not armed and calls `deadline`, so that it can be put back at any moment. NULL: no
 * memory. No slot has a larger number than there ever were slots in use at once. */
struct connection *slot_get(struct worker *worker, timer_fire *deadline);
void slot_put(struct worker *worker, struct connection *connection);
/* NULL when there is no connection of that generation. */
struct connection *slot_resolve(struct worker *worker, uint32_t slot, uint32_t generation);

/* Tells every open connection of the api listeners, or of the others, to say goodbye. */
void connections_drain(struct worker *worker, bool api);
/* Closes them all at once. */
void connections_close(struct worker *worker, bool api, enum close_reason reason);
/* How many of them are not freed yet. */
uint32_t connections_live(const struct worker *worker, bool api);
/* Every slot must be free. */
void connections_fini(struct worker *worker);

#endif
