/* amqp_held.h - the addresses of deliveries that are held: which of them may be tried, since no
 * older one for any of the same addresses is held.
 *
 * Each is known by its serial, in the order in which deliveries came. One that waits behind others
 * is told nothing: whoever tries looks at `behind`.
 *
 * Threads: the port's. Owns: an entry for each address, and a place in it for each delivery that
 * has it, charged to the account. Limits: the caller's. */
#ifndef RINGPOST_INGEST_AMQP_AMQP_HELD_H
#define RINGPOST_INGEST_AMQP_AMQP_HELD_H

#include "core/base/list.h"
#include "core/base/table.h"
#include "core/memory.h"
#include "core/pool.h"
#include "proto/text/codes.h"

struct message_parts;

struct held_place; /* of one delivery in the order of one address */

/* A delivery that is held. Zeroed it is none. */
struct held {
    struct list link; /* in its queue's list, by the serial */
    struct held_place *places;
    uint32_t count;  /* of its addresses; 0: it is in no set */
    uint32_t behind; /* so many of them have an older one */
    uint64_t serial;
    unsigned tries;
    uint64_t retry_ns;
    uint64_t until_ns; /* then it gets its last answer */
    bool ttl_ends;     /* then its ttl is over */
    enum code code;    /* of its last answer */
};

struct held_set {
    struct account *account;
    struct table entries;
    struct pool entry_pool;
};

void held_set_init(struct held_set *set, struct account *account);
/* None may be in it. */
void held_set_fini(struct held_set *set);

/* Is any address of the message one that a delivery in the set has? */
bool held_set_has(const struct held_set *set, const struct message_parts *parts);
/* Puts a delivery in, whose serial is set. False: no memory, nothing changed. */
bool held_set_add(struct held_set *set, struct held *held, const struct message_parts *parts);
/* Harmless if it is in none. */
void held_set_remove(struct held_set *set, struct held *held);

#endif
