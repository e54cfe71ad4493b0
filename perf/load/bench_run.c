/* The runs of traffic: push for a time, wait until all that was accepted has arrived. */
#include "perf/load/bench_field.h"

#include "core/base/clock.h"
#include "perf/load/bench_proc.h"

#include <string.h>
#include <unistd.h>

#define QUIET_NS (UINT64_C(2) * NS_PER_S) /* nothing came for so long: the rest is missing */
#define LINGER_NS (50 * NS_PER_MS)        /* after the last one, for repeats */
/* Closed loops: messages under way at most. Without a limit for each connection, what is under way
 * is what waits in the node, which refuses when that takes too long. */
#define DELIVERIES_MAX 65536u
#define DELIVERIES_UNLIMITED 8192u

struct bench_push bench_push_for(const struct bench_field *field, double rate, double seconds) {
    const struct bench_options *o = field->options;
    struct bench_push push = {.rate = rate, .messages = UINT64_MAX};
    push.start_ns = clock_ns() + 5 * NS_PER_MS;
    push.end_ns = push.start_ns + (uint64_t)(seconds * 1e9);
    if (rate > 0) {
        push.messages = (uint64_t)(rate * seconds);
        push.end_ns += 5 * NS_PER_S; /* to catch up */
    }
    uint64_t window = (uint64_t)(o->window * bench_producers_fan(&field->producers));
    uint64_t least = o->inflight == 0 ? DELIVERIES_UNLIMITED : DELIVERIES_MAX;
    push.deliveries_max = window;
    if (field->producers.options.kind != BENCH_BROADCAST && window < least)
        push.deliveries_max = least;
    return push;
}

static void server_mark(const struct bench_server *server, struct bench_mark *mark) {
    double user_s = 0, kernel_s = 0;
    if (server->pid == 0)
        return;
    mark->server_ns += bench_proc_cpu_ns(server->pid);
    bench_proc_cpu_split(server->pid, &user_s, &kernel_s);
    mark->server_user_s += user_s;
    mark->server_kernel_s += kernel_s;
}

void bench_mark_take(const struct bench_field *field, struct bench_mark *mark) {
    memset(mark, 0, sizeof *mark);
    mark->at_ns = clock_ns();
    mark->machine_s = bench_machine_cpu_s();
    mark->own_ns[0] = clock_thread_cpu_ns();
    mark->own_wait_ns[0] = bench_proc_wait_ns(getpid());
    for (uint32_t i = 1; i < field->swarms; i++) {
        mark->own_ns[i] = bench_proc_cpu_ns(field->helpers[i]);
        mark->own_wait_ns[i] = bench_proc_wait_ns(field->helpers[i]);
    }
    server_mark(&field->server, mark);
    for (uint32_t i = 0; i < field->far_count; i++)
        server_mark(&field->far[i], mark);
    if (field->redis.pid != 0)
        mark->redis_ns = bench_proc_cpu_ns(field->redis.pid);
    if (field->queue.rabbit.pid != 0)
        mark->broker_ns = bench_proc_cpu_ns(field->queue.rabbit.pid);
}

/* None if the process ended between. */
static double spent_ns(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? (double)(to_ns - from_ns) : 0;
}

static void result_cpu(const struct bench_field *field, const struct bench_mark *from,
                       const struct bench_mark *to, struct bench_result *result) {
    double wall_ns = (double)(to->at_ns - from->at_ns);
    result->server_cpu_s = spent_ns(from->server_ns, to->server_ns) / 1e9;
    result->redis_cpu_s = spent_ns(from->redis_ns, to->redis_ns) / 1e9;
    result->broker_cpu_s = spent_ns(from->broker_ns, to->broker_ns) / 1e9;
    result->server_user_s = to->server_user_s - from->server_user_s;
    result->server_kernel_s = to->server_kernel_s - from->server_kernel_s;
    for (uint32_t i = 0; i < field->swarms; i++) {
        double share = spent_ns(from->own_ns[i], to->own_ns[i]) / wall_ns;
        result->own_all += share;
        if (share > result->own_busiest)
            result->own_busiest = share;
        double waited = spent_ns(from->own_wait_ns[i], to->own_wait_ns[i]) / wall_ns;
        if (i == 0) {
            result->own_producers = share;
            result->wait_producers = waited;
        } else if (share + waited > result->own_clients + result->wait_clients) {
            result->own_clients = share;
            result->wait_clients = waited;
        }
    }
    result->others = -1;
    if (from->machine_s >= 0 && field->server.pid != 0) {
        double others_s = to->machine_s - from->machine_s - result->server_cpu_s -
                          result->redis_cpu_s - result->broker_cpu_s;
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
    bool half;          /* half the time of pushing is over, */
    bool pushed_out;    /* and all of it */
};

/* The crews of producers: the main one, and those beside it. */
static struct bench_producers *crew(struct bench_field *field, uint32_t i) {
    return i == 0 ? &field->producers : &field->beside[i - 1];
}

/* The part of a run's rate that a crew has; of the lone producer, none. */
static double crew_part(const struct bench_field *field, uint32_t i) {
    double rest = 1;
    if (i != 0)
        return field->beside[i - 1].options.part;
    for (uint32_t k = 0; k < field->beside_count; k++)
        rest -= field->beside[k].options.part;
    return rest;
}

static void pings_every(struct bench_field *field, double seconds) {
    atomic_store_explicit(&field->share->ping_every_ns, seconds > 0 ? (uint64_t)(seconds * 1e9) : 0,
                          memory_order_relaxed);
}

static double mean_fan(struct bench_field *field) {
    double fan = 0;
    for (uint32_t i = 0; i <= field->beside_count; i++)
        fan += crew_part(field, i) * bench_producers_fan(crew(field, i));
    return fan;
}

static double most_fan(struct bench_field *field) {
    double most = 0;
    for (uint32_t i = 0; i <= field->beside_count; i++) {
        double fan = crew_part(field, i) > 0 ? bench_producers_fan(crew(field, i)) : 0;
        most = fan > most ? fan : most;
    }
    return most;
}

static void crews_begin(struct bench_field *field, const struct bench_push *push) {
    for (uint32_t i = 0; i <= field->beside_count; i++) {
        struct bench_push its = *push;
        double part = crew_part(field, i), seconds = (double)(its.end_ns - its.start_ns) / 1e9;
        if (part > 0 && push->rate > 0) {
            its.rate = push->rate * part;
            its.messages = (uint64_t)((double)push->messages * part);
        } else if (part > 0 && i != 0) {
            its.end_ns = its.start_ns; /* a closed loop has no parts: the main crew alone pushes */
        } else if (part <= 0) {
            its.rate = crew(field, i)->options.own_rate;
            if (push->rate > 0)
                seconds = (double)push->messages / push->rate;
            its.messages = (uint64_t)(its.rate * seconds);
            its.at_write = true;
            its.give_up_ns = 0;
        }
        bench_producers_begin(crew(field, i), &its);
    }
}

/* Writes what is due; gives in how many nanoseconds more is. The slow ones first. */
static uint64_t crews_step(struct bench_field *field, uint64_t now_ns) {
    uint64_t due_ns = UINT64_MAX;
    for (uint32_t i = field->beside_count + 1; i-- > 0;) {
        uint64_t its_ns = bench_producers_step(crew(field, i), now_ns);
        due_ns = its_ns < due_ns ? its_ns : due_ns;
    }
    return due_ns;
}

static bool crews_written(struct bench_field *field, uint64_t now_ns) {
    for (uint32_t i = 0; i <= field->beside_count; i++)
        if (!bench_producers_written(crew(field, i), now_ns))
            return false;
    return true;
}

static bool crews_done(struct bench_field *field, uint64_t now_ns) {
    for (uint32_t i = 0; i <= field->beside_count; i++)
        if (!bench_producers_done(crew(field, i), now_ns))
            return false;
    return true;
}

static uint64_t crews_expected(struct bench_field *field) {
    uint64_t expected = 0;
    for (uint32_t i = 0; i <= field->beside_count; i++)
        expected += crew(field, i)->pushed.expected;
    return expected;
}

static uint64_t crews_last_answer_ns(struct bench_field *field) {
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i <= field->beside_count; i++)
        if (crew(field, i)->pushed.last_answer_ns > last_ns)
            last_ns = crew(field, i)->pushed.last_answer_ns;
    return last_ns;
}

/* Heartbeats without an answer yet, on connections that are still there. */
static uint64_t pings_open(const struct bench_field *field) {
    uint64_t open = 0;
    for (uint32_t i = 0; i < field->swarms; i++) {
        const volatile struct bench_tally *t = &field->share->tallies[i];
        open += t->pings - t->pongs - t->pings_lost;
    }
    return open;
}

static void run_look(struct bench_field *field, struct run_state *state, uint64_t now_ns,
                     const char *what, struct bench_result *result) {
    if (now_ns - state->looked_ns < NS_PER_S / 4)
        return;
    state->looked_ns = now_ns;
    (void)bench_field_alive(field);
    const struct bench_pushed *pushed = &field->producers.pushed;
    bench_progress("%s: %.1f s, %llu sent, %llu refused, %llu arrived", what,
                   spent_ns(field->producers.push.start_ns, now_ns) / 1e9,
                   (unsigned long long)pushed->sent, (unsigned long long)pushed->refused,
                   (unsigned long long)state->received);
    if (field->server.pid == 0)
        return;
    int64_t rss_kb = bench_field_kb(field, bench_proc_rss_kb);
    if (rss_kb > result->rss_max_kb)
        result->rss_max_kb = rss_kb;
    int64_t pss_kb = field->producers.push.pss ? bench_field_kb(field, bench_proc_pss_kb) : -1;
    if (pss_kb > result->pss_max_kb)
        result->pss_max_kb = pss_kb;
}

/* True when the run is over. */
static bool run_turn(struct bench_field *field, struct run_state *state, uint64_t pushing_end_ns,
                     struct bench_result *result) {
    struct bench_producers *ps = &field->producers;
    ps->received = state->received;
    uint64_t now_ns = clock_ns();
    uint64_t due_ns = crews_step(field, now_ns);
    uint64_t wait_ns = 20 * NS_PER_MS;
    if (field->swarms > 1 && ps->push.rate <= 0)
        wait_ns = NS_PER_MS; /* deliveries elsewhere make room here */
    bench_field_turn(field, due_ns < wait_ns ? due_ns : wait_ns);
    now_ns = clock_ns();
    uint64_t received = bench_share_received(field->share, field->swarms);
    if (received != state->received) {
        state->received = received;
        state->moved_ns = now_ns;
    }
    double due = result->rate > 0 ? result->rate * result->offered_s * result->fan : 0;
    if (!state->half && now_ns >= result->start_ns + (pushing_end_ns - result->start_ns) / 2) {
        state->half = true;
        result->behind_half = due / 2 > (double)received ? (uint64_t)(due / 2) - received : 0;
    }
    if (!state->pushed_out && now_ns >= pushing_end_ns) {
        state->pushed_out = true;
        pings_every(field, 0);
        result->behind = due > (double)received ? (uint64_t)due - received : 0;
    }
    if (!crews_done(field, now_ns)) {
        uint64_t last_answer_ns = crews_last_answer_ns(field);
        if (last_answer_ns > state->moved_ns)
            state->moved_ns = last_answer_ns;
        /* answers that never come: what is left to write may wait for them until its end */
        uint64_t end_ns = crews_written(field, now_ns) ? pushing_end_ns : ps->push.end_ns;
        return now_ns > end_ns + QUIET_NS && now_ns > state->moved_ns + QUIET_NS;
    }
    if (received >= crews_expected(field)) {
        if (state->done_ns == 0)
            state->done_ns = now_ns;
        if (state->pushed_out && pings_open(field) == 0)
            return true;
    }
    return now_ns > state->moved_ns + QUIET_NS && now_ns > pushing_end_ns + QUIET_NS;
}

/* What was pushed and what came of it, the lone producer's apart from the others'. */
static void result_sum(struct bench_field *field, struct bench_result *result) {
    for (uint32_t i = 0; i <= field->beside_count; i++) {
        struct bench_copies copies;
        const struct bench_producers *ps = crew(field, i);
        bool lone = ps->options.kind == BENCH_LONE;
        struct bench_copies *its = lone ? &result->lone_copies : &result->copies;
        bench_pushed_add(lone ? &result->lone : &result->pushed, &ps->pushed);
        if (!lone && ps->push.rate > 0)
            result->due += ps->push.messages;
        bench_share_copies(field->share, ps->options.kind, &copies);
        its->arrived += copies.arrived;
        its->missing += copies.missing;
        its->unasked += copies.unasked;
    }
    result->missing = result->copies.missing + result->lone_copies.missing;
    result->unasked = result->copies.unasked + result->lone_copies.unasked;
    result->pings_unanswered = pings_open(field);
}

void bench_field_run(struct bench_field *field, const struct bench_push *push, const char *what,
                     struct bench_result *result) {
    struct bench_mark from, to;
    struct bench_push now_push = *push;
    memset(result, 0, sizeof *result);
    result->pss_max_kb = -1;
    bench_field_begin(field);
    uint64_t shift_ns = clock_ns() + 5 * NS_PER_MS - push->start_ns; /* beginning took its time */
    now_push.start_ns += shift_ns;
    now_push.end_ns += shift_ns;
    if (field->share->slot_start_ns != 0)
        field->share->slot_start_ns = now_push.start_ns;
    crews_begin(field, &now_push);
    pings_every(field, field->options->heartbeat_s);
    uint64_t pushing_end_ns = now_push.end_ns;
    if (push->rate > 0)
        pushing_end_ns = now_push.start_ns + (uint64_t)((double)push->messages / push->rate * 1e9);
    result->rate = push->rate;
    result->fan = mean_fan(field);
    result->fan_most = most_fan(field);
    result->start_ns = now_push.start_ns;
    result->pushing_end_ns = pushing_end_ns;
    result->offered_s = (double)(pushing_end_ns - now_push.start_ns) / 1e9;
    struct run_state state = {.moved_ns = clock_ns()};
    bench_mark_take(field, &from);
    uint64_t drain_ns = pushing_end_ns;
    while (!run_turn(field, &state, pushing_end_ns, result) && !bench_interrupted) {
        run_look(field, &state, clock_ns(), what, result);
        if (!field->queue.held || !crews_done(field, clock_ns()))
            continue;
        bench_mark_take(field, &from);
        drain_ns = state.moved_ns = clock_ns();
        if (!bench_queue_release(&field->queue))
            break;
    }
    bench_mark_take(field, &to);
    uint64_t end_ns = state.done_ns != 0 ? state.done_ns : state.moved_ns;
    bench_field_idle(field, (double)LINGER_NS / 1e9);
    (void)bench_field_alive(
        field); /* a node that dies closes everything, which ends a run at once */

    pings_every(field, 0);
    result_sum(field, result);
    if (push->rate > 0 && result->pushed.sent + result->pushed.given_up < result->due)
        result->pushed.given_up = result->due - result->pushed.sent;
    bench_share_sum(field->share, &result->seen);
    result->seen.lost -= field->lost_told; /* the swarms count on: each loss is of one run */
    field->lost_told += result->seen.lost;
    result->wall_s = (double)(end_ns - now_push.start_ns) / 1e9;
    result->drain_s = end_ns > drain_ns ? (double)(end_ns - drain_ns) / 1e9 : 0;
    result_cpu(field, &from, &to, result);
    bench_result_judge(result);
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
        bench_field_turn(field, NS_PER_MS);
    }
}
