#include "proto/client/client_write.h"

#include "core/base/check.h"
#include "core/worker.h"
#include "proto/client/client.h"
#include "proto/client/counted.h"
#include "proto/client/registration.h"
#include "proto/ws/ws_frame.h"

#define CLOSE_FRAME_BYTES_MAX (WS_CONTROL_BYTES_MAX + 2)
/* The head of a frame is written in front of its text, when its length is known. */
#define FRONT_BYTES 4
_Static_assert(LINE_ANSWER_BYTES_MAX <= 65535, "the head of a frame fits in front of an answer");

struct answer {
    struct builder out; /* over the text */
    char bytes[FRONT_BYTES + LINE_ANSWER_BYTES_MAX + CLOSE_FRAME_BYTES_MAX];
};

static enum client_framing framing_of(const struct connection *connection) {
    const struct client *client = (const struct client *)(const void *)connection->protocol_state;
    return (enum client_framing)client->framing;
}

static bool is_counted(const struct connection *connection) {
    return framing_of(connection) == CLIENT_FRAMING_COUNTED;
}

static void answer_begin(struct answer *answer) {
    answer->out = builder_over(answer->bytes + FRONT_BYTES, LINE_ANSWER_BYTES_MAX + 1);
}

/* What was written, as it goes over the wire. */
static struct span answer_span(const struct connection *connection, struct answer *answer) {
    enum client_framing framing = framing_of(connection);
    if (framing == CLIENT_FRAMING_LINE)
        builder_byte(&answer->out, '\n');
    CHECK(!answer->out.full, "an answer is longer than LINE_ANSWER_BYTES_MAX");
    if (framing != CLIENT_FRAMING_FRAME)
        return builder_span(&answer->out);
    size_t head_bytes = ws_head_bytes(answer->out.len);
    char *start = answer->out.at - head_bytes;
    struct builder head = builder_over(start, head_bytes);
    ws_head_write(&head, WS_OPCODE_TEXT, false, answer->out.len);
    return span_of(start, head_bytes + answer->out.len);
}

static void answer_write(struct worker *worker, struct connection *connection,
                         struct answer *answer) {
    connection_write(worker, connection, answer_span(connection, answer));
}

void client_write_welcome(struct worker *worker, struct connection *connection,
                          const struct welcome *welcome) {
    struct answer answer;
    answer_begin(&answer);
    if (is_counted(connection))
        counted_welcome(&answer.out, welcome);
    else
        line_welcome(&answer.out, welcome);
    answer_write(worker, connection, &answer);
}

void client_write_ok(struct worker *worker, struct connection *connection, struct span ref) {
    if (ref.len == 0)
        return;
    struct answer answer;
    answer_begin(&answer);
    if (is_counted(connection))
        counted_ok(&answer.out, ref);
    else
        line_ok(&answer.out, ref);
    answer_write(worker, connection, &answer);
}

void client_write_sent(struct worker *worker, struct connection *connection, struct span ref,
                       struct span id, const char *state) {
    struct answer answer;
    answer_begin(&answer);
    if (is_counted(connection))
        counted_sent(&answer.out, ref, id, state);
    else
        line_sent(&answer.out, ref, id, state);
    answer_write(worker, connection, &answer);
}

/* What a close frame says of the end. */
static uint16_t close_code_of(enum close_reason reason) {
    switch (reason) {
    case CLOSE_CLIENT:
    case CLOSE_CLOSED_BY_API:
        return WS_CLOSE_NORMAL;
    case CLOSE_DRAINING:
    case CLOSE_STOPPED:
        return WS_CLOSE_GOING_AWAY;
    case CLOSE_UNAUTHORIZED:
        return WS_CLOSE_POLICY;
    case CLOSE_TOO_LARGE:
        return WS_CLOSE_TOO_LARGE;
    case CLOSE_TOO_SLOW:
    case CLOSE_OVERLOADED:
        return WS_CLOSE_TRY_LATER;
    default:
        return WS_CLOSE_PROTOCOL;
    }
}

void client_write_error(struct worker *worker, struct connection *connection, enum code code,
                        const char *text, struct span ref, enum close_reason ends,
                        unsigned close_code) {
    struct answer answer;
    answer_begin(&answer);
    stats_add(&worker->stats.client_errors, 1);
    if (is_counted(connection))
        counted_error(&answer.out, code, text, ref);
    else
        line_error(&answer.out, code, text, ref);
    struct span bytes = answer_span(connection, &answer);
    if (ends == CLOSE_NONE) {
        connection_write(worker, connection, bytes);
        return;
    }
    if (framing_of(connection) == CLIENT_FRAMING_FRAME) {
        char *behind = answer.out.at + answer.out.len;
        struct builder end = builder_over(behind, CLOSE_FRAME_BYTES_MAX);
        uint16_t said = close_code != 0 ? (uint16_t)close_code : close_code_of(ends);
        ws_close_write(&end, said, span_text(code_word(code)));
        bytes.len += end.len;
    }
    connection_write_last(worker, connection, bytes, ends);
}

void client_write_goodbye(struct worker *worker, struct connection *connection) {
    struct answer answer;
    answer_begin(&answer);
    const char *reason = close_reason_word(CLOSE_DRAINING);
    if (is_counted(connection))
        counted_goodbye(&answer.out, reason, registration_reconnect_ms(worker));
    else
        line_goodbye(&answer.out, reason, registration_reconnect_ms(worker));
    answer_write(worker, connection, &answer);
}

/* A ping or a pong of the protocol. */
static void word_write(struct worker *worker, struct connection *connection, struct span counted,
                       struct span line) {
    struct answer answer;
    answer_begin(&answer);
    builder_span_add(&answer.out, is_counted(connection) ? counted : line);
    answer_write(worker, connection, &answer);
}

void client_write_ping(struct worker *worker, struct connection *connection) {
    if (framing_of(connection) == CLIENT_FRAMING_FRAME)
        connection_write(worker, connection, SPAN("\x89\0")); /* a ping frame without a payload */
    else
        word_write(worker, connection, COUNTED_PING, LINE_PING);
}

void client_write_pong(struct worker *worker, struct connection *connection) {
    word_write(worker, connection, COUNTED_PONG, LINE_PONG);
}

void client_finish(struct worker *worker, struct connection *connection, enum close_reason reason) {
    if (framing_of(connection) != CLIENT_FRAMING_FRAME) {
        connection_finish(worker, connection, reason);
        return;
    }
    char bytes[CLOSE_FRAME_BYTES_MAX];
    struct builder end = builder_over(bytes, sizeof bytes);
    ws_close_write(&end, close_code_of(reason), span_text(close_reason_word(reason)));
    connection_write_last(worker, connection, builder_span(&end), reason);
}
