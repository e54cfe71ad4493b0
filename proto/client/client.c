#include "proto/client/client.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/client/client_write.h"
#include "proto/client/encodings.h"
#include "proto/client/registration.h"
#include "proto/text/ref.h"

/* A line may take so long, and longer by its size; and once more, for it may be the node that was
 * stopped meanwhile. */
#define LINE_S 10
#define LINE_BYTES_PER_S 16384
#define LINE_S_MASK ((1u << CLIENT_LINE_S_BITS) - 1)

static const struct client_gate *gate_of_clients(const struct worker *worker) {
    return worker->server->parts.client_gate;
}

struct connection *client_connection(struct client *client) {
    return container_of((unsigned char *)client, struct connection, protocol_state);
}

static struct client *client_of_session(struct session *session) {
    return container_of(session, struct client, session);
}

static void welcome_write(struct worker *worker, struct connection *connection, bool resumes) {
    char session[SESSION_TEXT_MAX];
    size_t len = connection_text(worker, connection, session);
    struct welcome welcome = registration_welcome(worker, span_of(session, len));
    welcome.resumed = resumes;
    client_write_welcome(worker, connection, &welcome);
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
    client_write_error(worker, connection, code, text, ref, CLOSE_NONE, 0);
}

void client_fail(struct worker *worker, struct connection *connection, enum code code,
                 const char *text, struct span ref) {
    if (!connection_is_open(connection))
        return;
    const struct client *client = client_of(connection);
    bool welcomed = client->stage == CLIENT_LIVE || client->stage == CLIENT_LEAVING;
    bool ends = !welcomed || code_closes(code);
    enum close_reason reason = ends ? close_reason_of(code) : CLOSE_NONE;
    client_write_error(worker, connection, code, text, ref, reason, 0);
}

void client_refuse(struct worker *worker, struct connection *connection, enum code code,
                   const char *text, unsigned close_code) {
    if (connection_is_open(connection))
        client_write_error(worker, connection, code, text, SPAN(""), close_reason_of(code),
                           close_code);
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
    switch ((enum client_framing)client->framing) {
    case CLIENT_FRAMING_COUNTED:
        return &encoding_counted;
    case CLIENT_FRAMING_FRAME:
        return client->deflates ? &encoding_deflated : &encoding_frame;
    case CLIENT_FRAMING_LINE:
    case CLIENT_FRAMING_NONE:
        break;
    }
    return &encoding_line;
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
    connection_text(worker, connection, look->text);
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
        client_finish(worker, connection, reason);
}

#define SESSION_TYPE(word)                                                                         \
    {                                                                                              \
        .transport = (word), .encoding = session_encoding, .outbox = session_outbox,               \
        .look = session_look, .close = session_on_close                                            \
    }
static const struct session_type tcp_session = SESSION_TYPE("tcp");
static const struct session_type websocket_session = SESSION_TYPE("websocket");

/* --- lines ----------------------------------------------------------------------------------- */

static void on_hello(struct worker *worker, struct connection *connection,
                     const struct client_line *line) {
    struct client *client = client_of(connection);
    struct session *session = &client->session;
    if (client->stage != CLIENT_GREETING) {
        client_fail(worker, connection, CODE_BAD_MESSAGE, "a session says hello once", line->ref);
        return;
    }
    const char *why;
    const struct session_type *type =
        client->framing == CLIENT_FRAMING_FRAME ? &websocket_session : &tcp_session;
    enum code code = registration_enter(worker, session, type, line->id, &line->names, &why);
    if (code != CODE_NONE) {
        client_fail(worker, connection, code, why, line->ref);
        return;
    }
    client->stage = CLIENT_LIVE;
    welcome_write(worker, connection, line->resumes);
    connection_deadline(worker, connection, worker->now_ns + worker->config->heartbeat_ns);
    code = registration_attend(worker, session, &why);
    if (code != CODE_NONE && connection_is_open(connection))
        client_refuse(worker, connection, code, why, 0);
}

static void on_join(struct worker *worker, struct connection *connection,
                    const struct client_line *line) {
    const char *why;
    enum code code = registration_join(worker, &client_of(connection)->session, &line->names, &why);
    if (code == CODE_NONE)
        client_write_ok(worker, connection, line->ref);
    else
        client_fail(worker, connection, code, why, line->ref);
}

static void on_leave(struct worker *worker, struct connection *connection,
                     const struct client_line *line) {
    struct session *session = &client_of(connection)->session;
    directory_leave(worker, session, line->names.at, line->names.count);
    client_write_ok(worker, connection, line->ref);
}

static void on_send(struct worker *worker, struct connection *connection,
                    const struct client_line *line, struct span payload) {
    bool counted = client_of(connection)->framing == CLIENT_FRAMING_COUNTED;
    if (gate_of_clients(worker) == NULL || !worker->config->client_send) {
        stats_refuse(&worker->stats, code_word(CODE_FORBIDDEN));
        client_refused(worker, connection, CODE_FORBIDDEN,
                       "clients may not send here (--client-send is off)",
                       counted ? line->ref : ref_find(line->fields));
        return;
    }
    struct client_send send = {.fields = line->fields,
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
        client_write_pong(worker, connection);
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
    if (client->cut) {
        const struct client_failure *why = client->why;
        client_refuse(worker, connection, why->code, why->text, why->close_code);
    } else {
        client_finish(worker, connection, CLOSE_CLIENT);
    }
}

void client_cut(struct worker *worker, struct connection *connection,
                const struct client_failure *why) {
    struct client *client = client_of(connection);
    if (!client->cut)
        client->why = why;
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
    client_write_sent(worker, connection, ref, id, state);
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

void client_input_look(struct worker *worker, struct connection *connection, bool unfinished,
                       size_t bytes, bool anew) {
    struct client *client = client_of(connection);
    if (!unfinished) {
        client->line_s = 0;
        return;
    }
    uint32_t now_s = ((uint32_t)(worker->now_ns / NS_PER_S) | 1) & LINE_S_MASK; /* 0 is for: none */
    bool late = client->line_s != 0 && !anew &&
                ((now_s - client->line_s) & LINE_S_MASK) > LINE_S + bytes / LINE_BYTES_PER_S;
    if (client->line_s == 0 || anew || (late && !client->line_late)) {
        client->line_s = now_s & LINE_S_MASK;
        client->line_late = late;
    } else if (late) {
        client_fail(worker, connection, CODE_HEARTBEAT_TIMEOUT,
                    "a line was begun and not finished in time", SPAN(""));
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
        client_write_ping(worker, connection);
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
        client_finish(worker, connection, CLOSE_DRAINING);
}

bool client_is_waited(const struct worker *worker, const struct connection *connection) {
    const struct client *client = (const struct client *)(const void *)connection->protocol_state;
    const struct name *id = client->session.id;
    return client->stage == CLIENT_LIVE && id != NULL &&
           fates_waited(&worker->server->fates, id->node.hash);
}

void client_on_drain(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    bool welcomed = client->stage == CLIENT_LIVE;
    if (client->framing != CLIENT_FRAMING_NONE)
        client_write_goodbye(worker, connection);
    if (!welcomed)
        client_finish(worker, connection, CLOSE_DRAINING);
    client->stage = CLIENT_LEAVING;
}

void client_on_close(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    enum close_reason reason = (enum close_reason)connection->reason;
    if (!session_is_open(&client->session) &&
        (reason == CLOSE_CLIENT || reason == CLOSE_PEER_ERROR)) {
        /* It was never a session: a balancer looks every few seconds whether somebody is there. */
        stats_add(&worker->stats.probes, 1);
    } else {
        uint32_t left_bytes =
            reason == CLOSE_TOO_SLOW ? client->left_bytes : client->session.backlog.bytes;
        registration_end_log(&client->session, &connection->peer, reason, left_bytes);
    }
    session_close(worker, &client->session, &connection->outbox);
}

void client_on_free(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    CHECK(client->sends == 0, "a send is not answered");
    if (client->producer != NULL)
        gate_of_clients(worker)->release(worker, connection);
}
