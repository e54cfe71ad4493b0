/* One HTTP connection on a whole engine: order of answers, what is refused before the body, pauses,
 * times, ends. */
#include "tests/support/fake_http.h"

#include "core/slots.h"

#include "proto/http/http_connection.c"
#include "proto/http/http_exchange.c"

static struct peer *api;

static int setup(void **state) {
    (void)state;
    fake_config.max_body_bytes = 200000;
    http_node_open();
    api = api_connect();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static uint64_t closed(enum close_reason reason) {
    return stats_get(&fake_server.workers[0].stats.closed[reason]);
}

static const char *const conversation =
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\n{\"to\"\r\nF;x=y\r\n:\"a\",\"id\":\"m1\"}\r\n0\r\nX: y\r\n\r\n"
    "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    "GET /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n\r\n"
    "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n"
    "{\"to\":\"b\",\"id\":\"m2\"}"
    "GET /nope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#define DATE "Date: Thu, 01 Jan 2026 00:00:01 GMT\r\n"

static const char *const answers =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n" DATE "\r\n"
    "{\"status\":\"ok\"}\n"
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 44\r\n" DATE "\r\n"
    "{\"id\":\"m1\",\"state\":\"absent\",\"recipients\":0}\n"
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n" DATE "\r\n"
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 73\r\n" DATE "\r\n"
    "{\"error\":{\"code\":\"not_found\",\"message\":\"no session has this client id\"}}\n"
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 44\r\n" DATE "\r\n"
    "{\"id\":\"m2\",\"state\":\"absent\",\"recipients\":0}\n"
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 82\r\n" DATE
    "Connection: close\r\n\r\n"
    "{\"error\":{\"code\":\"not_found\",\"message\":\"there is no such path; see docs/api.md\"}}\n";

/* Whole, byte by byte, and in two pieces at every place, the answers are the same. */
static void test_however_it_is_cut(void **state) {
    (void)state;
    size_t len = strlen(conversation);
    for (size_t cut = 0; cut <= len; cut++) {
        struct peer *peer = cut == 0 ? api : api_connect();
        if (cut == len) {
            for (size_t i = 0; i < len; i++) {
                peer_send_bytes(peer, span_of(conversation + i, 1));
                node_settle();
            }
        } else {
            peer_send_bytes(peer, span_of(conversation, cut));
            node_settle();
            peer_say(peer, conversation + cut);
        }
        assert_string_equal(peer->out, answers);
        assert_true(peer->ended);
        peer_end(peer);
        assert_true(peer->closed);
        peer_forget(peer);
    }
    assert_int_equal(closed(CLOSE_HTTP_DONE), len + 1);
    api = api_connect();
}

/* Whatever a peer makes of the conversation, the node goes on, and nothing is left of it. */
static void test_mutations(void **state) {
    (void)state;
    size_t len = strlen(conversation);
    char *bytes = malloc(len);
    uint32_t random = 1;
    for (unsigned round = 0; round < 120; round++) {
        struct peer *peer = api_connect();
        memcpy(bytes, conversation, len);
        for (unsigned i = 0; i <= round % 3; i++) {
            random = random * 1664525 + 1013904223;
            bytes[(random >> 8) % len] = "\r\n :0{\"\xff"[random % 8];
        }
        for (size_t at = 0; at < len && !peer->ended; at += 250) {
            peer_send_bytes(peer, span_of(bytes + at, len - at < 250 ? len - at : 250));
            node_settle();
        }
        peer_end(peer);
        assert_true(peer->closed);
        peer_forget(peer);
    }
    free(bytes);
    assert_int_equal(http_context(&fake_server.workers[0])->exchanges.in_use, 0);
    assert_int_equal(status_of(ask(api, GET("/healthz"))), 200);
}

/* Volatile, so that however many there are none is kept for long. */
#define PUSH(id)                                                                                   \
    "POST /v1/clients/" id "?volatile=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n7"

/* Answers wait for those before them, requests do not. */
static void test_order_of_answers(void **state) {
    (void)state;
    struct peer *till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    const char *answer = ask(
        api, GET("/v1/clients/till")
                 GET("/healthz") "POST /v1/clients/till?id=m1 HTTP/1.1\r\n"
                                 "Host: localhost\r\nContent-Length: 1\r\n\r\n7" GET("/readyz"));
    const char *presence = strstr(answer, "\"sessions\":[{"), *ok = strstr(answer, "\"ok\""),
               *queued = strstr(answer, "\"queued\""), *ready = strstr(answer, "\"ready\"");
    assert_non_null(presence);
    assert_true(presence < ok && ok < queued && queued < ready);
    assert_non_null(strstr(till->out, "\"data\":7"));
}

static void test_pipeline_limit(void **state) {
    (void)state;
    /* No answer comes as long as the other worker does not turn: it has the client. */
    struct worker *worker = &fake_server.workers[0];
    enum { COUNT = HTTP_PIPELINE_MAX + 344 };
    client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    char *all = malloc(COUNT * 128);
    struct builder out = builder_over(all, COUNT * 128);
    for (unsigned i = 0; i < COUNT; i++)
        builder_text(&out, PUSH("till"));
    peer_send_bytes(api, builder_span(&out));
    free(all);
    for (unsigned i = 0; i < 400; i++) {
        worker_turn(worker, 0);
        peer_deliver(&fake_rings[0], api);
    }
    assert_int_equal(stats_get(&worker->stats.http_requests), HTTP_PIPELINE_MAX);
    assert_int_equal(api->out_len, 0);
    node_settle();
    assert_int_equal(stats_get(&worker->stats.http_requests), COUNT);
    assert_int_equal(times(api->out, "HTTP/1.1 202"), COUNT);
}

static void test_answers_that_are_not_read(void **state) {
    (void)state;
    struct worker *worker = &fake_server.workers[0];
    peer_stall(api, true);
    for (unsigned i = 0; i < 600; i++) {
        peer_send(api, GET("/metrics"));
        node_settle();
    }
    uint64_t served = stats_get(&worker->stats.http_requests);
    assert_true(served > 1 && served < 20);
    peer_stall(api, false);
    assert_int_equal(stats_get(&worker->stats.http_requests), 600);
    assert_int_equal(times(api->out, "HTTP/1.1 200 OK"), 600);
    /* It goes on as long as something is taken, and ends when nothing is. */
    peer_stall(api, true);
    peer_say(api, GET("/metrics"));
    for (unsigned i = 0; i < 4; i++) {
        node_pass(20 * NS_PER_S);
        peer_stall(api, false);
        peer_stall(api, true);
        peer_say(api, GET("/metrics"));
    }
    assert_false(api->ended);
    node_pass(HTTP_ANSWER_NS + HTTP_WATCH_NS + NS_PER_S);
    assert_int_equal(closed(CLOSE_HTTP_TIMEOUT), 1);
    assert_true(api->closed);
}

static void test_late_heads_and_idle(void **state) {
    (void)state;
    struct peer *idle = api_connect();
    assert_int_equal(status_of(ask(api, GET("/healthz"))), 200);
    node_pass(60 * NS_PER_S);
    assert_int_equal(status_of(ask(api, GET("/healthz"))), 200);
    assert_false(idle->closed);
    node_pass(16 * NS_PER_S);
    assert_true(idle->closed);
    node_pass(55 * NS_PER_S);
    assert_false(api->closed);
    free(peer_heard(api));
    /* A head that trickles in is not waited for longer than its time. */
    const char *head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    for (unsigned i = 0; i < 9; i++) {
        peer_send_bytes(api, span_of(head + i, 1));
        node_pass(NS_PER_S);
    }
    assert_int_equal(api->out_len, 0);
    node_pass(2 * NS_PER_S);
    assert_error(api->out, 408, "timeout");
    assert_non_null(strstr(api->out, "within 10 s"));
    assert_non_null(strstr(api->out, "Connection: close\r\n"));
    assert_int_equal(closed(CLOSE_HTTP_TIMEOUT), 1);
    assert_int_equal(closed(CLOSE_HTTP_IDLE), 1);
}

#define POST_150000                                                                                \
    "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 150000\r\n\r\n"

/* A second's worth of a body, for so many seconds; the number of those after which it was refused.
 */
static unsigned trickle(size_t bytes, unsigned seconds) {
    static char piece[65536];
    memset(piece, ' ', sizeof piece);
    for (unsigned i = 0; i < seconds; i++) {
        if (api->out_len != 0)
            return i;
        peer_send_bytes(api, span_of(piece, bytes));
        node_pass(1 * NS_PER_S);
    }
    return 0;
}

static void test_slow_bodies(void **state) {
    (void)state;
    /* A trickle is found out soon, however much has still to come. */
    peer_say(api, POST_150000);
    unsigned seconds = trickle(600, 60);
    assert_in_range(seconds, 30, 33);
    assert_error(api->out, 408, "timeout");
    assert_non_null(strstr(api->out, "16384 bytes"));
    assert_int_equal(closed(CLOSE_HTTP_TIMEOUT), 1);
    /* A line that is slow but lives is waited for, and a pause is none the more. */
    api = api_connect();
    peer_say(api, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                  "\r\n2f000\r\n");
    assert_int_equal(trickle(4096, 35), 0);
    assert_int_equal(api->out_len, 0);
    node_pass(10 * NS_PER_S);
    assert_error(api->out, 408, "timeout");
    /* What came fast at first is no credit. */
    api = api_connect();
    peer_say(api, POST_150000);
    assert_int_equal(trickle(40000, 3), 0);
    node_pass(31 * NS_PER_S);
    assert_error(api->out, 408, "timeout");
}

static void test_bodies_refused_unread(void **state) {
    (void)state;
    const char *answer = ask(
        api, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200001\r\n\r\n{");
    assert_error(answer, 413, "too_large");
    assert_non_null(strstr(answer, "longer than 200000 bytes (--max-body)"));
    assert_true(api->ended);
    /* A wrong path with a long body, or one that waits for 100. */
    api = api_connect();
    assert_error(
        ask(api, "POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"), 404,
        "not_found");
    assert_true(api->ended);
    api = api_connect();
    assert_error(ask(api, "POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                          "Expect: 100-continue\r\n\r\n"),
                 404, "not_found");
    assert_true(api->ended);
    /* A short one is read, and the connection stays. */
    api = api_connect();
    assert_error(ask(api, "POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"),
                 404, "not_found");
    assert_string_equal(ask(api, "GE"), "");
    assert_answer(ask(api, "T " GET("/healthz")), 200, "{\"status\":\"ok\"}");
    assert_false(api->ended);
    /* Chunks that become too much. */
    peer_say(api, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n");
    char chunk[4096 + 16];
    memset(chunk, ' ', sizeof chunk);
    memcpy(chunk, "1000\r\n", 6);
    memcpy(chunk + 6 + 4096, "\r\n", 2);
    free(peer_heard(api));
    for (unsigned i = 0; i < 60 && api->out_len == 0; i++) {
        peer_send_bytes(api, span_of(chunk, 6 + 4096 + 2));
        node_settle();
    }
    assert_error(api->out, 413, "too_large");
    assert_int_equal(closed(CLOSE_TOO_LARGE), 2);
}

#define TOO_LONG "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"

static uint64_t cut(void) {
    return stats_get(&fake_server.workers[0].stats.lingers_cut);
}

/* After an early answer the peer may send the rest of its body, then its end is waited for. */
static void test_an_early_answer_arrives(void **state) {
    (void)state;
    static char piece[65536];
    assert_error(ask(api, TOO_LONG), 413, "too_large");
    assert_true(api->ended);
    for (unsigned i = 0; i < 50; i++) {
        for (unsigned n = 0; n < 3; n++) {
            peer_send_bytes(api, span_of(piece, sizeof piece));
            node_settle();
        }
        assert_int_equal(api->in_len, 0);
        assert_false(api->closed);
        node_pass(1 * NS_PER_S);
    }
    node_pass(4 * NS_PER_S);
    assert_false(api->closed);
    peer_end(api);
    assert_true(api->closed);
    assert_int_equal(cut(), 0);
}

/* Not for ever: a peer that is silent, one that trickles, one that floods. */
static void test_the_rest_of_a_body_is_bounded(void **state) {
    (void)state;
    static char piece[65536];
    ask(api, TOO_LONG);
    node_pass(6 * NS_PER_S);
    assert_true(api->closed);
    assert_int_equal(cut(), 0);
    api = api_connect();
    ask(api, TOO_LONG);
    for (unsigned i = 0; i < 15; i++) {
        assert_false(api->closed);
        peer_send_bytes(api, span_of(piece, 1));
        node_pass(4 * NS_PER_S);
    }
    node_pass(5 * NS_PER_S);
    assert_true(api->closed);
    assert_int_equal(cut(), 1);
    api = api_connect();
    ask(api, TOO_LONG);
    for (unsigned i = 0; i < 1024; i++) {
        assert_false(api->closed);
        peer_send_bytes(api, span_of(piece, sizeof piece));
        node_settle();
    }
    peer_send_bytes(api, span_of(piece, sizeof piece));
    node_settle();
    assert_true(api->closed);
    assert_int_equal(cut(), 2);
}

/* Answers that are held back by one before them: reading stops, also where the peer reads. */
static void test_answers_that_wait_for_another(void **state) {
    (void)state;
    static char batch[4 * BATCH_MESSAGES_MAX + 3];
    struct builder out = builder_over(batch, sizeof batch - 1);
    builder_text(&out, "[{}");
    for (unsigned i = 1; i < BATCH_MESSAGES_MAX; i++)
        builder_text(&out, ",{}");
    builder_text(&out, "]");
    client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    struct worker *worker = &fake_server.workers[0];
    uint64_t before = stats_get(&worker->stats.http_requests);
    peer_send(api, PUSH("till"));
    for (unsigned i = 0; i < 40; i++) {
        peer_send(api, JSON_POST("/v1/messages", batch));
        for (unsigned n = 0; n < 4; n++)
            worker_turn(worker, 0);
    }
    uint64_t served = stats_get(&worker->stats.http_requests) - before;
    assert_true(served > 2 && served < 20);
    assert_int_equal(api->out_len, 0);
    node_settle();
    assert_int_equal(times(api->out, "HTTP/1.1 200"), 40);
}

/* The last answer of a peer that takes long to read: by its size. */
static void test_a_long_last_answer(void **state) {
    (void)state;
    static char batch[4 * BATCH_MESSAGES_MAX + 3];
    struct builder out = builder_over(batch, sizeof batch - 1);
    builder_text(&out, "[{}");
    for (unsigned i = 1; i < BATCH_MESSAGES_MAX; i++)
        builder_text(&out, ",{}");
    builder_text(&out, "]");
    peer_stall(api, true);
    for (unsigned i = 0; i < 2; i++)
        peer_say(api, JSON_POST("/v1/messages", batch));
    peer_say(api, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    node_pass(12 * NS_PER_S);
    assert_false(api->closed);
    peer_stall(api, false);
    assert_int_equal(times(api->out, "HTTP/1.1 200"), 3);
    peer_end(api);
}

/* Who needs no key cannot fill the memory with bodies. */
static void test_no_bodies_for_probes(void **state) {
    (void)state;
    static const char *const heads[] = {
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n",
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 190000\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
         "Expect: 100-continue\r\n\r\n"),
        "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nxx",
        "PUT /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\n",
    };
    static char piece[20000];
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        for (unsigned kind = LISTENER_WEB; kind <= LISTENER_API; kind++) {
            struct peer *peer = peer_connect(0, (enum listener_kind)kind);
            assert_int_equal(status_of(ask(peer, heads[i])), i == 5 ? 405 : 413);
            peer_send_bytes(peer, span_of(piece, sizeof piece));
            node_settle();
            assert_true(fake_server.workers[0].account.used_bytes < 1000);
            peer_end(peer);
        }
    }
    assert_answer(ask(api, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"),
                  200, "{\"status\":\"ok\"}");
    /* One that does not come at all: the connection ends without another answer. */
    peer_say(api, heads[0]);
    free(peer_heard(api));
    node_pass(40 * NS_PER_S);
    assert_int_equal(api->out_len, 0);
    assert_true(api->ended);
}

static void test_no_memory_for_a_body(void **state) {
    (void)state;
    fake_server.budget.ceiling_bytes = 100000;
    const char *answer =
        ask(api, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 190000\r\n\r\n");
    assert_error(answer, 503, "overloaded");
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    assert_true(api->ended);
}

static void test_expect(void **state) {
    (void)state;
    assert_string_equal(ask(api, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                                 "Content-Length: 20\r\nExpect: 100-continue\r\n\r\n"),
                        "HTTP/1.1 100 Continue\r\n\r\n");
    assert_answer(ask(api, "{\"to\":\"b\",\"id\":\"m2\"}"), 404,
                  "{\"id\":\"m2\",\"state\":\"absent\",\"recipients\":0}");
    /* Behind an answer that is owed it waits for its turn. */
    client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    peer_send(api, PUSH("till") "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                                "Content-Length: 20\r\nExpect: 100-continue\r\n\r\n");
    free(peer_heard(api));
    worker_turn(&fake_server.workers[0], 0);
    assert_int_equal(api->out_len, 0);
    node_settle();
    const char *first = strstr(api->out, "202 Accepted");
    assert_non_null(first);
    assert_true(first < strstr(api->out, "100 Continue"));
}

static void test_not_http(void **state) {
    (void)state;
    const char *answer = ask(api, GET("/healthz") "\x16\x03\x01");
    assert_int_equal(times(answer, "HTTP/1.1 200"), 1);
    assert_int_equal(times(answer, "HTTP/1.1 400"), 1);
    assert_int_equal(times(answer, "Connection: close\r\n"), 1);
    assert_true(api->ended);
    assert_int_equal(closed(CLOSE_HTTP_BAD_REQUEST), 1);
    assert_int_equal(stats_get(&fake_server.workers[0].stats.http_errors), 1);
}

static void test_half_close(void **state) {
    (void)state;
    peer_send(api, GET("/v1/clients/x"));
    peer_end(api);
    assert_int_equal(times(api->out, "HTTP/1.1 404"), 1);
    assert_int_equal(times(api->out, "HTTP/1.1 400"), 0);
    assert_true(api->closed);
    assert_int_equal(closed(CLOSE_CLIENT), 1);
}

/* A request that the end cuts off, within its head or its body, is answered behind the others. */
static void test_half_close_within_a_request(void **state) {
    (void)state;
    static const char *const starts[] = {
        "GET /hea",
        ("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n"
         "{"),
        ("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1\r\n{"),
    };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct peer *peer = api_connect();
        peer_send(peer, GET("/v1/clients/x"));
        peer_send(peer, starts[i]);
        peer_end(peer);
        assert_int_equal(times(peer->out, "HTTP/1.1 404"), 1);
        const char *last = strstr(peer->out, "HTTP/1.1 400");
        assert_non_null(last);
        assert_non_null(strstr(last, "\"bad_message\""));
        assert_non_null(strstr(last, "the connection ended within the request"));
        assert_true(peer->closed);
        assert_int_equal(closed(CLOSE_CLIENT), i + 1);
        assert_int_equal(stats_get(&fake_server.workers[0].stats.http_errors), 2 * (i + 1));
    }
}

/* The peer goes while an answer is under way: it is dropped, and nothing is left behind. */
static void test_gone_before_the_answer(void **state) {
    (void)state;
    struct connection *connection = &fake_server.workers[0].slots.blocks[0][1];
    client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    peer_send(api, PUSH("till") GET("/healthz") "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                                                "Content-Length: 40\r\n\r\n"
                                                "[{\"broadcast\":true},{\"broadcast\":true} ]" GET(
                                                    "/v1/clients/x") GET("/healthz"));
    worker_turn(&fake_server.workers[0], 0);
    assert_int_equal(http_of(connection)->owed_bytes,
                     4 * HTTP_OWED_BYTES); /* the call holds what is behind it */
    connection_close(&fake_server.workers[0], connection, CLOSE_PEER_ERROR);
    node_settle();
    assert_int_equal(api->out_len, 0);
    assert_int_equal(fake_server.workers[0].slots.live, 0);
    assert_int_equal(http_context(&fake_server.workers[0])->exchanges.in_use, 0);
}

static void test_drain(void **state) {
    (void)state;
    struct peer *idle = api_connect();
    struct peer *till = client_connect(0, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    peer_stall(till, true); /* keeps the node from being through with its goodbyes */
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/clients/till", "1"))), 202);
    server_drain(&fake_server);
    node_settle();
    const char *answer = ask(api, JSON_POST("/v1/clients/till", "2"));
    assert_error(answer, 503, "draining");
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_true(api->ended);
    /* The end of the drain does not wait for a body, but its producer is told. */
    struct peer *begun = api_connect();
    peer_say(begun, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{");
    sweep_begin(&fake_server.workers[0], PHASE_CLOSING);
    node_settle();
    assert_error(begun->out, 503, "draining");
    assert_true(idle->ended);
    idle = api_connect();
    api = api_connect();
    assert_error(ask(api, GET("/readyz")), 503, "draining");
    api = api_connect();
    assert_int_equal(status_of(ask(api, GET("/healthz"))), 200);
    assert_false(idle->ended);
    peer_stall(till, false);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_however_it_is_cut),
        TEST(test_mutations),
        TEST(test_order_of_answers),
        TEST(test_pipeline_limit),
        TEST(test_answers_that_are_not_read),
        TEST(test_late_heads_and_idle),
        TEST(test_slow_bodies),
        TEST(test_bodies_refused_unread),
        TEST(test_an_early_answer_arrives),
        TEST(test_the_rest_of_a_body_is_bounded),
        TEST(test_answers_that_wait_for_another),
        TEST(test_a_long_last_answer),
        TEST(test_no_bodies_for_probes),
        TEST(test_no_memory_for_a_body),
        TEST(test_expect),
        TEST(test_not_http),
        TEST(test_half_close),
        TEST(test_half_close_within_a_request),
        TEST(test_gone_before_the_answer),
        TEST(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
