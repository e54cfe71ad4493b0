/* sim_wait.h - waits (core/wait.h) of a toy owner on every worker of some runs: they begin and are
 * acknowledged at any step of load and drain, both kinds, and most concern some connection.
 *
 * They have a stream of randomness of their own, so that they change nothing in other runs.
 *
 * Threads: one. Owns: the waits of the run. */
#ifndef RINGPOST_TESTS_SIM_SIM_WAIT_H
#define RINGPOST_TESTS_SIM_SIM_WAIT_H

#include "core/server.h"

void sim_waits_open(void);
/* Does this run have any? They concern connections, which then may stay until a drain's time is
 * over. */
bool sim_waits_are_on(void);
/* A turn of the worker begins: something may happen to its waits. */
void sim_waits_turn(struct worker *worker);
/* What must hold of them after it. */
void sim_waits_check(const struct worker *worker);
/* The node has stopped: none may be left, and each that began has ended once. */
void sim_waits_close(const struct server *server);

#endif
