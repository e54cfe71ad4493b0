/* piece.h - what waits in an outbox (outbox.h): bytes of a reply, a block of a long answer, one
 * message, or several as one (frame_batch.h).
 *
 * Threads: the connection's worker. Owns: one ref, or the memory, of what it stands for. */
#ifndef RINGPOST_CORE_PIECE_H
#define RINGPOST_CORE_PIECE_H

#include "core/frame_batch.h"
#include "core/worker.h"

enum piece_kind {
    PIECE_BYTES,  /* of its own: `buffer` */
    PIECE_CHUNK,  /* a block of a long answer, with which it is charged */
    PIECE_PARCEL, /* one message */
    PIECE_BATCH   /* several */
};

struct piece {
    struct piece *next;
    union {
        char *buffer; /* buffer_cap bytes, charged with the piece by reply_take */
        struct chunk *chunk;
        struct parcel *parcel;
        struct frame_batch *batch;
    };
    const struct frame *frame; /* of the parcel */
    union {
        uint32_t buffer_cap;
        uint32_t parts; /* of the batch, from its first: fewer than it has when it was cut */
    };
    uint32_t bytes; /* to send in all */
    uint8_t kind;   /* enum piece_kind */
    bool beyond;    /* BYTES: as reply_take told */
};

/* NULL: no memory; counted. What it stands for is the caller's to fill in. */
struct piece *piece_get(struct worker *worker);
/* Lets go of what it stands for. */
void piece_free(struct worker *worker, struct piece *piece);
/* Its messages have their fate: those that end within the first `sent` bytes were sent, the others
 * were dropped. Takes it off the outbox's sums. */
void piece_settle(struct worker *worker, struct outbox *outbox, const struct piece *piece,
                  uint32_t sent, enum drop_reason reason);
/* So do copies of a class; reason NULL: they were sent. */
void copies_settled(struct worker *worker, unsigned class, uint32_t count, uint64_t accepted_ns,
                    const enum drop_reason *reason);

static inline uint32_t piece_messages(const struct piece *piece) {
    return piece->kind == PIECE_BATCH ? piece->parts : piece->kind == PIECE_PARCEL;
}

static inline bool piece_is_reply(const struct piece *piece) {
    return piece->kind == PIECE_BYTES || piece->kind == PIECE_CHUNK;
}

/* From then on it must not be sent as it is. */
static inline uint64_t piece_expires_ns(const struct piece *piece) {
    if (piece->kind == PIECE_PARCEL)
        return piece->parcel->message->expires_ns;
    return piece->kind == PIECE_BATCH ? piece->batch->expires_ns : UINT64_MAX;
}

/* How long ago that was. */
static inline uint64_t piece_age_ns(const struct worker *worker, uint64_t accepted_ns) {
    return worker->now_ns > accepted_ns ? worker->now_ns - accepted_ns : 0;
}

#endif
