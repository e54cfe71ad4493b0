/* The scheduler: who acts next, when time moves, and how a run begins and ends. */
#include "core/base/builder.h"
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_coverage.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_kernel.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_polls.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_redis.h"
#include "tests/sim/sim_scenarios.h"
#include "tests/sim/sim_sse.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/sim_streams.h"
#include "tests/sim/sim_toys.h"
#include "tests/toys/toy_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Per mille of the steps; in every third run for what seldom has an occasion. */
#define FAULT_CHANCE 30
#define FAULT_CHANCE_OFTEN 500
#define STEPS_MAX 10000000
#define LOAD_NS_MAX (300 * NS_PER_S)
#define LEAVE_NS_MAX (1000 * NS_PER_S) /* longer than any message lasts */

struct sim sim;

enum stage { STAGE_LOAD, STAGE_LEAVING, STAGE_DRAIN, STAGE_OVER };
static const char *const stage_names[] = {"load", "leaving", "drain", "over"};
static enum stage stage;
static uint64_t stage_since_ns;
static uint64_t frozen_until[SIM_ENDPOINTS_MAX]; /* by step */
static uint64_t load_until_ns; /* not shorter than that; with drain_early, the drain */

/* --- failure and trace ----------------------------------------------------------------------- */

static void place_print(FILE *out) {
    int current = fiber_current();
    fprintf(out, "%11.6f ", (double)sim.now_ns / 1e9);
    if (current >= 0)
        fprintf(out, "w%-2d ", current);
    else
        fprintf(out, "--  ");
}

void sim_note(const char *format, ...) {
    if (!sim.trace)
        return;
    place_print(stdout);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void sim_tell(const char *format, ...) {
    fputs("  ", stderr);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void replay_print(void) {
    fprintf(stderr,
            "  seed %llu, scenario %s, stage %s, step %llu, %.6f s\n"
            "  replay: ringpost_sim --seed %llu --trace\n",
            (unsigned long long)sim.seed, sim.scenario.name, stage_names[stage],
            (unsigned long long)sim.steps, (double)sim.now_ns / 1e9, (unsigned long long)sim.seed);
}

void sim_fail(const char *format, ...) {
    fflush(stdout);
    fputs("violation: ", stderr);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    replay_print();
    fflush(stderr);
    _exit(1);
}

static void check_failed(const char *what) {
    fflush(stdout);
    fprintf(stderr, "ringpost: bug: %s\n", what);
    replay_print();
    int current = fiber_current();
    if (sim.trace && current >= 0) {
        char text[8192];
        struct builder recent = builder_over(text, sizeof(text));
        recorder_tell(&node_server()->endpoints[current]->recorder, sim.now_ns, &recent);
        fprintf(stderr, "  recent: %.*s\n", (int)recent.len, text);
    }
}

void sim_digest(uint64_t value) {
    uint64_t mixed = sim.digest ^ value;
    sim.digest = splitmix(&mixed);
}

/* --- steps ----------------------------------------------------------------------------------- */

static bool is_port(unsigned index) {
    return index >= sim.scenario.workers;
}

/* Does the fiber, which sleeps, have a reason to go on? */
static bool fiber_wakes(unsigned index) {
    return is_port(index) ? sim_port_wakes(index) : kernel_wakes(kernel_ring(index));
}

static uint64_t fiber_wake_ns(unsigned index) {
    return is_port(index) ? sim_port_wake_ns(index) : kernel_wake_ns(kernel_ring(index));
}

static bool fiber_dead(unsigned index) {
    return is_port(index) && sim_port_dead(index);
}

static bool fiber_runnable(unsigned index) {
    enum fiber_state state = fiber_state(index);
    if (fiber_dead(index))
        return false;
    if (state == FIBER_ASLEEP)
        return fiber_wakes(index) || sim_chance(sim.scenario.signal);
    return state == FIBER_READY;
}

/* A thread that the kernel does not run for a while. */
static void fibers_freeze(void) {
    if (sim_chance(sim.scenario.freeze))
        frozen_until[sim_roll(scenario_endpoints(&sim.scenario))] = sim.steps + sim_roll(200);
}

static bool fibers_step(void) {
    unsigned count = scenario_endpoints(&sim.scenario);
    fibers_freeze();
    unsigned first = (unsigned)sim_roll(count);
    for (unsigned i = 0; i < count; i++) {
        unsigned index = (first + i) % count;
        if (frozen_until[index] > sim.steps || !fiber_runnable(index))
            continue;
        if (fiber_state(index) == FIBER_ASLEEP && !is_port(index))
            turn_begun(index);
        fiber_resume(index);
        return true;
    }
    return false;
}

static bool kernels_step(void) {
    bool moved = false;
    for (unsigned i = 0; i < sim.scenario.workers; i++) {
        struct ring *ring = kernel_ring(i);
        if (ring != NULL && sim_chance(500))
            moved |= kernel_step(ring);
    }
    return moved;
}

static bool anything_can_step(void) {
    for (unsigned i = 0; i < scenario_endpoints(&sim.scenario); i++) {
        if (fiber_dead(i))
            continue;
        const struct ring *ring = is_port(i) ? NULL : kernel_ring(i);
        if (fiber_state(i) == FIBER_READY || (ring != NULL && kernel_can_step(ring)) ||
            (fiber_state(i) == FIBER_ASLEEP && fiber_wakes(i)))
            return true;
    }
    return world_can_step() || peers_can_step() || toys_can_step() || streams_can_step() ||
           posters_can_step() || polls_can_step() || redis_can_step();
}

static uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

_Noreturn static void standstill(void) {
    peers_describe();
    for (unsigned i = 0; i < world_links(); i++) {
        const struct link *link = world_link(i);
        if (link->handle_known ? !link->finished : link->state != LINK_CLOSED)
            sim_tell("link %u: state %d, descriptor %d, worker %d, end sent %d, reset %d, to the "
                     "node %llu of %llu taken, to the peer %llu of %llu",
                     i, link->state, link->fd, link->worker, link->up_end, link->reset,
                     (unsigned long long)link->up.taken, (unsigned long long)link->up.written,
                     (unsigned long long)link->down.taken, (unsigned long long)link->down.written);
    }
    sim_fail("everything stands still");
}

/* Nothing goes on at this moment: time moves to what comes next. */
static void time_jump(void) {
    node_quiet_check();
    toys_quiet_check();
    streams_quiet_check();
    uint64_t next = min_u64(min_u64(world_next_ns(), peers_next_ns()),
                            min_u64(toys_next_ns(), streams_next_ns()));
    next = min_u64(next, min_u64(posters_next_ns(), polls_next_ns()));
    next = min_u64(next, redis_next_ns());
    for (unsigned i = 0; i < scenario_endpoints(&sim.scenario); i++)
        if (fiber_state(i) == FIBER_ASLEEP)
            next = min_u64(next, fiber_wake_ns(i));
    if (stage == STAGE_LOAD && load_until_ns > sim.now_ns)
        next = min_u64(next, load_until_ns);
    if (stage == STAGE_DRAIN)
        next = min_u64(next, sim.now_ns + 2 * NS_PER_MS);
    if (next == CLOCK_NEVER)
        standstill();
    if (next > sim.now_ns)
        sim.now_ns = next;
}

/* --- stages ---------------------------------------------------------------------------------- */

static void stage_enter(enum stage next) {
    SIM_TRACE("stage: %s", stage_names[next]);
    stage = next;
    stage_since_ns = sim.now_ns;
}

static bool links_finished(void) {
    for (unsigned i = 0; i < world_links(); i++) {
        const struct link *link = world_link(i);
        if (link->handle_known ? !link->finished : link->state != LINK_CLOSED)
            return false;
    }
    return true;
}

static bool fibers_ended(void) {
    for (unsigned i = 0; i < scenario_endpoints(&sim.scenario); i++)
        if (fiber_state(i) != FIBER_ENDED)
            return false;
    return true;
}

static void drain_begin(void) {
    if (stage == STAGE_LOAD)
        peers_rush();
    stage_enter(STAGE_DRAIN);
    server_drain(node_server());
}

/* `quiet`: nothing goes on at this moment. */
static void stage_step(bool quiet) {
    uint64_t since = sim.now_ns - stage_since_ns;
    switch (stage) {
    case STAGE_LOAD:
        if (sim.now_ns < load_until_ns)
            return;
        if (sim.scenario.drain_early) {
            drain_begin();
        } else if (peers_idle()) {
            if (sim.scenario.close_first) {
                stage_enter(STAGE_LEAVING);
                peers_leave();
                toys_leave();
                streams_leave();
                posters_leave();
                polls_leave();
            } else {
                drain_begin();
            }
        } else if (since > LOAD_NS_MAX) {
            sim_fail("the producers do not come to an end");
        }
        return;
    case STAGE_LEAVING:
        if (quiet && peers_gone() && posters_gone() && links_finished() && node_messages_home() &&
            !node_keeps() && !toy_sessions_any() && !engines_any()) {
            node_empty_check();
            drain_begin();
        } else if (since > LEAVE_NS_MAX) {
            sim_fail("all peers have gone, the node keeps connections");
        }
        return;
    case STAGE_DRAIN:
        sim.late = since >= sim.scenario.drain_timeout_ns;
        if (sim_chance(300) && server_step(node_server()) && fibers_ended())
            stage_enter(STAGE_OVER);
        else if (since > sim.scenario.drain_timeout_ns + 30 * NS_PER_S)
            sim_fail("the drain does not come to an end: phase %d", server_phase(node_server()));
        return;
    case STAGE_OVER:
        return;
    }
}

static void sim_loop(void) {
    while (stage != STAGE_OVER) {
        if (++sim.steps > STEPS_MAX)
            sim_fail("the run does not come to an end");
        /* A planted bug strikes now and then only, like real ones do. */
        bool strikes = sim_chance(sim.seed % 3 == 0 ? FAULT_CHANCE_OFTEN : FAULT_CHANCE);
        fault_active = strikes ? (enum fault)sim.fault : FAULTS;
        if (stage == STAGE_LOAD && sim_chance(1))
            node_reload();
        bool moved = world_step();
        moved |= kernels_step();
        moved |= peers_step();
        moved |= toys_step();
        moved |= streams_step();
        moved |= posters_step();
        moved |= polls_step();
        moved |= redis_step();
        moved |= fibers_step();
        bool quiet = !moved && !anything_can_step();
        enum stage before = stage;
        stage_step(quiet);
        if (sim.steps % 64 == 0 || quiet)
            peers_check();
        if (quiet && stage == before && !anything_can_step())
            time_jump();
        else
            sim.now_ns += sim_roll(40 * NS_PER_US);
    }
}

void sim_run(uint64_t seed, bool trace) {
    sim = (struct sim){.seed = seed, .trace = trace, .canary = sim.canary, .fault = sim.fault};
    sim.random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    sim.engine_random = seed ^ UINT64_C(0x5DEECE66D1234567);
    scenario_make(&sim.scenario, seed);
    sim.now_ns = NS_PER_S + sim_roll(NS_PER_S);
    check_hook = check_failed;
    if (trace) {
        char text[1024];
        scenario_describe(&sim.scenario, text, sizeof(text));
        printf("seed %llu: %s\n", (unsigned long long)seed, text);
    }
    /* Not even in a trace: a line reads the clock, which moves it, and a replay is another run. */
    log_set((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    memset(frozen_until, 0, sizeof(frozen_until));
    stage = STAGE_LOAD;
    stage_since_ns = sim.now_ns;
    load_until_ns = sim.now_ns + (sim_chance(200) ? sim_roll(60 * NS_PER_S) : sim_roll(NS_PER_S));
    if (sim.scenario.load_ns != 0)
        load_until_ns = sim.now_ns + sim.scenario.load_ns;
    world_open();
    kernel_open();
    check_open();
    acks_open();
    peers_open();
    toys_open();
    streams_open();
    posters_open();
    polls_open();
    node_open();
    sim_loop();
    struct stats total = {0};
    node_close(&total);
    redis_account();
    check_account(&total);
    acks_account(&total, node_fates_forgotten());
    sim_store_account();
    sim_store_close();
    coverage_stats(&total);
    peers_close();
    toys_close();
    streams_close();
    posters_close();
    polls_close();
    check_close();
    acks_close();
    world_close();
    redis_close();
}
