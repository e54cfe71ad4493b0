/* sim_polls.h - clients that speak Engine.IO 4 to the toy app (tests/toys/toy_engine.h), or 4 and 3
 * to Socket.IO (sim_sio.h): polls over several connections each, which land on any worker,
 * WebSockets, and upgrades between them, in all the ways in which that goes wrong.
 *
 * Each checks that what it sent comes back in order, without a gap, for as long as its session
 * lives, and that messages of the toys come once and in order.
 *
 * Threads: one. Owns: the pollers. */
#ifndef RINGPOST_TESTS_SIM_SIM_POLLS_H
#define RINGPOST_TESTS_SIM_SIM_POLLS_H

#include "tests/sim/sim_world.h"

void polls_open(void);
void polls_close(void);
bool polls_step(void);
bool polls_can_step(void);
uint64_t polls_next_ns(void);
void polls_leave(void);
void poll_on_bytes(struct link *link, const char *at, size_t len);
/* Has the node a session of Engine.IO? */
bool engines_any(void);

#endif
