/* fate.h - what a fate is made of, for the files of fates.h alone.
 *
 * One block: the struct, its addresses, where the client id of each but the first begins
 * (uint32_t), then the texts: scope, id, client ids. */
#ifndef RINGPOST_CORE_FATE_H
#define RINGPOST_CORE_FATE_H

#include "core/fates.h"

#include <string.h>

enum fate_phase {
    FATE_OPEN,     /* its message is not taken yet; nobody finds it */
    FATE_TAKEN,    /* not all addresses are settled */
    FATE_SETTLED,  /* in one of stripe->settled */
    FATE_RECALLED, /* in one of stripe->recalled: nobody is told of it, its id is known */
    FATE_FORGOTTEN /* in no table any more; who holds it still has it */
};

/* Members stand so that no room is lost between them: there may be a million of these. */
struct fate {
    struct table_node node; /* hash64 of the id alone */
    union {
        struct list waits; /* while an address is not settled: fate_wait */
        struct list order; /* afterwards: in stripe->settled, if it is SETTLED */
    };
    struct hash128 content;
    uint64_t accepted_ms : 45; /* by the wall clock */
    uint64_t namespace : 4;    /* of its addresses */
    uint64_t id_len : 7, scope_len : 8;
    uint64_t at_ns;       /* monotonic: accepted; when all is settled: settled */
    uint64_t serial : 48; /* of its message, in the store (store.h) */
    uint64_t left : 10;   /* addresses that are not settled */
    uint64_t lent : 1;    /* another node keeps the message, and tells of it */
    uint64_t phase : 3;   /* enum fate_phase */
    uint64_t stored : 2;  /* enum fate_stored */
    uint64_t record;      /* in the store: sequence of its record, or of what that is a copy of */
    uint32_t took_ms;     /* when all is settled: from the one to the other */
    uint32_t holds;
    uint32_t recipients : 29; /* of its first result */
    uint32_t first : 3;       /* enum result_word: QUEUED or STORED */
    uint32_t record_bytes;    /* in the store; 0: it has no record */
    uint16_t count;           /* addresses */
    struct fate_address addresses[];
};

_Static_assert(NAMESPACES_MAX <= 1 << 4 && MESSAGE_ID_BYTES_MAX < 1 << 7, "they have room");
_Static_assert(RESULT_QUEUED < 8 && RESULT_STORED < 8, "the first result has three bits");
_Static_assert(ADDRESSES_PER_MESSAGE_MAX < 1 << 10, "their count has ten bits");
#define FATE_RECIPIENTS_MAX ((UINT32_C(1) << 29) - 1)
#define FATE_SERIAL_MASK ((UINT64_C(1) << 48) - 1)
#define FATE_LEFT_MASK ((1u << 10) - 1)

/* What is there of addresses in front of the texts. */
static inline size_t fate_addresses_bytes(unsigned count) {
    return count * sizeof(struct fate_address) + (count - 1) * sizeof(uint32_t);
}
static inline char *fate_texts(const struct fate *fate) {
    return (char *)(uintptr_t)fate->addresses + fate_addresses_bytes(fate->count);
}
static inline struct span fate_scope(const struct fate *fate) {
    return span_of(fate_texts(fate), fate->scope_len);
}

/* Where the client id of an address begins in the texts. */
static inline uint32_t fate_address_at(const struct fate *fate, uint32_t index) {
    uint32_t at = fate->scope_len + (uint32_t)fate->id_len;
    if (index != 0)
        memcpy(&at, (const char *)(fate->addresses + fate->count) + (index - 1) * sizeof(at),
               sizeof(at));
    return at;
}
static inline void fate_address_at_set(struct fate *fate, uint32_t index, uint32_t at) {
    if (index != 0)
        memcpy((char *)(fate->addresses + fate->count) + (index - 1) * sizeof(at), &at, sizeof(at));
}

/* The node made its id: whoever pushes a message under it pushes another one. */
static inline bool fate_id_is_made(const struct fate *fate) {
    return fate->content.low == 0 && fate->content.high == 0;
}

/* Between a producer that waits, and the store. */
enum fate_stored { FATE_UNSTORED, FATE_STORED, FATE_GIVEN_UP };

struct fate_stripe *fate_stripe_of(struct fates *fates, uint64_t hash);
void fate_lock(struct fate_stripe *stripe);
void fate_unlock(struct fate_stripe *stripe);

/* Under the lock of its stripe: one hold less; frees it when it is forgotten and that was the last
 * one. */
void fate_let_go(struct fate_stripe *stripe, struct fate *fate);
/* The youngest of that id: in that scope, as long as it is known; or in any, as long as it is to be
 * told of here, where the empty one comes first. NULL: none. Under the stripe's lock. */
struct fate *fate_look(const struct fate_stripe *stripe, uint64_t hash, struct span id,
                       const struct span *scope);

#endif
