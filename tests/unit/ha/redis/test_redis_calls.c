/* Calls that other nodes take part in, on a whole node: whom they go to, for whom they wait and for
 * how long, what comes of what nodes say; and what this node says when it is asked. */
#include "tests/support/fake_redis.h"

#include "proto/text/json.h"

static struct peer *client(const char *id, const char *group) {
    char line[300];
    struct peer *peer = peer_connect(0, LISTENER_TCP);
    snprintf(line, sizeof(line), "{\"type\":\"hello\",\"id\":\"%s\",\"groups\":[\"%s\"]}\n", id,
             group);
    peer_say(peer, line);
    redis_settle();
    assert_non_null(strstr(peer->out, "\"type\":\"welcome\""));
    return peer;
}

static void node_lives(unsigned node, bool lives) {
    char text[200];
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%016x\",\"name\":\"node-%u\",\"lives\":%s}}",
             node, node, lives ? "true" : "false");
    redis_comes("rp:all", text);
}

/* So many other nodes, which have been heard for long enough. */
static void nodes_live(unsigned count) {
    redis_others = count;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 1; i <= count; i++)
            node_lives(i, true);
        redis_pass(NS_PER_S);
    }
    assert_int_equal(FIGURE(nodes), count);
    redis_published[0] = '\0';
}

static void call_api(const char *method, const char *path) {
    char text[400];
    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, path);
    free(peer_heard(api));
    peer_say(api, text);
    redis_settle();
}

/* The number of the call that was published last. */
static unsigned number(void) {
    const char *at = strstr(redis_published, "\"call\":");
    assert_non_null(at);
    return (unsigned)strtoul(at + 7, NULL, 10);
}

static void says(unsigned node, unsigned call, const char *more) {
    char text[4096], channel[64];
    snprintf(channel, sizeof(channel), "rp:node:%s", fake_server.run);
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%016x\",\"answer\":%u%s}}", node, call,
             more);
    redis_comes(channel, text);
}

static void assert_says(unsigned status, const char *body) {
    assert_int_equal(status_of(api->out), status);
    if (strstr(api->out, body) == NULL)
        fail_msg("%s is not %s", api->out, body);
}

static void assert_waits(void) {
    assert_string_equal(api->out, "");
}

/* --- who is waited for ------------------------------------------------------------------------ */

static void test_alone(void **state) {
    (void)state;
    redis_pass(3 * NS_PER_S);
    call_api("GET", "/v1/clients/x");
    assert_says(404, "\"not_found\"");
    assert_non_null(strstr(redis_published, "rp:all {\"node\":{\"run\":"));
    assert_non_null(strstr(redis_published, "\"does\":{\"what\":\"client\",\"id\":\"x\"}}}"));
    assert_int_equal(FIGURE(calls), 1);
    assert_int_equal(FIGURE(calls_incomplete), 0);
}

static void test_all_are_waited_for(void **state) {
    (void)state;
    client("x", "g");
    nodes_live(3);
    call_api("GET", "/v1/clients/x");
    unsigned call = number();
    assert_waits();
    says(1, call, ",\"says\":[]");
    says(2, call, ",\"more\":true,\"says\":[{\"session\":{\"of\":2}}]");
    says(2, call, ",\"says\":[{\"session\":{\"of\":22}},{\"pending\":3,\"oldest\":1}]");
    assert_waits();
    says(9, call + 1, ""); /* of another call */
    assert_waits();
    says(3, call, "");
    assert_says(200, "},{\"of\":2},{\"of\":22}],\"pending\":3,\"oldest\":\"1970-01-01T");
    assert_null(strstr(api->out, "cluster"));
    says(3, call, ",\"says\":[{\"session\":{}}]"); /* nobody waits for it any more */
    assert_int_equal(FIGURE(calls_incomplete), 0);
}

static void test_not_for_ever(void **state) {
    (void)state;
    client("x", "g");
    nodes_live(2);
    call_api("GET", "/v1/clients/x");
    says(1, number(), ",\"says\":[{\"session\":1}]");
    redis_pass(CALL_WAIT_NS - 100 * NS_PER_MS);
    assert_waits();
    redis_pass(200 * NS_PER_MS);
    assert_says(200, "},1],\"cluster\":\"unavailable\"}");
    call_api("GET", "/v1/messages/m1");
    redis_pass(CALL_WAIT_NS + 100 * NS_PER_MS);
    assert_error(api->out, 503, "cluster_unavailable");
    assert_int_equal(FIGURE(calls_incomplete), 2);
}

/* Only nodes that have the name are asked, and as many as have it are waited for. */
static void test_of_a_name(void **state) {
    (void)state;
    nodes_live(3);
    redis_others = 2;
    call_api("DELETE", "/v1/clients/x");
    assert_non_null(strstr(redis_published, "rp:id:x {\"node\""));
    says(1, number(), ",\"says\":[{\"count\":2}]");
    assert_waits();
    says(3, number(), ",\"says\":[{\"count\":1}]");
    assert_says(200, "{\"closed\":3}\n");
    redis_published[0] = '\0';
    redis_others = 0;
    call_api("GET", "/v1/groups/g");
    assert_non_null(strstr(redis_published, "rp:group:g {\"node\""));
    assert_says(200, "{\"count\":0,\"ids\":[],\"next\":null}\n");
    /* A program that has subscribed says nothing: there are not more than the nodes. */
    redis_others = 4;
    redis_published[0] = '\0';
    call_api("PUT", "/v1/groups/g/clients/x");
    says(1, number(), ",\"says\":[{\"count\":1}]");
    says(2, number(), ",\"says\":[{\"count\":0,\"full\":1}]");
    assert_waits();
    says(3, number(), "");
    assert_error(api->out, 409, "too_many_groups");
}

/* A moment after it has come up a node does not know all others. */
static void test_who_has_not_been_heard(void **state) {
    (void)state;
    redis_others = 1;
    call_api("GET", "/v1/messages/m1");
    assert_waits();
    says(1, number(), ",\"says\":[{\"fate\":{\"id\":\"m1\"}}]");
    assert_says(200, "\r\n\r\n{\"id\":\"m1\"}\n");
}

static void test_a_node_that_cannot(void **state) {
    (void)state;
    nodes_live(1);
    call_api("GET", "/v1/messages/m1");
    says(1, number(), ",\"failed\":true");
    assert_error(api->out, 503, "cluster_unavailable");
}

static void test_redis_away(void **state) {
    (void)state;
    client("x", "g");
    nodes_live(1);
    call_api("GET", "/v1/clients/x");
    assert_waits();
    redis_link(SUBSCRIBER)->error = ECONNRESET;
    node_settle();
    assert_says(200, "\"cluster\":\"unavailable\"");
    call_api("GET", "/v1/groups/g");
    assert_says(200, "\"ids\":[\"x\"],\"next\":null,\"cluster\":\"unavailable\"}");
    call_api("GET", "/v1/messages/m1");
    assert_error(api->out, 503, "cluster_unavailable");
    assert_int_equal(FIGURE(calls), 1);
    assert_int_equal(FIGURE(calls_incomplete), 3);
}

/* More of them than there are places: the others are of this node alone. */
static void test_too_many(void **state) {
    (void)state;
    nodes_live(1);
    redis.calls_open = REDIS_CALLS_MAX;
    call_api("GET", "/v1/messages/m1");
    assert_error(api->out, 503, "cluster_unavailable");
    redis.calls_open = 0;
}

/* --- what they say ---------------------------------------------------------------------------- */

static void test_lines_that_are_none(void **state) {
    (void)state;
    client("x", "g");
    nodes_live(1);
    call_api("GET", "/v1/clients/x");
    says(1, number(),
         ",\"says\":[1,null,\"x\",[],{},{\"session\":{\"a\":\"\\n\"}},{\"pending\":\"x\"},"
         "{\"pending\":-1},{\"truncated\":true}]");
    assert_says(200, "},{\"a\":\"\\n\"}],\"truncated\":true}\n");
    redis_published[0] = '\0';
    call_api("GET", "/v1/groups/g?limit=2");
    says(1, number(),
         ",\"says\":[{\"ids\":\"!\"},{\"ids\":\"AAAA\"},{\"ids\":7},{\"page\":{}},{\"page\":[1,[],"
         "\"\",\"a\\u0000b\",\"\\ud800\",\"y\",\"b\\u0061\",\"y\"]},{\"count\":\"9\"}]");
    assert_says(200, "{\"count\":1,\"ids\":[\"ba\",\"x\"],\"next\":\"x\"}\n");
    redis_published[0] = '\0';
    call_api("GET", "/v1/groups/g?limit=1&after=x");
    says(1, number(), ",\"says\":[{\"count\":200000},{\"page\":[\"a\",\"y\",\"z\"]}]");
    assert_says(200, "{\"count\":200001,\"exact\":false,\"ids\":[\"y\"],\"next\":\"y\"}\n");
}

/* --- what this node says ---------------------------------------------------------------------- */

/* What it says to a node that asks; NULL: nothing. */
static const char *asked(const char *channel, const char *does) {
    char text[1000];
    redis_published[0] = '\0';
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%016x\",\"call\":5,\"does\":%s}}", 7, does);
    redis_comes(channel, text);
    static const char head[] = "rp:node:0000000000000007 {\"node\":{\"run\":\"";
    if (strncmp(redis_published, head, sizeof(head) - 1) != 0)
        return NULL;
    return strstr(redis_published, "\",\"answer\":5") + 12;
}

static void test_says(void **state) {
    (void)state;
    client("x", "g");
    client("a\\\"b", "h");
    const char *told = asked("rp:all", "{\"what\":\"client\",\"id\":\"x\"}");
    assert_non_null(strstr(told, ",\"says\":[{\"session\":{\"session\":\""));
    assert_non_null(strstr(told, "\"node\":\"n1\""));
    assert_non_null(strstr(told, "\"queued_bytes\":0}} ]}}\n"));
    assert_string_equal(asked("rp:all", "{\"what\":\"client\",\"id\":\"nobody\"}"),
                        ",\"says\":[]}}\n");
    told = asked("rp:group:h", "{\"what\":\"group\",\"group\":\"h\",\"after\":\"\","
                               "\"namespace\":\"/\",\"limit\":10}");
    assert_non_null(strstr(told, ",\"says\":[{\"ids\":\""));
    assert_non_null(strstr(told, "\"},{\"page\":[\"a\\\"b\"]} ]}}\n"));
    assert_string_equal(asked("rp:all", "{\"what\":\"message\",\"id\":\"m\"}"), ",\"says\":[]}}\n");
    assert_string_equal(asked("rp:id:x", "{\"what\":\"join\",\"id\":\"x\",\"group\":\"new\","
                                         "\"namespace\":\"/\"}"),
                        ",\"says\":[{\"count\":1} ]}}\n");
    assert_non_null(redis_channel("rp:group:new"));
    assert_string_equal(asked("rp:id:x", "{\"what\":\"leave\",\"id\":\"x\",\"group\":\"new\","
                                         "\"namespace\":\"/other\"}"),
                        ",\"says\":[{\"count\":0} ]}}\n");
    assert_string_equal(asked("rp:id:x", "{\"what\":\"close\",\"id\":\"x\"}"),
                        ",\"says\":[{\"count\":1} ]}}\n");
    assert_string_equal(asked("rp:all", "{\"what\":\"client\",\"id\":\"x\"}"), ",\"says\":[]}}\n");
    assert_int_equal(FIGURE(called), 8);
}

static void test_what_is_no_call(void **state) {
    (void)state;
    client("x", "g");
    static const char *const none[] = {
        "{}",
        "{\"what\":7}",
        "{\"what\":\"nothing\",\"id\":\"x\"}",
        "{\"what\":\"close\"}",
        "{\"what\":\"close\",\"id\":\"\"}",
        "{\"what\":\"close\",\"id\":[\"x\"]}",
        "{\"what\":\"close\",\"id\":\"\\ud800\"}",
        "{\"what\":\"join\",\"id\":\"x\",\"namespace\":\"/\"}",
        "{\"what\":\"group\",\"group\":\"g\",\"after\":\"\",\"namespace\":\"/\",\"limit\":1e9}",
        "{\"what\":\"group\",\"group\":\"g\",\"after\":\"\",\"namespace\":\"/\",\"limit\":1001}",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
        assert_string_equal(asked("rp:all", none[i]), ",\"failed\":true,\"says\":[]}}\n");
    assert_null(asked("rp:all", "[]"));
    assert_null(asked("rp:all", "7"));
    assert_int_equal(REFUSED(NODE), 2);
    redis.called_open = 256;
    assert_string_equal(asked("rp:all", "{\"what\":\"client\",\"id\":\"x\"}"),
                        ",\"failed\":true,\"says\":[]}}\n");
    redis.called_open = 0;
}

/* An answer is cut at the ends of lines, and each text stands alone. */
static void test_long_answers(void **state) {
    (void)state;
    enum { SESSIONS = 20, GROUPS = 40 };
    char line[8192];
    struct builder hello = builder_over(line, sizeof(line));
    builder_text(&hello, "{\"type\":\"hello\",\"id\":\"crowd\",\"groups\":[\"g\"");
    for (unsigned i = 0; i < GROUPS; i++)
        builder_format(&hello, ",\"a-group-with-a-name-that-is-rather-long-so-that-it-is-%u\"", i);
    builder_format(&hello, "]}\n");
    for (unsigned i = 0; i < SESSIONS; i++)
        peer_say(peer_connect(0, LISTENER_TCP), line);
    redis_settle();
    asked("rp:all", "{\"what\":\"client\",\"id\":\"crowd\"}");
    unsigned sessions = 0, texts = 0, last = 0;
    for (char *at = redis_published, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        struct json_value value;
        struct json_error error;
        *end = '\0';
        const char *text = strchr(at, ' ') + 1;
        assert_true(json_scan(span_text(text), &value, &error));
        sessions += times(text, "{\"session\":{");
        last += strstr(text, "\"more\":true") == NULL;
        texts++;
    }
    assert_int_equal(sessions, SESSIONS);
    assert_in_range(texts, 2, 10);
    assert_int_equal(last, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_alone, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_all_are_waited_for, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_not_for_ever, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_of_a_name, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_who_has_not_been_heard, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_a_node_that_cannot, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_redis_away, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_too_many, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_lines_that_are_none, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_says, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_call, redis_setup, redis_teardown),
        cmocka_unit_test_setup_teardown(test_long_answers, redis_setup, redis_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
