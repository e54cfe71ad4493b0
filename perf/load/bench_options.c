#include "perf/load/bench_options.h"

#include "perf/load/bench_held.h"
#include "perf/load/bench_help.h"
#include "perf/load/bench_proc.h"
#include "perf/load/bench_text.h"
#include "perf/load/bench_wire.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool number_read(const char *text, double min, double max, double *value) {
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    *value = strtod(text, &end);
    return *end == '\0' && *value >= min && *value <= max;
}

struct number_flag {
    const char *name;
    uint32_t min, max;
    uint32_t *at;
};

/* 1: it was one of these, 0: not, -1: it was, with a bad value. */
static int count_flag_read(struct bench_options *o, const char *name, const char *value) {
    const struct number_flag flags[] = {
        {"--clients", 1, 1000000, &o->clients},
        {"--size", BENCH_PAYLOAD_MIN, BENCH_PAYLOAD_MAX, &o->size},
        {"--producers", 1, 16384, &o->producers},
        {"--inflight", 0, 65536, &o->inflight},
        {"--batch", 1, 1000, &o->batch},
        {"--groups", 1, 1000000, &o->groups},
        {"--join", 1, 64, &o->join},
        {"--window", 1, 4096, &o->window},
        {"--pending", 1, 65536, &o->pending},
        {"--sources", 0, 60000, &o->sources},
        {"--procs", 1, 16, &o->procs},
        {"--rounds", 1, 100, &o->rounds},
        {"--gather", 0, 100000, &o->gather_us},
        {"--send-buffer", 4096, 1 << 24, &o->send_buffer},
        {"--workers", 1, 1024, &o->workers},
        {"--nodes", 1, BENCH_NODES_MAX, &o->nodes},
        {"--never", 0, 100, &o->never},
        {"--hold", 0, BENCH_HELD_MAX, &o->hold},
        {"--reconnect", 0, 100, &o->reconnect},
        {"--preload", 1, 100000000, &o->preload},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        double number;
        if (strcmp(name, flags[i].name) != 0)
            continue;
        if (value == NULL || !number_read(value, flags[i].min, flags[i].max, &number) ||
            number != (double)(uint32_t)number) {
            fprintf(stderr, "ringpost bench: %s needs a whole number from %u to %u\n", name,
                    flags[i].min, flags[i].max);
            return -1;
        }
        *flags[i].at = (uint32_t)number;
        return 1;
    }
    return 0;
}

static int real_flag_read(struct bench_options *o, const char *name, const char *value) {
    const struct {
        const char *name;
        double min, max, *at;
    } flags[] = {
        {"--rate", 0.01, 1e8, &o->rate},
        {"--seconds", 0.1, 86400, &o->seconds},
        {"--ramp", 1, 1e7, &o->ramp},
        {"--times", 0.1, 100, &o->times},
        {"--search", 0.1, 60, &o->search_s},
        {"--lone", 0, 1000, &o->lone},
        {"--heartbeat", 0, 3600, &o->heartbeat_s},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(name, flags[i].name) != 0)
            continue;
        if (value == NULL || !number_read(value, flags[i].min, flags[i].max, flags[i].at)) {
            fprintf(stderr, "ringpost bench: %s needs a number from %g to %g\n", name, flags[i].min,
                    flags[i].max);
            return -1;
        }
        return 1;
    }
    return 0;
}

static int address_flag_read(struct bench_options *o, const char *name, const char *value) {
    struct sockaddr_in *at = strcmp(name, "--tcp") == 0    ? &o->tcp
                             : strcmp(name, "--web") == 0  ? &o->web
                             : strcmp(name, "--api") == 0  ? &o->api
                             : strcmp(name, "--amqp") == 0 ? &o->broker
                                                           : NULL;
    if (at == NULL)
        return 0;
    if (value == NULL || !bench_loopback_read(value, at)) {
        fprintf(stderr,
                "ringpost bench: %s needs 127.x.y.z:PORT or localhost:PORT; "
                "load goes to this machine only\n",
                name);
        return -1;
    }
    o->spawn &= at == &o->broker;
    return 1;
}

/* One of two words. */
static bool choice_read(const char *value, const char *no, const char *yes, bool *is_yes) {
    *is_yes = value != NULL && strcmp(value, yes) == 0;
    return *is_yes || (value != NULL && strcmp(value, no) == 0);
}

static const struct {
    const char *name;
    enum bench_form form;
} transports[] = {
    [BENCH_OVER_TCP] = {"tcp", BENCH_FORM_LINES},
    [BENCH_OVER_WS] = {"ws", BENCH_FORM_WS},
    [BENCH_OVER_SSE] = {"sse", BENCH_FORM_SSE},
    [BENCH_OVER_SIO] = {"sio", BENCH_FORM_SIO},
    [BENCH_OVER_SIO_POLL] = {"sio-poll", BENCH_FORM_POLL},
};

static bool transport_read(const char *value, enum bench_transport *transport) {
    for (unsigned i = 0; value != NULL && i < sizeof transports / sizeof transports[0]; i++)
        if (strcmp(value, transports[i].name) == 0) {
            *transport = (enum bench_transport)i;
            return true;
        }
    return false;
}

static int text_flag_read(struct bench_options *o, const char *name, const char *value) {
    double number;
    bool yes;
    if (strcmp(name, "--transport") == 0)
        return transport_read(value, &o->transport);
    if (strcmp(name, "--server") == 0)
        o->server = value;
    else if (strcmp(name, "--server-cpus") == 0)
        o->server_cpus = value;
    else if (strcmp(name, "--cpus") == 0)
        o->cpus = value;
    else if (strcmp(name, "--api-key") == 0)
        o->api_key = value;
    else if (strcmp(name, "--shape") == 0)
        o->shape = value;
    else if (strcmp(name, "--server-arg") == 0 && o->server_arg_count < BENCH_SERVER_ARGS_MAX)
        o->server_args[o->server_arg_count++] = value;
    else if (strcmp(name, "--framing") == 0 && choice_read(value, "json", "counted", &yes))
        o->form = yes ? BENCH_FORM_COUNTED : BENCH_FORM_LINES;
    else if (strcmp(name, "--register") == 0 && choice_read(value, "query", "hello", &yes))
        o->by_hello = yes;
    else if (strcmp(name, "--pid") == 0 && value != NULL && number_read(value, 1, 1 << 30, &number))
        o->pid = (pid_t)number;
    else if (strcmp(name, "--run") == 0 && value != NULL && number_read(value, 1, 1 << 23, &number))
        o->run = (uint32_t)number << 8;
    else
        return 0;
    if (value == NULL) {
        fprintf(stderr, "ringpost bench: %s needs a value\n", name);
        return -1;
    }
    return 1;
}

static bool switch_read(struct bench_options *o, const char *name) {
    if (strcmp(name, "--ndjson") == 0)
        o->ndjson = true;
    else if (strcmp(name, "--wait") == 0)
        o->wait = true;
    else if (strcmp(name, "--json") == 0)
        o->json = true;
    else if (strcmp(name, "--spawn") == 0)
        o->spawn = true;
    else
        return false;
    return true;
}

/* What a transport cannot do is said, and not measured as something else. NULL: it can. */
static const char *transport_lacks(const struct bench_options *o) {
    bool is_sse = o->transport == BENCH_OVER_SSE, polls = o->transport == BENCH_OVER_SIO_POLL;
    if (o->transport == BENCH_OVER_TCP || o->transport == BENCH_OVER_WS)
        return NULL;
    if ((is_sse || polls) && strncmp(o->scenario, "ack", 3) == 0)
        return "does not acknowledge here: ack and ack-max are of tcp, ws and sio";
    if (polls && strcmp(o->scenario, "overload") == 0)
        return "has no overload: what waits, waits for the next poll";
    if ((is_sse || polls) && o->heartbeat_s > 0)
        return "has no --heartbeat: its clients have no way to send one";
    if (is_sse && o->by_hello)
        return "has no --register hello: its clients have the query alone";
    return NULL;
}

/* What was read fits together; a line on standard error if not. */
static bool transport_settle(struct bench_options *o) {
    bool is_tcp = o->transport == BENCH_OVER_TCP;
    if (!is_tcp && o->form == BENCH_FORM_COUNTED) {
        fputs("ringpost bench: --framing counted is of --transport tcp\n", stderr);
        return false;
    }
    const char *lacks = transport_lacks(o);
    if (lacks != NULL) {
        bench_complain("--transport %s %s", transports[o->transport].name, lacks);
        return false;
    }
    if (!is_tcp)
        o->form = transports[o->transport].form;
    if (o->form == BENCH_FORM_SSE && o->heartbeat_s < 0)
        o->heartbeat_s = 0; /* in overload, too */
    if (!o->spawn && ((is_tcp ? o->tcp : o->web).sin_port == 0 || o->api.sin_port == 0)) {
        bench_complain("%s and --api go together", is_tcp ? "--tcp" : "--web");
        return false;
    }
    return true;
}

/* Several nodes are measured by what goes between them. */
static bool nodes_settle(struct bench_options *o) {
    static const char *const scenarios[] = {"unicast", "unicast-max", "broadcast", "groups",
                                            "ping"};
    if (o->nodes == 1)
        return true;
    bool is_for = false;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        is_for |= strcmp(o->scenario, scenarios[i]) == 0;
    if (!is_for)
        bench_complain("--nodes is of unicast, unicast-max, broadcast, groups and ping");
    else if (!o->spawn)
        bench_complain("--nodes starts its nodes: it does not go with --tcp, --web and --api");
    else if (o->transport == BENCH_OVER_SIO_POLL)
        bench_complain("--nodes does not go with --transport sio-poll");
    if (o->workers == 0)
        o->workers = 1;
    return is_for && o->spawn && o->transport != BENCH_OVER_SIO_POLL;
}

/* What goes through a queue. */
static bool queue_settle(struct bench_options *o) {
    o->queued = strncmp(o->scenario, "amqp", 4) == 0;
    if (!o->queued && (o->broker.sin_port != 0 || o->preload != 0))
        bench_complain("--amqp and --preload are of amqp and amqp-max");
    else if (o->queued && !o->spawn)
        bench_complain("amqp starts its node: it does not go with --tcp, --web and --api");
    else if (o->queued && (o->batch != 1 || o->ndjson || o->lone > 0))
        bench_complain("amqp does not go with --batch, --ndjson and --lone");
    else if (o->preload != 0 && (strcmp(o->scenario, "amqp") != 0 || o->rate > 0))
        bench_complain("--preload is of amqp, without --rate");
    else
        return true;
    return false;
}

int bench_options_read(struct bench_options *o, int argc, char **argv) {
    *o = (struct bench_options){.size = 128,
                                .inflight = BENCH_NOT_GIVEN,
                                .times = 3,
                                .search_s = 2,
                                .lone = -1,
                                .heartbeat_s = -1,
                                .batch = 1,
                                .nodes = 1,
                                .groups = 100,
                                .join = 1,
                                .window = 32,
                                .ramp = 5000,
                                .sources = 200,
                                .rounds = 3,
                                .never = 1,
                                .reconnect = 5,
                                .gather_us = BENCH_NOT_GIVEN,
                                .spawn = true};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
            bench_help_print(stdout);
            return -1;
        }
        if (name[0] != '-' && o->scenario == NULL) {
            o->scenario = name;
            continue;
        }
        if (switch_read(o, name))
            continue;
        int taken = count_flag_read(o, name, value);
        if (taken == 0)
            taken = real_flag_read(o, name, value);
        if (taken == 0)
            taken = address_flag_read(o, name, value);
        if (taken == 0)
            taken = text_flag_read(o, name, value);
        if (taken == 0)
            /* Without what is behind `=`, which may be a key. */
            bench_complain("unknown argument or bad value: %.*s", (int)strcspn(name, "="), name);
        if (taken <= 0)
            return 2;
        i++;
    }
    if (o->scenario == NULL) {
        bench_help_print(stderr);
        return 2;
    }
    if (!transport_settle(o) || !nodes_settle(o) || !queue_settle(o))
        return 2;
    if (o->join > o->groups) {
        fputs("ringpost bench: --join cannot be more than --groups\n", stderr);
        return 2;
    }
    return 0;
}
