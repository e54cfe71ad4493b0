/* The scenarios about connections and memory. */
#include "perf/load/bench_scenario.h"

#include "core/base/clock.h"
#include "perf/load/bench_proc.h"
#include "perf/load/bench_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bench_result result; /* too large for a stack */

#define LIVE_PUSHES_MAX 3
#define BURST_RATE 1e8 /* all of it is due at once */

/* A message to each client, as fast as they can be written: the queues of all fill together. */
static void burst_run(struct bench_field *field, struct bench_report *report) {
    const struct bench_options *o = field->options;
    struct bench_push push = bench_push_for(field, BURST_RATE, 1);
    push.messages = o->clients;
    bench_field_run(field, &push, "a burst to all", &result);
    bench_field_idle(field, 2);
    int64_t burst_kb = bench_proc_pss_kb(field->server.pid);
    bench_report_number(report, "pss_burst_kb", "PSS after a burst to all", (double)burst_kb, 0,
                        "kB");
    bench_report_number(report, "burst_kb_each", "for each connection, after a burst to all",
                        (double)(burst_kb - field->pss_none_kb) / o->clients, 3, "kB");
    if (result.seen.received != o->clients)
        bench_report_note(report, "the burst reached %llu of %u clients; %llu messages refused",
                          (unsigned long long)result.seen.received, o->clients,
                          (unsigned long long)result.pushed.refused);
    bench_result_faults(&result, report);
}

bool bench_idle(struct bench_field *field, struct bench_report *report) {
    const struct bench_options *o = field->options;
    double clients = o->clients;
    if (field->pss_none_kb < 0) {
        fputs("ringpost bench: the node's memory cannot be read\n", stderr);
        return false;
    }
    if (!bench_field_connect(field, o->ramp, o->pending))
        return false;
    bench_field_idle(field, 1);
    int64_t before_kb = bench_proc_pss_kb(field->server.pid);
    struct bench_push push = bench_push_for(field, o->rate, clients / o->rate + 0.001);
    push.messages = o->clients;
    bench_field_run(field, &push, "one message to each", &result);
    bench_field_idle(field, 2);
    int64_t after_kb = bench_proc_pss_kb(field->server.pid);
    bench_report_number(report, "clients", "clients", clients, 0, "");
    bench_report_number(report, "pss_none_kb", "PSS without clients", (double)field->pss_none_kb, 0,
                        "kB");
    bench_report_number(report, "pss_before_kb", "PSS with them, before any traffic",
                        (double)before_kb, 0, "kB");
    bench_report_number(report, "pss_after_kb", "PSS after one message to each", (double)after_kb,
                        0, "kB");
    bench_report_number(report, "before_kb_each", "for each connection, before",
                        (double)(before_kb - field->pss_none_kb) / clients, 3, "kB");
    bench_report_number(report, "after_kb_each", "for each connection, after",
                        (double)(after_kb - field->pss_none_kb) / clients, 3, "kB");
    bench_result_generator(&result, report);
    bench_result_faults(&result, report);
    burst_run(field, report);
    return true;
}

/* What bounds how many connections a node can have, as the kernel sees it. */
static void descriptors_report(const struct bench_field *field, struct bench_report *report) {
    pid_t pid = field->server.pid;
    if (pid == 0)
        return;
    bench_report_number(report, "descriptors_limit", "node RLIMIT_NOFILE",
                        (double)bench_proc_descriptors_limit(pid), 0, "");
    bench_report_number(report, "descriptors_open", "node descriptors open",
                        (double)bench_proc_descriptors_open(pid), 0, "");
}

static void refusal_report(const struct bench_field *field, const struct bench_tally *sum,
                           struct bench_report *report) {
    struct bench_stats stats;
    const struct bench_options *o = field->options;
    bench_report_fault(report, "only %u of %u clients were welcomed; the first that was not: %s",
                       sum->ready, o->clients, sum->sample[0] != '\0' ? sum->sample : "no answer");
    if (bench_stats_read(&field->server.api, o->api_key, &stats) && stats.connections_refused != 0)
        bench_report_note(report,
                          "the node counted %llu connections that it refused; GET /metrics "
                          "has them by reason (ringpost_refused_total)",
                          (unsigned long long)stats.connections_refused);
}

/* One message to each; all of them once more when some were refused, as a producer would. Gives how
 * many were. */
static uint64_t live_push(struct bench_field *field, const struct bench_push *push) {
    uint64_t refused = 0;
    for (unsigned i = 0; i < LIVE_PUSHES_MAX; i++) {
        if (i != 0)
            bench_field_idle(field, 1); /* Retry-After */
        bench_field_run(field, push, "one message to each", &result);
        refused += result.pushed.refused;
        if (result.pushed.refused == 0)
            break;
    }
    return refused;
}

bool bench_live(struct bench_field *field, struct bench_report *report) {
    const struct bench_options *o = field->options;
    pid_t pid = field->server.pid;
    struct bench_mark from, to;
    static struct bench_tally sum;
    bench_field_open_clients(field, o->ramp, o->pending, &sum);
    bench_report_number(report, "clients", "clients wanted", o->clients, 0, "");
    bench_report_number(report, "welcomed", "  connected and welcomed", sum.ready, 0, "");
    bench_report_number(report, "connect_s", "  in", field->open_s, 2, "s");
    descriptors_report(field, report);
    if (sum.ready != o->clients) {
        refusal_report(field, &sum, report);
        return true;
    }
    bench_field_idle(field, 1); /* what connecting left behind is no cost of being there */
    int64_t before_kb = pid != 0 ? bench_proc_pss_kb(pid) : -1;
    bench_mark_take(field, &from);
    bench_field_idle(field, 1);
    bench_mark_take(field, &to);
    struct bench_push push = bench_push_for(field, o->rate, o->clients / o->rate + 0.001);
    push.messages = o->clients;
    uint64_t refused = live_push(field, &push);
    const struct bench_tally *seen = &result.seen;
    bench_report_number(report, "live", "still there after a message to each", seen->ready, 0, "");
    bench_report_number(report, "generator_processes", "client processes", field->swarms, 0, "");
    if (before_kb >= 0 && field->pss_none_kb >= 0) {
        int64_t after_kb = bench_proc_pss_kb(pid);
        bench_report_number(report, "pss_kb", "node PSS with them", (double)before_kb, 0, "kB");
        bench_report_number(report, "before_kb_each", "  more than without clients, for each",
                            (double)(before_kb - field->pss_none_kb) / o->clients, 3, "kB");
        bench_report_number(report, "after_kb_each", "  the same after a message to each",
                            (double)(after_kb - field->pss_none_kb) / o->clients, 3, "kB");
    }
    if (pid != 0)
        bench_report_number(report, "idle_percent", "node CPU while nothing happens",
                            (double)(to.server_ns - from.server_ns) /
                                (double)(to.at_ns - from.at_ns) * 100,
                            2, "% of a core");
    bench_report_number(report, "rate", "one message to each, offered", o->rate, 0, "messages/s");
    bench_report_number(report, "delivered", "  delivered", (double)seen->received, 0, "");
    bench_report_number(report, "missing", "  missing", (double)result.missing, 0, "");
    bench_report_number(report, "refused", "  refused", (double)refused, 0, "");
    bench_report_number(report, "latency_p50_us", "  latency p50",
                        (double)bench_hist_quantile(&seen->latency, 0.5) / 1e3, 1, "us");
    bench_report_number(report, "latency_p99_us", "  latency p99",
                        (double)bench_hist_quantile(&seen->latency, 0.99) / 1e3, 1, "us");
    if (result.pushed.sent != o->clients || result.pushed.refused != 0)
        bench_report_fault(report,
                           "not every client was sent its message: %llu written, %llu "
                           "refused",
                           (unsigned long long)result.pushed.sent,
                           (unsigned long long)result.pushed.refused);
    bench_result_generator(&result, report);
    bench_result_faults(&result, report);
    return true;
}

static int double_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool bench_storm(struct bench_field *field, struct bench_report *report) {
    static const char *const keys[5] = {"welcome_p50_us", "welcome_p90_us", "welcome_p99_us",
                                        "welcome_p999_us", "welcome_max_us"};
    static const char *const labels[5] = {"connect to welcome p50", "connect to welcome p90",
                                          "connect to welcome p99", "connect to welcome p99.9",
                                          "connect to welcome max"};
    static struct bench_hist greeting;
    const struct bench_options *o = field->options;
    double rates[100], server_s = 0, own_s = 0, busiest_s = 0, wall_s = 0;
    double all_s = 0, marked_s = 0;
    for (uint32_t i = 0; i < o->rounds; i++) {
        struct bench_mark from, to;
        bench_mark_take(field, &from);
        if (!bench_field_connect(field, 0, o->pending))
            return false;
        bench_mark_take(field, &to);
        rates[i] = o->clients / field->open_s;
        server_s += (double)(to.server_ns - from.server_ns) / 1e9;
        wall_s += field->open_s;
        marked_s += (double)(to.at_ns - from.at_ns) / 1e9;
        all_s += to.machine_s - from.machine_s;
        double most_s = 0;
        for (uint32_t k = 0; k < field->swarms; k++) {
            double spent_s = (double)(to.own_ns[k] - from.own_ns[k]) / 1e9;
            own_s += spent_s;
            most_s = spent_s > most_s ? spent_s : most_s;
        }
        busiest_s += most_s;
        bench_share_sum(field->share, &result.seen);
        bench_hist_merge(&greeting, &result.seen.greeting);
        bench_field_disconnect(field);
        bench_field_idle(field, 0.5);
    }
    qsort(rates, o->rounds, sizeof rates[0], double_compare);
    bench_report_number(report, "clients", "clients", o->clients, 0, "");
    bench_report_number(report, "rounds", "rounds", o->rounds, 0, "");
    bench_report_number(report, "connects_per_s", "connected and welcomed, median",
                        rates[o->rounds / 2], 0, "clients/s");
    bench_report_number(report, "connects_min_per_s", "  slowest round", rates[0], 0, "clients/s");
    bench_report_number(report, "connects_max_per_s", "  fastest round", rates[o->rounds - 1], 0,
                        "clients/s");
    bench_report_number(report, "pending", "connections under way at once", o->pending, 0, "");
    bench_report_number(report, "queue_us", "  at this rate, each waits behind the others for",
                        o->pending * 1e6 / rates[o->rounds / 2], 0, "us");
    bench_latency_report(report, &greeting, keys, labels);
    double connects = (double)o->clients * o->rounds;
    if (field->server.pid != 0)
        bench_report_number(report, "server_us_per_connect", "node CPU for each",
                            server_s * 1e6 / connects, 1, "us");
    bench_report_number(report, "generator_us_per_connect", "generator CPU for each",
                        own_s * 1e6 / connects, 1, "us");
    bench_report_number(report, "generator_processes", "generator processes", field->swarms, 0, "");
    bench_report_number(report, "generator_percent", "  the busiest", busiest_s / wall_s * 100, 0,
                        "% of a core");
    bench_report_number(report, "generator_saturated", NULL, busiest_s / wall_s >= BENCH_SATURATED,
                        0, "");
    /* the machine's clock ticks in hundredths of a second, so this is rough */
    double others = marked_s > 0 ? (all_s - server_s - own_s) / marked_s : 0;
    if (field->server.pid != 0)
        bench_report_number(report, "others_percent", "everything else on this machine",
                            others > 0 ? others * 100 : 0, 0, "% of a core");
    if (field->server.pid != 0 && others >= BENCH_OTHERS)
        bench_report_note(report,
                          "not a quiet machine: others used %.0f %% of a core; " BENCH_BOUNDS,
                          others * 100);
    if (busiest_s / wall_s >= BENCH_SATURATED)
        bench_report_note(report, "generator %.0f %% of a core: saturated; the node may be faster",
                          busiest_s / wall_s * 100);
    return true;
}
