/* pace.h - how long a worker takes for each of many like things, as it did lately.
 *
 * Only turns that left some of them over are measured, from their beginning to that of the next
 * one: in the others the worker did all that there was, and may have slept behind it. What is known
 * stays until something else is.
 *
 * Threads: its worker. */
#ifndef RINGPOST_CORE_PACE_H
#define RINGPOST_CORE_PACE_H

#include "core/base/clock.h"

#include <stdbool.h>

/* So much time is looked at together: a turn may have had no CPU. */
#define PACE_WINDOW_NS (20 * NS_PER_MS)

struct pace {
    uint64_t passed_ns, done; /* in the window that runs */
    uint64_t each_ns;         /* 0: nothing is known */
    uint64_t began_ns;        /* of the last turn: when it began, */
    uint32_t turn_done;       /* how many it did, */
    bool left;                /* and whether some were left over */
};

/* The turn that began at `now_ns` has done so many; were any left over? */
static inline void pace_turn(struct pace *pace, uint64_t now_ns, uint32_t done, bool left) {
    if (pace->left) {
        pace->passed_ns += now_ns - pace->began_ns;
        pace->done += pace->turn_done;
    } else {
        pace->passed_ns = pace->done = 0;
    }
    pace->began_ns = now_ns;
    pace->turn_done = done;
    pace->left = left;
    if (pace->passed_ns < PACE_WINDOW_NS || pace->done == 0)
        return;
    uint64_t each_ns = pace->passed_ns / pace->done;
    pace->each_ns = pace->each_ns == 0 ? each_ns : (3 * pace->each_ns + each_ns) / 4;
    pace->passed_ns = pace->done = 0;
}

/* How long so many will take. */
static inline uint64_t pace_ns(const struct pace *pace, uint64_t count) {
    return count * pace->each_ns;
}

#endif
