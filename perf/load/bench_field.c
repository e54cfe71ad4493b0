#include "perf/load/bench_field.h"

#include "core/base/clock.h"
#include "perf/load/bench_amqp.h"
#include "perf/load/bench_proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTORS_KEPT 64u
#define PREFETCH "1000"   /* deliveries that a node has at once */
#define FAILURES_MAX 100u /* clients that could not connect: the rest will not either */

volatile int bench_interrupted;

static bool complain(const char *what) {
    bench_progress_end();
    fprintf(stderr, "ringpost bench: %s: %s\n", what, strerror(errno));
    return false;
}

/* Processes of their own where they must not wait for each other: producers, timed clients. */
#define SWARMS_APART 2u

/* Of so many clients one is timed, where they have a swarm of their own. */
#define TIMED_EVERY 32u

static uint32_t timed_count(const struct bench_options *o) {
    return o->apart ? (o->clients + TIMED_EVERY - 1) / TIMED_EVERY : o->clients;
}

static uint32_t swarms_needed(const struct bench_options *o) {
    uint32_t each = bench_descriptors_max();
    each =
        each > DESCRIPTORS_KEPT + o->producers + 16 ? each - DESCRIPTORS_KEPT - o->producers : 16;
    uint32_t swarms = (o->clients + each - 1) / each;
    return (swarms > o->procs ? swarms : o->procs) + (o->apart ? SWARMS_APART : 0);
}

/* Where producers are apart: the first process has them, and no clients; the second one has those
 * that are timed; and the others share the rest. */
static void swarm_range(const struct bench_field *field, uint32_t number, uint32_t *first,
                        uint32_t *count) {
    const struct bench_options *o = field->options;
    uint32_t apart = o->apart ? SWARMS_APART : 0, timed = o->apart ? field->share->timed : 0;
    uint32_t swarms = field->swarms - apart, rest = o->clients - timed;
    *first = *count = 0;
    if (o->apart && number < SWARMS_APART) {
        *count = number == 0 ? 0 : timed;
        return;
    }
    uint32_t each = (rest + swarms - 1) / swarms, before = (number - apart) * each;
    before = before < rest ? before : rest;
    *first = timed + before;
    *count = rest - before < each ? rest - before : each;
}

static void aims_make(const struct bench_options *o, enum bench_kind kind,
                      struct bench_aim aims[BENCH_KINDS]) {
    if (kind == BENCH_UNICAST)
        aims[BENCH_UNICAST] = (struct bench_aim){.addresses = o->clients, .streams = 1};
    if (kind == BENCH_GROUP || o->group_part > 0)
        aims[BENCH_GROUP] = (struct bench_aim){.addresses = o->groups, .streams = o->join};
    if (kind == BENCH_BROADCAST)
        aims[BENCH_BROADCAST] =
            (struct bench_aim){.addresses = o->producers, .streams = o->producers};
    else if (o->broadcast_part > 0)
        aims[BENCH_BROADCAST] = (struct bench_aim){.addresses = 1, .streams = 1};
    if (o->lone > 0)
        aims[BENCH_LONE] = (struct bench_aim){.addresses = timed_count(o), .streams = 1};
}

static bool share_make(struct bench_field *field, enum bench_kind kind) {
    const struct bench_options *o = field->options;
    struct bench_aim aims[BENCH_KINDS] = {0};
    aims_make(o, kind, aims);
    if (o->clients > BENCH_ADDRESS_MASK || o->groups > BENCH_ADDRESS_MASK)
        return errno = E2BIG, complain("too many clients");
    struct bench_share *share = bench_share_open(o->clients, aims);
    if (share == NULL)
        return complain("no memory for the clients");
    field->share = share;
    if (o->tickets && !bench_share_tickets(share))
        return complain("no memory for the times of the messages");
    share->groups = o->groups;
    share->join = o->join;
    share->never = o->never;
    share->hold = o->hold;
    share->reconnect = o->reconnect;
    share->together = o->together;
    if (o->members != 0 && o->members < o->clients)
        share->members = o->members;
    share->timed = timed_count(o);
    share->payload_size = o->size;
    share->form = o->form;
    share->by_hello = o->by_hello;
    share->asks = strncmp(o->scenario, "ack", 3) == 0;
    const struct sockaddr_in *to = &field->clients_at[0];
    char address[INET_ADDRSTRLEN];
    snprintf(share->host, sizeof share->host, "%s:%u",
             inet_ntop(AF_INET, &to->sin_addr, address, sizeof address), ntohs(to->sin_port));
    share->run_base = o->run;
    if (share->run_base == 0)
        share->run_base =
            ((uint32_t)(clock_wall_ms() * 2654435761u) ^ (uint32_t)getpid() << 8) & ~UINT32_C(0xff);
    if (share->run_base == 0)
        share->run_base = 256;
    return true;
}

static bool swarm_make(struct bench_field *field, struct bench_net *net, struct bench_swarm *swarm,
                       uint32_t number) {
    const struct bench_options *o = field->options;
    uint32_t first, count;
    swarm_range(field, number, &first, &count);
    net->gather_ns = o->gather_us * 1000;
    net->stamped = o->tickets && first < field->share->timed;
    return bench_net_open(net) &&
           bench_swarm_open(swarm, net, field->share, number, first, count, field->clients_at,
                            field->far_count != 0 ? field->far_count : 1, o->sources);
}

static bool helpers_fork(struct bench_field *field) {
    for (uint32_t i = 1; i < field->swarms; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return complain("cannot start a helper process");
        if (pid == 0) {
            static struct bench_net net;
            static struct bench_swarm swarm;
            (void)prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL);
            if (!swarm_make(field, &net, &swarm, i)) {
                (void)complain("no memory or descriptors for more clients");
                _exit(1);
            }
            bench_swarm_run(&swarm);
            _exit(0);
        }
        field->helpers[i] = pid;
    }
    return true;
}

static void server_look(struct bench_field *field, struct bench_server *server) {
    if (!bench_server_alive(server))
        snprintf(field->broken, sizeof field->broken, "%s", server->ending);
}

/* Is everybody there who has to be? If not, says who and ends what goes on. */
bool bench_field_alive(struct bench_field *field) {
    if (bench_interrupted) /* what a terminal interrupts, it interrupts all together */
        return false;
    server_look(field, &field->server);
    for (uint32_t i = 0; i < field->far_count; i++)
        server_look(field, &field->far[i]);
    if (!bench_redis_alive(&field->redis))
        snprintf(field->broken, sizeof field->broken, "the Redis between the nodes ended");
    if (!bench_rabbit_alive(&field->queue.rabbit))
        snprintf(field->broken, sizeof field->broken, "the broker ended");
    for (uint32_t i = 1; i < field->swarms && field->broken[0] == '\0'; i++) {
        int status;
        if (field->helpers[i] <= 0 || waitpid(field->helpers[i], &status, WNOHANG) == 0)
            continue;
        field->helpers[i] = 0;
        snprintf(field->broken, sizeof field->broken,
                 "client process %u of %u ended too early, with wait status 0x%x", i + 1,
                 field->swarms, (unsigned)status);
        bench_progress_end();
        fprintf(stderr, "ringpost bench: %s\n", field->broken);
    }
    if (field->broken[0] != '\0')
        bench_interrupted = 1;
    return field->broken[0] == '\0';
}

/* One more crew beside the main one. */
static bool beside_add(struct bench_field *field, struct bench_producer_options *its) {
    struct bench_producers *ps = &field->beside[field->beside_count++];
    its->number = field->beside_count;
    return bench_producers_open(ps, &field->net, field->share, its);
}

#define GROUP_CONNECTIONS 4u

static bool producers_make(struct bench_field *field, enum bench_kind kind) {
    const struct bench_options *o = field->options;
    struct bench_producer_options its = {.kind = kind,
                                         .connections = o->producers,
                                         .placed = o->together,
                                         .inflight = o->inflight,
                                         .send_buffer = o->send_buffer,
                                         .batch = o->batch,
                                         .ndjson = o->ndjson,
                                         .api_key = o->api_key,
                                         .queued = o->queued,
                                         .to = o->queued ? field->queue.rabbit.at
                                                         : field->server.api};
    if (!bench_producers_open(&field->producers, &field->net, field->share, &its))
        return false;
    its.batch = 1;
    its.placed = false;
    its.kind = BENCH_GROUP;
    its.part = o->group_part;
    its.connections = GROUP_CONNECTIONS;
    if (o->group_part > 0 && !beside_add(field, &its))
        return false;
    its.kind = BENCH_BROADCAST;
    its.part = o->broadcast_part;
    its.connections = 1;
    if (o->broadcast_part > 0 && !beside_add(field, &its))
        return false;
    its.kind = BENCH_LONE;
    its.part = 0;
    its.own_rate = o->lone;
    return o->lone <= 0 || beside_add(field, &its);
}

/* One that its Redis ties to the others. */
static bool tied_open(struct bench_field *field, struct bench_server *server, unsigned number) {
    char name[16];
    snprintf(name, sizeof name, "bench-%u", number);
    const char *const more[] = {"--redis", field->redis.url, "--node", name, NULL};
    return bench_server_open(server, field->options, more);
}

/* One that consumes a queue. */
static bool consumer_open(struct bench_field *field) {
    const struct bench_options *o = field->options;
    struct bench_queue *queue = &field->queue;
    if (!bench_queue_open(queue, &o->broker, o->preload != 0))
        return false;
    const char *const more[] = {"--amqp",         queue->rabbit.url, "--amqp-queue",
                                BENCH_AMQP_QUEUE, "--amqp-prefetch", PREFETCH};
    return bench_server_open(&field->server, o, more) && bench_queue_consumed(queue);
}

static bool nodes_open(struct bench_field *field) {
    static const char *const none[] = {NULL};
    const struct bench_options *o = field->options;
    if (o->nodes == 1) {
        bool opened = o->queued ? consumer_open(field) : bench_server_open(&field->server, o, none);
        field->clients_at[0] = field->server.clients;
        return opened;
    }
    if (!bench_redis_open(&field->redis) || !tied_open(field, &field->server, 1))
        return false;
    while (field->far_count < o->nodes - 1) {
        struct bench_server *far = &field->far[field->far_count++];
        if (!tied_open(field, far, field->far_count + 1))
            return false;
        field->clients_at[field->far_count - 1] = far->clients;
    }
    return true;
}

int64_t bench_field_kb(const struct bench_field *field, int64_t (*of)(pid_t pid)) {
    int64_t sum = of(field->server.pid);
    for (uint32_t i = 0; i < field->far_count; i++) {
        int64_t its = of(field->far[i].pid);
        sum = sum < 0 || its < 0 ? -1 : sum + its;
    }
    return sum;
}

bool bench_field_open(struct bench_field *field, const struct bench_options *options,
                      enum bench_kind kind) {
    *field = (struct bench_field){.options = options, .net.epoll = -1, .pss_none_kb = -1};
    bench_queue_init(&field->queue);
    field->swarms = swarms_needed(options);
    if (field->swarms > BENCH_SWARMS_MAX)
        return errno = EMFILE, complain("too many clients for 16 processes");
    if (!nodes_open(field))
        return false;
    /* after the node was started, which would inherit it */
    if (options->cpus != NULL && !bench_cpus_pin(options->cpus))
        return errno = EINVAL, complain("--cpus");
    if (!share_make(field, kind) || !helpers_fork(field))
        return false;
    if (!swarm_make(field, &field->net, &field->swarm, 0))
        return complain("no memory or descriptors");
    if (!producers_make(field, kind))
        return complain("the producers cannot connect");
    bench_field_idle(field, 0.2);
    if (field->producers.broken || field->beside[0].broken)
        return errno = ECONNREFUSED, complain("the producers cannot connect");
    if (field->server.pid != 0)
        field->pss_none_kb = bench_field_kb(field, bench_proc_pss_kb);
    return true;
}

void bench_field_close(struct bench_field *field) {
    bench_progress_end();
    if (field->share != NULL)
        bench_share_order(field->share, BENCH_ORDER_QUIT);
    for (uint32_t i = 1; i < field->swarms && i < BENCH_SWARMS_MAX; i++)
        if (field->helpers[i] > 0)
            waitpid(field->helpers[i], NULL, 0);
    bench_producers_close(&field->producers);
    for (uint32_t i = 0; i < field->beside_count; i++)
        bench_producers_close(&field->beside[i]);
    if (field->swarm.clients != NULL)
        bench_swarm_close(&field->swarm);
    bench_net_close(&field->net);
    for (uint32_t i = 0; i < field->far_count; i++) {
        field->far[i].failed |= field->server.failed;
        bench_server_close(&field->far[i]);
        field->server.failed |= field->far[i].failed;
        if (field->server.ending[0] == '\0')
            memcpy(field->server.ending, field->far[i].ending, sizeof field->server.ending);
    }
    bench_server_close(&field->server);
    bench_redis_close(&field->redis);
    bench_queue_close(&field->queue);
    bench_share_close(field->share);
    field->share = NULL;
}

/* One turn: waits at most so long, lets clients and producers handle what came. */
void bench_field_turn(struct bench_field *field, uint64_t wait_ns) {
    uint64_t swarm_ns = bench_swarm_step(&field->swarm, clock_ns());
    int count = bench_net_wait(&field->net, swarm_ns < wait_ns ? swarm_ns : wait_ns);
    for (int i = 0; i < count; i++) {
        const struct epoll_event *event = &field->net.events[i];
        uint64_t crew = event->data.u64 >> BENCH_CREW_SHIFT;
        if ((event->data.u64 & BENCH_PRODUCER_TAG) != 0)
            bench_producers_on_event(crew == 0 ? &field->producers : &field->beside[crew - 1],
                                     (uint32_t)event->data.u64, event->events);
        else
            bench_swarm_on_event(&field->swarm, (uint32_t)event->data.u64, event->events);
    }
}

void bench_field_idle(struct bench_field *field, double seconds) {
    uint64_t end_ns = clock_ns() + (uint64_t)(seconds * 1e9);
    while (clock_ns() < end_ns && !bench_interrupted)
        bench_field_turn(field, 10 * NS_PER_MS);
}

void bench_field_open_clients(struct bench_field *field, double rate, uint32_t pending,
                              struct bench_tally *sum) {
    struct bench_share *share = field->share;
    uint64_t start_ns = clock_ns();
    bool all;
    share->open_rate = rate;
    share->open_pending = pending > field->swarms ? pending / field->swarms : 1;
    bench_share_order(share, BENCH_ORDER_OPEN);
    do {
        bench_field_turn(field, NS_PER_MS);
        uint32_t settled = 0, ready = 0, failed = 0;
        uint32_t order = atomic_load_explicit(&share->order_number, memory_order_relaxed);
        all = true;
        for (uint32_t i = 0; i < field->swarms; i++) {
            if (atomic_load_explicit(&share->tallies[i].order_seen, memory_order_acquire) !=
                order) {
                all = false; /* what it says is of the last time */
                continue;
            }
            settled += *(const volatile uint32_t *)&share->tallies[i].settled;
            ready += *(const volatile uint32_t *)&share->tallies[i].ready;
            failed += *(const volatile uint32_t *)&share->tallies[i].failed;
        }
        bench_progress("connecting: %u of %u clients", ready, share->clients);
        all = all && settled >= share->clients;
        if (failed > FAILURES_MAX)
            break;
    } while (!all && bench_field_alive(field));
    bench_share_sum(share, sum);
    field->open_s = (double)(sum->settled_ns - start_ns) / 1e9;
}

bool bench_field_connect(struct bench_field *field, double rate, uint32_t pending) {
    static struct bench_tally sum;
    bench_field_open_clients(field, rate, pending, &sum);
    if (sum.ready == field->share->clients)
        return true;
    bench_progress_end();
    fprintf(stderr, "ringpost bench: %u of %u clients were welcomed; %s\n", sum.ready,
            field->share->clients, bench_interrupted ? "then it was interrupted" : sum.sample);
    return false;
}

void bench_field_disconnect(struct bench_field *field) {
    bench_share_order(field->share, BENCH_ORDER_CLOSE);
    for (bool all = false; !all && bench_field_alive(field);) {
        bench_field_turn(field, NS_PER_MS);
        all = true;
        for (uint32_t i = 0; i < field->swarms; i++)
            all = all && *(const volatile uint32_t *)&field->share->tallies[i].ready == 0;
    }
}

void bench_field_begin(struct bench_field *field) {
    bench_share_begin(field->share);
    while (!bench_share_begun(field->share, field->swarms) && bench_field_alive(field))
        bench_field_turn(field, NS_PER_MS);
}
