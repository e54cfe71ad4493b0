#include "proto/web/ws_echo.h"

#include "core/base/shortage.h"
#include "core/worker.h"
#include "proto/http/http_connection.h"
#include "proto/web/handshake.h"
#include "proto/ws/ws_frame.h"

static struct ws_parser *frames_of(struct connection *connection) {
    return connection_state(connection);
}

static void finish(struct worker *worker, struct connection *connection, unsigned code,
                   enum close_reason reason) {
    char bytes[2 + WS_CONTROL_BYTES_MAX];
    struct builder out = builder_over(bytes, sizeof bytes);
    ws_close_write(&out, (uint16_t)code, SPAN(""));
    connection_write_last(worker, connection, builder_span(&out), reason);
}

static void frame_write(struct worker *worker, struct connection *connection, enum ws_opcode opcode,
                        struct span bytes) {
    char room[WS_SERVER_HEAD_BYTES_MAX];
    struct builder head = builder_over(room, sizeof room);
    ws_head_write(&head, opcode, false, bytes.len);
    connection_write(worker, connection, builder_span(&head));
    if (connection_is_open(connection))
        connection_write(worker, connection, bytes);
}

static size_t on_bytes(struct worker *worker, struct connection *connection, char *at, size_t len) {
    struct ws_limits limits = {.message_bytes_max = worker->config->max_payload_bytes};
    size_t used = 0;
    bool waits = false;
    while (used < len && !waits && connection_is_open(connection)) {
        struct ws_item item;
        switch (ws_next(frames_of(connection), at + used, len - used, &limits, &item)) {
        case WS_MORE:
            waits = true;
            break;
        case WS_TEXT:
            frame_write(worker, connection, WS_OPCODE_TEXT, item.bytes);
            break;
        case WS_BINARY:
            frame_write(worker, connection, WS_OPCODE_BINARY, item.bytes);
            break;
        case WS_PING:
            frame_write(worker, connection, WS_OPCODE_PONG, item.bytes);
            break;
        case WS_PONG:
            break;
        case WS_CLOSE:
            finish(worker, connection, item.close_code, CLOSE_CLIENT);
            break;
        case WS_REFUSED:
            finish(worker, connection, item.close_code, CLOSE_BAD_FRAME);
            break;
        }
        used += item.used;
        if (used < len && !waits && connection_is_open(connection) &&
            replies_throttle(worker, connection))
            break;
        if (used < len && !waits && slice_over(worker)) {
            connection_yield(worker, connection);
            break;
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

static void on_open(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
}

static void on_deadline(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
}

static void on_drain(struct worker *worker, struct connection *connection) {
    finish(worker, connection, WS_CLOSE_GOING_AWAY, CLOSE_DRAINING);
}

static void on_close(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
}

static const struct protocol echo_protocol = {
    .name = "echo",
    .on_open = on_open,
    .on_bytes = on_bytes,
    .input_max = input_max,
    .on_flood = on_flood,
    .on_deadline = on_deadline,
    .on_drain = on_drain,
    .on_close = on_close,
};

void web_get_echo(struct worker *worker, struct http_exchange *exchange,
                  const struct route_request *request) {
    struct http_error error = http_error_of(CODE_NOT_FOUND, "there is no such path here");
    struct handshake handshake = handshake_look(request->http, SPAN(""), false);
    if (worker->config->conformance && handshake.status == 0 && exchange_is_first(exchange)) {
        struct http_upgrade upgrade = {&echo_protocol, NULL, NULL};
        handshake_accept(worker, exchange, &handshake, SPAN(""), request->extra, &upgrade);
        return;
    }
    if (worker->config->conformance) {
        error = http_error_of(CODE_BAD_MESSAGE,
                              handshake.status == 0 ? "an answer is owed before" : handshake.why);
        error.status = handshake.status == 0 ? 400 : handshake.status;
    }
    error.extra = request->extra;
    exchange_refuse(worker, exchange, &error);
}
