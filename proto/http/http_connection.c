#include "proto/http/http_connection.h"

#include "core/arrival.h"
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/kept_input.h"
#include "core/proxy.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/http/forwarded.h"
#include "proto/http/http_context.h"
#include "proto/http/http_upgrade.h"

/* What a chunked body is gathered in, to begin with. */
#define ASSEMBLY_BYTES_MIN 8192

static bool has_large_state(const struct http_connection *http) {
    return http_service(http)->state_bytes > HTTP_STATE_BYTES;
}

void *http_state(struct http_connection *http) {
    return has_large_state(http) ? http->large_state : http->state;
}

/* What no request may have a longer body than. */
static size_t body_bytes_max(const struct worker *worker, const struct http_connection *http) {
    return http_context(worker)->body_bytes_max[http->kind];
}

void http_on_open(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    http->kind = (uint8_t)worker->listeners.at[connection->listener].kind;
    if (has_large_state(http)) {
        http->large_state = pool_get(&http_context(worker)->states[http->kind]);
        if (SHORTAGE(http->large_state == NULL)) {
            connection_close(worker, connection, CLOSE_OVERLOADED);
            return;
        }
    }
    http->connection = connection;
    http->active_ns = worker->now_ns;
    list_init(&http->owed);
    http->hop = connection->peer;
    http->forwards = proxy_forwards(worker->config, &http->hop);
    if (http_service(http)->open != NULL)
        http_service(http)->open(worker, http);
    http_watch(worker, http, worker->now_ns + HTTP_IDLE_NS);
}

void http_free(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    http_incoming_free(worker, http);
    if (has_large_state(http))
        pool_put(&http_context(worker)->states[http->kind], http->large_state);
}

void http_stop(struct http_connection *http, enum close_reason reason) {
    if (http->finish_reason == CLOSE_NONE)
        http->finish_reason = (uint8_t)reason;
    if (http->incoming != NULL)
        http->incoming->due_ns = 0;
    http->continue_due = false;
}

/* Bytes have come: is there a request that they go on with, or room for one? */
static bool incoming_have(struct worker *worker, struct http_connection *http) {
    if (http->incoming != NULL)
        return true;
    http->incoming = pool_get(&http_context(worker)->incoming);
    if (SHORTAGE(http->incoming == NULL))
        return false;
    *http->incoming = (struct http_incoming){.assembly = NULL};
    http_parser_init(&http->incoming->parser, body_bytes_max(worker, http));
    return true;
}

static void assembly_free(struct worker *worker, struct http_incoming *incoming) {
    if (incoming->assembly != NULL)
        memory_put(&worker->account, incoming->assembly, incoming->assembly_cap);
    incoming->assembly = NULL;
    incoming->assembly_len = incoming->assembly_cap = 0;
}

void http_incoming_free(struct worker *worker, struct http_connection *http) {
    if (http->incoming == NULL)
        return;
    assembly_free(worker, http->incoming);
    pool_put(&http_context(worker)->incoming, http->incoming);
    http->incoming = NULL;
}

/* --- refusals --------------------------------------------------------------------------------- */

static enum close_reason reason_of(unsigned status) {
    switch (status) {
    case 401:
    case 403:
        return CLOSE_UNAUTHORIZED;
    case 408:
        return CLOSE_HTTP_TIMEOUT;
    case 413:
        return CLOSE_TOO_LARGE;
    case 503:
        return CLOSE_OVERLOADED;
    default:
        return CLOSE_HTTP_BAD_REQUEST;
    }
}

void http_refuse_as(struct worker *worker, struct http_connection *http,
                    const struct http_error *error, enum close_reason reason) {
    if (http->finish_reason != CLOSE_NONE)
        return; /* the last answer was given, or is owed */
    uint8_t flags = HTTP_ANSWER_CLOSE | (http->bodyless ? HTTP_ANSWER_BODYLESS : 0);
    struct http_exchange *exchange = exchange_open(worker, http, flags);
    if (SHORTAGE(exchange == NULL)) {
        if (http->pushes)
            stats_refuse(&worker->stats, error->code);
        connection_close(worker, http->connection, CLOSE_OVERLOADED);
        return;
    }
    exchange->pushes = http->pushes;
    http_stop(http, reason);
    exchange_refuse(worker, exchange, error);
}

/* The last answer of a connection that will not be understood any more, or not be read. */
static void http_refuse_last(struct worker *worker, struct http_connection *http,
                             const struct http_error *error) {
    http_refuse_as(worker, http, error, reason_of(error->status));
}

static bool asks_to_push(const struct http_connection *http, const struct http_request *request) {
    return http_service(http)->pushes != NULL && http_service(http)->pushes(request);
}

/* May it be asked, as far as the head tells? False: `error` says why not. */
static bool head_admit(struct worker *worker, struct http_connection *http,
                       const struct http_request *request, struct http_error *error) {
    const struct route **route = &http_context(worker)->match.route;
    *route = NULL;
    bool good = http_service(http)->admit(worker, request, error);
    http->incoming->body = *route == NULL ? NULL : (*route)->body;
    if (good)
        return true;
    if (http_service(http)->refused != NULL)
        http_service(http)->refused(worker, http, request, error);
    return false;
}

/* What is known of a request whose head is not: one that begins like this is counted as a push, or
 * is answered without a body. */
static void head_guess(struct http_connection *http, const char *at, size_t len) {
    static const char post[] = "POST ", head[] = "HEAD ";
    size_t empty = len >= 2 && at[0] == '\r' && at[1] == '\n' ? 2 : 0;
    if (http->in_body)
        return;
    bool known = len - empty >= sizeof post - 1;
    http->pushes = http_service(http)->pushes != NULL && known &&
                   memcmp(at + empty, post, sizeof post - 1) == 0;
    http->bodyless = known && memcmp(at + empty, head, sizeof head - 1) == 0;
}

/* Says which limit a body has passed while it came, or before its path was looked at. */
static void too_long_write(const struct worker *worker, const struct http_connection *http,
                           struct builder *out) {
    size_t max = http->incoming->parser.body_bytes_max;
    const struct route_body *body = http_body_largest(http_service(http), worker->config);
    if (http->in_body && http->incoming->body != NULL) {
        body = http->incoming->body;
        max = body->max(worker->config) < max ? body->max(worker->config) : max;
    }
    builder_format(out, "the body is longer than %zu bytes%s", max, body == NULL ? "" : body->hint);
}

static void refuse_broken(struct worker *worker, struct http_connection *http) {
    const struct http_parser *parser = &http->incoming->parser;
    const struct http_refusal *refusal = &parser->refusal;
    struct http_request *request = &http_context(worker)->request;
    if (!http->in_body && parser->target_known)
        http->pushes = asks_to_push(http, request);
    if (!http->in_body && refusal->status == 413)
        request->body_bytes = SIZE_MAX; /* longer than any may be */
    struct http_error error = {.status = refusal->status,
                               .code = refusal->code,
                               .message = span_text(refusal->message),
                               .has_offset = true,
                               .offset = refusal->offset};
    char text[128];
    struct http_error unasked = {0};
    if (refusal->status == 413 && !http->in_body && parser->target_known &&
        !head_admit(worker, http, request, &unasked) &&
        (unasked.status == 401 || unasked.status == 403 || unasked.bare)) {
        error = unasked; /* who may not ask is not told how much a body may have */
    } else if (refusal->status == 413) {
        struct builder out = builder_over(text, sizeof text);
        too_long_write(worker, http, &out);
        error.message = builder_span(&out);
    }
    http_refuse_last(worker, http, &error);
}

#define NO_MEMORY_TEXT "there is no memory for the body at the moment; try again"

static void refuse_memory(struct worker *worker, struct http_connection *http) {
    struct http_error error = http_error_of(CODE_OVERLOADED, NO_MEMORY_TEXT);
    stats_add(&worker->stats.memory_refused, 1);
    http_refuse_last(worker, http, &error);
}

/* --- input ------------------------------------------------------------------------------------ */

/* Would so many bytes pass the memory ceiling? They are taken later, as they come. */
static bool memory_has(struct worker *worker, size_t bytes) {
    if (SHORTAGE(!account_take(&worker->account, bytes)))
        return false;
    account_give(&worker->account, bytes);
    return true;
}

/* The request is whose a trusted proxy says it is. False: that address may have no more
 * connections, which is counted; `error` says why. */
static bool forwarded_look(struct worker *worker, struct http_connection *http,
                           const struct http_request *request, struct http_error *error) {
    enum refuse_reason why;
    struct peer_address peer = http->hop;
    if (!http->forwards)
        return true;
    forwarded_peer(worker->config, request, &peer);
    if (arrival_rename(worker, http->connection, &peer, &why))
        return true;
    if (SHORTAGE(why == REFUSE_MEMORY))
        *error = http_error_of(CODE_OVERLOADED,
                               "there is no memory for one more address at the moment; try again");
    else
        *error = http_error_of(CODE_RATE_LIMITED,
                               "this address has as many connections as --max-per-address allows");
    return false;
}

/* What its answer must know of a request, which is counted; says too whether another may follow. */
static uint8_t request_begin(struct worker *worker, struct http_connection *http,
                             const struct http_request *request) {
    uint8_t flags = http_answer_flags(request);
    http->active_ns = worker->now_ns;
    stats_add(&worker->stats.http_requests, 1);
    if (!request->keep_alive) {
        http_stop(http, CLOSE_HTTP_DONE);
    } else if (server_phase(worker->server) > PHASE_RUNNING) {
        flags |= HTTP_ANSWER_CLOSE;
        http_stop(http, CLOSE_DRAINING);
    }
    return flags;
}

/* Refuses a request whose short body is still to come: it is answered, then the body is thrown
 * away, and the next request follows. */
static void request_refuse(struct worker *worker, struct http_connection *http,
                           const struct http_request *request, size_t come,
                           const struct http_error *error) {
    struct http_parser *parser = &http->incoming->parser;
    http->incoming->skip_bytes = request->size - come;
    http_parser_init(parser, parser->body_bytes_max);
    struct http_exchange *exchange =
        exchange_open(worker, http, request_begin(worker, http, request));
    bool pushes = http->pushes;
    http->pushes = http->bodyless = false;
    if (SHORTAGE(exchange == NULL)) {
        if (pushes)
            stats_refuse(&worker->stats, error->code);
        connection_close(worker, http->connection, CLOSE_OVERLOADED);
        return;
    }
    exchange->pushes = pushes;
    exchange_refuse(worker, exchange, error);
}

/* The head is there, of the body `come` bytes less than there must be: what is wrong already is
 * told before the body is read. False: it is not wanted. */
static bool head_look(struct worker *worker, struct http_connection *http,
                      const struct http_request *request, size_t come) {
    struct http_error error = {0};
    http->in_body = true;
    http->pushes = asks_to_push(http, request);
    http->bodyless = request->method == HTTP_METHOD_HEAD;
    http->incoming->due_ns = worker->now_ns + HTTP_BODY_NS;
    if (!forwarded_look(worker, http, request, &error) ||
        !head_admit(worker, http, request, &error)) {
        if (request->size != 0 && request->size <= HTTP_REFUSED_BODY_BYTES_MAX &&
            !request->expects_continue) {
            request_refuse(worker, http, request, come, &error);
        } else {
            stats_add(&worker->stats.http_requests, 1);
            http_refuse_last(worker, http, &error);
        }
        return false;
    }
    struct http_incoming *incoming = http->incoming;
    if (incoming->body != NULL)
        http_parser_narrow(&incoming->parser, incoming->body->max(worker->config));
    if (SHORTAGE(!memory_has(worker, request->size))) {
        stats_add(&worker->stats.http_requests, 1);
        refuse_memory(worker, http);
        return false;
    }
    if (!request->expects_continue)
        return true;
    if (list_empty(&http->owed))
        http_write(worker, http, HTTP_CONTINUE);
    else
        http->continue_due = true;
    return true;
}

static void request_serve(struct worker *worker, struct http_connection *http,
                          const struct http_request *request) {
    http->in_body = http->pushes = http->bodyless = http->continue_due = false;
    http->incoming->due_ns = 0;
    uint8_t flags = request_begin(worker, http, request);
    struct http_error error;
    bool pushes = asks_to_push(http, request);
    bool allowed = forwarded_look(worker, http, request, &error); /* a push is that peer's */
    if (allowed && pushes && SHORTAGE(!http_service(http)->admit_push(worker, http, request))) {
        exchange_busy(worker, http, flags);
        return;
    }
    struct http_exchange *exchange = exchange_open(worker, http, flags);
    if (SHORTAGE(exchange == NULL)) {
        if (pushes)
            stats_refuse(&worker->stats, code_word(CODE_OVERLOADED));
        connection_close(worker, http->connection, CLOSE_OVERLOADED);
        return;
    }
    exchange->chunks = request->version_minor != 0;
    http->serving = true;
    if (allowed) {
        http_service(http)->serve(worker, exchange, request);
    } else {
        exchange->pushes = pushes;
        exchange_refuse(worker, exchange, &error);
    }
    http->serving = false;
    if (!http->closed)
        http_pace(worker, http);
}

/* Chunks are taken out of a body where it lies, so what is kept of it gets shorter than what came;
 * from there on it is gathered here, the engine's input stays empty, and nothing is moved twice. */
static bool assembly_add(struct worker *worker, struct http_incoming *incoming, const char *at,
                         size_t len) {
    size_t wanted = incoming->assembly_len + len;
    if (wanted > incoming->assembly_cap) {
        size_t cap = incoming->assembly_cap == 0 ? ASSEMBLY_BYTES_MIN : incoming->assembly_cap;
        while (cap < wanted)
            cap *= 2;
        char *grown =
            memory_grow(&worker->account, incoming->assembly, incoming->assembly_cap, cap);
        if (SHORTAGE(grown == NULL))
            return false;
        incoming->assembly = grown;
        incoming->assembly_cap = cap;
    }
    memcpy(incoming->assembly + incoming->assembly_len, at, len);
    incoming->assembly_len = wanted;
    return true;
}

char *http_take_body(struct worker *worker, struct http_connection *http, struct span body,
                     size_t *cap) {
    struct http_incoming *incoming = http->incoming;
    char *block = incoming->assembly;
    if (block != NULL && body.at >= block && body.at < block + incoming->assembly_len) {
        *cap = incoming->assembly_cap;
        incoming->assembly = NULL;
        incoming->assembly_len = incoming->assembly_cap = 0;
        return block;
    }
    /* Behind a chunked body there is framing of it; one that is whole at once is short. */
    if (http_context(worker)->request.chunked)
        return NULL;
    return input_take(worker, http->connection, body.at + body.len, cap);
}

/* More of a chunked body. Returns how many of the bytes belong to it; with `*waits` all do, and it
 * is not whole. */
static size_t assembly_take(struct worker *worker, struct http_connection *http, const char *at,
                            size_t len, bool *waits) {
    struct http_request *request = &http_context(worker)->request;
    struct http_incoming *incoming = http->incoming;
    if (SHORTAGE(!assembly_add(worker, incoming, at, len))) {
        assembly_free(worker, incoming);
        refuse_memory(worker, http);
        return len;
    }
    size_t rest;
    switch (http_request_next(&incoming->parser, incoming->assembly, &incoming->assembly_len,
                              request)) {
    case HTTP_EVENT_WHOLE:
        rest = incoming->assembly_len - request->size;
        CHECK(rest <= len, "bytes of the next request were there before");
        request_serve(worker, http, request);
        assembly_free(worker, incoming);
        return len - rest;
    case HTTP_EVENT_REFUSED:
        assembly_free(worker, incoming);
        refuse_broken(worker, http);
        return len;
    case HTTP_EVENT_MORE:
    case HTTP_EVENT_HEAD:
    case HTTP_EVENT_ENDED:
        break;
    }
    *waits = true;
    return len;
}

/* What is at the front. Returns how many bytes are done with; with `*waits` more must come. */
static size_t request_take(struct worker *worker, struct http_connection *http, char *at,
                           size_t len, bool *waits) {
    struct http_request *request = &http_context(worker)->request;
    size_t left = len, size;
    switch (http_request_next(&http->incoming->parser, at, &left, request)) {
    case HTTP_EVENT_WHOLE:
        size = request->size;
        request_serve(worker, http, request);
        return http->moves_to != 0 ? 0 : size; /* it is served there */
    case HTTP_EVENT_REFUSED:
        head_guess(http, at, len);
        refuse_broken(worker, http);
        return len;
    case HTTP_EVENT_ENDED:
        return len;
    case HTTP_EVENT_HEAD:
        if (!head_look(worker, http, request, left)) {
            *waits = http_skips(http);
            return len;
        }
        break;
    case HTTP_EVENT_MORE:
        break;
    }
    *waits = true;
    if (left == len)
        return 0;
    if (!http->closed && http->finish_reason == CLOSE_NONE &&
        SHORTAGE(!assembly_add(worker, http->incoming, at, left))) {
        refuse_memory(worker, http);
    }
    return len;
}

/* Sets the time by which what has begun to come must be there. */
static void input_time(struct worker *worker, struct http_connection *http, size_t received) {
    uint64_t *due_ns = &http->incoming->due_ns;
    if (http->in_body) {
        uint64_t rate_ns = *due_ns + received * NS_PER_S / HTTP_BODY_BYTES_PER_S;
        uint64_t last_ns = worker->now_ns + HTTP_BODY_NS;
        *due_ns = rate_ns < last_ns ? rate_ns : last_ns;
    } else if (*due_ns == 0) {
        *due_ns = worker->now_ns + HTTP_HEAD_NS;
    }
    http_watch(worker, http, *due_ns);
}

/* More of a body that is not wanted. Returns how many of the bytes belong to it. */
static size_t body_skip(struct http_connection *http, size_t len, bool *waits) {
    size_t *skip_bytes = &http->incoming->skip_bytes;
    size_t skipped = len < *skip_bytes ? len : *skip_bytes;
    *skip_bytes -= skipped;
    *waits = *skip_bytes != 0;
    http->in_body = *waits;
    return skipped;
}

size_t http_on_bytes(struct worker *worker, struct connection *connection, char *at, size_t len) {
    struct http_connection *http = http_of(connection);
    size_t used = 0, received = len - http->kept_bytes;
    bool waits = false;
    if (http->finish_reason != CLOSE_NONE) {
        http->kept_bytes = 0;
        http_incoming_free(worker, http);
        return len;
    }
    if (SHORTAGE(!incoming_have(worker, http))) {
        connection_close(worker, connection, CLOSE_OVERLOADED);
        return len;
    }
    if (http_skips(http))
        used = body_skip(http, len, &waits);
    else if (http->incoming->assembly != NULL)
        used = assembly_take(worker, http, at, len, &waits);
    while (used < len && !waits && !http->closed && http->finish_reason == CLOSE_NONE &&
           !connection->paused && !connection->yielded && !http_changes(http)) {
        used += request_take(worker, http, at + used, len - used, &waits);
        if (used < len && !waits && slice_over(worker) && !http_changes(http))
            connection_yield(worker, connection);
    }
    if (http->closed || (http->finish_reason != CLOSE_NONE && !http_changes(http))) {
        used = len;
        waits = false;
    }
    http->kept_bytes = (uint32_t)(len - used);
    if (waits)
        input_time(worker, http, received);
    else
        http_incoming_free(worker, http);
    if (http_changes(http) && !http->closed)
        http_change(worker, http);
    else if (used < len)
        head_guess(http, at + used, len - used);
    if (http->waits != 0 && connection->deaf && !http->closed && http_service(http)->ends_crowded)
        http_service(http)->ended(worker, http);
    return used;
}

size_t http_input_max(struct worker *worker, struct connection *connection) {
    /* What the parser would refuse by itself: an empty line, a head, a body. */
    return 2 + HTTP_HEAD_BYTES_MAX + body_bytes_max(worker, http_of(connection));
}

void http_on_flood(struct worker *worker, struct connection *connection) {
    struct http_error error = http_error_of(CODE_TOO_LARGE, "the request is too long");
    http_refuse_last(worker, http_of(connection), &error);
}

void http_on_no_memory(struct worker *worker, struct connection *connection, struct span lost) {
    SHORTAGE_MET();
    struct http_error error = http_error_of(CODE_OVERLOADED, NO_MEMORY_TEXT);
    head_guess(http_of(connection), lost.at, lost.len);
    http_of(connection)->kept_bytes = 0; /* what was kept is thrown away, too */
    http_refuse_last(worker, http_of(connection), &error);
}
