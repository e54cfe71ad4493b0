#include "proto/web/ws_route.h"

#include "core/server.h"
#include "core/worker.h"
#include "proto/client/line.h"
#include "proto/client/websocket.h"
#include "proto/http/http_context.h"
#include "proto/web/handshake.h"
#include "proto/web/register_query.h"

/* What the request said, from its `serve` until the connection has changed, in the same call. */
static _Thread_local struct register_query asked;
static _Thread_local bool asked_deflate;

static void refuse(struct worker *worker, struct http_exchange *exchange, unsigned status,
                   const char *why, struct span lines, const struct route_request *request) {
    char room[HTTP_ANSWER_BYTES_MAX / 2];
    struct builder extra = builder_over(room, sizeof room);
    struct http_error error = http_error_of(CODE_BAD_MESSAGE, why);
    error.status = status;
    builder_span_add(&extra, request->extra);
    builder_span_add(&extra, lines);
    error.extra = builder_span(&extra);
    exchange_refuse(worker, exchange, &error);
}

static void opened(struct worker *worker, struct connection *connection, void *argument) {
    (void)argument;
    struct client_line hello = {.type = CLIENT_LINE_HELLO, .id = asked.id, .names = asked.groups};
    websocket_begin(worker, connection, register_query_names(&asked) ? &hello : NULL,
                    asked_deflate);
}

void web_get_ws(struct worker *worker, struct http_exchange *exchange,
                const struct route_request *request) {
    struct complaint *complaint = &http_context(worker)->complaint;
    struct handshake handshake =
        handshake_look(request->http, SPAN(WS_PROTOCOL), worker->config->deflate);
    if (handshake.status != 0) {
        refuse(worker, exchange, handshake.status, handshake.why,
               handshake_refusal_lines(&handshake), request);
        return;
    }
    if (!register_query_read(request->http->query, request->texts, &asked, complaint)) {
        struct http_error error = http_error_complaint(complaint);
        error.extra = request->extra;
        exchange_refuse(worker, exchange, &error);
        return;
    }
    if (server_phase(worker->server) > PHASE_RUNNING) {
        struct http_error error =
            http_error_of(CODE_DRAINING, "the node is going; connect to another one");
        error.extra = request->extra;
        exchange_refuse(worker, exchange, &error);
        return;
    }
    if (!exchange_is_first(exchange)) {
        refuse(worker, exchange, 400, "an upgrade behind a request that is not answered yet",
               SPAN(""), request);
        return;
    }
    asked_deflate = handshake.deflate;
    struct http_upgrade upgrade = {&websocket_protocol, opened, NULL};
    handshake_accept(worker, exchange, &handshake, SPAN(WS_PROTOCOL), request->extra, &upgrade);
}
