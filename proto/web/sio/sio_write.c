/* sio_write.c - packets to the client; see sio.h. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/namespaces.h"
#include "core/worker.h"
#include "proto/web/sio/sio.h"
#include "proto/web/sio/sio_text.h"

/* A complaint, each of its bytes escaped, in an object, twice. */
#define JSON_BYTES_MAX 4096
#define PACKET_BYTES_MAX (JSON_BYTES_MAX + 256)

static bool is_binary(enum sio_type type) {
    return type == SIO_BINARY_EVENT || type == SIO_BINARY_ACK;
}

static bool packet_write(struct worker *worker, struct engine *engine, enum sio_type type,
                         struct span namespace, const uint64_t *id, struct span json) {
    char room[PACKET_BYTES_MAX];
    struct builder out = builder_over(room, sizeof room);
    sio_head_write(&out, type, 0, namespace, id);
    if (sio_version(engine) == SIO_PROTOCOL_4)
        sio_ascii_write(&out, json);
    else
        builder_span_add(&out, json);
    CHECK(!out.full, "a packet is longer than PACKET_BYTES_MAX");
    return engine_write(worker, engine, builder_span(&out));
}

bool sio_write(struct worker *worker, struct engine *engine, enum sio_type type, unsigned namespace,
               const uint64_t *id, struct span json) {
    return packet_write(worker, engine, type, namespace_name(namespace), id, json);
}

/* --- refusals --------------------------------------------------------------------------------- */

bool sio_write_unknown(struct worker *worker, struct engine *engine, struct span namespace) {
    stats_add(&worker->stats.client_errors, 1);
    return packet_write(worker, engine, SIO_CONNECT_ERROR, namespace, NULL,
                        sio_version(engine) == SIO_PROTOCOL_5
                            ? SPAN("{\"message\":\"Invalid namespace\"}")
                            : SPAN("\"Invalid namespace\""));
}

static void code_write(struct builder *out, enum code code) {
    builder_byte(out, '"');
    builder_text(out, code_word(code));
    builder_byte(out, '"');
}

bool sio_write_refusal(struct worker *worker, struct engine *engine, struct span namespace,
                       enum code code, const char *text) {
    char room[JSON_BYTES_MAX];
    struct builder json = builder_over(room, sizeof room);
    stats_add(&worker->stats.client_errors, 1);
    if (sio_version(engine) == SIO_PROTOCOL_5) {
        builder_text(&json, "{\"message\":");
        code_write(&json, code);
        builder_text(&json, ",\"data\":{\"code\":");
        code_write(&json, code);
        builder_text(&json, ",\"message\":");
        builder_json(&json, span_text(text));
        builder_text(&json, "}}");
    } else {
        code_write(&json, code);
    }
    CHECK(!json.full);
    return packet_write(worker, engine, SIO_CONNECT_ERROR, namespace, NULL, builder_span(&json));
}

/* --- callbacks -------------------------------------------------------------------------------- */

bool sio_write_ok(struct worker *worker, struct engine *engine, const struct sio_session *one,
                  const uint64_t *id) {
    return id == NULL ||
           sio_write(worker, engine, SIO_ACK, one->session.namespace, id, SPAN("[{\"ok\":true}]"));
}

bool sio_write_sent(struct worker *worker, struct engine *engine, const struct sio_session *one,
                    const uint64_t *id, struct span message_id, const char *state) {
    char room[JSON_BYTES_MAX];
    struct builder json = builder_over(room, sizeof room);
    builder_text(&json, "[{\"ok\":true,\"id\":");
    builder_json(&json, message_id);
    builder_text(&json, ",\"state\":\"");
    builder_text(&json, state);
    builder_text(&json, "\"}]");
    CHECK(!json.full);
    return sio_write(worker, engine, SIO_ACK, one->session.namespace, id, builder_span(&json));
}

bool sio_write_error(struct worker *worker, struct engine *engine, const struct sio_session *one,
                     const uint64_t *id, enum code code, const char *text) {
    char room[JSON_BYTES_MAX];
    struct builder json = builder_over(room, sizeof room);
    stats_add(&worker->stats.client_errors, 1);
    if (id == NULL)
        return true;
    builder_text(&json, "[{\"ok\":false,\"code\":");
    code_write(&json, code);
    builder_text(&json, ",\"message\":");
    builder_json(&json, span_text(text));
    builder_text(&json, "}]");
    CHECK(!json.full);
    return sio_write(worker, engine, SIO_ACK, one->session.namespace, id, builder_span(&json));
}

/* --- echoes ----------------------------------------------------------------------------------- */

bool sio_write_echo(struct worker *worker, struct engine *engine, const struct sio_session *one,
                    enum sio_type type, const uint64_t *id, struct span begin, struct span rest,
                    const struct span *attachments, unsigned count) {
    struct span namespace = namespace_name(one->session.namespace);
    size_t bytes = sio_head_bound(namespace.len) + begin.len + rest.len + 1;
    char *room = memory_get(&worker->account, bytes);
    if (SHORTAGE(room == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        engine_close(worker, engine, CLOSE_OVERLOADED);
        return false;
    }
    struct builder out = builder_over(room, bytes);
    sio_head_write(&out, type, is_binary(type) ? count : 0, namespace, id);
    builder_span_add(&out, begin);
    builder_span_add(&out, rest);
    builder_byte(&out, ']');
    CHECK(!out.full);
    bool alive = engine_write(worker, engine, builder_span(&out));
    memory_put(&worker->account, room, bytes);
    for (unsigned i = 0; alive && is_binary(type) && i < count; i++)
        alive = engine_write_binary(worker, engine, attachments[i]);
    return alive;
}
