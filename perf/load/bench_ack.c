/* The scenario of messages that are to be acknowledged: one run without, then the same with. Some
 * clients never acknowledge, some connect anew all the time; the others may hold some messages and
 * acknowledge them in random order. When all is still, the totals of the node's ledger are compared
 * with what the producers were told:
 *   accepted by the node = taken, as the producers know = acked + pending, and pending are exactly
 *   those of the clients that never acknowledge, and what is held.
 * Then the node is asked what became of some messages, and that is compared with what the client of
 * each has acknowledged (bench_fates.h). */
#include "perf/load/bench_scenario.h"
#include "perf/load/bench_stats.h"

#include "core/base/clock.h"

#include <stdio.h>

#define RECONNECT_EVERY_NS NS_PER_S
/* A client's silence is over (--ack-silence) and what was lost with a connection has come again. */
#define SETTLE_S 25
/* The last acknowledgements are told. */
#define FATES_PATIENCE_NS (2 * NS_PER_S)

static struct bench_result plain, asked; /* too large for a stack */

/* What the node's store did; a node without one has no such metrics. */
struct store_seen {
    double records, bytes, syncs, sync_s;
};

static double ms_of(const struct bench_hist *hist, double quantile) {
    return (double)bench_hist_quantile(hist, quantile) / 1e6;
}

static double us_message(const struct bench_result *run) {
    return run->pushed.accepted > 0 ? run->server_cpu_s * 1e6 / (double)run->pushed.accepted : 0;
}

static double ratio(double of, double to) {
    return to > 0 ? of / to : 0;
}

/* Accepted messages for clients that never acknowledge. */
static uint64_t never_count(const struct bench_share *share) {
    const struct bench_aim *aim = &share->aims[BENCH_UNICAST];
    uint64_t count = 0;
    for (uint32_t i = 0; i < aim->addresses; i++)
        count += bench_never(share, i) ? share->accepted[aim->first + i] : 0;
    return count;
}

/* Waits until so many are pending; false if it did not come to that. */
static bool settled_wait(struct bench_field *field, uint64_t pending, struct bench_stats *now) {
    const struct bench_options *o = field->options;
    uint64_t end_ns = clock_ns() + SETTLE_S * NS_PER_S;
    do {
        bench_field_idle(field, 0.1);
        if (!bench_stats_read(&field->server.api, o->api_key, now))
            return false;
    } while (now->ack_pending != pending && clock_ns() < end_ns && !bench_interrupted);
    return now->ack_pending == pending;
}

/* What the node and the producers say of the same messages. */
static void ledger_check(uint64_t taken, uint64_t never, uint64_t held,
                         const struct bench_stats *before, const struct bench_stats *now,
                         struct bench_report *report) {
    uint64_t accepted = now->ack_accepted - before->ack_accepted;
    uint64_t acked = now->ack_acked - before->ack_acked;
    uint64_t expired = now->ack_expired - before->ack_expired;
    uint64_t dropped = now->ack_dropped - before->ack_dropped;
    uint64_t pending = now->ack_pending - before->ack_pending;
    bench_report_number(report, "ledger_accepted", "ledger: accepted", (double)accepted, 0, "");
    bench_report_number(report, "ledger_acked", "  acknowledged", (double)acked, 0, "");
    bench_report_number(report, "ledger_pending", "  pending", (double)pending, 0, "");
    bench_report_number(report, "ledger_expired", "  expired", (double)expired, 0, "");
    if (accepted != taken)
        bench_report_fault(report,
                           "producers were told of %llu accepted messages, the ledger has "
                           "%llu",
                           (unsigned long long)taken, (unsigned long long)accepted);
    if (accepted != acked + expired + dropped + pending)
        bench_report_fault(report,
                           "the ledger does not balance: %llu accepted, %llu acknowledged, "
                           "%llu expired, %llu dropped, %llu pending",
                           (unsigned long long)accepted, (unsigned long long)acked,
                           (unsigned long long)expired, (unsigned long long)dropped,
                           (unsigned long long)pending);
    if (pending != never + held || expired + dropped != 0)
        bench_report_fault(report,
                           "%llu messages are for clients that never acknowledge, %llu are "
                           "held, but %llu are pending, %llu expired and %llu dropped",
                           (unsigned long long)never, (unsigned long long)held,
                           (unsigned long long)pending, (unsigned long long)expired,
                           (unsigned long long)dropped);
}

static enum bench_told fate_ask(void *argument, const char *id) {
    const struct bench_field *field = argument;
    return bench_fate_read(&field->server.api, field->options->api_key, id);
}

/* What single clients know; `forgets`: the node has forgotten some fates in the run. */
static void fates_check(struct bench_field *field, bool forgets, struct bench_report *report) {
    const struct bench_fates *samples[BENCH_SWARMS_MAX];
    for (uint32_t i = 0; i < field->swarms; i++)
        samples[i] = &field->share->tallies[i].fates;
    bench_fates_compare(samples, field->swarms, fate_ask, field, forgets, FATES_PATIENCE_NS,
                        report);
}

static double forgotten_read(const struct bench_field *field) {
    return bench_metric_read(&field->server.api, field->options->api_key,
                             "ringpost_fates_forgotten_total");
}

static struct store_seen store_read(struct bench_field *field) {
    const struct sockaddr_in *api = &field->server.api;
    const char *key = field->options->api_key;
    return (struct store_seen){
        .records = bench_metric_read(api, key, "ringpost_store_records_total"),
        .bytes = bench_metric_read(api, key, "ringpost_store_written_bytes_total"),
        .syncs = bench_metric_read(api, key, "ringpost_store_sync_seconds_count"),
        .sync_s = bench_metric_read(api, key, "ringpost_store_sync_seconds_sum")};
}

static void store_report(const struct store_seen *before, const struct store_seen *now,
                         const struct bench_result *run, struct bench_report *report) {
    double syncs = now->syncs - before->syncs, records = now->records - before->records;
    if (before->syncs < 0 || run->wall_s <= 0)
        return;
    bench_report_number(report, "store_records_per_s", "store: records", records / run->wall_s, 0,
                        "a second");
    bench_report_number(report, "store_record_bytes", "  bytes of each",
                        ratio(now->bytes - before->bytes, records), 0, "");
    bench_report_number(report, "store_syncs_per_s", "  fdatasync", syncs / run->wall_s, 0,
                        "a second");
    bench_report_number(report, "store_sync_us", "  fdatasync, mean",
                        ratio(now->sync_s - before->sync_s, syncs) * 1e6, 0, "us");
}

static void ack_report(const struct bench_result *run, const struct bench_tally *seen,
                       struct bench_report *report) {
    bench_report_number(report, "plain_us_per_message", "without: node CPU for a message",
                        us_message(&plain), 2, "us");
    bench_report_number(report, "plain_p50_us", "  latency p50",
                        ms_of(&plain.seen.latency, 0.5) * 1e3, 0, "us");
    bench_report_number(report, "plain_p99_us", "  latency p99",
                        ms_of(&plain.seen.latency, 0.99) * 1e3, 0, "us");
    bench_report_number(report, "us_ratio", "with, to without: node CPU for a message",
                        ratio(us_message(run), us_message(&plain)), 2, "");
    bench_report_number(report, "p50_ratio", "  latency p50",
                        ratio(ms_of(&run->seen.latency, 0.5), ms_of(&plain.seen.latency, 0.5)), 2,
                        "");
    bench_report_number(report, "answer_ratio", "  POST to answer p50, to latency p50 without",
                        ratio(ms_of(&run->pushed.answer, 0.5), ms_of(&plain.seen.latency, 0.5)), 2,
                        "");
    bench_report_number(report, "acked_per_s", "acknowledged",
                        run->wall_s > 0 ? (double)seen->acks / run->wall_s : 0, 0, "messages/s");
    bench_report_number(report, "held", "held at the end", (double)seen->held, 0, "messages");
    bench_report_number(report, "again", "came again", (double)seen->again, 0, "messages");
    bench_report_number(report, "reconnects", "clients connected anew", (double)seen->reconnects, 0,
                        "");
}

bool bench_ack(struct bench_field *field, struct bench_report *report) {
    const struct bench_options *o = field->options;
    static struct bench_stats before, now;
    static struct bench_tally seen;
    struct bench_share *share = field->share;
    if (o->batch != 1 || (o->hold != 0 && o->reconnect != 0)) {
        fputs(o->batch != 1 ? "ringpost bench: ack goes without --batch\n"
                            : "ringpost bench: --hold needs --reconnect 0\n",
              stderr);
        return false;
    }
    bench_report_number(report, "never_percent", "clients that never acknowledge", o->never, 0,
                        "%");
    bench_report_number(report, "reconnect_percent", "clients that connect anew every second",
                        o->reconnect, 0, "%");
    if (!bench_field_connect(field, o->ramp, o->pending))
        return false;
    struct bench_push push = bench_push_for(field, o->rate, o->seconds);
    push.at_write = o->wait;
    bench_field_run(field, &push, "without", &plain);
    bench_result_faults(&plain, report);
    if (bench_interrupted || !bench_stats_read(&field->server.api, o->api_key, &before))
        return true;
    bench_producers_ask(&field->producers, o->wait);
    atomic_store_explicit(&share->reconnect_every_ns, o->reconnect != 0 ? RECONNECT_EVERY_NS : 0,
                          memory_order_relaxed);
    push = bench_push_for(field, o->rate, o->seconds);
    push.at_write = o->wait;
    double forgotten = forgotten_read(field);
    struct store_seen store_before = store_read(field);
    bench_field_run(field, &push, "acknowledged", &asked);
    struct store_seen store_now = store_read(field);
    atomic_store_explicit(&share->reconnect_every_ns, 0, memory_order_relaxed);
    bench_result_report(field, &asked, report);
    if (bench_interrupted)
        return true;
    uint64_t never = never_count(share);
    bench_share_sum(share, &seen);
    (void)settled_wait(field, before.ack_pending + never + seen.held, &now);
    bench_share_sum(share, &seen);
    ack_report(&asked, &seen, report);
    store_report(&store_before, &store_now, &asked, report);
    ledger_check(asked.pushed.accepted, never, seen.held, &before, &now, report);
    if (!bench_interrupted)
        fates_check(field, forgotten_read(field) != forgotten, report);
    return true;
}

bool bench_ack_max(struct bench_field *field, struct bench_report *report) {
    const struct bench_options *o = field->options;
    if (!bench_field_connect(field, o->ramp, o->pending))
        return false;
    bench_search(field, o->seconds, &plain, report);
    double highest = bench_rate_held(&plain);
    bench_report_number(report, "plain_highest_rate", "without: highest rate that holds", highest,
                        0, "messages/s");
    bench_producers_ask(&field->producers, o->wait);
    bench_search(field, o->seconds, &asked, report);
    bench_report_number(report, "highest_rate", "highest rate that holds", bench_rate_held(&asked),
                        0, "messages/s");
    bench_report_number(report, "rate_ratio", "with, to without: highest rate",
                        ratio(bench_rate_held(&asked), highest), 2, "");
    if (asked.rate > 0)
        bench_result_report(field, &asked, report);
    else
        bench_report_fault(report, "no rate held");
    return true;
}
