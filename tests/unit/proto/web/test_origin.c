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

/* `site` is Sec-Fetch-Site; it and `referer` may be NULL. */
static bool unsaid(const char *agent, const char *host, const char *site, const char *referer,
                   bool script) {
    const struct http_field all[] = {{SPAN_INIT("User-Agent"), span_text(agent)},
                                     {SPAN_INIT("Sec-Fetch-Site"), span_text(site ? site : "")},
                                     {SPAN_INIT("Referer"), span_text(referer ? referer : "")}};
    const bool given[] = {true, site != NULL, referer != NULL};
    request.fields.count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (given[i])
            request.fields.list[request.fields.count++] = all[i];
    header(&request.host, host);
    header(&request.origin, NULL);
    return origin_admits_unsaid(&config, &request, script);
}

#define BROWSER "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

static void test_without_an_origin(void **state) {
    (void)state;
    hash_init(NULL);
    config = (struct config){.web_hosts = {"shop.example"}, .web_host_count = 1};
    /* Programs say nothing and may do anything. */
    assert_true(unsaid("curl/8.5.0", "evil.example", NULL, NULL, false));
    assert_true(unsaid("", NULL, NULL, NULL, true));
    /* A page of a name that was pointed here. */
    assert_false(unsaid(BROWSER, "evil.example", NULL, NULL, false));
    assert_false(unsaid(BROWSER, "evil.example", "same-origin", "http://evil.example/", false));
    assert_false(unsaid("Opera/9.80", "evil.example", NULL, NULL, false));
    assert_false(unsaid("x", "evil.example", "same-origin", NULL, false));
    assert_true(unsaid(BROWSER, "shop.example:8080", NULL, NULL, false));
    assert_true(unsaid(BROWSER, "10.0.0.1", NULL, NULL, false));
    assert_true(unsaid(BROWSER, NULL, NULL, NULL, false)); /* HTTP/1.0 */
    /* A script, which is for the page that loads it. */
    assert_true(unsaid(BROWSER, "10.0.0.1", "same-origin", NULL, true));
    assert_true(unsaid(BROWSER, "10.0.0.1", "none", NULL, true));
    assert_false(unsaid(BROWSER, "10.0.0.1", "cross-site", NULL, true));
    assert_false(unsaid(BROWSER, "10.0.0.1", "same-site", "http://10.0.0.1/", true));
    assert_false(unsaid(BROWSER, "10.0.0.1", NULL, NULL, true));
    assert_true(unsaid(BROWSER, "10.0.0.1:80", NULL, "http://10.0.0.1/till?x=1", true));
    assert_true(unsaid(BROWSER, "shop.example", NULL, "https://Shop.Example", true));
    assert_false(unsaid(BROWSER, "10.0.0.1", NULL, "http://evil.example/10.0.0.1", true));
    assert_false(unsaid(BROWSER, "10.0.0.1", NULL, "http://10.0.0.1.evil.example/", true));
    assert_false(unsaid(BROWSER, "10.0.0.1", NULL, "http://evil.example?://10.0.0.1/", true));
    assert_false(unsaid(BROWSER, "10.0.0.1", NULL, "nothing", true));
    assert_false(unsaid(BROWSER, "evil.example", NULL, "http://evil.example/", true));
    /* One that --cors lets in. */
    config.origins[0] = "https://app.example";
    config.origin_count = 1;
    assert_true(unsaid(BROWSER, "10.0.0.1", "cross-site", "https://app.example/", true));
    assert_false(unsaid(BROWSER, "10.0.0.1", "cross-site", NULL, true));
    config.origins[0] = "*";
    assert_true(unsaid(BROWSER, "10.0.0.1", "cross-site", NULL, true));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback_names),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_own_hosts),
        cmocka_unit_test(test_without_an_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
