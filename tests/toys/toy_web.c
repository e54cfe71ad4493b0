#include "tests/toys/toy_web.h"

#include "core/server.h"
#include "proto/http/http_context.h"
#include "tests/toys/toy_session.h"
#include "tests/toys/toy_stream.h"

static struct toy_later {
    struct timer timer;
    struct http_exchange *exchange; /* NULL: the place is free */
} laters[WORKERS_MAX][TOY_LATERS];

static void text_answer(struct worker *worker, struct http_exchange *exchange, const char *text) {
    exchange_answer(worker, exchange, 200, HTTP_TYPE_TEXT, SPAN(""), span_text(text));
}

static void on_later(struct endpoint *endpoint, struct timer *timer) {
    struct toy_later *later = container_of(timer, struct toy_later, timer);
    struct worker *worker = worker_of(endpoint);
    struct http_exchange *exchange = later->exchange;
    struct connection *connection = exchange->http->connection;
    later->exchange = NULL;
    text_answer(worker, exchange, "later\n");
    connection_publish_ended(worker, connection);
}

static void serve_later(struct worker *worker, struct http_exchange *exchange, unsigned number) {
    uint64_t later_ns = number % 4 == 0 ? TOY_LATER_NS : TOY_TICK_NS;
    for (unsigned i = 0; i < TOY_LATERS; i++) {
        struct toy_later *later = &laters[worker->index][i];
        if (later->exchange != NULL)
            continue;
        later->exchange = exchange;
        connection_publish_begun(exchange->http->connection);
        timer_init(&later->timer, on_later);
        timer_arm(&worker->wheel, &later->timer, worker->now_ns + later_ns);
        return;
    }
    text_answer(worker, exchange, "later\n");
}

static void serve(struct worker *worker, struct http_exchange *exchange,
                  const struct route_request *request) {
    struct span word = request->names[0], digits = request->names[1];
    unsigned number = 0;
    for (size_t i = 0; i < digits.len; i++)
        number = number * 10 + (unsigned)(digits.at[i] - '0');
    for (unsigned i = 0; i < TOY_STREAM_KINDS; i++) {
        if (!span_equal(word, span_text(toy_stream_kinds[i].word)))
            continue;
        toy_stream_serve(worker, exchange, &toy_stream_kinds[i], number);
        return;
    }
    if (span_equal(word, SPAN("later"))) {
        serve_later(worker, exchange, number);
    } else if (span_equal(word, SPAN("say"))) {
        toy_sessions_say(worker);
        text_answer(worker, exchange, "said\n");
    } else {
        exchange_fail(worker, exchange, CODE_NOT_FOUND, "there is no such kind");
    }
}

static const struct route routes[] = {{"/{}/{}", HTTP_METHOD_GET, true, false, NULL, serve}};

static bool web_admit(struct worker *worker, const struct http_request *http,
                      struct http_error *error) {
    struct http_context *context = http_context(worker);
    struct builder texts = builder_over(context->names, HTTP_TARGET_BYTES_MAX);
    *error = http_error_of(CODE_NOT_FOUND, "there is no such path");
    if (route_find(routes, 1, http->method, http->path, &texts, &context->match) != ROUTE_FOUND)
        return false;
    if (route_takes(context->match.route, worker->config, http, &context->complaint))
        return true;
    *error = http_error_complaint(&context->complaint);
    return false;
}

static void web_serve(struct worker *worker, struct http_exchange *exchange,
                      const struct http_request *http) {
    struct http_error error;
    struct route_request request = {.http = http};
    if (!web_admit(worker, http, &error)) {
        exchange_refuse(worker, exchange, &error);
        return;
    }
    memcpy(request.names, http_context(worker)->match.names, sizeof(request.names));
    serve(worker, exchange, &request);
}

const struct http_service toy_web_service = {
    .routes = routes, .route_count = 1, .admit = web_admit, .serve = web_serve};
