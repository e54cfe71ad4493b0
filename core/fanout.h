/* fanout.h - messages on their way to many sessions of this worker, a slice of each turn's time.
 *
 *   jobs, queued by address -> ready -> runs under way -> outboxes
 *
 * A message that goes to more than a few sessions becomes a job (one for all sessions has a walk of
 * its own: broadcast.h), and so does one for few of which one must wait. The first job that is
 * ready, and others that wait for the same address, make a run: each session takes all messages of
 * a run as one piece (frame_batch.h), so that what piles up leaves in few sends. A run is walked as
 * long as the slice lasts and goes on in the next turn; sessions and names may come and go
 * meanwhile.
 *
 * Two things hold a run back, both for moments: FANOUT_SENDS_MAX sends of copies that wait, or
 * one that waits for FANOUT_LAG_NS (more would only wait behind them), and a session that is over
 * its limit although it reads (OUTBOX_WAIT): its send goes first. Such a run is held; others go on,
 * so whoever pushes to a client faster than that reads makes nobody wait but those who push to the
 * same address. Where they wait for longer than HELD_LATE_NS, more for that address is refused
 * before it is taken (mailbox.h, held_late).
 *
 * Order. Each address that something waits for has a queue. A job is ready when it is the first in
 * the queues of all its addresses, and leaves them when its run has ended, so jobs of one address
 * keep their order. Whoever delivers past the queues asks fanout_has first.
 * Different addresses owe each other no order.
 *
 * A session that a message addresses in several ways gets it once: it is stamped with the run. So
 * one job with several addresses is under way at a time.
 *
 * How much may wait is agreed before a message is mailed (fanout_reserve): FANOUT_COPIES_MAX for
 * each worker, or FANOUT_BROADCASTS times its sessions, by the number of sessions that its
 * addresses have. What does not fit is refused as a whole.
 *
 * Every job is answered once (hub_answer), with how many sessions took it.
 *
 * Threads: its worker; fanout_reserve: any. Owns: of each job a parcel. Limits: FANOUT_COPIES_MAX,
 * requests_max of every worker (mailbox.h), FANOUT_RUNS_MAX runs under way. */
#ifndef RINGPOST_CORE_FANOUT_H
#define RINGPOST_CORE_FANOUT_H

#include "core/frame_batch.h"
#include "core/pool.h"
#include "core/queue.h"
#include "core/session.h"

struct fanout_job;
struct post;

/* Runs under way: held ones, and the one that goes on. */
#define FANOUT_RUNS_MAX 512
/* Where more than a few are, a held one is looked at only after so long again. */
#define FANOUT_RUNS_FEW 64
#define FANOUT_HELD_AGAIN_NS (1 * NS_PER_MS)
/* A worker with held runs looks at them so often; a send that ends wakes it sooner. */
#define FANOUT_HELD_LOOK_NS (5 * NS_PER_MS)

struct fanout_run {
    struct list link; /* in fanout->runs */
    uint32_t count;   /* of its jobs */
    struct fanout_job *job[FRAME_BATCH_PARTS_MAX];
    struct frame_batch *batches[ENCODINGS_MAX]; /* made when the first session needs one */
    bool tried[ENCODINGS_MAX];
    uint32_t recipients[FRAME_BATCH_PARTS_MAX]; /* beyond those that took all of them */
    uint32_t took_all;
    unsigned flags;    /* of the answers */
    uint64_t visit;    /* stamps the sessions that were visited, where it has several addresses */
    uint32_t address;  /* the address that is walked through, or is next */
    struct name *name; /* of that address, pinned; NULL: none is walked through */
    struct list *next; /* the session to be visited next, in its list; NULL: all were */
    struct list *last; /* and the last one: who comes behind it came after the walk began, perhaps
                          again */
    uint32_t part;     /* messages of the run that the next session has had already */
    bool wide;         /* it has several addresses */
    bool held;         /* by a session that must send first */
    uint64_t held_ns;  /* when it was looked at last */
};

struct fanout {
    struct pool jobs, queues, run_pool;
    struct list buckets[FANOUT_BUCKETS]; /* of the queues of addresses, by hash */
    struct list ready, ready_wide;       /* jobs whose run may begin; with several addresses */
    struct list runs;                    /* under way */
    uint32_t run_count;                  /* of them */
    uint32_t count;                      /* jobs, ready or not or in a run */
    uint64_t visits;                     /* the last stamp */
    uint64_t begun_ns[2];                /* when the last run and the one before it began */
    bool wide_under_way;
    bool idle; /* all that is left waits for sends of sessions */
};

void fanout_init(struct fanout *fanout);
/* Everything must have been delivered. */
void fanout_fini(struct fanout *fanout);
static inline bool fanout_busy(const struct fanout *fanout) {
    return fanout->count != 0;
}
/* Does it only wait for sends that are in flight? */
static inline bool fanout_idle(const struct fanout *fanout) {
    return fanout->idle || !fanout_busy(fanout);
}
/* Does a message wait that has an address of that hash? Then others for it must wait, too. */
bool fanout_has(const struct fanout *fanout, uint64_t hash);
/* Queues the message; takes over one ref of the parcel. `request` is answered when all sessions
 * were visited. False: no memory, nothing has happened. */
bool fanout_push(struct worker *worker, struct parcel *parcel, const struct mail *request);
/* Delivers for as long as the slice lasts. */
void fanout_work(struct worker *worker);
/* How long the first message that is ready has been waiting although two runs have begun since it
 * was accepted; 0: none has. That a single run takes long is no sign of too much work. */
uint64_t fanout_late_ns(const struct fanout *fanout, uint64_t now_ns);
/* Tells those who publish which addresses wait for a session for longer than HELD_LATE_NS. */
void fanout_held_tell(struct worker *worker);

/* A session is about to leave the list of a name: `link` is its place in there. */
void fanout_pass(struct worker *worker, const struct list *link);
/* May `copies` more wait for the worker, which has so many sessions? True: they are reserved, and
 * given back by fanout_release when they were made or will not be. A single message may always
 * wait. `light`: of a producer that asks for little beside others, which has
 * FANOUT_COPIES_LIGHT_PART more. */
bool fanout_reserve(struct post *post, unsigned worker, uint32_t copies, uint32_t sessions,
                    bool light);
void fanout_release(struct post *post, unsigned worker, uint32_t copies);

#endif
