#include "proto/http/http_health.h"

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

void http_get_readyz(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request))
        return;
    enum server_phase phase = server_phase(worker->server);
    const struct store *store = worker->server->parts.store;
    if (phase == PHASE_RUNNING && store != NULL && !store_is_available(store, worker->now_ns))
        ok_answer(worker, exchange, request,
                  SPAN("{\"status\":\"ready\",\"degraded\":[\"store\"]}"));
    else if (phase == PHASE_RUNNING)
        ok_answer(worker, exchange, request, SPAN("{\"status\":\"ready\"}"));
    else if (phase == PHASE_STARTING)
        refuse(worker, exchange, request, CODE_UNAVAILABLE, "the node is starting");
    else
        refuse(worker, exchange, request, CODE_DRAINING, "the node is going; send work elsewhere");
}
