/* broadcast.h - messages on their way to all sessions of this worker: one walk for all of them,
 * round and round, a slice of each turn's time.
 *
 *   waiting (first in, first out) -> under way -> outboxes
 *
 * A broadcast joins the walk wherever that is, and is over when it has been round. A session that
 * is visited takes all that have joined since its last visit as one piece (frame_batch.h), so what
 * piles up leaves in few sends, and none waits for longer than a round takes.
 *
 * Every broadcast has a serial number, and every session knows the last one that it was visited
 * with (session->heard). So each session gets each broadcast once, in their order, whatever
 * sessions come, go or change their places meanwhile.
 *
 * Two things hold the walk back, both for moments: FANOUT_SENDS_MAX sends of copies that wait, or
 * one that waits for FANOUT_LAG_NS (more would only wait behind them), and a session that is over
 * its limit although it reads (OUTBOX_WAIT): its send goes first. Where the oldest has waited so
 * for longer than HELD_LATE_NS, more are refused before they are taken (mailbox.h,
 * broadcasts_held_late).
 *
 * A broadcast is for the sessions of its namespace, and those under way are of one.
 *
 * Every broadcast is answered once (hub_answer), with how many sessions took it.
 *
 * Threads: its worker. Owns: of each broadcast a parcel. Limits: FRAME_BATCH_PARTS_MAX messages and
 * FRAME_BATCH_BYTES_MAX bytes are under way together, or one that is larger or excepts somebody
 * alone; how many may wait: fanout_reserve, and requests_max of every worker (mailbox.h). */
#ifndef RINGPOST_CORE_BROADCAST_H
#define RINGPOST_CORE_BROADCAST_H

#include "core/frame_batch.h"
#include "core/pool.h"
#include "core/queue.h"
#include "core/session.h"

struct broadcast;

/* One that is under way. */
struct broadcast_round {
    struct broadcast *broadcast;
    uint32_t left;       /* sessions that have not been visited with it */
    uint32_t recipients; /* of those that have, they took it */
    unsigned flags;      /* of its answer */
};

/* What sessions of one encoding lack at this place of the walk. */
struct broadcast_batch {
    struct frame_batch *batch; /* NULL: only one session has asked, or it could not be made */
    uint32_t last;             /* serial number of its last message */
    uint32_t count;            /* messages; 0: nobody has asked */
    bool tried;
};

struct broadcasts {
    struct pool pool;
    struct list waiting;
    struct broadcast_round rounds[FRAME_BATCH_PARTS_MAX]; /* under way, the oldest first */
    uint32_t count;                                       /* of them */
    uint32_t bytes;                                       /* of their payloads */
    bool alone;                                           /* the one under way shares nothing */
    uint8_t namespace;                                    /* of those under way */
    bool held;                                            /* by a session that must send first */
    uint32_t newest;      /* serial number of the one that joined last; wraps */
    uint32_t ahead;       /* sessions [0, ahead) of the worker come before the walk's end */
    uint64_t begun_ns[2]; /* when the walk began at the end, the last time and the one before */
    struct broadcast_batch batches[ENCODINGS_MAX];
};

void broadcasts_init(struct broadcasts *broadcasts);
/* All must be over. */
void broadcasts_fini(struct broadcasts *broadcasts);
static inline bool broadcasts_busy(const struct broadcasts *broadcasts) {
    return broadcasts->count != 0 || !list_empty(&broadcasts->waiting);
}
/* Does it only wait for a send that is in flight? */
static inline bool broadcasts_idle(const struct broadcasts *broadcasts) {
    return broadcasts->held || !broadcasts_busy(broadcasts);
}
/* Queues the message; takes over one ref of the parcel. `request` is answered when all sessions
 * were visited. False: no memory, nothing has happened. */
bool broadcast_push(struct worker *worker, struct parcel *parcel, const struct mail *request);
/* Delivers for as long as the slice lasts. */
void broadcasts_work(struct worker *worker);
/* How long the first message has been waiting although a whole round has passed since it was
 * accepted; 0: none has. That a round takes long is no sign of too much work. */
uint64_t broadcasts_late_ns(const struct broadcasts *broadcasts, uint64_t now_ns);

/* Tells those who publish whether broadcasts wait for a session for longer than HELD_LATE_NS. */
void broadcasts_held_tell(struct worker *worker);

/* A session enters the worker's sessions: it gets what joins from now on. */
static inline void broadcasts_enter(const struct broadcasts *broadcasts, struct session *session) {
    session->heard = broadcasts->newest;
}
/* A session leaves: nothing under way waits for it. */
void broadcasts_leave(struct broadcasts *broadcasts, const struct session *session);

#endif
