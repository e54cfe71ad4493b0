/* The real port to Redis as a fiber of its own; see sim_redis.h. */
#include "core/base/clock.h"
#include "core/server.h"
#include "ha/redis/redis_port.h"
#include "tests/fakes/fake_redis_socket.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_redis.h"

static struct redis_port redis;
static gate_done *its_done;

static void on_wait(int wake_fd, uint64_t wait_ns) {
    if (sim_chance(sim.scenario.preempt))
        fiber_yield(FIBER_READY);
    sim_port_wait(&redis.port, wake_fd, fake_sockets_wake() ? 0 : wait_ns);
}

static void on_done(struct endpoint *endpoint, struct gate_source *source, void *request,
                    uint32_t index, const struct gate_result *result) {
    bool again = redis.handing && result->state == RESULT_OVERLOADED;
    if (!again)
        redis_told(result->id, result->state, result->recipients);
    its_done(endpoint, source, request, index, result);
}

void sim_redis_open(struct server_parts *parts, const struct config *config) {
    if (sim.scenario.redis == 0)
        return;
    redis_open();
    fake_sockets.wait = on_wait;
    redis_port_init(&redis, config);
    its_done = redis.source.done;
    redis.source.done = on_done;
    parts->herald = &redis.port;
    parts->ports[parts->port_count++] = &redis.port;
}

bool sim_redis_at(unsigned index) {
    return sim.scenario.redis != 0 && index + 1 == scenario_endpoints(&sim.scenario);
}

void sim_redis_body(unsigned index) {
    sim_port_run(&redis.port, index);
}

uint64_t sim_redis_owes(void) {
    return sim.scenario.redis == 0 ? 0 : redis.asks.in_use;
}

bool sim_redis_calls_wait(void) {
    if (sim.scenario.redis == 0 || redis.calls_open == 0)
        return false;
    if (redis_calls_due_ns(&redis) + CALL_WAIT_NS < sim.now_ns)
        sim_fail("a call waits for other nodes, and its time is over");
    return true;
}

uint64_t sim_redis_nodes(void) {
    return atomic_load(&redis.figures.nodes);
}

bool sim_redis_knows(const char *run) {
    for (const struct list *at = redis.nodes.order.next; at != &redis.nodes.order; at = at->next)
        if (memcmp(container_of(at, const struct peer_node, link)->run, run, WIRE_RUN_BYTES) == 0)
            return true;
    return false;
}

bool sim_redis_port_is_steady(void) {
    return redis.up && !redis.held && !redis.leaves;
}

void sim_redis_port_account(void) {
    const struct redis_figures *figures = &redis.figures;
    if (atomic_load(&figures->lost) == 0 && atomic_load(&figures->missed) != 0)
        sim_fail("Redis was never lost, and %llu copies are said to be missed",
                 (unsigned long long)atomic_load(&figures->missed));
    if (atomic_load(&figures->waiting) != 0)
        sim_fail("the port to Redis still waits for %llu answers",
                 (unsigned long long)atomic_load(&figures->waiting));
    if (redis.calls_open != 0 || redis.called_open != 0 || redis.call_pool.in_use != 0 ||
        redis.called_pool.in_use != 0)
        sim_fail("the port to Redis still has %u calls, and %u of other nodes", redis.calls_open,
                 redis.called_open);
    if (atomic_load(&figures->lent) != 0 || redis.lent_pool.in_use != 0)
        sim_fail("the port to Redis still has %llu messages that were lent, by its count %llu",
                 (unsigned long long)redis.lent_pool.in_use,
                 (unsigned long long)atomic_load(&figures->lent));
}
