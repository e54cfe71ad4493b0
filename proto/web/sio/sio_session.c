/* sio_session.c - what the engine of messages, and the gate, ask of a namespace's session; see
 * sio.h. */
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/namespaces.h"
#include "core/worker.h"
#include "proto/web/sio/sio.h"
#include "proto/web/sio/sio_encodings.h"

static struct sio_session *one_of(const struct session *session) {
    return container_of((struct session *)(uintptr_t)session, struct sio_session, session);
}

struct sio_session *sio_session_find(struct sio *sio, unsigned namespace) {
    struct sio_session *one = sio->first;
    while (one != NULL && one->session.namespace != namespace)
        one = one->next;
    return one;
}

/* --- numbers of acknowledgements -------------------------------------------------------------- */

static uint32_t acks_cap_max(const struct worker *worker) {
    uint64_t cap = SIO_ACKS_MIN;
    /* Twice what is handed over at a time, since each may be handed over again. */
    while (cap < SIO_ACKS_MAX && cap < 2 * (uint64_t)worker->config->ack_window)
        cap *= 2;
    return (uint32_t)cap;
}

/* Room for the next number without forgetting one that is wanted; without memory that one is
 * forgotten. */
static void acks_make_room(struct worker *worker, struct sio_acks *acks) {
    bool full = acks->cap == 0 || acks->at[acks->next & (acks->cap - 1)].wanted;
    if (!full || acks->cap >= acks_cap_max(worker))
        return;
    uint32_t cap = acks->cap == 0 ? SIO_ACKS_MIN : 2 * acks->cap;
    struct sio_ack *more = memory_get(&worker->account, cap * sizeof(*more));
    if (SHORTAGE(more == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return;
    }
    memset(more, 0, cap * sizeof(*more));
    for (uint32_t i = 1; i <= acks->cap; i++) {
        uint32_t number = acks->next - i;
        more[number & (cap - 1)] = acks->at[number & (acks->cap - 1)];
    }
    uint32_t next = acks->next;
    sio_acks_free(worker, acks);
    *acks = (struct sio_acks){more, cap, next};
}

void sio_acks_free(struct worker *worker, struct sio_acks *acks) {
    if (acks->at != NULL)
        memory_put(&worker->account, acks->at, acks->cap * sizeof(*acks->at));
    *acks = (struct sio_acks){NULL, 0, acks->next};
}

struct sio_ack *sio_acks_take(struct sio_acks *acks, uint64_t id) {
    uint32_t number;
    /* `next` wraps, and so does what is behind it. */
    if (!sio_mark_number(id, &number) || acks->next - number - 1 >= acks->cap)
        return NULL;
    struct sio_ack *ack = &acks->at[number & (acks->cap - 1)];
    if (!ack->wanted)
        return NULL;
    ack->wanted = false;
    return ack;
}

static struct list *its_waiting(struct session *session) {
    return &one_of(session)->waiting;
}

static void its_mark(struct worker *worker, struct session *session, const struct message *message,
                     char *mark) {
    struct sio_acks *acks = &one_of(session)->acks;
    acks_make_room(worker, acks);
    if (acks->cap != 0 && session->id != NULL) {
        struct sio_ack *ack = &acks->at[acks->next & (acks->cap - 1)];
        stats_add(&worker->stats.sio_acks_forgotten, ack->wanted);
        *ack = (struct sio_ack){session->id->node.hash, hash64(message_id(message)), true};
    }
    sio_mark_write(mark, acks->next++);
}

/* --- session_type ----------------------------------------------------------------------------- */

static const struct encoding *its_encoding(const struct session *session) {
    const struct sio_session *one = one_of(session);
    return &sio_encodings[engine_form(sio_engine(one->sio))][one->meta ? SIO_META : SIO_PLAIN];
}

static struct outbox *its_outbox(struct session *session) {
    const struct sio_session *one = one_of(session);
    return one->live ? engine_outbox(sio_engine(one->sio)) : NULL;
}

static void on_parked(struct worker *worker, struct session *session) {
    engine_on_parked(worker, sio_engine(one_of(session)->sio));
}

static void its_look(const struct worker *worker, const struct session *session,
                     struct session_look *look) {
    const struct sio_session *one = one_of(session);
    const struct engine *engine = sio_engine(one->sio);
    struct builder out = builder_over(look->text, sizeof look->text - 1);
    if (sio_version(engine) == SIO_PROTOCOL_5) {
        builder_bytes(&out, one->sid, sizeof one->sid);
    } else {
        char sid[ENGINE_SID_BYTES];
        if (session->namespace != NAMESPACE_MAIN) {
            builder_span_add(&out, namespace_name(session->namespace));
            builder_byte(&out, '#');
        }
        builder_span_add(&out, engine_sid(worker, engine, sid));
    }
    CHECK(!out.full);
    look->text[out.len] = '\0';
    look->peer = *engine_peer(engine);
    bool socket = engine_form(engine) == EIO4_SOCKET || engine_form(engine) == EIO3_SOCKET;
    look->transport = socket ? "socketio-websocket" : "socketio-polling";
}

/* The API ends one namespace, and the client hears that it should not come back by itself; a full
 * backlog ends the transport, which carries nothing more. */
static void its_close(struct worker *worker, struct session *session, enum close_reason reason) {
    struct sio_session *one = one_of(session);
    struct engine *engine = sio_engine(one->sio);
    if (reason != CLOSE_CLOSED_BY_API) {
        engine_close(worker, engine, reason);
        return;
    }
    if (!sio_write(worker, engine, SIO_DISCONNECT, session->namespace, NULL, SPAN("")))
        return;
    sio_session_leave(worker, engine, one, true);
    if (sio_of(engine)->first == NULL)
        sio_sent_away(engine, true);
}

static void its_hold(struct worker *worker, struct session *session, bool holds) {
    engine_session_hold(worker, sio_engine(one_of(session)->sio), holds);
}

const struct session_type sio_session_type = {
    .transport = "socketio",
    .encoding = its_encoding,
    .outbox = its_outbox,
    .on_parked = on_parked,
    .mark = its_mark,
    .waiting = its_waiting,
    .look = its_look,
    .hold = its_hold,
    .close = its_close,
};

/* --- sends ------------------------------------------------------------------------------------ */

static struct sio_session *one_of_sender(struct client_sender *sender) {
    return container_of(sender, struct sio_session, sender);
}

/* The number that the client gave to its callback; false: it gave none. */
static bool callback_of(struct span ref, uint64_t *id) {
    return ref.len != 0 && json_u64(ref, id);
}

static void on_send_taken(struct worker *worker, struct client_sender *sender, struct span ref,
                          struct span id, const char *state) {
    const struct sio_session *one = one_of_sender(sender);
    uint64_t callback;
    if (one->sio != NULL && callback_of(ref, &callback))
        sio_write_sent(worker, sio_engine(one->sio), one, &callback, id, state);
}

static void on_send_refused(struct worker *worker, struct client_sender *sender, enum code code,
                            const char *text, struct span ref) {
    const struct sio_session *one = one_of_sender(sender);
    uint64_t callback;
    bool asked = callback_of(ref, &callback);
    if (one->sio != NULL)
        sio_write_error(worker, sio_engine(one->sio), one, asked ? &callback : NULL, code, text);
}

static void on_send_ended(struct worker *worker, struct client_sender *sender) {
    struct sio_session *one = one_of_sender(sender);
    if (one->sio != NULL)
        sio_resume(worker, one->sio);
    else if (sender->sends == 0)
        sio_session_free(worker, one);
}

const struct client_sender_type sio_sender_type = {
    .sent = on_send_taken,
    .refused = on_send_refused,
    .ended = on_send_ended,
};

static bool sends_reach(const struct sio *sio, uint32_t count) {
    for (const struct sio_session *one = sio->first; one != NULL; one = one->next)
        if (one->sender.sends >= count)
            return true;
    return false;
}

bool sio_is_busy(const struct sio *sio) {
    return sio->held != NULL || sends_reach(sio, CLIENT_SENDS_MAX);
}

void sio_resume(struct worker *worker, struct sio *sio) {
    if (!sio->stopped || sio->held != NULL || sends_reach(sio, CLIENT_SENDS_MAX / 2 + 1))
        return;
    sio->stopped = false;
    engine_resume(worker, sio_engine(sio));
}
