/* The scenarios with steady traffic. */
#include "perf/load/bench_scenario.h"

#include "core/base/clock.h"
#include "perf/load/bench_stats.h"

#include <stdio.h>
#include <string.h>

static struct bench_result result; /* too large for a stack */

static bool field_ready(struct bench_field *field) {
    return bench_field_connect(field, field->options->ramp, field->options->pending);
}

static void unwritten_report(struct bench_report *report) {
    if (result.pushed.given_up != 0)
        bench_report_fault(report, "%llu messages could not be written in time",
                           (unsigned long long)result.pushed.given_up);
}

static void steady_run(struct bench_field *field, double rate, bool at_write,
                       struct bench_report *report) {
    struct bench_push push = bench_push_for(field, rate, field->options->seconds);
    push.at_write = at_write;
    bench_field_run(field, &push, field->options->scenario, &result);
    bench_result_report(field, &result, report);
    unwritten_report(report);
}

/* What the node counts of polls; -1: it does not tell. */
struct polled {
    double requests, relays;
};

static struct polled polled_read(const struct bench_field *field) {
    const struct sockaddr_in *api = &field->server.api;
    const char *key = field->options->api_key;
    return (struct polled){bench_metric_sum(api, key, "ringpost_engine_requests_total"),
                           bench_metric_sum(api, key, "ringpost_relays_total")};
}

#define FOREIGN_MIN 0.3 /* of the share that chance makes of them: few addresses are uneven */

/* Polls prove something if sessions had no connection of their own, and many polls came to another
 * worker than that of their session. */
static void polls_report(const struct bench_field *field, const struct polled *before,
                         struct bench_report *report) {
    const struct bench_tally *seen = &result.seen;
    double clients = field->share->clients, polls = (double)seen->polls;
    struct polled after = polled_read(field);
    struct bench_stats stats;
    bench_report_number(report, "polls", "polls", polls, 0, "");
    bench_report_number(report, "polls_moved_percent", "  on another connection than the last",
                        polls > 0 ? (double)seen->polls_moved / polls * 100 : 0, 1, "%");
    bench_report_number(report, "connections_shared", "connections that had several sessions",
                        seen->shared, 0, "");
    bench_report_number(report, "sessions_carried", "  sessions that each had (8: or more), mean",
                        seen->carried / clients, 1, "");
    if (seen->shared < clients / 2)
        bench_report_fault(report,
                           "only %u of %.0f connections had several sessions: the run "
                           "was too short to prove anything",
                           seen->shared, clients);
    if (before->requests < 0 || after.requests <= before->requests ||
        !bench_stats_read(&field->server.api, field->options->api_key, &stats)) {
        bench_report_note(report, "the node does not tell which polls met another worker");
        return;
    }
    double foreign = (after.relays - before->relays) / (after.requests - before->requests);
    bench_report_number(report, "polls_foreign_percent", "  that met another worker", foreign * 100,
                        1, "%");
    if (foreign < FOREIGN_MIN * (1 - 1.0 / stats.workers))
        bench_report_fault(report, "only %.1f %% of the polls met another worker of the %u",
                           foreign * 100, stats.workers);
}

bool bench_unicast(struct bench_field *field, struct bench_report *report) {
    bool polls = field->options->form == BENCH_FORM_POLL;
    if (!field_ready(field))
        return false;
    struct polled before = {-1, -1};
    if (polls)
        before = polled_read(field);
    steady_run(field, field->options->rate, false, report);
    if (polls)
        polls_report(field, &before, report);
    return true;
}

bool bench_broadcast(struct bench_field *field, struct bench_report *report) {
    if (!field_ready(field))
        return false;
    steady_run(field, field->options->rate, false, report);
    return true;
}

bool bench_groups(struct bench_field *field, struct bench_report *report) {
    return bench_broadcast(field, report);
}

#define FILL_S 300 /* a queue with many messages takes its time */

/* The queue is filled, and then given out. */
static void drain_run(struct bench_field *field, struct bench_report *report) {
    struct bench_push push = bench_push_for(field, 1e9, 1);
    push.messages = field->options->preload;
    push.end_ns = push.start_ns + FILL_S * NS_PER_S;
    bench_field_run(field, &push, "amqp", &result);
    double received = (double)result.seen.received;
    bench_report_number(report, "clients", "clients", field->share->clients, 0, "");
    bench_report_number(report, "accepted", "messages in the queue", (double)result.pushed.accepted,
                        0, "");
    bench_report_number(report, "delivered", "delivered", received, 0, "messages");
    bench_report_number(report, "drain_s", "  in", result.drain_s, 3, "s");
    bench_report_number(report, "messages_per_s", "  a second",
                        result.drain_s > 0 ? received / result.drain_s : 0, 0, "messages/s");
    bench_report_number(report, "server_us_per_message", "node CPU for a message",
                        received > 0 ? result.server_cpu_s * 1e6 / received : 0, 2, "us");
    bench_result_broker(field, &result, report);
    bench_hist_clear(&result.pushed.late); /* there was no schedule */
    bench_result_generator(&result, report);
    bench_result_faults(&result, report);
    unwritten_report(report);
}

bool bench_amqp(struct bench_field *field, struct bench_report *report) {
    if (!field_ready(field))
        return false;
    if (field->options->preload != 0)
        drain_run(field, report);
    else
        steady_run(field, field->options->rate, false, report);
    return true;
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
    bench_field_begin(field);
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
    if (count == 0)
        bench_report_fault(report, "nothing arrived");
    bench_result_faults(&result, report);
    return true;
}

#define TRIES_MAX 12u
#define BRACKET 1.03 /* the search ends when what held and what did not are this close */

struct search {
    struct bench_field *field;
    struct bench_report *report;
    struct bench_result *best;
    double seconds;
    uint32_t tries;
    double refused_busiest; /* share of a core that we had, at the last rate that did not hold */
    double refused_others;  /* that others had, at the same */
};

/* What must never happen, however many messages are offered. A client that the node closed for
 * being slow misses what was for it. */
static void losses_report(const struct bench_result *run, struct bench_report *report) {
    const struct bench_tally *seen = &run->seen;
    if (run->missing != 0 && seen->lost == 0)
        bench_report_fault(report, "%llu accepted messages did not arrive at %.0f/s",
                           (unsigned long long)run->missing, run->rate);
    uint64_t wrong = seen->duplicate + seen->disordered + seen->misrouted + seen->damaged;
    if (wrong != 0)
        bench_report_fault(report,
                           "%llu messages repeated, out of order, astray or damaged, at "
                           "%.0f/s",
                           (unsigned long long)wrong, run->rate);
    if (bench_unanswered(&run->pushed) != 0)
        bench_report_fault(report, "%llu messages got no answer at %.0f/s",
                           (unsigned long long)bench_unanswered(&run->pushed), run->rate);
}

/* Clients that the node closed in a run come back, or every later rate would be refused for their
 * absence. If some cannot, that is said, and the next run tells what follows from it. */
static void clients_return(struct bench_field *field, const struct bench_result *run) {
    if (run->seen.lost == 0 || bench_interrupted)
        return;
    bench_field_disconnect(field);
    (void)field_ready(field);
}

/* Does the rate hold? One failure may be that of the host, which stalls now and then: a second try
 * decides. */
static bool rate_holds(struct search *search, double rate) {
    char what[64];
    double busiest = 0, others = 0;
    for (int i = 0; i < 2 && search->tries < TRIES_MAX && !bench_interrupted; i++) {
        struct bench_push push = bench_push_for(search->field, rate, search->seconds);
        snprintf(what, sizeof what, "try %u of at most %u, %.0f/s", ++search->tries, TRIES_MAX,
                 rate);
        bench_field_run(search->field, &push, what, &result);
        if (bench_interrupted)
            return false;
        struct bench_try entry = {
            .rate = rate,
            .p99_ms = (double)bench_hist_quantile(&result.seen.latency, 0.99) / 1e6,
            .generator_percent = result.own_busiest * 100,
            .late_p99_ms = (double)bench_hist_quantile(&result.pushed.late, 0.99) / 1e6,
            .others_percent = result.others < 0 ? -1 : result.others * 100,
            .behind = result.behind,
            .refused = result.pushed.refused,
            .missing = result.missing,
            .held = result.held,
        };
        bench_result_why(&result, entry.why, sizeof entry.why);
        bench_report_try(search->report, &entry);
        losses_report(&result, search->report);
        clients_return(search->field, &result);
        if (result.held) {
            *search->best = result;
            return true;
        }
        busiest = result.own_busiest > busiest ? result.own_busiest : busiest;
        search->refused_busiest = busiest;
        others = result.others > others ? result.others : others;
        search->refused_others = others;
    }
    return false;
}

/* Where to begin: the better of two closed loops, since one that the host stalls says too little.
 */
static double first_guess(struct bench_field *field, double seconds, struct bench_report *report) {
    double closed = 0;
    for (int i = 0; i < 2 && !bench_interrupted; i++) {
        struct bench_push push = bench_push_for(field, 0, seconds / 2);
        bench_field_run(field, &push, "as fast as it goes", &result);
        double rate =
            result.wall_s > 0 ? (double)result.seen.received / result.wall_s / result.fan : 0;
        closed = rate > closed ? rate : closed;
        bench_result_faults(&result, report);
        clients_return(field, &result);
    }
    bench_report_number(report, "closed_loop_per_s", "closed loop, for comparison", closed, 0,
                        "messages/s");
    return closed;
}

/* A load tool without CPU to spare measures itself; so it does when others take the CPU from it at
 * the rate that did not hold. What they took at the one that did is told with its figures. */
static void bound_report(const struct search *search) {
    double busiest = search->best->own_busiest;
    busiest = search->refused_busiest > busiest ? search->refused_busiest : busiest;
    if (busiest >= BENCH_SATURATED)
        bench_report_note(search->report,
                          "highest rate: a lower bound: the generator had %.0f %% of a core",
                          busiest * 100);
    if (search->refused_others >= BENCH_OTHERS)
        bench_report_note(search->report,
                          "not a quiet machine: others used %.0f %% of a core at a rate that did "
                          "not hold; the highest rate is a lower bound",
                          search->refused_others * 100);
}

double bench_rate_held(const struct bench_result *best) {
    double reached = best->wall_s > 0 ? (double)best->seen.received / best->wall_s / best->fan : 0;
    return best->rate < reached ? best->rate : reached;
}

void bench_search(struct bench_field *field, double seconds, struct bench_result *best,
                  struct bench_report *report) {
    struct search search = {.field = field, .report = report, .best = best, .seconds = seconds};
    memset(best, 0, sizeof *best);
    double low = 0, high = 0, rate = first_guess(field, seconds, report) * 0.9;
    bool done = false;
    while (!done && search.tries < TRIES_MAX && rate > 1 && !bench_interrupted) {
        if (rate_holds(&search, rate))
            low = rate;
        else
            high = rate;
        done = low > 0 && high > 0 && high / low < BRACKET;
        rate = high == 0 ? low * 1.25 : low == 0 ? high * 0.75 : (low + high) / 2;
    }
    bound_report(&search);
    if (done)
        return;
    if (low > 0 && high > 0)
        bench_report_note(report,
                          "after %u tries: %.0f/s held, %.0f/s did not; nothing between "
                          "was tried",
                          search.tries, low, high);
    else if (low > 0)
        bench_report_note(report, "after %u tries: no rate was found that does not hold",
                          search.tries);
}

bool bench_unicast_max(struct bench_field *field, struct bench_report *report) {
    static struct bench_result best;
    if (!field_ready(field))
        return false;
    bench_search(field, field->options->seconds, &best, report);
    bench_report_number(report, "highest_rate", "highest rate that holds", bench_rate_held(&best),
                        0, "messages/s");
    if (best.rate > 0)
        bench_result_report(field, &best, report);
    else
        bench_report_fault(report, "no rate held");
    return true;
}
