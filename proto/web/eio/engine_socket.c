/* engine_socket.c - sessions over WebSocket, and the upgrade from polling to it; see engine_own.h.
 *
 *   without a sid   the session begins with the connection
 *   with a sid      "2probe" -> "3probe", and a poll that waits gets `6` -> "5": it is the
 * session's transport now, and what waited leaves over it, packets before messages. Until then
 * polls go on as before, and go on if it never comes to "5"
 *
 * Threads: the session's home worker, to which the connection has moved before (engine_serve.c). */
#include "proto/web/eio/engine_socket.h"

#include "core/base/shortage.h"
#include "core/worker.h"
#include "proto/web/eio/engine_own.h"
#include "proto/ws/ws_frame.h"

struct socket {
    struct engine *engine; /* NULL: there is none, or it has ended */
    struct ws_parser frames;
};
_Static_assert(sizeof(struct socket) <= CONNECTION_STATE_BYTES, "a socket fits its slot");

static struct socket *socket_of(struct connection *connection) {
    return connection_state(connection);
}

static bool is_probe(struct connection *connection) {
    struct engine *engine = socket_of(connection)->engine;
    return engine != NULL && engine->polls != NULL && engine->polls->probe == connection;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* The close frame, and the end behind it. */
static void finish(struct worker *worker, struct connection *connection, unsigned code,
                   enum close_reason reason) {
    char bytes[2 + WS_CONTROL_BYTES_MAX];
    struct builder out = builder_over(bytes, sizeof bytes);
    ws_close_write(&out, (uint16_t)code, SPAN(""));
    connection_write_last(worker, connection, builder_span(&out), reason);
}

static void packet_write(struct worker *worker, struct connection *connection, unsigned version,
                         const struct engine_packet *packet) {
    char bytes[WS_SERVER_HEAD_BYTES_MAX + 1];
    struct builder head = builder_over(bytes, sizeof bytes);
    bool typed = version == 3 || !packet->binary;
    ws_head_write(&head, packet->binary ? WS_OPCODE_BINARY : WS_OPCODE_TEXT, false,
                  packet->bytes.len + typed);
    if (typed)
        builder_byte(&head, packet->binary ? (char)(packet->type - ENGINE_OPEN) : packet->type);
    connection_write(worker, connection, builder_span(&head));
    if (connection_is_open(connection))
        connection_write(worker, connection, packet->bytes);
}

void engine_socket_write(struct worker *worker, struct engine *engine,
                         const struct engine_packet *packet) {
    if (connection_is_open(engine->connection))
        packet_write(worker, engine->connection, engine->version, packet);
}

void engine_socket_pause(struct worker *worker, struct engine *engine, bool paused) {
    struct connection *connection = engine->connection;
    if (connection == NULL || !connection_is_open(connection))
        return;
    if (paused)
        connection_pause(worker, connection);
    else
        connection_resume(worker, connection);
}

/* --- the upgrade ------------------------------------------------------------------------------ */

/* The session goes on without it. */
static void probe_forget(struct worker *worker, struct engine_polls *polls) {
    socket_of(polls->probe)->engine = NULL;
    polls->probe = NULL;
    polls->probed = false;
    polls->probe_ns = 0;
    stats_add(&worker->stats.engine_upgrades_failed, 1);
}

void engine_probe_abandon(struct worker *worker, struct engine *engine) {
    struct connection *probe = engine->polls == NULL ? NULL : engine->polls->probe;
    if (probe == NULL)
        return;
    probe_forget(worker, engine->polls);
    finish(worker, probe, WS_CLOSE_NONE, CLOSE_HELLO_TIMEOUT);
}

void engine_sockets_close(struct worker *worker, struct engine *engine, enum close_reason reason) {
    struct connection *connection = engine->connection;
    engine->connection = NULL;
    if (engine->polls != NULL && engine->polls->probe != NULL) {
        struct connection *probe = engine->polls->probe;
        probe_forget(worker, engine->polls);
        finish(worker, probe, WS_CLOSE_NONE, reason);
    }
    if (connection == NULL)
        return;
    socket_of(connection)->engine = NULL;
    if (connection_is_open(connection))
        finish(worker, connection, WS_CLOSE_NONE, reason);
}

/* From now on it has this WebSocket. */
static void take_over(struct worker *worker, struct engine *engine) {
    struct engine_polls *polls = engine->polls; /* while it is held they stay */
    struct connection *connection = polls->probe;
    struct engine_packet packet;
    if (polls->get != NULL)
        engine_get_noop(worker, engine);
    engine->connection = connection;
    polls->probe = NULL;
    polls->probed = false;
    polls->probe_ns = 0;
    if (engine->held_sessions != 0)
        connection_hold(worker, connection, true);
    engine_polls_end(worker);
    engine_uncount(worker, engine);
    stats_add(&worker->stats.engine_upgrades, 1);
    uint32_t at = polls->written_at;
    while (!engine_is_gone(engine) && connection_is_open(connection) &&
           engine_written_next(polls, &at, &packet))
        packet_write(worker, connection, engine->version, &packet);
    if (engine_is_gone(engine))
        return;
    engine_written_took(worker, polls, polls->written_len);
    outbox_move_all(worker, &polls->own, &connection->outbox);
    if (engine->stage == ENGINE_IS_FINISHING)
        engine_close(worker, engine, (enum close_reason)engine->reason);
    else if (engine->paused)
        connection_pause(worker, connection);
}

static void on_probe_packet(struct worker *worker, struct engine *engine,
                            const struct engine_packet *packet) {
    if (packet->type == ENGINE_PING && span_equal(packet->bytes, SPAN("probe"))) {
        engine->polls->probed = true;
        packet_write(worker, engine->polls->probe, engine->version,
                     &(struct engine_packet){.type = ENGINE_PONG, .bytes = SPAN("probe")});
        engine_dirty(worker, engine);
    } else if (packet->type == ENGINE_UPGRADE) {
        take_over(worker, engine);
    } else {
        engine_probe_abandon(worker, engine);
    }
}

/* --- the connection --------------------------------------------------------------------------- */

static void message_take(struct worker *worker, struct connection *connection,
                         const struct ws_item *item, bool binary) {
    struct engine *engine = socket_of(connection)->engine;
    struct engine_packet packet;
    bool good = engine_frame_read(engine->version, (char *)(uintptr_t)item->bytes.at,
                                  item->bytes.len, binary, &packet);
    engine_hold(engine);
    if (is_probe(connection)) {
        if (good)
            on_probe_packet(worker, engine, &packet);
        else
            engine_probe_abandon(worker, engine);
    } else if (good) {
        engine_on_packet(worker, engine, &packet);
    } else {
        engine_end(worker, engine, CLOSE_BAD_FRAME, ENGINE_CLOSE);
    }
    engine_let(worker, engine);
}

/* What a close frame of the client's means. */
static enum close_reason parting_of(struct connection *connection) {
    const struct engine *engine = socket_of(connection)->engine;
    bool session = engine != NULL && !is_probe(connection);
    return session ? (enum close_reason)engine->parting : CLOSE_CLIENT;
}

static void pong(struct worker *worker, struct connection *connection, struct span payload) {
    char bytes[2 + WS_CONTROL_BYTES_MAX];
    struct builder out = builder_over(bytes, sizeof bytes);
    ws_head_write(&out, WS_OPCODE_PONG, false, payload.len);
    builder_span_add(&out, payload);
    connection_write(worker, connection, builder_span(&out));
}

/* Looks at the front. Returns how many bytes are done with; with `*waits` more must come. */
static size_t front_take(struct worker *worker, struct connection *connection, char *at, size_t len,
                         bool *waits) {
    struct ws_limits limits = {.message_bytes_max = worker->config->max_payload_bytes};
    struct ws_item item;
    switch (ws_next(&socket_of(connection)->frames, at, len, &limits, &item)) {
    case WS_MORE:
        *waits = true;
        break;
    case WS_TEXT:
        message_take(worker, connection, &item, false);
        break;
    case WS_BINARY:
        message_take(worker, connection, &item, true);
        break;
    case WS_PING:
        pong(worker, connection, item.bytes);
        break;
    case WS_PONG:
        break;
    case WS_CLOSE:
        finish(worker, connection, item.close_code, parting_of(connection));
        break;
    case WS_REFUSED:
        finish(worker, connection, item.close_code,
               item.close_code == WS_CLOSE_TOO_LARGE ? CLOSE_TOO_LARGE : CLOSE_BAD_FRAME);
        break;
    }
    return item.used;
}

static size_t on_bytes(struct worker *worker, struct connection *connection, char *at, size_t len) {
    size_t used = 0;
    bool waits = false;
    while (used < len && !waits && connection_is_open(connection) && !connection->paused) {
        used += front_take(worker, connection, at + used, len - used, &waits);
        if (used < len && !waits && connection_is_open(connection)) {
            if (replies_throttle(worker, connection))
                break;
            if (slice_over(worker)) {
                connection_yield(worker, connection);
                break;
            }
        }
    }
    return connection_is_open(connection) ? used : len;
}

static size_t input_max(struct worker *worker, struct connection *connection) {
    (void)connection;
    return ws_input_bytes_max(worker->config->max_payload_bytes);
}

static void on_flood(struct worker *worker, struct connection *connection) {
    finish(worker, connection, WS_CLOSE_TOO_LARGE, CLOSE_TOO_LARGE);
}

static void on_no_memory(struct worker *worker, struct connection *connection, struct span lost) {
    (void)lost;
    SHORTAGE_MET();
    finish(worker, connection, WS_CLOSE_TRY_LATER, CLOSE_OVERLOADED);
}

/* What keeps its time is the session's timer. */
static void on_deadline(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
}

static bool is_waited(const struct worker *worker, const struct connection *connection) {
    const struct socket *socket = (const struct socket *)(const void *)connection->protocol_state;
    const struct engine *engine = socket->engine;
    if (engine == NULL || engine->connection != connection)
        return false;
    const struct engine_app *app = engine_app_of(engine->path);
    return app->is_waited != NULL && app->is_waited(worker, engine);
}

static void on_drain(struct worker *worker, struct connection *connection) {
    struct engine *engine = socket_of(connection)->engine;
    if (engine == NULL)
        finish(worker, connection, WS_CLOSE_GOING_AWAY, CLOSE_DRAINING);
    else if (is_probe(connection))
        engine_probe_abandon(worker, engine);
    else
        engine_goodbye(worker, engine);
}

static void on_close(struct worker *worker, struct connection *connection) {
    struct engine *engine = socket_of(connection)->engine;
    if (engine == NULL)
        return;
    if (is_probe(connection))
        probe_forget(worker, engine->polls);
    else
        engine_end(worker, engine, (enum close_reason)connection->reason, ENGINE_CLOSE);
}

static void on_open(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
}

const struct protocol engine_socket_protocol = {
    .name = "engine.io",
    .on_open = on_open,
    .on_bytes = on_bytes,
    .input_max = input_max,
    .on_flood = on_flood,
    .on_no_memory = on_no_memory,
    .on_deadline = on_deadline,
    .is_waited = is_waited,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* --- the door --------------------------------------------------------------------------------- */

void engine_socket_probe(struct worker *worker, struct connection *connection,
                         struct engine *engine) {
    if (engine->connection != NULL || engine->polls->probe != NULL) {
        /* There is one already. */
        finish(worker, connection, WS_CLOSE_NONE, CLOSE_BAD_MESSAGE);
        return;
    }
    socket_of(connection)->engine = engine;
    engine->polls->probe = connection;
    engine->polls->probe_ns = worker->now_ns + worker->config->upgrade_timeout_ns;
    engine_watch(worker, engine);
}

void engine_socket_open(struct worker *worker, struct connection *connection,
                        const struct engine_handshake *handshake) {
    struct engine *engine =
        engine_make(worker, handshake->path, handshake->version, connection, handshake->query);
    if (SHORTAGE(engine == NULL)) {
        finish(worker, connection, WS_CLOSE_TRY_LATER, CLOSE_OVERLOADED);
        return;
    }
    socket_of(connection)->engine = engine;
    engine_hold(engine);
    engine_begin(worker, engine);
    engine_let(worker, engine);
}
