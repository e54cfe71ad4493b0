/* The clock of the simulation: it is moved by the scheduler (sim_run.c), and a little by being
 * read. */
#include "core/base/clock.h"

#include "tests/sim/sim.h"

#define WALL_START_MS UINT64_C(1700000000000)

uint64_t clock_ns(void) {
    return sim.now_ns += 100; /* looking at it takes a while */
}

uint64_t clock_wall_ms(void) {
    return WALL_START_MS + sim.now_ns / NS_PER_MS;
}

uint64_t clock_thread_cpu_ns(void) {
    return sim.now_ns;
}
