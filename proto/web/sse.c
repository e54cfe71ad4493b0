#include "proto/web/sse.h"

#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/session_ack.h"
#include "core/worker.h"
#include "proto/client/registration.h"
#include "proto/http/body_type.h"
#include "proto/http/http_context.h"
#include "proto/http/http_stream.h"
#include "proto/web/register_query.h"
#include "proto/web/sse_ack.h"
#include "proto/web/sse_write.h"

/* Header lines that the caller brings, and those of a stream. */
#define EXTRA_BYTES_MAX 4096

enum stage {
    STAGE_OPENING, /* its welcome was not written */
    STAGE_LIVE,
    STAGE_ENDED /* the question is still under way */
};

struct sse {
    struct session session;
    struct http_exchange *exchange; /* of the stream; NULL: it has ended */
    struct call *question;          /* about its Last-Event-ID; NULL: none is under way */
    struct trail trail;
    uint32_t left_bytes; /* of messages in the outbox, when it was closed as too slow */
    uint8_t stage;       /* enum stage */
    bool chunks;         /* its client knows them */
    bool leaves;         /* the node drains */
};

/* What is kept for each worker. */
struct context {
    struct pool sessions;
    struct http_stream stream; /* its heartbeat is that of the settings */
    /* Not zeroed at the start. */
    struct line_scratch room;
};

static struct context *contexts[WORKERS_MAX];
static struct pool context_pool;

static struct context *context_of(const struct worker *worker) {
    return contexts[worker->index];
}

static struct sse *sse_of(struct session *session) {
    return container_of(session, struct sse, session);
}

static struct connection *connection_of(const struct sse *sse) {
    return sse->exchange->http->connection;
}

static void refuse(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request, struct http_error error) {
    error.extra = request->extra;
    exchange_refuse(worker, exchange, &error);
}

/* --- the end ---------------------------------------------------------------------------------- */

static struct sse *sse_get(struct worker *worker) {
    struct sse *sse = NULL;
    if (!SHORTAGE(!account_take(&worker->account, sizeof(*sse)))) {
        sse = pool_get(&context_of(worker)->sessions);
        if (SHORTAGE(sse == NULL))
            account_give(&worker->account, sizeof(*sse));
    }
    if (SHORTAGE(sse == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    *sse = (struct sse){.stage = STAGE_OPENING};
    sse->session.index = UINT32_MAX;
    return sse;
}

static void sse_put(struct worker *worker, struct sse *sse) {
    pool_put(&context_of(worker)->sessions, sse);
    account_give(&worker->account, sizeof(*sse));
}

/* The session ends. It may be gone afterwards; its stream goes on. */
static void sse_leave(struct worker *worker, struct sse *sse) {
    session_close(worker, &sse->session, &connection_of(sse)->outbox);
    sse->exchange = NULL;
    sse->stage = STAGE_ENDED;
    if (sse->question == NULL)
        sse_put(worker, sse);
    else
        atomic_store_explicit(&sse->question->gone, true, memory_order_relaxed);
}

static void end_log(const struct sse *sse, enum close_reason reason) {
    registration_end_log(&sse->session, &connection_of(sse)->peer, reason,
                         sse->left_bytes + (uint64_t)sse->session.backlog.bytes);
}

/* The session, its stream and the connection end, when what waits has left. */
static void sse_end(struct worker *worker, struct sse *sse, enum close_reason reason) {
    struct http_exchange *exchange = sse->exchange;
    end_log(sse, reason);
    sse_leave(worker, sse);
    exchange_stream_end_as(worker, exchange, reason);
}

/* --- the session ------------------------------------------------------------------------------ */

static const struct encoding *session_encoding(const struct session *session) {
    return container_of(session, const struct sse, session)->chunks ? &encoding_sse
                                                                    : &encoding_sse_plain;
}

static struct outbox *session_outbox(struct session *session) {
    const struct sse *sse = sse_of(session);
    if (sse->stage != STAGE_LIVE || !connection_is_open(connection_of(sse)))
        return NULL;
    return &connection_of(sse)->outbox;
}

static struct trail *session_trail(struct session *session) {
    return &sse_of(session)->trail;
}

static void session_look(const struct worker *worker, const struct session *session,
                         struct session_look *look) {
    const struct connection *connection =
        connection_of(container_of(session, const struct sse, session));
    connection_text(worker, connection, look->text);
    look->peer = connection->peer;
}

static void session_on_close(struct worker *worker, struct session *session,
                             enum close_reason reason) {
    struct sse *sse = sse_of(session);
    struct connection *connection = connection_of(sse);
    if (!connection_is_open(connection))
        return;
    if (reason != CLOSE_TOO_SLOW) {
        sse_end(worker, sse, reason);
        return;
    }
    /* What waits is given up, so that the memory is free at once. A stream that breaks off tells
     * its client enough. */
    sse->left_bytes = session->backlog.bytes;
    outbox_clear(worker, &connection->outbox, DROP_TOO_SLOW);
    connection_close(worker, connection, CLOSE_TOO_SLOW);
}

static const struct session_type session_type = {
    .transport = "sse",
    .encoding = session_encoding,
    .outbox = session_outbox,
    .trail = session_trail,
    .is_patient = true,
    .look = session_look,
    .close = session_on_close,
};

/* --- the stream ------------------------------------------------------------------------------- */

static enum http_stream_verdict welcome_write(struct worker *worker, struct sse *sse) {
    char room[SSE_EVENT_BYTES_MAX], text[SESSION_TEXT_MAX];
    struct builder out = builder_over(room, sizeof room);
    size_t len = connection_text(worker, connection_of(sse), text);
    struct welcome welcome = registration_welcome(worker, span_of(text, len));
    sse_welcome(&out, &welcome);
    CHECK(!out.full, "a welcome is longer than SSE_EVENT_BYTES_MAX");
    return exchange_stream_write(worker, sse->exchange, builder_span(&out));
}

static enum http_stream_verdict goodbye_write(struct worker *worker, struct sse *sse) {
    char room[SSE_EVENT_BYTES_MAX];
    struct builder out = builder_over(room, sizeof room);
    sse_goodbye(&out, close_reason_word(CLOSE_DRAINING), registration_reconnect_ms(worker));
    return exchange_stream_write(worker, sse->exchange, builder_span(&out));
}

/* Writes what is due, as far as there is room; `room` goes on. It may be gone afterwards. */
static void sse_go(struct worker *worker, struct sse *sse) {
    const char *why;
    if (sse->question != NULL || !exchange_stream_is_open(sse->exchange))
        return;
    if (sse->stage == STAGE_OPENING) {
        if (welcome_write(worker, sse) != HTTP_STREAM_TAKEN)
            return;
        sse->stage = STAGE_LIVE;
        if (registration_attend(worker, &sse->session, &why) != CODE_NONE) {
            sse_end(worker, sse, CLOSE_OVERLOADED);
            return;
        }
    }
    if (sse->leaves && goodbye_write(worker, sse) == HTTP_STREAM_TAKEN)
        sse_end(worker, sse, CLOSE_DRAINING);
}

static void on_room(struct worker *worker, struct http_exchange *exchange) {
    sse_go(worker, exchange->task);
}

static void on_stop(struct worker *worker, struct http_exchange *exchange,
                    enum close_reason reason) {
    struct sse *sse = exchange->task;
    if (reason != CLOSE_DRAINING) {
        sse_end(worker, sse, reason);
        return;
    }
    sse->leaves = true;
    sse_go(worker, sse);
}

static void on_gone(struct worker *worker, struct http_exchange *exchange) {
    struct sse *sse = exchange->task;
    end_log(sse, (enum close_reason)connection_of(sse)->reason);
    sse_leave(worker, sse);
}

static void on_quiet(struct worker *worker, struct http_exchange *exchange) {
    (void)exchange_stream_write(worker, exchange, SSE_COMMENT);
}

static const struct http_stream *stream_of(struct worker *worker) {
    struct http_stream *stream = &context_of(worker)->stream;
    *stream = (struct http_stream){on_room, on_stop, on_gone, on_quiet,
                                   .quiet_ns = worker->config->heartbeat_ns};
    return stream;
}

/* --- who comes back --------------------------------------------------------------------------- */

/* What a part has found. */
enum { MORE_FOUND, MORE_BEGUN };

static struct span question_id(const struct call *call) {
    return span_of(call->text, call->text_len[0]);
}

static void part_found(struct call_part *part, uint64_t serial) {
    if (part->more[MORE_FOUND] == 0 || serial < part->count)
        part->count = serial;
    part->more[MORE_FOUND] = 1;
}

static bool question_visit(struct worker *worker, struct call_part *part, struct session *session) {
    (void)worker;
    uint64_t serial;
    if (session->type->trail != NULL &&
        trail_find(session->type->trail(session), part->call->argument, &serial))
        part_found(part, serial);
    return true;
}

static bool question_run(struct worker *worker, struct call *call, struct call_part *part) {
    uint64_t serial, hash = name_hash(NAME_ID, NAMESPACE_MAIN, question_id(call));
    if (part->more[MORE_BEGUN] == 0 && trails_find_ended(worker, hash, call->argument, &serial))
        part_found(part, serial);
    part->more[MORE_BEGUN] = 1;
    return call_walk(worker, part, NAME_ID, NAMESPACE_MAIN, hash, question_id(call));
}

static bool question_finish(struct worker *worker, struct call *call) {
    struct sse *sse = call->request;
    struct call_part all = {.count = 0};
    sse->question = NULL;
    if (sse->stage == STAGE_ENDED) {
        sse_put(worker, sse);
        return true;
    }
    for (unsigned i = 0; i < worker->server->worker_count; i++)
        if (call->parts[i].more[MORE_FOUND] != 0)
            part_found(&all, call->parts[i].count);
    /* Without room for it they come again. */
    if (all.more[MORE_FOUND] != 0 &&
        SHORTAGE(!attend_acknowledge_to(worker, sse->session.id->node.hash, all.count)))
        stats_add(&worker->stats.mail_refused, 1);
    sse_go(worker, sse);
    return true;
}

/* Looks for the session on which the client got that message. */
static void question_ask(struct worker *worker, struct sse *sse, struct span last) {
    const struct name *id = sse->session.id;
    if (id == NULL || message_id_check(last) != NULL ||
        !trails_may_have(worker->server, id->node.hash))
        return;
    struct call *call = call_get(&worker->endpoint, NULL, false);
    if (SHORTAGE(call == NULL))
        return;
    memcpy(call->text, id->text, id->len);
    call->text_len[0] = id->len;
    call->argument = hash64(last);
    call->request = sse;
    call->run = question_run;
    call->visit = question_visit;
    call->finish = question_finish;
    if (!SHORTAGE(!call_start(&worker->endpoint, call)))
        sse->question = call;
}

/* --- GET /events ------------------------------------------------------------------------------ */

static struct span extra_write(const struct route_request *request, char room[EXTRA_BYTES_MAX]) {
    struct builder out = builder_over(room, EXTRA_BYTES_MAX);
    builder_span_add(&out, request->extra);
    builder_text(&out, "Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n");
    CHECK(!out.full, "the header lines of a stream are too long");
    return builder_span(&out);
}

static void sse_begin(struct worker *worker, struct http_exchange *exchange,
                      const struct route_request *request, struct sse *sse) {
    char room[EXTRA_BYTES_MAX];
    struct connection *connection = exchange->http->connection;
    exchange->task = sse;
    bool begun = exchange_stream_begin(worker, exchange, 200, "text/event-stream",
                                       extra_write(request, room), stream_of(worker));
    if (sse == NULL)
        return; /* HEAD */
    if (!begun) {
        session_close(worker, &sse->session, &connection->outbox);
        sse_put(worker, sse);
        return;
    }
    question_ask(worker, sse, http_fields_get(&request->http->fields, SPAN("Last-Event-ID")));
    sse_go(worker, sse);
}

void sse_get_events(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    struct complaint *complaint = &http_context(worker)->complaint;
    struct register_query query;
    const char *why;
    if (!register_query_read(request->http->query, request->texts, &query, complaint)) {
        refuse(worker, exchange, request, http_error_complaint(complaint));
        return;
    }
    if (server_phase(worker->server) != PHASE_RUNNING) {
        refuse(worker, exchange, request,
               http_error_of(CODE_DRAINING, "the node is going; connect to another one"));
        return;
    }
    if (exchange->answer_flags & HTTP_ANSWER_BODYLESS) {
        sse_begin(worker, exchange, request, NULL);
        return;
    }
    struct sse *sse = sse_get(worker);
    if (SHORTAGE(sse == NULL)) {
        refuse(worker, exchange, request,
               http_error_of(CODE_OVERLOADED, "no memory for one more session"));
        return;
    }
    sse->exchange = exchange;
    sse->chunks = exchange->chunks;
    enum code code =
        registration_enter(worker, &sse->session, &session_type, query.id, &query.groups, &why);
    if (code == CODE_NONE) {
        sse_begin(worker, exchange, request, sse);
        return;
    }
    session_close(worker, &sse->session, &exchange->http->connection->outbox);
    sse_put(worker, sse);
    refuse(worker, exchange, request, http_error_of(code, why));
}

/* --- POST /events/ack ------------------------------------------------------------------------- */

static size_t ack_body_max(const struct config *config) {
    (void)config;
    return SSE_ACK_BODY_BYTES_MAX;
}

const struct route_body sse_ack_body = {.max = ack_body_max, .hint = ""};

static void ack_answer(struct worker *worker, struct http_exchange *exchange, struct span extra,
                       enum ack_verdict verdict) {
    struct http_error error;
    switch (verdict) {
    case ACK_TAKEN:
        exchange_answer(worker, exchange, 204, NULL, extra, SPAN(""));
        return;
    case ACK_UNKNOWN:
        error = http_error_of(CODE_NOT_FOUND, "there is no such session");
        break;
    case ACK_NO_ROOM:
        error = http_error_of(CODE_OVERLOADED, "nothing was acknowledged; try again");
        break;
    }
    error.extra = extra;
    exchange_refuse(worker, exchange, &error);
}

/* One that another worker is asked about. */
struct asked {
    struct http_exchange *exchange;
    size_t extra_bytes;
    char extra[];
};

static void ack_done(struct worker *worker, void *request, enum ack_verdict verdict) {
    struct asked *asked = request;
    struct http_connection *http = asked->exchange->http;
    ack_answer(worker, asked->exchange, span_of(asked->extra, asked->extra_bytes), verdict);
    memory_put(&worker->account, asked, sizeof(*asked) + asked->extra_bytes);
    http_release(worker, http);
}

static void ack_ask(struct worker *worker, struct http_exchange *exchange, struct span extra,
                    struct connection_handle session, const struct name_list *ids) {
    enum ack_verdict verdict = ACK_NO_ROOM;
    struct asked *asked = memory_get(&worker->account, sizeof(*asked) + extra.len);
    if (SHORTAGE(asked == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        ack_answer(worker, exchange, extra, verdict);
        return;
    }
    asked->exchange = exchange;
    asked->extra_bytes = extra.len;
    memcpy(asked->extra, extra.at, extra.len);
    if (session_acknowledge(worker, session, ids->at, ids->count, ack_done, asked, &verdict)) {
        http_hold(worker, exchange->http);
        return;
    }
    memory_put(&worker->account, asked, sizeof(*asked) + extra.len);
    ack_answer(worker, exchange, extra, verdict);
}

void sse_post_ack(struct worker *worker, struct http_exchange *exchange,
                  const struct route_request *request) {
    struct complaint *complaint = &http_context(worker)->complaint;
    struct connection_handle session;
    struct sse_ack ack;
    if (!exchange_query_empty(worker, exchange, request))
        return;
    if (body_is_encoded(request->http)) {
        refuse(worker, exchange, request,
               http_error_of(CODE_UNSUPPORTED_MEDIA_TYPE,
                             "Content-Encoding is not undone here; send the body as it is"));
        return;
    }
    if (!sse_ack_parse(request->http->body, &context_of(worker)->room, &ack, complaint)) {
        refuse(worker, exchange, request, http_error_complaint(complaint));
        return;
    }
    if (connection_text_read(ack.session, &session))
        ack_ask(worker, exchange, request->extra, session, &ack.ids);
    else
        ack_answer(worker, exchange, request->extra, ACK_UNKNOWN);
}

/* --- for the listener ------------------------------------------------------------------------- */

static struct sse *sse_on(const struct connection *connection) {
    /* http_of does not write. */
    const struct http_connection *http = http_of((struct connection *)(uintptr_t)connection);
    if (http->stream == NULL || http->stream->stream_ended || http->stream->stream->room != on_room)
        return NULL;
    return http->stream->task;
}

bool sse_is_waited(const struct worker *worker, const struct connection *connection) {
    const struct sse *sse = sse_on(connection);
    if (sse == NULL)
        return fates_any_waited(&worker->server->fates);
    const struct name *id = sse->session.id;
    return sse->stage == STAGE_LIVE && id != NULL &&
           fates_waited(&worker->server->fates, id->node.hash);
}

struct session *sse_session(struct connection *connection) {
    struct sse *sse = sse_on(connection);
    return sse == NULL || sse->stage != STAGE_LIVE ? NULL : &sse->session;
}

bool sse_init(struct server *server) {
    pool_init(&context_pool, sizeof(struct context));
    for (unsigned i = 0; i < server->worker_count; i++) {
        struct context *context = pool_get(&context_pool);
        if (context == NULL) {
            sse_fini();
            return false;
        }
        /* The room's pages are touched by the worker that uses them. */
        memset(context, 0, offsetof(struct context, room));
        pool_init(&context->sessions, sizeof(struct sse));
        contexts[i] = context;
    }
    return true;
}

void sse_fini(void) {
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (contexts[i] == NULL)
            continue;
        pool_fini(&contexts[i]->sessions);
        pool_put(&context_pool, contexts[i]);
        contexts[i] = NULL;
    }
    pool_fini(&context_pool);
}
