#include "tests/support/fake_http.h"

#include "ingest/web.c"
#include "ingest/web_demo.c"

static struct peer *peer;

static int setup(void **state) {
    (void)state;
    fake_config.demo = true;
    fake_config.origins[0] = "https://app.example";
    fake_config.origin_count = 1;
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
    assert_error(ask(peer, DEL("/healthz")), 405, "method_not_allowed");
    const char *page = ask(peer, GET("/"));
    assert_int_equal(status_of(page), 200);
    assert_non_null(strstr(page, "Content-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(page, "Node <b>n1</b>"));
    assert_non_null(strstr(page, "</html>\n"));
    assert_null(strstr(page, "src="));
    fake_config.demo = false;
    assert_error(ask(peer, GET("/")), 404, "not_found");
    assert_error(ask(peer, post("/", "text/plain", "x")), 405, "method_not_allowed");
    const char *answer = ask(peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n");
    assert_error(answer, 413, "too_large");
    assert_non_null(strstr(answer, "longer than 4096 bytes\""));
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

static void test_preflight(void **state) {
    (void)state;
    const char *answer = ask(
        peer, FROM("OPTIONS", "/any/path", "https://app.example") "Access-Control-Request-Method: "
                                                                  "POST\r\nAccess-Control-Request-"
                                                                  "Headers: x-a, x-b\r\n\r\n");
    assert_answer(answer, 204, "");
    assert_non_null(strstr(answer, "Access-Control-Allow-Origin: https://app.example\r\n"));
    assert_non_null(strstr(answer, "Access-Control-Allow-Headers: x-a, x-b\r\n"));
    assert_non_null(strstr(answer, "Access-Control-Allow-Methods: "));
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
        assert_non_null(strstr(answer, "Allow: GET, HEAD, OPTIONS\r\n"));
        assert_non_null(strstr(answer, "Vary: Origin\r\n"));
        assert_null(strstr(answer, "Content-Length"));
    }
    assert_error(ask(peer, "OPTIONS /nope HTTP/1.1\r\nHost: a\r\n\r\n"), 404, "not_found");
    answer = ask(peer, "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_error(answer, 405, "method_not_allowed");
    assert_non_null(strstr(answer, "Allow: GET, HEAD, OPTIONS\r\n"));
    assert_answer(ask(peer, GET("/healthz")), 200, "{\"status\":\"ok\"}");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_paths), TEST(test_origins), TEST(test_preflight)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
