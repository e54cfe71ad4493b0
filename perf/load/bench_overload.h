/* bench_overload.h - the shapes of `ringpost bench overload`.
 *
 * Threads: one. */
#ifndef RINGPOST_PERF_LOAD_BENCH_OVERLOAD_H
#define RINGPOST_PERF_LOAD_BENCH_OVERLOAD_H

#include "perf/load/bench_options.h"
#include "perf/load/bench_wire.h"

/* Fills in what the shape that the options name is made of, where they do not say it themselves;
 * *kind is what most of its messages are. False after a line on standard error. */
bool bench_overload_prepare(struct bench_options *options, enum bench_kind *kind);

#endif
