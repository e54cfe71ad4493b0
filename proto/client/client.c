#include "proto/client/client.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/client/counted.h"
#include "proto/client/encodings.h"
#include "proto/client/registration.h"
#include "proto/text/ref.h"

#include <stdio.h>

static const struct client_gate *gate_of_clients(const struct worker *worker) {
    return worker->server->parts.client_gate;
}

struct connection *client_connection(struct client *client) {
    return container_of((unsigned char *)client, struct connection, protocol_state);
}

static struct client *client_of_session(struct session *session) {
    return container_of(session, struct client, session);
}

/* --- writing --------------------------------------------------------------------------------- */

static bool is_counted(const struct connection *connection) {
    const struct client *client = (const struct client *)(const void *)connection->protocol_state;
    return client->framing == CLIENT_FRAMING_COUNTED;
}

/* What is in `out`, whole: JSON lines get their end here. */
static struct span answer_span(const struct connection *connection, struct builder *out) {
    if (!is_counted(connection))
        builder_byte(out, '\n');
    CHECK(!out->full, "an answer is longer than LINE_ANSWER_BYTES_MAX");
    return builder_span(out);
}

static void answer_write(struct worker *worker, struct connection *connection,
                         struct builder *out) {
    connection_write(worker, connection, answer_span(connection, out));
}

#define ANSWER_BUILDER(name)                                                                       \
    char name##_bytes[LINE_ANSWER_BYTES_MAX + 1];                                                  \
    struct builder name = builder_over(name##_bytes, sizeof(name##_bytes))

static void ping_write(struct worker *worker, struct connection *connection) {
    connection_write(worker, connection,
                     is_counted(connection) ? COUNTED_PING : SPAN("{\"type\":\"ping\"}\n"));
}

static void pong_write(struct worker *worker, struct connection *connection) {
    connection_write(worker, connection,
                     is_counted(connection) ? COUNTED_PONG : SPAN("{\"type\":\"pong\"}\n"));
}

static void ok_write(struct worker *worker, struct connection *connection, struct span ref) {
    if (ref.len == 0)
        return;
    ANSWER_BUILDER(out);
    if (is_counted(connection))
        counted_ok(&out, ref);
    else
        line_ok(&out, ref);
    answer_write(worker, connection, &out);
}

/* Unless `ends` is CLOSE_NONE, the connection ends with it, for that reason. */
static void error_write(struct worker *worker, struct connection *connection, enum code code,
                        const char *text, struct span ref, enum close_reason ends) {
    ANSWER_BUILDER(out);
    stats_add(&worker->stats.client_errors, 1);
    if (is_counted(connection))
        counted_error(&out, code, text, ref);
    else
        line_error(&out, code, text, ref);
    if (ends == CLOSE_NONE)
        answer_write(worker, connection, &out);
    else
        connection_write_last(worker, connection, answer_span(connection, &out), ends);
}

static void goodbye_write(struct worker *worker, struct connection *connection) {
    ANSWER_BUILDER(out);
    const char *reason = close_reason_word(CLOSE_DRAINING);
    if (is_counted(connection))
        counted_goodbye(&out, reason, registration_reconnect_ms(worker));
    else
        line_goodbye(&out, reason, registration_reconnect_ms(worker));
    answer_write(worker, connection, &out);
}

/* The session as its client knows it from the welcome. */
static size_t session_text(const struct worker *worker, const struct connection *connection,
                           char text[SESSION_TEXT_MAX]) {
    return (size_t)snprintf(text, SESSION_TEXT_MAX, "%x-%x-%x", worker->index, connection->slot,
                            connection->generation);
}

static void welcome_write(struct worker *worker, struct connection *connection) {
    char session[SESSION_TEXT_MAX];
    size_t len = session_text(worker, connection, session);
    struct welcome welcome = registration_welcome(worker, span_of(session, len));
    welcome.resumed = client_of(connection)->resumes;
    ANSWER_BUILDER(out);
    if (is_counted(connection))
        counted_welcome(&out, &welcome);
    else
        line_welcome(&out, &welcome);
    answer_write(worker, connection, &out);
}

/* --- errors ---------------------------------------------------------------------------------- */

static enum close_reason close_reason_of(enum code code) {
    switch (code) {
    case CODE_BAD_JSON:
        return CLOSE_BAD_JSON;
    case CODE_BAD_FRAME:
        return CLOSE_BAD_FRAME;
    case CODE_HELLO_REQUIRED:
        return CLOSE_HELLO_REQUIRED;
    case CODE_HELLO_TIMEOUT:
        return CLOSE_HELLO_TIMEOUT;
    case CODE_HEARTBEAT_TIMEOUT:
        return CLOSE_HEARTBEAT_TIMEOUT;
    case CODE_UNAUTHORIZED:
        return CLOSE_UNAUTHORIZED;
    case CODE_TOO_LARGE:
        return CLOSE_TOO_LARGE;
    case CODE_TOO_SLOW:
        return CLOSE_TOO_SLOW;
    case CODE_TOO_MANY_GROUPS:
        return CLOSE_TOO_MANY_GROUPS;
    case CODE_OVERLOADED:
        return CLOSE_OVERLOADED;
    default:
        return CLOSE_BAD_MESSAGE;
    }
}

void client_refused(struct worker *worker, struct connection *connection, enum code code,
                    const char *text, struct span ref) {
    if (!connection_is_open(connection))
        return;
    error_write(worker, connection, code, text, ref, CLOSE_NONE);
}

void client_fail(struct worker *worker, struct connection *connection, enum code code,
                 const char *text, struct span ref) {
    if (!connection_is_open(connection))
        return;
    const struct client *client = client_of(connection);
    bool welcomed = client->stage == CLIENT_LIVE || client->stage == CLIENT_LEAVING;
    bool ends = !welcomed || code_closes(code);
    error_write(worker, connection, code, text, ref, ends ? close_reason_of(code) : CLOSE_NONE);
}

bool client_bad(struct worker *worker, struct connection *connection, enum code code,
                const char *text, struct span ref) {
    struct client *client = client_of(connection);
    if (client->sends != 0 && code_closes(code) && connection_is_open(connection)) {
        client->held = client->again = true;
        connection_pause(worker, connection);
        return false;
    }
    client_fail(worker, connection, code, text, ref);
    return true;
}

bool client_on_complaint(struct worker *worker, struct connection *connection,
                         const struct complaint *complaint, struct span ref) {
    if (!client_bad(worker, connection, complaint->code, complaint->text, ref))
        return false;
    stats_add(&worker->stats.client_lines, 1);
    return true;
}

/* --- the session ----------------------------------------------------------------------------- */

static const struct encoding *session_encoding(const struct session *session) {
    const struct client *client = (const struct client *)(const void *)session;
    return client->framing == CLIENT_FRAMING_COUNTED ? &encoding_counted : &encoding_line;
}

static struct outbox *session_outbox(struct session *session) {
    struct client *client = client_of_session(session);
    struct connection *connection = client_connection(client);
    bool welcomed = client->stage == CLIENT_LIVE || client->stage == CLIENT_LEAVING;
    return welcomed && connection_is_open(connection) ? &connection->outbox : NULL;
}

static void session_look(const struct worker *worker, const struct session *session,
                         struct session_look *look) {
    const struct client *client = (const struct client *)(const void *)session;
    const struct connection *connection = client_connection((struct client *)(uintptr_t)client);
    session_text(worker, connection, look->text);
    look->peer = connection->peer;
}

/* Lets the input go on if nothing holds it back any more. */
static void input_release(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    if (!client->held || client->sends > (client->again ? 0 : CLIENT_SENDS_MAX / 2))
        return;
    client->held = client->again = false;
    connection_resume(worker, connection);
}

/* The outbox is full: what waits in it is given up, so that the memory is free at once, and the
 * last word follows whatever the socket takes of what is with the kernel already. */
static void close_too_slow(struct worker *worker, struct connection *connection) {
    struct outbox *outbox = &connection->outbox;
    client_of(connection)->left_bytes = client_of(connection)->session.backlog.bytes;
    bool within_a_message = outbox->sent_bytes != 0 && !(connection->ops & OP_SEND);
    outbox_clear(worker, outbox, DROP_TOO_SLOW);
    if (within_a_message)
        connection_close(worker, connection, CLOSE_TOO_SLOW);
    else
        client_fail(worker, connection, CODE_TOO_SLOW, "messages came faster than they were taken",
                    SPAN(""));
}

static void session_on_close(struct worker *worker, struct session *session,
                             enum close_reason reason) {
    struct connection *connection = client_connection(client_of_session(session));
    if (!connection_is_open(connection))
        return;
    if (reason == CLOSE_TOO_SLOW)
        close_too_slow(worker, connection);
    else
        connection_finish(worker, connection, reason);
}

static const struct session_type session_type = {
    .transport = "tcp",
    .encoding = session_encoding,
    .outbox = session_outbox,
    .look = session_look,
    .close = session_on_close,
};

/* --- lines ----------------------------------------------------------------------------------- */

static void on_hello(struct worker *worker, struct connection *connection,
                     const struct client_line *line) {
    struct client *client = client_of(connection);
    struct session *session = &client->session;
    if (client->stage != CLIENT_GREETING) {
        client_fail(worker, connection, CODE_BAD_MESSAGE, "a session says hello once", line->ref);
        return;
    }
    client->resumes = line->resumes;
    const char *why;
    enum code code =
        registration_enter(worker, session, &session_type, line->id, &line->names, &why);
    if (code != CODE_NONE) {
        client_fail(worker, connection, code, why, line->ref);
        return;
    }
    client->stage = CLIENT_LIVE;
    welcome_write(worker, connection);
    connection_deadline(worker, connection, worker->now_ns + worker->config->heartbeat_ns);
    code = registration_attend(worker, session, &why);
    if (code != CODE_NONE && connection_is_open(connection))
        error_write(worker, connection, code, why, line->ref, close_reason_of(code));
}

static void on_join(struct worker *worker, struct connection *connection,
                    const struct client_line *line) {
    const char *why;
    enum code code = registration_join(worker, &client_of(connection)->session, &line->names, &why);
    if (code == CODE_NONE)
        ok_write(worker, connection, line->ref);
    else
        client_fail(worker, connection, code, why, line->ref);
}

static void on_leave(struct worker *worker, struct connection *connection,
                     const struct client_line *line) {
    struct session *session = &client_of(connection)->session;
    directory_leave(worker, session, line->names.at, line->names.count);
    ok_write(worker, connection, line->ref);
}

static void on_send(struct worker *worker, struct connection *connection,
                    const struct client_line *line, struct span payload) {
    bool counted = is_counted(connection);
    if (gate_of_clients(worker) == NULL || !worker->config->client_send) {
        stats_refuse(&worker->stats, code_word(CODE_FORBIDDEN));
        client_refused(worker, connection, CODE_FORBIDDEN,
                       "clients may not send here (--client-send is off)",
                       counted ? line->ref : ref_find(line->fields));
        return;
    }
    struct client_send send = {
        .fields = line->fields,
        .payload = payload,
        .ref = line->ref,
        .form = counted ? CLIENT_SEND_COUNTED : CLIENT_SEND_LINE};
    gate_of_clients(worker)->send(worker, connection, &send);
}

void client_on_line(struct worker *worker, struct connection *connection,
                    const struct client_line *line, struct span payload) {
    if (line->type != CLIENT_LINE_HELLO && client_of(connection)->stage == CLIENT_GREETING) {
        client_fail(worker, connection, CODE_HELLO_REQUIRED, "a hello must come first", line->ref);
        stats_add(&worker->stats.client_lines, 1);
        return;
    }
    switch (line->type) {
    case CLIENT_LINE_HELLO:
        on_hello(worker, connection, line);
        break;
    case CLIENT_LINE_JOIN:
        on_join(worker, connection, line);
        break;
    case CLIENT_LINE_LEAVE:
        on_leave(worker, connection, line);
        break;
    case CLIENT_LINE_SEND:
        on_send(worker, connection, line, payload);
        break;
    case CLIENT_LINE_PING:
        pong_write(worker, connection);
        break;
    case CLIENT_LINE_ACK:
        if (!attend_acknowledge(worker, &client_of(connection)->session, line->names.at,
                                line->names.count)) {
            client_of(connection)->again = true;
            connection_yield(worker, connection);
        }
        break;
    case CLIENT_LINE_PONG:
    case CLIENT_LINE_NONE:
        break;
    }
    if (!client_of(connection)->again)
        stats_add(&worker->stats.client_lines, 1);
}

/* --- sends ----------------------------------------------------------------------------------- */

bool client_ready(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    if (SHORTAGE(client->sends >= CLIENT_SENDS_MAX)) {
        client->held = true;
        connection_pause(worker, connection);
        return false;
    }
    return true;
}

void client_send_begun(struct connection *connection) {
    client_of(connection)->sends++;
}

static void ended_look(struct worker *worker, struct connection *connection) {
    const struct client *client = client_of(connection);
    if (client->sends != 0)
        return;
    if (client->cut)
        client_fail(worker, connection, CODE_OVERLOADED, "there is no memory for the line",
                    SPAN(""));
    connection_finish(worker, connection, client->cut ? CLOSE_OVERLOADED : CLOSE_CLIENT);
}

void client_cut(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    client->cut = client->ended = true;
    ended_look(worker, connection);
}

void client_send_ended(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    CHECK(client->sends > 0);
    client->sends--;
    if (!connection_is_open(connection))
        return;
    if (client->ended && client->sends == 0)
        ended_look(worker, connection);
    else
        input_release(worker, connection);
}

void client_sent(struct worker *worker, struct connection *connection, struct span ref,
                 struct span id, const char *state) {
    if (ref.len == 0 || !connection_is_open(connection))
        return;
    ANSWER_BUILDER(out);
    if (is_counted(connection))
        counted_sent(&out, ref, id, state);
    else
        line_sent(&out, ref, id, state);
    answer_write(worker, connection, &out);
}

/* --- what the engine calls ------------------------------------------------------------------- */

void client_open(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    client->session.index = UINT32_MAX;
    client->heard_ms = (uint32_t)(worker->now_ns / NS_PER_MS);
    connection_deadline(worker, connection, worker->now_ns + worker->config->hello_timeout_ns);
}

void client_heard(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    client->heard_ms = (uint32_t)(worker->now_ns / NS_PER_MS);
    if (client->pinged) {
        client->pinged = false;
        connection_deadline(worker, connection, worker->now_ns + worker->config->heartbeat_ns);
    }
}

static void heartbeat(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    /* Nothing can be heard while its input is held back, or once its end has come and only answers
     * are owed; that is not the client's silence. */
    if (client->held || client->ended)
        client_heard(worker, connection);
    if (client->pinged) {
        client_fail(worker, connection, CODE_HEARTBEAT_TIMEOUT, "nothing was heard for too long",
                    SPAN(""));
        return;
    }
    uint32_t silent_ms = (uint32_t)(worker->now_ns / NS_PER_MS) - client->heard_ms;
    uint64_t due_ns = worker->now_ns + worker->config->heartbeat_ns - silent_ms * NS_PER_MS;
    if (due_ns <= worker->now_ns) {
        client->pinged = true;
        ping_write(worker, connection);
        due_ns = worker->now_ns + worker->config->heartbeat_timeout_ns;
    }
    connection_deadline(worker, connection, due_ns);
}

void client_on_deadline(struct worker *worker, struct connection *connection) {
    switch ((enum client_stage)client_of(connection)->stage) {
    case CLIENT_GREETING:
        client_fail(worker, connection, CODE_HELLO_TIMEOUT, "no hello in time", SPAN(""));
        break;
    case CLIENT_LIVE:
        heartbeat(worker, connection);
        break;
    case CLIENT_LEAVING: /* the drain has a deadline of its own */
        break;
    }
}

void client_on_end(struct worker *worker, struct connection *connection) {
    client_of(connection)->ended = true;
    ended_look(worker, connection);
}

void client_on_sent(struct worker *worker, struct connection *connection) {
    const struct client *client = client_of(connection);
    if (client->stage == CLIENT_LEAVING && connection_is_open(connection))
        connection_finish(worker, connection, CLOSE_DRAINING);
}

bool client_is_waited(const struct worker *worker, const struct connection *connection) {
    const struct client *client = (const struct client *)(const void *)connection->protocol_state;
    return client->stage == CLIENT_LIVE && client->session.id != NULL &&
           fates_waited(&worker->server->fates, client->session.id->node.hash);
}

void client_on_drain(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    bool welcomed = client->stage == CLIENT_LIVE;
    if (client->framing != CLIENT_FRAMING_NONE)
        goodbye_write(worker, connection);
    if (!welcomed)
        connection_finish(worker, connection, CLOSE_DRAINING);
    client->stage = CLIENT_LEAVING;
}

static bool is_ordinary(enum close_reason reason) {
    return reason == CLOSE_CLIENT || reason == CLOSE_DRAINING || reason == CLOSE_CLOSED_BY_API ||
           reason == CLOSE_STOPPED;
}

void client_on_close(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    enum close_reason reason = (enum close_reason)connection->reason;
    if (!session_is_open(&client->session) &&
        (reason == CLOSE_CLIENT || reason == CLOSE_PEER_ERROR)) {
        /* It was never a session: a balancer looks every few seconds whether somebody is there. */
        stats_add(&worker->stats.probes, 1);
    } else if (!is_ordinary(reason)) {
        const struct name *id = session_is_open(&client->session) ? client->session.id : NULL;
        uint32_t left_bytes =
            client->left_bytes != 0 ? client->left_bytes : client->session.backlog.bytes;
        char address[PEER_ADDRESS_TEXT_MAX];
        net_peer_text(&connection->peer, address);
        log_event(LOG_INFO, "session_closed", LOG_STR("reason", close_reason_word(reason)),
                  LOG_SPAN("id", id != NULL ? span_of(id->text, id->len) : SPAN("")),
                  LOG_STR("address", address), LOG_U64("outbox_bytes", left_bytes));
    }
    session_close(worker, &client->session, &connection->outbox);
}

void client_on_free(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    CHECK(client->sends == 0, "a send is not answered");
    if (client->producer != NULL)
        gate_of_clients(worker)->release(worker, connection);
}
