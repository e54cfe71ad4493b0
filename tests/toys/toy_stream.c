#include "tests/toys/toy_stream.h"

#include "core/base/check.h"
#include "core/server.h"
#include "tests/toys/toy_form.h"
#include "tests/toys/toy_session.h"

const struct toy_stream_kind toy_stream_kinds[TOY_STREAM_KINDS] = {
    {"tick", 12, 1, 300, true, false, false},
    {"poll", 0, 0, 0, true, false, false},
    {"flood", 84, 85, TOY_PIECE_BYTES_MAX, false, false, false},
    {"quiet", 0, 0, 0, true, true, false},
    {"held", 20, 1, 1000, true, false, true},
};
struct toy_stream_told toy_stream_told;
static struct toy_stream streams[WORKERS_MAX][TOY_STREAMS];

static struct connection *connection_of(const struct toy_stream *toy) {
    return toy->exchange->http->connection;
}

static void toy_free(struct worker *worker, struct toy_stream *toy) {
    if (toy->seated)
        toy_sessions_leave(worker, connection_of(toy));
    timer_disarm(&worker->wheel, &toy->timer);
    *toy = (struct toy_stream){.kind = NULL};
}

static void toy_end(struct worker *worker, struct toy_stream *toy) {
    struct http_exchange *exchange = toy->exchange;
    toy_stream_told.ends_unopened += !exchange_stream_is_open(exchange);
    toy_free(worker, toy);
    exchange_stream_end(worker, exchange);
}

/* Writes what is due. The toy may be gone afterwards. */
static void toy_go(struct worker *worker, struct toy_stream *toy) {
    char room[TOY_PIECE_BYTES_MAX];
    if (toy->kind->sessions && !toy->seated && exchange_stream_is_open(toy->exchange)) {
        toy->seated = true;
        toy_sessions_take(worker, connection_of(toy),
                          &toy_encodings[toy->exchange->chunks ? TOY_CHUNK : TOY_PLAIN]);
    }
    while (!toy->full && toy->written < toy->due) {
        struct span piece = toy_stream_piece(toy->kind, toy->number, toy->written, room);
        enum http_stream_verdict verdict = exchange_stream_write(worker, toy->exchange, piece);
        if (verdict == HTTP_STREAM_GONE)
            return;
        toy->full = verdict == HTTP_STREAM_FULL;
        toy->written += !toy->full;
        toy_stream_told.full += toy->full;
    }
    toy_stream_told.ends += toy->written > toy->kind->pieces;
    if (toy->written > toy->kind->pieces)
        toy_end(worker, toy);
}

static void on_room(struct worker *worker, struct http_exchange *exchange) {
    toy_stream_told.room++;
    ((struct toy_stream *)exchange->task)->full = false;
    toy_go(worker, exchange->task);
}

static void on_stop(struct worker *worker, struct http_exchange *exchange,
                    enum close_reason reason) {
    struct toy_stream *toy = exchange->task;
    CHECK(toy->stopped != reason && toy->stopped != CLOSE_DRAINING, "stopped twice");
    toy->stopped = reason;
    *(reason == CLOSE_DRAINING ? &toy_stream_told.drain : &toy_stream_told.client) += 1;
    /* Half of those whose peer may read on go on to their end. */
    if (reason == CLOSE_CLIENT && toy->number % 2 == 0)
        return;
    if (exchange_stream_write(worker, exchange, SPAN("bye\n")) != HTTP_STREAM_GONE)
        toy_end(worker, toy);
}

static void on_gone(struct worker *worker, struct http_exchange *exchange) {
    toy_stream_told.gone++;
    toy_free(worker, exchange->task);
}

static void on_quiet(struct worker *worker, struct http_exchange *exchange) {
    struct toy_stream *toy = exchange->task;
    toy_stream_told.beat++;
    toy->due += ++toy->beats == TOY_BEATS;
    if (exchange_stream_write(worker, exchange, SPAN(":\n")) != HTTP_STREAM_GONE)
        toy_go(worker, toy);
}

static const struct http_stream stream = {on_room, on_stop, on_gone, NULL, 0};
static const struct http_stream quiet = {on_room, on_stop, on_gone, on_quiet, TOY_QUIET_BEAT_NS};

static void toy_begin(struct worker *worker, struct toy_stream *toy) {
    toy->begun = exchange_stream_begin(worker, toy->exchange, 200, HTTP_TYPE_TEXT, SPAN(""),
                                       toy->kind->beats ? &quiet : &stream);
    toy_stream_told.unwanted += !toy->begun;
    if (!toy->begun) {
        toy_free(worker, toy);
        return;
    }
    toy_stream_told.begun_in_drain += connection_of(toy)->drain_told;
    toy_stream_told.head_waits += !exchange_stream_is_open(toy->exchange);
    toy->due = toy->kind->at_once;
    if (!toy->kind->beats)
        timer_arm(&worker->wheel, &toy->timer, worker->now_ns + TOY_TICK_NS);
    toy_go(worker, toy);
}

static void on_tick(struct endpoint *endpoint, struct timer *timer) {
    struct toy_stream *toy = container_of(timer, struct toy_stream, timer);
    struct worker *worker = worker_of(endpoint);
    if (!toy->begun) {
        struct http_connection *http = toy->exchange->http;
        toy_begin(worker, toy);
        http_release(worker, http);
        return;
    }
    toy->due += toy->due <= toy->kind->pieces;
    if (toy->due <= toy->kind->pieces)
        timer_arm(&worker->wheel, &toy->timer, worker->now_ns + TOY_TICK_NS);
    toy_go(worker, toy);
}

void toy_stream_serve(struct worker *worker, struct http_exchange *exchange,
                      const struct toy_stream_kind *kind, unsigned number) {
    unsigned place = 0;
    while (place < TOY_STREAMS && toy_stream_at(worker->index, place) != NULL)
        place++;
    if (place == TOY_STREAMS) {
        toy_stream_told.no_place++;
        exchange_fail(worker, exchange, CODE_OVERLOADED, "there are too many streams");
        return;
    }
    struct toy_stream *toy = &streams[worker->index][place];
    *toy = (struct toy_stream){.kind = kind, .exchange = exchange, .number = number};
    exchange->task = toy;
    toy->connection = connection_handle(worker, connection_of(toy));
    timer_init(&toy->timer, on_tick);
    if (kind->held) {
        http_hold(worker, exchange->http);
        timer_arm(&worker->wheel, &toy->timer, worker->now_ns + TOY_HOLD_NS);
    } else {
        toy_begin(worker, toy);
    }
}

const struct toy_stream *toy_stream_at(unsigned worker, unsigned place) {
    return streams[worker][place].kind == NULL ? NULL : &streams[worker][place];
}
