/* tag.h - what a completion belongs to, packed into the 64 bits that the kernel hands back.
 *
 *   63      56 55            32 31                  0
 *   [   op   ] [  generation  ] [        slot        ]
 *
 * Never a pointer: a completion that comes late finds a slot of another generation and is
 * recognised. Op 0 is invalid, so that a forgotten tag dies by name. The list is closed; worker.c
 * maps each op to its handler.
 *
 * Threads: any (values). */
#ifndef RINGPOST_CORE_TAG_H
#define RINGPOST_CORE_TAG_H

#include <stdint.h>

#define TAG_OPS(X)                                                                                 \
    X(ACCEPT)   /* slot: listener of the worker; generation: which of its accepts */               \
    X(RECEIVE)  /* slot: connection; multishot into provided buffers */                            \
    X(SEND)     /* slot: connection */                                                             \
    X(LEND)     /* slot: connection; result: a descriptor for its socket */                        \
    X(SHUTDOWN) /* slot: connection */                                                             \
    X(CLOSE)    /* slot: connection */                                                             \
    X(QUEUED)   /* slot: connection; result: bytes that wait in its socket */                      \
    X(CANCEL)   /* slot: connection (its receive), or 0: a listener; of a cancellation itself */   \
    X(UNSEND)   /* slot: connection; the same of its send */                                       \
    X(WATCH)    /* slot: connection; its peer's end, which nothing is received for */              \
    X(UNWATCH)  /* slot: connection; the cancellation of that */                                   \
    X(REFUSE)   /* slot 0: close of a descriptor that never became a connection */                 \
    X(WAKE)     /* slot 0: another thread has something for this worker; multishot */

enum tag_op {
    TAG_INVALID,
#define TAG_ENUM(name) TAG_##name,
    TAG_OPS(TAG_ENUM)
#undef TAG_ENUM
        TAG_OP_COUNT
};

#define TAG_GENERATION_BITS 24
#define TAG_GENERATION_MASK ((UINT32_C(1) << TAG_GENERATION_BITS) - 1)

static inline uint64_t tag_make(enum tag_op op, uint32_t generation, uint32_t slot) {
    return (uint64_t)op << 56 | (uint64_t)(generation & TAG_GENERATION_MASK) << 32 | slot;
}
static inline enum tag_op tag_op(uint64_t tag) {
    return (enum tag_op)(tag >> 56);
}
static inline uint32_t tag_generation(uint64_t tag) {
    return (uint32_t)(tag >> 32) & TAG_GENERATION_MASK;
}
static inline uint32_t tag_slot(uint64_t tag) {
    return (uint32_t)tag;
}
const char *tag_op_name(enum tag_op op);

#endif
