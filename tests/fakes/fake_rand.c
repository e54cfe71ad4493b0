/* The randomness of the simulation. What the engine draws comes from a generator of its own, so
 * that a change in the engine does not turn every scenario into another one. */
#include "core/base/rand.h"

#include "core/base/check.h"
#include "tests/sim/sim.h"

#include <string.h>

uint64_t splitmix(uint64_t *state) {
    uint64_t mixed = (*state += UINT64_C(0x9E3779B97F4A7C15));
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

uint64_t rand_u64(void) {
    return splitmix(&sim.engine_random);
}

uint64_t rand_below(uint64_t bound) {
    CHECK(bound > 0);
    return rand_u64() % bound;
}

void rand_fill(void *at, size_t len) {
    char *out = at;
    while (len > 0) {
        uint64_t word = rand_u64();
        size_t take = len < sizeof(word) ? len : sizeof(word);
        memcpy(out, &word, take);
        out += take;
        len -= take;
    }
}

uint64_t sim_roll(uint64_t bound) {
    CHECK(bound > 0);
    return splitmix(&sim.random) % bound;
}

uint64_t sim_between(uint64_t low, uint64_t high) {
    return low + sim_roll(high - low + 1);
}

bool sim_chance(unsigned per_mille) {
    if (per_mille == 0)
        return false;
    return sim_roll(1000) < per_mille;
}
