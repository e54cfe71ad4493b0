#include "proto/web/eio/engine_serve.h"

#include "core/arrival.h"
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/http/http_context.h"
#include "proto/http/query.h"
#include "proto/web/eio/engine_own.h"
#include "proto/web/eio/engine_poll.h"
#include "proto/web/eio/engine_socket.h"
#include "proto/web/handshake.h"
#include "proto/web/origin.h"

/* Of the lines that go with an answer, beside those for an origin. */
#define EXTRA_BYTES_MAX 4608
/* Of a subprotocol that is agreed to. */
#define PROTOCOL_BYTES_MAX 128

static const char *const paths[ENGINE_PATHS] = {
    [ENGINE_PATH_SOCKETIO] = "/socket.io/",
    [ENGINE_PATH_ECHO] = "/engine.io/",
};

static enum engine_path path_find(struct span path) {
    unsigned i = 0;
    while (i < ENGINE_PATHS && (engine_app_of(i) == NULL || !span_equal(path, span_text(paths[i]))))
        i++;
    return (enum engine_path)i;
}

bool engine_serves(struct span path) {
    return path_find(path) != ENGINE_PATHS;
}

static size_t body_max(const struct config *config) {
    return config->max_payload_bytes;
}
const struct route_body engine_body = {body_max, " (--max-payload)"};
static const struct route route = {.pattern = "/socket.io/", .open = true, .body = &engine_body};

bool engine_admit(struct worker *worker, const struct http_request *http,
                  struct http_error *error) {
    http_context(worker)->match.route = &route;
    if (http->body_bytes <= worker->config->max_payload_bytes)
        return true;
    /* As the reference server says it. */
    *error = (struct http_error){
        .status = 413, .code = code_word(CODE_TOO_LARGE), .bare = true, .message = SPAN("")};
    return false;
}

struct http_error engine_forbidden(void) {
    return (struct http_error){.status = 403,
                               .code = code_word(CODE_FORBIDDEN),
                               .bare = true,
                               .message = SPAN("{\"code\":4,\"message\":\"Forbidden\"}")};
}

void engine_forbid(struct worker *worker, struct http_exchange *exchange,
                   const struct http_request *http, struct span extra) {
    engine_error_answer(worker, exchange, 4, http_asks_upgrade(http, SPAN("websocket")), extra);
}

void engine_http_open(struct http_connection *http) {
    list_init(&((struct poll_list *)http_state(http))->polls);
}

void engine_http_ended(struct worker *worker, struct http_connection *http) {
    polls_gone(worker, http);
}

/* --- what is asked ---------------------------------------------------------------------------- */

enum transport { TRANSPORT_UNKNOWN, TRANSPORT_POLLING, TRANSPORT_WEBSOCKET };

struct asked {
    enum engine_path path;
    enum transport transport;
    unsigned version; /* 4, 3, or 0: neither */
    struct span sid;  /* empty: a handshake */
    bool upgrades;    /* it asks for a WebSocket */
    bool base64, jsonp;
    struct span digits; /* of `j`, and whatever else is in it */
    struct span query;
};

/* Of a parameter that is given more than once the last counts; others are nobody's business here.
 * False: it is not well-formed. */
static bool asked_read(struct worker *worker, const struct http_request *http,
                       struct asked *asked) {
    struct builder texts = builder_over(http_context(worker)->names, HTTP_TARGET_BYTES_MAX);
    struct span rest = http->query.at == NULL ? SPAN("") : http->query, name, value;
    enum query_step step;
    *asked = (struct asked){.path = path_find(http->path),
                            .upgrades = http_asks_upgrade(http, SPAN("websocket")),
                            .query = rest};
    while ((step = query_step(&rest, &texts, &name, &value, &http_context(worker)->complaint)) ==
           QUERY_PARAMETER) {
        if (span_equal(name, SPAN("transport")))
            asked->transport = span_equal(value, SPAN("polling"))     ? TRANSPORT_POLLING
                               : span_equal(value, SPAN("websocket")) ? TRANSPORT_WEBSOCKET
                                                                      : TRANSPORT_UNKNOWN;
        else if (span_equal(name, SPAN("EIO")))
            asked->version = span_equal(value, SPAN("4"))   ? 4
                             : span_equal(value, SPAN("3")) ? 3
                                                            : 0;
        else if (span_equal(name, SPAN("sid")))
            asked->sid = value;
        else if (span_equal(name, SPAN("b64")))
            asked->base64 = value.len != 0;
        else if (span_equal(name, SPAN("j"))) {
            asked->jsonp = true;
            asked->digits = value;
        }
    }
    return step == QUERY_END;
}

static void digits_take(struct poll_ask *ask, struct span text) {
    for (size_t i = 0; i < text.len && ask->jsonp_len < POLL_JSONP_MAX; i++)
        if (text.at[i] >= '0' && text.at[i] <= '9')
            ask->jsonp_digits[ask->jsonp_len++] = text.at[i];
}

/* Where the session may be that the request is for. */
enum whereabouts { SID_NOWHERE, SID_HERE, SID_ELSEWHERE };

static enum whereabouts sid_look(const struct worker *worker, const struct asked *asked,
                                 struct sid *sid) {
    if (!sid_read(asked->sid, sid))
        return SID_NOWHERE;
    if (sid->node != engines_node(worker))
        return SID_ELSEWHERE;
    return sid->worker < worker->server->worker_count ? SID_HERE : SID_NOWHERE;
}

/* How often it is said, by all workers together. */
#define FOREIGN_LOG_NS (60 * NS_PER_S)

/* A session of another node that is not asked. */
static void foreign_tell(struct worker *worker) {
    static _Atomic uint64_t told_ns;
    uint64_t told = atomic_load_explicit(&told_ns, memory_order_relaxed);
    stats_add(&worker->stats.engine_foreign, 1);
    if (worker->server->parts.peers != NULL ||
        (told != 0 && worker->now_ns < told + FOREIGN_LOG_NS) ||
        !atomic_compare_exchange_strong(&told_ns, &told, worker->now_ns))
        return;
    log_event(LOG_WARN, "poll_of_another_node", LOG_STR("answer", "Session ID unknown"),
              LOG_STR("meaning",
                      "a client polls for a session that another node has, or an earlier "
                      "run of this one had; it begins a new one"),
              LOG_STR("remedy", "where a balancer spreads the polls of a client over nodes, give "
                                "each node --redis, --peer ADDR:PORT and --peer-secret-file, or "
                                "make the balancer sticky"));
}

static struct poll_ask ask_of(const struct http_request *http, const struct asked *asked,
                              const struct sid *sid) {
    struct poll_ask ask = {
        .sid = *sid,
        .path = (uint8_t)asked->path,
        .kind = http->method == HTTP_METHOD_GET    ? POLL_GET
                : http->method == HTTP_METHOD_POST ? POLL_POST
                                                   : POLL_OTHER,
        .version = (uint8_t)asked->version,
        .mismatch = asked->transport != TRANSPORT_POLLING,
        .bytes = span_equal_nocase(http->content_type, SPAN("application/octet-stream")),
        .jsonp = asked->jsonp,
    };
    digits_take(&ask, asked->digits);
    return ask;
}

/* --- WebSocket -------------------------------------------------------------------------------- */

/* From `serve` until the connection has changed, in the same call. */
static _Thread_local struct engine_handshake handshake_asked;

static void opened(struct worker *worker, struct connection *connection, void *argument) {
    if (argument != NULL)
        engine_socket_probe(worker, connection, argument);
    else
        engine_socket_open(worker, connection, &handshake_asked);
}

static void refuse(struct worker *worker, struct http_exchange *exchange, enum code code,
                   const char *why, struct span extra) {
    struct http_error error = http_error_of(code, why);
    error.extra = extra;
    stats_add(&worker->stats.engine_refused, 1);
    exchange_refuse(worker, exchange, &error);
}

/* The first subprotocol that the client offers, which it gets back, as from the reference server: a
 * browser ends a connection that is to have one and has none. Empty: there is none, or it is too
 * long for an answer. */
static struct span protocol_first(const struct http_request *http) {
    struct span offered = http_fields_get(&http->fields, SPAN("sec-websocket-protocol"));
    size_t len = 0;
    while (len < offered.len && memchr(", \t", offered.at[len], 3) == NULL)
        len++;
    return len > PROTOCOL_BYTES_MAX ? SPAN("") : span_of(offered.at, len);
}

/* `engine` NULL: a session begins. */
static void upgrade(struct worker *worker, struct http_exchange *exchange,
                    const struct http_request *http, const struct asked *asked,
                    struct engine *engine, struct span extra) {
    struct span protocol = protocol_first(http);
    struct handshake handshake = handshake_look(http, protocol, false);
    if (handshake.status != 0 || !exchange_is_first(exchange)) {
        engine_error_answer(worker, exchange, 3, true, extra);
        return;
    }
    handshake_asked = (struct engine_handshake){asked->path, asked->version, asked->query};
    struct http_upgrade next = {&engine_socket_protocol, opened, engine};
    handshake_accept(worker, exchange, &handshake, protocol, extra, &next);
}

/* An upgrade of a session that polls: where it lives. */
static void upgrade_sid(struct worker *worker, struct http_exchange *exchange,
                        const struct http_request *http, const struct asked *asked,
                        const struct sid *sid, struct span extra) {
    if (sid->worker != worker->index) {
        if (exchange_may_move(exchange))
            exchange_hand_over(worker, exchange, sid->worker);
        else
            refuse(worker, exchange, CODE_OVERLOADED,
                   "the connection could not go to the worker of its session; try again", extra);
        return;
    }
    struct engine *engine = engine_find(worker, sid);
    if (engine == NULL || engine->path != asked->path)
        engine_error_answer(worker, exchange, 1, true, extra);
    else if (asked->version == 0 || engine->version != asked->version)
        engine_error_answer(worker, exchange, asked->version == 0 ? 5 : 3, true, extra);
    else if (asked->transport != TRANSPORT_WEBSOCKET)
        engine_error_answer(worker, exchange, 3, true, extra);
    else
        upgrade(worker, exchange, http, asked, engine, extra);
}

/* --- a handshake ------------------------------------------------------------------------------ */

/* The app is told. Only while it is held. */
bool engine_begin(struct worker *worker, struct engine *engine) {
    char room[256];
    struct builder open = builder_over(room, sizeof room);
    engine_open_write(worker, engine, engine->connection == NULL, &open);
    CHECK(!open.full, "an open packet is too long");
    stats_add(&worker->stats.engine_opened, 1);
    engine->unknown = true;
    if (!engine_packet(worker, engine,
                       &(struct engine_packet){.type = ENGINE_OPEN, .bytes = builder_span(&open)}))
        return false;
    /* From here on the app is told of an end, also of one that it brings about itself in on_open;
     * not if it does not take the session. */
    engine->unknown = false;
    if (engine_app_of(engine->path)->on_open(worker, engine))
        return !engine_is_gone(engine);
    engine->unknown = true;
    engine_end(worker, engine, CLOSE_OVERLOADED, ENGINE_CLOSE);
    return false;
}

static void handshake_poll(struct worker *worker, struct http_exchange *exchange,
                           const struct http_request *http, const struct asked *asked,
                           struct span extra) {
    const struct peer_address *peer = &exchange->http->connection->peer;
    struct engine *engine = NULL;
    enum refuse_reason why;
    bool counted, polls;
    /* It is there also between two polls, without a connection that counts. */
    if (SHORTAGE(!address_hold(worker, LISTENER_WEB, peer, &counted, &why))) {
        stats_add(&worker->stats.refused[why], 1);
        refuse(worker, exchange, why == REFUSE_ADDRESS ? CODE_RATE_LIMITED : CODE_OVERLOADED,
               why == REFUSE_ADDRESS
                   ? "this address has as many connections and sessions that poll as "
                     "--max-per-address allows"
                   : "there is no memory for one more address at the moment; try again",
               extra);
        return;
    }
    polls = engine_polls_begin(worker);
    if (!SHORTAGE(!polls))
        engine = engine_make(worker, asked->path, asked->version, NULL, asked->query);
    if (SHORTAGE(engine == NULL)) {
        address_let(worker, peer, counted);
        if (polls)
            engine_polls_end(worker);
        refuse(worker, exchange, CODE_OVERLOADED,
               "there is no room or memory for a session at the moment; try again", extra);
        return;
    }
    engine->polls->peer = *peer;
    engine->polls->base64 = asked->base64;
    engine->polls->counted = counted;
    engine_hold(engine);
    struct sid sid = engine_sid_of(worker, engine);
    struct poll_ask ask = ask_of(http, asked, &sid);
    ask.opens = true;
    if (!engine_begin(worker, engine))
        refuse(worker, exchange, CODE_OVERLOADED,
               "there is no memory for a session at the moment; try again", extra);
    else if (!poll_begin(worker, exchange, &ask, SPAN(""), extra))
        engine_end(worker, engine, CLOSE_OVERLOADED, ENGINE_CLOSE);
    engine_let(worker, engine);
}

static void handshake(struct worker *worker, struct http_exchange *exchange,
                      const struct http_request *http, const struct asked *asked,
                      struct span extra) {
    if (http->method != HTTP_METHOD_GET)
        engine_error_answer(worker, exchange, 2, asked->upgrades, extra);
    else if (asked->transport == TRANSPORT_WEBSOCKET && !asked->upgrades)
        engine_error_answer(worker, exchange, 3, false, extra);
    else if (asked->version == 0)
        engine_error_answer(worker, exchange, 5, asked->upgrades, extra);
    else if (server_phase(worker->server) > PHASE_RUNNING)
        refuse(worker, exchange, CODE_DRAINING, "the node is going; connect to another one", extra);
    else if (asked->transport == TRANSPORT_WEBSOCKET)
        upgrade(worker, exchange, http, asked, NULL, extra);
    else if (asked->upgrades)
        engine_error_answer(worker, exchange, 3, true, extra);
    else
        handshake_poll(worker, exchange, http, asked, extra);
}

/* --- a request -------------------------------------------------------------------------------- */

static bool is_old_explorer(const struct http_request *http) {
    struct span agent = http_fields_get(&http->fields, SPAN("user-agent"));
    return agent.at != NULL && (memmem(agent.at, agent.len, ";MSIE", 5) != NULL ||
                                memmem(agent.at, agent.len, "Trident/", 8) != NULL);
}

void engine_serve(struct worker *worker, struct http_exchange *exchange,
                  const struct http_request *http, struct span origin) {
    char room[EXTRA_BYTES_MAX];
    struct builder lines = builder_over(room, sizeof room);
    struct asked asked;
    struct sid sid;
    enum whereabouts where;
    builder_span_add(&lines, origin);
    builder_span_add(&lines, SPAN("Cache-Control: no-store\r\n"));
    if (is_old_explorer(http))
        builder_span_add(&lines, SPAN("X-XSS-Protection: 0\r\n"));
    CHECK(!lines.full, "the lines of an answer are too long");
    struct span extra = builder_span(&lines);
    if (http->body_bytes > worker->config->max_payload_bytes) {
        stats_add(&worker->stats.engine_refused, 1);
        exchange_answer_bare(worker, exchange, 413, NULL, extra, SPAN(""));
    } else if (!asked_read(worker, http, &asked) || (asked.upgrades && http->has_body)) {
        /* A body may lie in a block of its own, with the whole request, which is freed before the
         * connection has changed. */
        engine_error_answer(worker, exchange, 3, asked.upgrades, extra);
    } else if (!origin_admits_unsaid(worker->config, http, asked.jsonp)) {
        engine_error_answer(worker, exchange, 4, asked.upgrades, extra);
    } else if (asked.transport == TRANSPORT_UNKNOWN) {
        engine_error_answer(worker, exchange, 0, asked.upgrades, extra);
    } else if (asked.sid.len == 0) {
        handshake(worker, exchange, http, &asked, extra);
    } else if ((where = sid_look(worker, &asked, &sid)) == SID_NOWHERE) {
        engine_error_answer(worker, exchange, 1, asked.upgrades, extra);
    } else if (where == SID_ELSEWHERE && (asked.upgrades || worker->server->parts.peers == NULL)) {
        /* Whoever polls goes on to do so if the upgrade fails. */
        foreign_tell(worker);
        engine_error_answer(worker, exchange, 1, asked.upgrades, extra);
    } else if (asked.upgrades) {
        upgrade_sid(worker, exchange, http, &asked, &sid, extra);
    } else {
        struct poll_ask ask = ask_of(http, &asked, &sid);
        (void)poll_begin(worker, exchange, &ask, ask.kind == POLL_POST ? http->body : SPAN(""),
                         extra);
    }
}
