/* What the keepers have, counted again. */
#include "core/attend.h"
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/directory.h"
#include "core/keeper.h"
#include "core/server.h"
#include "core/worker.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/sim_world.h"

static void id_check(const struct worker *worker, const struct kept_id *id) {
    uint32_t count = 0, handed = 0, reserved = 0;
    const struct kept *next = NULL;
    uint64_t serial = 0;
    for (const struct list *at = id->all.next; at != &id->all; at = at->next) {
        const struct kept *kept = container_of(at, struct kept, order);
        if (kept->id != id || kept->serial <= serial)
            sim_fail("worker %u keeps messages of one id out of order", worker->index);
        serial = kept->serial;
        count++;
        handed += kept->state == KEPT_HANDED;
        reserved += kept->state == KEPT_RESERVED;
        if (kept->state != KEPT_HANDED && next == NULL)
            next = kept;
        if (kept->state == KEPT_HANDED && next != NULL)
            sim_fail("worker %u has handed over a message behind one that waits", worker->index);
        if (!timed_armed(&kept->timed))
            sim_fail("worker %u keeps a message for ever", worker->index);
    }
    if (count != id->count || handed != id->handed || next != id->next || count == 0)
        sim_fail("worker %u counts %u kept, %u handed over of an id; there are %u and %u",
                 worker->index, id->count, id->handed, count, handed);
    if (reserved != id->reserved)
        sim_fail("worker %u counts %u reserved of an id, there are %u", worker->index, id->reserved,
                 reserved);
    if (handed > sim.scenario.ack_window || count > sim.scenario.ack_backlog)
        sim_fail("worker %u keeps %u messages of an id, %u handed over; the bounds are %u and %u",
                 worker->index, count, handed, sim.scenario.ack_backlog, sim.scenario.ack_window);
}

static void ledger_check(const struct worker *worker, uint64_t pending) {
    const struct stats *stats = &worker->stats;
    uint64_t rest = stats_get(&stats->acks_acked) + stats_get(&stats->acks_expired) + pending;
    for (unsigned i = 0; i < FATE_REASON_COUNT; i++)
        rest += stats_get(&stats->acks_dropped[i]);
    uint64_t accepted = stats_get(&stats->acks_accepted);
    /* What was lent is let go at the end, and not told. */
    bool lent = sim.scenario.redis != 0 && server_phase(worker->server) >= PHASE_STOPPED;
    if (rest > accepted || (accepted - rest > worker->keeper.dropped && !lent))
        sim_fail("worker %u has accepted %llu addresses; %llu are settled or pending",
                 worker->index, (unsigned long long)accepted, (unsigned long long)rest);
}

void keeper_turn_check(const struct worker *worker) {
    const struct keeper *keeper = &worker->keeper;
    uint64_t pending = 0, count = 0;
    struct table_node *node = NULL;
    while (keeper->kept.count != 0 && (node = table_walk(&keeper->kept, node)) != NULL) {
        const struct kept *kept = container_of(node, struct kept, node);
        count++;
        silence_look(worker, kept);
        pending += kept->state != KEPT_RESERVED;
        if (sim.scenario.store && kept->state != KEPT_RESERVED && !kept_message(kept)->lent &&
            !sim_store_has(kept_message(kept)->serial))
            sim_fail("worker %u keeps a message that the store does not have", worker->index);
        if (atomic_load(&kept_message(kept)->holders) == 0)
            sim_fail("worker %u keeps a message that nobody holds", worker->index);
    }
    node = NULL;
    while (keeper->ids.count != 0 && (node = table_walk(&keeper->ids, node)) != NULL) {
        const struct kept_id *id = container_of(node, struct kept_id, node);
        id_check(worker, id);
        count -= id->count;
    }
    if (count != 0)
        sim_fail("worker %u keeps messages of ids that it does not know", worker->index);
    pending += keeper->safe.unsafe;
    if (pending != stats_get(&worker->stats.acks_pending))
        sim_fail("worker %u counts %llu pending, there are %llu", worker->index,
                 (unsigned long long)stats_get(&worker->stats.acks_pending),
                 (unsigned long long)pending);
    ledger_check(worker, pending);
    silence_turn(worker);
}

bool keepers_empty(const struct server *server) {
    for (unsigned i = 0; i < server->worker_count; i++)
        if (server->workers[i].keeper.kept.count != 0)
            return false;
    return true;
}

/* --- when all is quiet ------------------------------------------------------------------------ */

/* Is there a publish that is not decided, or has not begun to be told? */
bool keepers_undecided(const struct server *server) {
    for (unsigned i = 0; i < server->post.endpoints; i++)
        if (keeper_decisions_wait(server->endpoints[i]) ||
            !list_empty(&server->endpoints[i]->storing.order) ||
            /* Who else has its ids is asked meanwhile. */
            (sim.scenario.redis != 0 && server->endpoints[i]->port_waits.count != 0) ||
            (i >= server->worker_count && !sim_store_at(i) && sim_port_dead(i)))
            return true;
    return false;
}

static void id_quiet_check(const struct server *server, const struct worker *worker,
                           const struct kept_id *id) {
    const struct kept *next = id->next;
    uint32_t sessions = 0;
    if (next == NULL || list_linked(&id->blocked) || id->handed >= sim.scenario.ack_window)
        return;
    if (next->state == KEPT_RESERVED) {
        if (!keepers_undecided(server))
            sim_fail("worker %u keeps a message that is never decided", worker->index);
        return;
    }
    /* A session that has not asked yet, for want of room, asks soon; for want of memory it goes. */
    uint64_t workers = 0;
    for (unsigned i = 0; i < server->worker_count; i++) {
        const struct worker *other = &server->workers[i];
        bool asks = !attends_wait(&other->attends) && stats_get(&other->stats.memory_refused) == 0;
        workers |= (uint64_t)asks << i;
    }
    if (id->remote != REMOTE_NONE && !kept_message(next)->lent)
        sim_fail("worker %u has a message to hand over, room for it, and other nodes to go to",
                 worker->index);
    if ((holders_find(server->holders, id->node.hash, &sessions) & workers) != 0)
        sim_fail("worker %u has a message to hand over, room for it, and somebody there",
                 worker->index);
}

/* A session that stands still must have a reason. */
static void session_quiet_check(const struct worker *worker, const struct session *session) {
    if (session->id == NULL || attends_wait(&worker->attends))
        return;
    /* One that could not even ask goes, as soon as its peer lets it. */
    bool asked = (session->attend == ATTEND_CAME || session->attend == ATTEND_ASKED) &&
                 stats_get(&worker->stats.memory_refused) == 0;
    if (asked || session->attend == ATTEND_RESUMING)
        sim_fail("worker %u waits for a keeper, and nothing is on its way", worker->index);
    if (session->attend == ATTEND_STOPPED && session->backlog.messages == 0 &&
        stats_get(&worker->stats.memory_refused) == 0)
        sim_fail("worker %u has a session that is stopped, and has room", worker->index);
}

/* Everything that was handed over for the id has come to the session, or will be asked for. */
static void session_has_check(const struct server *server, const struct session *session) {
    uint64_t hash = session->id->node.hash;
    const struct worker *keeper = &server->workers[keeper_of(server, hash)];
    const struct kept_id *id = keeper_find(keeper, hash);
    if (id == NULL || session->attend != ATTEND_OPEN)
        return;
    for (const struct list *at = id->all.next; at != &id->all; at = at->next) {
        const struct kept *kept = container_of(at, struct kept, order);
        if (kept->state == KEPT_HANDED && kept->serial > session->taken_serial)
            sim_fail("a session is open and lacks a message that was handed over");
    }
}

void keepers_quiet_check(struct server *server) {
    if (sim.scenario.ack == 0 || server_phase(server) >= PHASE_STOPPED)
        return;
    silence_quiet_check(server);
    for (unsigned i = 0; i < server->worker_count; i++) {
        struct worker *worker = &server->workers[i];
        const struct table *ids = &worker->keeper.ids;
        struct table_node *node = NULL;
        while (ids->count != 0 && (node = table_walk(ids, node)) != NULL)
            id_quiet_check(server, worker, container_of(node, struct kept_id, node));
        for (uint32_t j = 0; j < worker->sessions.count; j++) {
            const struct session *session = worker->sessions.at[j];
            session_quiet_check(worker, session);
            if (session->id != NULL)
                session_has_check(server, session);
        }
    }
}
