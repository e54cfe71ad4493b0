/* Request targets and hosts. */
#include "proto/http/http_target.c"

#include "tests/support/cmocka_first.h"

struct split {
    const char *text, *path, *query, *authority;
};

static void assert_span(struct span span, const char *wanted) {
    if (wanted == NULL)
        assert_null(span.at);
    else
        assert_true(span.at != NULL && span_equal(span, span_text(wanted)));
}

static void splits_targets(void **state) {
    (void)state;
    static const struct split splits[] = {
        {"/", "/", NULL, NULL},
        {"*", "*", NULL, NULL},
        {"//a/b", "//a/b", NULL, NULL},
        {"/a%2Fb/?c=d?e", "/a%2Fb/", "c=d?e", NULL},
        {"/?", "/", "", NULL},
        {"/http://a?b", "/http://a", "b", NULL},
        {"http://a", "/", NULL, "a"},
        {"HTTP://a:1/b?c", "/b", "c", "a:1"},
        {"https://a?b/c", "/", "b/c", "a"},
        {"http://", "/", NULL, ""},
        {"http:///b", "/b", NULL, ""},
    };
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        struct http_target target;
        assert_null(http_target_split(span_text(splits[i].text), &target));
        assert_span(target.path, splits[i].path);
        assert_span(target.query, splits[i].query);
        assert_span(target.authority, splits[i].authority);
    }
}

static void refuses_other_targets(void **state) {
    (void)state;
    static const char *const wrong[] = {"a",  "a:80", "ftp://a/", "http:/a",   "http",
                                        "?a", "#",    "/#",       "/?a#b",     "http://a#",
                                        "**", "*/",   "h",        "httpss://a"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct http_target target;
        assert_non_null(http_target_split(span_text(wrong[i]), &target));
    }
}

static void knows_hosts(void **state) {
    (void)state;
    static const char *const good[] = {"a", "a.b-c_d:8081", "[::1]:80", "127.0.0.1",
                                       "[fe80::1%25e]"};
    static const char *const bad[] = {"", "a b", "a/b", "u@a", "a,b", "a\tb", "\xc3\xa4", "a\\b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(http_host_valid(span_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(http_host_valid(span_text(bad[i])));
    assert_false(http_host_valid(SPAN("a\0b")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_targets),
        cmocka_unit_test(refuses_other_targets),
        cmocka_unit_test(knows_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
