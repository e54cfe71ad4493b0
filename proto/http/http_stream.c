#include "proto/http/http_stream.h"

#include "core/base/builder.h"
#include "core/base/check.h"
#include "core/reply.h"
#include "core/worker.h"
#include "proto/http/http_context.h"

/* The size of a chunk, in hexadecimal digits, with its CR LF, and the CR LF behind the chunk. */
#define CHUNK_FRAME_BYTES 16
/* Up to here a chunk is written as one run. */
#define SMALL_BYTES 1024

/* Its head goes out now, or waits for its turn. False: the connection has closed. */
static bool head_give(struct worker *worker, struct http_exchange *exchange, struct span head) {
    struct http_connection *http = exchange->http;
    if (http->owed.next != &exchange->link) {
        exchange->stream_waits = true;
        return exchange_hold(worker, exchange, head, SPAN(""));
    }
    exchange->answered = true; /* so it is freed where writing fails */
    http_write(worker, http, head);
    if (http->closed)
        return false;
    exchange->stream_open = true;
    return true;
}

/* Also where nothing was written yet: the peer's end is to be found out. */
static void stream_watch(struct worker *worker, struct http_connection *http) {
    const struct http_stream *stream = http->stream->stream;
    http_watch(worker, http, worker->now_ns + HTTP_WATCH_NS);
    if (stream->quiet != NULL)
        http_watch(worker, http, worker->now_ns + stream->quiet_ns);
}

bool exchange_stream_begin(struct worker *worker, struct http_exchange *exchange, unsigned status,
                           const char *type, struct span extra, const struct http_stream *stream) {
    struct http_connection *http = exchange->http;
    CHECK(http->serving || http->held, "a stream that requests behind it cannot wait for");
    CHECK(http->stream == NULL && !exchange->answered, "a request is answered twice");
    struct builder out = builder_over(http_context(worker)->answer, HTTP_ANSWER_BYTES_MAX);
    http_response_stream(&out, exchange->answer_flags, exchange->chunks, http_date(worker), status,
                         type, extra);
    CHECK(!out.full, "an answer's head is too long");
    if (!exchange->chunks && !http->closed)
        http_stop(http, CLOSE_HTTP_DONE);
    if (http->closed || (exchange->answer_flags & HTTP_ANSWER_BODYLESS)) {
        exchange_give(worker, exchange, status, builder_span(&out), SPAN(""));
        return false;
    }
    if (status >= 400)
        stats_add(&worker->stats.http_errors, 1);
    if (!head_give(worker, exchange, builder_span(&out)))
        return false;
    exchange->stream = stream;
    http->stream = exchange;
    connection_pause(worker, http->connection);
    stream_watch(worker, http);
    if (http->connection->drain_told)
        http_watch(worker, http, worker->now_ns); /* on_drain found no stream to stop */
    return true;
}

static bool has_room(const struct worker *worker, const struct http_connection *http,
                     size_t bytes) {
    size_t max = budget_is_full(worker->account.budget) || replies_press(&worker->replies)
                     ? replies_unsent_max(worker)
                     : HTTP_UNSENT_BYTES_MAX;
    return outbox_empty(&http->connection->outbox) || http_owed_bytes(http) + bytes <= max;
}

static void chunk_write(struct worker *worker, struct http_connection *http, struct span piece) {
    char room[CHUNK_FRAME_BYTES + SMALL_BYTES];
    struct builder out = builder_over(room, sizeof room);
    builder_format(&out, "%zx\r\n", piece.len);
    if (piece.len > SMALL_BYTES) {
        http_write(worker, http, builder_span(&out));
        if (!http->closed)
            http_write(worker, http, piece);
        out.len = 0;
    } else {
        builder_span_add(&out, piece);
    }
    builder_bytes(&out, "\r\n", 2);
    if (!http->closed)
        http_write(worker, http, builder_span(&out));
}

enum http_stream_verdict exchange_stream_write(struct worker *worker,
                                               struct http_exchange *exchange, struct span piece) {
    struct http_connection *http = exchange->http;
    CHECK(http->stream == exchange && !exchange->stream_ended, "a stream that has ended");
    CHECK(piece.len != 0 && piece.len <= HTTP_STREAM_PIECE_BYTES_MAX, "a piece of %zu bytes",
          piece.len);
    if (!exchange->stream_open || !has_room(worker, http, piece.len)) {
        exchange->stream_waits = true;
        return HTTP_STREAM_FULL;
    }
    if (exchange->chunks)
        chunk_write(worker, http, piece);
    else
        http_write(worker, http, piece);
    return http->closed ? HTTP_STREAM_GONE : HTTP_STREAM_TAKEN;
}

void exchange_stream_end(struct worker *worker, struct http_exchange *exchange) {
    struct http_connection *http = exchange->http;
    CHECK(http->stream == exchange, "a stream ends twice");
    exchange->stream_ended = true;
    if (!exchange->stream_open)
        return; /* behind its head */
    bool chunks = exchange->chunks;
    http->stream = NULL;
    exchange_unlink(exchange);
    exchange_free(worker, exchange);
    if (chunks)
        http_write(worker, http, SPAN("0\r\n\r\n"));
    if (!http->closed)
        exchanges_flush(worker, http);
}

void exchange_stream_end_as(struct worker *worker, struct http_exchange *exchange,
                            enum close_reason reason) {
    http_stop(exchange->http, reason);
    /* What was known before is less: that no request follows. */
    exchange->http->finish_reason = (uint8_t)reason;
    exchange_stream_end(worker, exchange);
}

/* --- what the writer is told ------------------------------------------------------------------ */

static void room_tell(struct worker *worker, struct http_exchange *exchange) {
    if (!exchange->stream_waits)
        return;
    exchange->stream_waits = false;
    exchange->stream->room(worker, exchange);
}

void http_stream_turn(struct worker *worker, struct http_connection *http) {
    struct http_exchange *exchange = http->stream;
    if (exchange->stream_open)
        return;
    held_write(worker, exchange);
    if (http->closed)
        return;
    exchange->held_bytes = 0;
    exchange->stream_open = true;
    if (exchange->stream_ended) {
        exchange_stream_end(worker, exchange);
        return;
    }
    stream_watch(worker, http);
    room_tell(worker, exchange);
}

void http_stream_sent(struct worker *worker, struct http_connection *http) {
    if (http->stream != NULL && http->stream->stream_open)
        room_tell(worker, http->stream);
}

void http_stream_stop(struct worker *worker, struct http_connection *http,
                      enum close_reason reason) {
    struct http_exchange *exchange = http->stream;
    if (exchange == NULL || exchange->stream_ended || exchange->stream_reason == reason ||
        exchange->stream_reason == CLOSE_DRAINING)
        return;
    exchange->stream_reason = (uint8_t)reason;
    exchange->stream->stop(worker, exchange, reason);
}

static void quiet_look(struct worker *worker, struct http_connection *http) {
    const struct http_stream *stream = http->stream->stream;
    uint64_t now_ns = worker->now_ns;
    if (stream->quiet == NULL || !http->stream->stream_open || http->stream->stream_ended)
        return;
    if (now_ns - http->active_ns >= stream->quiet_ns && outbox_empty(&http->connection->outbox))
        stream->quiet(worker, http->stream);
    if (http->closed || http->stream == NULL)
        return;
    uint64_t due_ns = http->active_ns + stream->quiet_ns;
    http_watch(worker, http, due_ns > now_ns ? due_ns : now_ns + stream->quiet_ns);
}

void http_stream_look(struct worker *worker, struct http_connection *http) {
    /* Nothing is read, so the engine does not tell the end. */
    if (http->connection->drain_told)
        http_stream_stop(worker, http, CLOSE_DRAINING);
    else if (http->ended)
        http_stream_stop(worker, http, CLOSE_CLIENT);
    if (!http->closed && http->stream != NULL)
        quiet_look(worker, http);
}

void http_stream_gone(struct worker *worker, struct http_connection *http) {
    struct http_exchange *exchange = http->stream;
    http->stream = NULL;
    if (!exchange->stream_ended)
        exchange->stream->gone(worker, exchange);
}
