/* sio_app.c - what Engine.IO calls: messages become packets, with their attachments; see sio.h. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/client/registration.h"
#include "proto/web/sio/sio.h"
#include "proto/web/sio/sio_args.h"
#include "proto/web/sio/sio_text.h"

/* Whose message is being served on this thread; NULL: it has ended meanwhile. */
static _Thread_local struct engine *served;
/* What was wrong with the packet that ends an engine, for the log; NULL: nothing. */
static _Thread_local const char *ends_for;

/* Closes the engine; false. */
static bool bad(struct worker *worker, struct engine *engine, enum close_reason reason,
                const char *wrong) {
    stats_add(&worker->stats.sio_bad, 1);
    ends_for = wrong;
    engine_close(worker, engine, reason);
    ends_for = NULL;
    return false;
}

bool sio_misplaced(struct worker *worker, struct engine *engine, const char *wrong) {
    if (sio_version(engine) == SIO_PROTOCOL_5)
        return bad(worker, engine, CLOSE_BAD_MESSAGE, wrong);
    stats_add(&worker->stats.sio_bad, 1);
    return true;
}

/* --- attachments that are awaited ------------------------------------------------------------- */

static void parts_free(struct worker *worker, struct sio *sio) {
    if (sio->parts != NULL)
        memory_put(&worker->account, sio->parts, sio->parts->block_bytes);
    sio->parts = NULL;
}

static uint32_t parts_bytes(const struct sio_parts *parts) {
    return parts->have == 0 ? parts->text_bytes : parts->ends[parts->have - 1];
}

/* Puts more bytes behind what is there; closes the engine if it cannot. */
static bool parts_add(struct worker *worker, struct engine *engine, uint32_t before,
                      struct span bytes) {
    struct sio *sio = sio_of(engine);
    size_t block_bytes = sizeof(struct sio_parts) + before + bytes.len;
    if (before + bytes.len > SIO_PARTS_BYTES_MAX)
        return bad(worker, engine, CLOSE_TOO_LARGE,
                   "a packet with its attachments is over 1000000 bytes");
    size_t had_bytes = sio->parts == NULL ? 0 : sio->parts->block_bytes;
    struct sio_parts *parts = memory_grow(&worker->account, sio->parts, had_bytes, block_bytes);
    if (SHORTAGE(parts == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        engine_close(worker, engine, CLOSE_OVERLOADED);
        return false;
    }
    sio->parts = parts;
    parts->block_bytes = (uint32_t)block_bytes;
    if (bytes.len != 0)
        memcpy(parts->bytes + before, bytes.at, bytes.len);
    return true;
}

static bool parts_begin(struct worker *worker, struct engine *engine, struct span text,
                        const struct sio_packet *packet) {
    struct sio *sio = sio_of(engine);
    if (!parts_add(worker, engine, 0, text))
        return false;
    sio->parts->text_bytes = (uint32_t)text.len;
    sio->parts->wanted = (uint8_t)packet->attachments;
    sio->parts->have = 0;
    return true;
}

/* --- packets ---------------------------------------------------------------------------------- */

/* One that is whole. False: the engine has gone. */
static bool packet_serve(struct worker *worker, struct engine *engine,
                         const struct sio_packet *packet, const struct span *attachments) {
    struct sio *sio = sio_of(engine);
    unsigned namespace;
    struct sio_session *one = NULL;
    stats_add(&worker->stats.sio_packets, 1);
    if (packet->type == SIO_CONNECT)
        return sio_connect(worker, engine, packet);
    if (namespace_find(packet->namespace, &namespace))
        one = sio_session_find(sio, namespace);
    if (packet->type == SIO_CONNECT_ERROR)
        return sio_misplaced(worker, engine, "a CONNECT_ERROR from a client");
    if (one == NULL)
        return sio_misplaced(worker, engine, "a packet for a namespace that is not connected");
    switch (packet->type) {
    case SIO_DISCONNECT:
        sio_session_leave(worker, engine, one, false);
        return true;
    case SIO_EVENT:
    case SIO_BINARY_EVENT:
        return sio_event(worker, engine, one, packet, attachments);
    default: /* SIO_ACK, SIO_BINARY_ACK */
        sio_ack(worker, engine, one, packet);
        return true;
    }
}

/* A packet that is longer has nothing in it that could be of use: at most it is a `send`, with its
 * data, or the longest of the others. Reading it all would only take time from everybody. */
static bool is_long(const struct config *config, struct span text) {
    size_t bytes_max = SIO_NAMES_BYTES_MAX + (config->client_send ? config->max_message_bytes : 0);
    return text.len > bytes_max && !config->conformance;
}

static const char *packet_read(const struct worker *worker, const struct engine *engine,
                               struct span text, struct sio_packet *packet) {
    return is_long(worker->config, text) ? sio_packet_read_long(sio_version(engine), text, packet)
                                         : sio_packet_read(sio_version(engine), text, packet);
}

static bool text_serve(struct worker *worker, struct engine *engine, struct span text) {
    struct sio_packet packet;
    const char *wrong = sio_of(engine)->parts != NULL ? "a text where an attachment is due"
                                                      : packet_read(worker, engine, text, &packet);
    if (wrong != NULL)
        return bad(worker, engine, CLOSE_BAD_FRAME, wrong);
    if (packet.attachments != 0)
        return parts_begin(worker, engine, text, &packet);
    return packet_serve(worker, engine, &packet, NULL);
}

/* What a client of protocol 4 has polled as text: it may be one of those that encode that twice. */
static bool polled_serve(struct worker *worker, struct engine *engine, struct span text) {
    struct sio *sio = sio_of(engine);
    enum sio_twice twice = sio->once ? SIO_TWICE_NO : sio_twice_look(text);
    sio->once |= twice == SIO_TWICE_NO;
    if (twice != SIO_TWICE_MAYBE)
        return text_serve(worker, engine, text);
    char *room = memory_get(&worker->account, text.len);
    if (SHORTAGE(room == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        engine_close(worker, engine, CLOSE_OVERLOADED);
        return false;
    }
    struct builder plain = builder_over(room, text.len);
    sio_twice_decode(&plain, text);
    bool alive = text_serve(worker, engine, builder_span(&plain));
    memory_put(&worker->account, room, text.len);
    return alive;
}

static bool attachment_serve(struct worker *worker, struct engine *engine, struct span bytes) {
    struct sio *sio = sio_of(engine);
    if (sio->parts == NULL)
        return bad(worker, engine, CLOSE_BAD_FRAME, "bytes where no attachment is due");
    uint32_t before = parts_bytes(sio->parts);
    if (!parts_add(worker, engine, before, bytes))
        return false;
    struct sio_parts *parts = sio->parts;
    parts->ends[parts->have++] = before + (uint32_t)bytes.len;
    if (parts->have < parts->wanted)
        return true;
    /* It is taken out first: what it says may end the engine. */
    struct span attachments[SIO_ATTACHMENTS_MAX];
    struct sio_packet packet;
    sio->parts = NULL;
    uint32_t begin = parts->text_bytes;
    for (unsigned i = 0; i < parts->have; i++) {
        attachments[i] = span_of(parts->bytes + begin, parts->ends[i] - begin);
        begin = parts->ends[i];
    }
    const char *wrong =
        sio_packet_read(sio_version(engine), span_of(parts->bytes, parts->text_bytes), &packet);
    CHECK(wrong == NULL, "a packet changed while its attachments came");
    bool alive = packet_serve(worker, engine, &packet, attachments);
    memory_put(&worker->account, parts, parts->block_bytes);
    return alive;
}

/* --- what Engine.IO calls --------------------------------------------------------------------- */

static bool on_open(struct worker *worker, struct engine *engine) {
    if (!sio_query_matters(engine_query(engine)))
        engine_query_drop(worker, engine);
    sio_deadline(worker, engine);
    if (sio_version(engine) == SIO_PROTOCOL_4)
        sio_connect_main(worker, engine);
    return true;
}

static bool on_message(struct worker *worker, struct engine *engine, struct span bytes,
                       bool binary) {
    served = engine;
    bool alive = binary                       ? attachment_serve(worker, engine, bytes)
                 : engine_polled_text(engine) ? polled_serve(worker, engine, bytes)
                                              : text_serve(worker, engine, bytes);
    alive &= served != NULL;
    served = NULL;
    if (!alive)
        return true;
    struct sio *sio = sio_of(engine);
    sio->stopped = sio_is_busy(sio);
    return !sio->stopped;
}

/* `one` NULL: it was in no namespace. */
static void end_log(const struct engine *engine, const struct sio_session *one,
                    enum close_reason reason) {
    const struct name *id = one == NULL ? NULL : one->session.id;
    struct span namespace = one == NULL ? SPAN("") : namespace_name(one->session.namespace);
    char address[PEER_ADDRESS_TEXT_MAX];
    net_peer_text(engine_peer(engine), address);
    log_event(LOG_INFO, "session_closed", LOG_STR("reason", close_reason_word(reason)),
              LOG_SPAN("id", id != NULL ? span_of(id->text, id->len) : SPAN("")),
              LOG_SPAN("namespace", namespace), LOG_STR("address", address),
              LOG_U64("outbox_bytes", one == NULL ? 0 : one->session.backlog.bytes),
              LOG_STR("wrong", ends_for == NULL ? "" : ends_for));
}

static void on_close(struct worker *worker, struct engine *engine, enum close_reason reason) {
    struct sio *sio = sio_of(engine);
    struct sio_session *one;
    if (sio->first == NULL && ends_for != NULL)
        end_log(engine, NULL, reason);
    while ((one = sio->first) != NULL) {
        if (!registration_end_is_ordinary(reason))
            end_log(engine, one, reason);
        sio_session_end(worker, engine, one);
    }
    parts_free(worker, sio);
    sio_held_free(worker, sio);
    if (served == engine)
        served = NULL;
}

static bool is_waited(const struct worker *worker, const struct engine *engine) {
    const struct sio *sio = engine_state((struct engine *)(uintptr_t)engine);
    for (const struct sio_session *one = sio->first; one != NULL; one = one->next) {
        const struct name *id = one->session.id;
        if (id != NULL && fates_waited(&worker->server->fates, id->node.hash))
            return true;
    }
    return false;
}

static void on_deadline(struct worker *worker, struct engine *engine) {
    const struct sio *sio = sio_of(engine);
    if (sio->first == NULL)
        engine_close(worker, engine, sio->sent_away ? CLOSE_CLOSED_BY_API : CLOSE_HELLO_TIMEOUT);
}

const struct engine_app sio_app = {
    .state_bytes = sizeof(struct sio),
    .on_open = on_open,
    .on_message = on_message,
    .on_close = on_close,
    .is_waited = is_waited,
    .on_deadline = on_deadline,
};
