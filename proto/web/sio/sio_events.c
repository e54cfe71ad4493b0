/* sio_events.c - what a client emits: register, join, leave, send; and its callbacks; see sio.h. */
#include "core/attend.h"
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/directory.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/client/registration.h"
#include "proto/web/sio/sio.h"
#include "proto/web/sio/sio_args.h"

#include <stdio.h>

/* What the packet that is being read says: one at a time on each thread. */
static _Thread_local struct sio_room event_room;

/* An event that is being served. */
struct event {
    struct worker *worker;
    struct engine *engine;
    struct sio_session *one;
    const struct sio_packet *packet;
    const struct span *attachments;
    const uint64_t *id;         /* of the client's callback; NULL: it wants none */
    struct json_value argument; /* the first; kind JSON_NONE: there is none */
};

static bool tell_ok(const struct event *event) {
    return sio_write_ok(event->worker, event->engine, event->one, event->id);
}

static bool tell_error(const struct event *event, enum code code, const char *text) {
    return sio_write_error(event->worker, event->engine, event->one, event->id, code, text);
}

/* --- register, join, leave -------------------------------------------------------------------- */

static bool on_register(const struct event *event) {
    struct sio_names names;
    struct complaint complaint;
    struct session *session = &event->one->session;
    const char *why;
    bool renamed;
    sio_names_init(&names, &event_room);
    if (!sio_names_register(&names, &event->argument, &complaint))
        return tell_error(event, complaint.code, complaint.text);
    enum code code =
        registration_change(event->worker, session, names.id, &names.groups, &renamed, &why);
    if (code != CODE_NONE)
        return tell_error(event, code, why);
    if (names.meta_given)
        event->one->meta = names.meta;
    if (!tell_ok(event))
        return false;
    if (!renamed || registration_attend(event->worker, session, &why) == CODE_NONE)
        return true;
    engine_close(event->worker, event->engine, CLOSE_OVERLOADED);
    return false;
}

static bool on_join(const struct event *event) {
    struct sio_names names;
    struct complaint complaint;
    const char *why;
    sio_names_init(&names, &event_room);
    if (!sio_names_groups(&names, &event->argument, &complaint))
        return tell_error(event, complaint.code, complaint.text);
    enum code code = registration_join(event->worker, &event->one->session, &names.groups, &why);
    return code == CODE_NONE ? tell_ok(event) : tell_error(event, code, why);
}

static bool on_leave(const struct event *event) {
    struct sio_names names;
    struct complaint complaint;
    sio_names_init(&names, &event_room);
    if (!sio_names_groups(&names, &event->argument, &complaint))
        return tell_error(event, complaint.code, complaint.text);
    directory_leave(event->worker, &event->one->session, names.groups.at, names.groups.count);
    return tell_ok(event);
}

/* --- send ------------------------------------------------------------------------------------- */

/* The bytes that `data` stands for, if it is an attachment. False: one stands elsewhere. */
static bool bytes_find(const struct event *event, struct client_send *send) {
    struct json_value data;
    unsigned number;
    if (event->packet->attachments == 0 || !sio_has_placeholder(event->argument.raw))
        return true;
    if (!json_find(event->argument.raw, "data", &data) || !sio_is_placeholder(&data, &number))
        return false;
    /* Was that one all? */
    struct span before =
        span_of(event->argument.raw.at, (size_t)(data.raw.at - event->argument.raw.at));
    const char *behind = data.raw.at + data.raw.len;
    const char *end = event->argument.raw.at + event->argument.raw.len;
    if (memmem(before.at, before.len, "\"_placeholder\"", 14) != NULL ||
        memmem(behind, (size_t)(end - behind), "\"_placeholder\"", 14) != NULL)
        return false;
    send->form = CLIENT_SEND_BYTES;
    send->payload = event->attachments[number];
    return true;
}

static bool send_refused(const struct event *event, enum code code, const char *text) {
    stats_refuse(&event->worker->stats, code_word(code));
    return tell_error(event, code, text);
}

static bool on_send(const struct event *event) {
    const struct client_gate *gate = event->worker->server->parts.client_gate;
    char ref[24];
    if (gate == NULL || !event->worker->config->client_send)
        return send_refused(event, CODE_FORBIDDEN,
                            "clients may not send here (--client-send is off)");
    if (event->argument.kind != JSON_OBJECT)
        return send_refused(event, CODE_BAD_MESSAGE, "send wants an object");
    struct client_send send = {.fields = event->argument.raw, .form = CLIENT_SEND_OBJECT};
    if (event->id != NULL)
        send.ref =
            span_of(ref, (size_t)snprintf(ref, sizeof ref, "%llu", (unsigned long long)*event->id));
    if (!bytes_find(event, &send))
        return send_refused(event, CODE_BAD_MESSAGE,
                            "bytes stand only where the whole of data does");
    gate->sender_send(event->worker, &event->one->sender, &send);
    return true;
}

/* --- for the public test suites --------------------------------------------------------------- */

/* What stands behind the event's name, its comma included, without the end of the array. */
static struct span arguments_of(const struct sio_packet *packet) {
    const char *at = packet->event.raw.at + packet->event.raw.len;
    const char *end = packet->json.raw.at + packet->json.raw.len - 1;
    return span_of(at, (size_t)(end - at));
}

static bool echo(const struct event *event, bool binary, enum sio_type type, const uint64_t *id,
                 struct span begin, struct span rest) {
    if (binary)
        type = type == SIO_EVENT ? SIO_BINARY_EVENT : SIO_BINARY_ACK;
    return sio_write_echo(event->worker, event->engine, event->one, type, id, begin, rest,
                          event->attachments, event->packet->attachments);
}

/* False: it was none for them. */
static bool conformance_serve(const struct event *event, struct span name, bool *alive) {
    struct span rest = arguments_of(event->packet);
    bool binary = event->packet->type == SIO_BINARY_EVENT;
    if (span_equal(name, SPAN("message"))) {
        *alive = echo(event, binary, SIO_EVENT, NULL, SPAN("[\"message-back\""), rest);
        return true;
    }
    if (!span_equal(name, SPAN("message-with-ack")) || event->id == NULL)
        return false;
    const char *comma = memchr(rest.at, ',', rest.len);
    rest = comma == NULL ? SPAN("") : span_skip(rest, (size_t)(comma - rest.at) + 1);
    *alive = echo(event, binary, SIO_ACK, event->id, SPAN("["), rest);
    return true;
}

/* --- the doors -------------------------------------------------------------------------------- */

static const struct event_kind {
    struct span name;
    bool (*serve)(const struct event *event);
} kinds[] = {
    {SPAN_INIT("register"), on_register},
    {SPAN_INIT("join"), on_join},
    {SPAN_INIT("leave"), on_leave},
    {SPAN_INIT("send"), on_send},
};

/* NULL: it is none of the node's. */
static const struct event_kind *kind_of(struct span name) {
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (span_equal(name, kinds[i].name))
            return &kinds[i];
    return NULL;
}

static struct span event_name(const struct sio_packet *packet) {
    return packet->event.kind == JSON_STRING ? json_inside(&packet->event) : packet->event.raw;
}

/* One of which only the name was read. */
static bool event_long(const struct event *event) {
    if (kind_of(event_name(event->packet)) != NULL)
        return tell_error(event, CODE_TOO_LARGE,
                          "the event is longer than any of that name has to be");
    stats_add(&event->worker->stats.sio_ignored, 1);
    return true;
}

bool sio_event(struct worker *worker, struct engine *engine, struct sio_session *one,
               const struct sio_packet *packet, const struct span *attachments) {
    struct event event = {worker,
                          engine,
                          one,
                          packet,
                          attachments,
                          packet->has_id ? &packet->id : NULL,
                          {.kind = JSON_NONE}};
    if (packet->is_long)
        return event_long(&event);
    struct span name = event_name(packet);
    const struct event_kind *kind = kind_of(name);
    struct json_cursor cursor;
    struct json_value first;
    json_open(&cursor, packet->json.raw);
    if (!json_array_next(&cursor, &first) || !json_array_next(&cursor, &event.argument))
        event.argument.kind = JSON_NONE;
    if (kind != NULL)
        return kind->serve(&event);
    bool alive = true;
    if (worker->config->conformance && conformance_serve(&event, name, &alive))
        return alive;
    stats_add(&worker->stats.sio_ignored, 1);
    return true;
}

void sio_held_free(struct worker *worker, struct sio *sio) {
    if (sio->held == NULL)
        return;
    list_remove(&sio->held->task.link);
    memory_put(&worker->account, sio->held, sizeof *sio->held);
    sio->held = NULL;
}

static void held_tell(struct worker *worker, struct task *task) {
    struct sio_held *held = container_of(task, struct sio_held, task);
    struct sio *sio = held->sio;
    if (attend_acknowledge_hash(worker, held->id_hash, held->message_hash)) {
        sio_held_free(worker, sio);
        sio_resume(worker, sio);
    } else {
        worker_put_off(worker, task);
    }
}

/* There was no room for it. Without memory either it is forgotten, and the message comes again. */
static void ack_hold(struct worker *worker, struct sio *sio, const struct sio_ack *ack) {
    CHECK(sio->held == NULL, "a message was taken while an acknowledgement is held");
    struct sio_held *held = memory_get(&worker->account, sizeof *held);
    if (SHORTAGE(held == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        stats_add(&worker->stats.sio_acks_forgotten, 1);
        return;
    }
    *held = (struct sio_held){.task = {.work = held_tell},
                              .sio = sio,
                              .id_hash = ack->id_hash,
                              .message_hash = ack->message_hash};
    list_init(&held->task.link);
    worker_put_off(worker, &held->task);
    sio->held = held;
}

void sio_ack(struct worker *worker, struct engine *engine, struct sio_session *one,
             const struct sio_packet *packet) {
    const struct sio_ack *ack = packet->has_id ? sio_acks_take(&one->acks, packet->id) : NULL;
    if (ack == NULL)
        stats_add(&worker->stats.acks_ignored, 1);
    else if (!attend_acknowledge_hash(worker, ack->id_hash, ack->message_hash))
        ack_hold(worker, sio_of(engine), ack);
}
