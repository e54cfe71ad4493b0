/* sim_scenarios.h - what a seed means, and what follows from it for single connections.
 *
 * Threads: one. */
#ifndef RINGPOST_TESTS_SIM_SIM_SCENARIOS_H
#define RINGPOST_TESTS_SIM_SIM_SCENARIOS_H

#include "tests/sim/sim_world.h"

/* The settings of the node in this scenario. */
void scenario_config(struct config *config);
void scenario_describe(const struct scenario *scenario, char *text, size_t cap);
/* Is that worker the one that a connection from there belongs to? Fails if not. */
void check_steering(const struct link *link, unsigned worker);

#endif
