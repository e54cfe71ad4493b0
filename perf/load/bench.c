#include "perf/load/bench.h"

#include "perf/load/bench_overload.h"
#include "perf/load/bench_scenario.h"
#include "perf/load/bench_text.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INFLIGHT 256

struct scenario {
    const char *name;
    bool (*run)(struct bench_field *field, struct bench_report *report);
    enum bench_kind kind;
    uint32_t clients;
    double rate, seconds; /* rate 0: the scenario does without */
    uint32_t producers, pending;
    uint32_t procs; /* where one client process cannot load a node; 0: one is enough */
};

static const struct scenario scenarios[] = {
    {"unicast", bench_unicast, BENCH_UNICAST, 10000, 20000, 10, 8, 256, 0},
    {"unicast-max", bench_unicast_max, BENCH_UNICAST, 10000, 0, 4, 8, 256, 0},
    {"broadcast", bench_broadcast, BENCH_BROADCAST, 10000, 0, 10, 1, 256, 0},
    {"groups", bench_groups, BENCH_GROUP, 10000, 200, 10, 8, 256, 0},
    {"ping", bench_ping, BENCH_UNICAST, 64, 200, 5, 4, 256, 0},
    {"idle", bench_idle, BENCH_UNICAST, 10000, 20000, 1, 8, 256, 0},
    {"storm", bench_storm, BENCH_UNICAST, 10000, 0, 1, 1, 512, 2},
    {"live", bench_live, BENCH_UNICAST, 30000, 20000, 1, 8, 256, 0},
    {"overload", bench_overload, BENCH_UNICAST, 0, 0, 60, 0, 256, 1},
    {"ack", bench_ack, BENCH_UNICAST, 10000, 10000, 5, 8, 256, 0},
    {"ack-max", bench_ack_max, BENCH_UNICAST, 10000, 0, 4, 8, 256, 0},
    {"cross", bench_cross, BENCH_UNICAST, 400, 20000, 3, 16, 256, 0},
    {"amqp", bench_amqp, BENCH_UNICAST, 10000, 2000, 10, 8, 256, 0},
    {"amqp-max", bench_unicast_max, BENCH_UNICAST, 10000, 0, 4, 8, 256, 0},
    {"receive", bench_receive, BENCH_BROADCAST, 10000, 0, 5, 1, 256, 0},
};

static void on_signal(int number) {
    (void)number;
    bench_interrupted = 1;
}

static const struct scenario *scenario_find(const char *name) {
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    bench_complain("no scenario `%s`; --help lists them", name);
    return NULL;
}

static void defaults_fill(struct bench_options *o, const struct scenario *scenario) {
    if (o->clients == 0)
        o->clients = scenario->clients;
    if (o->rate == 0)
        o->rate = scenario->rate;
    if (o->seconds == 0)
        o->seconds = scenario->seconds;
    if (o->producers == 0)
        o->producers = scenario->producers;
    if (o->pending == 0)
        o->pending = scenario->pending;
    if (o->procs == 0 && sysconf(_SC_NPROCESSORS_ONLN) > 1)
        o->procs = scenario->procs;
    if (o->inflight == BENCH_NOT_GIVEN)
        o->inflight = INFLIGHT;
    if (o->gather_us == BENCH_NOT_GIVEN)
        o->gather_us = 0;
    o->lone = o->lone < 0 ? 0 : o->lone;
    o->heartbeat_s = o->heartbeat_s < 0 ? 0 : o->heartbeat_s;
}

int bench_main(int argc, char **argv) {
    static struct bench_options options;
    static struct bench_report report;
    static struct bench_field field;
    int status = bench_options_read(&options, argc, argv);
    if (status != 0)
        return status < 0 ? 0 : status;
    const struct scenario *scenario = scenario_find(options.scenario);
    if (scenario == NULL)
        return 2;
    enum bench_kind kind = scenario->kind;
    if (scenario->run == bench_overload && !bench_overload_prepare(&options, &kind))
        return 2;
    defaults_fill(&options, scenario);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    report.json = options.json;
    bench_report_text(&report, "bench", "scenario", scenario->name);
    bool ran = bench_field_open(&field, &options, kind) && scenario->run(&field, &report);
    if ((report.faults != 0 || !ran) && !bench_interrupted)
        field.server.failed = true;
    bench_field_close(&field);
    if (field.broken[0] != '\0')
        bench_report_fault(&report, "%s: the figures are of what was done until then",
                           field.broken);
    else if (bench_interrupted)
        bench_report_fault(&report, "interrupted: the figures are of what was done until then");
    if (field.server.ending[0] != '\0' && strcmp(field.server.ending, field.broken) != 0)
        bench_report_fault(&report, "%s", field.server.ending);
    if (!ran && field.broken[0] == '\0')
        return 1;
    bench_report_number(&report, "ok", NULL, report.faults == 0, 0, "");
    bench_report_print(&report);
    return report.faults == 0 ? 0 : 1;
}
