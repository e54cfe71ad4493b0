/* fanout.h - messages on their way to many sessions of this worker, a slice of each turn's time.
 *
 *   waiting jobs (first in, first out) -> the run under way -> outboxes
 *
 * A message that goes to more than a few sessions becomes a job (one for all sessions has a walk of
 * its own: broadcast.h). The first job, and others that
 * wait for the same address, make a run: each session takes all messages of a run as one piece
 * (sheaf.h), so that what piles up leaves in few sends. A run is walked as long as the slice lasts
 * and goes on in the next turn; sessions and names may come and go meanwhile.
 *
 * Two things hold a run back, both for moments: copies whose sends are due for longer than
 * FANOUT_LAG_NS (more would only take memory), and a session that is over its limit although it
 * reads (OUTBOX_WAIT): its send goes first.
 *
 * Order. Jobs of one address keep their order. Whoever delivers past the queue asks fanout_has
 * first. Different addresses owe each other no order, so a run may pass jobs for other addresses,
 * but never one that has several.
 *
 * How much may wait is agreed before a message is mailed (fanout_reserve): FANOUT_COPIES_MAX for
 * each worker, or FANOUT_BROADCASTS times its sessions, by the number of sessions that its
 * addresses have. What does not fit is refused as a whole.
 *
 * Every job is answered once (hub_answer), with how many sessions took it.
 *
 * Threads: its worker; fanout_reserve: any. Owns: of each job a parcel. Limits: FANOUT_COPIES_MAX,
 * and requests_max of every worker (mailbox.h). */
#ifndef RINGPOST_CORE_FANOUT_H
#define RINGPOST_CORE_FANOUT_H

#include "core/memory.h"
#include "core/queue.h"
#include "core/session.h"
#include "core/sheaf.h"

struct fanout_job;
struct post;

#define FANOUT_BUCKETS 1024

struct fanout {
    struct pool jobs;
    struct list waiting;
    uint32_t count;                   /* waiting, and in the run */
    uint32_t by_hash[FANOUT_BUCKETS]; /* of those, addresses whose name has that hash */

    /* The run under way; `run` 0: there is none. */
    uint32_t run;
    struct fanout_job *job[SHEAF_PARTS_MAX];
    struct sheaf *sheaves[ENCODINGS_MAX]; /* made when the first session needs one */
    bool tried[ENCODINGS_MAX];
    uint32_t recipients[SHEAF_PARTS_MAX]; /* beyond those that took all of them */
    uint32_t took_all;
    unsigned flags;       /* of the answers */
    uint64_t begun_ns[2]; /* when the last run and the one before it began */
    uint64_t visit;       /* stamps the sessions that were visited */
    uint32_t address;     /* the address that is walked through, or is next */
    struct name *name;    /* of that address, pinned; NULL: none is walked through */
    struct list *next;    /* the session to be visited next, in its list */
    uint32_t part;        /* messages of the run that the next session has had already */
    bool held;            /* by a session that must send first, in this turn */
};

void fanout_init(struct fanout *fanout);
/* Everything must have been delivered. */
void fanout_fini(struct fanout *fanout);
static inline bool fanout_busy(const struct fanout *fanout) {
    return fanout->count != 0;
}
/* Does a message wait that has an address of that hash? Then others for it must wait, too. */
static inline bool fanout_has(const struct fanout *fanout, uint64_t hash) {
    return fanout->by_hash[hash % FANOUT_BUCKETS] != 0;
}
/* Queues the message; takes over one ref of the parcel. `request` is answered when all sessions
 * were visited. False: no memory, nothing has happened. */
bool fanout_push(struct worker *worker, struct parcel *parcel, const struct mail *request);
/* Delivers for as long as the slice lasts. */
void fanout_work(struct worker *worker);
/* How long the first message has been waiting although two runs have begun since it was accepted;
 * 0: none has. That a single run takes long is no sign of too much work. */
uint64_t fanout_late_ns(const struct fanout *fanout, uint64_t now_ns);

/* A session is about to leave the list of a name: `link` is its place in there. */
void fanout_pass(struct worker *worker, const struct list *link);
/* May `copies` more wait for the worker, which has so many sessions? True: they are reserved, and
 * given back by fanout_release when they were made or will not be. A single message may always
 * wait. */
bool fanout_reserve(struct post *post, unsigned worker, uint32_t copies, uint32_t sessions);
void fanout_release(struct post *post, unsigned worker, uint32_t copies);

#endif
