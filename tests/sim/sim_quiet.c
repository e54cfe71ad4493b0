/* What must hold of the node when nothing can go on without time or a peer; see sim_node.h. */
#include "core/base/clock.h"
#include "core/keeper.h"
#include "core/worker.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_kernel.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_redis.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/sim_world.h"

#define ROOM_LOOK_NS NS_PER_MS /* as in core/worker.c and core/port.c */

static void quiet_link_check(struct worker *worker, const struct link *link) {
    const struct connection *connection = connection_resolve(worker, link->handle);
    if (connection == NULL)
        return;
    bool receives = (connection->ops & OP_RECEIVE) != 0;
    /* One that does not take its answers is not read on. */
    bool held = connection->paused || (connection->moving != 0 && (connection->ops & OP_SEND)) ||
                (connection->throttled && (connection->ops & OP_SEND) &&
                 connection->outbox.reply_bytes != 0);
    if (connection->state == CONNECTION_OPEN && !held && !connection->end_seen && !receives)
        sim_fail("worker %u does not receive from link %u any more", worker->index, link->number);
    if ((connection->state == CONNECTION_OPEN || connection->state == CONNECTION_FLUSHING) &&
        !outbox_empty(&connection->outbox) && !(connection->ops & OP_SEND) &&
        !(connection->held && connection->state == CONNECTION_OPEN))
        sim_fail("worker %u owes link %u %u bytes and does not send", worker->index, link->number,
                 connection->outbox.bytes);
    if (connection->state == CONNECTION_FLUSHING && outbox_empty(&connection->outbox))
        sim_fail("worker %u owes link %u nothing and does not end it", worker->index, link->number);
}

/* Does some delivery wait for a session that takes too little? */
static bool something_is_held(void) {
    for (unsigned i = 0; i < node_server()->worker_count; i++)
        if (fanout_busy(&node_server()->workers[i].fanout) ||
            broadcasts_busy(&node_server()->workers[i].broadcasts))
            return true;
    return false;
}

static bool dead(unsigned index) {
    return index >= node_server()->worker_count && sim_port_dead(index);
}

static bool idle(unsigned index) {
    return fiber_state(index) != FIBER_ENDED && !dead(index);
}

/* Does any publish wait for a port? Then another one may wait for that, under the same id. */
static bool ports_awaited(void) {
    for (unsigned i = 0; i < node_server()->post.endpoints; i++)
        if (node_server()->endpoints[i]->port_waits.count != 0)
            return true;
    return false;
}

/* The same, for the store. */
static bool store_awaited(void) {
    for (unsigned i = 0; i < node_server()->post.endpoints; i++)
        if (!list_empty(&node_server()->endpoints[i]->storing.order))
            return true;
    return false;
}

/* What the store has not answered is with it, and there is a time for those who wait for it. */
static void quiet_store_check(struct endpoint *endpoint) {
    const struct storing *storing = &endpoint->storing;
    if (!list_empty(&storing->order) && !timer_armed(&storing->timer))
        sim_fail("endpoint %u waits for the store for ever", endpoint->index);
    if (node_server()->parts.store == NULL || !idle(node_server()->parts.store->port.index))
        return;
    if (storing->owed != sim_store_owes(endpoint->index))
        sim_fail("endpoint %u has %u messages at the store by its count, which has %u",
                 endpoint->index, storing->owed, sim_store_owes(endpoint->index));
}

/* What ports have not answered is with them, and there is a time for those who wait for it. */
static void quiet_ports_check(struct endpoint *endpoint) {
    const struct port_waits *waits = &endpoint->port_waits;
    if (waits->count != 0 && !timer_armed(&waits->timer))
        sim_fail("endpoint %u waits for ports for ever", endpoint->index);
    for (unsigned i = node_server()->worker_count; i < node_server()->post.endpoints; i++) {
        uint32_t owed = waits->owed[i - node_server()->worker_count];
        if (!sim_store_at(i) && !sim_redis_at(i) && idle(i) &&
            owed != sim_port_owes(i, endpoint->index))
            sim_fail("endpoint %u has %u messages at port %u by its count, which has %u",
                     endpoint->index, owed, i, sim_port_owes(i, endpoint->index));
    }
}

static void quiet_endpoint_check(struct endpoint *endpoint, uint64_t wake_ns) {
    const struct post *post = &node_server()->post;
    unsigned to = endpoint->index;
    for (unsigned from = 0; from < post->endpoints; from++)
        /* One that died had pushed and not said so. */
        if (from != to && !dead(from) && queue_count(&post->boxes[to].from[from]) != 0)
            sim_fail("endpoint %u sleeps, and mail from %u waits: a wake was lost", to, from);
    /* Some may wait for room, which there is by now. */
    bool looks = keeper_decisions_wait(endpoint) && wake_ns <= sim.now_ns + ROOM_LOOK_NS;
    if (endpoint->requests != 0 && !looks && !ports_awaited() && !store_awaited() &&
        !something_is_held() && !sim_redis_calls_wait())
        sim_fail("endpoint %u has %u requests without an answer, and nothing is on its way", to,
                 endpoint->requests);
    if (endpoint->homebound_set != 0 && wake_ns > sim.now_ns + HOMEBOUND_NS)
        sim_fail("endpoint %u sleeps on messages of others", to);
    quiet_ports_check(endpoint);
    quiet_store_check(endpoint);
}

/* The port to Redis owes what is owed by it, whoever to. */
static void quiet_redis_check(void) {
    uint64_t owed = 0;
    unsigned index = node_server()->post.endpoints - 1;
    if (!sim_redis_at(index))
        return;
    for (unsigned i = 0; i < node_server()->post.endpoints; i++) {
        if (dead(i)) /* answers wait for it, and nobody counts them */
            return;
        owed += node_server()->endpoints[i]->port_waits.owed[index - node_server()->worker_count];
    }
    if (owed != sim_redis_owes())
        sim_fail("%llu messages are at the port to Redis by its publishers' count, it has %llu",
                 (unsigned long long)owed, (unsigned long long)sim_redis_owes());
}

void node_quiet_check(void) {
    quiet_redis_check();
    redis_quiet_check();
    keepers_quiet_check(node_server());
    fate_records_quiet_check(node_server());
    for (unsigned to = 0; to < node_server()->post.endpoints; to++) {
        if (!idle(to))
            continue;
        if (to >= node_server()->worker_count) {
            quiet_endpoint_check(node_server()->endpoints[to], sim_port_wake_ns(to));
            continue;
        }
        struct worker *worker = &node_server()->workers[to];
        quiet_endpoint_check(&worker->endpoint, kernel_wake_ns(kernel_ring(to)));
        if (outbox_any_dirty(worker) || !list_empty(&worker->reading.resumed) ||
            !list_empty(&worker->reading.starved) || !list_empty(&worker->loop.tasks) ||
            !fanout_idle(&worker->fanout) || !broadcasts_idle(&worker->broadcasts))
            sim_fail("worker %u sleeps on something to do", to);
        if ((fanout_busy(&worker->fanout) || broadcasts_busy(&worker->broadcasts)) &&
            kernel_wake_ns(kernel_ring(to)) > sim.now_ns + FANOUT_HELD_LOOK_NS)
            sim_fail("worker %u sleeps on what it delivers", to);
        for (unsigned i = 0; i < world_links(); i++) {
            const struct link *link = world_link(i);
            if (link->worker == (int)to && link->handle_known && !link->finished)
                quiet_link_check(worker, link);
        }
    }
}
