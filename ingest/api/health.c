/* health.c - is the process alive, does it take work; see api.h. */
#include "core/server.h"
#include "ingest/api/api.h"

void api_get_healthz(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request) {
    if (api_query_empty(worker, exchange, request))
        exchange_answer(worker, exchange, 200, NULL, SPAN(""), SPAN("{\"status\":\"ok\"}"));
}

void api_get_readyz(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    if (!api_query_empty(worker, exchange, request))
        return;
    enum server_phase phase = server_phase(worker->server);
    if (phase == PHASE_RUNNING)
        exchange_answer(worker, exchange, 200, NULL, SPAN(""), SPAN("{\"status\":\"ready\"}"));
    else if (phase == PHASE_STARTING)
        exchange_fail(worker, exchange, CODE_UNAVAILABLE, "the node is starting");
    else
        exchange_fail(worker, exchange, CODE_DRAINING, "the node is going; send work elsewhere");
}
