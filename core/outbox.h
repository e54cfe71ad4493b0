/* outbox.h - what waits to be sent: over a connection, or for a session that has none.
 *
 * A queue of pieces (piece.h): references to parcels and to batches (frame_batch.h), each for one
 * session, and bytes of its own (answers, control lines), which are gathered into buffers so that
 * many small answers leave as one run; long answers come in blocks of their own (chain.h).
 *
 * Every connection has one. At most one send is in flight; what comes meanwhile waits and leaves
 * with the next one. Pieces that the send in flight covers stay at the front until its completion.
 * Several sessions may share a connection: their messages leave in the order in which they came,
 * and each session has its own limits.
 *
 * A session that has no connection at the moment (a poll to come) has an outbox of its own
 * (outbox_parked). Nothing is sent from there; outbox_move takes its messages to where they are.
 *
 * Messages are bounded for each session (backlog.h); the policy when that is full is --slow for the
 * default class, dropping for the volatile class at half the limit. Until the peer counts as slow
 * whoever delivers must wait (OUTBOX_WAIT). Replies always fit; a peer that does not read them is
 * not read any more (connection.h). Every drop is counted by reason.
 *
 * Threads: the worker's. Owns: pieces, one ref on each parcel and batch, buffers, blocks. */
#ifndef RINGPOST_CORE_OUTBOX_H
#define RINGPOST_CORE_OUTBOX_H

#include "core/base/list.h"
#include "core/base/span.h"
#include "core/limits.h"
#include "core/pace.h"
#include "core/pool.h"
#include "core/session.h"
#include "core/stats.h"

#include <sys/socket.h>
#include <sys/uio.h>

struct worker;
struct connection;
struct parcel;
struct encoding;
struct frame_batch;
struct chain;
struct chunk;
struct piece;

struct outbox {
    struct piece *first, *last;
    /* The last one that must stay: in flight, or sent in part; NULL: none. Those up to it are in no
     * session's list of what waits. */
    struct piece *committed;
    uint32_t bytes;       /* waiting and in flight */
    uint32_t reply_bytes; /* of those, of replies */
    uint32_t sent_bytes;  /* of the first piece, already with the kernel */
    bool parked;          /* it is no connection's */
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
    uint32_t due[LANES];      /* so many of them */
    uint32_t begun[LANES];    /* sends of this turn */
    struct pace pace;         /* of the direct lane's sends */
    struct flight *flights;   /* SENDS_PER_SUBMIT of them */
    unsigned flights_used;    /* since the last submit */
    struct pool pieces, shared_pieces;
    uint32_t seen_ms; /* when all completions that had come were handled, the last time */
    uint32_t away_ms; /* when the worker came back after it had no CPU for AWAY_NS */
};

enum outbox_verdict {
    OUTBOX_TAKEN,
    OUTBOX_DROPPED, /* by policy; counted */
    OUTBOX_STARVED, /* dropped for want of memory; counted */
    OUTBOX_FULL,    /* the session must be closed as too slow; the drop is counted */
    OUTBOX_WAIT     /* nothing has happened: it is full, but not slow; come again after its send */
};

/* Appends one message for the session; its frame in that encoding has been made (parcel_frame). The
 * connection is marked dirty; the bytes leave at the end of the turn. In an outbox of its own it
 * waits, and session_type.on_parked is called. */
enum outbox_verdict outbox_push(struct worker *worker, struct outbox *outbox,
                                struct session *session, struct parcel *parcel,
                                const struct encoding *encoding, enum send_lane lane);
/* Would outbox_push of so many bytes of the default class answer OUTBOX_WAIT? */
bool outbox_must_wait(struct worker *worker, struct outbox *outbox, struct session *session,
                      uint32_t bytes);
/* Appends all messages of a batch as one piece in the bulk lane, if each of them would be taken
 * without anything being dropped for it. False: nothing has happened; they are to be pushed one by
 * one. */
bool outbox_push_batch(struct worker *worker, struct outbox *outbox, struct session *session,
                       struct frame_batch *batch);
/* Moves what waits for the session from one outbox to the end of another, in its order, encoded for
 * the transport that the session has now. Expired ones are dropped on the way, and one for whose
 * frame there is no memory; counted. What is in flight stays. A message counts in the backlog only
 * while it is where session_type.outbox says: say that first. Returns the bytes that were moved; 0:
 * nothing was left. */
uint32_t outbox_move(struct worker *worker, struct session *session, struct outbox *from,
                     struct outbox *to);
/* The same for all that waits in an outbox of the sessions' own, in the order in which it came;
 * what is nobody's any more is dropped. */
void outbox_move_all(struct worker *worker, struct outbox *parked, struct outbox *to);
/* The first message that waits in an outbox of a session's own; NULL: none. Expired ones, and those
 * of sessions that have ended, are dropped. */
const struct message *outbox_parked_first(struct worker *worker, struct outbox *parked);
/* Takes that message: it is written into the chain, encoded for its session now, behind `between`;
 * from then on it counts as sent. Not if it takes more than `max_bytes` with that. */
enum outbox_take { OUTBOX_TAKE_DONE, OUTBOX_TAKE_LONG, OUTBOX_TAKE_STARVED };
enum outbox_take outbox_parked_take(struct worker *worker, struct outbox *parked,
                                    struct chain *chain, struct span between, size_t max_bytes);
/* The session ends, while its messages may go on to be sent: they count for nobody's limits any
 * more. So it is for outboxes that end, too, or the caller bounds what is left in them. */
void outbox_disown(struct worker *worker, struct outbox *outbox, struct session *session);
/* Drops what waits for the session in there, unless it is in flight or out in part, counted with
 * the reason. Like all that looks for what is one session's, it takes the time of what that has
 * waiting, whatever else is in there. */
void outbox_drop(struct worker *worker, struct outbox *outbox, struct session *session,
                 enum drop_reason reason);
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
/* The connection loses its place, whatever waits. */
void outbox_undirty(struct worker *worker, struct connection *connection);
bool outbox_any_dirty(const struct worker *worker);
/* Takes out the connection whose send is to be started next, number `i` of a turn: every other one
 * from the prompt lane, the rest from the other two in turns; a lane that is empty leaves its turns
 * to them. NULL: nothing is to be sent. */
struct connection *outbox_next_dirty(struct worker *worker, unsigned i);
/* The send in flight ended with `sent` bytes. */
void outbox_on_sent(struct worker *worker, struct connection *connection, uint32_t sent);
/* The send in flight ended with none: it failed. */
void outbox_on_unsent(struct connection *connection);
/* Drops everything that is not in flight, counted with the reason; everything when nothing is. */
void outbox_clear(struct worker *worker, struct outbox *outbox, enum drop_reason reason);
/* The next send of its connection is started before others; nothing, if it has none. */
void outbox_hurry(struct worker *worker, struct outbox *outbox);
void sending_init(struct sending *sending);
void sending_fini(struct sending *sending);
/* Gives a little of the memory of pieces back that nobody uses any more. True: there is more. */
bool sending_trim(struct sending *sending);
/* An outbox of a session's own. */
static inline struct outbox outbox_parked(void) {
    return (struct outbox){.parked = true};
}
static inline bool outbox_empty(const struct outbox *outbox) {
    return outbox->first == NULL;
}

/* What waits for the session, with the answers that its connection owes. */
static inline uint32_t session_queued_bytes(const struct session *session,
                                            const struct outbox *outbox) {
    return session->backlog.bytes + outbox->reply_bytes;
}

/* How old the first message is that waits in it or is in flight; 0: there is none. */
uint64_t outbox_age_ns(const struct worker *worker, const struct outbox *outbox);

#endif
