/* bench_help.h - what `ringpost bench --help` prints.
 *
 * Threads: any. */
#ifndef RINGPOST_PERF_LOAD_BENCH_HELP_H
#define RINGPOST_PERF_LOAD_BENCH_HELP_H

#include <stdio.h>

void bench_help_print(FILE *to);

#endif
