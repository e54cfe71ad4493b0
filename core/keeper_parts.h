/* keeper_parts.h - what the files of the keeper (keeper.h) share, and nobody else needs. */
#ifndef RINGPOST_CORE_KEEPER_PARTS_H
#define RINGPOST_CORE_KEEPER_PARTS_H

#include "core/keeper.h"

/* Its place in keeper->kept. */
static inline uint64_t kept_hash(uint64_t id_hash, uint64_t message_hash) {
    return message_hash ^ (id_hash << 32 | id_hash >> 32);
}

static inline struct kept *kept_of(struct list *order) {
    return container_of(order, struct kept, order);
}

/* The one behind it; NULL: it is the last of its id. */
static inline struct kept *kept_next(const struct kept_id *id, struct kept *kept) {
    return kept->order.next == &id->all ? NULL : kept_of(kept->order.next);
}

/* Its fate is decided. What waited behind it may go on. */
void kept_settle(struct worker *worker, struct kept *kept, enum fate_state state,
                 enum fate_reason reason);

#endif
