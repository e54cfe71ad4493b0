#include "perf/load/bench_hist.h"

#include <string.h>

void bench_hist_clear(struct bench_hist *hist) {
    memset(hist, 0, sizeof *hist);
}

static unsigned bucket_of(uint64_t ns) {
    if (ns >> BENCH_HIST_VALUE_BITS != 0)
        ns = (UINT64_C(1) << BENCH_HIST_VALUE_BITS) - 1;
    if (ns < UINT64_C(1) << BENCH_HIST_STEP_BITS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - BENCH_HIST_STEP_BITS;
    return (shift << BENCH_HIST_STEP_BITS) + (unsigned)(ns >> shift);
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket) {
    if (bucket < 1u << (BENCH_HIST_STEP_BITS + 1))
        return bucket;
    unsigned shift = (bucket >> BENCH_HIST_STEP_BITS) - 1;
    uint64_t steps = bucket - (shift << BENCH_HIST_STEP_BITS);
    return ((steps + 1) << shift) - 1;
}

void bench_hist_add(struct bench_hist *hist, uint64_t ns) {
    hist->count++;
    hist->sum_ns += ns;
    if (ns > hist->max_ns)
        hist->max_ns = ns;
    hist->buckets[bucket_of(ns)]++;
}

void bench_hist_merge(struct bench_hist *into, const struct bench_hist *from) {
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
    for (unsigned i = 0; i < BENCH_HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t bench_hist_quantile(const struct bench_hist *hist, double quantile) {
    if (hist->count == 0)
        return 0;
    double share = quantile * (double)hist->count;
    uint64_t wanted = (uint64_t)share;
    if ((double)wanted < share || wanted == 0)
        wanted++;
    uint64_t seen = 0;
    for (unsigned i = 0; i < BENCH_HIST_BUCKETS; i++) {
        seen += hist->buckets[i];
        if (seen >= wanted) {
            uint64_t end = bucket_end(i);
            return end < hist->max_ns ? end : hist->max_ns;
        }
    }
    return hist->max_ns;
}
