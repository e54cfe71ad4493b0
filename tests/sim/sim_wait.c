#include "tests/sim/sim_wait.h"

#include "core/base/rand.h"
#include "ingest/api/api.h"
#include "proto/web/eio/engine_own.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_node.h"
#include "tests/toys/toy_session.h"
#include "tests/toys/toy_wait.h"

#include <string.h>

#define WAITS 6
/* One run in so many has them. */
#define RUNS_PART 3

static struct {
    bool wanted;
    uint64_t random;
    struct toy_wait toys[SIM_WORKERS_MAX][WAITS];
    bool ran[SIM_WORKERS_MAX][WAITS];
} waits;

static uint32_t below(uint32_t bound) {
    waits.random = waits.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(waits.random >> 33) % bound;
}

void sim_waits_open(void) {
    memset(&waits, 0, sizeof(waits));
    waits.random = sim.seed * UINT64_C(0x9E3779B97F4A7C15);
    /* Not where it is about peers that read nothing: waits make their turns come earlier. */
    waits.wanted = sim.seed % RUNS_PART == 2 && sim.scenario.reserve_bytes == 0;
}

bool sim_waits_are_on(void) {
    return waits.wanted;
}

/* Some connection that has not been told goodbye, or none. */
static const struct connection *somebody(const struct worker *worker) {
    uint32_t slots = worker->slots.block_count * CONNECTION_BLOCK;
    for (unsigned i = 0; slots != 0 && i < 64; i++) {
        const struct connection *connection = slot_at(worker, below(slots));
        if (connection->state == CONNECTION_OPEN && !connection->drain_told)
            return connection;
    }
    return NULL;
}

static void begin(struct worker *worker, unsigned i) {
    struct toy_wait *toy = &waits.toys[worker->index][i];
    /* Longer than the drain, too. */
    uint64_t timeout_ns = (1 + below(below(2) == 0 ? 100000 : 1000)) * NS_PER_MS;
    const struct connection *connection = below(4) != 0 ? somebody(worker) : NULL;
    waits.ran[worker->index][i] =
        toy_wait_begin(worker, toy, below(2) != 0, timeout_ns, connection);
}

void sim_waits_turn(struct worker *worker) {
    if (!waits.wanted)
        return;
    unsigned i = below(WAITS);
    struct toy_wait *toy = &waits.toys[worker->index][i];
    bool draining = worker->loop.phase_entered >= PHASE_REFUSING; /* some last as long as it does */
    worker->waits.max = WAITS - 1;
    worker->waits.concern_max = WAITS - 2;
    if (!toy->open && below(4) == 0)
        begin(worker, i);
    else if (toy->open && below(draining ? 128 : 16) == 0)
        toy_wait_acknowledge(worker, toy);
}

/* What is told to a wait is told once; who is concerned has no goodbye. */
static void toy_check(const struct worker *worker, const struct toy_wait *toy, bool ran) {
    uint32_t phase = worker->loop.phase_entered;
    if (toy->drains > 1 || toy->deadlines > 1 || (toy->open && toy->deadlines != 0))
        sim_fail("worker %u: a wait was told of %u drains and %u deadlines", worker->index,
                 toy->drains, toy->deadlines);
    if (toy->drains != 0 && phase < PHASE_REFUSING)
        sim_fail("worker %u: a wait was told of a drain that has not begun", worker->index);
    if (ran && toy->open && !toy->stays && toy->drains != 0)
        sim_fail("worker %u: a wait that ends with the drain is there", worker->index);
    if (toy->open && toy->drains == 0 && phase >= PHASE_REFUSING &&
        list_empty(&worker->waits.untold))
        sim_fail("worker %u: a wait was not told of the drain", worker->index);
    if (!toy->concerned || phase != PHASE_GOODBYE)
        return;
    const struct connection *connection =
        slot_resolve((struct worker *)(uintptr_t)worker, toy->concern.connection.slot,
                     toy->concern.connection.generation);
    bool api =
        connection != NULL && worker->listeners.at[connection->listener].kind == LISTENER_API;
    if (connection != NULL && !api && connection->drain_told)
        sim_fail("worker %u: a session has its goodbye, and a wait concerns it", worker->index);
}

/* Answers of the API that wait for an acknowledgement. */
static unsigned ack_waits(const struct worker *worker) {
    unsigned count = 0;
    uint32_t slots = worker->slots.block_count * CONNECTION_BLOCK;
    for (uint32_t i = 0; i < slots; i++) {
        struct connection *connection = slot_at(worker, i);
        if (connection->state == CONNECTION_FREE || connection->protocol != &api_protocol)
            continue;
        struct http_connection *http = http_of(connection);
        if (http->connection == NULL)
            continue;
        const struct list *list = &api_state(http)->waits;
        for (const struct list *at = list->next; at != list; at = at->next)
            count++;
    }
    return count;
}

void sim_waits_check(const struct worker *worker) {
    unsigned open = sim.scenario.ack != 0 ? ack_waits(worker) : 0;
    for (unsigned i = 0; waits.wanted && i < WAITS; i++) {
        const struct toy_wait *toy = &waits.toys[worker->index][i];
        open += toy->open;
        toy_check(worker, toy, waits.ran[worker->index][i]);
    }
    for (unsigned i = 0; i < TOY_SESSIONS; i++) {
        const struct toy_session *toy = toy_session_at(worker->index, i);
        open += toy != NULL && toy->connection == NULL;
    }
    /* One for all Engine.IO sessions that poll, unless the drain's time is over. */
    open += engines_of(worker)->waits;
    if (open != worker->waits.count || open != stats_get(&worker->stats.waits))
        sim_fail("worker %u counts %u waits, there are %u", worker->index, worker->waits.count,
                 open);
}

void sim_waits_close(const struct server *server) {
    for (unsigned i = 0; i < server->worker_count; i++) {
        const struct worker *worker = &server->workers[i];
        if (worker->waits.count != 0 || worker->waits.concern_count != 0)
            sim_fail("worker %u still has %u waits, which concern %u", i, worker->waits.count,
                     worker->waits.concern_count);
        sim_waits_check(worker);
    }
}
