#include "tests/support/cmocka_first.h"

#include "proto/web/origin.c"

static struct config config;
static struct http_request request;

static void header(struct span *at, const char *value) {
    *at = value == NULL ? span_of(NULL, 0) : span_text(value);
}

static enum origin_verdict web(const char *host, const char *origin) {
    header(&request.host, host);
    header(&request.origin, origin);
    return origin_look(&config, &request, false);
}

static void test_loopback_names(void **state) {
    (void)state;
    const char *const good[] = {
        "localhost",  "LocalHost:8081", "127.0.0.1",  "127.0.0.1:80", "127.255.0.9",       "[::1]",
        "localhost:", "127.0.0.1:",     "[::1]:8081", "[0:0::1]",     "[::ffff:127.0.0.1]"};
    const char *const bad[] = {"",
                               "localhost.evil.example",
                               "evil.example",
                               "128.0.0.1",
                               "127.0.0.1.evil.example",
                               "[::2]",
                               "::1",
                               "127.1",
                               "[::ffff:10.0.0.1]",
                               "[::1",
                               "[127.0.0.1]",
                               "[localhost]",
                               "0.0.0.0",
                               "127.0.0.1.evil",
                               "xlocalhost",
                               "[::1].evil.example",
                               "[::1]x:80",
                               "[::1]:80.evil.example",
                               "[::1]:80:81",
                               "127.0.0.1:80.evil.example",
                               "127.0.0.1:80:80",
                               "localhost:80.evil.example",
                               "localhost:x",
                               "localhost:123456",
                               "[]",
                               "[]:80",
                               ":80",
                               "[",
                               "localhost."};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(origin_host_is_loopback(span_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(origin_host_is_loopback(span_text(bad[i])));
}

static void test_origins(void **state) {
    (void)state;
    config = (struct config){.origins = {"https://app.example", "http://b.example:8000"},
                             .origin_count = 2,
                             .web_hosts = {"a.example"},
                             .web_host_count = 1};
    assert_int_equal(web("a.example", NULL), ORIGIN_NONE);
    /* Its own host: scheme, letter case and default port aside. */
    assert_int_equal(web("a.example", "http://a.example"), ORIGIN_ALLOWED);
    assert_int_equal(web("A.example:80", "http://a.EXAMPLE"), ORIGIN_ALLOWED);
    assert_int_equal(web("a.example", "https://a.example:443"), ORIGIN_ALLOWED);
    assert_int_equal(web("a.example:443", "https://a.example"), ORIGIN_ALLOWED);
    assert_int_equal(web("a.example:8080", "http://a.example:8080"), ORIGIN_ALLOWED);
    assert_int_equal(web("[::1]:8080", "http://[::1]:8080"), ORIGIN_ALLOWED);
    assert_int_equal(web("a.example:8080", "http://a.example"), ORIGIN_FOREIGN);
    assert_int_equal(web("a.example", "http://a.example:8080"), ORIGIN_FOREIGN);
    assert_int_equal(web("a.example:443", "http://a.example"), ORIGIN_FOREIGN);
    assert_int_equal(web("a.example", "http://a.example.evil"), ORIGIN_FOREIGN);
    assert_int_equal(web("a.example", "http://xa.example"), ORIGIN_FOREIGN);
    assert_int_equal(web(NULL, "http://a.example"), ORIGIN_FOREIGN);
    assert_int_equal(web("", "http://"), ORIGIN_UNKNOWN_HOST);
    assert_int_equal(web("a.example", ""), ORIGIN_FOREIGN);
    assert_int_equal(web("a.example", "null"), ORIGIN_FOREIGN);
    /* --cors: with its scheme. */
    assert_int_equal(web("a.example", "https://APP.example"), ORIGIN_ALLOWED);
    assert_int_equal(web("a.example", "https://app.example:443"), ORIGIN_ALLOWED);
    assert_int_equal(web("a.example", "http://app.example"), ORIGIN_FOREIGN);
    assert_int_equal(web("a.example", "http://b.example:8000"), ORIGIN_ALLOWED);
    assert_int_equal(web("a.example", "http://b.example"), ORIGIN_FOREIGN);
    config.origins[1] = "null";
    assert_int_equal(web("a.example", "null"), ORIGIN_FOREIGN);
    config.origins[1] = "*";
    assert_int_equal(web("a.example", "null"), ORIGIN_ALLOWED);
    assert_int_equal(web("a.example", "http://evil.example"), ORIGIN_ALLOWED);
}

/* A page whose name was pointed at this node has Origin = Host, and gets nothing. */
static void test_own_hosts(void **state) {
    (void)state;
    config = (struct config){.origins = {"https://app.example"}, .origin_count = 1};
    static const char *const own[][2] = {{"127.0.0.1:8080", "http://127.0.0.1:8080"},
                                         {"LocalHost:8080", "http://localhost:8080"},
                                         {"192.0.2.7", "http://192.0.2.7"},
                                         {"[2001:db8::1]:80", "http://[2001:db8::1]"}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        assert_int_equal(web(own[i][0], own[i][1]), ORIGIN_ALLOWED);
    static const char *const rebound[][2] = {
        {"evil.example:8080", "http://evil.example:8080"},
        {"evil.example", "https://evil.example"},
        {"[::1].evil.example", "http://[::1].evil.example"},
        {"127.0.0.1:80.evil.example", "http://127.0.0.1:80.evil.example"}};
    for (size_t i = 0; i < sizeof rebound / sizeof *rebound; i++)
        assert_int_equal(web(rebound[i][0], rebound[i][1]), ORIGIN_UNKNOWN_HOST);
    /* --cors lets a page in under whatever name it asks; without Origin any name passes. */
    assert_int_equal(web("evil.example", "https://app.example"), ORIGIN_ALLOWED);
    assert_int_equal(web("evil.example", NULL), ORIGIN_NONE);
    assert_int_equal(web("evil.example", "http://other.example"), ORIGIN_FOREIGN);

    config.web_hosts[0] = "shop.example";
    config.web_host_count = 1;
    assert_int_equal(web("Shop.Example:8443", "https://shop.example:8443"), ORIGIN_ALLOWED);
    assert_int_equal(web("shop.example", NULL), ORIGIN_NONE);
    assert_int_equal(web("10.0.0.1", NULL), ORIGIN_NONE);
    assert_int_equal(web("localhost", NULL), ORIGIN_NONE);
    assert_int_equal(web(NULL, NULL), ORIGIN_NONE); /* HTTP/1.0 */
    assert_int_equal(web("evil.example", NULL), ORIGIN_UNKNOWN_HOST);
    assert_int_equal(web("www.shop.example", NULL), ORIGIN_UNKNOWN_HOST);
    assert_int_equal(web("shop.example.evil", NULL), ORIGIN_UNKNOWN_HOST);
    assert_int_equal(web("[shop.example]", NULL), ORIGIN_UNKNOWN_HOST);
    assert_int_equal(web("evil.example", "https://app.example"), ORIGIN_UNKNOWN_HOST);
    /* A probe may call the node as it likes. */
    header(&request.host, "evil.example");
    header(&request.origin, NULL);
    assert_int_equal(origin_look(&config, &request, true), ORIGIN_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback_names),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_own_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
