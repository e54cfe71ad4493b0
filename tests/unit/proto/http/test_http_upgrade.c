/* Connections that go on with another protocol, or on another worker, at the word of a request. */
#include "tests/support/toy_service.h"

#include "core/handover.h"
#include "proto/http/http_upgrade.h"
#include "tests/toys/toy_protocol.h"

static struct peer *peer;
static struct http_exchange *later;

static struct worker *worker_at(unsigned i) {
    return &fake_server.workers[i];
}

static unsigned opened;

static void on_opened(struct worker *worker, struct connection *connection, void *argument) {
    assert_ptr_equal(argument, &opened);
    assert_true(span_equal(http_context(worker)->request.path, SPAN("/pairs")));
    connection_write(worker, connection, SPAN("opened "));
    opened++;
}

static void serve_pairs(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request) {
    if (!http_asks_upgrade(request->http, SPAN("pairs")) || !exchange_is_first(exchange)) {
        exchange_fail(worker, exchange, CODE_BAD_MESSAGE, "no");
        return;
    }
    struct http_upgrade upgrade = {&toy_pairs_protocol, on_opened, &opened};
    exchange_upgrade(worker, exchange, SPAN("pairs"), SPAN("X-More: 1\r\n"), &upgrade);
}

static void serve_later(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request) {
    (void)worker, (void)request;
    later = exchange;
}

/* Says which worker it is; the path wants to be served by worker 1. */
static void serve_there(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request) {
    (void)request;
    if (worker->index != 1 && exchange_may_move(exchange)) {
        exchange_hand_over(worker, exchange, 1);
        return;
    }
    char text[16];
    int len = snprintf(text, sizeof text, "worker %u\n", worker->index);
    exchange_answer(worker, exchange, 200, HTTP_TYPE_TEXT, SPAN(""), span_of(text, (size_t)len));
}

static const struct route routes[] = {
    {"/pairs", HTTP_METHOD_GET, true, false, NULL, serve_pairs},
    {"/later", HTTP_METHOD_GET, true, false, NULL, serve_later},
    {"/there", HTTP_METHOD_GET, true, false, NULL, serve_there},
};

static int setup(void **state) {
    (void)state;
    opened = 0;
    fake_config = (struct config){.workers = 2};
    toy_open(routes, sizeof routes / sizeof *routes);
    peer = peer_connect(0, LISTENER_WEB);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

#define PAIRS                                                                                      \
    "GET /pairs HTTP/1.1\r\nHost: a\r\nUpgrade: x, Pairs\r\nConnection: a, upgrade\r\n\r\n"
#define SWITCHED                                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: pairs\r\nX-More: 1\r\n"   \
    "\r\nopened "

static void test_an_upgrade(void **state) {
    (void)state;
    assert_string_equal(ask(peer, PAIRS "ABCD"), SWITCHED "BADC");
    assert_int_equal(opened, 1);
    assert_string_equal(ask(peer, "XY"), "YX");
    assert_int_equal(worker_at(0)->stats.closed[CLOSE_CLIENT], 0);
}

static void test_split_anywhere(void **state) {
    (void)state;
    static const char says[] = PAIRS "AB";
    for (size_t cut = 1; cut < sizeof says - 1; cut++) {
        struct peer *split = peer_connect(cut % 2, LISTENER_WEB);
        peer_send_bytes(split, span_of(says, cut));
        node_settle();
        peer_say(split, says + cut);
        assert_string_equal(split->out, SWITCHED "BA");
        peer_end(split);
        peer_forget(split);
    }
}

static void test_behind_an_answer(void **state) {
    (void)state;
    peer_say(peer, GET("/later"));
    peer_say(peer, PAIRS);
    exchange_fail(worker_at(0), later, CODE_NOT_FOUND, "none");
    node_settle();
    char *heard = peer_heard(peer);
    assert_int_equal(times(heard, "HTTP/1.1 404 "), 1);
    assert_int_equal(times(heard, "HTTP/1.1 400 "), 1);
    free(heard);
    assert_int_equal(opened, 0);
    /* With all answers out it may. */
    assert_string_equal(ask(peer, PAIRS), SWITCHED);
}

static void test_another_word(void **state) {
    (void)state;
    assert_int_equal(
        status_of(ask(peer, "GET /pairs HTTP/1.1\r\nHost: a\r\nUpgrade: pairs\r\n\r\n")), 400);
    assert_int_equal(
        status_of(ask(peer, "GET /pairs HTTP/1.1\r\nHost: a\r\nUpgrade: pairsx\r\nConnection: "
                            "upgrade\r\n\r\n")),
        400);
    assert_int_equal(opened, 0);
}

static void test_to_another_worker(void **state) {
    (void)state;
    /* What is pipelined behind it travels along, also a second wish to go there. */
    const char *heard = ask(peer, GET("/there") GET("/there") PAIRS "AB");
    assert_int_equal(times(heard, "worker 1\n"), 2);
    assert_non_null(strstr(heard, SWITCHED "BA"));
    assert_int_equal(worker_at(0)->stats.moved + worker_at(1)->stats.moved, 1);
}

static void test_it_stays_without_room(void **state) {
    (void)state;
    struct queue *queue = &fake_server.post.boxes[1].from[0];
    while (post_room(&fake_server.post, 0, 1))
        assert_true(queue_push(queue, &(struct mail){.kind = MAIL_RETURN}));
    peer_send(peer, GET("/there"));
    worker_turn(worker_at(0), 0);
    worker_turn(worker_at(0), 0);
    node_settle();
    assert_int_equal(worker_at(0)->stats.moves_failed, 1);
    assert_non_null(strstr(peer->out, "worker 0\n"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_an_upgrade),   TEST(test_split_anywhere),    TEST(test_behind_an_answer),
        TEST(test_another_word), TEST(test_to_another_worker), TEST(test_it_stays_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
