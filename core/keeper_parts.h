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

static inline uint64_t kept_id_hash(const struct kept *kept) {
    return kept_message(kept)->names[kept->address].hash;
}

/* keeper.c: the id, if something is kept for it. Which workers have sessions of it. What was handed
 * over behind `serial` waits again. What waits is handed over, as far as there is room. */
struct kept_id *kept_id_find(const struct keeper *keeper, uint64_t hash);
uint64_t keeper_workers_with(const struct worker *worker, uint64_t hash, uint32_t *sessions);
void kept_id_rewind(struct worker *worker, struct kept_id *id, uint64_t serial);
void kept_id_go_on(struct worker *worker, struct kept_id *id);

/* keeper_remote.c: was it said not long ago that other nodes have it? The port to them, as a set,
 * if sessions of the id are there and it has room; `*full`: it has none. Then, where sessions are
 * here as well, the message goes there when its silence is over. */
bool keeper_is_remote(struct worker *worker, uint64_t hash);
uint64_t keeper_herald_for(const struct worker *worker, const struct kept *kept, bool *full);
/* It settles: others have it that do not know. Their clients are not to be asked for it any more.
 */
void keeper_tell_settled(struct worker *worker, const struct kept *kept);
/* Lets go of what was lent up to then: those who keep it hand it over again where their clients
 * are. The id may be gone afterwards. `look`: of one that has found nobody here, and all beside it.
 */
void keeper_lent_drop(struct worker *worker, struct kept_id *id, uint64_t until_ns);
void keeper_lent_look(struct worker *worker, struct kept *kept);

/* Its fate is decided. What waited behind it may go on. */
void kept_settle(struct worker *worker, struct kept *kept, enum fate_state state,
                 enum fate_reason reason);

#endif
