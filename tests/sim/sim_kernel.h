/* sim_kernel.h - what the scheduler and the checks may ask of the fake ring, beyond core/ring.h.
 *
 * Threads: one. */
#ifndef RINGPOST_TESTS_SIM_SIM_KERNEL_H
#define RINGPOST_TESTS_SIM_SIM_KERNEL_H

#include "core/ring.h"
#include "tests/sim/sim_world.h"

void kernel_open(void);
/* The ring of a worker; NULL before it opened one and after it closed it. */
struct ring *kernel_ring(unsigned worker);
/* Carries out some of the operations that can go on; true when something happened. */
bool kernel_step(struct ring *ring);
bool kernel_can_step(const struct ring *ring);
/* Does a worker that sleeps in ring_submit have a reason to go on? */
bool kernel_wakes(const struct ring *ring);
/* When it goes on by itself. */
uint64_t kernel_wake_ns(const struct ring *ring);
/* Buffers lent to the worker that it has taken notice of. */
unsigned kernel_lent(const struct ring *ring);
const char *kernel_op_name(enum kernel_op op);

#endif
