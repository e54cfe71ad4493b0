/* bench_held.h - messages that a client has received and not acknowledged yet, so that they are
 * acknowledged in random order: for each one that comes, one of those that it holds is.
 *
 * Threads: the client's. Owns: the ids, copied. */
#ifndef RINGPOST_PERF_LOAD_BENCH_HELD_H
#define RINGPOST_PERF_LOAD_BENCH_HELD_H

#include "perf/load/bench_wire.h"

#define BENCH_HELD_MAX 4096u

struct bench_held;

/* The client keeps that one; *held is NULL at first. Gives in *out one that it held and is to
 * acknowledge, to be used before the next call; `out` may be `asks`. False: it holds no more than
 * `most` (1 .. BENCH_HELD_MAX), has that one already, or there is no memory. */
bool bench_held_swap(struct bench_held **held, uint32_t most, const struct bench_asks *asks,
                     struct bench_asks *out);
uint32_t bench_held_count(const struct bench_held *held);
/* Forgets all that it held, and gives how many that were. */
uint32_t bench_held_drop(struct bench_held **held);

#endif
