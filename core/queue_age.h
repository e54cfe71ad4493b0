/* queue_age.h - how old the oldest message is that waits in an outbox of this worker: the gauge
 * queue_age_ns.
 *
 * While something waits, all sessions are looked at ten times a second, QUEUE_AGE_SESSIONS in a
 * turn; with more sessions than fit, a round takes longer. What is idle costs nothing.
 *
 * Threads: the worker. Owns: a timer, a place in the worker's list of sessions. */
#ifndef RINGPOST_CORE_QUEUE_AGE_H
#define RINGPOST_CORE_QUEUE_AGE_H

#include "core/timer.h"

#define QUEUE_AGE_SESSIONS 512

struct worker;

struct queue_age {
    struct timer timer;
    uint32_t next;      /* session to be looked at */
    uint64_t oldest_ns; /* in this round */
};

void queue_age_init(struct queue_age *age);
/* At the end of a turn: begins a round if something waits. */
void queue_age_look(struct worker *worker);

#endif
