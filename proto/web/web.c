#include "proto/web/web.h"

#include "core/base/check.h"
#include "core/worker.h"
#include "proto/http/http_connection.h"
#include "proto/http/http_context.h"
#include "proto/http/http_health.h"
#include "proto/web/eio/engine_serve.h"
#include "proto/web/origin.h"
#include "proto/web/sse.h"
#include "proto/web/ws_echo.h"
#include "proto/web/ws_route.h"

/* So much is read where a path takes no body, to keep the connection. */
#define SPARE_BODY_BYTES 4096
#define CORS_BYTES_MAX 4096
/* Of the node, and of a path that there is not. */
#define ALLOW_ALL "GET, HEAD, POST, OPTIONS"
/* What is echoed of a request must leave room for the rest. */
#define ECHO_BYTES_MAX 1024

static void web_get_page(struct worker *worker, struct http_exchange *exchange,
                         const struct route_request *request);

/* May the page that sent this use the listener? Who is refused is told in the log. */
static enum origin_verdict origin_of(const struct worker *worker, const struct http_request *http) {
    bool probe = span_equal(http->path, SPAN("/healthz"));
    enum origin_verdict origin = origin_look(worker->config, http, probe);
    if (origin == ORIGIN_UNKNOWN_HOST)
        origin_tell_unknown_host(http->host);
    else if (origin == ORIGIN_FOREIGN)
        origin_tell_foreign(http->origin);
    return origin;
}

static const struct route routes[] = {
    {"/events", HTTP_METHOD_GET, true, false, NULL, sse_get_events},
    {"/events/ack", HTTP_METHOD_POST, true, false, &sse_ack_body, sse_post_ack},
    {"/healthz", HTTP_METHOD_GET, true, false, NULL, http_get_healthz},
    {"/", HTTP_METHOD_GET, true, false, NULL, web_get_page},
    {"/ws", HTTP_METHOD_GET, true, false, NULL, web_get_ws},
    {"/echo", HTTP_METHOD_GET, true, false, NULL, web_get_echo},
    {"/socket.io/socket.io.js", HTTP_METHOD_GET, true, false, NULL, web_get_script},
    /* Answered before routes are looked at (engine_serve.h); here for the length of its body. */
    {"/socket.io/", HTTP_METHOD_POST, true, false, &engine_body, NULL},
};

/* The header lines for an origin that is allowed; they go with every answer to it. */
static struct span cors_write(const struct http_request *http, char room[CORS_BYTES_MAX]) {
    struct builder out = builder_over(room, CORS_BYTES_MAX);
    http_field_write(&out, SPAN("Access-Control-Allow-Origin"), http->origin);
    http_field_write(&out, SPAN("Access-Control-Allow-Credentials"), SPAN("true"));
    http_field_write(&out, SPAN("Vary"), SPAN("Origin"));
    CHECK(!out.full, "an origin is too long to echo");
    return builder_span(&out);
}

static void preflight_answer(struct worker *worker, struct http_exchange *exchange,
                             const struct http_request *http, struct span allow, struct span cors) {
    char room[CORS_BYTES_MAX];
    struct builder out = builder_over(room, sizeof room);
    builder_span_add(&out, cors);
    http_field_write(&out, SPAN("Access-Control-Allow-Methods"), allow);
    if (http->preflight_headers.len != 0 && http->preflight_headers.len <= ECHO_BYTES_MAX)
        http_field_write(&out, SPAN("Access-Control-Allow-Headers"), http->preflight_headers);
    http_field_write(&out, SPAN("Access-Control-Max-Age"), SPAN("600"));
    CHECK(!out.full, "the answer to a preflight is too long");
    exchange_answer(worker, exchange, 204, NULL, builder_span(&out), SPAN(""));
}

static void refuse(struct worker *worker, struct http_exchange *exchange, struct http_error error,
                   struct span cors) {
    error.extra = cors;
    exchange_refuse(worker, exchange, &error);
}

static struct http_error not_found(void) {
    return http_error_of(CODE_NOT_FOUND, "there is no such path on this listener");
}

/* What a cache must know of every answer: another page may get another one. */
#define VARY "Vary: Origin\r\n"

static struct http_error foreign(void) {
    return http_error_of(CODE_FORBIDDEN,
                         "this Origin or Host may not use this node; see --cors and --web-host");
}

/* Every path takes OPTIONS beside what its routes say. */
static void allow_options(struct route_match *match) {
    struct builder allow = builder_over(match->allow, sizeof match->allow - 1);
    allow.len = strlen(match->allow);
    builder_text(&allow, ", OPTIONS");
    CHECK(!allow.full, "a path has too many methods");
    match->allow[allow.len] = '\0';
}

/* Where the request goes, or what is wrong with it. Each route reads its own query. */
static bool find(struct worker *worker, const struct http_request *http, struct builder *texts,
                 struct http_error *error) {
    struct route_match *match = &http_context(worker)->match;
    struct complaint *complaint = &http_context(worker)->complaint;
    switch (route_find(routes, sizeof routes / sizeof *routes, http->method, http->path, texts,
                       match)) {
    case ROUTE_FOUND:
        if (route_takes(match->route, worker->config, http, complaint))
            return true;
        *error = http_error_complaint(complaint);
        return false;
    case ROUTE_NOT_ALLOWED:
        *error = http_error_of(CODE_METHOD_NOT_ALLOWED, "this path is not served with this method");
        allow_options(match);
        error->allow = match->allow;
        return false;
    case ROUTE_BAD_PATH:
        *error = http_error_of(CODE_BAD_MESSAGE, "the path is not well-formed");
        return false;
    case ROUTE_NOT_FOUND:
        break;
    }
    *error = not_found();
    return false;
}

/* OPTIONS: what may be asked of the path, or of the node. Preflight is answered for any path. */
static bool options_answer(struct worker *worker, struct http_exchange *exchange,
                           const struct http_request *http, const struct http_error *error,
                           struct span cors) {
    char room[CORS_BYTES_MAX];
    struct builder out = builder_over(room, sizeof room);
    struct span allow = error->status == 405 ? span_text(error->allow) : SPAN(ALLOW_ALL);
    if (http->method != HTTP_METHOD_OPTIONS)
        return false;
    if (http->preflight_method.at != NULL) {
        preflight_answer(worker, exchange, http, allow, cors);
        return true;
    }
    if (error->status != 405 && !span_equal(http->path, SPAN("*")))
        return false;
    builder_span_add(&out, cors);
    http_field_write(&out, SPAN("Allow"), allow);
    exchange_answer(worker, exchange, 204, NULL, builder_span(&out), SPAN(""));
    return true;
}

/* Does the path give messages to whoever asks? Those of Engine.IO look by themselves. */
static bool gives_messages(struct span path) {
    return span_equal(path, SPAN("/events")) || span_equal(path, SPAN("/ws"));
}

static void web_serve(struct worker *worker, struct http_exchange *exchange,
                      const struct http_request *http) {
    char room[CORS_BYTES_MAX];
    struct span cors = SPAN(VARY);
    switch (origin_of(worker, http)) {
    case ORIGIN_NONE:
        if (!gives_messages(http->path) || origin_admits_unsaid(worker->config, http, false))
            break;
        refuse(worker, exchange, foreign(), SPAN(VARY));
        return;
    case ORIGIN_ALLOWED:
        if (http->origin.len <= ECHO_BYTES_MAX) {
            cors = cors_write(http, room);
            break;
        }
        /* fall through */
    case ORIGIN_FOREIGN:
    case ORIGIN_UNKNOWN_HOST:
        if (engine_serves(http->path))
            engine_forbid(worker, exchange, http, SPAN(VARY));
        else
            refuse(worker, exchange, foreign(), SPAN(VARY));
        return;
    }
    bool preflight = http->method == HTTP_METHOD_OPTIONS && http->preflight_method.at != NULL;
    if (engine_serves(http->path) && !preflight) {
        engine_serve(worker, exchange, http, cors);
        return;
    }
    struct builder texts = builder_over(http_context(worker)->names, HTTP_TARGET_BYTES_MAX);
    struct http_error error = {0};
    struct route_request request = {.http = http, .texts = &texts};
    if (find(worker, http, &texts, &error)) {
        request.extra = cors;
        http_context(worker)->match.route->serve(worker, exchange, &request);
    } else if (!options_answer(worker, exchange, http, &error, cors)) {
        refuse(worker, exchange, error, cors);
    }
}

static void web_get_page(struct worker *worker, struct http_exchange *exchange,
                         const struct route_request *request) {
    char room[CORS_BYTES_MAX];
    struct builder lines = builder_over(room, sizeof room);
    bool script = worker->config->socketio_script.len != 0;
    if (!worker->config->demo) {
        refuse(worker, exchange, not_found(), request->extra);
        return;
    }
    builder_span_add(&lines, request->extra);
    builder_span_add(&lines, web_demo_lines(script));
    CHECK(!lines.full, "the header lines of the page are too long");
    if (exchange_query_empty(worker, exchange, request))
        exchange_answer(worker, exchange, 200, "text/html; charset=utf-8", builder_span(&lines),
                        web_demo_page(script));
}

static bool web_admit(struct worker *worker, const struct http_request *http,
                      struct http_error *error) {
    struct builder texts = builder_over(http_context(worker)->names, HTTP_TARGET_BYTES_MAX);
    enum origin_verdict origin = origin_of(worker, http);
    bool good = false;
    if (origin == ORIGIN_FOREIGN || origin == ORIGIN_UNKNOWN_HOST)
        *error = engine_serves(http->path) ? engine_forbidden() : foreign();
    else if (engine_serves(http->path))
        good = engine_admit(worker, http, error);
    else
        good = http->method == HTTP_METHOD_OPTIONS || find(worker, http, &texts, error);
    error->extra = SPAN(VARY);
    return good;
}

static void web_open(struct worker *worker, struct http_connection *http) {
    (void)worker;
    engine_http_open(http);
}

const struct http_service web_service = {
    .state_bytes = sizeof(struct poll_list),
    .open = web_open,
    .ended = engine_http_ended,
    .ends_crowded = true,
    .routes = routes,
    .route_count = sizeof routes / sizeof *routes,
    .spare_body_bytes = SPARE_BODY_BYTES,
    .admit = web_admit,
    .serve = web_serve,
};

const struct protocol web_protocol = {
    HTTP_HANDLERS("web"),
    .is_waited = sse_is_waited,
    .session = sse_session,
};
