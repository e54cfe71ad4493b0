/* sio_connect.c - how a client comes into a namespace, and how it leaves; see sio.h. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/client/registration.h"
#include "proto/text/base64.h"
#include "proto/web/sio/sio.h"
#include "proto/web/sio/sio_args.h"

/* What the packet that is being read says: one at a time on each thread. */
static _Thread_local struct sio_room connect_room;

/* As the reference makes them: 15 bytes in base64, without what has a meaning in a URL. */
static void sid_make(char sid[SIO_SID_BYTES]) {
    unsigned char bytes[15];
    rand_fill(bytes, sizeof bytes);
    struct builder out = builder_over(sid, SIO_SID_BYTES);
    base64_encode(&out, span_of(bytes, sizeof bytes));
    CHECK(!out.full && out.len == SIO_SID_BYTES);
    for (unsigned i = 0; i < SIO_SID_BYTES; i++)
        sid[i] = sid[i] == '/' ? '_' : sid[i] == '+' ? '-' : sid[i];
}

static struct sio_session *session_make(struct worker *worker, struct sio *sio,
                                        unsigned namespace) {
    struct sio_session *one = memory_get(&worker->account, sizeof *one);
    if (SHORTAGE(one == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    *one = (struct sio_session){
        .session = {.index = UINT32_MAX, .namespace = namespace & 15u},
        .sender = {.type = &sio_sender_type},
        .sio = sio,
    };
    one->sender.session = &one->session;
    one->next = sio->first;
    sio->first = one;
    sid_make(one->sid);
    return one;
}

void sio_session_free(struct worker *worker, struct sio_session *one) {
    CHECK(one->sio == NULL && one->sender.sends == 0);
    if (one->sender.producer != NULL)
        worker->server->parts.client_gate->sender_release(worker, &one->sender);
    memory_put(&worker->account, one, sizeof *one);
}

void sio_session_end(struct worker *worker, struct engine *engine, struct sio_session *one) {
    session_close(worker, &one->session, engine_outbox_last(engine));
    sio_acks_free(worker, &one->acks);
    struct sio_session **at = &one->sio->first;
    while (*at != one)
        at = &(*at)->next;
    *at = one->next;
    one->sio = NULL;
    one->live = false;
    if (one->sender.sends == 0)
        sio_session_free(worker, one);
}

void sio_session_leave(struct worker *worker, struct engine *engine, struct sio_session *one,
                       bool kept) {
    struct outbox *outbox = engine_outbox_last(engine);
    uint32_t bytes = outbox->bytes - outbox->reply_bytes;
    if (!kept || outbox->parked || bytes > worker->config->outbox_bytes)
        outbox_drop(worker, outbox, &one->session, DROP_GONE);
    sio_session_end(worker, engine, one);
    sio_deadline(worker, engine);
}

void sio_sent_away(struct engine *engine, bool sent_away) {
    sio_of(engine)->sent_away = sent_away;
    engine_parting(engine, sent_away ? CLOSE_CLOSED_BY_API : CLOSE_CLIENT);
}

void sio_deadline(struct worker *worker, struct engine *engine) {
    bool none = sio_of(engine)->first == NULL;
    engine_deadline(worker, engine, none ? worker->now_ns + worker->config->connect_timeout_ns : 0);
}

/* --- coming ----------------------------------------------------------------------------------- */

static enum connect_refusal refusal_of(enum code code) {
    switch (code) {
    case CODE_TOO_MANY_GROUPS:
        return CONNECT_REFUSED_TOO_MANY_GROUPS;
    case CODE_OVERLOADED:
        return CONNECT_REFUSED_OVERLOADED;
    default:
        return CONNECT_REFUSED_BAD_MESSAGE;
    }
}

static void refusal_tell(struct worker *worker, const struct engine *engine,
                         enum connect_refusal refusal, struct span namespace, const char *wrong) {
    char address[PEER_ADDRESS_TEXT_MAX];
    net_peer_text(engine_peer(engine), address);
    stats_add(&worker->stats.connects_refused[refusal], 1);
    log_event(LOG_WARN, "socketio_connect_refused",
              LOG_STR("reason", connect_refusal_word(refusal)), LOG_SPAN("namespace", namespace),
              LOG_STR("address", address), LOG_STR("wrong", wrong));
}

static bool refuse(struct worker *worker, struct engine *engine, unsigned namespace, enum code code,
                   const char *wrong) {
    struct span name = namespace_name(namespace);
    refusal_tell(worker, engine, refusal_of(code), name, wrong);
    return sio_write_refusal(worker, engine, name, code, wrong);
}

/* The answer to CONNECT. */
static bool welcome_write(struct worker *worker, struct engine *engine,
                          const struct sio_session *one) {
    char text[64];
    struct builder json = builder_over(text, sizeof text);
    if (sio_version(engine) == SIO_PROTOCOL_5) {
        builder_text(&json, "{\"sid\":\"");
        builder_bytes(&json, one->sid, sizeof one->sid);
        builder_text(&json, "\"}");
    }
    return sio_write(worker, engine, SIO_CONNECT, one->session.namespace, NULL,
                     builder_span(&json));
}

_Static_assert(NAME_OWN_BYTES == SIO_SID_BYTES, "messages to rooms find sids");
_Static_assert(NAME_OWN_BYTES == ENGINE_SID_BYTES, "they find those of old clients");

/* Servers of Socket.IO that are joined to this node know it by its sid, as a room. */
static enum code own_take(struct worker *worker, struct session *session, const char **why) {
    struct session_look look = {.transport = NULL};
    if (worker->config->socketio_redis_key == NULL)
        return CODE_NONE;
    session->type->look(worker, session, &look);
    if (!SHORTAGE(directory_take_own(worker, session, span_text(look.text)) != DIRECTORY_DONE))
        return CODE_NONE;
    *why = "no memory for one more session";
    return CODE_OVERLOADED;
}

/* It comes into the namespace under these names. */
static bool enter(struct worker *worker, struct engine *engine, unsigned namespace,
                  const struct sio_names *names, struct span auth) {
    struct sio *sio = sio_of(engine);
    const char *why = "no memory for one more session";
    enum code code = CODE_OVERLOADED;
    struct sio_session *one = session_make(worker, sio, namespace);
    if (one != NULL)
        code = registration_enter(worker, &one->session, &sio_session_type, names->id,
                                  &names->groups, &why);
    if (code == CODE_NONE)
        code = own_take(worker, &one->session, &why);
    if (code != CODE_NONE) {
        if (one != NULL)
            sio_session_end(worker, engine, one);
        return refuse(worker, engine, namespace, code, why);
    }
    sio_sent_away(engine, false);
    one->live = true;
    one->meta = names->meta;
    if (!welcome_write(worker, engine, one))
        return false;
    if (worker->config->conformance &&
        !sio_write_echo(worker, engine, one, SIO_EVENT, NULL, SPAN("[\"auth\","), auth, NULL, 0))
        return false;
    sio_deadline(worker, engine);
    code = registration_attend(worker, &one->session, &why);
    if (code == CODE_NONE)
        return true;
    engine_close(worker, engine, CLOSE_OVERLOADED);
    return false;
}

/* False: something is wrong with them; the client is told `complaint`. */
static bool names_read(struct engine *engine, const struct sio_packet *packet,
                       struct sio_names *names, struct complaint *complaint) {
    sio_names_init(names, &connect_room);
    if (!sio_names_query(names, engine_query(engine), complaint))
        return false;
    if (packet == NULL)
        return true;
    if (sio_version(engine) == SIO_PROTOCOL_4)
        return sio_names_query(names, packet->query, complaint);
    return packet->json.kind != JSON_OBJECT || sio_names_auth(names, packet->json.raw, complaint);
}

static bool connect_to(struct worker *worker, struct engine *engine, unsigned namespace,
                       const struct sio_packet *packet) {
    struct sio_names names;
    struct complaint complaint;
    if (!names_read(engine, packet, &names, &complaint))
        return refuse(worker, engine, namespace, complaint.code, complaint.text);
    bool has_auth = packet != NULL && packet->json.kind == JSON_OBJECT;
    return enter(worker, engine, namespace, &names, has_auth ? packet->json.raw : SPAN("{}"));
}

bool sio_connect_main(struct worker *worker, struct engine *engine) {
    return connect_to(worker, engine, NAMESPACE_MAIN, NULL);
}

bool sio_connect(struct worker *worker, struct engine *engine, const struct sio_packet *packet) {
    unsigned namespace;
    if (!namespace_find(packet->namespace, &namespace)) {
        refusal_tell(worker, engine, CONNECT_REFUSED_INVALID_NAMESPACE, packet->namespace,
                     "it is not in --namespaces");
        return sio_write_unknown(worker, engine, packet->namespace);
    }
    if (sio_session_find(sio_of(engine), namespace) == NULL)
        return connect_to(worker, engine, namespace, packet);
    return sio_misplaced(worker, engine, "a second CONNECT for a namespace");
}
