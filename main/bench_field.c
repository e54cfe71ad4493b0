#include "main/bench_field.h"

#include "core/base/clock.h"
#include "main/bench_proc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTORS_KEPT 64u
#define FAILURES_MAX 100u /* clients that could not connect: the rest will not either */
#define QUIET_NS (UINT64_C(2) * NS_PER_S) /* nothing came for so long: the rest is missing */
#define LINGER_NS (50 * NS_PER_MS)        /* after the last one, for repeats */

volatile int bench_interrupted;

static bool complain(const char *what) {
    bench_progress_end();
    fprintf(stderr, "ringpost bench: %s: %s\n", what, strerror(errno));
    return false;
}

static uint32_t swarms_needed(const struct bench_options *o) {
    uint32_t each = bench_descriptors_max();
    each =
        each > DESCRIPTORS_KEPT + o->producers + 16 ? each - DESCRIPTORS_KEPT - o->producers : 16;
    uint32_t swarms = (o->clients + each - 1) / each;
    return swarms > o->procs ? swarms : o->procs;
}

static bool share_make(struct bench_field *field, enum bench_kind kind) {
    const struct bench_options *o = field->options;
    uint32_t streams = 1, addresses = o->clients;
    if (kind == BENCH_BROADCAST)
        streams = addresses = o->producers;
    else if (kind == BENCH_GROUP)
        streams = o->join, addresses = o->groups;
    if (o->clients > BENCH_ADDRESS_MASK || addresses > BENCH_ADDRESS_MASK)
        return errno = E2BIG, complain("too many clients");
    struct bench_share *share = bench_share_open(o->clients, streams, addresses);
    if (share == NULL)
        return complain("no memory for the clients");
    field->share = share;
    share->kind = kind;
    share->groups = o->groups;
    share->join = o->join;
    share->payload_size = o->size;
    share->counted = o->counted;
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
    uint32_t each = (o->clients + field->swarms - 1) / field->swarms;
    uint32_t first = number * each < o->clients ? number * each : o->clients;
    uint32_t count = o->clients - first < each ? o->clients - first : each;
    net->gather_ns = o->gather_us * 1000;
    return bench_net_open(net) && bench_swarm_open(swarm, net, field->share, number, first, count,
                                                   &field->server.tcp, o->sources);
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

/* Is everybody there who has to be? If not, says who and ends what goes on. */
static bool field_alive(struct bench_field *field) {
    if (bench_interrupted) /* what a terminal interrupts, it interrupts all together */
        return false;
    if (!bench_server_alive(&field->server))
        snprintf(field->broken, sizeof field->broken, "%s", field->server.ending);
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

bool bench_field_open(struct bench_field *field, const struct bench_options *options,
                      enum bench_kind kind) {
    *field = (struct bench_field){.options = options, .net.epoll = -1, .pss_none_kb = -1};
    field->swarms = swarms_needed(options);
    if (field->swarms > BENCH_SWARMS_MAX)
        return errno = EMFILE, complain("too many clients for 16 processes");
    if (!bench_server_open(&field->server, options))
        return false;
    /* after the node was started, which would inherit it */
    if (options->cpus != NULL && !bench_cpus_pin(options->cpus))
        return errno = EINVAL, complain("--cpus");
    if (!share_make(field, kind) || !helpers_fork(field))
        return false;
    if (!swarm_make(field, &field->net, &field->swarm, 0))
        return complain("no memory or descriptors");
    struct bench_producer_options producers = {.connections = options->producers,
                                               .inflight = options->inflight,
                                               .batch = options->batch,
                                               .ndjson = options->ndjson,
                                               .api_key = options->api_key,
                                               .to = field->server.api};
    if (!bench_producers_open(&field->producers, &field->net, field->share, &producers))
        return complain("the producers cannot connect");
    bench_field_idle(field, 0.2);
    if (field->producers.broken)
        return errno = ECONNREFUSED, complain("the producers cannot connect");
    if (field->server.pid != 0)
        field->pss_none_kb = bench_proc_pss_kb(field->server.pid);
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
    if (field->swarm.clients != NULL)
        bench_swarm_close(&field->swarm);
    bench_net_close(&field->net);
    bench_server_close(&field->server);
    bench_share_close(field->share);
    field->share = NULL;
}

/* One turn: waits at most so long, lets clients and producers handle what came. */
static void field_turn(struct bench_field *field, uint64_t wait_ns) {
    uint64_t swarm_ns = bench_swarm_step(&field->swarm, clock_ns());
    int count = bench_net_wait(&field->net, swarm_ns < wait_ns ? swarm_ns : wait_ns);
    for (int i = 0; i < count; i++) {
        const struct epoll_event *event = &field->net.events[i];
        if ((event->data.u64 & BENCH_PRODUCER_TAG) != 0)
            bench_producers_on_event(&field->producers, (uint32_t)event->data.u64, event->events);
        else
            bench_swarm_on_event(&field->swarm, (uint32_t)event->data.u64, event->events);
    }
}

void bench_field_idle(struct bench_field *field, double seconds) {
    uint64_t end_ns = clock_ns() + (uint64_t)(seconds * 1e9);
    while (clock_ns() < end_ns && !bench_interrupted)
        field_turn(field, 10 * NS_PER_MS);
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
        field_turn(field, NS_PER_MS);
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
    } while (!all && field_alive(field));
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
    for (bool all = false; !all && field_alive(field);) {
        field_turn(field, NS_PER_MS);
        all = true;
        for (uint32_t i = 0; i < field->swarms; i++)
            all = all && *(const volatile uint32_t *)&field->share->tallies[i].ready == 0;
    }
}

void bench_field_begin(struct bench_field *field) {
    bench_share_begin(field->share);
    while (!bench_share_begun(field->share, field->swarms) && field_alive(field))
        field_turn(field, NS_PER_MS);
}

struct bench_push bench_push_for(const struct bench_field *field, double rate, double seconds) {
    const struct bench_options *o = field->options;
    const struct bench_share *share = field->share;
    struct bench_push push = {.rate = rate, .messages = UINT64_MAX};
    push.start_ns = clock_ns() + 5 * NS_PER_MS;
    push.end_ns = push.start_ns + (uint64_t)(seconds * 1e9);
    if (rate > 0) {
        push.messages = (uint64_t)(rate * seconds);
        push.end_ns += 5 * NS_PER_S; /* to catch up */
    }
    push.deliveries_max =
        share->kind == BENCH_BROADCAST ? (uint64_t)o->window * share->clients : 65536;
    return push;
}

void bench_mark_take(const struct bench_field *field, struct bench_mark *mark) {
    memset(mark, 0, sizeof *mark);
    mark->at_ns = clock_ns();
    mark->machine_s = bench_machine_cpu_s();
    mark->own_ns[0] = clock_thread_cpu_ns();
    for (uint32_t i = 1; i < field->swarms; i++)
        mark->own_ns[i] = bench_proc_cpu_ns(field->helpers[i]);
    if (field->server.pid != 0) {
        mark->server_ns = bench_proc_cpu_ns(field->server.pid);
        bench_proc_cpu_split(field->server.pid, &mark->server_user_s, &mark->server_kernel_s);
    }
}

/* None if the process ended between. */
static double spent_ns(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? (double)(to_ns - from_ns) : 0;
}

static void result_cpu(const struct bench_field *field, const struct bench_mark *from,
                       const struct bench_mark *to, struct bench_result *result) {
    double wall_ns = (double)(to->at_ns - from->at_ns);
    result->server_cpu_s = spent_ns(from->server_ns, to->server_ns) / 1e9;
    result->server_user_s = to->server_user_s - from->server_user_s;
    result->server_kernel_s = to->server_kernel_s - from->server_kernel_s;
    for (uint32_t i = 0; i < field->swarms; i++) {
        double share = spent_ns(from->own_ns[i], to->own_ns[i]) / wall_ns;
        result->own_all += share;
        if (share > result->own_busiest)
            result->own_busiest = share;
    }
    result->others = -1;
    if (from->machine_s >= 0 && field->server.pid != 0) {
        double others_s = to->machine_s - from->machine_s - result->server_cpu_s;
        result->others = others_s * 1e9 / wall_ns - result->own_all;
        if (result->others < 0) /* the machine's clock ticks in hundredths */
            result->others = 0;
    }
}

/* Where a run stands, turn by turn. */
struct run_state {
    uint64_t received;
    uint64_t moved_ns;  /* when `received` last changed */
    uint64_t done_ns;   /* when everything had arrived; 0: not yet */
    uint64_t looked_ns; /* at the node's memory */
    bool pushed_out;    /* the time of pushing is over */
};

static double mean_fan(const struct bench_field *field) {
    const struct bench_share *share = field->share;
    if (share->kind == BENCH_BROADCAST)
        return share->clients;
    if (share->kind == BENCH_GROUP)
        return (double)share->clients * share->join / share->groups;
    return 1;
}

static void run_look(struct bench_field *field, struct run_state *state, uint64_t now_ns,
                     const char *what, struct bench_result *result) {
    if (now_ns - state->looked_ns < NS_PER_S / 4)
        return;
    state->looked_ns = now_ns;
    (void)field_alive(field);
    const struct bench_pushed *pushed = &field->producers.pushed;
    bench_progress("%s: %.1f s, %llu sent, %llu refused, %llu arrived", what,
                   (double)(now_ns - field->producers.push.start_ns) / 1e9,
                   (unsigned long long)pushed->sent, (unsigned long long)pushed->refused,
                   (unsigned long long)state->received);
    if (field->server.pid == 0)
        return;
    int64_t rss_kb = bench_proc_rss_kb(field->server.pid);
    if (rss_kb > result->rss_max_kb)
        result->rss_max_kb = rss_kb;
}

/* True when the run is over. */
static bool run_turn(struct bench_field *field, struct run_state *state, uint64_t pushing_end_ns,
                     struct bench_result *result) {
    struct bench_producers *ps = &field->producers;
    ps->received = state->received;
    uint64_t now_ns = clock_ns();
    uint64_t due_ns = bench_producers_step(ps, now_ns);
    uint64_t wait_ns = 20 * NS_PER_MS;
    if (field->swarms > 1 && ps->push.rate <= 0)
        wait_ns = NS_PER_MS; /* deliveries elsewhere make room here */
    field_turn(field, due_ns < wait_ns ? due_ns : wait_ns);
    now_ns = clock_ns();
    uint64_t received = bench_share_received(field->share, field->swarms);
    if (received != state->received) {
        state->received = received;
        state->moved_ns = now_ns;
    }
    if (!state->pushed_out && now_ns >= pushing_end_ns) {
        state->pushed_out = true;
        double due = ps->push.rate > 0 ? (double)ps->push.messages * mean_fan(field) : 0;
        result->behind = due > (double)received ? (uint64_t)due - received : 0;
    }
    if (!bench_producers_done(ps, now_ns)) {
        if (ps->pushed.last_answer_ns > state->moved_ns)
            state->moved_ns = ps->pushed.last_answer_ns;
        /* answers that never come: what is left to write may wait for them until its end */
        uint64_t end_ns = bench_producers_written(ps, now_ns) ? pushing_end_ns : ps->push.end_ns;
        return now_ns > end_ns + QUIET_NS && now_ns > state->moved_ns + QUIET_NS;
    }
    if (received >= ps->pushed.expected) {
        if (state->done_ns == 0)
            state->done_ns = now_ns;
        return true;
    }
    return now_ns > state->moved_ns + QUIET_NS && now_ns > pushing_end_ns + QUIET_NS;
}

void bench_field_run(struct bench_field *field, const struct bench_push *push, const char *what,
                     struct bench_result *result) {
    struct bench_mark from, to;
    struct bench_push now_push = *push;
    memset(result, 0, sizeof *result);
    bench_field_begin(field);
    uint64_t shift_ns = clock_ns() + 5 * NS_PER_MS - push->start_ns; /* beginning took its time */
    now_push.start_ns += shift_ns;
    now_push.end_ns += shift_ns;
    if (field->share->slot_start_ns != 0)
        field->share->slot_start_ns = now_push.start_ns;
    bench_producers_begin(&field->producers, &now_push);
    uint64_t pushing_end_ns = now_push.end_ns;
    if (push->rate > 0)
        pushing_end_ns = now_push.start_ns + (uint64_t)((double)push->messages / push->rate * 1e9);
    struct run_state state = {.moved_ns = clock_ns()};
    bench_mark_take(field, &from);
    while (!run_turn(field, &state, pushing_end_ns, result) && !bench_interrupted)
        run_look(field, &state, clock_ns(), what, result);
    bench_mark_take(field, &to);
    uint64_t end_ns = state.done_ns != 0 ? state.done_ns : state.moved_ns;
    bench_field_idle(field, (double)LINGER_NS / 1e9);
    (void)field_alive(field); /* a node that dies closes everything, which ends a run at once */

    result->rate = push->rate;
    result->start_ns = now_push.start_ns;
    result->pushing_end_ns = pushing_end_ns;
    result->pushed = field->producers.pushed;
    if (push->rate > 0 && result->pushed.sent + result->pushed.given_up < push->messages)
        result->pushed.given_up = push->messages - result->pushed.sent;
    bench_share_sum(field->share, &result->seen);
    result->seen.lost -= field->lost_told; /* the swarms count on: each loss is of one run */
    field->lost_told += result->seen.lost;
    bench_share_missing(field->share, &result->missing, &result->unasked);
    result->wall_s = (double)(end_ns - now_push.start_ns) / 1e9;
    result->offered_s = (double)(pushing_end_ns - now_push.start_ns) / 1e9;
    result->drain_s = end_ns > pushing_end_ns ? (double)(end_ns - pushing_end_ns) / 1e9 : 0;
    result_cpu(field, &from, &to, result);
    bench_result_judge(result, mean_fan(field));
}

bool bench_field_send(struct bench_field *field, uint64_t messages) {
    struct bench_producers *ps = &field->producers;
    uint64_t start_ns = clock_ns();
    uint64_t before = bench_share_received(field->share, field->swarms);
    struct bench_push push = {.rate = 1e9,
                              .messages = messages,
                              .start_ns = start_ns,
                              .end_ns = start_ns + QUIET_NS,
                              .at_write = true};
    bench_producers_begin(ps, &push);
    for (;;) {
        uint64_t now_ns = clock_ns();
        (void)bench_producers_step(ps, now_ns);
        if (bench_producers_done(ps, now_ns) && ps->pushed.accepted == messages &&
            bench_share_received(field->share, field->swarms) - before >= messages)
            return true;
        if (now_ns >= push.end_ns || bench_interrupted)
            return false;
        field_turn(field, NS_PER_MS);
    }
}
