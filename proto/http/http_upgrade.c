#include "proto/http/http_upgrade.h"

#include "core/base/builder.h"
#include "core/base/check.h"
#include "core/handover.h"
#include "core/worker.h"
#include "proto/http/http_context.h"

bool http_asks_upgrade(const struct http_request *request, struct span token) {
    return http_fields_say(&request->fields, SPAN("connection"), SPAN("upgrade")) &&
           http_fields_say(&request->fields, SPAN("upgrade"), token);
}

bool exchange_is_first(const struct http_exchange *exchange) {
    return exchange->http->owed.next == &exchange->link;
}

bool exchange_may_move(const struct http_exchange *exchange) {
    return exchange_is_first(exchange) && !exchange->http->stayed;
}

/* Nothing is answered for it here. */
static void exchange_forget(struct worker *worker, struct http_exchange *exchange) {
    CHECK(exchange->http->serving && exchange_is_first(exchange), "an exchange is not the first");
    exchange_unlink(exchange);
    exchange_free(worker, exchange);
}

void exchange_upgrade(struct worker *worker, struct http_exchange *exchange, struct span token,
                      struct span extra, const struct http_upgrade *upgrade) {
    struct http_connection *http = exchange->http;
    CHECK(exchange->chunks, "HTTP/1.0 knows no upgrade");
    exchange_forget(worker, exchange);
    struct builder out = builder_over(http_context(worker)->answer, HTTP_ANSWER_BYTES_MAX);
    builder_span_add(&out, SPAN("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"));
    http_field_write(&out, SPAN("Upgrade"), token);
    builder_span_add(&out, extra);
    builder_span_add(&out, SPAN("\r\n"));
    CHECK(!out.full, "an answer's head is too long");
    http_write(worker, http, builder_span(&out));
    http->upgrades = true;
    http_context(worker)->upgrade = *upgrade;
}

void exchange_hand_over(struct worker *worker, struct http_exchange *exchange, unsigned to) {
    struct http_connection *http = exchange->http;
    CHECK(!http->stayed && to != worker->index, "a connection goes in circles");
    exchange_forget(worker, exchange);
    http->moves_to = (uint8_t)(to + 1);
}

void http_change(struct worker *worker, struct http_connection *http) {
    struct connection *connection = http->connection;
    struct http_upgrade upgrade = http_context(worker)->upgrade;
    if (http->moves_to != 0) {
        unsigned to = http->moves_to - 1u;
        http->moves_to = 0;
        connection_hand_over(worker, connection, to);
        return;
    }
    connection_become(worker, connection, upgrade.protocol);
    if (upgrade.opened != NULL && connection_is_open(connection))
        upgrade.opened(worker, connection, upgrade.argument);
}

void http_on_leave(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    CHECK(list_empty(&http->owed) && http->exchanges == 0, "an answer is owed");
    http_free(worker, connection);
}

void http_on_stayed(struct worker *worker, struct connection *connection) {
    (void)worker;
    http_of(connection)->stayed = true;
}
