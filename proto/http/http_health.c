#include "proto/http/http_health.h"

#include "core/base/strbuf.h"
#include "core/server.h"
#include "proto/http/http_connection.h"

static void ok_answer(struct worker *worker, struct http_exchange *exchange,
                      const struct route_request *request, struct span body) {
    exchange_answer(worker, exchange, 200, NULL, request->extra, body);
}

static void refuse(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request, enum code code, const char *message) {
    struct http_error error = http_error_of(code, message);
    error.extra = request->extra;
    exchange_refuse(worker, exchange, &error);
}

void http_get_healthz(struct worker *worker, struct http_exchange *exchange,
                      const struct route_request *request) {
    if (exchange_query_empty(worker, exchange, request))
        ok_answer(worker, exchange, request, SPAN("{\"status\":\"ok\"}"));
}

/* With what the node has to do without at the moment. */
static void ready_answer(struct worker *worker, struct http_exchange *exchange,
                         const struct route_request *request) {
    const struct server *server = worker->server;
    const struct store *store = server->parts.store;
    char text[64 + PORTS_MAX * 16];
    struct builder out = builder_over(text, sizeof(text));
    builder_text(&out, "{\"status\":\"ready\",\"degraded\":[");
    size_t none = out.len;
    if (store != NULL && !store_is_available(store, worker->now_ns))
        builder_text(&out, "\"store\"");
    for (unsigned i = 0; i < server->parts.port_count; i++) {
        const char *word =
            atomic_load_explicit(&server->parts.ports[i]->degraded, memory_order_relaxed);
        if (word == NULL)
            continue;
        json_comma(&out);
        builder_json(&out, span_text(word));
    }
    if (out.len == none)
        out.len = sizeof("{\"status\":\"ready\"") - 1;
    else
        builder_byte(&out, ']');
    builder_byte(&out, '}');
    ok_answer(worker, exchange, request, builder_span(&out));
}

void http_get_readyz(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request))
        return;
    enum server_phase phase = server_phase(worker->server);
    if (phase == PHASE_RUNNING)
        ready_answer(worker, exchange, request);
    else if (phase == PHASE_STARTING)
        refuse(worker, exchange, request, CODE_UNAVAILABLE, "the node is starting");
    else
        refuse(worker, exchange, request, CODE_DRAINING, "the node is going; send work elsewhere");
}
