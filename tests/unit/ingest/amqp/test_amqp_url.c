/* Where a broker is: what a URL says, how it is shown, what is wrong with one. */
#include "ingest/amqp/amqp_url.c"

#include "tests/support/cmocka_first.h"

static struct amqp_url url;

static void take(const char *text, const char *shown) {
    char written[AMQP_URL_WRITTEN_MAX];
    struct builder out = builder_over(written, sizeof(written));
    const char *wrong = amqp_url_parse(span_text(text), &url);
    if (wrong != NULL)
        fail_msg("%s %s", text, wrong);
    amqp_url_write(&out, &url);
    if (!span_equal(builder_span(&out), span_text(shown)))
        fail_msg("%s: \"%.*s\"", text, SPAN_ARG(builder_span(&out)));
}

static void test_good(void **state) {
    (void)state;
    take("amqp://broker", "amqp://broker:5672/");
    assert_string_equal(url.user, "guest");
    assert_string_equal(url.password, "guest");
    assert_string_equal(url.vhost, "/");
    take("AMQPS://broker/", "amqps://broker:5671/");
    assert_true(url.is_tls);
    assert_string_equal(url.vhost, "/");
    take("amqp://broker/%2F", "amqp://broker:5672/");
    assert_string_equal(url.vhost, "/");
    take("amqp://u%40x:p:w%2f@[::1]:7/a%20b", "amqp://[::1]:7/a%20b");
    assert_string_equal(url.user, "u@x");
    assert_string_equal(url.password, "p:w/");
    assert_string_equal(url.host, "::1");
    assert_string_equal(url.vhost, "a b");
    take("amqp://u@h", "amqp://h:5672/");
    assert_string_equal(url.password, "");
}

static void test_bad(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "is no URL of a broker; write amqp://HOST:PORT or amqps://HOST:PORT"},
        {"http://h", "is no URL of a broker; write amqp://HOST:PORT or amqps://HOST:PORT"},
        {"amqp://", "has no host; write amqp://HOST:PORT"},
        {"amqp://h:0", "has a bad port; a port is a number from 1 to 65535"},
        {"amqp://h:65536", "has a bad port; a port is a number from 1 to 65535"},
        {"amqp://h:", "has a bad port; a port is a number from 1 to 65535"},
        {"amqp://h:7x", "has a bad port; a port is a number from 1 to 65535"},
        {"amqp://h x", "holds a blank or a control character; write %20 for a blank"},
        {"amqp://h/a/b", "has a / in its user, password or virtual host; write %2F"},
        {"amqp://h?x=1", "holds a ? or a #; in a user, password or virtual host write %3F or %23, "
                         "parameters have no place"},
        {"amqp://@h", "has no user before its @"},
        {"amqp://a@b@h", "has an @ in its user or password; write %40"},
        {"amqp://%zz@h",
         "has a bad user; a user is UTF-8 of at most 255 bytes, with % written %25"},
        {"amqp://u:%00@h",
         "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25"},
        {"amqp://h/%ff", "has a bad virtual host; one is UTF-8 of at most 255 bytes, with % "
                         "written %25"},
        {"amqp://[::1", "has no ] after the IPv6 address; write [::1]:5672"},
        {"amqp://[x]", "has no IPv6 address between its brackets"},
        {"amqp://[::1]x", "has something behind its IPv6 address; write [::1]:5672"},
        {"amqp://h,x", "has a host with a byte that no host has"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *wrong = amqp_url_parse(span_text(cases[i].text), &url);
        if (wrong == NULL || strcmp(wrong, cases[i].says) != 0)
            fail_msg("%s: %s", cases[i].text, wrong == NULL ? "taken" : wrong);
        assert_string_equal(url.password, "");
    }
}

static void test_any_tls(void **state) {
    (void)state;
    static const char *const urls[] = {"amqp://a", "amqp://b", "amqps://c"};
    assert_false(amqp_url_any_tls(urls, 0));
    assert_false(amqp_url_any_tls(urls, 2));
    assert_true(amqp_url_any_tls(urls, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_any_tls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
