#include "tests/toys/toy_protocol.h"

#include "core/handover.h"
#include "core/server.h"
#include "tests/toys/toy_form.h"
#include "tests/toys/toy_session.h"

#include <stdio.h>

struct toy {
    bool *stayed; /* the move that the next line asks for could not be done */
};

static struct toy *toy_of(struct connection *connection) {
    return connection_state(connection);
}

static void on_open(struct worker *worker, struct connection *connection) {
    CHECK(toy_of(connection)->stayed == NULL, "the state is not empty");
    bool *stayed = toy_of(connection)->stayed = memory_get(&worker->account, sizeof(bool));
    if (stayed == NULL)
        connection_close(worker, connection, CLOSE_OVERLOADED);
    else
        *stayed = false;
    connection_deadline(worker, connection, worker->now_ns + TOY_QUIET_NS);
}

static void on_gone(struct worker *worker, struct connection *connection) {
    toy_sessions_leave(worker, connection);
    if (toy_of(connection)->stayed != NULL)
        memory_put(&worker->account, toy_of(connection)->stayed, sizeof(bool));
}

/* Each of these takes one unit off the front; 0: it is not whole yet, or not for now. */

static size_t on_line(struct worker *worker, struct connection *connection, struct span bytes) {
    const char *end = memchr(bytes.at, '\n', bytes.len);
    struct span line = span_of(bytes.at, end == NULL ? 0 : (size_t)(end - bytes.at) + 1);
    bool moves = line.len == 7 && memcmp(line.at, "move ", 5) == 0;
    bool *stayed = toy_of(connection)->stayed;
    if (moves && (unsigned)(line.at[5] - '0') != worker->index && !*stayed) {
        toy_sessions_leave(worker, connection);
        connection_hand_over(worker, connection, (unsigned)(line.at[5] - '0'));
        return 0;
    }
    char answer[8];
    snprintf(answer, sizeof(answer), moves ? "@%u\n" : "=", worker->index);
    connection_write(worker, connection, line.len == 0 ? SPAN("") : span_text(answer));
    connection_write(worker, connection, moves ? SPAN("") : line);
    if (connection_is_open(connection) && span_equal(line, SPAN("take\n")))
        toy_sessions_take(worker, connection, &toy_encodings[connection->slot % 2]);
    if (span_equal(line, SPAN("say\n")))
        toy_sessions_say(worker);
    if (connection_is_open(connection) && span_equal(line, SPAN("become\n")))
        connection_become(worker, connection, &toy_pairs_protocol);
    else if (connection_is_open(connection))
        *stayed &= line.len == 0;
    return line.len;
}

static size_t on_pair(struct worker *worker, struct connection *connection, struct span bytes) {
    if (bytes.len < 2)
        return 0;
    connection_write(worker, connection, span_of((char[]){bytes.at[1], bytes.at[0]}, 2));
    if (connection_is_open(connection) && memcmp(bytes.at, "\n\n", 2) == 0)
        connection_become(worker, connection, &toy_protocol);
    return 2;
}

static size_t on_bytes(struct worker *worker, struct connection *connection, char *at, size_t len) {
    const struct protocol *protocol = connection->protocol;
    size_t used = 0, step = 1;
    connection_deadline(worker, connection, worker->now_ns + TOY_QUIET_NS);
    for (; step != 0 && used < len && connection_is_open(connection) &&
           connection->protocol == protocol;
         used += step)
        step = (protocol == &toy_protocol ? on_line : on_pair)(worker, connection,
                                                               span_of(at + used, len - used));
    return used;
}

static size_t input_max(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
    return 2000;
}

/* It is the peer's end, or a line is too long, or nothing has come for too long. */
static void on_over(struct worker *worker, struct connection *connection) {
    connection_finish(worker, connection, CLOSE_CLIENT);
}

static void on_drain(struct worker *worker, struct connection *connection) {
    connection_write_last(worker, connection, SPAN("bye\n"), CLOSE_DRAINING);
}

static void on_stayed(struct worker *worker, struct connection *connection) {
    (void)worker;
    *toy_of(connection)->stayed = true;
}

#define TOY(its_name)                                                                              \
    {                                                                                              \
        .name = its_name, .on_open = on_open, .on_bytes = on_bytes, .input_max = input_max,        \
        .on_flood = on_over, .on_end = on_over, .on_deadline = on_over, .on_drain = on_drain,      \
        .on_leave = on_gone, .on_stayed = on_stayed, .on_close = on_gone                           \
    }
const struct protocol toy_protocol = TOY("toy"), toy_pairs_protocol = TOY("pairs");
