#include "tests/sim/sim_node.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/piece.h"
#include "core/tag.h"
#include "ingest/api/api.h"
#include "ingest/gate/client_send.h"
#include "ingest/gate/gate.h"
#include "proto/client/client.h"
#include "proto/client/encodings.h"
#include "proto/client/tcp.h"
#include "proto/http/http_context.h"
#include "proto/web/eio/engine_own.h"
#include "proto/web/sse.h"
#include "proto/web/sse_write.h"
#include "proto/web/web.h"
#include "proto/ws/ws_deflate.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_kernel.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_redis.h"
#include "tests/sim/sim_scenarios.h"
#include "tests/sim/sim_sio.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/sim_streams.h"
#include "tests/sim/sim_wait.h"
#include "tests/toys/toy_form.h"
#include "tests/toys/toy_protocol.h"
#include "tests/toys/toy_session.h"
#include "tests/toys/toy_web.h"

#include <stdlib.h>

struct config_kept {
    struct config_kept *older;
    struct config config;
};

static struct {
    struct server server;
    struct gate gate;
    bool opened[SIM_WORKERS_MAX];
    struct config_kept *configs; /* the newest first */
    uint64_t forgotten;          /* fates, at the end */
    uint64_t turn_stamp[SIM_WORKERS_MAX];
    uint64_t dropped[SIM_WORKERS_MAX][DROP_REASON_COUNT]; /* by the end of the turn before */
} node;

uint64_t node_fates_forgotten(void) {
    return node.forgotten;
}

struct server *node_server(void) {
    return &node.server;
}

static void fiber_body(unsigned index) {
    if (index >= node.server.worker_count) {
        if (sim_store_at(index))
            sim_store_body(index);
        else if (sim_redis_at(index))
            sim_redis_body(index);
        else
            sim_port_body(index);
        return;
    }
    struct worker *worker = &node.server.workers[index];
    char problem[256] = "";
    if (!worker_open(worker, &node.server, index, problem, sizeof(problem)))
        sim_fail("worker %u does not open: %s", index, problem);
    node.opened[index] = true;
    /* Every other run tells producers apart, some of them by one place. */
    if (sim.seed % 2 == 0 || sim.scenario.soon_behind)
        worker->admission.shares.max = sim.seed % 2;
    if (sim.scenario.soon_behind) {
        worker->admission.late_ns = worker->admission.lag_ns = 0;
        worker->admission.patience_ns = worker->delivery.late_patience_ns =
            worker->delivery.late_ns = 0;
        worker->late_max_ns = worker->delivery.held_late_ns = 0;
        worker->admission.share_percent = 100;
        worker->admission.modest = 0;
    }
    if (sim.scenario.reserve_bytes != 0) {
        worker->replies.beyond_max = sim.scenario.reserve_bytes * 2;
        worker->replies.unread_ms = 20;
    }
    if (sim.scenario.slice_ns != 0)
        worker->slice_ns = sim.scenario.slice_ns;
    bool more = true;
    while (more) {
        fiber_yield(FIBER_READY);
        turn_begun(index);
        sim_waits_turn(worker);
        more = worker_turn(worker, CLOCK_NEVER);
        turn_check(worker);
        sim_waits_check(worker);
        keeper_turn_check(worker);
        fate_records_look(&node.server);
        streams_turn_check(worker);
    }
    worker_close(worker);
}

static struct config *config_keep(void) {
    struct config_kept *kept = calloc(1, sizeof(*kept));
    CHECK(kept != NULL);
    kept->older = node.configs;
    node.configs = kept;
    return &kept->config;
}

/* All but that one; whoever looks at another is told by AddressSanitizer. */
static void configs_forget(const struct config *but) {
    struct config_kept **link = &node.configs;
    while (*link != NULL) {
        struct config_kept *kept = *link;
        if (&kept->config == but) {
            link = &kept->older;
        } else {
            *link = kept->older;
            free(kept);
        }
    }
}

static bool fiber_opened(unsigned index) {
    return index < node.server.worker_count ? node.opened[index] : sim_port_opened(index);
}

/* Those of clients come first. */
#define CLIENT_ENCODINGS 10

static bool has_toys(void) {
    return sim.scenario.toys != 0 || sim.scenario.streams != 0 || sim.scenario.polls != 0;
}

void node_open(void) {
    struct server_parts parts = {
        .protocols =
            {
                [LISTENER_TCP] = &tcp_protocol,
                [LISTENER_WEB] = &web_protocol,
                [LISTENER_API] = &api_protocol,
            },
        .encodings = {&encoding_line, &encoding_counted, &encoding_line_again,
                      &encoding_counted_again, &encoding_frame, &encoding_frame_again,
                      &encoding_deflated, &encoding_deflated_again, &encoding_sse,
                      &encoding_sse_plain},
        .client_gate = &client_send_gate,
        .on_nudged = gate_on_nudged,
        .call_of = api_call_of,
    };
    toy_sessions_init();
    if (sim.scenario.toys != 0)
        parts.protocols[LISTENER_WEB] = &toy_protocol;
    for (unsigned i = 0; has_toys() && i < TOY_VARIANTS; i++)
        parts.encodings[CLIENT_ENCODINGS + i] = &toy_encodings[i];
    const struct http_service *const services[LISTENER_KINDS] = {
        [LISTENER_WEB] = sim.scenario.streams != 0 ? &toy_web_service : &web_service,
        [LISTENER_API] = &api_service,
    };
    char problem[512] = "";
    sio_begin(parts.encodings);
    memset(&node, 0, sizeof(node));
    struct config *config = config_keep();
    scenario_config(config);
    config->conformance = sim.scenario.sio;
    post_slots_override = sim.scenario.post_slots;
    hash_init(NULL);
    sim_ports_open(&parts);
    sim_store_open(&parts);
    sim_redis_open(&parts, config);
    sim_waits_open();
    if (!server_init(&node.server, config, &parts, problem, sizeof(problem)))
        sim_fail("the node does not start: %s", problem);
    if (sim.scenario.copies_max != 0)
        node.server.post.copies_max = sim.scenario.copies_max;
    if (sim.scenario.reserve_bytes != 0)
        node.server.reserve.ceiling_bytes = sim.scenario.reserve_bytes;
    const struct engine_app *const apps[ENGINE_PATHS] = {[ENGINE_PATH_SOCKETIO] = sio_app_find()};
    if (!gate_init(&node.gate, &node.server) || !http_init(&node.server, services) ||
        !sse_init(&node.server) || !engines_init(&node.server, apps) || !api_init(&node.server))
        sim_fail("the ingest room does not start");
    fibers_open(node.server.post.endpoints, fiber_body);
    for (unsigned i = 0; i < node.server.post.endpoints; i++)
        while (!fiber_opened(i))
            fiber_resume(i);
    sim.running = true;
    atomic_store(&node.server.phase, PHASE_RUNNING);
    server_nudge(&node.server);
}

void node_reload(void) {
    if (server_config_settled(&node.server))
        configs_forget(server_config(&node.server));
    struct config *next = config_keep();
    *next = *server_config(&node.server);
    server_config_set(&node.server, next);
}

static void endpoint_left_check(const struct endpoint *endpoint) {
    uint64_t left = endpoint->account.used_bytes;
    if (endpoint->index < node.server.worker_count) {
        /* Questions of sessions that have gone; attends_fini drops them. */
        const struct pool *asks = &node.server.workers[endpoint->index].attends.pool;
        left -= asks->in_use * asks->object_bytes;
        /* What streams that have ended had, until the window is over or the node ends. */
        left -= node.server.workers[endpoint->index].trails.bytes;
    }
    if (left != 0)
        sim_fail("endpoint %u still accounts for %llu bytes", endpoint->index,
                 (unsigned long long)left);
    unsigned free_publishes = 0;
    for (uint32_t at = endpoint->free_publish; at != 0; at = endpoint->publishes[at - 1].slot)
        free_publishes++;
    if (free_publishes != endpoint->server->post.requests_max)
        sim_fail("endpoint %u has %u of %u publishes back", endpoint->index, free_publishes,
                 endpoint->server->post.requests_max);
}

static void worker_left_check(const struct worker *worker) {
    if (worker->sending.pieces.in_use + worker->sending.shared_pieces.in_use != 0 ||
        worker->delivery.parcels.in_use != 0)
        sim_fail("worker %u still holds %llu pieces and %llu parcels", worker->index,
                 (unsigned long long)(worker->sending.pieces.in_use +
                                      worker->sending.shared_pieces.in_use),
                 (unsigned long long)worker->delivery.parcels.in_use);
    if (worker->directory.names.count != 0 || worker->directory.memberships.in_use != 0)
        sim_fail("worker %u still knows %u names and %llu memberships", worker->index,
                 worker->directory.names.count,
                 (unsigned long long)worker->directory.memberships.in_use);
    if (worker->slots.live != 0 || worker->sessions.count != 0)
        sim_fail("worker %u still has %u connections and %u sessions", worker->index,
                 worker->slots.live, worker->sessions.count);
}

/* Whoever was accepted has been closed, once, wherever that was. */
static void connections_check(const struct server *server) {
    uint64_t accepted = 0, closed = 0, open = 0;
    for (unsigned i = 0; i < server->worker_count; i++) {
        const struct stats *stats = &server->workers[i].stats;
        accepted += stats_get(&stats->accepted_tcp) + stats_get(&stats->accepted_web) +
                    stats_get(&stats->accepted_api);
        open += stats_get(&stats->connections);
        for (unsigned reason = 0; reason < CLOSE_REASON_COUNT; reason++)
            closed += stats_get(&stats->closed[reason]);
    }
    if (accepted != closed || (int64_t)open != 0)
        sim_fail("%llu connections were accepted, %llu were closed, %lld are open",
                 (unsigned long long)accepted, (unsigned long long)closed, (long long)open);
}

void node_close(struct stats *total) {
    struct server *server = &node.server;
    sim.running = false;
    node.forgotten = atomic_load(&server->fates.forgotten);
    for (unsigned i = 0; i < server->worker_count; i++)
        keeper_safe_take(&server->workers[i]);
    for (unsigned i = 0; i < server->post.endpoints; i++)
        stats_sum(total, &server->endpoints[i]->stats);
    endpoints_collect(server);
    connections_check(server);
    for (unsigned i = 0; i < server->post.endpoints; i++)
        endpoint_left_check(server->endpoints[i]);
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_left_check(&server->workers[i]);
    sim_waits_close(server);
    streams_left_check();
    if (atomic_load(&server->connections) != 0)
        sim_fail("the node still counts %u connections", atomic_load(&server->connections));
    sse_fini();
    api_fini();
    engines_fini();
    http_fini(server);
    ws_deflate_thread_end();
    gate_fini(&node.gate);
    server_fini(server);
    configs_forget(NULL);
    if (fds_in_use() != 0)
        sim_fail("%u descriptors are still open", fds_in_use());
}

/* --- every turn ------------------------------------------------------------------------------ */

void turn_begun(unsigned worker) {
    node.turn_stamp[worker] = sim_stamp();
}

static void ops_check(const struct worker *worker, const struct connection *connection,
                      const struct link *link) {
    const struct fake_fd *slot = fd_find(link->fd);
    static const struct {
        uint8_t op;
        enum kernel_op kernel;
    } pairs[] = {
        {OP_RECEIVE, KERNEL_RECEIVE}, {OP_SEND, KERNEL_SEND}, {OP_SHUTDOWN, KERNEL_SHUTDOWN}};
    for (unsigned i = 0; i < 3; i++) {
        bool thinks = (connection->ops & pairs[i].op) != 0;
        unsigned is = slot == NULL ? 0 : slot->in_flight[pairs[i].kernel];
        if (slot != NULL && pairs[i].op == OP_SHUTDOWN)
            is += slot->in_flight[KERNEL_LEND];
        if (is != thinks)
            sim_fail("worker %u, slot %u, link %u: %u %s in flight, the connection thinks %d",
                     worker->index, connection->slot, link->number, is,
                     kernel_op_name(pairs[i].kernel), thinks);
    }
}

struct recount {
    uint64_t live, pieces, bytes;
    uint64_t ending; /* a bit for each reason for which some connection is ending */
};

/* Why a connection ended that was freed within the turn: its slot still says so, unless it has been
 * taken again. Then it may have been for any reason. */
static enum close_reason reason_left(const struct worker *worker, const struct link *link,
                                     struct recount *count) {
    uint32_t slot = link->handle.slot;
    const struct connection *left =
        &worker->slots.blocks[slot / CONNECTION_BLOCK][slot % CONNECTION_BLOCK];
    if (left->state == CONNECTION_FREE &&
        left->generation == ((link->handle.generation + 1) & TAG_GENERATION_MASK))
        return (enum close_reason)left->reason;
    count->ending = UINT64_MAX;
    return CLOSE_CLIENT;
}

/* Its list is what waits for it, in that order, and has nothing that is in flight. */
static void waiting_check(const struct worker *worker, const struct outbox *outbox,
                          const struct session *session) {
    if (session->type->waiting == NULL)
        return;
    const struct list *own = session->type->waiting((struct session *)(uintptr_t)session);
    const struct list *at = own->next;
    const struct piece *piece = outbox->committed == NULL ? outbox->first : outbox->committed->next;
    for (; piece != NULL; piece = piece->next) {
        if (piece->session != session)
            continue;
        if (at == own || &container_of(at, struct shared_piece, own)->piece != piece)
            sim_fail("worker %u: what waits for a session is not in its list", worker->index);
        at = at->next;
    }
    if (at != own)
        sim_fail("worker %u: more is in a session's list than waits for it", worker->index);
}

/* What the outbox has of a session is what that counts. */
static void backlog_check(const struct worker *worker, const struct outbox *outbox,
                          const struct session *session) {
    uint32_t bytes = 0, messages = 0;
    for (const struct piece *piece = outbox->first; piece != NULL; piece = piece->next) {
        bytes += piece->session == session ? piece->bytes : 0;
        messages += piece->session == session ? piece_messages(piece) : 0;
    }
    if (bytes != session->backlog.bytes || messages != session->backlog.messages)
        sim_fail("worker %u: a session counts %u messages of %u bytes, it has %u of %u",
                 worker->index, session->backlog.messages, session->backlog.bytes, messages, bytes);
    waiting_check(worker, outbox, session);
}

static void outbox_look(const struct worker *worker, const struct outbox *outbox,
                        struct recount *count) {
    uint32_t bytes = 0, replies = 0;
    const struct session *looked = NULL;
    const struct piece *before = NULL;
    for (const struct piece *piece = outbox->first; piece != NULL; piece = piece->next) {
        if (piece->prev != before)
            sim_fail("worker %u: a piece of an outbox has lost the one before it", worker->index);
        before = piece;
        bytes += piece->bytes;
        replies += piece_is_reply(piece) ? piece->bytes : 0;
        count->pieces += piece_messages(piece);
        count->bytes += piece_is_reply(piece) ? 0 : piece->bytes;
        if (piece->session == NULL || piece->session == looked)
            continue;
        looked = piece->session;
        backlog_check(worker, outbox, looked);
    }
    if (bytes != outbox->bytes || replies != outbox->reply_bytes)
        sim_fail("worker %u: an outbox counts %u bytes, %u of replies; it has %u and %u",
                 worker->index, outbox->bytes, outbox->reply_bytes, bytes, replies);
}

static void link_look(struct worker *worker, struct link *link, struct recount *count) {
    struct connection *connection = connection_resolve(worker, link->handle);
    if (connection == NULL || connection->state != CONNECTION_OPEN) {
        if (link->close_stamp == 0) {
            link->close_stamp = node.turn_stamp[worker->index];
            link->closed_stamp = sim_stamp();
            link->close_reason =
                connection == NULL ? (uint8_t)reason_left(worker, link, count) : connection->reason;
            SIM_TRACE("w%u link %u closes: %s", worker->index, link->number,
                      close_reason_word((enum close_reason)link->close_reason));
        }
    }
    if (link->close_stamp != 0)
        count->ending |= UINT64_C(1) << link->close_reason;
    if (connection == NULL) {
        link->finished = true;
        if (link->state != LINK_CLOSED)
            sim_fail("worker %u freed the slot of link %u, whose descriptor %d is open",
                     worker->index, link->number, link->fd);
        return;
    }
    ops_check(worker, connection, link);
    count->live++;
    outbox_look(worker, &connection->outbox, count);
}

static void gauge_check(const struct worker *worker, const char *name, uint64_t gauge,
                        uint64_t counted) {
    if (gauge != counted)
        sim_fail("worker %u: the gauge %s says %llu, counted are %llu", worker->index, name,
                 (unsigned long long)gauge, (unsigned long long)counted);
}

static void ledger_check(const struct worker *worker) {
    for (unsigned class = 0; class < CLASSES; class ++) {
        uint64_t rest = stats_get(&worker->stats.copies_sent[class]) +
                        stats_get(&worker->stats.copies_waiting[class]);
        for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
            rest += stats_get(&worker->stats.copies_dropped[class][i]);
        gauge_check(worker, "of copies (sent, waiting and dropped)", rest,
                    stats_get(&worker->stats.copies[class]));
    }
}

/* What was dropped in this turn because a connection ended: was there one that ends for that
 * reason? Toy sessions end without one. */
static void turn_drops_check(const struct worker *worker, uint64_t ending) {
    uint64_t *before = node.dropped[worker->index];
    uint64_t slow = UINT64_C(1) << CLOSE_TOO_SLOW, late = UINT64_C(1) << CLOSE_DRAIN_TIMEOUT;
    for (unsigned reason = 0; reason < DROP_REASON_COUNT; reason++) {
        uint64_t now = 0;
        for (unsigned class = 0; class < CLASSES; class ++)
            now += stats_get(&worker->stats.copies_dropped[class][reason]);
        bool fits =
            now == before[reason] || has_toys() || (reason != DROP_TOO_SLOW && reason != DROP_GONE);
        fits |= reason == DROP_TOO_SLOW && (ending & slow) != 0;
        fits |= reason == DROP_GONE && (ending & ~(slow | late)) != 0;
        if (!fits)
            sim_fail("worker %u dropped %llu copies as %s, and no connection ended so",
                     worker->index, (unsigned long long)(now - before[reason]),
                     drop_reason_word((enum drop_reason)reason));
        before[reason] = now;
    }
}

void turn_check(struct worker *worker) {
    struct recount count = {0, 0, 0, 0};
    for (unsigned i = 0; i < world_links(); i++) {
        struct link *link = world_link(i);
        if (link->worker == (int)worker->index && link->handle_known && !link->finished)
            link_look(worker, link, &count);
    }
    for (unsigned i = 0; i < TOY_SESSIONS; i++) {
        const struct toy_session *toy = toy_session_at(worker->index, i);
        if (toy != NULL)
            outbox_look(worker, &toy->own, &count);
    }
    const struct engines *engines = engines_of(worker);
    for (uint32_t i = 1; i <= engines->used; i++)
        if (((uintptr_t)engines->at[i] & 1) == 0 && engines->at[i]->polls != NULL) /* taken */
            outbox_look(worker, &engines->at[i]->polls->own, &count);
    gauge_check(worker, "live", worker->slots.live, count.live);
    gauge_check(worker, "connections", stats_get(&worker->stats.connections), count.live);
    gauge_check(worker, "sessions", stats_get(&worker->stats.sessions), worker->sessions.count);
    gauge_check(worker, "requests", stats_get(&worker->stats.requests), worker->requests);
    gauge_check(worker, "behind", stats_get(&worker->stats.behind),
                worker->admission.shedding || reading_late(&worker->reading));
    gauge_check(worker, "outbox_bytes", stats_get(&worker->stats.outbox_bytes), count.bytes);
    uint64_t waiting = 0;
    for (unsigned class = 0; class < CLASSES; class ++)
        waiting += stats_get(&worker->stats.copies_waiting[class]);
    gauge_check(worker, "copies_waiting", waiting, count.pieces);
    ledger_check(worker);
    turn_drops_check(worker, count.ending);
    const struct ring *ring = kernel_ring(worker->index);
    if (ring != NULL && kernel_lent(ring) != 0)
        sim_fail("worker %u ends its turn with %u buffers lent", worker->index, kernel_lent(ring));
}

/* --- the end ---------------------------------------------------------------------------------- */

bool node_messages_home(void) {
    for (unsigned i = 0; i < node.server.post.endpoints; i++)
        if (node.server.endpoints[i]->homebound_set != 0)
            return false;
    return true;
}

bool node_keeps(void) {
    for (unsigned i = 0; i < node.server.worker_count; i++)
        if (attends_wait(&node.server.workers[i].attends))
            return true;
    return !keepers_empty(&node.server);
}

void node_empty_check(void) {
    for (unsigned i = 0; i < node.server.worker_count; i++) {
        endpoint_left_check(&node.server.workers[i].endpoint);
        worker_left_check(&node.server.workers[i]);
    }
}
