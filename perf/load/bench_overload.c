/* The scenario of too much: a shape of load finds its highest rate, gets three times that, and half
 * of it right after. A lone slow producer and every client's heartbeat go on beside it. */
#include "perf/load/bench_overload.h"

#include "core/base/clock.h"
#include "perf/load/bench_proc.h"
#include "perf/load/bench_scenario.h"
#include "perf/load/bench_stats.h"
#include "perf/load/bench_text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GIVE_UP_NS NS_PER_S
#define RECOVERY_SECONDS 3
#define RECOVERY_SLOTS 29 /* of BENCH_SLOT_NS: the last one may be cut short */
#define SLOW_NS (200 * NS_PER_MS)
/* Less of a core than this left to a process of ours: it had no time to spare. */
#define IDLE_MIN 0.1
/* Of what was to be written: so much less is no word about anything. */
#define WRITTEN_MIN 0.98
/* The host took so much of the CPU: that is told. */
#define STOLEN_TOLD 0.01
#define TURN_METRIC "ringpost_turn_longest_seconds"

/* An overload lasts tens of milliseconds for each message: there so much is no loss. */
#define GATHER_US 300
#define SEND_BUFFER_BYTES 65536
#define LONE_RATE 10
#define HEARTBEAT_S 5

static const struct shape {
    const char *name;
    enum bench_kind kind;
    uint32_t clients, producers, inflight;
    uint32_t members; /* of the groups; together they are on one worker. 0: no such thing */
    uint32_t groups;  /* 0: as given */
    bool closed;      /* the flood is not on a schedule: what is answered is asked again at once */
    double group_part, broadcast_part;
} shapes[] = {
    {"flood", BENCH_UNICAST, 10000, 64, 0, 0, 0, false, 0, 0},
    {"keepalive", BENCH_UNICAST, 10000, 4000, 1, 0, 0, true, 0, 0},
    {"single", BENCH_UNICAST, 10000, 1, 0, 0, 0, false, 0, 0},
    {"group", BENCH_GROUP, 2000, 16, 0, 1500, 1, false, 0, 0},
    {"broadcast", BENCH_BROADCAST, 10000, 4, 0, 0, 0, false, 0, 0},
    {"mixed", BENCH_UNICAST, 10000, 64, 0, 0, 0, false, 0.05, 0.0002},
};

static const struct shape *shape;
static struct bench_result best, flood, after; /* too large for a stack */

bool bench_overload_prepare(struct bench_options *o, enum bench_kind *kind) {
    const char *name = o->shape != NULL ? o->shape : shapes[0].name;
    shape = NULL;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shapes[i].name, name) == 0)
            shape = &shapes[i];
    if (shape == NULL) {
        bench_complain("no shape `%s`; --help lists them", name);
        return false;
    }
    *kind = shape->kind;
    o->clients = o->clients != 0 ? o->clients : shape->clients;
    o->producers = o->producers != 0 ? o->producers : shape->producers;
    o->inflight = o->inflight != BENCH_NOT_GIVEN ? o->inflight : shape->inflight;
    o->groups = shape->groups != 0 ? shape->groups : o->groups;
    o->gather_us = o->gather_us != BENCH_NOT_GIVEN ? o->gather_us : GATHER_US;
    o->send_buffer = o->send_buffer != 0 ? o->send_buffer : SEND_BUFFER_BYTES;
    o->lone = o->lone >= 0 ? o->lone : LONE_RATE;
    o->heartbeat_s = o->heartbeat_s >= 0 ? o->heartbeat_s : HEARTBEAT_S;
    o->members = shape->members < o->clients ? shape->members : o->clients;
    o->together = shape->members != 0;
    o->group_part = shape->group_part;
    o->broadcast_part = shape->broadcast_part;
    o->apart = o->tickets = true;
    return true;
}

/* How many messages of a schedule are due before a slot; see bench_producer.h. */
static uint64_t due_before(double rate, uint32_t slot) {
    uint64_t at_ms = slot * BENCH_SLOT_NS / NS_PER_MS;
    uint64_t i = (uint64_t)(rate * (double)at_ms / 1000.0);
    i = i > 0 ? i - 1 : 0; /* what is left to rounding is counted below */
    while ((uint64_t)((double)i * 1000.0 / rate) < at_ms)
        i++;
    return i;
}

/* Seconds from the start of the run until every later slot is served well: all its deliveries,
 * `fan` for each message, came, no more than 1 % of them slower than the limit. What was refused,
 * never written or lost did not come. -1: never. */
static double recovered_after_s(const struct bench_tally *seen, double rate, double fan,
                                uint32_t slots) {
    uint32_t bad = 0;
    for (uint32_t i = 0; i < slots && i < BENCH_SLOTS; i++) {
        double due = (double)(due_before(rate, i + 1) - due_before(rate, i)) * fan;
        if ((double)seen->slot_count[i] < due || seen->slot_slow[i] * 100 > seen->slot_timed[i])
            bad = i + 1;
    }
    return bad == slots ? -1 : (double)bad * (double)BENCH_SLOT_NS / 1e9;
}

static double ms_of(const struct bench_hist *hist, double quantile) {
    return (double)bench_hist_quantile(hist, quantile) / 1e6;
}

/* What explains how a rate was reached: how much came together, and what each message cost. */
static void load_report(const struct bench_field *field, const struct bench_result *run,
                        const char *const keys[2], struct bench_report *report) {
    double receives = (double)run->seen.receives, accepted = (double)run->pushed.accepted;
    bench_report_number(report, keys[0], "  messages for each receive call",
                        receives > 0 ? (double)run->seen.received / receives : 0, 2, "");
    if (field->server.pid != 0)
        bench_report_number(report, keys[1], "  node CPU for an accepted message",
                            accepted > 0 ? run->server_cpu_s * 1e6 / accepted : 0, 2, "us");
}

/* Where there are messages of several kinds, the latency of each. */
static void kinds_report(const struct bench_share *share, const struct bench_result *run,
                         struct bench_report *report) {
    static const struct {
        const char *key, *label;
    } of[BENCH_LONE] = {
        [BENCH_UNICAST] = {"flood_unicast_p99_us", "    of those to one client"},
        [BENCH_GROUP] = {"flood_group_p99_us", "    of those to groups"},
        [BENCH_BROADCAST] = {"flood_broadcast_p99_us", "    of those to all clients"},
    };
    static struct bench_hist latency;
    for (unsigned kind = BENCH_UNICAST; kind < BENCH_LONE; kind++) {
        bench_share_latency(share, (enum bench_kind)kind, &latency);
        if (latency.count != 0 && latency.count != run->seen.latency.count)
            bench_report_number(report, of[kind].key, of[kind].label, ms_of(&latency, 0.99) * 1e3,
                                0, "us");
    }
}

/* What was offered, and why it was not more. */
static void offered_report(const struct bench_result *run, double highest, double times,
                           struct bench_report *report) {
    double written = (double)run->pushed.sent / run->offered_s;
    double asked = run->rate > 0 ? run->rate : highest * times;
    double spare = 1 - run->own_producers - run->wait_producers;
    char text[200];
    bench_report_number(report, "offered_per_s", "then offered", asked, 0, "messages/s");
    bench_report_number(report, "written_per_s", "  written of it", written, 0, "messages/s");
    bench_report_number(report, "written_times", "  against the highest rate",
                        highest > 0 ? written / highest : 0, 2, "");
    bench_report_number(report, "flood_given_up", "  given up after 1 s",
                        (double)run->pushed.given_up, 0, "messages");
    const char *what = "as asked for", *why = "all of it was written";
    if (run->rate <= 0)
        what = "closed", why = "a closed loop: what is answered is asked again at once";
    else if (written < WRITTEN_MIN * asked && spare < IDLE_MIN)
        what = "generator", why = "all that the generator could write: it had no CPU to spare";
    else if (written < WRITTEN_MIN * asked)
        what = "node", why = "all that the node read: the producers' sockets were full";
    bench_report_text(report, "offered_by", NULL, what);
    snprintf(text, sizeof text, "%s (of a core: producers ran %.0f %%, waited for it %.0f %%)", why,
             run->own_producers * 100, run->wait_producers * 100);
    bench_report_text(report, "offered_why", "  that is", text);
    if (run->pushed.unread != 0)
        bench_report_number(report, "flood_unread", "  given up since a socket was full",
                            (double)run->pushed.unread, 0, "messages");
}

static void flood_report(const struct bench_share *share, const struct bench_result *run,
                         double highest, struct bench_report *report) {
    double copies = (double)run->copies.arrived / run->wall_s;
    bench_report_number(report, "goodput_per_s", "  delivered of it", copies / run->fan, 0,
                        "messages/s");
    bench_report_number(report, "goodput_copies_per_s", "  copies of these", copies, 0,
                        "deliveries/s");
    bench_report_number(report, "flood_sent", NULL, (double)run->pushed.sent, 0, "");
    bench_report_number(report, "flood_accepted", NULL, (double)run->pushed.accepted, 0, "");
    bench_report_number(report, "flood_delivered", NULL, (double)run->copies.arrived, 0, "");
    bench_report_number(report, "goodput_ratio", "  against the highest rate",
                        highest > 0 ? copies / run->fan / highest : 0, 2, "");
    bench_report_number(report, "flood_refused", "  refused (503, 429)",
                        (double)run->pushed.refused, 0, "messages");
    bench_report_number(report, "flood_p50_us", "  latency of the accepted from the write, p50",
                        ms_of(&run->seen.latency, 0.5) * 1e3, 0, "us");
    bench_report_number(report, "flood_p99_us", "  latency of the accepted from the write, p99",
                        ms_of(&run->seen.latency, 0.99) * 1e3, 0, "us");
    kinds_report(share, run, report);
    bench_report_number(report, "flood_max_us", "  latency of the accepted from the write, max",
                        (double)run->seen.latency.max_ns / 1e3, 0, "us");
    bench_report_number(report, "flood_unread_p99_us",
                        "  then lay unread in the client's socket, p99",
                        ms_of(&run->seen.unread, 0.99) * 1e3, 0, "us");
    bench_report_number(report, "flood_answer_p99_us", "  from the write to the answer, p99",
                        ms_of(&run->pushed.answer, 0.99) * 1e3, 0, "us");
    bench_report_number(report, "generator_producers_percent", "  generator: the producers",
                        run->own_producers * 100, 0, "% of a core");
    bench_report_number(report, "generator_producers_waited_percent", "    waited for a core",
                        run->wait_producers * 100, 0, "% of the time");
    bench_report_number(report, "generator_percent", "  generator: the busiest of the clients",
                        run->own_clients * 100, 0, "% of a core");
    bench_report_number(report, "generator_waited_percent", "    waited for a core",
                        run->wait_clients * 100, 0, "% of the time");
    if (run->own_clients + run->wait_clients > 1 - IDLE_MIN)
        bench_report_note(report,
                          "overload: a bound: the process of the clients had no CPU to spare (ran "
                          "%.0f %%, waited for a core %.0f %%); goodput may be more, latency less",
                          run->own_clients * 100, run->wait_clients * 100);
    if (run->others >= BENCH_OTHERS)
        bench_report_note(
            report,
            "not a quiet machine: others used %.0f %% of a core in the overload; " BENCH_BOUNDS,
            run->others * 100);
    if (run->seen.forgotten != 0)
        bench_report_note(report,
                          "overload: %llu deliveries were of messages so old that their time was "
                          "forgotten; their latency is a lower bound",
                          (unsigned long long)run->seen.forgotten);
    if (run->pushed.refused == 0)
        bench_report_note(report, "overload: nothing was refused");
}

/* The lone producer's messages, those that did not arrive as if they had taken as long as all of
 * it: a node that refuses them is not fast. */
static void lone_report(const struct bench_result *run, struct bench_report *report) {
    static struct bench_hist latency;
    uint64_t sent = run->lone.sent, there = run->lone_copies.arrived;
    latency = run->seen.lone;
    for (uint64_t i = there; i < sent; i++)
        bench_hist_add(&latency, (uint64_t)(run->offered_s * 1e9));
    bench_report_number(report, "lone_sent", "lone producer, sent", (double)sent, 0, "messages");
    bench_report_number(report, "lone_refused", "  refused", (double)run->lone.refused, 0, "");
    bench_report_number(report, "lone_delivered", "  delivered", (double)there, 0, "");
    bench_report_number(report, "lone_p50_us", "  latency p50", ms_of(&latency, 0.5) * 1e3, 0,
                        "us");
    bench_report_number(report, "lone_p99_us", "  latency p99", ms_of(&latency, 0.99) * 1e3, 0,
                        "us");
    bench_report_number(report, "lone_answer_p99_us", "  from the write to the answer, p99",
                        ms_of(&run->lone.answer, 0.99) * 1e3, 0, "us");
    if (there < sent)
        bench_report_note(report,
                          "%llu of the lone producer's %llu messages did not arrive; they are in "
                          "its latency with the whole time of the overload",
                          (unsigned long long)(sent - there), (unsigned long long)sent);
}

/* Who asks for little, and shall not notice. */
static void beside_report(const struct bench_field *field, const struct bench_result *run,
                          struct bench_report *report) {
    const struct bench_options *o = field->options;
    if (o->lone > 0)
        lone_report(run, report);
    if (o->heartbeat_s > 0) {
        bench_report_number(report, "heartbeats", "heartbeats sent", (double)run->seen.pings, 0,
                            "");
        bench_report_number(report, "heartbeats_unanswered", "  not answered",
                            (double)run->pings_unanswered, 0, "");
        bench_report_number(report, "heartbeat_p50_us", "  answered after, p50",
                            ms_of(&run->seen.pong, 0.5) * 1e3, 0, "us");
        bench_report_number(report, "heartbeat_p99_us", "  answered after, p99",
                            ms_of(&run->seen.pong, 0.99) * 1e3, 0, "us");
    }
    bench_report_number(report, "sessions_lost", "sessions lost", run->seen.lost, 0, "");
}

/* One connection alone sends: one that is not on the worker where the members are, if there is any
 * on another one. */
static bool producer_place(struct bench_field *field, struct bench_report *report) {
    static const uint32_t group = 0;
    struct bench_producers *ps = &field->producers;
    struct bench_stats before, now;
    const char *key = field->options->api_key;
    uint32_t members_on = 0, sender = 0, sender_on = 0;
    for (uint32_t i = 0; i < ps->options.connections; i++)
        bench_producers_assign(ps, i, NULL, 0);
    bench_field_begin(field);
    if (!bench_stats_read(&field->server.api, key, &now))
        return false;
    for (uint32_t worker = 1; worker < now.workers; worker++)
        if (now.sessions[worker] > now.sessions[members_on])
            members_on = worker;
    for (uint32_t i = 0; i < ps->options.connections; i++) {
        before = now;
        bench_producers_assign(ps, i, &group, 1);
        if (!bench_field_send(field, 1) || !bench_stats_read(&field->server.api, key, &now)) {
            bench_progress_end();
            fputs("ringpost bench: a single message did not arrive within 2 s\n", stderr);
            return false;
        }
        bench_producers_assign(ps, i, NULL, 0);
        sender = i;
        for (uint32_t worker = 0; worker < now.workers; worker++)
            if (now.accepted[worker] != before.accepted[worker])
                sender_on = worker;
        if (sender_on != members_on)
            break;
    }
    bench_producers_assign(ps, sender, &group, 1);
    bench_field_idle(field, 0.2);
    bench_report_number(report, "members", "members of the group", field->share->members, 0, "");
    bench_report_number(report, "members_worker", "  on worker", members_on, 0, "");
    bench_report_number(report, "producer_worker", "the one producer is on worker", sender_on, 0,
                        "");
    return true;
}

/* Half the highest rate, right after the flood. */
static void recovery_run(struct bench_field *field, double rate, struct bench_report *report) {
    double part = 1;
    for (uint32_t i = 0; i < field->beside_count; i++)
        part -= field->beside[i].options.part;
    field->share->slot_start_ns = 1; /* the run sets it */
    field->share->slot_kind = field->producers.options.kind;
    /* What is usual at the highest rate is no sign of an overload. */
    uint64_t usual_ns = bench_hist_quantile(&best.seen.latency, 0.99);
    field->share->slow_ns = usual_ns > SLOW_NS ? usual_ns : SLOW_NS;
    struct bench_push push = bench_push_for(field, rate, RECOVERY_SECONDS);
    bench_field_run(field, &push, "half of it", &after);
    field->share->slot_start_ns = 0;
    bench_result_faults(&after, report);
    double after_s = recovered_after_s(&after.seen, rate * part,
                                       bench_producers_fan(&field->producers), RECOVERY_SLOTS);
    if (after_s < 0 && after.others >= BENCH_OTHERS)
        bench_report_note(report, "not recovered in 3 s, but other processes had %.0f %% of a core",
                          after.others * 100);
    else if (after_s < 0)
        bench_report_fault(report, "not recovered 3 s after the overload ended");
    /* the queues had this long to empty with nothing new */
    double pause_s = (double)(after.start_ns - flood.pushing_end_ns) / 1e9;
    bench_report_number(report, "drain_s", "queues empty after", flood.drain_s, 3, "s");
    bench_report_number(report, "pause_s", "half the highest rate offered after", pause_s, 3, "s");
    bench_report_number(report, "recovery_s", "recovered, that pause included, after",
                        after_s < 0 ? -1 : pause_s + after_s, 3, "s");
}

/* The highest rate of this shape, in messages a second: as it was given, or by trying. 0: none. */
static double highest_find(struct bench_field *field, struct bench_report *report) {
    static const char *const keys[2] = {"highest_per_receive", "highest_us_per_message"};
    const struct bench_options *o = field->options;
    if (o->rate > 0) {
        bench_report_number(report, "highest_rate", "highest rate, as it was given", o->rate, 0,
                            "messages/s");
        return o->rate;
    }
    bench_search(field, o->search_s, &best, report);
    double highest = bench_rate_held(&best);
    bench_report_number(report, "highest_rate", "highest rate that holds", highest, 0,
                        "messages/s");
    if (best.rate <= 0) {
        bench_report_fault(report, "no rate held");
        return 0;
    }
    bench_report_number(report, "highest_copies_per_s", "  copies of these", highest * best.fan, 0,
                        "deliveries/s");
    bench_report_number(report, "highest_p99_us", "  its latency p99",
                        ms_of(&best.seen.latency, 0.99) * 1e3, 0, "us");
    load_report(field, &best, keys, report);
    bench_report_number(report, "highest_generator_percent", "  generator", best.own_busiest * 100,
                        0, "% of a core");
    return highest;
}

static void memory_report(const struct bench_field *field, int64_t before_kb,
                          struct bench_report *report) {
    if (field->server.pid == 0)
        return;
    bench_report_number(report, "pss_before_kb", "node PSS before", (double)before_kb, 0, "kB");
    int64_t after_kb = bench_proc_pss_kb(field->server.pid);
    /* A short run may be over before it is looked at. */
    int64_t max_kb = flood.pss_max_kb > after_kb ? flood.pss_max_kb : after_kb;
    bench_report_number(report, "pss_max_kb", "node PSS in the overload, highest seen",
                        (double)max_kb, 0, "kB");
    bench_report_number(report, "pss_after_kb", "node PSS after", (double)after_kb, 0, "kB");
    bench_report_number(report, "growth_max_kb", "  more than before, at most",
                        (double)(max_kb - before_kb), 0, "kB");
    bench_report_number(report, "growth_after_kb", "  more than before, after",
                        (double)(after_kb - before_kb), 0, "kB");
}

static void turn_report(const struct bench_field *field, const char *key, const char *label,
                        struct bench_report *report) {
    double longest_s = bench_metric_read(&field->server.api, field->options->api_key, TURN_METRIC);
    if (longest_s >= 0)
        bench_report_number(report, key, label, longest_s * 1e3, 2, "ms");
}

/* A turn's CPU time has in it what the host took in the middle of it. */
static void stolen_report(double before_s, uint64_t since_ns, struct bench_report *report) {
    double stolen_s = bench_machine_stolen_s() - before_s;
    double all_s = (double)(clock_ns() - since_ns) / 1e9 * (double)sysconf(_SC_NPROCESSORS_ONLN);
    if (before_s >= 0 && stolen_s >= STOLEN_TOLD * all_s)
        bench_report_note(report,
                          "the host took %.0f %% of this machine's CPU time; the longest turn has "
                          "in it what was taken from the worker",
                          stolen_s / all_s * 100);
}

bool bench_overload(struct bench_field *field, struct bench_report *report) {
    uint64_t since_ns = clock_ns();
    double stolen_s = bench_machine_stolen_s();
    static const char *const flood_keys[2] = {"flood_per_receive", "flood_us_per_message"};
    const struct bench_options *o = field->options;
    pid_t server = field->server.pid;
    bench_report_text(report, "shape", "shape", shape->name);
    bench_report_number(report, "clients", "clients", o->clients, 0, "");
    bench_report_number(report, "producers", "producer connections",
                        shape->members != 0 ? 1 : field->producers.options.connections, 0, "");
    bench_report_number(report, "inflight", "requests in flight on each", o->inflight, 0,
                        o->inflight == 0 ? "(no limit)" : "");
    bench_report_number(report, "gather_us", "load tool sleeps before it waits, for", o->gather_us,
                        0, "us");
    if (!bench_field_connect(field, o->ramp, o->pending))
        return false;
    if (shape->members != 0 && !producer_place(field, report))
        return false;
    double highest = highest_find(field, report);
    if (highest <= 0 || bench_interrupted)
        return true;
    turn_report(field, "turn_longest_before_ms", "longest turn until then", report);
    int64_t before_kb = server != 0 ? bench_proc_pss_kb(server) : -1;

    struct bench_push push =
        bench_push_for(field, shape->closed ? 0 : o->times * highest, o->seconds);
    push.at_write = true;
    push.pss = true;
    if (shape->closed) {
        push.deliveries_max = UINT64_MAX;
    } else {
        push.give_up_ns = GIVE_UP_NS;
        push.end_ns -= 5 * NS_PER_S; /* nothing is made good afterwards */
    }
    bench_field_run(field, &push, shape->name, &flood);
    offered_report(&flood, highest, o->times, report);
    flood_report(field->share, &flood, highest, report);
    load_report(field, &flood, flood_keys, report);
    beside_report(field, &flood, report);
    bench_result_faults(&flood, report);
    if ((double)flood.copies.arrived / flood.wall_s / flood.fan > 1.1 * highest)
        bench_report_note(report, "the highest rate came out too low: more was delivered in the "
                                  "overload");
    if (bench_interrupted)
        return true;
    recovery_run(field, highest / 2, report);
    turn_report(field, "turn_longest_ms", "longest turn", report);
    stolen_report(stolen_s, since_ns, report);
    memory_report(field, before_kb, report);
    return true;
}
