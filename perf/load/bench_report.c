#include "perf/load/bench_report.h"

#include "core/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct bench_row *row_add(struct bench_report *report, const char *key, const char *label) {
    static struct bench_row nowhere;
    struct bench_row *row = &nowhere;
    if (report->count < BENCH_ROWS_MAX)
        row = &report->rows[report->count++];
    row->key = key;
    row->label = label;
    row->unit = "";
    row->digits = -1;
    return row;
}

void bench_report_number(struct bench_report *report, const char *key, const char *label,
                         double value, int digits, const char *unit) {
    struct bench_row *row = row_add(report, key, label);
    row->value = value;
    row->digits = digits;
    row->unit = unit;
}

void bench_report_text(struct bench_report *report, const char *key, const char *label,
                       const char *text) {
    snprintf(row_add(report, key, label)->text, sizeof report->rows[0].text, "%s", text);
}

void bench_report_fault(struct bench_report *report, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(row_add(report, "fault", "FAULT")->text, sizeof report->rows[0].text, format, list);
    va_end(list);
    report->faults++;
}

void bench_report_note(struct bench_report *report, const char *format, ...) {
    char text[sizeof report->rows[0].text];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->rows[i].key, "note") == 0 && strcmp(report->rows[i].text, text) == 0)
            return;
    memcpy(row_add(report, "note", "note")->text, text, sizeof text);
    report->notes++;
}

void bench_report_try(struct bench_report *report, const struct bench_try *entry) {
    if (report->try_count < BENCH_TRIES_MAX)
        report->tries[report->try_count++] = *entry;
}

static void json_text(const char *text) {
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_list(const struct bench_report *report, const char *key) {
    const char *comma = "";
    printf(",\"%ss\":[", key);
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->rows[i].key, key) == 0) {
            fputs(comma, stdout);
            json_text(report->rows[i].text);
            comma = ",";
        }
    putchar(']');
}

static void json_tries(const struct bench_report *report) {
    if (report->try_count == 0)
        return;
    fputs(",\"tries\":[", stdout);
    for (uint32_t i = 0; i < report->try_count; i++) {
        const struct bench_try *t = &report->tries[i];
        printf("%s{\"rate\":%.0f,\"held\":%s,\"p99_ms\":%.1f,\"behind\":%llu,\"refused\":%llu,"
               "\"missing\":%llu,\"generator_percent\":%.0f,\"generator_late_p99_ms\":%.1f,"
               "\"others_percent\":%.0f,\"why\":",
               i == 0 ? "" : ",", t->rate, t->held ? "true" : "false", t->p99_ms,
               (unsigned long long)t->behind, (unsigned long long)t->refused,
               (unsigned long long)t->missing, t->generator_percent, t->late_p99_ms,
               t->others_percent);
        json_text(t->why);
        putchar('}');
    }
    putchar(']');
}

static void json_print(const struct bench_report *report) {
    putchar('{');
    const char *comma = "";
    for (uint32_t i = 0; i < report->count; i++) {
        const struct bench_row *row = &report->rows[i];
        if (strcmp(row->key, "fault") == 0 || strcmp(row->key, "note") == 0)
            continue;
        printf("%s\"%s\":", comma, row->key);
        comma = ",";
        if (row->digits < 0)
            json_text(row->text);
        else
            printf("%.*f", row->digits, row->value);
    }
    json_tries(report);
    json_list(report, "fault");
    json_list(report, "note");
    puts("}");
}

/* The number with a space between groups of three digits before the point. */
static void grouped(char *out, size_t cap, double value, int digits) {
    char plain[64];
    snprintf(plain, sizeof plain, "%.*f", digits, value);
    size_t whole = strcspn(plain, "."), n = 0;
    size_t sign = plain[0] == '-';
    for (size_t i = 0; plain[i] != '\0' && n + 2 < cap; i++) {
        if (i > sign && i < whole && (whole - i) % 3 == 0)
            out[n++] = ' ';
        out[n++] = plain[i];
    }
    out[n] = '\0';
}

static void tries_print(const struct bench_report *report) {
    char rate[32], behind[32], refused[32], missing[32];
    if (report->try_count == 0)
        return;
    printf("\n%12s  %9s  %9s  %9s  %9s  %9s  %9s  %6s  %s\n", "tries, rate", "p99 ms", "behind",
           "refused", "missing", "generator", "late, ms", "others", "held?");
    for (uint32_t i = 0; i < report->try_count; i++) {
        const struct bench_try *t = &report->tries[i];
        grouped(rate, sizeof rate, t->rate, 0);
        grouped(behind, sizeof behind, (double)t->behind, 0);
        grouped(refused, sizeof refused, (double)t->refused, 0);
        grouped(missing, sizeof missing, (double)t->missing, 0);
        printf("%12s  %9.1f  %9s  %9s  %9s  %7.0f %%  %9.1f  %4.0f %%  %s\n", rate, t->p99_ms,
               behind, refused, missing, t->generator_percent, t->late_p99_ms, t->others_percent,
               t->why);
    }
}

static void table_print(const struct bench_report *report) {
    int label_width = 0, value_width = 0;
    char value[96];
    for (uint32_t i = 0; i < report->count; i++) {
        const struct bench_row *row = &report->rows[i];
        if (row->label == NULL)
            continue;
        int width = (int)strlen(row->label);
        label_width = width > label_width ? width : label_width;
        if (row->digits < 0)
            continue;
        grouped(value, sizeof value, row->value, row->digits);
        width = (int)strlen(value);
        value_width = width > value_width ? width : value_width;
    }
    for (uint32_t i = 0; i < report->count; i++) {
        const struct bench_row *row = &report->rows[i];
        if (row->label == NULL)
            continue;
        if (row->digits < 0) {
            printf("%-*s  %s\n", label_width, row->label, row->text);
            continue;
        }
        grouped(value, sizeof value, row->value, row->digits);
        printf("%-*s  %*s %s\n", label_width, row->label, value_width, value, row->unit);
    }
    tries_print(report);
}

void bench_report_print(const struct bench_report *report) {
    if (report->json)
        json_print(report);
    else
        table_print(report);
    fflush(stdout);
}

static struct {
    uint64_t last_ns;
    bool shown;
} progress;

void bench_progress(const char *format, ...) {
    uint64_t now_ns = clock_ns();
    bool terminal = isatty(STDERR_FILENO) != 0;
    if (progress.last_ns == 0 && !terminal)
        progress.last_ns = now_ns;
    if (now_ns - progress.last_ns < (terminal ? NS_PER_S / 4 : 10 * NS_PER_S))
        return;
    progress.last_ns = now_ns;
    va_list list;
    va_start(list, format);
    if (terminal)
        fputs("\r\033[K", stderr);
    vfprintf(stderr, format, list);
    va_end(list);
    if (!terminal)
        fputc('\n', stderr);
    progress.shown = terminal;
}

void bench_progress_end(void) {
    if (progress.shown)
        fputs("\r\033[K", stderr);
    progress.shown = false;
}
