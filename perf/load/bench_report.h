/* bench_report.h - what a scenario found, as an aligned table or as one JSON line.
 *
 * Threads: one. Owns: its rows. Limits: BENCH_ROWS_MAX rows, BENCH_TRIES_MAX tries; more are left
 * out. */
#ifndef RINGPOST_PERF_LOAD_BENCH_REPORT_H
#define RINGPOST_PERF_LOAD_BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_ROWS_MAX 96u
#define BENCH_TRIES_MAX 16u

struct bench_row {
    const char *key;   /* in JSON */
    const char *label; /* in the table; NULL: JSON only */
    const char *unit;
    double value;
    int digits; /* after the point; -1: text */
    char text[320];
};

/* One try of a rate in the search for the highest one. */
struct bench_try {
    double rate, p99_ms, others_percent;   /* the last -1: unknown */
    double generator_percent, late_p99_ms; /* its busiest process; behind its schedule */
    uint64_t behind, refused, missing;
    bool held;
    char why[64];
};

struct bench_report {
    struct bench_row rows[BENCH_ROWS_MAX];
    struct bench_try tries[BENCH_TRIES_MAX];
    uint32_t count, try_count;
    uint32_t faults, notes;
    bool json;
};

void bench_report_number(struct bench_report *report, const char *key, const char *label,
                         double value, int digits, const char *unit);
void bench_report_text(struct bench_report *report, const char *key, const char *label,
                       const char *text);
/* Something that must not happen happened: the exit status is 1. */
void bench_report_fault(struct bench_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Something that the reader of the numbers must know. The same words stand only once. */
void bench_report_note(struct bench_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bench_report_try(struct bench_report *report, const struct bench_try *entry);
void bench_report_print(const struct bench_report *report);

/* One line on a terminal's standard error that is overwritten each time, at most four a second;
 * where there is no terminal, a line every ten seconds. */
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Takes the progress line away. */
void bench_progress_end(void);

#endif
