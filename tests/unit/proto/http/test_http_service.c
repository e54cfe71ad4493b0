/* What a service says of itself: routes with bodies of their own limits, a state for each
 * connection. */
#include "tests/support/toy_service.h"

static struct peer *peer;
static unsigned opened;

static size_t small_max(const struct config *config) {
    (void)config;
    return 100;
}
static size_t large_max(const struct config *config) {
    (void)config;
    return 5000;
}
static const struct route_body small = {.max = small_max, .hint = " (so it is)"};
static const struct route_body large = {.max = large_max, .hint = ""};

struct toy_state {
    unsigned served;
};

static void state_open(struct worker *worker, struct http_connection *http) {
    (void)worker;
    *(struct toy_state *)http_state(http) = (struct toy_state){.served = 0};
    opened++;
}

/* Says how long the body was, and the how many of its connection it is. */
static void serve_length(struct worker *worker, struct http_exchange *exchange,
                         const struct route_request *request) {
    char text[64];
    struct toy_state *state = http_state(exchange->http);
    int len = snprintf(text, sizeof text, "%zu %u", request->http->body.len, ++state->served);
    exchange_answer(worker, exchange, 200, HTTP_TYPE_TEXT, SPAN(""), span_of(text, (size_t)len));
}

static const struct route routes[] = {
    {"/none", HTTP_METHOD_POST, true, false, NULL, serve_length},
    {"/small", HTTP_METHOD_POST, true, false, &small, serve_length},
    {"/large", HTTP_METHOD_POST, true, false, &large, serve_length},
};

static int setup(void **state) {
    (void)state;
    opened = 0;
    toy.state_bytes = sizeof(struct toy_state);
    toy.open = state_open;
    toy_open(routes, sizeof routes / sizeof *routes);
    peer = peer_connect(0, LISTENER_WEB);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

#define HEAD(path, fields) "POST " path " HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

/* Sends the head, then so many bytes of a body. */
static const char *ask_long(const char *head, size_t bytes) {
    static char text[8192];
    size_t len = strlen(head);
    memcpy(text, head, len);
    memset(text + len, 'x', bytes);
    text[len + bytes] = '\0';
    return ask(peer, text);
}

static void test_states(void **state) {
    (void)state;
    assert_answer(ask(peer, HEAD("/none", "")), 200, "0 1");
    assert_answer(ask(peer, HEAD("/none", "")), 200, "0 2");
    peer = peer_connect(0, LISTENER_WEB);
    assert_answer(ask(peer, HEAD("/none", "")), 200, "0 1");
    assert_int_equal(opened, 2);
}

static void test_announced(void **state) {
    (void)state;
    assert_answer(ask_long(HEAD("/small", "Content-Length: 100\r\n"), 100), 200, "100 1");
    assert_answer(ask_long(HEAD("/large", "Content-Length: 5000\r\n"), 5000), 200, "5000 2");
    const char *answer = ask_long(HEAD("/small", "Content-Length: 101\r\n"), 101);
    assert_error(answer, 413, "too_large");
    assert_non_null(strstr(answer, "longer than 100 bytes (so it is)"));
    answer = ask_long(HEAD("/none", "Content-Length: 1\r\n"), 1);
    assert_error(answer, 413, "too_large");
    assert_non_null(strstr(answer, "this path takes no body"));
    /* Before any of it has come; it is thrown away, and the connection stays. */
    answer = ask(peer, HEAD("/small", "Content-Length: 3000\r\n"));
    assert_non_null(strstr(answer, "longer than 100 bytes (so it is)"));
    assert_string_equal(ask_long("", 3000), "");
    assert_answer(ask_long(HEAD("/large", "Content-Length: 3000\r\n"), 3000), 200, "3000 3");
    /* More than any path takes. */
    answer = ask(peer, HEAD("/none", "Content-Length: 5001\r\n"));
    assert_non_null(strstr(answer, "longer than 5000 bytes\""));
    assert_true(peer->ended);
}

#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void test_chunked(void **state) {
    (void)state;
    peer_say(peer, HEAD("/small", CHUNKED));
    peer_say(peer, "40\r\n");
    assert_string_equal(ask_long("", 64), "");
    assert_answer(ask(peer, "\r\n0\r\n\r\n"), 200, "64 1");
    /* The limit of the one before is forgotten. */
    peer_say(peer, HEAD("/large", CHUNKED));
    peer_say(peer, "80\r\n");
    ask_long("", 128);
    assert_answer(ask(peer, "\r\n0\r\n\r\n"), 200, "128 2");
    /* Too many have come with the head. */
    assert_error(ask_long(HEAD("/small", CHUNKED) "65\r\n", 101), 413, "too_large");
    assert_true(peer->ended);
}

static void test_chunks_that_become_too_much(void **state) {
    (void)state;
    peer_say(peer, HEAD("/small", CHUNKED));
    peer_say(peer, "40\r\n");
    ask_long("", 64);
    const char *answer = ask(peer, "\r\n25\r\n");
    assert_error(answer, 413, "too_large");
    assert_non_null(strstr(answer, "longer than 100 bytes (so it is)"));
    assert_true(peer->ended);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_states),
        TEST(test_announced),
        TEST(test_chunked),
        TEST(test_chunks_that_become_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
