#include "proto/web/eio/engine.h"

#include "core/arrival.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/connection.h"
#include "core/server.h"
#include "proto/web/eio/engine_own.h"

#define SLOTS_MIN 64

static const struct engine_app *apps[ENGINE_PATHS];
static struct engines *contexts[WORKERS_MAX];
static struct pool context_pool;

struct engines *engines_of(const struct worker *worker) {
    return contexts[worker->index];
}

const struct engine_app *engine_app_of(unsigned path) {
    return apps[path];
}

static const struct engine_app *app_of(const struct engine *engine) {
    return apps[engine->path];
}

static size_t slot_bytes(unsigned path) {
    return sizeof(struct engine) + apps[path]->state_bytes;
}

static void engines_work(struct worker *worker, struct task *task);

bool engines_init(struct server *server, const struct engine_app *const list[ENGINE_PATHS]) {
    memcpy(apps, list, sizeof apps);
    pool_init(&context_pool, sizeof(struct engines));
    for (unsigned i = 0; i < server->worker_count; i++) {
        struct engines *engines = pool_get(&context_pool);
        if (engines == NULL) {
            engines_fini();
            return false;
        }
        memset(engines, 0, sizeof *engines);
        for (unsigned path = 0; path < ENGINE_PATHS; path++)
            pool_init(&engines->pools[path], apps[path] == NULL ? 8 : slot_bytes(path));
        list_init(&engines->dirty);
        engines->task.work = engines_work;
        list_init(&engines->task.link);
        contexts[i] = engines;
    }
    return true;
}

void engines_fini(void) {
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (contexts[i] == NULL)
            continue;
        CHECK(contexts[i]->count == 0, "%u Engine.IO sessions are left", contexts[i]->count);
        for (unsigned path = 0; path < ENGINE_PATHS; path++)
            pool_fini(&contexts[i]->pools[path]);
        pool_put(&context_pool, contexts[i]);
        contexts[i] = NULL;
    }
    pool_fini(&context_pool);
}

uint16_t engines_node(const struct worker *worker) {
    return sid_node(worker->server->run);
}

/* --- slots ------------------------------------------------------------------------------------ */

/* A free slot holds the next free one, as an odd number. */
static bool place_is_free(const struct engine *at) {
    return ((uintptr_t)at & 1) != 0;
}

/* 0: there is none. */
static uint32_t place_take(struct worker *worker, struct engines *engines) {
    uint32_t slot = engines->free;
    if (slot != 0) {
        engines->free = (uint32_t)((uintptr_t)engines->at[slot] >> 1);
        return slot;
    }
    if (engines->used + 1 >= engines->cap) {
        uint32_t cap = engines->cap == 0 ? SLOTS_MIN : engines->cap * 2;
        if (cap > SID_SLOT_MAX)
            return 0;
        struct engine **at =
            memory_grow(&worker->account, engines->at, engines->cap * sizeof(*engines->at),
                        cap * sizeof(*engines->at));
        if (SHORTAGE(at == NULL))
            return 0;
        engines->at = at;
        engines->cap = cap;
    }
    return ++engines->used;
}

static void place_put(struct worker *worker, struct engines *engines, uint32_t slot) {
    engines->at[slot] = (struct engine *)(((uintptr_t)engines->free << 1) | 1);
    engines->free = slot;
    if (engines->count != 0)
        return;
    memory_put(&worker->account, engines->at, engines->cap * sizeof(*engines->at));
    engines->at = NULL;
    engines->cap = engines->used = engines->free = 0;
}

struct engine *engine_find(struct worker *worker, const struct sid *sid) {
    struct engines *engines = engines_of(worker);
    if (sid->slot == 0 || sid->slot > engines->used || place_is_free(engines->at[sid->slot]))
        return NULL;
    struct engine *engine = engines->at[sid->slot];
    return engine_is_gone(engine) || !sid_random_same(engine->random, sid->random) ? NULL : engine;
}

struct sid engine_sid_of(const struct worker *worker, const struct engine *engine) {
    struct sid sid = {
        .node = engines_node(worker), .worker = (uint8_t)worker->index, .slot = engine->slot};
    memcpy(sid.random, engine->random, SID_RANDOM_BYTES);
    return sid;
}

static struct engine *engine_get(struct worker *worker, struct engines *engines, unsigned path) {
    if (SHORTAGE(!account_take(&worker->account, slot_bytes(path))))
        return NULL;
    struct engine *engine = pool_get(&engines->pools[path]);
    uint32_t slot = SHORTAGE(engine == NULL) ? 0 : place_take(worker, engines);
    if (SHORTAGE(slot == 0)) {
        if (engine != NULL)
            pool_put(&engines->pools[path], engine);
        account_give(&worker->account, slot_bytes(path));
        return NULL;
    }
    memset(engine, 0, slot_bytes(path));
    engine->slot = slot;
    engine->path = (uint8_t)path;
    engines->at[slot] = engine;
    engines->count++;
    stats_set(&worker->stats.engines, engines->count);
    return engine;
}

static void engine_free(struct worker *worker, struct engine *engine) {
    struct engines *engines = engines_of(worker);
    unsigned path = engine->path;
    CHECK(engine->connection == NULL);
    engine_query_drop(worker, engine);
    engine_polls_free(worker, engine);
    timer_disarm(&worker->wheel, &engine->timer);
    engines->count--;
    stats_set(&worker->stats.engines, engines->count);
    place_put(worker, engines, engine->slot);
    pool_put(&engines->pools[path], engine);
    account_give(&worker->account, slot_bytes(path));
}

bool engine_let(struct worker *worker, struct engine *engine) {
    engine->holds--;
    if (!engine_is_gone(engine)) {
        if (engine->holds == 0 && engine_polls_over(engine))
            engine_polls_free(worker, engine);
        return true;
    }
    if (engine->holds == 0)
        engine_free(worker, engine);
    return false;
}

/* --- the beginning ---------------------------------------------------------------------------- */

static bool is_own_parameter(struct span name) {
    static const char *const own[] = {"EIO", "transport", "sid", "t", "b64", "j"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (span_equal(name, span_text(own[i])))
            return true;
    return false;
}

/* Keeps what is not Engine.IO's own, as it was written. False: no memory. */
static bool query_keep(struct worker *worker, struct engine *engine, struct span query) {
    struct span rest = query;
    while (rest.len != 0) {
        const char *mark = memchr(rest.at, '&', rest.len);
        struct span part = span_of(rest.at, mark == NULL ? rest.len : (size_t)(mark - rest.at));
        rest = span_skip(rest, mark == NULL ? part.len : part.len + 1);
        const char *equals = part.len == 0 ? NULL : memchr(part.at, '=', part.len);
        struct span name = span_of(part.at, equals == NULL ? part.len : (size_t)(equals - part.at));
        if (part.len == 0 || is_own_parameter(name))
            continue;
        struct engine_query *kept = engine->query;
        if (kept == NULL) {
            /* No more is kept than is left of the query from here on. */
            uint32_t cap = (uint32_t)(part.len + 1 + rest.len);
            kept = memory_get(&worker->account, sizeof *kept + cap);
            if (SHORTAGE(kept == NULL))
                return false;
            *kept = (struct engine_query){.cap = cap};
            engine->query = kept;
        } else {
            kept->text[kept->len++] = '&';
        }
        memcpy(kept->text + kept->len, part.at, part.len);
        kept->len += (uint32_t)part.len;
    }
    return true;
}

void engine_open_write(struct worker *worker, const struct engine *engine, bool upgrades,
                       struct builder *out) {
    char room[ENGINE_SID_BYTES];
    builder_span_add(out, SPAN("{\"sid\":\""));
    builder_span_add(out, engine_sid(worker, engine, room));
    builder_span_add(out, SPAN("\",\"upgrades\":["));
    builder_span_add(out, upgrades ? SPAN("\"websocket\"") : SPAN(""));
    builder_span_add(out, SPAN("],\"pingInterval\":"));
    builder_u64(out, worker->config->heartbeat_ns / NS_PER_MS);
    builder_span_add(out, SPAN(",\"pingTimeout\":"));
    builder_u64(out, worker->config->heartbeat_timeout_ns / NS_PER_MS);
    builder_span_add(out, SPAN(",\"maxPayload\":"));
    builder_u64(out, worker->config->max_payload_bytes);
    builder_byte(out, '}');
}

struct engine *engine_make(struct worker *worker, enum engine_path path, unsigned version,
                           struct connection *connection, struct span query) {
    struct engine *engine = engine_get(worker, engines_of(worker), path);
    if (SHORTAGE(engine == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    rand_fill(engine->random, sizeof engine->random);
    engine->version = (uint8_t)version;
    engine->parting = CLOSE_CLIENT;
    engine_time_init(worker, engine);
    bool has_polls = connection != NULL || engine_polls_get(worker, engine);
    if (!SHORTAGE(!has_polls) && query_keep(worker, engine, query)) {
        engine->connection = connection;
        return engine;
    }
    stats_add(&worker->stats.memory_refused, 1);
    engine->stage = ENGINE_IS_GONE;
    engine_free(worker, engine);
    return NULL;
}

/* --- packets to the client -------------------------------------------------------------------- */

bool engine_packet(struct worker *worker, struct engine *engine,
                   const struct engine_packet *packet) {
    enum close_reason reason;
    if (engine_is_gone(engine))
        return false;
    if (engine->connection != NULL) {
        engine_socket_write(worker, engine, packet);
        return !engine_is_gone(engine);
    }
    if (SHORTAGE(!engine_written_add(worker, engine->polls, packet, &reason))) {
        engine_end(worker, engine, reason, ENGINE_CLOSE);
        return false;
    }
    engine_dirty(worker, engine);
    return true;
}

static bool message_write(struct worker *worker, struct engine *engine, struct span bytes,
                          bool binary) {
    if (engine->stage != ENGINE_IS_OPEN)
        return !engine_is_gone(engine);
    engine_hold(engine);
    engine_packet(
        worker, engine,
        &(struct engine_packet){.type = ENGINE_MESSAGE, .binary = binary, .bytes = bytes});
    return engine_let(worker, engine);
}

bool engine_write(struct worker *worker, struct engine *engine, struct span text) {
    return message_write(worker, engine, text, false);
}

bool engine_write_binary(struct worker *worker, struct engine *engine, struct span bytes) {
    return message_write(worker, engine, bytes, true);
}

/* --- packets from the client ------------------------------------------------------------------ */

static void message_take(struct worker *worker, struct engine *engine,
                         const struct engine_packet *packet) {
    if (engine->stage != ENGINE_IS_OPEN)
        return;
    bool more = app_of(engine)->on_message(worker, engine, packet->bytes, packet->binary);
    if (!more && !engine_is_gone(engine) && !engine->paused) {
        engine->paused = true;
        engine_socket_pause(worker, engine, true);
    }
}

void engine_on_packet(struct worker *worker, struct engine *engine,
                      const struct engine_packet *packet) {
    if (engine_is_gone(engine))
        return;
    engine_heard(worker, engine, packet);
    switch (packet->type) {
    case ENGINE_CLOSE:
        /* Over a WebSocket it means nothing: that has an end of its own. */
        if (engine->connection == NULL)
            engine_end(worker, engine, CLOSE_CLIENT, ENGINE_NOOP);
        break;
    case ENGINE_PING:
        /* Version 4 pings from here only. */
        if (engine->version == 4)
            engine_end(worker, engine, CLOSE_BAD_FRAME, ENGINE_CLOSE);
        else
            engine_packet(worker, engine, &(struct engine_packet){.type = ENGINE_PONG});
        break;
    case ENGINE_PONG:
        if (engine->version == 3)
            engine_end(worker, engine, CLOSE_BAD_FRAME, ENGINE_CLOSE);
        break;
    case ENGINE_MESSAGE:
        message_take(worker, engine, packet);
        break;
    default:
        break;
    }
}

void engine_session_hold(struct worker *worker, struct engine *engine, bool holds) {
    CHECK(holds ? engine->held_sessions < UINT8_MAX : engine->held_sessions > 0);
    engine->held_sessions = (uint8_t)(engine->held_sessions + (holds ? 1 : -1));
    if (engine->connection != NULL)
        connection_hold(worker, engine->connection, engine->held_sessions != 0);
    if (engine->held_sessions == 0 && engine->polls != NULL && engine->polls->get != NULL)
        engine_dirty(worker, engine);
}

void engine_resume(struct worker *worker, struct engine *engine) {
    if (!engine->paused)
        return;
    engine->paused = false;
    engine_socket_pause(worker, engine, false);
    engine_dirty(worker, engine);
}

/* --- the end ---------------------------------------------------------------------------------- */

static enum drop_reason drop_reason_of(enum close_reason reason) {
    if (reason == CLOSE_TOO_SLOW)
        return DROP_TOO_SLOW;
    return reason == CLOSE_DRAIN_TIMEOUT ? DROP_DRAIN_TIMEOUT : DROP_GONE;
}

/* Messages that wait where the app does not look for them, or not any more. */
static void own_clear(struct worker *worker, struct engine *engine, enum close_reason reason) {
    if (engine->polls != NULL)
        outbox_clear(worker, &engine->polls->own, drop_reason_of(reason));
}

void engine_end(struct worker *worker, struct engine *engine, enum close_reason reason, char last) {
    if (engine_is_gone(engine))
        return;
    engine_hold(engine);
    engine->stage = ENGINE_IS_GONE;
    stats_add(&worker->stats.engines_ended, 1);
    /* It may end in the middle of an upgrade. */
    if (engine->connection != NULL)
        own_clear(worker, engine, reason);
    if (!engine->unknown)
        app_of(engine)->on_close(worker, engine, reason);
    engine_uncount(worker, engine);
    if (engine->connection == NULL)
        engine_polls_end(worker);
    engine_polls_close(worker, engine, last);
    engine_sockets_close(worker, engine, reason);
    own_clear(worker, engine, reason);
    engine_let(worker, engine);
}

void engine_uncount(struct worker *worker, struct engine *engine) {
    if (engine->polls == NULL)
        return;
    address_let(worker, &engine->polls->peer, engine->polls->counted);
    engine->polls->counted = false;
}

void engine_close(struct worker *worker, struct engine *engine, enum close_reason reason) {
    engine_end(worker, engine, reason, ENGINE_CLOSE);
}

void engine_finish(struct worker *worker, struct engine *engine, enum close_reason reason) {
    if (engine->stage != ENGINE_IS_OPEN)
        return;
    /* What was written to a WebSocket leaves before its close frame. */
    if (engine->connection != NULL || !engine_has_waiting(worker, engine)) {
        engine_close(worker, engine, reason);
        return;
    }
    engine->stage = ENGINE_IS_FINISHING;
    engine->reason = (uint8_t)reason;
    engine->polls->finish_ns = worker->now_ns + ENGINE_FINISH_NS;
    engine_watch(worker, engine);
    engine_dirty(worker, engine);
}

/* --- later in the turn ------------------------------------------------------------------------ */

void engine_dirty(struct worker *worker, struct engine *engine) {
    struct engines *engines = engines_of(worker);
    if (engine->polls == NULL || list_linked(&engine->polls->dirty) || engine_is_gone(engine))
        return;
    list_add_tail(&engines->dirty, &engine->polls->dirty);
    if (engines->task_waits)
        return;
    engines->task_waits = true;
    worker_put_off(worker, &engines->task);
}

/* Everything that came for a poll in a turn leaves in one answer. */
static void engines_work(struct worker *worker, struct task *task) {
    struct engines *engines = container_of(task, struct engines, task);
    struct list *node;
    engines->task_waits = false;
    while ((node = list_pop(&engines->dirty)) != NULL) {
        struct engine *engine = container_of(node, struct engine_polls, dirty)->engine;
        engine_hold(engine);
        engine_polls_look(worker, engine);
        engine_let(worker, engine);
        if (slice_over(worker))
            break;
    }
    if (list_empty(&engines->dirty) || engines->task_waits)
        return;
    engines->task_waits = true;
    worker_put_off(worker, task);
}

/* --- what the app asks ------------------------------------------------------------------------ */

void *engine_state(struct engine *engine) {
    return engine->state;
}

struct engine *engine_of_state(const void *state) {
    return (struct engine *)((uintptr_t)state - offsetof(struct engine, state));
}

struct outbox *engine_outbox_last(struct engine *engine) {
    return engine->connection != NULL ? &engine->connection->outbox : &engine->polls->own;
}

struct outbox *engine_outbox(struct engine *engine) {
    /* Also while it finishes: what waits there must be found (core/tally.h). */
    bool takes = !engine_is_gone(engine) &&
                 (engine->connection == NULL || connection_is_open(engine->connection));
    return takes ? engine_outbox_last(engine) : NULL;
}

void engine_on_parked(struct worker *worker, struct engine *engine) {
    if (engine_has_get(engine))
        engine_dirty(worker, engine);
}

bool engine_is_writable(const struct engine *engine) {
    return engine->connection != NULL ? outbox_empty(&engine->connection->outbox)
                                      : engine_has_get(engine);
}

enum engine_form engine_form(const struct engine *engine) {
    if (engine->connection != NULL)
        return engine->version == 4 ? EIO4_SOCKET : EIO3_SOCKET;
    if (engine->version == 4)
        return EIO4_POLL;
    return engine->polls->as_bytes ? EIO3_POLL_BINARY : EIO3_POLL;
}

unsigned engine_version(const struct engine *engine) {
    return engine->version;
}

struct span engine_sid(const struct worker *worker, const struct engine *engine,
                       char room[ENGINE_SID_BYTES]) {
    struct sid sid = engine_sid_of(worker, engine);
    sid_write(&sid, room);
    return span_of(room, ENGINE_SID_BYTES);
}

const struct peer_address *engine_peer(const struct engine *engine) {
    return engine->connection != NULL ? &engine->connection->peer : &engine->polls->peer;
}

struct span engine_query(const struct engine *engine) {
    const struct engine_query *query = engine->query;
    return query == NULL ? SPAN("") : span_of(query->text, query->len);
}

void engine_parting(struct engine *engine, enum close_reason reason) {
    engine->parting = (uint8_t)reason;
}

void engine_query_drop(struct worker *worker, struct engine *engine) {
    if (engine->query != NULL)
        memory_put(&worker->account, engine->query, sizeof *engine->query + engine->query->cap);
    engine->query = NULL;
}

const char *engine_transport(const struct engine *engine) {
    return engine->connection != NULL ? "websocket" : "polling";
}
