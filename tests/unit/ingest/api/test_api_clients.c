/* Presence, closing, groups: calls over a whole engine of two workers with real TCP clients. */
#include "tests/support/fake_http.h"

#include "ingest/api/api_clients.c"
#include "ingest/api/api_groups.c"

static struct peer *api;

static int setup(void **state) {
    (void)state;
    http_node_open();
    api = api_connect();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static void test_presence(void **state) {
    (void)state;
    assert_error(ask(api, GET("/v1/clients/till")), 404, "not_found");
    client_connect(0, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\",\"h \\\"\"]}\n");
    struct peer *second = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    client_connect(1, "{\"type\":\"hello\",\"id\":\"other\"}\n");
    const char *answer = ask(api, GET("/v1/clients/t%69ll"));
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "{\"id\":\"till\",\"sessions\":[{\"session\":\"0-"));
    assert_non_null(strstr(answer, "},{\"session\":\"1-1-1\",\"node\":\"n1\",\"transport\":\"tcp\","
                                   "\"namespace\":\"/\",\"address\":\"192.0.2.7:"));
    assert_non_null(strstr(answer, "\"since\":\"2026-01-01T00:00:0"));
    assert_non_null(strstr(answer, "\"groups\":[\"g\",\"h \\\"\"],\"queued_bytes\":0}"));
    assert_null(strstr(answer, "truncated"));
    peer_stall(second, true);
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/clients/till", "12345"))), 202);
    assert_non_null(strstr(ask(api, GET("/v1/clients/till")), "\"groups\":[],\"queued_bytes\":"));
    assert_error(ask(api, GET("/v1/clients/till?x=1")), 400, "bad_message");
    assert_error(ask(api, GET("/v1/clients/%0a")), 400, "bad_message");
}

static void test_presence_is_bounded(void **state) {
    (void)state;
    /* 64 groups of 128 bytes, each of which is written as six: 49 kB for each session. */
    char hello[20000];
    struct builder out = builder_over(hello, sizeof hello - 1);
    builder_text(&out, "{\"type\":\"hello\",\"id\":\"x\",\"groups\":[");
    for (unsigned g = 0; g < 64; g++)
        builder_format(&out, "%s\"%0128u\"", g == 0 ? "" : ",", g);
    builder_text(&out, "]}\n");
    hello[out.len] = '\0';
    for (unsigned i = 0; i < 3; i++)
        client_connect(0, hello);
    const char *answer = ask(api, GET("/v1/clients/x"));
    assert_int_equal(times(answer, "\"session\":"), 3);
    assert_null(strstr(answer, "truncated"));
    assert_in_range(strlen(answer), 3 * 64 * 128, 3 * 64 * (128 + 8));
}

static void test_delete_client(void **state) {
    (void)state;
    assert_answer(ask(api, DEL("/v1/clients/till")), 200, "{\"closed\":0}");
    struct peer *first = client_connect(0, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    struct peer *second = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    struct peer *third = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    struct peer *other = client_connect(1, "{\"type\":\"hello\",\"id\":\"other\"}\n");
    assert_answer(ask(api, DEL("/v1/clients/till")), 200, "{\"closed\":3}");
    assert_true(first->ended && second->ended && third->ended);
    assert_false(other->ended);
    assert_error(ask(api, GET("/v1/clients/till")), 404, "not_found");
    assert_answer(ask(api, DEL("/v1/clients/till")), 200, "{\"closed\":0}");
}

static void test_members(void **state) {
    (void)state;
    assert_answer(ask(api, PUT("/v1/groups/g/clients/till")), 200, "{\"sessions\":0}");
    struct peer *first = client_connect(0, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    /* Whatever is published behind the answer reaches them: here in the same turn. */
    for (unsigned i = 0; i < 8; i++) {
        char request[512];
        snprintf(request, sizeof request,
                 "PUT /v1/groups/g%u/clients/till HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Length: 0\r\n\r\n",
                 i);
        peer_send(api, request);
        free(peer_heard(api));
        for (unsigned turn = 0; api->out_len == 0; turn++) {
            assert_true(turn < 100);
            worker_turn(&fake_server.workers[turn % 2], 0);
        }
        assert_answer(api->out, 200, "{\"sessions\":2}");
        snprintf(request, sizeof request, "/v1/groups/g%u?id=m%u", i, i);
        char wanted[128];
        snprintf(wanted, sizeof wanted, "{\"id\":\"m%u\",\"state\":\"queued\",\"recipients\":2}",
                 i);
        assert_answer(ask(api, JSON_POST(request, "1")), 202, wanted);
    }
    assert_int_equal(times(first->out, "\"type\":\"message\""), 8);
    assert_answer(ask(api, PUT("/v1/groups/g1/clients/till?namespace=/")), 200, "{\"sessions\":2}");
    assert_error(ask(api, PUT("/v1/groups/g1/clients/till?namespace=/x")), 400, "bad_message");
    assert_answer(ask(api, DEL("/v1/groups/g1/clients/till")), 200, "{\"sessions\":2}");
    assert_answer(ask(api, DEL("/v1/groups/g1/clients/till")), 200, "{\"sessions\":0}");
    assert_answer(ask(api, JSON_POST("/v1/groups/g1?id=n", "1")), 202,
                  "{\"id\":\"n\",\"state\":\"queued\",\"recipients\":0}");
    assert_error(ask(api, PUT("/v1/groups/%0a/clients/till")), 400, "bad_message");
}

static void test_too_many_groups(void **state) {
    (void)state;
    char hello[4096];
    struct builder out = builder_over(hello, sizeof hello - 1);
    builder_text(&out, "{\"type\":\"hello\",\"id\":\"x\",\"groups\":[\"g\"");
    for (unsigned g = 1; g < 64; g++)
        builder_format(&out, ",\"%u\"", g);
    builder_text(&out, "]}\n");
    hello[out.len] = '\0';
    client_connect(0, hello);
    client_connect(1, "{\"type\":\"hello\",\"id\":\"x\"}\n");
    const char *answer = ask(api, PUT("/v1/groups/new/clients/x"));
    assert_error(answer, 409, "too_many_groups");
    assert_non_null(
        strstr(answer, "sessions that are in 64 groups already: 1; sessions that have joined: 1"));
    assert_answer(ask(api, PUT("/v1/groups/g/clients/x")), 200, "{\"sessions\":2}");
}

static void test_group(void **state) {
    (void)state;
    assert_answer(ask(api, GET("/v1/groups/g")), 200, "{\"count\":0,\"ids\":[],\"next\":null}");
    const char *const ids[] = {"d", "b", "\xc3\xa4", "a", "b", "c", "aa"};
    for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
        char hello[128];
        snprintf(hello, sizeof hello, "{\"type\":\"hello\",\"id\":\"%s\",\"groups\":[\"g\"]}\n",
                 ids[i]);
        client_connect(i % 2, hello);
    }
    client_connect(0, "{\"type\":\"hello\",\"groups\":[\"g\"]}\n"); /* without an id */
    assert_answer(
        ask(api, GET("/v1/groups/g")), 200,
        "{\"count\":6,\"ids\":[\"a\",\"aa\",\"b\",\"c\",\"d\",\"\xc3\xa4\"],\"next\":null}");
    assert_answer(ask(api, GET("/v1/groups/g?limit=2")), 200,
                  "{\"count\":6,\"ids\":[\"a\",\"aa\"],\"next\":\"aa\"}");
    assert_answer(ask(api, GET("/v1/groups/g?limit=3&after=aa")), 200,
                  "{\"count\":6,\"ids\":[\"b\",\"c\",\"d\"],\"next\":\"d\"}");
    assert_answer(ask(api, GET("/v1/groups/g?limit=1&after=d&namespace=%2F")), 200,
                  "{\"count\":6,\"ids\":[\"\xc3\xa4\"],\"next\":null}");
    assert_answer(ask(api, GET("/v1/groups/g?after=%C3%A4")), 200,
                  "{\"count\":6,\"ids\":[],\"next\":null}");
    assert_answer(
        ask(api, GET("/v1/groups/g?after=")), 200,
        "{\"count\":6,\"ids\":[\"a\",\"aa\",\"b\",\"c\",\"d\",\"\xc3\xa4\"],\"next\":null}");
    const char *const bad[] = {GET("/v1/groups/g?limit=0"),         GET("/v1/groups/g?limit=1001"),
                               GET("/v1/groups/g?limit=1.5"),       GET("/v1/groups/g?limit=x"),
                               GET("/v1/groups/g?limit="),          GET("/v1/groups/g?after=%0a"),
                               GET("/v1/groups/g?after=a&after=b"), GET("/v1/groups/%00"),
                               GET("/v1/groups/g?offset=1")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_error(ask(api, bad[i]), 400, "bad_message");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_presence), TEST(test_presence_is_bounded), TEST(test_delete_client),
        TEST(test_members),  TEST(test_too_many_groups),     TEST(test_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
