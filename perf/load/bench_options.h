/* bench_options.h - what the load tool was told to do.
 *
 * Threads: filled once, then read. Owns: nothing (texts are the caller's argv). */
#ifndef RINGPOST_PERF_LOAD_BENCH_OPTIONS_H
#define RINGPOST_PERF_LOAD_BENCH_OPTIONS_H

#include "perf/load/bench_wire.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_SERVER_ARGS_MAX 32
#define BENCH_NOT_GIVEN UINT32_MAX
#define BENCH_NODES_MAX 3u

/* How clients connect. */
enum bench_transport {
    BENCH_OVER_TCP,
    BENCH_OVER_WS,
    BENCH_OVER_SSE,
    BENCH_OVER_SIO,
    BENCH_OVER_SIO_POLL
};

/* A number of 0 means "not given": the scenario's own default. */
struct bench_options {
    const char *scenario;
    uint32_t clients;
    double rate;    /* messages a second */
    double seconds; /* of traffic */
    uint32_t size;  /* bytes of a payload */
    uint32_t producers;
    uint32_t inflight; /* 0: no limit */
    uint32_t batch;
    bool ndjson;
    enum bench_form form;
    enum bench_transport transport; /* `form` says so as well when all is read */
    bool by_hello;                  /* --register hello */
    bool json;
    uint32_t groups;
    uint32_t join;
    uint32_t window;  /* broadcasts under way when there is no rate */
    double ramp;      /* connections a second */
    uint32_t pending; /* connections waiting for their welcome */
    uint32_t sources;
    uint32_t procs;
    uint32_t rounds;
    uint32_t gather_us;   /* BENCH_NOT_GIVEN: the scenario's own default */
    uint32_t send_buffer; /* of a producer's socket; 0: as the system has it */
    const char *shape;    /* of an overload */
    double times;         /* the highest rate, in an overload */
    double search_s;      /* seconds of each try in the search for it */
    double lone;          /* messages a second of a producer beside the others; 0: there is none */
    uint32_t never;       /* percent of the clients that acknowledge nothing */
    bool wait;            /* producers wait until their message is acknowledged */
    uint32_t hold;        /* messages that the others have and acknowledge in random order */
    uint32_t reconnect;   /* percent of them that connect anew every second */
    double heartbeat_s;   /* each client sends a ping so often; 0: none does */
    /* what a scenario sets, not the user */
    uint32_t members;      /* clients that are in groups; 0: all */
    bool together;         /* these on one worker */
    bool apart;            /* the producers have a process to themselves */
    bool tickets;          /* latency counts from the write's return */
    double group_part;     /* of the messages, to groups ... */
    double broadcast_part; /* ... and to all, where the others are to single clients */
    bool spawn;            /* start the node ourselves */
    const char *server;    /* its binary; NULL: this one */
    const char *server_args[BENCH_SERVER_ARGS_MAX];
    uint32_t server_arg_count;
    bool queued;               /* producers publish to a queue, which the node consumes */
    struct sockaddr_in broker; /* that has it; port 0: one of our own */
    uint32_t preload;          /* messages that are in it before the node is given any; 0: rate */
    uint32_t nodes; /* that one Redis ties; producers push to the first, clients are at the others.
                       One: both are at that one, and there is no Redis */
    uint32_t workers;
    const char *server_cpus;
    const char *cpus; /* where the load tool itself runs */
    struct sockaddr_in tcp, web, api;
    pid_t pid; /* of the node; 0: whoever listens */
    const char *api_key;
    uint32_t run; /* base of the run numbers; 0: random */
};

/* Reads the arguments. Gives 0, or 2 after a line on standard error, or -1 if help was printed. */
int bench_options_read(struct bench_options *options, int argc, char **argv);

#endif
