/* The scenarios with steady traffic. */
#include "main/bench_scenario.h"

#include "core/base/clock.h"

#include <stdio.h>
#include <string.h>

static struct bench_result result; /* too large for a stack */

static bool field_ready(struct bench_field *field) {
    return bench_field_connect(field, field->options->ramp, field->options->pending);
}

static void steady_run(struct bench_field *field, double rate, bool at_write,
                       struct bench_report *report) {
    struct bench_push push = bench_push_for(field, rate, field->options->seconds);
    push.at_write = at_write;
    bench_field_run(field, &push, field->options->scenario, &result);
    bench_result_report(field, &result, report);
    if (result.pushed.given_up != 0)
        bench_report_fault(report, "%llu messages could not be written in time",
                           (unsigned long long)result.pushed.given_up);
}

bool bench_unicast(struct bench_field *field, struct bench_report *report) {
    if (!field_ready(field))
        return false;
    steady_run(field, field->options->rate, false, report);
    return true;
}

bool bench_broadcast(struct bench_field *field, struct bench_report *report) {
    return bench_unicast(field, report);
}

bool bench_groups(struct bench_field *field, struct bench_report *report) {
    return bench_unicast(field, report);
}

bool bench_ping(struct bench_field *field, struct bench_report *report) {
    if (!field_ready(field))
        return false;
    steady_run(field, field->options->rate, true, report);
    return true;
}

bool bench_receive(struct bench_field *field, struct bench_report *report) {
    struct bench_mark from, to;
    if (!field_ready(field))
        return false;
    bench_share_begin(field->share);
    bench_field_idle(field, 0.3);
    uint64_t before = bench_share_received(field->share, field->swarms);
    bench_mark_take(field, &from);
    bench_field_idle(field, field->options->seconds);
    bench_mark_take(field, &to);
    uint64_t after = bench_share_received(field->share, field->swarms);
    bench_share_sum(field->share, &result.seen);
    double wall_s = (double)(to.at_ns - from.at_ns) / 1e9, count = (double)(after - before);
    double own = (double)(to.own_ns[0] - from.own_ns[0]) / 1e9;
    double server = (double)(to.server_ns - from.server_ns) / 1e9;
    double receives = (double)result.seen.receives;
    bench_report_number(report, "clients", "clients", field->share->clients, 0, "");
    bench_report_number(report, "deliveries_per_s", "delivered", count / wall_s, 0, "messages/s");
    bench_report_number(report, "server_us_per_delivery", "sender CPU for each",
                        count > 0 ? server * 1e6 / count : 0, 3, "us");
    bench_report_number(report, "server_percent", "sender", server / wall_s * 100, 0,
                        "% of a core");
    bench_report_number(report, "generator_percent", "receiver", own / wall_s * 100, 0,
                        "% of a core");
    bench_report_number(report, "messages_per_receive", "messages for each receive call",
                        receives > 0 ? (double)result.seen.received / receives : 0, 2, "");
    bench_result_faults(&result, report);
    return true;
}

static bool probe(struct bench_field *field, double rate, double seconds,
                  struct bench_result *found) {
    char what[64];
    snprintf(what, sizeof what, "trying %.0f/s", rate);
    struct bench_push push = bench_push_for(field, rate, seconds);
    bench_field_run(field, &push, what, found);
    /* what others took from the node is no word about the node: once more */
    if (!found->held && found->others > 0.15 && !bench_interrupted)
        bench_field_run(field, &push, what, found);
    return found->held;
}

void bench_search(struct bench_field *field, double seconds, struct bench_result *best,
                  struct bench_report *report) {
    struct bench_push push = bench_push_for(field, 0, seconds / 2);
    bench_field_run(field, &push, "as fast as it goes", &result);
    memset(best, 0, sizeof *best);
    double closed = result.wall_s > 0 ? (double)result.seen.received / result.wall_s : 0;
    bench_report_number(report, "closed_loop_per_s", "closed loop, for comparison", closed, 0,
                        "messages/s");
    bench_result_faults(&result, report);
    double low = 0, high = 0, rate = closed * 0.9;
    for (int i = 0; i < 8 && rate > 1 && !bench_interrupted; i++) {
        if (probe(field, rate, seconds, &result)) {
            low = rate;
            *best = result;
        } else {
            high = rate;
        }
        if (low > 0 && high > 0 && high / low < 1.05)
            break;
        rate = high == 0 ? low * 1.2 : low == 0 ? high * 0.7 : (low + high) / 2;
    }
}

bool bench_unicast_max(struct bench_field *field, struct bench_report *report) {
    static struct bench_result best;
    if (!field_ready(field))
        return false;
    bench_search(field, field->options->seconds, &best, report);
    bench_report_number(report, "highest_rate", "highest rate that holds", best.rate, 0,
                        "messages/s");
    if (best.rate > 0)
        bench_result_report(field, &best, report);
    else
        bench_report_fault(report, "no rate held");
    return true;
}
