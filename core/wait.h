/* wait.h - somebody waits for something that is not a publish under way: an acknowledgement that a
 * producer wants to see, a poll that waits for a message.
 *
 *   wait_begin --> wait_end      by the owner: it has come, or is not wanted any more
 *              --> on_deadline   its time is over, or the drain's
 *
 * A wait is no publish: it is not counted in `requests` or `publishing`, so the drain's REFUSING
 * does not last until it has ended. What a drain does with a wait is its owner's word: on_drain is
 * called once for each that is there, or begins later, and may end it. GOODBYE lasts
 * until those that stay have ended, at most until --drain-timeout; then CLOSING ends what is left
 * by on_deadline, and its answers leave as all last answers do.
 *
 * A wait may concern sessions, which are to be there until it has ended: while a struct
 * wait_concern names their connection, or their client id is waited for (protocol.is_waited),
 * GOODBYE passes it over; it gets its goodbye afterwards. A
 * connection that ends by itself ends, and one that moves to another worker is not followed; the
 * concern then names nobody.
 *
 * Threads: the worker's own; a concern may be of another worker than its wait. Owns: nothing, both
 * are embedded in what the owner has. Limits: WAITS_MAX, WAIT_CONCERNS_MAX a worker; beyond them a
 * wait does not begin, and a concern keeps nobody (both counted in waits_refused). */
#ifndef RINGPOST_CORE_WAIT_H
#define RINGPOST_CORE_WAIT_H

#include "core/connection.h"
#include "core/timer.h"

struct wait;
struct worker;

struct wait_type {
    /* The node shuts down. The owner ends it here, or it stays until it has ended. */
    void (*on_drain)(struct worker *worker, struct wait *wait);
    /* It has ended: its time is over, or the drain's. It may be gone when this returns. */
    void (*on_deadline)(struct worker *worker, struct wait *wait);
};

struct wait {
    struct list link; /* in waits->untold or told */
    struct timer timer;
    const struct wait_type *type;
};

struct wait_concern {
    struct list link;
    struct connection_handle connection;
};

struct waits {
    struct list untold; /* on_drain was not called */
    struct list told;   /* it was, and they stay */
    uint32_t count;     /* in both */
    uint32_t max;       /* WAITS_MAX; tests take others */
    uint32_t concern_count, concern_max;
    bool goodbye_again; /* GOODBYE has to look again at those that it passed over */
    bool passed_over;   /* it passed some over for waits of any worker (protocol.is_waited) */
    uint32_t ended;     /* fates_waits_ended before that */
    struct list concerned[WAIT_BUCKETS]; /* by slot */
};

void waits_init(struct waits *waits);
/* It waits until `due_ns`. False: too many do (counted), or the drain's time is over; then nothing
 * is called. */
bool wait_begin(struct worker *worker, struct wait *wait, const struct wait_type *type,
                uint64_t due_ns);
/* It must have begun, and not ended. Nothing is called. */
void wait_end(struct worker *worker, struct wait *wait);

/* A wait concerns the session on that connection, of this worker. False: it is told goodbye as if
 * it did not (counted). */
bool wait_concern_begin(struct worker *worker, struct wait_concern *concern,
                        const struct connection *connection);
/* After the wait has ended; also where the connection has. It must have begun. */
void wait_concern_end(struct worker *worker, struct wait_concern *concern);
bool wait_concerns(struct worker *worker, const struct connection *connection);

/* For the turn: is there something to do, and: does it, for as long as the slice lasts. */
bool waits_busy(const struct worker *worker);
void waits_work(struct worker *worker);

#endif
