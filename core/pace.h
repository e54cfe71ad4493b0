/* pace.h - how long a worker takes for each of many like things, as it did lately.
 *
 * Only turns that left some of them over are measured: in the others it did all that there was, and
 * how fast it could have been is not known. What is known stays until something else is.
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
};

/* In the turn, which took so long, so many were done; were any left over? */
static inline void pace_turn(struct pace *pace, uint64_t passed_ns, uint64_t done, bool left) {
    if (!left) {
        pace->passed_ns = pace->done = 0;
        return;
    }
    pace->passed_ns += passed_ns;
    pace->done += done;
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
