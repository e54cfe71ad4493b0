/* Sessions on an answer that streams: their messages leave as chunks of their own, in the order in
 * which everything was written, and wait for the next request when it has ended. */
#include "tests/support/cmocka_first.h"

#include "tests/support/fake_engine.h"

#include "core/base/hash.h"
#include "proto/http/http_context.h"
#include "proto/web/web.h"
#include "tests/toys/toy_form.h"
#include "tests/toys/toy_session.h"
#include "tests/toys/toy_stream.h"
#include "tests/toys/toy_web.h"

static struct config config;
static struct peer *peer, *other;

static void before(struct server *server) {
    static const struct http_service *const services[LISTENER_KINDS] = {
        [LISTENER_WEB] = &toy_web_service,
        [LISTENER_API] = &toy_web_service,
    };
    CHECK(http_init(server, services));
}

static int open_both(void **state) {
    (void)state;
    static const struct server_parts parts = {
        .protocols = {&web_protocol, &web_protocol, &web_protocol},
        .encodings = {&toy_encodings[0], &toy_encodings[1], &toy_encodings[2]},
    };
    hash_init(NULL);
    toy_sessions_init();
    config = (struct config){.workers = 2};
    node_open(&config, &parts, before);
    peer = peer_connect(0, LISTENER_WEB);
    other = peer_connect(1, LISTENER_WEB);
    return 0;
}

static int close_both(void **state) {
    (void)state;
    node_close(http_fini);
    assert_false(toy_sessions_any());
    for (unsigned i = 0; i < TOY_STREAMS; i++)
        assert_null(toy_stream_at(0, i));
    return 0;
}

/* All that has come behind the last head. */
static void expect_body(const char *body) {
    char *all = peer_heard(peer), *from = all;
    for (char *head = all; (head = strstr(head, "HTTP/1.1 ")) != NULL; head++)
        from = strstr(head, "\r\n\r\n") + 4;
    assert_string_equal(from, body);
    free(all);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void test_messages_are_chunks(void **state) {
    (void)state;
    peer_say(peer, GET("/quiet/1"));
    expect_body("");
    peer_say(other, GET("/say/2"));
    expect_body("10\r\n!0000100001:1-1\n\r\n10\r\n!0000200001:1-1\n\r\n");
    node_pass(TOY_QUIET_BEAT_NS + 100 * NS_PER_MS);
    expect_body("2\r\n:\n\r\n");
}

static void test_messages_wait_for_the_next_poll(void **state) {
    (void)state;
    peer_say(peer, GET("/poll/1"));
    node_pass(2 * TOY_TICK_NS);
    expect_body("4\r\nend\n\r\n0\r\n\r\n");
    peer_say(other, GET("/say/2"));
    /* It is a client that knows no chunks. */
    peer_say(peer, "GET /poll/3 HTTP/1.0\r\n\r\n");
    node_pass(2 * TOY_TICK_NS);
    expect_body("!0000100001:1-1\n!0000200001:1-1\nend\n");
    assert_true(peer->ended);
}

static void test_sessions_come_with_the_head(void **state) {
    (void)state;
    peer_say(peer, GET("/later/1") GET("/quiet/2"));
    peer_say(other, GET("/say/3"));
    assert_int_equal(stats_get(&fake_server.workers[0].stats.sessions), 0);
    node_pass(2 * TOY_TICK_NS);
    assert_int_equal(stats_get(&fake_server.workers[0].stats.sessions), TOY_ON_ONE);
    expect_body("");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)
    const struct CMUnitTest tests[] = {
        TEST(test_messages_are_chunks),
        TEST(test_messages_wait_for_the_next_poll),
        TEST(test_sessions_come_with_the_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
