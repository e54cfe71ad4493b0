/* worker.h - one pinned thread: its ring, its connections, its directory, its loop.
 *
 * A turn: submit and gather; handle completions; take mail; read who floods; fire timers; look
 * again at kept input; fan out; go on with calls and tasks; wake others; start the sends; sleep
 * only if nothing is left to do. Each of these has its slice of time (limits.h), so a turn is short
 * whatever there is to do. Nothing here is shared but what mailbox.h, message.h, memory.h and
 * stats.h say, and the node's tables (holders.h, addresses.h).
 *
 * Threads: its own, but for `stats` and the atomics. Owns: everything in it. */
#ifndef RINGPOST_CORE_WORKER_H
#define RINGPOST_CORE_WORKER_H

#include "core/admission.h"
#include "core/balance.h"
#include "core/base/check.h"
#include "core/broadcast.h"
#include "core/call.h"
#include "core/config.h"
#include "core/connection.h"
#include "core/delivery.h"
#include "core/directory.h"
#include "core/endpoint.h"
#include "core/fanout.h"
#include "core/hub.h"
#include "core/mailbox.h"
#include "core/queue_age.h"
#include "core/reply.h"
#include "core/ring.h"
#include "core/slots.h"
#include "core/task.h"

struct builder;
struct server;

struct listener {
    enum listener_kind kind;
    int fd; /* -1: closed */
    bool armed;
    bool closing;       /* accepts no more */
    uint32_t index;     /* in config.listeners */
    struct timer retry; /* accept failed for want of descriptors */
    const struct protocol *protocol;
};

#define CONNECTION_BLOCK 256
#define CONNECTION_BLOCKS_MAX 8192

/* What a gathered send points to; must stay until the submit. */
struct flight {
    struct msghdr header;
    struct iovec runs[SEND_RUNS_MAX];
};

/* Whether what a worker delivers is late. */
struct lateness {
    uint64_t since_ns; /* 0: it is in time */
    uint64_t seen_ns;  /* when it was late last */
    bool lasts;        /* it is no burst */
};

struct worker {
    union {
        struct endpoint;
        struct endpoint endpoint;
    };
    struct ring *ring;
    uint64_t turn_ns; /* when this turn began */
    uint32_t away_ms; /* when it came back after it had no CPU for AWAY_NS (outbox.c) */
    struct directory directory;

    struct listener listeners[LISTENERS_MAX];
    unsigned listener_count;

    struct admission admission;
    bool behind;             /* that it refuses a part was seen by the turn */
    uint64_t behind_told_ns; /* when it was last logged that the worker is behind */
    struct balance balance;

    struct connection **blocks; /* slots, CONNECTION_BLOCK each */
    uint32_t block_count;
    uint32_t free_slot;       /* 0: none; linked through next_free */
    uint32_t live;            /* slots in use */
    uint32_t live_api;        /* of them, of the api listeners */
    uint32_t refusing;        /* refused descriptors that are being closed */
    struct sweep sweep;       /* through the slots, when a phase asks something of each */
    struct list dirty[LANES]; /* connections with something to send */
    struct list resumed;      /* connections whose kept input is to be looked at */
    struct list starved;      /* connections whose receive ended for want of a buffer */
    struct list floods;       /* connections that are to be read by one buffer (connection->once) */
    int64_t flood_credit_ns;  /* time that taking in from them may use though deliveries wait */
    struct session **sessions; /* all open ones, dense */
    uint32_t session_count, session_cap;
    struct fanout fanout;
    struct broadcasts broadcasts;
    struct calls calls;
    struct list tasks;                  /* requests that go on in the next turn (task.h) */
    uint64_t late_ns, late_patience_ns; /* LATE_NS, LATE_PATIENCE_NS; tests take others */
    uint64_t held_late_ns;              /* HELD_LATE_NS; as these */
    struct lateness late, prompt_late, fanout_late;
    uint64_t mail_age_ns; /* of the oldest message that came by mail in this turn */

    struct flight *flights; /* SENDS_PER_SUBMIT of them */
    unsigned flights_used;  /* since the last submit */

    struct pool pieces, parcels;
    struct replies replies;
    struct queue_age queue_age;

    bool crowded;           /* there was more to do than the last turn had time for */
    bool sends_left;        /* the last turn left sends behind */
    bool mail_left;         /* the last turn left mail behind */
    uint32_t phase_entered; /* enum server_phase */
    uint64_t cpu_published_ns;

    _Atomic uint64_t cpu_ns; /* of its thread, published once in a while */
    /* The longest turn so far, in CPU time of the thread and by the clock. */
    _Atomic uint64_t turn_longest_cpu_ns, turn_longest_ns;
    uint64_t turn_cpu_ns; /* CPU time of the thread when the turn began */
};

/* Opens the ring, prepares tables, starts accepting. On the worker's own thread. False: `problem`.
 */
bool worker_open(struct worker *worker, struct server *server, unsigned index, char *problem,
                 size_t problem_cap);
/* One turn; waits for at most `wait_ns` when there is nothing to do (0: never). False: the phase is
 * STOPPED and everything is closed. */
bool worker_turn(struct worker *worker, uint64_t wait_ns);
/* Closes the ring, on the worker's own thread; every connection must have ended. */
void worker_close(struct worker *worker);
/* Frees what is left, after endpoints_collect; everything must have come home. */
void worker_fini(struct worker *worker);
/* The time of a kind of work begins (limits.h); is it over? Whoever works through a list of unknown
 * length asks after each item, so that every turn gets on, and leaves the rest to the next turn. */
static inline void slices_begin(struct worker *worker, unsigned slices) {
    uint64_t now_ns = clock_ns();
    uint64_t least_ns = now_ns + worker->slice_ns / SLICE_LEAST_PART;
    uint64_t until_ns = now_ns + slices * worker->slice_ns;
    if (until_ns > worker->turn_ns + WORK_SLICES * worker->slice_ns)
        until_ns = worker->turn_ns + WORK_SLICES * worker->slice_ns;
    worker->looked_ns = now_ns;
    worker->slice_until_ns = until_ns > least_ns ? until_ns : least_ns;
}
static inline void slice_begin(struct worker *worker) {
    slices_begin(worker, 1);
}
static inline void slice_begin_sends(struct worker *worker) {
    uint64_t now_ns = clock_ns();
    uint64_t least_ns = now_ns + worker->slice_ns;
    uint64_t until_ns = worker->turn_ns + TURN_SLICES * worker->slice_ns;
    worker->looked_ns = now_ns;
    worker->slice_until_ns = until_ns > least_ns ? until_ns : least_ns;
}
static inline bool slice_over(struct worker *worker) {
    return endpoint_slice_over(&worker->endpoint);
}
/* How long the send of a lane that is due for the longest has been waiting for its start. */
static inline uint64_t worker_send_lag_ns(const struct worker *worker, enum send_lane lane) {
    if (list_empty(&worker->dirty[lane]))
        return 0;
    const struct connection *first =
        container_of(worker->dirty[lane].next, struct connection, flush_link);
    return (uint32_t)((uint32_t)(worker->now_ns / NS_PER_US) - first->dirty_us) * NS_PER_US;
}
/* Are copies of fan-outs and broadcasts due for so long that more would only wait behind them? */
static inline bool worker_copies_lag(const struct worker *worker) {
    return worker_send_lag_ns(worker, LANE_BULK) > FANOUT_LAG_NS;
}
/* The task's `work` is called in the next turn. */
static inline void worker_put_off(struct worker *worker, struct task *task) {
    list_add_tail(&worker->tasks, &task->link);
}
/* The next free place for a gathered send, and: it is used. */
static inline struct flight *worker_flight_get(struct worker *worker) {
    CHECK(worker->flights_used < SENDS_PER_SUBMIT, "more sends than a submit carries");
    return &worker->flights[worker->flights_used];
}
static inline void worker_flight_keep(struct worker *worker) {
    worker->flights_used++;
}
/* An accepted connection from another worker (mail ADOPT). */
void worker_on_adopt(struct worker *worker, const struct mail *mail);

#endif
