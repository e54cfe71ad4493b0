/* http_exchange.c - the answers of a connection, in the order asked; see http_connection.h. */
#include "core/base/builder.h"
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/http/http_connection.h"
#include "proto/http/http_context.h"
#include "proto/http/http_stream.h"
#include "proto/http/query.h"

size_t http_owed_bytes(const struct http_connection *http) {
    return http->connection->outbox.bytes + http->owed_bytes;
}

void http_watch(struct worker *worker, struct http_connection *http, uint64_t due_ns) {
    if (http->armed_ns != 0 && http->armed_ns <= due_ns)
        return;
    http->armed_ns = due_ns;
    connection_deadline(worker, http->connection, due_ns);
}

void http_write(struct worker *worker, struct http_connection *http, struct span bytes) {
    http->wrote = true;
    http->active_ns = worker->now_ns;
    connection_write(worker, http->connection, bytes);
    if (!http->closed)
        http_watch(worker, http, worker->now_ns + HTTP_WATCH_NS);
}

static bool is_reserve(const struct worker *worker, const struct chunk *body) {
    while (body != NULL && body->quota != &worker->server->reserve)
        body = body->next;
    return body != NULL;
}

/* Behind a long answer, or one out of the operator's reserve (`reserve`), nothing is read before
 * all of it has left (http_on_sent). */
static void long_look(struct http_connection *http, bool reserve) {
    http->unread |= reserve || http_owed_bytes(http) > HTTP_UNSENT_FEW_BYTES;
}

static void body_write(struct worker *worker, struct http_connection *http, struct chunk *body) {
    if (body == NULL)
        return;
    bool reserve = is_reserve(worker, body);
    if (http->closed)
        chunks_put(body);
    else if (SHORTAGE(!outbox_write_chunks(worker, http->connection, body)))
        connection_close(worker, http->connection, CLOSE_OVERLOADED);
    long_look(http, reserve);
}

/* What is owed beside the answers that wait. */
static size_t behind_bytes(const struct http_connection *http) {
    return http->owed_bytes - (size_t)http->waits * HTTP_OWED_BYTES;
}

/* Must what was written leave before more is read? `part`: 1 to stop reading, 2 to go on. */
static bool must_wait(const struct worker *worker, const struct http_connection *http,
                      size_t part) {
    size_t owed = http_owed_bytes(http);
    return http->unread || SHORTAGE(owed >= HTTP_UNSENT_BYTES_MAX / part) ||
           (http->waits != 0 && behind_bytes(http) >= HTTP_BEHIND_BYTES_MAX / part) ||
           SHORTAGE(owed > replies_unsent_max(worker) / part &&
                    (replies_press(&worker->replies) || budget_is_full(worker->account.budget)));
}

void http_pace(struct worker *worker, struct http_connection *http) {
    struct connection *connection = http->connection;
    if (http->waits != 0 && !connection->deaf && must_wait(worker, http, 1)) {
        connection_pause_long(worker, connection);
    } else if (!connection->paused) {
        if (must_wait(worker, http, 1))
            connection_pause(worker, connection);
    } else if (!http->held && http->stream == NULL && !must_wait(worker, http, 2)) {
        connection_resume(worker, connection);
    }
}

void http_hold(struct worker *worker, struct http_connection *http) {
    http->held = true;
    connection_publish_begun(http->connection);
    connection_pause(worker, http->connection);
}

void http_release(struct worker *worker, struct http_connection *http) {
    http->held = false;
    if (!http->closed)
        http_pace(worker, http);
    connection_publish_ended(worker, http->connection);
}

/* So many bytes of its answer are there: they count instead of what stands for an answer. */
static void exchange_charge(struct http_exchange *exchange, size_t bytes) {
    size_t more = bytes > exchange->charged ? bytes - exchange->charged : 0;
    exchange->charged += more;
    exchange->http->owed_bytes += more;
}

/* It is charged as its reply is. */
static bool exchange_room(struct worker *worker, const struct http_connection *http, bool *beyond) {
    return !SHORTAGE(
        !reply_take(worker, http_owed_bytes(http), sizeof(struct http_exchange), beyond));
}

struct http_exchange *exchange_open(struct worker *worker, struct http_connection *http,
                                    uint8_t answer_flags) {
    bool beyond;
    if (SHORTAGE(!exchange_room(worker, http, &beyond)))
        return NULL;
    struct http_exchange *exchange = pool_get(&http_context(worker)->exchanges);
    if (SHORTAGE(exchange == NULL)) {
        reply_give(worker, sizeof *exchange, beyond);
        return NULL;
    }
    *exchange =
        (struct http_exchange){.http = http, .answer_flags = answer_flags, .slot_beyond = beyond};
    list_init(&exchange->link);
    list_add_tail(&http->owed, &exchange->link);
    exchange_charge(exchange, HTTP_OWED_BYTES);
    http->exchanges++;
    return exchange;
}

void exchange_free(struct worker *worker, struct http_exchange *exchange) {
    if (exchange->held != NULL)
        reply_put(worker, exchange->held, exchange->held_bytes, exchange->beyond);
    chunks_put(exchange->body);
    exchange->http->exchanges--;
    reply_give(worker, sizeof *exchange, exchange->slot_beyond);
    pool_put(&http_context(worker)->exchanges, exchange);
}

void exchange_waits(struct http_exchange *exchange) {
    exchange->waits = true;
    exchange->http->waits++;
}

static void wait_over(struct http_exchange *exchange) {
    if (exchange->waits)
        exchange->http->waits--;
    exchange->waits = false;
}

void exchange_unlink(struct http_exchange *exchange) {
    wait_over(exchange);
    list_remove(&exchange->link);
    exchange->http->owed_bytes -= exchange->charged;
}

void exchanges_drop(struct worker *worker, struct http_connection *http) {
    while (!list_empty(&http->owed)) {
        struct http_exchange *exchange = container_of(http->owed.next, struct http_exchange, link);
        exchange_unlink(exchange);
        if (exchange == http->stream)
            http_stream_gone(worker, http);
        /* One without an answer is freed when the answer comes. */
        if (exchange->answered)
            exchange_free(worker, exchange);
    }
}

/* The answer to a request that is refused because the worker is behind. */
static struct span busy_answer(struct worker *worker, const struct http_service *service,
                               uint8_t answer_flags) {
    struct http_context *context = http_context(worker);
    struct span date = http_date(worker);
    if (context->busy_bytes == 0 || context->busy_service != service ||
        context->busy_flags != answer_flags || context->busy_date_s != context->date_s) {
        struct builder out = builder_over(context->busy, sizeof context->busy);
        struct http_error error = http_error_of(CODE_OVERLOADED, service->behind_text);
        http_response_error(&out, answer_flags, date, &error);
        context->busy_date_s = context->date_s;
        CHECK(!out.full, "the refusal is too long");
        context->busy_bytes = (uint32_t)out.len;
        context->busy_flags = answer_flags;
        context->busy_service = service;
    }
    return span_of(context->busy, context->busy_bytes);
}

static void busy_write(struct worker *worker, struct http_connection *http, uint8_t answer_flags,
                       uint32_t count) {
    while (count-- != 0 && !http->closed)
        http_write(worker, http, busy_answer(worker, http_service(http), answer_flags));
}

void exchange_busy(struct worker *worker, struct http_connection *http, uint8_t answer_flags) {
    size_t bytes = busy_answer(worker, http_service(http), answer_flags).len;
    stats_add(&worker->stats.http_errors, 1);
    stats_add(&worker->stats.results[CLASS_UNKNOWN][RESULT_OVERLOADED], 1);
    if (list_empty(&http->owed)) {
        busy_write(worker, http, answer_flags, 1);
        if (!http->closed && http->finish_reason != CLOSE_NONE)
            connection_finish(worker, http->connection, (enum close_reason)http->finish_reason);
        else if (!http->closed)
            http_pace(worker, http);
        return;
    }
    struct http_exchange *last = container_of(http->owed.prev, struct http_exchange, link);
    if (last->busy == 0 || last->answer_flags != answer_flags) {
        last = exchange_open(worker, http, answer_flags);
        if (SHORTAGE(last == NULL)) {
            connection_close(worker, http->connection, CLOSE_OVERLOADED);
            return;
        }
        last->answered = true;
    }
    last->busy++;
    exchange_charge(last, bytes * last->busy);
    http_pace(worker, http);
}

void held_write(struct worker *worker, struct http_exchange *exchange) {
    char *held = exchange->held;
    size_t bytes = exchange->held_bytes;
    bool kept = worker->account.keeps;
    worker->account.keeps = true;
    reply_give(worker, bytes, exchange->beyond); /* what is written has its room */
    exchange->held = NULL;
    http_write(worker, exchange->http, span_of(held, bytes));
    block_cache_put(&worker->account.blocks, held, bytes);
    worker->account.keeps = kept;
}

/* The first answers that are there leave; with the last one perhaps the connection ends. */
void exchanges_flush(struct worker *worker, struct http_connection *http) {
    while (!http->closed && !list_empty(&http->owed)) {
        struct http_exchange *exchange = container_of(http->owed.next, struct http_exchange, link);
        if (exchange == http->stream) {
            http_stream_turn(worker, http); /* and what is behind it waits for its end */
            return;
        }
        if (!exchange->answered)
            break;
        exchange_unlink(exchange);
        if (exchange->busy != 0) {
            busy_write(worker, http, exchange->answer_flags, exchange->busy);
        } else {
            held_write(worker, exchange);
            body_write(worker, http, exchange->body);
            exchange->body = NULL;
        }
        exchange_free(worker, exchange);
    }
    if (!http->closed && list_empty(&http->owed)) {
        if (http->finish_reason != CLOSE_NONE) {
            connection_finish(worker, http->connection, (enum close_reason)http->finish_reason);
            return;
        }
        if (http->continue_due) {
            http->continue_due = false;
            http_write(worker, http, HTTP_CONTINUE);
        }
    }
    if (!http->closed)
        http_pace(worker, http);
}

/* Keeps the answer until those before it have come. */
bool exchange_hold(struct worker *worker, struct http_exchange *exchange, struct span head,
                   struct span body) {
    struct http_connection *http = exchange->http;
    size_t bytes = head.len + body.len;
    char *held = reply_get(worker, http_owed_bytes(http), bytes, &exchange->beyond);
    if (SHORTAGE(held == NULL)) {
        exchange_abandon(worker, exchange);
        return false;
    }
    struct builder out = builder_over(held, bytes);
    builder_span_add(&out, head);
    builder_span_add(&out, body);
    exchange->held = held;
    exchange->held_bytes = bytes;
    exchange->answered = true;
    exchange_charge(exchange, exchange->held_bytes + exchange->body_bytes);
    if (exchange->body != NULL)
        long_look(http, is_reserve(worker, exchange->body));
    http_pace(worker, http);
    return true;
}

void exchange_give(struct worker *worker, struct http_exchange *exchange, unsigned status,
                   struct span head, struct span body) {
    struct http_connection *http = exchange->http;
    CHECK(!exchange->answered, "a request is answered twice");
    if (status >= 400)
        stats_add(&worker->stats.http_errors, 1);
    if (http->closed) {
        exchange_free(worker, exchange);
        return;
    }
    wait_over(exchange);
    if (http->owed.next != &exchange->link) {
        (void)exchange_hold(worker, exchange, head, body);
        return;
    }
    struct chunk *blocks = exchange->body;
    exchange->body = NULL;
    exchange_unlink(exchange);
    exchange_free(worker, exchange);
    http_write(worker, http, head);
    if (!http->closed && body.len != 0)
        http_write(worker, http, body);
    body_write(worker, http, blocks);
    exchanges_flush(worker, http);
}

void exchange_abandon(struct worker *worker, struct http_exchange *exchange) {
    struct http_connection *http = exchange->http;
    if (!http->closed)
        connection_close(worker, http->connection, CLOSE_OVERLOADED);
    exchange_free(worker, exchange);
}

void exchange_answer(struct worker *worker, struct http_exchange *exchange, unsigned status,
                     const char *type, struct span extra, struct span body) {
    struct builder out = builder_over(http_context(worker)->answer, HTTP_ANSWER_BYTES_MAX);
    struct span date = http_date(worker);
    bool small = body.len <= HTTP_ANSWER_BYTES_MAX / 2;
    if (small) {
        http_response_whole(&out, exchange->answer_flags, date, status, type, extra, body);
        body.len = 0;
    } else {
        CHECK(body.at[body.len - 1] == '\n', "a long answer that does not end in a line feed");
        /* The head says how long the body is, which then need not go through here. */
        http_response_whole(&out, exchange->answer_flags | HTTP_ANSWER_BODYLESS, date, status, type,
                            extra, body);
        if (exchange->answer_flags & HTTP_ANSWER_BODYLESS)
            body.len = 0;
    }
    CHECK(!out.full, "an answer's head is too long");
    exchange_give(worker, exchange, status, builder_span(&out), body);
}

void exchange_answer_chain(struct worker *worker, struct http_exchange *exchange, const char *type,
                           struct chain *chain) {
    uint32_t bytes = (uint32_t)chain_bytes(chain);
    exchange_answer_chunks(worker, exchange, 200, type, SPAN(""), chain_take(chain), bytes);
}

void exchange_answer_chunks(struct worker *worker, struct http_exchange *exchange, unsigned status,
                            const char *type, struct span extra, struct chunk *first,
                            uint32_t bytes) {
    struct builder out = builder_over(http_context(worker)->answer, HTTP_ANSWER_BYTES_MAX);
    http_response_head(&out, exchange->answer_flags, http_date(worker), status, type, extra, bytes);
    CHECK(!out.full, "an answer's head is too long");
    if (exchange->answer_flags & HTTP_ANSWER_BODYLESS) {
        chunks_put(first);
    } else {
        exchange->body = first;
        exchange->body_bytes = bytes;
    }
    exchange_give(worker, exchange, status, builder_span(&out), SPAN(""));
}

void exchange_answer_bare(struct worker *worker, struct http_exchange *exchange, unsigned status,
                          const char *type, struct span extra, struct span body) {
    struct builder out = builder_over(http_context(worker)->answer, HTTP_ANSWER_BYTES_MAX);
    http_response_head(&out, exchange->answer_flags, http_date(worker), status, type, extra,
                       body.len);
    if (!(exchange->answer_flags & HTTP_ANSWER_BODYLESS))
        builder_span_add(&out, body);
    CHECK(!out.full, "an answer is too long");
    exchange_give(worker, exchange, status, builder_span(&out), SPAN(""));
}

void exchange_refuse(struct worker *worker, struct http_exchange *exchange,
                     const struct http_error *error) {
    struct builder out = builder_over(http_context(worker)->answer, HTTP_ANSWER_BYTES_MAX);
    if (exchange->pushes)
        stats_refuse(&worker->stats, error->code);
    http_response_error(&out, exchange->answer_flags, http_date(worker), error);
    CHECK(!out.full, "an error is too long");
    exchange_give(worker, exchange, error->status, builder_span(&out), SPAN(""));
}

struct http_error http_error_of(enum code code, const char *message) {
    return (struct http_error){.status = (unsigned)code_status(code),
                               .code = code_word(code),
                               .message = span_text(message)};
}

struct http_error http_error_complaint(const struct complaint *complaint) {
    struct http_error error = http_error_of(complaint->code, complaint->text);
    if (complaint->field[0] != '\0')
        error.field = span_text(complaint->field);
    error.has_offset = complaint->code == CODE_BAD_JSON;
    error.offset = complaint->offset;
    return error;
}

void exchange_fail(struct worker *worker, struct http_exchange *exchange, enum code code,
                   const char *message) {
    struct http_error error = http_error_of(code, message);
    exchange_refuse(worker, exchange, &error);
}

void exchange_complain(struct worker *worker, struct http_exchange *exchange,
                       const struct complaint *complaint) {
    struct http_error error = http_error_complaint(complaint);
    exchange_refuse(worker, exchange, &error);
}

bool exchange_query_empty(struct worker *worker, struct http_exchange *exchange,
                          const struct route_request *request) {
    struct complaint *complaint = &http_context(worker)->complaint;
    if (query_read(request->http->query, request->texts, NULL, 0, complaint))
        return true;
    struct http_error error = http_error_complaint(complaint);
    error.extra = request->extra;
    exchange_refuse(worker, exchange, &error);
    return false;
}
