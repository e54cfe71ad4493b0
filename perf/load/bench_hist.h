/* bench_hist.h - a histogram of nanoseconds in bounded memory.
 *
 * Log-linear: 128 steps in each power of two, so a quantile is at most 0.8 % above the truth, from
 * 0 ns to 73 minutes (what is longer counts as that). Plain memory without pointers, so it may
 * lie in memory shared between processes with one writer.
 *
 * Threads: one writer; a reader sees counts that may lag. Owns: nothing. */
#ifndef RINGPOST_PERF_LOAD_BENCH_HIST_H
#define RINGPOST_PERF_LOAD_BENCH_HIST_H

#include <stdint.h>

#define BENCH_HIST_STEP_BITS 7
#define BENCH_HIST_VALUE_BITS 42
#define BENCH_HIST_BUCKETS                                                                         \
    ((BENCH_HIST_VALUE_BITS - BENCH_HIST_STEP_BITS + 1) << BENCH_HIST_STEP_BITS)

struct bench_hist {
    uint64_t count;
    uint64_t max_ns;
    uint64_t sum_ns;
    uint64_t buckets[BENCH_HIST_BUCKETS];
};

void bench_hist_clear(struct bench_hist *hist);
void bench_hist_add(struct bench_hist *hist, uint64_t ns);
/* Adds all of `from` to `into`. */
void bench_hist_merge(struct bench_hist *into, const struct bench_hist *from);
/* The value that the share `quantile` (0..1) of all values does not exceed, as the upper end of its
 * bucket and never above the maximum; 0 without values. */
uint64_t bench_hist_quantile(const struct bench_hist *hist, double quantile);

#endif
