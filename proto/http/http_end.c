/* http_end.c - how an HTTP connection ends: by its peer, by the drain, by time; see
 * http_connection.h. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/http/http_connection.h"
#include "proto/http/http_context.h"
#include "proto/http/http_stream.h"

/* No more requests; the answers that are owed still leave. */
static void http_wind_up(struct worker *worker, struct http_connection *http,
                         enum close_reason reason) {
    http_stop(http, reason);
    if (list_empty(&http->owed))
        connection_finish(worker, http->connection, (enum close_reason)http->finish_reason);
}

void http_on_end(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    if (http_due_ns(http) != 0 && !http_skips(http)) {
        /* It may still read, and a producer is to learn that its request was cut off. */
        struct http_error error = http_error_of(
            CODE_BAD_MESSAGE, "the connection ended within the request; nothing of it was taken");
        http_refuse_as(worker, http, &error, CLOSE_CLIENT);
    }
    http->ended = true;
    http_stop(http, CLOSE_CLIENT);
    if (http_service(http)->ended != NULL)
        http_service(http)->ended(worker, http);
    if (!http->closed && connection_is_open(connection))
        http_wind_up(worker, http, CLOSE_CLIENT);
}

void http_on_end_unread(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    http->ended = true;
    if (http->stream != NULL)
        http_stream_stop(worker, http, CLOSE_CLIENT);
    if (!http->closed && http_service(http)->ended != NULL)
        http_service(http)->ended(worker, http);
}

void http_on_drain(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    if (list_empty(&http->owed) && http_due_ns(http) != 0 && !http_skips(http)) {
        /* A request is on its way. Its producer learns that it was not taken. */
        struct http_error error = http_error_of(CODE_DRAINING, "the node is going; nothing was "
                                                               "taken, send it elsewhere");
        http_refuse_as(worker, http, &error, CLOSE_HTTP_DONE);
        return;
    }
    if (list_empty(&http->owed) && !http->wrote && server_phase(worker->server) == PHASE_CLOSING) {
        /* It has only just come, and its first request with it, perhaps: that will be told so. */
        connection_abandon(worker, connection);
        return;
    }
    if (!list_empty(&http->owed)) {
        struct http_exchange *last = container_of(http->owed.prev, struct http_exchange, link);
        if (last->busy > 1) {
            /* Only the last of them says so. */
            last->busy--;
            last = exchange_open(worker, http, last->answer_flags);
            if (SHORTAGE(last == NULL)) {
                connection_close(worker, connection, CLOSE_OVERLOADED);
                return;
            }
            last->busy = 1;
            last->answered = true;
        }
        last->answer_flags |= HTTP_ANSWER_CLOSE;
    }
    http_wind_up(worker, http, CLOSE_DRAINING);
    http_stream_stop(worker, http, CLOSE_DRAINING);
}

/* --- time ------------------------------------------------------------------------------------- */

static void refuse_late(struct worker *worker, struct http_connection *http) {
    struct http_error error = {.status = 408,
                               .code = code_word(CODE_TIMEOUT),
                               .message = http->in_body
                                              ? SPAN("the body came too slowly: it may be 30 s "
                                                     "behind a rate of 16384 bytes a second")
                                              : SPAN("the head of the request was not whole "
                                                     "within 10 s")};
    http_refuse_as(worker, http, &error, CLOSE_HTTP_TIMEOUT);
}

/* True: the peer takes nothing of what was written. A send ends as soon as the socket takes some of
 * it, so this needs no count of bytes, to which the messages of sessions would add. */
static bool is_stuck(const struct worker *worker, const struct connection *connection) {
    uint32_t waits_ms = (uint32_t)(worker->now_ns / NS_PER_MS) - connection->sending_ms;
    return (connection->ops & OP_SEND) && waits_ms >= HTTP_ANSWER_NS / NS_PER_MS;
}

void http_on_deadline(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    uint64_t now_ns = worker->now_ns;
    http->armed_ns = 0;
    if (http_due_ns(http) != 0 && now_ns >= http_due_ns(http)) {
        if (http_skips(http))
            http_wind_up(worker, http, CLOSE_HTTP_TIMEOUT); /* it has its answer */
        else
            refuse_late(worker, http);
        if (http->closed)
            return;
    }
    if (is_stuck(worker, connection)) {
        connection_close(worker, connection, CLOSE_HTTP_TIMEOUT);
        return;
    }
    bool idle = list_empty(&http->owed) && outbox_empty(&connection->outbox);
    if (idle && http_due_ns(http) == 0 && now_ns - http->active_ns >= HTTP_IDLE_NS) {
        connection_close(worker, connection, CLOSE_HTTP_IDLE);
        return;
    }
    if (http_due_ns(http) != 0)
        http_watch(worker, http, http_due_ns(http));
    else
        http_watch(worker, http, idle ? http->active_ns + HTTP_IDLE_NS : now_ns + HTTP_WATCH_NS);
    if (!idle)
        http_watch(worker, http, now_ns + HTTP_WATCH_NS);
    if (http->stream != NULL)
        http_stream_look(worker, http);
}

void http_on_sent(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    http->active_ns = worker->now_ns;
    http->unread &= !list_empty(&http->owed);
    http_stream_sent(worker, http);
    if (!http->closed)
        http_pace(worker, http);
}

void http_on_close(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    if (http->connection == NULL)
        return; /* there was no memory for its state */
    http->closed = true;
    if (http->gone != NULL)
        atomic_store_explicit(http->gone, true, memory_order_relaxed);
    exchanges_drop(worker, http);
    if (http_service(http)->ended != NULL)
        http_service(http)->ended(worker, http);
    if (!connection->in_protocol) /* otherwise http_on_bytes does it, which looks at it still */
        http_incoming_free(worker, http);
}

void http_on_free(struct worker *worker, struct connection *connection) {
    struct http_connection *http = http_of(connection);
    if (http->connection == NULL)
        return;
    CHECK(http->exchanges == 0, "%u requests are still being served", http->exchanges);
    http_free(worker, connection);
}
