/* Statistics and metrics: what is told is what happened, and the ledger balances. */
#include "tests/support/fake_http.h"

#include "ingest/api/api_stats.c"

#include "proto/text/json.h"

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

static uint64_t number(struct span object, const char *name) {
    struct json_value value;
    uint64_t found = UINT64_MAX;
    if (!json_find(object, name, &value) || !json_u64(value.raw, &found))
        print_error("no number %s\n", name);
    return found;
}

static struct span member(struct span object, const char *name) {
    struct json_value value;
    assert_true(json_find(object, name, &value));
    return value.raw;
}

static void traffic(void) {
    client_connect(0, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\"]}\n");
    client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    ask(api,
        JSON_POST("/v1/messages", "[{\"to\":\"till\"},{\"to\":\"nobody\"},{\"broadcast\":true},"
                                  "{\"to\":\"x\",\"volatile\":true},{\"x\":1}]"));
}

static void assert_balanced(struct span ledger, const char *class, uint64_t made) {
    struct span one = member(ledger, class);
    struct json_cursor cursor;
    struct json_value key, value;
    uint64_t dropped_sum = 0, count;
    json_open(&cursor, member(one, "dropped"));
    while (json_object_next(&cursor, &key, &value)) {
        assert_true(json_u64(value.raw, &count));
        dropped_sum += count;
    }
    assert_int_equal(number(one, "made"), made);
    assert_int_equal(number(one, "made"),
                     number(one, "sent") + number(one, "waiting") + dropped_sum);
}

static void test_stats(void **state) {
    (void)state;
    traffic();
    node_pass(2 * NS_PER_S);
    const char *answer = ask(api, GET("/v1/stats"));
    struct span stats = span_text(body_of(answer));
    struct json_error error;
    assert_int_equal(status_of(answer), 200);
    assert_true(json_scan(stats, NULL, &error));
    assert_true(span_equal(member(stats, "node"), SPAN("\"n1\"")));
    assert_true(span_equal(member(stats, "draining"), SPAN("false")));
    assert_true(span_equal(member(stats, "redis"), SPAN("null")));
    struct span totals = member(stats, "totals");
    assert_int_equal(number(totals, "connections"), 3);
    assert_int_equal(number(totals, "sessions"), 2);
    assert_int_equal(number(totals, "accepted"), 3);
    assert_int_equal(number(totals, "absent"), 1);
    assert_int_equal(number(totals, "refused"), 1);
    assert_int_equal(number(totals, "delivered"), 4);
    assert_int_equal(number(totals, "dropped"), 0);
    assert_int_equal(number(totals, "memory_ceiling_bytes"), 1 << 28);
    assert_int_equal(number(totals, "http_requests"), 2);
    assert_balanced(member(stats, "ledger"), "default", 4);
    assert_balanced(member(stats, "ledger"), "volatile", 0);
    struct json_cursor cursor;
    struct json_value value;
    uint64_t count = 0, made = 0;
    json_open(&cursor, member(stats, "workers"));
    for (; json_array_next(&cursor, &value); count++) {
        assert_int_equal(number(value.raw, "worker"), count);
        made += number(member(member(value.raw, "ledger"), "default"), "made");
    }
    assert_int_equal(count, 2);
    assert_int_equal(made, 4);
    json_open(&cursor, member(stats, "listeners"));
    const char *const kinds[] = {"\"tcp\"", "\"web\"", "\"api\""};
    const uint64_t accepted[] = {2, 0, 1};
    for (count = 0; json_array_next(&cursor, &value); count++) {
        assert_true(span_equal(member(value.raw, "kind"), span_text(kinds[count])));
        assert_int_equal(number(value.raw, "accepted"), accepted[count]);
    }
    assert_int_equal(count, 3);
    assert_error(ask(api, GET("/v1/stats?x")), 400, "bad_message");
}

/* Two sessions that do not read, on two workers: the longer queue is told first. */
static void test_slowest(void **state) {
    (void)state;
    struct peer *a = client_connect(0, "{\"type\":\"hello\",\"id\":\"a\"}\n");
    struct peer *b = client_connect(1, "{\"type\":\"hello\"}\n");
    client_connect(1, "{\"type\":\"hello\",\"id\":\"reads\"}\n");
    peer_stall(a, true);
    peer_stall(b, true);
    ask(api, JSON_POST("/v1/messages", "[{\"broadcast\":true},{\"to\":\"a\"},{\"to\":\"a\"}]"));
    const char *answer = ask(api, GET("/v1/stats"));
    struct span stats = span_text(body_of(answer));
    struct json_cursor cursor;
    struct json_value first, second, none, id;
    assert_int_equal(number(member(stats, "totals"), "connections_max"),
                     fake_config.max_connections);
    json_open(&cursor, member(stats, "slowest"));
    assert_true(json_array_next(&cursor, &first) && json_array_next(&cursor, &second));
    assert_false(json_array_next(&cursor, &none));
    assert_true(span_equal(member(first.raw, "id"), SPAN("\"a\"")));
    assert_false(json_find(second.raw, "id", &id));
    assert_true(number(first.raw, "queued_bytes") > number(second.raw, "queued_bytes"));
    assert_true(span_starts(member(second.raw, "session"), SPAN("\"1-")));
    member(second.raw, "address");
    peer_stall(a, false);
    peer_stall(b, false);
    answer = ask(api, GET("/v1/stats"));
    assert_non_null(strstr(answer, "\"slowest\":[]"));
}

/* Every sample has a family before it, every name is one that we promise. */
static void test_metrics(void **state) {
    (void)state;
    traffic();
    const char *answer = ask(api, GET("/metrics"));
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    struct span rest = span_text(body_of(answer)), line;
    char name[128] = "";
    unsigned samples = 0;
    while (rest.len != 0) {
        const char *end = memchr(rest.at, '\n', rest.len);
        assert_non_null(end);
        line = span_of(rest.at, (size_t)(end - rest.at));
        rest = span_skip(rest, line.len + 1);
        if (span_starts(line, SPAN("# HELP "))) {
            assert_int_equal(sscanf(line.at, "# HELP %127s", name), 1);
            assert_true(strncmp(name, "ringpost_", 9) == 0 || strncmp(name, "process_", 8) == 0);
        } else if (!span_starts(line, SPAN("# TYPE "))) {
            assert_true(span_starts(line, span_text(name)));
            /* A histogram's have _bucket, _sum or _count behind the name. */
            assert_non_null(strchr("{ _", line.at[strlen(name)]));
            samples++;
        }
    }
    assert_true(samples > 150);
    const char *const wanted[] = {
        "ringpost_ledger{class=\"default\",fate=\"made\",reason=\"\"} 4\n",
        "ringpost_ledger{class=\"default\",fate=\"sent\",reason=\"\"} 4\n",
        "ringpost_ledger{class=\"volatile\",fate=\"dropped\",reason=\"expired\"} 0\n",
        "ringpost_closed_total{reason=\"too_slow\"} 0\n",
        "ringpost_messages_total{class=\"default\",result=\"queued\"} 2\n",
        "ringpost_messages_total{class=\"default\",result=\"absent\"} 1\n",
        "ringpost_messages_total{class=\"volatile\",result=\"dropped\"} 1\n",
        "ringpost_sessions{worker=\"0\"} 1\n",
        "ringpost_sessions{worker=\"1\"} 1\n",
        "# TYPE ringpost_sessions gauge\n",
        "# TYPE ringpost_turns_total counter\n",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds 1767225",
        "ringpost_build_info{version=\"",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (strstr(answer, wanted[i]) == NULL)
            print_error("not there: %s\n", wanted[i]);
        assert_non_null(strstr(answer, wanted[i]));
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_stats), TEST(test_slowest), TEST(test_metrics)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
