/* micro - what the single steps of a message cost, each alone in a loop, in nanoseconds.
 *
 * Each is run for 0.1 s five times; the median is shown, and the fastest and slowest run. Caches
 * are warm and branches learnt: lower bounds of what they cost inside a node. */
#include "perf/micro/micro.h"

#include "core/base/clock.h"
#include "core/base/hash.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 5
#define RUN_NS (100 * NS_PER_MS)

static const char help[] =
    "usage: micro [NAME]\n"
    "\n"
    "Times the single steps of a message, each alone in a loop: the median of five runs of\n"
    "0.1 s, the fastest and the slowest one. With NAME only steps whose name holds it:\n"
    "\n"
    "  micro json      the JSON checker\n"
    "  micro mailbox   mail between workers\n"
    "  micro --list    names only\n"
    "\n"
    "Caches are warm and branches learnt, so a step inside a node costs more. Steps with two\n"
    "threads want two idle CPUs.\n";

volatile uint64_t micro_sink;

void micro_fail(const char *what) {
    fprintf(stderr, "micro: %s\n", what);
    exit(1);
}

static int double_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void step_measure(const struct micro_step *step) {
    uint64_t times = 16, took_ns = 0;
    for (; took_ns < RUN_NS / 4; times *= 2) { /* how many make a run long enough */
        uint64_t start_ns = clock_ns();
        step->run(times);
        took_ns = clock_ns() - start_ns;
    }
    times = (uint64_t)((double)times / 2 * (double)RUN_NS / (double)took_ns) + 1;
    double each_ns[RUNS];
    for (int i = 0; i < RUNS; i++) {
        uint64_t start_ns = clock_ns();
        step->run(times);
        each_ns[i] = (double)(clock_ns() - start_ns) / (double)times;
    }
    qsort(each_ns, RUNS, sizeof each_ns[0], double_compare);
    char rate[16] = "";
    if (step->bytes != NULL)
        snprintf(rate, sizeof rate, "%.0f", (double)*step->bytes * 1e3 / each_ns[RUNS / 2]);
    printf("%-44s %9.1f %9.1f %9.1f %8s\n", step->name, each_ns[RUNS / 2], each_ns[0],
           each_ns[RUNS - 1], rate);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc > 2 || (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))) {
        fputs(help, argc > 2 ? stderr : stdout);
        return argc > 2 ? 2 : 0;
    }
    bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
    const char *only = argc == 2 && !list ? argv[1] : "";
    const struct micro_step *const lists[] = {micro_codec_steps, micro_engine_steps,
                                              micro_resp_steps};
    unsigned found = 0;
    hash_init(NULL);
    micro_codec_init();
    micro_engine_init();
    micro_resp_init();
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const struct micro_step *step = lists[i]; step->name != NULL; step++) {
            if (strstr(step->name, only) == NULL)
                continue;
            if (list) {
                puts(step->name);
            } else {
                if (found == 0)
                    printf("%-44s %9s %9s %9s %8s\n", "step", "ns each", "fastest", "slowest",
                           "MB/s");
                step_measure(step);
            }
            found++;
        }
    micro_resp_fini();
    micro_engine_fini();
    if (found == 0) {
        fprintf(stderr, "micro: no step's name holds \"%s\"; --list has them all\n", only);
        return 2;
    }
    return 0;
}
