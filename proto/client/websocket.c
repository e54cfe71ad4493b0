#include "proto/client/websocket.h"

#include "core/base/shortage.h"
#include "core/worker.h"
#include "proto/client/client.h"
#include "proto/client/client_write.h"
#include "proto/text/json.h"

/* The names of the message that is being read: one at a time on each thread. */
static _Thread_local struct line_scratch line_scratch;

static struct ws_limits limits_of(const struct worker *worker, const struct client *client) {
    size_t message_bytes = (size_t)worker->config->max_message_bytes + LINE_SLACK_BYTES;
    return (struct ws_limits){
        .message_bytes_max = client->stage == CLIENT_GREETING ? HELLO_BYTES_MAX : message_bytes,
    };
}

static void text_take(struct worker *worker, struct connection *connection, struct span text) {
    struct client_line line;
    struct complaint complaint;
    if (json_line_is_blank(text))
        return;
    if (line_parse(text, &line_scratch, &line, &complaint))
        client_on_line(worker, connection, &line, SPAN(""));
    else
        client_on_complaint(worker, connection, &complaint, line.ref);
}

/* What came is none of the protocol: nothing behind it is read. */
static void refuse(struct worker *worker, struct connection *connection,
                   const struct ws_item *item) {
    static const struct client_failure broken = {CODE_BAD_FRAME, WS_CLOSE_PROTOCOL,
                                                 "what came is no WebSocket"};
    static const struct client_failure bad_text = {CODE_BAD_JSON, WS_CLOSE_BAD_TEXT,
                                                   "a text is not UTF-8"};
    static const struct client_failure large = {CODE_TOO_LARGE, WS_CLOSE_TOO_LARGE,
                                                "the message is over its limit"};
    const struct client_failure *why = item->close_code == WS_CLOSE_BAD_TEXT    ? &bad_text
                                       : item->close_code == WS_CLOSE_TOO_LARGE ? &large
                                                                                : &broken;
    if (client_of(connection)->stage == CLIENT_LIVE && client_of(connection)->sends != 0)
        client_cut(worker, connection, why); /* those are answered before */
    else
        client_refuse(worker, connection, why->code, item->why, why->close_code);
}

static void binary_refuse(struct worker *worker, struct connection *connection) {
    static const struct client_failure binary = {CODE_BAD_FRAME, WS_CLOSE_UNSUPPORTED,
                                                 "messages are text here, one JSON object each"};
    client_cut(worker, connection, &binary);
}

/* The peer's pings are answered while it takes the answers. */
static void pong(struct worker *worker, struct connection *connection, struct span payload) {
    char bytes[2 + WS_CONTROL_BYTES_MAX];
    struct builder out = builder_over(bytes, sizeof bytes);
    ws_head_write(&out, WS_OPCODE_PONG, false, payload.len);
    builder_span_add(&out, payload);
    connection_write(worker, connection, builder_span(&out));
}

/* The peer's last word is answered with its own code, behind the answers that are owed. */
static void close_take(struct worker *worker, struct connection *connection, uint16_t code) {
    if (client_of(connection)->sends != 0) {
        client_on_end(worker, connection);
        return;
    }
    char bytes[2 + WS_CONTROL_BYTES_MAX];
    struct builder out = builder_over(bytes, sizeof bytes);
    ws_close_write(&out, code, SPAN(""));
    connection_write_last(worker, connection, builder_span(&out), CLOSE_CLIENT);
}

/* Looks at the front. Returns how many bytes are done with; with `*waits` more must come. */
static size_t message_take(struct worker *worker, struct connection *connection, char *at,
                           size_t len, bool *waits) {
    struct client *client = client_of(connection);
    struct ws_limits limits = limits_of(worker, client);
    struct ws_item item;
    enum ws_event event = ws_next(&client->frames, at, len, &limits, &item);
    switch (event) {
    case WS_MORE:
        *waits = true;
        break;
    case WS_TEXT:
        text_take(worker, connection, item.bytes);
        if (client->again) /* it is kept, to be read once more */
            item.used = ws_put_back(at, event, &item);
        break;
    case WS_BINARY:
        binary_refuse(worker, connection);
        break;
    case WS_PING:
        pong(worker, connection, item.bytes);
        break;
    case WS_PONG:
        break;
    case WS_CLOSE:
        close_take(worker, connection, item.close_code);
        break;
    case WS_REFUSED:
        refuse(worker, connection, &item);
        break;
    }
    return item.used;
}

static size_t on_bytes(struct worker *worker, struct connection *connection, char *at, size_t len) {
    struct client *client = client_of(connection);
    size_t used = 0;
    bool waits = false;
    client->again = false;
    client_heard(worker, connection);
    while (used < len && !waits && !client->again && connection_is_open(connection)) {
        if (client->stage == CLIENT_LEAVING || client->cut || client->ended)
            return len;
        if (!client_ready(worker, connection))
            break;
        used += message_take(worker, connection, at + used, len - used, &waits);
        if (used < len && !waits && replies_throttle(worker, connection))
            break;
        if (used < len && !waits && !client->again && slice_over(worker)) {
            connection_yield(worker, connection);
            break;
        }
    }
    if (connection_is_open(connection))
        client_input_look(worker, connection, waits, len - used, used != 0);
    return connection_is_open(connection) ? used : len;
}

static size_t input_max(struct worker *worker, struct connection *connection) {
    (void)connection;
    return ws_input_bytes_max((size_t)worker->config->max_message_bytes + LINE_SLACK_BYTES);
}

static void on_flood(struct worker *worker, struct connection *connection) {
    client_refuse(worker, connection, CODE_TOO_LARGE, "the message is over its limit",
                  WS_CLOSE_TOO_LARGE);
}

static void on_no_memory(struct worker *worker, struct connection *connection, struct span lost) {
    static const struct client_failure lost_message = {CODE_OVERLOADED, WS_CLOSE_TRY_LATER,
                                                       "there is no memory for the message"};
    (void)lost;
    SHORTAGE_MET();
    client_cut(worker, connection, &lost_message);
}

static void on_open(struct worker *worker, struct connection *connection) {
    client_open(worker, connection);
    client_of(connection)->framing = CLIENT_FRAMING_FRAME;
}

void websocket_register(struct worker *worker, struct connection *connection,
                        const struct client_line *hello) {
    if (client_of(connection)->stage == CLIENT_GREETING)
        client_on_line(worker, connection, hello, SPAN(""));
}

const struct protocol websocket_protocol = {
    .name = "websocket",
    .on_open = on_open,
    .on_bytes = on_bytes,
    .input_max = input_max,
    .on_flood = on_flood,
    .on_no_memory = on_no_memory,
    .on_end = client_on_end,
    .on_deadline = client_on_deadline,
    .is_waited = client_is_waited,
    .on_sent = client_on_sent,
    .on_drain = client_on_drain,
    .on_close = client_on_close,
    .on_free = client_on_free,
};
