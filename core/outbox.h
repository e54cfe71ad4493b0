/* outbox.h - what a connection still owes its peer.
 *
 * A queue of pieces: references to parcels and to batches (frame_batch.h), and bytes of its own
 * (answers, control lines), which are gathered into buffers so that many small answers leave as one
 * run; long answers come in blocks of their own (chain.h). At most one send is in flight; what
 * comes meanwhile waits and leaves with the next one. Pieces that the send in flight covers stay at
 * the front until its completion.
 *
 * Bounded by bytes (--outbox-bytes for messages) and by entries (OUTBOX_PIECES_MAX); the policy
 * when full is --slow for the default class, dropping for the volatile class at half the limit. A
 * peer that takes what it is given is not slow: where more than half the limit waits, or a message
 * does not fit, and a send waits for the socket, the peer has SLOW_NS to take what waits, or half
 * the limit if that is less. Until then whoever delivers must wait (OUTBOX_WAIT).
 * Replies always fit; a peer that does not read them is not read any more (connection.h). Every
 * drop is counted by reason.
 *
 * Threads: the connection's worker. Owns: pieces, one ref on each parcel and batch, buffers,
 * blocks. */
#ifndef RINGPOST_CORE_OUTBOX_H
#define RINGPOST_CORE_OUTBOX_H

#include "core/base/list.h"
#include "core/base/span.h"
#include "core/limits.h"
#include "core/memory.h"
#include "core/stats.h"

#include <sys/socket.h>
#include <sys/uio.h>

struct worker;
struct connection;
struct parcel;
struct frame;
struct frame_batch;
struct chunk;
struct piece;

#define OUTBOX_PIECES_MAX 16384

struct outbox {
    struct piece *first, *last;
    struct piece
        *committed; /* the last one that must stay: in flight, or sent in part; NULL: none */
    uint32_t bytes; /* waiting and in flight */
    uint32_t message_bytes; /* of those, of messages */
    uint32_t pieces;        /* messages only */
    uint32_t sent_bytes;    /* of the first piece, already with the kernel */
    uint32_t watch_ms;      /* since when it is looked whether the peer is slow; 0: it is not */
    uint32_t watch_bytes;   /* that it must take until it is slow */
};

/* Why a connection has something to send. A worker starts the sends of the lanes in turns, so none
 * holds up another:
 *
 *   LANE_BULK    copies of a fan-out to many
 *   LANE_DIRECT  messages to one id or a small group; answers to producers, which are no sooner
 *                than deliveries, or more would be taken than is delivered
 *   LANE_PROMPT  such messages of producers that ask for little (admission.h); control lines for
 *                clients that do
 *
 * A connection's output keeps its order: it has the best lane of all that waits in its outbox. */
enum send_lane { LANE_BULK, LANE_DIRECT, LANE_PROMPT, LANES };

/* What a gathered send points to; must stay until the submit. */
struct flight {
    struct msghdr header;
    struct iovec runs[SEND_RUNS_MAX];
};

/* What a worker has to send. */
struct sending {
    struct list dirty[LANES]; /* connections with something to send */
    struct flight *flights;   /* SENDS_PER_SUBMIT of them */
    unsigned flights_used;    /* since the last submit */
    struct pool pieces;
    uint32_t away_ms; /* when the worker came back after it had no CPU for AWAY_NS */
};

enum outbox_verdict {
    OUTBOX_TAKEN,
    OUTBOX_DROPPED, /* by policy; counted */
    OUTBOX_STARVED, /* dropped for want of memory; counted */
    OUTBOX_FULL,    /* the connection must be closed as too slow; the drop is counted */
    OUTBOX_WAIT     /* nothing has happened: it is full, but not slow; come again after its send */
};

/* Appends one message. The connection is marked dirty; the bytes leave at the end of the turn. */
enum outbox_verdict outbox_push(struct worker *worker, struct connection *connection,
                                struct parcel *parcel, const struct frame *frame,
                                enum send_lane lane);
/* Would outbox_push of so many bytes of the default class answer OUTBOX_WAIT? */
bool outbox_must_wait(struct worker *worker, struct connection *connection, uint32_t bytes);
/* Appends all messages of a batch as one piece in the bulk lane, if each of them would be taken
 * without anything being dropped for it. False: nothing has happened; they are to be pushed one by
 * one. */
bool outbox_push_batch(struct worker *worker, struct connection *connection,
                       struct frame_batch *batch);
/* Appends bytes, copied: an answer or a control line, in the lane of such. False: no memory (the
 * connection should be closed). */
bool outbox_write(struct worker *worker, struct connection *connection, struct span bytes);
/* Appends a chain of blocks, which it takes over. False: no memory for all of them (the connection
 * should be closed). */
bool outbox_write_chunks(struct worker *worker, struct connection *connection, struct chunk *first);
/* Starts a send of what waits, unless one is in flight. Expired messages are dropped here. */
void outbox_flush(struct worker *worker, struct connection *connection);
/* Something waits to be sent: the connection gets its place in worker->sending.dirty[lane], or
 * keeps a better one. */
void outbox_dirty(struct worker *worker, struct connection *connection, enum send_lane lane);
bool outbox_any_dirty(const struct worker *worker);
/* Takes out the connection whose send is to be started next, number `i` of a turn: every other one
 * from the prompt lane, the rest from the other two in turns; a lane that is empty leaves its turns
 * to them. NULL: nothing is to be sent. */
struct connection *outbox_next_dirty(struct worker *worker, unsigned i);
/* The send in flight ended with `sent` bytes. */
void outbox_on_sent(struct worker *worker, struct connection *connection, uint32_t sent);
/* Drops everything that is not in flight, counted with the reason; everything when nothing is. */
void outbox_clear(struct worker *worker, struct connection *connection, enum drop_reason reason);
/* For the pool. */
size_t outbox_piece_bytes(void);
static inline bool outbox_empty(const struct outbox *outbox) {
    return outbox->first == NULL;
}

/* How old the first message is that waits in it or is in flight; 0: there is none. */
uint64_t outbox_age_ns(const struct worker *worker, const struct outbox *outbox);

#endif
