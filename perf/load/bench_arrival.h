/* bench_arrival.h - what is checked of a message that has come to a client: that it is ours,
 * undamaged, in the right place, there once and in order; and when it was due.
 *
 * Threads: the one that writes the tally. Owns: nothing. */
#ifndef RINGPOST_PERF_LOAD_BENCH_ARRIVAL_H
#define RINGPOST_PERF_LOAD_BENCH_ARRIVAL_H

#include "perf/load/bench_share.h"

/* The payload at `at`, of share->payload_size bytes, has come to the client of this number in a
 * run. `again`: the node says that it may be a repeat. */
void bench_arrived(struct bench_share *share, struct bench_tally *tally, uint32_t number,
                   const uint8_t *at, bool again, uint32_t run, uint64_t now_ns);

#endif
