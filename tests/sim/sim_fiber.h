/* sim_fiber.h - a fiber for each worker and port, so that one can sleep in the middle of its turn.
 *
 * A worker that calls ring_submit and would block there must stay there, with its mailbox marked
 * asleep, until something wakes it: only so does a lost wake-up become a hang that can be seen.
 *
 * Threads: one. Owns: the stacks, which are kept from run to run. */
#ifndef RINGPOST_TESTS_SIM_SIM_FIBER_H
#define RINGPOST_TESTS_SIM_SIM_FIBER_H

#include <stdbool.h>

enum fiber_state { FIBER_READY, FIBER_ASLEEP, FIBER_ENDED };

/* Makes `count` fibers that will run body(index). */
void fibers_open(unsigned count, void (*body)(unsigned index));
/* Runs fiber `index` until it yields or ends. From outside only. */
void fiber_resume(unsigned index);
/* Leaves the fiber that runs, in the given state. */
void fiber_yield(enum fiber_state state);
enum fiber_state fiber_state(unsigned index);
/* The fiber that runs; -1: none. */
int fiber_current(void);
/* How often the fiber that runs has been resumed; tells whether others ran between two looks. */
unsigned long fiber_resumes(unsigned index);

#endif
