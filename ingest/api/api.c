#include "ingest/api/api.h"

#include "core/base/shortage.h"
#include "core/call.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/http/body_type.h"
#include "proto/http/http_health.h"

static size_t body_max(const struct config *config) {
    return config->max_body_bytes;
}

/* Of every path that needs a key, whether it looks at a body or not. */
static const struct route_body body = {.max = body_max, .hint = " (--max-body)"};

/* The most frequent first. */
static const struct route routes[] = {
    {"/v1/messages", HTTP_METHOD_POST, false, true, &body, api_post_messages},
    {"/v1/clients/{}", HTTP_METHOD_POST, false, true, &body, api_post_client},
    {"/v1/groups/{}", HTTP_METHOD_POST, false, true, &body, api_post_group},
    {"/v1/broadcast", HTTP_METHOD_POST, false, true, &body, api_post_broadcast},
    {"/v1/messages/{}", HTTP_METHOD_GET, false, false, &body, api_get_message},
    {"/v1/messages/{}", HTTP_METHOD_DELETE, false, false, &body, api_delete_message},
    {"/v1/clients/{}", HTTP_METHOD_GET, false, false, &body, api_get_client},
    {"/v1/clients/{}", HTTP_METHOD_DELETE, false, false, &body, api_delete_client},
    {"/v1/clients/{}/pending", HTTP_METHOD_GET, false, false, &body, api_get_pending},
    {"/v1/groups/{}", HTTP_METHOD_GET, false, false, &body, api_get_group},
    {"/v1/groups/{}/clients/{}", HTTP_METHOD_PUT, false, false, &body, api_put_member},
    {"/v1/groups/{}/clients/{}", HTTP_METHOD_DELETE, false, false, &body, api_delete_member},
    {"/v1/stats", HTTP_METHOD_GET, false, false, &body, api_get_stats},
    {"/metrics", HTTP_METHOD_GET, false, false, &body, api_get_metrics},
    {"/healthz", HTTP_METHOD_GET, true, false, NULL, http_get_healthz},
    {"/readyz", HTTP_METHOD_GET, true, false, NULL, http_get_readyz},
};

/* Where the request goes, or what is wrong with it. */
static bool find(struct worker *worker, const struct http_request *http, struct builder *texts,
                 struct auth *auth, struct http_error *error) {
    struct route_match *match = &http_context(worker)->match;
    enum route_verdict verdict =
        route_find(routes, sizeof routes / sizeof *routes, http->method, http->path, texts, match);
    /* Who may not ask is not told what there is. */
    *auth = auth_api(worker->config, http, match->open);
    if (auth->code != CODE_NONE) {
        *error = http_error_of(auth->code, auth->message);
        if (auth->code == CODE_FORBIDDEN)
            error->extra = SPAN("Vary: Origin\r\n");
        return false;
    }
    struct complaint *complaint = &http_context(worker)->complaint;
    switch (verdict) {
    case ROUTE_FOUND:
        if (!route_takes(match->route, worker->config, http, complaint)) {
            *error = http_error_complaint(complaint);
            return false;
        }
        if (!body_is_encoded(http))
            return true;
        *error = http_error_of(CODE_UNSUPPORTED_MEDIA_TYPE,
                               "Content-Encoding is not undone here; send the body as it is");
        error->extra = SPAN("Accept-Encoding: identity\r\n");
        return false;
    case ROUTE_NOT_FOUND:
        *error = http_error_of(CODE_NOT_FOUND, "there is no such path; see docs/api.md");
        return false;
    case ROUTE_NOT_ALLOWED:
        *error = http_error_of(CODE_METHOD_NOT_ALLOWED, "this path is not served with this method");
        error->allow = match->allow;
        return false;
    case ROUTE_BAD_PATH:
        break;
    }
    complaint_make(complaint, CODE_BAD_MESSAGE, SPAN(""), "a part of the path %s", match->wrong);
    *error = http_error_complaint(complaint);
    return false;
}

static bool api_admit(struct worker *worker, const struct http_request *http,
                      struct http_error *error) {
    struct builder texts = builder_over(http_context(worker)->names, HTTP_TARGET_BYTES_MAX);
    struct auth auth;
    return find(worker, http, &texts, &auth, error);
}

/* Was a key given, and a wrong one? */
static void api_refused(struct worker *worker, struct http_connection *http,
                        const struct http_request *request, const struct http_error *error) {
    if (error->status == 401 && request->authorization.at != NULL)
        auth_failed(worker, http->connection, error->message.at);
}

static bool begins_with(struct span text, struct span with) {
    return text.len >= with.len && memcmp(text.at, with.at, with.len) == 0;
}

static bool api_pushes(const struct http_request *http) {
    return http->method == HTTP_METHOD_POST && begins_with(http->path, SPAN("/v1/"));
}

static void api_serve(struct worker *worker, struct http_exchange *exchange,
                      const struct http_request *http) {
    struct builder texts = builder_over(http_context(worker)->names, HTTP_TARGET_BYTES_MAX);
    struct auth auth;
    struct http_error error = {0};
    bool found = find(worker, http, &texts, &auth, &error);
    const struct route_match *match = &http_context(worker)->match;
    /* A path that cannot be read counts as it does where the head is refused before the body. */
    exchange->pushes = match->route != NULL ? match->route->pushes : api_pushes(http);
    if (!found || match->route == NULL) {
        api_refused(worker, exchange->http, http, &error);
        exchange_refuse(worker, exchange, &error);
        return;
    }
    struct route_request request = {
        .http = http, .names = {match->names[0], match->names[1]}, .texts = &texts};
    api_source(exchange->http)->rate = auth_key_rate(auth.key_place);
    match->route->serve(worker, exchange, &request);
}

static void api_open(struct worker *worker, struct http_connection *http) {
    (void)worker;
    gate_source_init(api_source(http), http->connection, api_on_result, NULL);
    api_state(http)->seen = (struct auth_seen){.config = NULL};
    list_init(&api_state(http)->waits);
}

static bool api_admit_push(struct worker *worker, struct http_connection *http,
                           const struct http_request *request) {
    struct gate_source *source = api_source(http);
    source->producer =
        auth_producer(worker->config, request, &http->connection->peer, &api_state(http)->seen);
    return gate_admit(worker, source);
}

const struct http_service api_service = {
    .routes = routes,
    .route_count = sizeof routes / sizeof *routes,
    .state_bytes = sizeof(struct api_state),
    .open = api_open,
    .ended = api_waits_end,
    .pushes = api_pushes,
    .admit_push = api_admit_push,
    .behind_text = GATE_BEHIND_TEXT,
    .admit = api_admit,
    .refused = api_refused,
    .serve = api_serve,
};

const struct protocol api_protocol = HTTP_PROTOCOL("api");

/* --- what the handlers share ------------------------------------------------------------------ */

static void refuse_call(struct worker *worker, struct http_exchange *exchange) {
    exchange_fail(worker, exchange, CODE_OVERLOADED,
                  "the node has no room for another call; nothing was done, try again");
}

struct call *api_call_get(struct worker *worker, struct http_exchange *exchange,
                          const struct call_nodes *nodes, bool reserve) {
    struct call *call = call_get(&worker->endpoint, nodes, reserve);
    if (SHORTAGE(call == NULL)) {
        refuse_call(worker, exchange);
        return NULL;
    }
    call->request = exchange;
    return call;
}

static bool start(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    /* It must find its connection again when it is done. */
    http_hold(worker, http);
    if (SHORTAGE(!call_start(&worker->endpoint, call))) {
        refuse_call(worker, exchange);
        http_release(worker, http);
        return false;
    }
    return true;
}

bool api_call_start(struct worker *worker, struct call *call) {
    return start(worker, call);
}

void api_look_up_start(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    if (start(worker, call))
        http->gone = &call->gone;
}

void api_call_end(struct worker *worker, struct http_connection *http) {
    http->gone = NULL;
    http_release(worker, http);
}

bool api_call_failed(const struct call *call) {
    for (unsigned i = 0; i < call->part_count; i++)
        if (call->parts[i].failed)
            return true;
    return false;
}

void api_answer_chain(struct worker *worker, struct http_exchange *exchange, const char *type,
                      struct chain *chain) {
    struct builder *out = &chain->out;
    if (chain_room(chain, 1) && (out->len == 0 || out->at[out->len - 1] != '\n'))
        builder_byte(out, '\n');
    if (!SHORTAGE(chain->failed)) {
        exchange_answer_chain(worker, exchange, type, chain);
        return;
    }
    chain_free(chain);
    stats_add(&worker->stats.answers_refused, 1);
    exchange_fail(worker, exchange, CODE_OVERLOADED,
                  "there is no memory for the answer at the moment; try again");
}
