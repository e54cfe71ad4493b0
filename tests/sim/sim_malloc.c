#include "tests/sim/sim_malloc.h"

#include "tests/sim/sim.h"

#undef malloc
#undef calloc
#undef realloc

static bool is_short(void) {
    if (!sim.running || !sim_chance(sim.scenario.no_memory))
        return false;
    SIM_TRACE("no memory");
    return true;
}

void *sim_malloc(size_t size) {
    return is_short() ? NULL : malloc(size);
}

void *sim_calloc(size_t count, size_t size) {
    return is_short() ? NULL : calloc(count, size);
}

void *sim_realloc(void *at, size_t size) {
    return is_short() ? NULL : realloc(at, size);
}
