/* engine_front.c - polls where they were accepted; see engine_poll.h. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/http/http_connection.h"
#include "proto/web/eio/engine_own.h"
#include "proto/web/eio/engine_poll.h"

static struct list *polls_of(struct http_connection *http) {
    return &((struct poll_list *)http_state(http))->polls;
}

static struct span error_text(unsigned code) {
    static const char *const texts[] = {
        "Transport unknown", "Session ID unknown", "Bad handshake method",
        "Bad request",       "Forbidden",          "Unsupported protocol version"};
    CHECK(code < sizeof texts / sizeof *texts);
    return span_text(texts[code]);
}

/* Whoever asked for a WebSocket is answered without JSON, and the connection ends. */
void engine_error_answer(struct worker *worker, struct http_exchange *exchange, unsigned code,
                         bool upgrades, struct span extra) {
    char room[64];
    struct builder out = builder_over(room, sizeof room);
    stats_add(&worker->stats.engine_refused, 1);
    if (upgrades) {
        exchange->answer_flags |= HTTP_ANSWER_CLOSE;
        http_stop(exchange->http, CLOSE_HTTP_BAD_REQUEST);
        exchange_answer_bare(worker, exchange, 400, "text/html", extra, error_text(code));
        return;
    }
    builder_span_add(&out, SPAN("{\"code\":"));
    builder_u64(&out, code);
    builder_span_add(&out, SPAN(",\"message\":"));
    builder_json(&out, error_text(code));
    builder_byte(&out, '}');
    exchange_answer_bare(worker, exchange, code == 4 ? 403 : 400, NULL, extra, builder_span(&out));
}

/* --- there ------------------------------------------------------------------------------------ */

static void overloaded(struct worker *worker, struct http_exchange *exchange, struct span extra) {
    struct http_error error = http_error_of(
        CODE_OVERLOADED, "there is no room or memory for the poll at the moment; try again");
    error.extra = extra;
    exchange_refuse(worker, exchange, &error);
}

static struct chunk *body_copy(struct worker *worker, struct span body) {
    struct chunk *chunk = chunk_get(&worker->endpoint, body.len, false);
    if (SHORTAGE(chunk == NULL))
        return NULL;
    memcpy(chunk->text, body.at, body.len);
    chunk->len = (uint32_t)body.len;
    return chunk;
}

static void poll_free(struct worker *worker, struct poll *poll) {
    chunk_put(poll->body);
    chunks_put(poll->chunks);
    memory_put(&worker->account, poll, sizeof *poll + poll->extra_len);
}

static struct poll *poll_make(struct worker *worker, const struct poll_ask *ask, struct span body,
                              struct span extra) {
    struct poll *poll = memory_get(&worker->account, sizeof *poll + extra.len);
    if (SHORTAGE(poll == NULL))
        return NULL;
    *poll = (struct poll){.ask = *ask, .extra_len = (uint32_t)extra.len};
    memcpy(poll->extra, extra.at, extra.len);
    relay_init(&poll->go, worker->index);
    relay_init(&poll->cancel, worker->index);
    list_init(&poll->link);
    if (body.len == 0)
        return poll;
    poll->body = body_copy(worker, body);
    if (poll->body != NULL)
        return poll;
    poll_free(worker, poll);
    return NULL;
}

/* The worker where the session lives, or the port that passes polls on to other nodes. */
static unsigned home_of(const struct worker *worker, const struct sid *sid) {
    return sid->node == engines_node(worker) ? sid->worker : worker->server->parts.peers->index;
}

bool poll_begin(struct worker *worker, struct http_exchange *exchange, const struct poll_ask *ask,
                struct span body, struct span extra) {
    unsigned home = home_of(worker, &ask->sid);
    struct poll *poll = NULL;
    stats_add(&worker->stats.engine_requests, 1);
    if (!SHORTAGE(!relay_room(&worker->endpoint, home)))
        poll = poll_make(worker, ask, body, extra);
    if (SHORTAGE(poll == NULL)) {
        stats_add(&worker->stats.engine_refused, 1);
        overloaded(worker, exchange, extra);
        return false;
    }
    if (ask->kind == POLL_GET)
        exchange_waits(exchange);
    poll->exchange = exchange;
    poll->home = (uint16_t)home;
    poll->away = 1;
    list_add_tail(polls_of(exchange->http), &poll->link);
    relay_send(worker, &poll->go, home, poll_arrive);
    return true;
}

/* --- back ------------------------------------------------------------------------------------- */

/* A payload as a script: the whole of it in one block. NULL: no memory. */
static struct chunk *jsonp_make(struct worker *worker, struct poll *poll) {
    struct chunk *all = chunk_get(&worker->endpoint, poll->answer_bytes, false);
    if (SHORTAGE(all == NULL))
        return NULL;
    for (const struct chunk *at = poll->chunks; at != NULL; at = at->next) {
        memcpy(all->text + all->len, at->text, at->len);
        all->len += at->len;
    }
    struct span text = span_of(all->text, all->len);
    struct chunk *script =
        chunk_get(&worker->endpoint,
                  engine_jsonp_len(text) + POLL_JSONP_MAX + sizeof "___eio[](\"\");", false);
    if (!SHORTAGE(script == NULL)) {
        struct builder out = builder_over(script->text, script->cap);
        builder_span_add(&out, SPAN("___eio["));
        builder_bytes(&out, poll->ask.jsonp_digits, poll->ask.jsonp_len);
        builder_span_add(&out, SPAN("](\""));
        engine_jsonp_write(&out, text);
        builder_span_add(&out, SPAN("\");"));
        CHECK(!out.full, "a script is longer than it was counted");
        script->len = (uint32_t)out.len;
    }
    chunk_put(all);
    return script;
}

static void payload_answer(struct worker *worker, struct http_exchange *exchange, struct poll *poll,
                           struct span extra) {
    const char *type = poll->answer == POLL_ANSWER_BYTES ? "application/octet-stream"
                                                         : "text/plain; charset=UTF-8";
    struct chunk *chunks = poll->chunks;
    uint32_t bytes = poll->answer_bytes;
    if (poll->ask.jsonp) {
        chunks = jsonp_make(worker, poll);
        if (SHORTAGE(chunks == NULL)) {
            overloaded(worker, exchange, extra);
            return;
        }
        bytes = chunks->len;
    } else {
        poll->chunks = NULL;
    }
    exchange_answer_chunks(worker, exchange, poll->status, type, extra, chunks, bytes);
}

static void answer(struct worker *worker, struct http_exchange *exchange, struct poll *poll) {
    struct span extra = span_of(poll->extra, poll->extra_len);
    switch ((enum poll_answer)poll->answer) {
    case POLL_ANSWER_NONE:
        exchange_answer_bare(worker, exchange, poll->status, NULL, extra, SPAN(""));
        break;
    case POLL_ANSWER_OK:
        exchange_answer_bare(worker, exchange, poll->status, "text/html", extra, SPAN("ok"));
        break;
    case POLL_ANSWER_ERROR:
        engine_error_answer(worker, exchange, poll->code, false, extra);
        break;
    case POLL_ANSWER_TEXT:
    case POLL_ANSWER_BYTES:
        payload_answer(worker, exchange, poll, extra);
        break;
    case POLL_ANSWER_STARVED:
        stats_add(&worker->stats.engine_refused, 1);
        overloaded(worker, exchange, extra);
        break;
    }
}

static void poll_home(struct worker *worker, struct poll *poll) {
    if (--poll->away == 0)
        poll_free(worker, poll);
}

void poll_back(struct worker *worker, struct relay *relay) {
    struct poll *poll = container_of(relay, struct poll, go);
    struct http_exchange *exchange = poll->exchange;
    list_remove(&poll->link);
    poll->exchange = NULL;
    if (exchange != NULL)
        answer(worker, exchange, poll);
    poll_home(worker, poll);
}

void poll_cancel_back(struct worker *worker, struct relay *relay) {
    poll_home(worker, container_of(relay, struct poll, cancel));
}

void polls_gone(struct worker *worker, struct http_connection *http) {
    struct list gone, *node;
    list_init(&gone);
    list_append(&gone, polls_of(http));
    while ((node = list_pop(&gone)) != NULL) {
        struct poll *poll = container_of(node, struct poll, link);
        if (http->closed) {
            struct http_exchange *exchange = poll->exchange;
            poll->exchange = NULL;
            exchange_answer_bare(worker, exchange, 200, NULL, SPAN(""), SPAN("")); /* frees it */
        } else {
            list_add_tail(polls_of(http), node); /* the peer may still read */
        }
        if (poll->cancelled)
            continue;
        poll->cancelled = true;
        poll->away++;
        relay_send(worker, &poll->cancel, poll->home, poll_cancelled);
    }
}
