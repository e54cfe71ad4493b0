/* The clock of the simulation: time stands still unless the scheduler moves it (sim_run.c). */
#include "core/base/clock.h"

#include "tests/sim/sim.h"

#define WALL_START_MS UINT64_C(1700000000000)

uint64_t clock_ns(void) {
    return sim.now_ns;
}

uint64_t clock_wall_ms(void) {
    return WALL_START_MS + sim.now_ns / NS_PER_MS;
}

uint64_t clock_thread_cpu_ns(void) {
    return sim.now_ns;
}
