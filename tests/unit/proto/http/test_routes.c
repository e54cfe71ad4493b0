#include "tests/support/cmocka_first.h"

#include "proto/http/routes.c"

static void serve(struct worker *worker, struct http_exchange *exchange,
                  const struct route_request *request) {
    (void)worker, (void)exchange, (void)request;
}

static size_t body_max(const struct config *config) {
    return config->max_body_bytes;
}

static const struct route_body body = {.max = body_max, .hint = " (--x)"};

static const struct route routes[] = {
    {"/", HTTP_METHOD_GET, true, false, NULL, serve},
    {"/v1/messages", HTTP_METHOD_POST, false, false, &body, serve},
    {"/v1/clients/{}", HTTP_METHOD_GET, false, false, NULL, serve},
    {"/v1/clients/{}", HTTP_METHOD_DELETE, false, false, NULL, serve},
    {"/v1/groups/{}/clients/{}", HTTP_METHOD_PUT, false, false, NULL, serve},
    {"/healthz", HTTP_METHOD_GET, true, false, NULL, serve},
};

static struct route_match match;

static enum route_verdict find(enum http_method method, const char *path) {
    static char room[4096];
    struct builder texts = builder_over(room, sizeof room);
    return route_find(routes, sizeof routes / sizeof *routes, method, span_text(path), &texts,
                      &match);
}

static void assert_name(unsigned index, const char *wanted) {
    assert_true(span_equal(match.names[index], span_text(wanted)));
}

static void test_found(void **state) {
    (void)state;
    assert_int_equal(find(HTTP_METHOD_POST, "/v1/messages"), ROUTE_FOUND);
    assert_ptr_equal(match.route, &routes[1]);
    assert_false(match.open);
    assert_int_equal(find(HTTP_METHOD_GET, "/"), ROUTE_FOUND);
    assert_ptr_equal(match.route, &routes[0]);
    assert_int_equal(find(HTTP_METHOD_HEAD, "/healthz"), ROUTE_FOUND);
    assert_ptr_equal(match.route, &routes[5]);
    assert_true(match.open);
    assert_int_equal(find(HTTP_METHOD_DELETE, "/v1/clients/till-7"), ROUTE_FOUND);
    assert_ptr_equal(match.route, &routes[3]);
    assert_name(0, "till-7");
}

static void test_names_are_decoded_once(void **state) {
    (void)state;
    assert_int_equal(find(HTTP_METHOD_PUT, "/v1/groups/a%2Fb/clients/x%2520+y"), ROUTE_FOUND);
    assert_name(0, "a/b");
    assert_name(1, "x%20+y");
    assert_int_equal(find(HTTP_METHOD_GET, "/v1/clients/%C3%A4"), ROUTE_FOUND);
    assert_name(0, "\xc3\xa4");
    /* An encoded slash cuts no path, an encoded letter is that letter. */
    assert_int_equal(find(HTTP_METHOD_GET, "/v1%2Fclients/a"), ROUTE_NOT_FOUND);
    assert_int_equal(find(HTTP_METHOD_GET, "/v1/cl%69ents/a"), ROUTE_FOUND);
    /* No one names a pattern by its own sign. */
    assert_int_equal(find(HTTP_METHOD_GET, "/v1/clients/{}"), ROUTE_FOUND);
    assert_name(0, "{}");
}

static void test_not_found(void **state) {
    (void)state;
    const char *const paths[] = {"/v1",
                                 "/v1/",
                                 "/v1/clients",
                                 "/v1/clients/",
                                 "/v1/clients/a/",
                                 "/v1/clients/a/b",
                                 "/healthz/",
                                 "//healthz",
                                 "/HEALTHZ",
                                 "*",
                                 "",
                                 "/v1/messages/x",
                                 "/a/b/c/d/e/f/g/h/i/j/k/l",
                                 "/v1/groups//clients/a"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_int_equal(find(HTTP_METHOD_GET, paths[i]), ROUTE_NOT_FOUND);
}

static void test_not_allowed(void **state) {
    (void)state;
    assert_int_equal(find(HTTP_METHOD_GET, "/v1/messages"), ROUTE_NOT_ALLOWED);
    assert_string_equal(match.allow, "POST");
    assert_int_equal(find(HTTP_METHOD_OPTIONS, "/v1/clients/a"), ROUTE_NOT_ALLOWED);
    assert_string_equal(match.allow, "GET, HEAD, DELETE");
    assert_int_equal(find(HTTP_METHOD_OTHER, "/healthz"), ROUTE_NOT_ALLOWED);
    assert_string_equal(match.allow, "GET, HEAD");
    assert_true(match.open);
    assert_int_equal(find(HTTP_METHOD_HEAD, "/v1/messages"), ROUTE_NOT_ALLOWED);
}

static void test_bad_path(void **state) {
    (void)state;
    assert_int_equal(find(HTTP_METHOD_GET, "/v1/clients/%zz"), ROUTE_BAD_PATH);
    assert_non_null(match.wrong);
    assert_int_equal(find(HTTP_METHOD_GET, "/v1/clients/%ff"), ROUTE_BAD_PATH);
    assert_int_equal(find(HTTP_METHOD_GET, "/v1/clients/%4"), ROUTE_BAD_PATH);
}

static void test_bodies(void **state) {
    (void)state;
    struct config config = {.max_body_bytes = 100};
    struct http_request request = {.has_body = false};
    struct complaint complaint;
    assert_true(route_takes(&routes[0], &config, &request, &complaint));
    assert_true(route_takes(&routes[1], &config, &request, &complaint));
    request = (struct http_request){.has_body = true, .chunked = true};
    assert_false(route_takes(&routes[0], &config, &request, &complaint));
    assert_int_equal(complaint.code, CODE_TOO_LARGE);
    assert_string_equal(complaint.text, "this path takes no body");
    request.body_bytes = 100;
    assert_true(route_takes(&routes[1], &config, &request, &complaint));
    request.body_bytes = 101;
    assert_false(route_takes(&routes[1], &config, &request, &complaint));
    assert_string_equal(complaint.text, "the body is longer than 100 bytes (--x)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),     cmocka_unit_test(test_names_are_decoded_once),
        cmocka_unit_test(test_not_found), cmocka_unit_test(test_not_allowed),
        cmocka_unit_test(test_bad_path),  cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
