#include "ingest/gate/client_send.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "ingest/gate/envelope.h"
#include "ingest/gate/gate.h"
#include "proto/text/ref.h"

/* What a client that sends has: from its first send until its slot is freed, or its session. */
struct sender {
    struct gate_source source;
    struct gate_rate rate;
    struct client_sender *outer; /* NULL: it is the client of source.connection */
};

/* Who sends: the client of a connection, or a session of another transport. */
struct origin {
    struct connection *connection;
    struct client_sender *outer;
};

/* A send without an answer. */
struct send_record {
    uint32_t ref_len;
    char ref[REF_JSON_BYTES_MAX];
};

size_t client_send_bytes(void) {
    return sizeof(struct send_record);
}

static struct pool *sends_of(const struct worker *worker) {
    return &gate_of(&worker->endpoint)->contexts[worker->index].sends;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* A client has one word for all that cannot be done at the moment; that the node drains it hears in
 * a goodbye, too. */
static enum code code_for_client(enum code code) {
    bool later = code == CODE_DRAINING || code == CODE_STORAGE_UNAVAILABLE ||
                 code == CODE_CLUSTER_UNAVAILABLE;
    return later ? CODE_UNAVAILABLE : code;
}

static void answer_refused(struct worker *worker, const struct origin *origin, enum code code,
                           const char *text, struct span ref) {
    if (origin->outer != NULL)
        origin->outer->type->refused(worker, origin->outer, code, text, ref);
    else
        client_refused(worker, origin->connection, code, text, ref);
}

static void on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                      uint32_t index, const struct gate_result *result) {
    (void)index;
    struct worker *worker = worker_of(endpoint);
    struct client_sender *outer = container_of(source, struct sender, source)->outer;
    const struct origin origin = {source->connection, outer};
    struct send_record *record = request;
    struct span ref = span_of(record->ref, record->ref_len);
    if (result->code != CODE_NONE)
        answer_refused(worker, &origin, code_for_client(result->code), result->message, ref);
    else if (outer != NULL)
        outer->type->sent(worker, outer, ref, result->id, result_text(result->state));
    else
        client_sent(worker, source->connection, ref, result->id, result_text(result->state));
    pool_put(sends_of(worker), record);
    if (outer == NULL) {
        client_send_ended(worker, source->connection);
        return;
    }
    CHECK(outer->sends > 0);
    outer->sends--;
    outer->type->ended(worker, outer);
}

/* Counted when it is said: a line that ends the session may be read once more before. */
static void send_bad(struct worker *worker, const struct origin *origin,
                     const struct complaint *complaint, struct span ref) {
    bool said = true;
    if (origin->outer != NULL)
        answer_refused(worker, origin, complaint->code, complaint->text, ref);
    else
        said = client_bad(worker, origin->connection, complaint->code, complaint->text, ref);
    if (said)
        stats_refuse(&worker->stats, code_word(complaint->code));
}

/* --- who sends -------------------------------------------------------------------------------- */

static const struct session *session_of(const struct origin *origin) {
    return origin->outer != NULL ? origin->outer->session : &client_of(origin->connection)->session;
}

static struct sender *sender_of(struct worker *worker, const struct origin *origin) {
    void **producer =
        origin->outer != NULL ? &origin->outer->producer : &client_of(origin->connection)->producer;
    if (*producer != NULL)
        return *producer;
    struct sender *sender = memory_get(&worker->account, sizeof(*sender));
    if (SHORTAGE(sender == NULL))
        return NULL;
    atomic_init(&sender->rate.used_until_ns, 0);
    gate_source_init(&sender->source, origin->connection, on_result, NULL);
    sender->outer = origin->outer;
    *producer = sender;
    return sender;
}

/* A client id counts through all of its sessions. */
static void sender_identify(const struct worker *worker, struct sender *sender,
                            const struct origin *origin) {
    const struct session *session = session_of(origin);
    sender->source.rate = session->id == NULL ? &sender->rate : NULL;
    if (session->id != NULL) {
        sender->source.producer = producer_of_client(session->id->node.hash);
        return;
    }
    struct session_look look = {.transport = NULL};
    session->type->look(worker, session, &look);
    sender->source.producer = producer_of_address(&look.peer);
}

/* Whose ids these are: the client id's in its namespace, or only this session's. A store keeps that
 * over restarts, so no session of a later run may have the same. */
static struct span scope_of(const struct worker *worker, const struct origin *origin,
                            char text[DEDUP_SCOPE_BYTES_MAX + 1]) {
    const struct session *session = session_of(origin);
    const struct name *id = session->id;
    if (id != NULL) {
        unsigned namespace = session->namespace;
        text[0] = namespace == NAMESPACE_MAIN ? 'c' : (char)('A' + namespace);
        memcpy(text + 1, id->text, id->len);
        return span_of(text, 1 + (size_t)id->len);
    }
    struct session_look look = {.transport = NULL};
    session->type->look(worker, session, &look);
    struct builder out = builder_over(text, DEDUP_SCOPE_BYTES_MAX);
    builder_byte(&out, 's');
    builder_text(&out, worker->server->run);
    builder_byte(&out, '-');
    builder_text(&out, look.text);
    CHECK(!out.full, "the text of a session is too long for a scope");
    return builder_span(&out);
}

/* --- sending ---------------------------------------------------------------------------------- */

static const enum envelope_form envelope_forms[] = {
    [CLIENT_SEND_LINE] = ENVELOPE_LINE,
    [CLIENT_SEND_COUNTED] = ENVELOPE_COUNTED,
    [CLIENT_SEND_OBJECT] = ENVELOPE_MESSAGE,
    [CLIENT_SEND_BYTES] = ENVELOPE_MESSAGE,
};

/* Reads the envelope; false: it was answered, or is read once more. */
static bool envelope_read(struct worker *worker, const struct origin *origin,
                          const struct client_send *send, struct envelope *envelope) {
    struct envelope_scratch *room = gate_of(&worker->endpoint)->contexts[worker->index].room;
    size_t max_bytes = worker->config->max_message_bytes;
    struct complaint complaint;
    if (!envelope_parse(envelope, room, envelope_forms[send->form], send->fields, max_bytes,
                        &complaint)) {
        send_bad(worker, origin, &complaint,
                 send->form == CLIENT_SEND_LINE ? envelope->ref : send->ref);
        return false;
    }
    bool counted = send->form == CLIENT_SEND_COUNTED;
    if ((counted || send->form == CLIENT_SEND_BYTES) &&
        !envelope_set_data(envelope, counted ? PAYLOAD_JSON : PAYLOAD_BYTES, send->payload,
                           max_bytes, &complaint)) {
        if (complaint.code != CODE_BAD_JSON) {
            send_bad(worker, origin, &complaint, send->ref);
            return false;
        }
        /* Where it ends is known, so a payload that is no JSON costs nothing else. */
        stats_refuse(&worker->stats, code_word(complaint.code));
        answer_refused(worker, origin, complaint.code, complaint.text, send->ref);
        return false;
    }
    return true;
}

static void send_take(struct worker *worker, const struct origin *origin,
                      const struct client_send *send) {
    struct envelope envelope;
    if (!envelope_read(worker, origin, send, &envelope))
        return;
    struct span ref = send->form == CLIENT_SEND_LINE ? envelope.ref : send->ref;
    CHECK(ref.len <= REF_JSON_BYTES_MAX);
    struct sender *sender = sender_of(worker, origin);
    if (sender != NULL)
        sender_identify(worker, sender, origin);
    struct send_record *record = sender != NULL ? pool_get(sends_of(worker)) : NULL;
    if (SHORTAGE(record == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        stats_refuse(&worker->stats, code_word(CODE_OVERLOADED));
        answer_refused(worker, origin, CODE_OVERLOADED, "no memory; nothing was taken", ref);
        return;
    }
    if (SHORTAGE(!gate_admit(worker, &sender->source))) {
        pool_put(sends_of(worker), record);
        stats_refuse(&worker->stats, code_word(CODE_OVERLOADED));
        answer_refused(worker, origin, CODE_OVERLOADED, GATE_BEHIND_TEXT, ref);
        return;
    }
    record->ref_len = (uint32_t)ref.len;
    if (ref.len != 0)
        memcpy(record->ref, ref.at, ref.len);
    char scope[DEDUP_SCOPE_BYTES_MAX + 1];
    struct gate_request request = {
        .source = &sender->source,
        .envelope = &envelope,
        .scope = scope_of(worker, origin, scope),
        .request = record,
    };
    if (origin->outer != NULL)
        origin->outer->sends++;
    else
        client_send_begun(origin->connection);
    gate_publish(&worker->endpoint, &request);
}

static void client_send_take(struct worker *worker, struct connection *connection,
                             const struct client_send *send) {
    send_take(worker, &(struct origin){.connection = connection}, send);
}

static void client_send_release(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    connection->intake = NULL;
    memory_put(&worker->account, client->producer, sizeof(struct sender));
    client->producer = NULL;
}

static void sender_send(struct worker *worker, struct client_sender *outer,
                        const struct client_send *send) {
    send_take(worker, &(struct origin){.outer = outer}, send);
}

static void sender_release(struct worker *worker, struct client_sender *outer) {
    CHECK(outer->sends == 0, "a send is not answered");
    memory_put(&worker->account, outer->producer, sizeof(struct sender));
    outer->producer = NULL;
}

const struct client_gate client_send_gate = {
    .send = client_send_take,
    .release = client_send_release,
    .sender_send = sender_send,
    .sender_release = sender_release,
};
