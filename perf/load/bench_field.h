/* bench_field.h - a node, clients and producers set up for a scenario, and the runs of traffic.
 *
 * The main process drives the producers and the first swarm of clients; helper processes drive the
 * other swarms where descriptors run out. A run: push for a time, wait until all that was accepted
 * has arrived or nothing more comes, count what is missing.
 *
 * Threads: one in each process. Owns: everything named in it, helper processes included. */
#ifndef RINGPOST_PERF_LOAD_BENCH_FIELD_H
#define RINGPOST_PERF_LOAD_BENCH_FIELD_H

#include "perf/load/bench_options.h"
#include "perf/load/bench_producer.h"
#include "perf/load/bench_queue.h"
#include "perf/load/bench_redis.h"
#include "perf/load/bench_report.h"
#include "perf/load/bench_server.h"
#include "perf/load/bench_swarm.h"

/* Producers beside the main ones: other kinds of messages, and a lone slow one. */
#define BENCH_BESIDE_MAX 3u

struct bench_field {
    const struct bench_options *options;
    struct bench_server server;                   /* where producers push */
    struct bench_server far[BENCH_NODES_MAX - 1]; /* where clients are, if there are several */
    uint32_t far_count;
    struct bench_redis redis;
    struct bench_queue queue; /* where producers push instead, if options->queued */
    struct sockaddr_in clients_at[BENCH_NODES_MAX];
    struct bench_share *share;
    struct bench_net net;
    struct bench_swarm swarm;
    struct bench_producers producers;
    struct bench_producers beside[BENCH_BESIDE_MAX];
    uint32_t beside_count;
    pid_t helpers[BENCH_SWARMS_MAX];
    uint32_t swarms;
    int64_t pss_none_kb; /* of all nodes before the first client, -1: unknown */
    double open_s;       /* from the first connection to the last welcome */
    uint32_t lost_told;  /* clients that the node closed, as far as results have told them */
    char broken[128];    /* what ended too early, node or helper; then bench_interrupted is set */
};

/* CPU time of all nodes, of their Redis, of a broker, and of ourselves at a moment. */
struct bench_mark {
    uint64_t at_ns;
    uint64_t server_ns, redis_ns, broker_ns;
    uint64_t own_ns[BENCH_SWARMS_MAX];
    uint64_t own_wait_ns[BENCH_SWARMS_MAX]; /* ready to run, and without a CPU */
    double server_user_s, server_kernel_s;
    double machine_s; /* of everybody */
};

/* What a run came to. */
struct bench_result {
    double rate;      /* as asked for; 0: closed-loop */
    double offered_s; /* how long was pushed */
    double wall_s;    /* until the last delivery */
    double drain_s;   /* of that, after the pushing ended, or the queue was released */
    uint64_t start_ns, pushing_end_ns;
    struct bench_pushed pushed; /* but for the lone producer's */
    struct bench_pushed lone;
    struct bench_tally seen;
    struct bench_copies copies;      /* of what was pushed but for the lone producer's, and ... */
    struct bench_copies lone_copies; /* ... of that */
    uint64_t missing, unasked;       /* of both */
    uint64_t due;                    /* messages of the schedule but for the lone producer's */
    uint64_t pings_unanswered;
    double fan;           /* deliveries that a message makes, */
    double fan_most;      /* and one of those that make the most */
    uint64_t behind_half; /* deliveries that were due and had not been made at half time, */
    uint64_t behind;      /* and when the pushing ended; */
    uint64_t behind_max;  /* so many may be, if the rate is to be held */
    double server_cpu_s, server_user_s, server_kernel_s; /* of all nodes */
    double redis_cpu_s, broker_cpu_s;
    double own_busiest, own_all;         /* share of a core: the busiest process, all together */
    double own_producers;                /* the process that drives the producers */
    double own_clients;                  /* the busiest of those that drive clients alone */
    double wait_producers, wait_clients; /* the same, but ready to run and without a CPU */
    double others; /* share of a core that neither the node nor we used; -1: unknown */
    int64_t rss_max_kb, pss_max_kb; /* the latter only with push->pss, -1: unknown */
    bool held; /* nothing lost or refused, p99 under 1 s, at the end not behind behind_max */
};

/* Of a core: a load tool that is this busy may be the limit itself. */
#define BENCH_SATURATED 0.90
/* Of a core: when other processes have this much, they take it from the load tool and the node. */
#define BENCH_OTHERS 0.15
/* What a load tool short of CPU makes of its figures. */
#define BENCH_BOUNDS "throughput is a lower bound, latency an upper bound"
/* Of what was due in a run: so much may be missing at its end, or so much more than at half time:
 * what is always under way at a rate that is held does not grow. */
#define BENCH_BEHIND_MAX 0.02
#define BENCH_BEHIND_GROWTH_MAX 0.01

/* Set by SIGINT and SIGTERM: everything ends early. */
extern volatile int bench_interrupted;

/* Starts the node, the helpers and the producers; no client yet. False after a line on standard
 * error; bench_field_close is due in either case. */
bool bench_field_open(struct bench_field *field, const struct bench_options *options,
                      enum bench_kind kind);
void bench_field_close(struct bench_field *field);
/* Connects all clients at `rate` a second (0: no limit), at most `pending` of them waiting for
 * their welcome (at least one in each process), and fills in open_s. False after a line on standard
 * error if any could not. */
bool bench_field_connect(struct bench_field *field, double rate, uint32_t pending);
/* The same without a complaint: *sum is what became of the clients, `ready` of them are there. */
void bench_field_open_clients(struct bench_field *field, double rate, uint32_t pending,
                              struct bench_tally *sum);
/* Closes all clients, unless interrupted. */
void bench_field_disconnect(struct bench_field *field);
/* Turns the loop for so long without pushing anything. */
void bench_field_idle(struct bench_field *field, double seconds);

/* Begins a run and waits until every swarm knows of it. */
void bench_field_begin(struct bench_field *field);
/* An open-loop push of `rate` messages a second; 0: closed-loop with as many deliveries outstanding
 * as the options' window allows. */
struct bench_push bench_push_for(const struct bench_field *field, double rate, double seconds);
/* Runs it. `what` is for the progress line. A queue that is held is released when all is in it, and
 * then the CPU times begin. */
void bench_field_run(struct bench_field *field, const struct bench_push *push, const char *what,
                     struct bench_result *result);

/* Pushes so many messages at once within the run that goes on (bench_field_begin) and waits until
 * all have arrived. False if they have not after two seconds. */
bool bench_field_send(struct bench_field *field, uint64_t messages);

/* One turn of the loop: waits at most so long, lets clients and producers handle what came. */
void bench_field_turn(struct bench_field *field, uint64_t wait_ns);
/* Is everybody there who has to be? If not, says who and ends what goes on. */
bool bench_field_alive(struct bench_field *field);

/* What `of` (bench_proc.h) says of all nodes together; -1: of one it is unknown. */
int64_t bench_field_kb(const struct bench_field *field, int64_t (*of)(pid_t pid));

void bench_mark_take(const struct bench_field *field, struct bench_mark *mark);

/* Fills in behind_max and held. */
void bench_result_judge(struct bench_result *result);
/* The usual rows: counts, faults, latencies, CPU, memory, how tired we were. */
void bench_result_report(const struct bench_field *field, const struct bench_result *result,
                         struct bench_report *report);
/* Says in a few words why the run did not hold, or that it did. */
void bench_result_why(const struct bench_result *result, char *out, size_t out_size);
/* The rows about the load tool itself: how busy, how late, and a note if that limits the figures.
 */
void bench_result_generator(const struct bench_result *result, struct bench_report *report);
/* A message's share of the broker's CPU, where one is used and its process known. */
void bench_result_broker(const struct bench_field *field, const struct bench_result *result,
                         struct bench_report *report);
/* Faults only. */
void bench_result_faults(const struct bench_result *result, struct bench_report *report);
/* Rows for a histogram in microseconds: `keys` are p50, p90, p99, p99.9 and max. */
void bench_latency_report(struct bench_report *report, const struct bench_hist *hist,
                          const char *const keys[5], const char *const labels[5]);

#endif
