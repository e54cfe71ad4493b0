/* sim_coverage.h - what was reached by all runs together, in memory that all processes share.
 *
 * Reasons, words and counters come from the engine's own lists, and every place where it may run
 * out of something from core/base/shortage.h; so whatever is new there is a point of this list, and
 * not reached until some scenario reaches it.
 *
 * Threads: one a process; the counters are shared between processes and only ever grow. */
#ifndef RINGPOST_TESTS_SIM_SIM_COVERAGE_H
#define RINGPOST_TESTS_SIM_SIM_COVERAGE_H

#include "core/stats.h"
#include "tests/sim/sim_world.h"

/* Before any process is forked. */
void coverage_open(void);
void coverage_op(enum kernel_op op);
/* An operation ended with a negated errno. */
void coverage_error(enum kernel_op op, int error);
/* Something of a ring was full, or not to be had. */
enum ring_shortage {
    RING_SUBMISSIONS_FULL,
    RING_COMPLETIONS_FULL, /* a multishot operation ended for that */
    RING_NO_TABLE,
    RING_TABLE_FULL,
    RING_NO_MEMORY, /* for a socket in the table */
    RING_SHORTAGES
};
void coverage_ring(enum ring_shortage shortage);
/* The sum of a node's statistics at its end. */
void coverage_stats(const struct stats *total);
/* Prints the list. Returns how many points were not reached and are not exempt. */
unsigned coverage_print(void);

#endif
