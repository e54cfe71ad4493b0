#include "perf/load/bench_field.h"

#include "core/base/clock.h"
#include "perf/load/bench_proc.h"

#include <stdio.h>

#define LATE_NS UINT64_C(10000000)

void bench_latency_report(struct bench_report *report, const struct bench_hist *hist,
                          const char *const keys[5], const char *const labels[5]) {
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    for (int i = 0; i < 5; i++) {
        uint64_t ns = i == 4 ? hist->max_ns : bench_hist_quantile(hist, quantiles[i]);
        bench_report_number(report, keys[i], labels[i], (double)ns / 1e3, 1, "us");
    }
}

void bench_result_judge(struct bench_result *result) {
    const struct bench_tally *seen = &result->seen;
    uint64_t wrong = result->missing + seen->duplicate + seen->disordered + seen->misrouted +
                     seen->damaged + seen->lost + result->pushed.refused + result->pushed.absent +
                     result->pushed.failed + result->pushed.given_up +
                     bench_unanswered(&result->pushed) + seen->pongs_unasked +
                     result->lone.refused + result->lone.absent + result->lone.failed +
                     bench_unanswered(&result->lone) + result->pings_unanswered;
    /* A share of the run, not a time: what a rate beyond the node's leaves behind grows with the
     * run, so a fixed time would let short runs hold rates that long ones do not. */
    double due = result->rate * result->offered_s * result->fan;
    double growth = BENCH_BEHIND_GROWTH_MAX * due + 2 * result->fan_most;
    result->behind_max = (uint64_t)(BENCH_BEHIND_MAX * due + result->fan);
    if ((double)result->behind_half + growth > (double)result->behind_max)
        result->behind_max = result->behind_half + (uint64_t)growth;
    result->held = wrong == 0 && bench_hist_quantile(&seen->latency, 0.99) < NS_PER_S &&
                   (result->rate <= 0 || result->behind <= result->behind_max);
}

void bench_result_faults(const struct bench_result *result, struct bench_report *report) {
    const struct bench_tally *seen = &result->seen;
    /* Refusals are no fault of a node that has too much to do, but it takes some all the same. */
    uint64_t all_refused = result->pushed.accepted == 0 ? result->pushed.refused : 0;
    const struct {
        const char *what;
        uint64_t count;
    } faults[] = {
        {"accepted messages did not arrive", result->missing},
        {"messages arrived that were not accepted", result->unasked},
        {"messages arrived more than once", seen->duplicate},
        {"messages arrived out of order", seen->disordered},
        {"messages arrived at the wrong client", seen->misrouted},
        {"messages arrived damaged", seen->damaged},
        {"clients were closed by the node", seen->lost},
        {"messages were refused, and none was taken", all_refused},
        {"messages got an answer that says error", result->pushed.failed + result->lone.failed},
        {"messages were answered `absent`", result->pushed.absent + result->lone.absent},
        {"messages got no answer",
         bench_unanswered(&result->pushed) + bench_unanswered(&result->lone)},
        {"heartbeats got no answer", result->pings_unanswered},
        {"answers to heartbeats came that nobody had sent", seen->pongs_unasked},
    };
    uint32_t before = report->faults;
    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (faults[i].count != 0)
            bench_report_fault(report, "%llu %s", (unsigned long long)faults[i].count,
                               faults[i].what);
    if (seen->stale != 0)
        bench_report_note(report, "%llu messages of an earlier run came late",
                          (unsigned long long)seen->stale);
    if (result->pushed.stale != 0)
        bench_report_note(report, "%llu answers to an earlier run came late",
                          (unsigned long long)result->pushed.stale);
    if (report->faults != before && seen->sample[0] != '\0')
        bench_report_note(report, "first oddity at a client: %s", seen->sample);
    if (report->faults != before && result->lone.sample[0] != '\0')
        bench_report_note(report, "first oddity at the lone producer: %s", result->lone.sample);
    if (report->faults != before && result->pushed.sample[0] != '\0')
        bench_report_note(report, "first oddity at a producer: %s", result->pushed.sample);
    if (result->pushed.refusal[0] != '\0')
        bench_report_note(report, "first refusal: %s", result->pushed.refusal);
}

void bench_result_why(const struct bench_result *result, char *out, size_t out_size) {
    const struct bench_tally *seen = &result->seen;
    const struct {
        const char *what;
        uint64_t count;
    } reasons[] = {
        {"repeated", seen->duplicate},
        {"out of order", seen->disordered},
        {"misrouted", seen->misrouted},
        {"damaged", seen->damaged},
        {"missing", result->missing},
        {"clients closed", seen->lost},
        {"refused", result->pushed.refused},
        {"absent", result->pushed.absent},
        {"answered by an error", result->pushed.failed},
        {"not answered", bench_unanswered(&result->pushed)},
        {"of the lone producer refused", result->lone.refused},
        {"of the lone producer not answered, absent or failed",
         bench_unanswered(&result->lone) + result->lone.absent + result->lone.failed},
        {"heartbeats not answered", result->pings_unanswered},
        {"heartbeats answered that were not sent", seen->pongs_unasked},
        {"never written", result->pushed.given_up},
    };
    double p99_ms = (double)bench_hist_quantile(&seen->latency, 0.99) / 1e6;
    if (result->held) {
        snprintf(out, out_size, "held");
        return;
    }
    for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].count != 0) {
            snprintf(out, out_size, "no: %llu %s", (unsigned long long)reasons[i].count,
                     reasons[i].what);
            return;
        }
    if (result->behind > result->behind_max)
        snprintf(out, out_size, "no: behind by %llu, over %llu", (unsigned long long)result->behind,
                 (unsigned long long)result->behind_max);
    else
        snprintf(out, out_size, "no: p99 %.0f ms, 1 s or more", p99_ms);
}

/* What takes CPU from the load tool is in its figures as if the node had been slow. */
static void starved_report(const struct bench_result *result, struct bench_report *report) {
    uint64_t late_ns = bench_hist_quantile(&result->pushed.late, 0.99);
    if (result->others >= BENCH_OTHERS)
        bench_report_note(report,
                          "not a quiet machine: others used %.0f %% of a core; " BENCH_BOUNDS,
                          result->others * 100);
    if (result->rate > 0 && late_ns > LATE_NS)
        bench_report_note(
            report,
            "generator wrote late (p99 %.1f ms): it had no CPU or its connections were "
            "full; counted as latency; if it had no CPU, " BENCH_BOUNDS,
            (double)late_ns / 1e6);
}

void bench_result_generator(const struct bench_result *result, struct bench_report *report) {
    uint64_t late_ns = bench_hist_quantile(&result->pushed.late, 0.99);
    bench_report_number(report, "generator_percent", "generator, busiest process",
                        result->own_busiest * 100, 0, "% of a core");
    bench_report_number(report, "generator_all_percent", NULL, result->own_all * 100, 0, "");
    bench_report_number(report, "generator_late_p99_us", "generator behind its schedule, p99",
                        (double)late_ns / 1e3, 1, "us");
    bench_report_number(report, "generator_saturated", NULL, result->own_busiest >= BENCH_SATURATED,
                        0, "");
    if (result->own_busiest >= BENCH_SATURATED)
        bench_report_note(
            report, "generator %.0f %% of a core: saturated; the node may be faster than this",
            result->own_busiest * 100);
    starved_report(result, report);
}

static void tiredness_report(const struct bench_result *result, struct bench_report *report) {
    bench_result_generator(result, report);
    if (result->others >= 0)
        bench_report_number(report, "others_percent", "everything else on this machine",
                            result->others * 100, 0, "% of a core");
}

void bench_result_broker(const struct bench_field *field, const struct bench_result *result,
                         struct bench_report *report) {
    double accepted = (double)result->pushed.accepted;
    if (field->queue.rabbit.pid != 0)
        bench_report_number(report, "broker_us_per_message", "broker CPU for an accepted message",
                            accepted > 0 ? result->broker_cpu_s * 1e6 / accepted : 0, 2, "us");
}

static void cost_report(const struct bench_field *field, const struct bench_result *result,
                        struct bench_report *report) {
    if (field->server.pid == 0)
        return;
    double accepted = (double)result->pushed.accepted, received = (double)result->seen.received;
    bench_report_number(report, "server_cpu_s", "node CPU", result->server_cpu_s, 3, "s");
    bench_report_number(report, "server_user_s", NULL, result->server_user_s, 2, "");
    bench_report_number(report, "server_kernel_s", NULL, result->server_kernel_s, 2, "");
    bench_report_number(report, "server_percent", "node CPU while it lasted",
                        result->wall_s > 0 ? result->server_cpu_s / result->wall_s * 100 : 0, 1,
                        "% of a core");
    bench_report_number(report, "server_us_per_message", "node CPU for an accepted message",
                        accepted > 0 ? result->server_cpu_s * 1e6 / accepted : 0, 2, "us");
    bench_report_number(report, "server_us_per_delivery", "node CPU for a delivery",
                        received > 0 ? result->server_cpu_s * 1e6 / received : 0, 2, "us");
    if (field->redis.pid != 0) {
        bench_report_number(report, "nodes", "nodes that Redis ties", field->far_count + 1, 0, "");
        bench_report_number(report, "redis_us_per_message", "Redis CPU for an accepted message",
                            accepted > 0 ? result->redis_cpu_s * 1e6 / accepted : 0, 2, "us");
    }
    bench_result_broker(field, result, report);
    int64_t pss_kb = bench_field_kb(field, bench_proc_pss_kb);
    if (pss_kb < 0 || field->pss_none_kb < 0)
        return;
    double clients = field->share->clients;
    bench_report_number(report, "pss_kb", "node PSS after it", (double)pss_kb, 0, "kB");
    bench_report_number(report, "pss_per_connection_kb", "  more than without clients, for each",
                        (double)(pss_kb - field->pss_none_kb) / clients, 2, "kB");
    bench_report_number(report, "rss_max_kb", "node RSS, highest seen", (double)result->rss_max_kb,
                        0, "kB");
}

void bench_result_report(const struct bench_field *field, const struct bench_result *result,
                         struct bench_report *report) {
    static const char *const keys[5] = {"latency_p50_us", "latency_p90_us", "latency_p99_us",
                                        "latency_p999_us", "latency_max_us"};
    static const char *const labels[5] = {"latency p50", "latency p90", "latency p99",
                                          "latency p99.9", "latency max"};
    const struct bench_tally *seen = &result->seen;
    const struct bench_pushed *pushed = &result->pushed;
    bench_report_number(report, "clients", "clients", field->share->clients, 0, "");
    bench_report_number(report, "connect_s", "connected in", field->open_s, 2, "s");
    if (result->rate > 0)
        bench_report_number(report, "rate", "offered", result->rate, 0, "messages/s");
    bench_report_number(report, "offered_s", "for", result->offered_s, 2, "s");
    bench_report_number(report, "wall_s", NULL, result->wall_s, 3, "");
    bench_report_number(report, "sent", "sent", (double)pushed->sent, 0, "messages");
    bench_report_number(report, "accepted", "accepted", (double)pushed->accepted, 0, "messages");
    bench_report_number(report, "refused", "refused (503, 429)", (double)pushed->refused, 0, "");
    bench_report_number(report, "given_up", "never written", (double)pushed->given_up, 0, "");
    bench_report_number(report, "delivered", "delivered", (double)seen->received, 0, "messages");
    bench_report_number(report, "deliveries_per_s", "  a second",
                        result->wall_s > 0 ? (double)seen->received / result->wall_s : 0, 0,
                        "deliveries/s");
    bench_report_number(report, "missing", "missing", (double)result->missing, 0, "");
    bench_report_number(report, "duplicate", "repeated", (double)seen->duplicate, 0, "");
    bench_report_number(report, "disordered", "out of order", (double)seen->disordered, 0, "");
    bench_report_number(report, "misrouted", "misrouted", (double)seen->misrouted, 0, "");
    bench_report_number(report, "damaged", "damaged", (double)seen->damaged, 0, "");
    bench_report_number(report, "closed", "clients closed by the node", seen->lost, 0, "");
    bench_latency_report(report, &seen->latency, keys, labels);
    bool queued = field->options->queued;
    bench_report_number(report, "answer_p50_us",
                        queued ? "publish to confirm p50" : "POST to answer p50",
                        (double)bench_hist_quantile(&pushed->answer, 0.5) / 1e3, 1, "us");
    bench_report_number(report, "answer_p99_us",
                        queued ? "publish to confirm p99" : "POST to answer p99",
                        (double)bench_hist_quantile(&pushed->answer, 0.99) / 1e3, 1, "us");
    bench_report_number(report, "messages_per_receive", "messages for each receive call",
                        seen->receives > 0 ? (double)seen->received / (double)seen->receives : 0, 2,
                        "");
    cost_report(field, result, report);
    tiredness_report(result, report);
    bench_result_faults(result, report);
}
