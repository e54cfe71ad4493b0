/* fate.h - what a fate is made of, for the files of fates.h alone.
 *
 * One block: the struct, its addresses, then the texts: scope, id, client ids. */
#ifndef RINGPOST_CORE_FATE_H
#define RINGPOST_CORE_FATE_H

#include "core/fates.h"

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
    uint64_t serial : 55; /* of its message, in the store (store.h) */
    uint64_t lent : 1;    /* another node keeps the message, and tells of it */
    uint64_t phase : 3;   /* enum fate_phase */
    uint64_t stored : 2;  /* enum fate_stored */
    uint64_t first : 3;   /* enum result_word: QUEUED or STORED */
    uint64_t record;      /* in the store: sequence of its record, or of what that is a copy of */
    uint32_t took_ms;     /* when all is settled: from the one to the other */
    uint32_t holds;
    uint32_t recipients;   /* of its first result */
    uint32_t record_bytes; /* in the store; 0: it has no record */
    uint16_t count, left;  /* addresses; those that are not settled */
    struct fate_address addresses[];
};

_Static_assert(NAMESPACES_MAX <= 1 << 4 && MESSAGE_ID_BYTES_MAX < 1 << 7, "they have room");
_Static_assert(RESULT_QUEUED < 8 && RESULT_STORED < 8, "the first result has three bits");

static inline const char *fate_texts(const struct fate *fate) {
    return (const char *)(fate->addresses + fate->count);
}
static inline struct span fate_scope(const struct fate *fate) {
    return span_of(fate_texts(fate), fate->scope_len);
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
