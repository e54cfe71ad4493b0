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
#include "core/attend.h"
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
#include "core/keeper.h"
#include "core/listener.h"
#include "core/mailbox.h"
#include "core/reading.h"
#include "core/ready.h"
#include "core/reply.h"
#include "core/ring.h"
#include "core/slots.h"
#include "core/tally.h"
#include "core/task.h"
#include "core/trail.h"
#include "core/wait.h"

struct builder;
struct server;

/* The turn, and what of it the next one must know. */
struct loop {
    uint64_t turn_ns;          /* when this turn began */
    uint64_t turn_cpu_ns;      /* CPU time of the thread then */
    struct list tasks;         /* requests that go on in the next turn (task.h) */
    bool crowded;              /* there was more to do than the last turn had time for */
    bool sends_left;           /* the last turn left sends over */
    bool pieces_left;          /* memory of pieces is still to be given back */
    bool mail_left;            /* the last turn left mail over */
    bool fanout_next;          /* fan-outs go before broadcasts in the next turn */
    bool shedding;             /* that it refuses a part was seen by the turn */
    uint64_t shedding_told_ns; /* when that was last logged */
    uint32_t phase_entered;    /* enum server_phase */
    uint64_t cpu_published_ns;
    _Atomic uint64_t cpu_ns; /* of its thread, published once in a while */
    /* The longest turn so far, in CPU time of the thread and by the clock. */
    _Atomic uint64_t turn_longest_cpu_ns, turn_longest_ns;
};

/* Each part is filled and used by the files that its header names. */
struct worker {
    union {
        struct endpoint; /* publishing, answering, memory, statistics: endpoint.h */
        struct endpoint endpoint;
    };
    struct ring *ring;
    struct loop loop;             /* worker.c */
    struct listeners listeners;   /* listener.h */
    struct slots slots;           /* slots.h */
    struct reading reading;       /* reading.h */
    struct sending sending;       /* outbox.h */
    struct replies replies;       /* reply.h */
    struct admission admission;   /* admission.h */
    struct directory directory;   /* directory.h */
    struct sessions sessions;     /* session.h */
    struct delivery delivery;     /* delivery.h */
    struct fanout fanout;         /* fanout.h */
    struct broadcasts broadcasts; /* broadcast.h */
    struct calls calls;           /* call.h */
    struct waits waits;           /* wait.h */
    struct keeper keeper;         /* keeper.h */
    struct attends attends;       /* attend.h */
    struct readies readies;       /* ready.h */
    struct trails trails;         /* trail.h */
    struct tally tally;           /* tally.h */
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
    if (until_ns > worker->loop.turn_ns + WORK_SLICES * worker->slice_ns)
        until_ns = worker->loop.turn_ns + WORK_SLICES * worker->slice_ns;
    worker->looked_ns = now_ns;
    worker->slice_until_ns = until_ns > least_ns ? until_ns : least_ns;
}
static inline void slice_begin(struct worker *worker) {
    slices_begin(worker, 1);
}
static inline void slice_begin_sends(struct worker *worker) {
    uint64_t now_ns = clock_ns();
    uint64_t least_ns = now_ns + worker->slice_ns;
    uint64_t until_ns = worker->loop.turn_ns + TURN_SLICES * worker->slice_ns;
    worker->looked_ns = now_ns;
    worker->slice_until_ns = until_ns > least_ns ? until_ns : least_ns;
}
static inline bool slice_over(struct worker *worker) {
    return endpoint_slice_over(&worker->endpoint);
}
/* How long the send of a lane that is due for the longest has been waiting for its start. */
static inline uint64_t worker_send_lag_ns(const struct worker *worker, enum send_lane lane) {
    if (list_empty(&worker->sending.dirty[lane]))
        return 0;
    const struct connection *first =
        container_of(worker->sending.dirty[lane].next, struct connection, flush_link);
    return (uint32_t)((uint32_t)(worker->now_ns / NS_PER_US) - first->dirty_us) * NS_PER_US;
}
/* Do so many sends of copies wait, or one for so long, that more would only wait behind them? */
static inline bool worker_copies_wait(const struct worker *worker) {
    return worker->sending.due[LANE_BULK] >= FANOUT_SENDS_MAX ||
           worker_send_lag_ns(worker, LANE_BULK) > FANOUT_LAG_NS;
}
/* The task's `work` is called in the next turn. */
static inline void worker_put_off(struct worker *worker, struct task *task) {
    list_add_tail(&worker->loop.tasks, &task->link);
}
/* The next free place for a gathered send, and: it is used. */
static inline struct flight *worker_flight_get(struct worker *worker) {
    CHECK(worker->sending.flights_used < SENDS_PER_SUBMIT, "more sends than a submit carries");
    return &worker->sending.flights[worker->sending.flights_used];
}
static inline void worker_flight_keep(struct worker *worker) {
    worker->sending.flights_used++;
}
/* An accepted connection from another worker (mail ADOPT). */
void worker_on_adopt(struct worker *worker, const struct mail *mail);

/* Is the session left out of what is delivered now (delivery_except)? */
static inline bool delivery_leaves_out(const struct worker *worker, const struct session *session) {
    return (session->id != NULL && session->id->excepted) ||
           (worker->delivery.excepts_rooms && delivery_rooms_leave_out(session));
}

#endif
