/* The process of the simulation: real numbers would change from run to run, and with them how long
 * an answer is. */
#include "ingest/api/process.h"

#include "tests/sim/sim_world.h"

void process_sample_get(struct process_sample *sample, uint64_t now_ns, uint32_t connections) {
    (void)connections;
    *sample = (struct process_sample){.cpu_s = (double)now_ns / NS_PER_S,
                                      .resident_bytes = 100000000,
                                      .open_fds = fds_in_use(),
                                      .max_fds = sim.scenario.descriptors};
}
