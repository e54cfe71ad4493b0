/* frame_batch.h - several messages in one encoding, side by side in one run of bytes: what a turn's
 * broadcasts become, so that a session takes them as one piece, and a send carries one run.
 *
 * It is shared by all outboxes that take it, and knows its parts, so that an outbox that must treat
 * them one by one (no room for all, one has expired, the connection ended in the middle) still can.
 *
 * Threads: its worker. Owns: one ref on each parcel, its bytes (accounted). Limits: below. */
#ifndef RINGPOST_CORE_FRAME_BATCH_H
#define RINGPOST_CORE_FRAME_BATCH_H

#include "core/message.h"

#define FRAME_BATCH_PARTS_MAX 64
#define FRAME_BATCH_BYTES_MAX (64 * 1024) /* of payload */

struct frame_batch_part {
    struct parcel *parcel;
    const struct frame *frame;
    uint32_t end; /* offset behind its last byte */
};

struct frame_batch {
    uint32_t refs;
    uint32_t count;
    uint32_t bytes; /* on the wire */
    uint32_t block_bytes;
    uint64_t expires_ns;  /* of the part that expires first */
    uint64_t accepted_ns; /* of the part that was accepted first */
    uint32_t encoding;    /* its index */
    uint32_t of_class[CLASSES];
    struct frame_batch_part parts[]; /* `count`, then the bytes */
};

/* Binds the parcels, in their order. One ref: the caller. NULL: no memory, or one of them is too
 * large to be copied (the payload is not in its frame), or is not the same for all (a mark). */
struct frame_batch *frame_batch_open(struct worker *worker, struct parcel *const *parcels,
                                     uint32_t count, const struct encoding *encoding);
static inline void frame_batch_ref(struct frame_batch *batch) {
    batch->refs++;
}
void frame_batch_unref(struct worker *worker, struct frame_batch *batch);
static inline char *frame_batch_bytes(const struct frame_batch *batch) {
    return (char *)(uintptr_t)(batch->parts + batch->count);
}

#endif
