/* task.h - work of one request that goes on in later turns, a slice of each.
 *
 * Whoever has used up the slice (slice_over) puts the rest off with worker_put_off; the next turn
 * calls `work`, after those that have waited for longer. A worker with tasks does not sleep.
 *
 * Threads: the worker's. Owns: nothing; a task that waits must stay where it is. Limits: those of
 * the requests that they belong to. */
#ifndef RINGPOST_CORE_TASK_H
#define RINGPOST_CORE_TASK_H

#include "core/base/list.h"

struct worker;

struct task {
    struct list link; /* in worker->loop.tasks */
    /* It waits no more, and may be put off again. */
    void (*work)(struct worker *worker, struct task *task);
};

#endif
