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
    PIECE_MARKED, /* one message, with bytes that are of this copy alone; it is shared */
    PIECE_BATCH   /* several */
};

struct piece {
    struct piece *next, *prev; /* in its outbox; NULL: it is the last, the first */
    union {
        char *buffer; /* buffer_cap bytes, charged with the piece by reply_take */
        struct chunk *chunk;
        struct parcel *parcel;
        struct frame_batch *batch;
    };
    struct session *session; /* whose backlog it counts in; NULL: nobody's */
    union {
        uint32_t buffer_cap;
        uint32_t parts; /* of the batch, from its first: fewer than it has when it was cut */
    };
    uint32_t bytes;   /* to send in all */
    uint8_t kind;     /* enum piece_kind */
    uint8_t encoding; /* index of the frame in the parcel */
    bool beyond : 1;  /* BYTES: as reply_take told */
    bool again : 1;   /* one message: as encoding.again writes it */
    bool side : 1;    /* of messages: tally.h */
    bool shared : 1;  /* of messages: it is a struct shared_piece */
};

/* What waits for a session that may share its outbox with others (session_type.waiting). */
struct shared_piece {
    struct piece piece;
    struct list own; /* in the session's list while it waits; not in flight, nor out in part */
    char mark[MARK_BYTES];
};

/* For a message or a batch of that session. NULL: no memory; counted. What it stands for is the
 * caller's to fill in, but for `kind` and `session`. */
struct piece *piece_get(struct worker *worker, enum piece_kind kind, struct session *session);
/* For one message of a batch; the memory ceiling does not stop it, since it was promised when the
 * batch was taken. NULL: the system has no memory. */
struct piece *piece_get_again(struct worker *worker, const struct piece *batch);
/* Lets go of what it stands for. */
void piece_free(struct worker *worker, struct piece *piece);
/* Its messages have their fate: those that end within the first `sent` bytes were sent, the others
 * were dropped. Takes it off the sums of the outbox and of its
 * session. */
void piece_settle(struct worker *worker, struct outbox *outbox, const struct piece *piece,
                  uint32_t sent, enum drop_reason reason);
/* So do copies of a class in it; reason NULL: they were sent. */
void copies_settled(struct worker *worker, const struct piece *piece, unsigned class,
                    uint32_t count, uint64_t accepted_ns, const enum drop_reason *reason);
/* Puts a piece for each message in the place of a batch that is not in flight. Of a first one,
 * sent_bytes are out: the messages that are out as a whole are settled, and one that is out in part
 * stays the first. Returns the first piece of those; NULL: no memory, and nothing has changed. */
struct piece *batch_split(struct worker *worker, struct outbox *outbox, struct piece *piece);
/* Without memory to take it apart, a first batch of which some is out: the message that is out in
 * part is finished, and those behind it are dropped. */
void batch_cut(struct worker *worker, struct outbox *outbox);
/* Puts it at the end of the queue, and of its session's list. */
void piece_link(struct outbox *outbox, struct piece *piece);
/* Takes one out of the queue, and of that list. Not the last one in flight. */
void piece_unlink(struct outbox *outbox, struct piece *piece);
/* And its messages are dropped. */
void piece_drop(struct worker *worker, struct outbox *outbox, struct piece *piece,
                enum drop_reason reason);

/* The runs of one message: its frame, around its payload or with it, and in the frame its mark.
 * Returns how many, at most PIECE_RUNS_MAX. */
#define PIECE_RUNS_MAX 5
unsigned piece_message_runs(struct piece *piece, struct iovec *runs);

static inline bool piece_is_single(const struct piece *piece) {
    return piece->kind == PIECE_PARCEL || piece->kind == PIECE_MARKED;
}

static inline uint32_t piece_messages(const struct piece *piece) {
    return piece->kind == PIECE_BATCH ? piece->parts : piece_is_single(piece);
}

static inline const struct frame *piece_frame(const struct piece *piece) {
    return parcel_find(piece->parcel, piece->encoding);
}

static inline struct shared_piece *piece_shared(struct piece *piece) {
    return container_of(piece, struct shared_piece, piece);
}

static inline char *piece_mark(struct piece *piece) {
    return piece_shared(piece)->mark;
}

/* It does not wait any more: it leaves its session's list. */
static inline void piece_unwait(struct piece *piece) {
    if (piece->shared)
        list_remove(&piece_shared(piece)->own);
}

/* So many of its messages and bytes do not count any more. */
static inline void backlog_less(const struct piece *piece, uint32_t messages, uint32_t bytes) {
    if (piece->session != NULL)
        backlog_take(&piece->session->backlog, messages, bytes);
}

static inline bool piece_is_reply(const struct piece *piece) {
    return piece->kind == PIECE_BYTES || piece->kind == PIECE_CHUNK;
}

/* From then on it must not be sent as it is. */
static inline uint64_t piece_expires_ns(const struct piece *piece) {
    if (piece_is_single(piece))
        return piece->parcel->message->expires_ns;
    return piece->kind == PIECE_BATCH ? piece->batch->expires_ns : UINT64_MAX;
}

/* How long ago that was. */
static inline uint64_t piece_age_ns(const struct worker *worker, uint64_t accepted_ns) {
    return worker->now_ns > accepted_ns ? worker->now_ns - accepted_ns : 0;
}

#endif
