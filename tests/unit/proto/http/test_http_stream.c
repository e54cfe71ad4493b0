/* Answers that come in pieces: to whoever reads them, slowly or not at all, to the end or not. */
#include "tests/support/toy_service.h"

/* So many writes find memory. */
static unsigned writes_good = UINT32_MAX;

static void toy_write(struct worker *at, struct http_connection *http, struct span bytes) {
    if (writes_good-- != 0)
        http_write(at, http, bytes);
    else
        connection_close(at, http->connection, CLOSE_OVERLOADED);
}

#define http_write toy_write
#include "proto/http/http_stream.c"
#undef http_write

static struct peer *peer;
static struct worker *worker;

/* The one stream, and what its writer was told. */
static struct {
    struct http_exchange *exchange; /* NULL: there is none any more */
    struct http_exchange *later;    /* of /later and /held, not answered yet */
    unsigned begun, rooms, stops, gones, quiets;
    enum close_reason reason;
    bool ends_when_stopped;
} toy_stream;

static void on_room(struct worker *at, struct http_exchange *exchange) {
    (void)at;
    assert_ptr_equal(exchange, toy_stream.exchange);
    toy_stream.rooms++;
}
static void on_stop(struct worker *at, struct http_exchange *exchange, enum close_reason reason) {
    toy_stream.stops++;
    toy_stream.reason = reason;
    if (!toy_stream.ends_when_stopped)
        return;
    assert_int_equal(exchange_stream_write(at, exchange, SPAN("bye\n")), HTTP_STREAM_TAKEN);
    toy_stream.exchange = NULL;
    exchange_stream_end(at, exchange);
}
static void on_gone(struct worker *at, struct http_exchange *exchange) {
    (void)at;
    assert_ptr_equal(exchange, toy_stream.exchange);
    toy_stream.exchange = NULL;
    toy_stream.gones++;
}
static void on_quiet(struct worker *at, struct http_exchange *exchange) {
    toy_stream.quiets++;
    assert_int_equal(exchange_stream_write(at, exchange, SPAN(":\n")), HTTP_STREAM_TAKEN);
}

static const struct http_stream hooks = {on_room, on_stop, on_gone, NULL, 0};
static const struct http_stream beating = {on_room, on_stop, on_gone, on_quiet, 15 * NS_PER_S};

static void begin(struct worker *at, struct http_exchange *exchange,
                  const struct http_stream *stream) {
    toy_stream.begun++;
    toy_stream.exchange = exchange;
    if (!exchange_stream_begin(at, exchange, 200, "text/event-stream",
                               SPAN("Cache-Control: no-store\r\n"), stream))
        toy_stream.exchange = NULL;
}
static void serve_stream(struct worker *at, struct http_exchange *exchange,
                         const struct route_request *request) {
    (void)request;
    begin(at, exchange, &hooks);
}
static void serve_beating(struct worker *at, struct http_exchange *exchange,
                          const struct route_request *request) {
    (void)request;
    begin(at, exchange, &beating);
}
static void serve_whole(struct worker *at, struct http_exchange *exchange,
                        const struct route_request *request) {
    (void)request;
    exchange_answer(at, exchange, 200, HTTP_TYPE_TEXT, SPAN(""), SPAN("whole\n"));
}
static void serve_later(struct worker *at, struct http_exchange *exchange,
                        const struct route_request *request) {
    (void)at, (void)request;
    toy_stream.later = exchange;
}

static void serve_held(struct worker *at, struct http_exchange *exchange,
                       const struct route_request *request) {
    (void)request;
    http_hold(at, exchange->http);
    toy_stream.later = exchange;
}

static const struct route routes[] = {
    {"/stream", HTTP_METHOD_GET, true, false, NULL, serve_stream},
    {"/beating", HTTP_METHOD_GET, true, false, NULL, serve_beating},
    {"/whole", HTTP_METHOD_GET, true, false, NULL, serve_whole},
    {"/later", HTTP_METHOD_GET, true, false, NULL, serve_later},
    {"/held", HTTP_METHOD_GET, true, false, NULL, serve_held},
};

static int setup(void **state) {
    (void)state;
    memset(&toy_stream, 0, sizeof toy_stream);
    toy_open(routes, sizeof routes / sizeof *routes);
    worker = &fake_server.workers[0];
    peer = peer_connect(0, LISTENER_WEB);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    toy_stream.ends_when_stopped = true; /* by the drain */
    http_node_close();
    return 0;
}

static enum http_stream_verdict write(const char *piece) {
    return exchange_stream_write(worker, toy_stream.exchange, span_text(piece));
}
static void end(void) {
    struct http_exchange *exchange = toy_stream.exchange;
    toy_stream.exchange = NULL;
    exchange_stream_end(worker, exchange);
    node_settle();
}
static const char *heard(void) {
    static char *text;
    free(text);
    node_settle();
    text = peer_heard(peer);
    return text;
}

#define HEAD(fields)                                                                               \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" fields                                \
    "Cache-Control: no-store\r\n\r\n"
#define DATE "Date: Thu, 01 Jan 2026 00:00:01 GMT\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void test_whole(void **state) {
    (void)state;
    fake_now_ns = NS_PER_S;
    worker_turn(worker, 0);
    assert_string_equal(ask(peer, GET("/stream")), HEAD(CHUNKED DATE));
    assert_int_equal(write("hello "), HTTP_STREAM_TAKEN);
    assert_string_equal(heard(), "6\r\nhello \r\n");
    static char long_piece[0x1001];
    memset(long_piece, 'x', sizeof long_piece - 1);
    assert_int_equal(write(long_piece), HTTP_STREAM_TAKEN);
    assert_int_equal(write("\n"), HTTP_STREAM_TAKEN);
    const char *text = heard();
    assert_int_equal(strlen(text), 6 + 0x1000 + 2 + 6);
    assert_memory_equal(text, "1000\r\nxx", 8);
    assert_string_equal(text + 6 + 0x1000, "\r\n1\r\n\n\r\n");
    end();
    assert_string_equal(heard(), "0\r\n\r\n");
    assert_answer(ask(peer, GET("/whole")), 200, "whole");
    assert_int_equal(toy_stream.rooms + toy_stream.stops + toy_stream.gones, 0);
}

/* As many times as one likes, and read back by a client's parser. */
static void test_one_after_the_other(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        static char text[1024];
        int head = snprintf(text, sizeof text, "%s", ask(peer, GET("/stream")));
        assert_int_equal(write("{\"n\":"), HTTP_STREAM_TAKEN);
        assert_int_equal(write("7}\n"), HTTP_STREAM_TAKEN);
        end();
        size_t len = (size_t)head;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s", heard());
        struct http_parser parser;
        struct http_reply reply;
        http_parser_init(&parser, 1000);
        assert_int_equal(http_reply_next(&parser, text, &len, false, &reply), HTTP_EVENT_WHOLE);
        assert_true(span_equal(reply.body, SPAN("{\"n\":7}\n")));
        assert_true(reply.keep_alive);
    }
    assert_int_equal(toy_stream.begun, 3);
}

static void test_requests_behind_it_wait(void **state) {
    (void)state;
    peer_say(peer, GET("/stream") GET("/whole") GET("/stream"));
    peer_say(peer, GET("/whole"));
    assert_null(strstr(peer->out, "whole"));
    assert_int_equal(stats_get(&worker->stats.http_requests), 1);
    node_pass(60 * NS_PER_S); /* nor does time go by for them */
    assert_int_equal(write("a"), HTTP_STREAM_TAKEN);
    end();
    assert_int_equal(times(peer->out, "whole\n"), 1);
    assert_int_equal(toy_stream.begun, 2);
    assert_non_null(strstr(peer->out, "1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
    end();
    assert_int_equal(times(peer->out, "whole\n"), 2);
    assert_int_equal(times(peer->out, "HTTP/1.1 200 OK"), 4);
}

static void later_answer(void) {
    exchange_answer(worker, toy_stream.later, 200, HTTP_TYPE_TEXT, SPAN(""), SPAN("later\n"));
    node_settle();
}

static void test_waits_for_answers_before_it(void **state) {
    (void)state;
    peer_say(peer, GET("/later") GET("/stream"));
    assert_int_equal(toy_stream.begun, 1);
    assert_int_equal(write("a"), HTTP_STREAM_FULL);
    assert_int_equal(peer->out_len, 0);
    assert_int_equal(toy_stream.rooms, 0);
    later_answer();
    assert_int_equal(toy_stream.rooms, 1);
    assert_int_equal(write("a"), HTTP_STREAM_TAKEN);
    end();
    const char *text = heard();
    assert_true(strstr(text, "later\n") < strstr(text, "1\r\na\r\n0\r\n\r\n"));
    /* One that ends before its head could go. */
    peer_say(peer, GET("/later") GET("/stream") GET("/whole"));
    end();
    assert_int_equal(peer->out_len, 0);
    later_answer();
    assert_int_equal(toy_stream.rooms, 1);
    text = heard();
    assert_non_null(strstr(text, "no-store\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK"));
    assert_non_null(strstr(text, "whole\n"));
}

/* Writes until there is no room; returns how many bytes had. */
static size_t fill(void) {
    static char piece[10001];
    memset(piece, 'x', sizeof piece - 1);
    size_t bytes = 0;
    for (; write(piece) == HTTP_STREAM_TAKEN; bytes += sizeof piece - 1)
        node_settle();
    return bytes;
}

static void test_slow_reader(void **state) {
    (void)state;
    peer_say(peer, GET("/stream"));
    peer_stall(peer, true);
    assert_in_range(fill(), HTTP_UNSENT_BYTES_MAX * 9 / 10, HTTP_UNSENT_BYTES_MAX);
    assert_true(worker->account.used_bytes < 2 * HTTP_UNSENT_BYTES_MAX);
    node_pass(20 * NS_PER_S);
    assert_int_equal(toy_stream.rooms, 0);
    peer_stall(peer, false);
    assert_int_equal(toy_stream.rooms, 1);
    assert_int_equal(write("on"), HTTP_STREAM_TAKEN);
    node_settle();
    assert_int_equal(toy_stream.rooms, 1);
    /* At the memory ceiling there is less room. */
    peer_stall(peer, true);
    write("x");
    fake_server.budget.ceiling_bytes = 1;
    assert_true(fill() <= HTTP_UNSENT_FEW_BYTES);
    fake_server.budget.ceiling_bytes = 1 << 28;
    /* Nobody waits for one that takes nothing. */
    node_pass(HTTP_ANSWER_NS + HTTP_WATCH_NS + NS_PER_S);
    assert_true(peer->closed);
    assert_int_equal(toy_stream.gones, 1);
    assert_null(toy_stream.exchange);
}

/* A session's messages go to the same peer; that more and more of them wait is no sign of life. */
static void test_messages_that_nobody_takes(void **state) {
    (void)state;
    peer_say(peer, GET("/stream"));
    struct connection *connection = toy_stream.exchange->http->connection;
    assert_true(exchange_stream_is_open(toy_stream.exchange));
    peer_stall(peer, true);
    write("x");
    node_settle();
    for (unsigned s = 0; s <= (HTTP_ANSWER_NS + HTTP_WATCH_NS) / NS_PER_S && !peer->closed; s++) {
        connection_write(worker, connection, SPAN("message"));
        node_pass(NS_PER_S);
    }
    assert_true(peer->closed);
    assert_int_equal(toy_stream.gones, 1);
}

static void test_close_in_the_middle(void **state) {
    (void)state;
    peer_say(peer, GET("/stream") GET("/whole"));
    struct connection *connection = toy_stream.exchange->http->connection;
    connection_close(worker, connection, CLOSE_PEER_ERROR);
    node_settle();
    assert_int_equal(toy_stream.gones, 1);
    /* While its head waits; the one before it is answered to nobody. */
    peer = peer_connect(0, LISTENER_WEB);
    peer_say(peer, GET("/later") GET("/stream"));
    connection = toy_stream.exchange->http->connection;
    connection_close(worker, connection, CLOSE_PEER_ERROR);
    assert_int_equal(toy_stream.gones, 2);
    later_answer();
    /* One that had ended already is not told. */
    peer = peer_connect(0, LISTENER_WEB);
    peer_say(peer, GET("/later") GET("/stream"));
    connection = toy_stream.exchange->http->connection;
    end();
    connection_close(worker, connection, CLOSE_PEER_ERROR);
    assert_int_equal(toy_stream.gones, 2);
    later_answer();
    assert_int_equal(http_context(worker)->exchanges.in_use, 0);
}

/* Each of the writes may find no memory: of the head, of a piece, of the end. */
static void test_no_memory(void **state) {
    (void)state;
    static char piece[HTTP_STREAM_PIECE_BYTES_MAX + 1];
    memset(piece, 'x', sizeof piece - 1);
    for (unsigned good = 0; good <= 5; good++) {
        unsigned gones = toy_stream.gones;
        peer = peer_connect(0, LISTENER_WEB);
        writes_good = good;
        peer_say(peer, GET("/stream"));
        assert_int_equal(toy_stream.exchange != NULL, good != 0);
        if (good != 0) {
            bool taken = good > 3; /* the size, the piece, the end of the line */
            assert_int_equal(write(piece), taken ? HTTP_STREAM_TAKEN : HTTP_STREAM_GONE);
            assert_int_equal(toy_stream.gones, gones + !taken);
            if (taken)
                end();
        }
        writes_good = UINT32_MAX;
        node_settle();
        assert_int_equal(peer->closed, good < 5);
    }
    assert_int_equal(http_context(worker)->exchanges.in_use, 0);
}

static void test_peer_ends(void **state) {
    (void)state;
    peer_say(peer, GET("/stream"));
    peer_end(peer);
    node_pass(HTTP_WATCH_NS + NS_PER_S);
    assert_int_equal(toy_stream.stops, 1);
    assert_int_equal(toy_stream.reason, CLOSE_CLIENT);
    node_pass(HTTP_WATCH_NS + NS_PER_S);
    assert_int_equal(toy_stream.stops, 1);
    assert_false(peer->ended);
    assert_int_equal(write("x"), HTTP_STREAM_TAKEN); /* it may read still */
    end();
    assert_true(peer->closed);
    assert_non_null(strstr(peer->out, "1\r\nx\r\n0\r\n\r\n"));
    assert_int_equal(toy_stream.gones, 0);
}

/* Nothing at all has been written then. */
static void test_peer_ends_while_the_head_waits(void **state) {
    (void)state;
    peer_say(peer, GET("/later") GET("/stream"));
    peer_end(peer);
    node_pass(HTTP_WATCH_NS + NS_PER_S);
    assert_int_equal(toy_stream.stops, 1);
    assert_int_equal(toy_stream.reason, CLOSE_CLIENT);
    end();
    later_answer();
    assert_true(peer->closed);
}

static void test_drain(void **state) {
    (void)state;
    toy_stream.ends_when_stopped = true;
    peer_say(peer, GET("/stream") GET("/whole"));
    sweep_begin(worker, PHASE_GOODBYE);
    node_settle();
    assert_int_equal(toy_stream.stops, 1);
    assert_int_equal(toy_stream.reason, CLOSE_DRAINING);
    assert_non_null(strstr(peer->out, "4\r\nbye\n\r\n0\r\n\r\n"));
    assert_null(strstr(peer->out, "whole"));
    assert_true(peer->ended);
    assert_int_equal(stats_get(&worker->stats.closed[CLOSE_DRAINING]), 1);
}

/* A stream that goes on for a peer that has sent its end is told of the drain all the same. */
static void test_drain_after_the_peers_end(void **state) {
    (void)state;
    peer_say(peer, GET("/stream"));
    peer_end(peer);
    node_pass(HTTP_WATCH_NS + NS_PER_S);
    assert_int_equal(toy_stream.stops, 1);
    toy_stream.ends_when_stopped = true;
    sweep_begin(worker, PHASE_GOODBYE);
    node_settle();
    assert_int_equal(toy_stream.stops, 2);
    assert_int_equal(toy_stream.reason, CLOSE_DRAINING);
    assert_true(peer->closed);
}

/* Its request was being carried out over several turns when the drain came. */
static void test_begins_in_a_drain(void **state) {
    (void)state;
    toy_stream.ends_when_stopped = true;
    peer_say(peer, GET("/held"));
    struct http_connection *http = toy_stream.later->http;
    sweep_begin(worker, PHASE_GOODBYE);
    node_settle();
    begin(worker, toy_stream.later, &hooks);
    http_release(worker, http);
    assert_int_equal(toy_stream.stops, 0);
    node_pass(100 * NS_PER_MS);
    assert_int_equal(toy_stream.stops, 1);
    assert_int_equal(toy_stream.reason, CLOSE_DRAINING);
    assert_non_null(strstr(peer->out, "4\r\nbye\n\r\n0\r\n\r\n"));
    assert_true(peer->ended);
}

#define OLD(method, path, fields) method " " path " HTTP/1.0\r\n" fields "\r\n"

static void test_http_1_0(void **state) {
    (void)state;
    const char *text = ask(peer, OLD("GET", "/stream", "Connection: keep-alive\r\n"));
    assert_null(strstr(text, "chunked"));
    assert_null(strstr(text, "keep-alive"));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    assert_int_equal(write("hello "), HTTP_STREAM_TAKEN);
    assert_int_equal(write("world\n"), HTTP_STREAM_TAKEN);
    assert_string_equal(heard(), "hello world\n");
    assert_false(peer->ended);
    peer_say(peer, OLD("GET", "/whole", ""));
    end();
    assert_string_equal(heard(), "");
    assert_true(peer->ended);
    assert_int_equal(stats_get(&worker->stats.closed[CLOSE_HTTP_DONE]), 1);
}

static void test_close_is_asked_for(void **state) {
    (void)state;
    const char *text =
        ask(peer, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/whole"));
    assert_non_null(strstr(text, CHUNKED));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    write("x");
    end();
    assert_string_equal(heard(), "1\r\nx\r\n0\r\n\r\n");
    assert_true(peer->ended);
}

static void test_head(void **state) {
    (void)state;
    const char *text = ask(peer, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(text, CHUNKED));
    assert_string_equal(body_of(text), "");
    assert_null(toy_stream.exchange);
    assert_answer(ask(peer, GET("/whole")), 200, "whole");
    text = ask(peer, OLD("HEAD", "/stream", ""));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    assert_string_equal(body_of(text), "");
    assert_true(peer->ended);
    assert_int_equal(toy_stream.gones, 0);
}

static void test_heartbeats(void **state) {
    (void)state;
    peer_say(peer, GET("/beating"));
    heard();
    node_pass(14 * NS_PER_S);
    assert_int_equal(toy_stream.quiets, 0);
    node_pass(2 * NS_PER_S);
    assert_int_equal(toy_stream.quiets, 1);
    assert_string_equal(heard(), "2\r\n:\n\r\n");
    node_pass(8 * NS_PER_S);
    assert_int_equal(write("x"), HTTP_STREAM_TAKEN); /* makes one needless */
    node_pass(14 * NS_PER_S);
    assert_int_equal(toy_stream.quiets, 1);
    node_pass(200 * NS_PER_S);
    assert_in_range(toy_stream.quiets, 13, 15);
    assert_false(peer->ended);
    /* None is added to what waits already. */
    peer_stall(peer, true);
    unsigned quiets = toy_stream.quiets;
    write("x");
    node_pass(25 * NS_PER_S);
    assert_int_equal(toy_stream.quiets, quiets);
    peer_stall(peer, false);
    end();
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_whole),
        TEST(test_one_after_the_other),
        TEST(test_requests_behind_it_wait),
        TEST(test_waits_for_answers_before_it),
        TEST(test_slow_reader),
        TEST(test_messages_that_nobody_takes),
        TEST(test_close_in_the_middle),
        TEST(test_no_memory),
        TEST(test_peer_ends),
        TEST(test_peer_ends_while_the_head_waits),
        TEST(test_drain),
        TEST(test_drain_after_the_peers_end),
        TEST(test_begins_in_a_drain),
        TEST(test_http_1_0),
        TEST(test_close_is_asked_for),
        TEST(test_head),
        TEST(test_heartbeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
