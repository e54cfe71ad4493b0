#include "ingest/gate/client_send.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "ingest/gate/envelope.h"
#include "ingest/gate/gate.h"
#include "proto/text/ref.h"

#include <stdio.h>

/* What a client that sends has: from its first send until its slot is freed. */
struct sender {
    struct gate_source source;
    struct gate_rate rate;
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

/* A client has one word for all that cannot be done at the moment; that the node drains it hears in
 * a goodbye, too. */
static enum code code_for_client(enum code code) {
    bool later = code == CODE_DRAINING || code == CODE_STORAGE_UNAVAILABLE;
    return later ? CODE_UNAVAILABLE : code;
}

static void on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                      uint32_t index, const struct gate_result *result) {
    (void)index;
    struct worker *worker = worker_of(endpoint);
    struct connection *connection = source->connection;
    struct send_record *record = request;
    struct span ref = span_of(record->ref, record->ref_len);
    if (result->code == CODE_NONE) {
        client_sent(worker, connection, ref, result->id, result_text(result->state));
    } else {
        client_refused(worker, connection, code_for_client(result->code), result->message, ref);
    }
    pool_put(sends_of(worker), record);
    client_send_ended(worker, connection);
}

static struct sender *sender_of(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    if (client->producer != NULL)
        return client->producer;
    struct sender *sender = memory_get(&worker->account, sizeof(*sender));
    if (SHORTAGE(sender == NULL))
        return NULL;
    atomic_init(&sender->rate.used_until_ns, 0);
    gate_source_init(&sender->source, connection, on_result, NULL);
    client->producer = sender;
    return sender;
}

/* Whose ids these are: the client id's, or only this session's. A store keeps that over restarts,
 * so no session of a later run may have the same. */
static struct span scope_of(const struct worker *worker, struct connection *connection,
                            char text[DEDUP_SCOPE_BYTES_MAX + 1]) {
    const struct name *id = client_of(connection)->session.id;
    if (id != NULL) {
        text[0] = 'c';
        memcpy(text + 1, id->text, id->len);
        return span_of(text, 1 + (size_t)id->len);
    }
    int len = snprintf(text, DEDUP_SCOPE_BYTES_MAX + 1, "s%s-%x-%x-%x", worker->server->run,
                       worker->index, connection->slot, connection->generation);
    return span_of(text, (size_t)len);
}

/* Counted when it is said: a line that ends the session may be read once more before. */
static void send_bad(struct worker *worker, struct connection *connection,
                     const struct complaint *complaint, struct span ref) {
    if (client_bad(worker, connection, complaint->code, complaint->text, ref))
        stats_refuse(&worker->stats, code_word(complaint->code));
}

/* Reads the envelope; false: it was answered, or is read once more. */
static bool envelope_read(struct worker *worker, struct connection *connection,
                          const struct client_send *send, struct envelope *envelope) {
    struct envelope_scratch *room = gate_of(&worker->endpoint)->contexts[worker->index].room;
    size_t max_bytes = worker->config->max_message_bytes;
    struct complaint complaint;
    if (!envelope_parse(envelope, room, send->counted ? ENVELOPE_COUNTED : ENVELOPE_LINE,
                        send->fields, max_bytes, &complaint)) {
        send_bad(worker, connection, &complaint, send->counted ? send->ref : envelope->ref);
        return false;
    }
    if (send->counted &&
        !envelope_set_data(envelope, PAYLOAD_JSON, send->payload, max_bytes, &complaint)) {
        if (complaint.code != CODE_BAD_JSON) {
            send_bad(worker, connection, &complaint, send->ref);
            return false;
        }
        /* Where it ends is known, so a payload that is no JSON costs nothing else. */
        stats_refuse(&worker->stats, code_word(complaint.code));
        client_refused(worker, connection, complaint.code, complaint.text, send->ref);
        return false;
    }
    return true;
}

static void client_send_take(struct worker *worker, struct connection *connection,
                             const struct client_send *send) {
    struct envelope envelope;
    if (!envelope_read(worker, connection, send, &envelope))
        return;
    struct span ref = send->counted ? send->ref : envelope.ref;
    CHECK(ref.len <= REF_JSON_BYTES_MAX);
    struct sender *sender = sender_of(worker, connection);
    if (sender != NULL) { /* a client id counts through all of its sessions */
        const struct name *id = client_of(connection)->session.id;
        sender->source.rate = id == NULL ? &sender->rate : NULL;
        sender->source.producer =
            id == NULL ? producer_of_address(&connection->peer) : producer_of_client(id->node.hash);
    }
    struct send_record *record = sender != NULL ? pool_get(sends_of(worker)) : NULL;
    if (SHORTAGE(record == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        stats_refuse(&worker->stats, code_word(CODE_OVERLOADED));
        client_refused(worker, connection, CODE_OVERLOADED, "no memory; nothing was taken", ref);
        return;
    }
    if (SHORTAGE(!gate_admit(worker, &sender->source))) {
        pool_put(sends_of(worker), record);
        stats_refuse(&worker->stats, code_word(CODE_OVERLOADED));
        client_refused(worker, connection, CODE_OVERLOADED, GATE_BEHIND_TEXT, ref);
        return;
    }
    record->ref_len = (uint32_t)ref.len;
    if (ref.len != 0)
        memcpy(record->ref, ref.at, ref.len);
    char scope[DEDUP_SCOPE_BYTES_MAX + 1];
    struct gate_request request = {
        .source = &sender->source,
        .envelope = &envelope,
        .scope = scope_of(worker, connection, scope),
        .request = record,
    };
    client_send_begun(connection);
    gate_publish(&worker->endpoint, &request);
}

static void client_send_release(struct worker *worker, struct connection *connection) {
    struct client *client = client_of(connection);
    connection->intake = NULL;
    memory_put(&worker->account, client->producer, sizeof(struct sender));
    client->producer = NULL;
}

const struct client_gate client_send_gate = {
    .send = client_send_take,
    .release = client_send_release,
};
