/* What it costs that a message has to go from one worker to another.
 *
 * The node is not asked how it places anything: single messages are sent from a connection of each
 * worker to each client, and the node's own counters tell how many mails between workers each took.
 * No mail means that producer and client are on one worker. Then the
 * same clients get the same traffic, once from producers on their own worker (no mails), once from
 * producers on the others, in turn. */
#include "perf/load/bench_scenario.h"

#include "core/base/check.h"
#include "perf/load/bench_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_MAX 10000u /* each is probed from each worker: about half a millisecond */
#define WORKERS_PROBED_MAX 16u
#define NOBODY UINT32_MAX

enum { SAME, CROSS, GROUPS };

struct cross {
    struct bench_field *field;
    struct bench_stats stats; /* the latest */
    uint32_t clients, producers;
    uint32_t *worker_of; /* of each producer */
    uint32_t *near;      /* of each client: the worker from which no mail is needed, or NOBODY */
    uint32_t *lists[GROUPS];     /* clients, by the producer that serves them */
    uint32_t *counts[GROUPS];    /* how many each producer serves */
    uint32_t used;               /* clients that take part */
    uint32_t workers_used, each; /* workers, and producers on each, that take part */
};

/* What the runs of one group came to, a figure for each round. */
struct group {
    double cost_us[100], p50_us[100], p99_us[100], mails[100];
    double busiest; /* share of a core that the load tool had, at most */
};

static struct bench_result result; /* too large for a stack */

static bool cross_make(struct cross *cross, struct bench_field *field) {
    cross->field = field;
    cross->clients = field->options->clients;
    cross->producers = field->producers.options.connections;
    cross->worker_of = calloc(cross->producers, sizeof *cross->worker_of);
    cross->near = calloc(cross->clients, sizeof *cross->near);
    bool made = cross->worker_of != NULL && cross->near != NULL;
    for (int group = 0; group < GROUPS; group++) {
        cross->lists[group] = calloc(cross->clients, sizeof *cross->lists[group]);
        cross->counts[group] = calloc(cross->producers, sizeof *cross->counts[group]);
        made = made && cross->lists[group] != NULL && cross->counts[group] != NULL;
    }
    return made;
}

static void cross_free(struct cross *cross) {
    free(cross->worker_of);
    free(cross->near);
    for (int group = 0; group < GROUPS; group++) {
        free(cross->lists[group]);
        free(cross->counts[group]);
    }
}

static bool stats_take(struct cross *cross, struct bench_stats *before) {
    if (before != NULL)
        *before = cross->stats;
    return bench_stats_read(&cross->field->server.api, cross->field->options->api_key,
                            &cross->stats);
}

/* One message from one producer to one client; cross->stats is then after it, *before before it. */
static bool probe(struct cross *cross, uint32_t producer, uint32_t client,
                  struct bench_stats *before) {
    bench_producers_assign(&cross->field->producers, producer, &client, 1);
    bool sent = bench_field_send(cross->field, 1);
    bench_producers_assign(&cross->field->producers, producer, NULL, 0);
    if (!sent && !bench_interrupted) {
        bench_progress_end();
        fputs("ringpost bench: a single message did not arrive within 2 s\n", stderr);
    }
    return sent && stats_take(cross, before);
}

/* Where is each producer? The worker that it speaks to counts its message. */
static bool producers_learn(struct cross *cross) {
    struct bench_stats before;
    for (uint32_t i = 0; i < cross->producers; i++)
        bench_producers_assign(&cross->field->producers, i, NULL, 0);
    for (uint32_t i = 0; i < cross->producers; i++) {
        if (!probe(cross, i, 0, &before))
            return false;
        cross->worker_of[i] = NOBODY;
        for (uint32_t worker = 0; worker < cross->stats.workers; worker++)
            if (cross->stats.unicasts[worker] != before.unicasts[worker])
                cross->worker_of[i] = worker;
    }
    return true;
}

/* The n-th producer on a worker, NOBODY if there are not so many. */
static uint32_t producer_on(const struct cross *cross, uint32_t worker, uint32_t n) {
    for (uint32_t i = 0; i < cross->producers; i++)
        if (cross->worker_of[i] == worker && n-- == 0)
            return i;
    return NOBODY;
}

static uint32_t producers_on(const struct cross *cross, uint32_t worker) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < cross->producers; i++)
        count += cross->worker_of[i] == worker;
    return count;
}

/* From which worker does a message to each client need no mail? */
static bool clients_learn(struct cross *cross) {
    struct bench_stats before;
    uint32_t probed = 0;
    for (uint32_t i = 0; i < cross->clients; i++)
        cross->near[i] = NOBODY;
    for (uint32_t worker = 0; worker < cross->stats.workers && probed < WORKERS_PROBED_MAX;
         worker++) {
        uint32_t producer = producer_on(cross, worker, 0);
        if (producer == NOBODY)
            continue;
        probed++;
        for (uint32_t i = 0; i < cross->clients; i++) {
            bench_progress("learning where clients are, from worker %u: %u of %u", worker, i,
                           cross->clients);
            if (cross->near[i] != NOBODY) /* it is on another worker */
                continue;
            if (!probe(cross, producer, i, &before))
                return false;
            if (cross->stats.unicast_mails == before.unicast_mails)
                cross->near[i] = worker;
        }
    }
    return true;
}

static uint32_t clients_on(const struct cross *cross, uint32_t worker) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < cross->clients; i++)
        count += cross->near[i] == worker;
    return count;
}

static bool worker_takes_part(const struct cross *cross, uint32_t worker) {
    return producers_on(cross, worker) != 0 && clients_on(cross, worker) != 0;
}

/* The producer that serves a client, the `turn`-th one of a group to be asked for: on its own
 * worker, or on the next ones. */
static uint32_t producer_for(const struct cross *cross, int group, uint32_t near, uint32_t turn) {
    if (group == SAME)
        return producer_on(cross, near, turn % cross->each);
    CHECK(cross->workers_used > 1, "nothing crosses on one worker");
    uint32_t others = cross->workers_used - 1;
    uint32_t n = turn / others % cross->each, skip = turn % others, worker = near;
    do {
        worker = worker + 1 < cross->stats.workers ? worker + 1 : 0;
    } while (!worker_takes_part(cross, worker) || skip-- != 0);
    return producer_on(cross, worker, n);
}

/* Shares the clients out among the producers, in both ways. False if there are too few of them on
 * different workers. */
static bool groups_make(struct cross *cross) {
    uint32_t *owner = calloc(cross->clients, sizeof *owner);
    if (owner == NULL)
        return false;
    cross->each = UINT32_MAX;
    for (uint32_t worker = 0; worker < cross->stats.workers; worker++)
        if (worker_takes_part(cross, worker)) {
            uint32_t count = producers_on(cross, worker);
            cross->each = count < cross->each ? count : cross->each;
            cross->workers_used++;
            cross->used += clients_on(cross, worker);
        }
    for (int group = 0; cross->workers_used > 1 && group < GROUPS; group++) {
        uint32_t turns[BENCH_WORKERS_MAX] = {0}, filled = 0;
        for (uint32_t i = 0; i < cross->clients; i++) {
            uint32_t near = cross->near[i];
            owner[i] = NOBODY;
            if (near != NOBODY && worker_takes_part(cross, near))
                owner[i] = producer_for(cross, group, near, turns[near]++);
        }
        for (uint32_t producer = 0; producer < cross->producers; producer++)
            for (uint32_t i = 0; i < cross->clients; i++)
                if (owner[i] == producer) {
                    cross->lists[group][filled++] = i;
                    cross->counts[group][producer]++;
                }
    }
    free(owner);
    return cross->workers_used > 1;
}

static bool group_run(struct cross *cross, int group, uint32_t round, struct group *figures,
                      struct bench_report *report) {
    static const char *const words[GROUPS] = {"on one worker", "between workers"};
    const struct bench_options *o = cross->field->options;
    struct bench_stats before;
    char what[64];
    const uint32_t *list = cross->lists[group];
    for (uint32_t i = 0; i < cross->producers; i++) {
        bench_producers_assign(&cross->field->producers, i, list, cross->counts[group][i]);
        list += cross->counts[group][i];
    }
    snprintf(what, sizeof what, "round %u of %u, %s", round + 1, o->rounds, words[group]);
    struct bench_push push = bench_push_for(cross->field, o->rate, o->seconds);
    bench_field_run(cross->field, &push, what, &result);
    bench_result_faults(&result, report);
    if (result.pushed.given_up != 0)
        bench_report_fault(report, "%llu messages could not be written in time",
                           (unsigned long long)result.pushed.given_up);
    if (result.others >= BENCH_OTHERS)
        bench_report_note(report, "%s: others used %.0f %% of a core; latency is an upper bound",
                          what, result.others * 100);
    if (!stats_take(cross, &before) || result.pushed.accepted == 0)
        return false;
    double accepted = (double)result.pushed.accepted;
    if (result.own_busiest > figures->busiest)
        figures->busiest = result.own_busiest;
    figures->cost_us[round] = result.server_cpu_s * 1e6 / accepted;
    figures->p50_us[round] = (double)bench_hist_quantile(&result.seen.latency, 0.5) / 1e3;
    figures->p99_us[round] = (double)bench_hist_quantile(&result.seen.latency, 0.99) / 1e3;
    figures->mails[round] = (double)(cross->stats.unicast_mails - before.unicast_mails) / accepted;
    return true;
}

static int double_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count) {
    qsort(values, count, sizeof *values, double_compare);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void groups_report(struct cross *cross, struct group groups[GROUPS],
                          struct bench_report *report) {
    const struct bench_options *o = cross->field->options;
    uint32_t rounds = o->rounds;
    bench_report_number(report, "clients", "clients", cross->clients, 0, "");
    bench_report_number(report, "clients_used", "  on a worker that has producers", cross->used, 0,
                        "(the others get no messages)");
    bench_report_number(report, "workers", "workers", cross->stats.workers, 0, "");
    bench_report_number(report, "producers_each", "producers that send, on each", cross->each, 0,
                        "");
    bench_report_number(report, "rate", "offered", o->rate, 0, "messages/s");
    bench_report_number(report, "rounds", "rounds, in turn", rounds, 0, "");
    double same_mails = median(groups[SAME].mails, rounds);
    double cross_mails = median(groups[CROSS].mails, rounds);
    bench_report_number(report, "same_mails", "mails for a message: on one worker", same_mails, 2,
                        "");
    bench_report_number(report, "cross_mails", "  between workers", cross_mails, 2, "");
    if (same_mails > 0.01 || cross_mails < 0.99)
        bench_report_fault(report, "the groups are not what they are called: clients moved?");
    double same_p50 = median(groups[SAME].p50_us, rounds);
    double cross_p50 = median(groups[CROSS].p50_us, rounds);
    if (cross->field->server.pid != 0) {
        double same = median(groups[SAME].cost_us, rounds);
        double other = median(groups[CROSS].cost_us, rounds);
        bench_report_number(report, "same_us_per_message", "node CPU for a message: on one worker",
                            same, 2, "us");
        bench_report_number(report, "same_us_per_message_min", NULL, groups[SAME].cost_us[0], 2,
                            "");
        bench_report_number(report, "same_us_per_message_max", NULL,
                            groups[SAME].cost_us[rounds - 1], 2, "");
        bench_report_number(report, "cross_us_per_message", "  between workers", other, 2, "us");
        bench_report_number(report, "cross_us_per_message_min", NULL, groups[CROSS].cost_us[0], 2,
                            "");
        bench_report_number(report, "cross_us_per_message_max", NULL,
                            groups[CROSS].cost_us[rounds - 1], 2, "");
        bench_report_number(report, "cost_ratio", "  ratio", same > 0 ? other / same : 0, 2, "");
    }
    bench_report_number(report, "same_p50_us", "latency p50: on one worker", same_p50, 1, "us");
    bench_report_number(report, "cross_p50_us", "  between workers", cross_p50, 1, "us");
    bench_report_number(report, "p50_ratio", "  ratio", same_p50 > 0 ? cross_p50 / same_p50 : 0, 2,
                        "");
    bench_report_number(report, "same_p99_us", "latency p99: on one worker",
                        median(groups[SAME].p99_us, rounds), 1, "us");
    bench_report_number(report, "cross_p99_us", "  between workers",
                        median(groups[CROSS].p99_us, rounds), 1, "us");
    double busiest = groups[SAME].busiest;
    busiest = groups[CROSS].busiest > busiest ? groups[CROSS].busiest : busiest;
    bench_report_number(report, "generator_percent", "generator, busiest process and round",
                        busiest * 100, 0, "% of a core");
    bench_report_number(report, "generator_saturated", NULL, busiest >= BENCH_SATURATED, 0, "");
    if (busiest >= BENCH_SATURATED)
        bench_report_note(report,
                          "generator %.0f %% of a core: saturated; latencies are partly its own",
                          busiest * 100);
}

static bool cross_run(struct cross *cross, struct bench_report *report) {
    static struct group groups[GROUPS];
    struct bench_field *field = cross->field;
    if (!bench_field_connect(field, field->options->ramp, field->options->pending))
        return false;
    bench_field_begin(field);
    if (!stats_take(cross, NULL) || !producers_learn(cross) || !clients_learn(cross))
        return false;
    bench_progress_end();
    if (!groups_make(cross)) {
        fprintf(stderr,
                "ringpost bench: producers and clients are not on two workers: the node has %u; "
                "more --producers or --clients may help\n",
                cross->stats.workers);
        return false;
    }
    for (uint32_t round = 0; round < field->options->rounds; round++)
        for (int group = 0; group < GROUPS; group++)
            if (!group_run(cross, group, round, &groups[group], report))
                return false;
    groups_report(cross, groups, report);
    return true;
}

bool bench_cross(struct bench_field *field, struct bench_report *report) {
    static struct cross cross;
    if (field->options->clients > CLIENTS_MAX) {
        fprintf(stderr, "ringpost bench: cross sends to each client by itself first: at most %u\n",
                CLIENTS_MAX);
        return false;
    }
    bool ran = cross_make(&cross, field) && cross_run(&cross, report);
    cross_free(&cross);
    return ran;
}
