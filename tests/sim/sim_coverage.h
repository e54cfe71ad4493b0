/* sim_coverage.h - what was reached by all runs together, in memory that all processes share.
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
/* The sum of a node's statistics at its end. */
void coverage_stats(const struct stats *total);
/* Prints the list. Returns how many points were not reached and are not exempt. */
unsigned coverage_print(void);

#endif
