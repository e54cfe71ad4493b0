#include "tests/support/fake_http.h"

#include "proto/web/web.c"
#include "proto/web/web_demo.c"

static struct peer *peer;

static int setup(void **state) {
    (void)state;
    fake_config.demo = true;
    fake_config.origins[0] = "https://app.example";
    fake_config.origin_count = 1;
    fake_config.web_hosts[0] = "a.example";
    fake_config.web_hosts[1] = "a";
    fake_config.web_host_count = 2;
    http_node_open();
    peer = peer_connect(0, LISTENER_WEB);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

#define FROM(method, path, origin)                                                                 \
    method " " path " HTTP/1.1\r\nHost: a.example:8080\r\nOrigin: " origin "\r\n"

static void test_paths(void **state) {
    (void)state;
    assert_answer(ask(peer, GET("/healthz")), 200, "{\"status\":\"ok\"}");
    assert_error(ask(peer, GET("/readyz")), 404, "not_found");
    assert_error(ask(peer, GET("/v1/stats")), 404, "not_found");
    assert_error(ask(peer, GET("/%zz")), 400, "bad_message");
    assert_error(ask(peer, GET("/?x=1")), 400, "bad_message");
    assert_error(ask(peer, GET("/healthz?%zz")), 400, "bad_message");
    assert_error(ask(peer, DEL("/healthz")), 405, "method_not_allowed");
    const char *shown = ask(peer, GET("/"));
    assert_int_equal(status_of(shown), 200);
    assert_non_null(strstr(shown, "Content-Type: text/html; charset=utf-8\r\n"));
    /* Whoever opens it may be a stranger. */
    assert_null(strstr(shown, "ersion"));
    assert_non_null(strstr(shown, "Content-Security-Policy: default-src 'none'; script-src 'sha"));
    assert_non_null(strstr(shown, "Vary: Origin\r\n"));
    assert_non_null(strstr(shown, "</html>\n"));
    assert_null(strstr(shown, "src="));
    fake_config.demo = false;
    assert_error(ask(peer, GET("/")), 404, "not_found");
    assert_error(ask(peer, post("/", "text/plain", "x")), 405, "method_not_allowed");
    const char *answer = ask(peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 131073\r\n\r\n");
    assert_error(answer, 413, "too_large");
    assert_non_null(strstr(answer, "longer than 131072 bytes\""));
    assert_true(peer->ended);
}

static void test_origins(void **state) {
    (void)state;
    const char *answer = ask(peer, FROM("GET", "/healthz", "http://A.example:8080") "\r\n");
    assert_answer(answer, 200, "{\"status\":\"ok\"}");
    assert_non_null(strstr(answer, "Access-Control-Allow-Origin: http://A.example:8080\r\n"));
    assert_non_null(strstr(answer, "Access-Control-Allow-Credentials: true\r\n"));
    assert_non_null(strstr(answer, "Vary: Origin\r\n"));
    answer = ask(peer, FROM("GET", "/nope", "https://app.example") "\r\n");
    assert_error(answer, 404, "not_found");
    assert_non_null(strstr(answer, "Access-Control-Allow-Origin: https://app.example\r\n"));
    const char *const foreign[] = {FROM("GET", "/healthz", "null") "\r\n",
                                   FROM("GET", "/nope", "http://evil.example") "\r\n",
                                   FROM("GET", "/", "") "\r\n"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        answer = ask(peer, foreign[i]);
        assert_error(answer, 403, "forbidden");
        assert_null(strstr(answer, "Access-Control"));
        assert_non_null(strstr(answer, "Vary: Origin\r\n"));
    }
    assert_null(strstr(ask(peer, GET("/healthz")), "Access-Control"));
}

/* A name that DNS was made to point here, before and after the names are listed. */
static void test_hosts(void **state) {
    (void)state;
#define FOR(host, path) "GET " path " HTTP/1.1\r\nHost: " host "\r\n"
    const char *answer = ask(peer, FOR("evil.example", "/") "\r\n");
    assert_error(answer, 403, "forbidden");
    assert_non_null(strstr(answer, "--web-host"));
    assert_non_null(strstr(answer, "Vary: Origin\r\n"));
    assert_error(ask(peer, FOR("a.example.evil", "/nope") "\r\n"), 403, "forbidden");
    assert_int_equal(status_of(ask(peer, FOR("A.Example:99", "/") "\r\n")), 200);
    assert_int_equal(status_of(ask(peer, FOR("192.0.2.1", "/") "\r\n")), 200);
    assert_answer(ask(peer, FOR("evil.example", "/healthz") "\r\n"), 200, "{\"status\":\"ok\"}");
    assert_int_equal(status_of(ask(peer, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")), 200);
    fake_config.web_host_count = 0;
    assert_int_equal(status_of(ask(peer, FOR("evil.example", "/") "\r\n")), 200);
    assert_error(
        ask(peer, FOR("evil.example:8080", "/") "Origin: http://evil.example:8080\r\n\r\n"), 403,
        "forbidden");
    assert_error(ask(peer, FOR("evil.example", "/healthz") "Origin: https://evil.example\r\n\r\n"),
                 403, "forbidden");
}

static void test_preflight(void **state) {
    (void)state;
    const char *answer = ask(
        peer, FROM("OPTIONS", "/any/path", "https://app.example") "Access-Control-Request-Method: "
                                                                  "POST\r\nAccess-Control-Request-"
                                                                  "Headers: x-a, x-b\r\n\r\n");
    assert_answer(answer, 204, "");
    assert_non_null(strstr(answer, "Access-Control-Allow-Origin: https://app.example\r\n"));
    assert_non_null(strstr(answer, "Access-Control-Allow-Headers: x-a, x-b\r\n"));
    assert_non_null(strstr(answer, "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"));
    answer = ask(peer, FROM("OPTIONS", "/healthz", "https://app.example") "Access-Control-Request-"
                                                                          "Method: GET\r\n\r\n");
    assert_answer(answer, 204, "");
    assert_non_null(strstr(answer, "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"));
    assert_error(
        ask(peer, FROM("OPTIONS", "/any/path",
                       "http://evil.example") "Access-Control-Request-Method: POST\r\n\r\n"),
        403, "forbidden");
    /* OPTIONS that is no preflight. */
    static const char *const plain[] = {"OPTIONS /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        answer = ask(peer, plain[i]);
        assert_answer(answer, 204, "");
        assert_non_null(strstr(answer, i == 2 ? "Allow: GET, HEAD, POST, OPTIONS\r\n"
                                              : "Allow: GET, HEAD, OPTIONS\r\n"));
        assert_non_null(strstr(answer, "Vary: Origin\r\n"));
        assert_null(strstr(answer, "Content-Length"));
    }
    assert_error(ask(peer, "OPTIONS /nope HTTP/1.1\r\nHost: a\r\n\r\n"), 404, "not_found");
    answer = ask(peer, "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_error(answer, 405, "method_not_allowed");
    assert_non_null(strstr(answer, "Allow: GET, HEAD, OPTIONS\r\n"));
    assert_answer(ask(peer, GET("/healthz")), 200, "{\"status\":\"ok\"}");
}

#define SCRIPT "/* a script */"
#define SCRIPT_PATH "/socket.io/socket.io.js"

static void script_set(void) {
    fake_config.socketio_script = SPAN(SCRIPT);
    fake_config.socketio_version = "\"v1\"";
}

static void test_script(void **state) {
    (void)state;
    const char *answer = ask(peer, GET(SCRIPT_PATH));
    assert_error(answer, 404, "not_found");
    assert_non_null(strstr(answer, "see --socketio-client"));
    script_set();
    answer = ask(peer, GET(SCRIPT_PATH "?v=%zz"));
    assert_int_equal(status_of(answer), 200);
    assert_string_equal(body_of(answer), SCRIPT); /* without a line feed of ours */
    assert_non_null(strstr(answer, "Content-Type: application/javascript; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "Content-Length: 14\r\n"));
    assert_non_null(strstr(answer, "\r\nETag: \"v1\"\r\nCache-Control: no-cache\r\n"));
    assert_non_null(strstr(answer, "Vary: Origin\r\n"));
    answer = ask(peer, "HEAD " SCRIPT_PATH " HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_answer(answer, 200, "");
    assert_non_null(strstr(answer, "Content-Length: 14\r\n"));
    static const char *const known[] = {"\"v1\"", "W/\"v1\"", "*", "\"v0, x\",\"v1\" , \"v2\""};
    static const char *const unknown[] = {"\"v\"", "v1", "W/", "\"v1", "", "\"*\""};
    char request[256];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        snprintf(request, sizeof request,
                 "GET " SCRIPT_PATH " HTTP/1.1\r\nHost: a\r\nIf-None-Match: %s\r\n\r\n", known[i]);
        answer = ask(peer, request);
        assert_answer(answer, 304, "");
        assert_non_null(strstr(answer, "ETag: \"v1\"\r\n"));
        assert_null(strstr(answer, "\r\nContent-"));
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        snprintf(request, sizeof request,
                 "GET " SCRIPT_PATH " HTTP/1.1\r\nHost: a\r\nIf-None-Match: %s\r\n\r\n",
                 unknown[i]);
        assert_int_equal(status_of(ask(peer, request)), 200);
    }
    /* When answers have used up their share: who asks for the head needs nothing of it. */
    uint64_t ceiling_bytes = fake_server.answers.ceiling_bytes;
    fake_server.answers.ceiling_bytes = 0;
    answer = ask(peer, GET(SCRIPT_PATH));
    assert_error(answer, 503, "overloaded");
    assert_non_null(strstr(answer, "Retry-After: "));
    answer = ask(peer, "HEAD " SCRIPT_PATH " HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(status_of(answer), 200);
    fake_server.answers.ceiling_bytes = ceiling_bytes;
    assert_int_equal(status_of(ask(peer, GET(SCRIPT_PATH))), 200);
    assert_error(ask(peer, post(SCRIPT_PATH, "text/plain", "x")), 405, "method_not_allowed");
    answer = ask(peer, FROM("GET", SCRIPT_PATH, "https://app.example") "\r\n");
    assert_non_null(strstr(answer, "Access-Control-Allow-Origin: https://app.example\r\n"));
    answer = ask(peer, FROM("GET", SCRIPT_PATH, "https://evil.example") "\r\n");
    assert_error(answer, 403, "forbidden");
}

/* The page loads it where there is one; nothing else changes. */
static void test_page_with_script(void **state) {
    (void)state;
    struct span without = web_demo_page(false), with = web_demo_page(true);
    struct span element = SPAN("<script src=\"socket.io/socket.io.js\"></script>\n");
    const char *at = memmem(with.at, with.len, element.at, element.len);
    assert_non_null(at);
    assert_int_equal(with.len, without.len + element.len);
    size_t before = (size_t)(at - with.at);
    assert_memory_equal(with.at, without.at, before);
    assert_memory_equal(at + element.len, without.at + before, without.len - before);
    assert_null(memmem(with.at, with.len, "<!-- socket.io", 14));
    assert_null(strstr(ask(peer, GET("/")), "=' 'self'; style-src"));
    script_set();
    const char *shown = ask(peer, GET("/"));
    assert_non_null(strstr(shown, "=' 'self'; style-src"));
    assert_non_null(strstr(shown, element.at));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_paths),  TEST(test_origins),
                                       TEST(test_hosts),  TEST(test_preflight),
                                       TEST(test_script), TEST(test_page_with_script)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
