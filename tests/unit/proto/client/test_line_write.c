/* Every object of the server, byte for byte, and that each of them is JSON in one line. */
#include "proto/client/line_write.c"

#include "proto/text/json.h"
#include "proto/text/ref.h"
#include "tests/support/cmocka_first.h"

static char room[LINE_ANSWER_BYTES_MAX];

static struct builder fresh(void) {
    return builder_over(room, sizeof room);
}

static void assert_wrote(const struct builder *out, const char *text) {
    struct json_error error;
    assert_false(out->full);
    if (!span_equal(builder_span(out), span_text(text)))
        fail_msg("%.*s", SPAN_ARG(builder_span(out)));
    assert_true(json_scan(builder_span(out), NULL, &error));
    assert_null(memchr(out->at, '\n', out->len));
}

static void writes_welcomes(void **state) {
    (void)state;
    struct welcome welcome = {.session = SPAN("0-1-2"),
                              .node = SPAN("n\"1"),
                              .heartbeat_ns = 25 * NS_PER_S,
                              .max_message_bytes = 65536};
    struct builder out = fresh();
    line_welcome(&out, &welcome);
    assert_wrote(&out, "{\"type\":\"welcome\",\"session\":\"0-1-2\",\"node\":\"n\\\"1\","
                       "\"heartbeat\":25,\"max_message\":65536}");
    welcome.resumed = true;
    welcome.heartbeat_ns = 500 * NS_PER_MS;
    out = fresh();
    line_welcome(&out, &welcome);
    assert_wrote(&out, "{\"type\":\"welcome\",\"session\":\"0-1-2\",\"node\":\"n\\\"1\","
                       "\"heartbeat\":0.5,\"max_message\":65536,\"recovered\":false}");
    welcome.recovered = true;
    welcome.heartbeat_ns = 1;
    out = fresh();
    line_welcome(&out, &welcome);
    assert_wrote(&out, "{\"type\":\"welcome\",\"session\":\"0-1-2\",\"node\":\"n\\\"1\","
                       "\"heartbeat\":0.000000001,\"max_message\":65536,\"recovered\":true}");
}

/* Written and read again, every time is the same. */
static void writes_seconds_exactly(void **state) {
    (void)state;
    static const uint64_t times[] = {0,          1,          10,         999999999,   1000000000,
                                     1000000001, 1500000000, 1010101010, 25000000000, UINT64_MAX};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct builder out = fresh();
        uint64_t ns;
        write_seconds(&out, times[i]);
        assert_true(json_seconds(builder_span(&out), &ns));
        assert_int_equal(ns, times[i]);
        assert_true(out.len == 1 || room[out.len - 1] != '.');
    }
}

static void writes_answers(void **state) {
    (void)state;
    struct builder out = fresh();
    line_ok(&out, SPAN("1"));
    assert_wrote(&out, "{\"type\":\"ok\",\"ref\":1}");
    out = fresh();
    line_sent(&out, SPAN("\"a\\\"b\""), SPAN("m\"\\1"), "queued");
    assert_wrote(&out,
                 "{\"type\":\"ok\",\"ref\":\"a\\\"b\",\"id\":\"m\\\"\\\\1\",\"state\":\"queued\"}");
    out = fresh();
    line_error(&out, CODE_BAD_MESSAGE, "unknown field \"x\"", SPAN("3"));
    assert_wrote(&out, "{\"type\":\"error\",\"code\":\"bad_message\","
                       "\"message\":\"unknown field \\\"x\\\"\",\"ref\":3}");
    out = fresh();
    line_error(&out, CODE_TOO_SLOW, "", span_of(NULL, 0));
    assert_wrote(&out, "{\"type\":\"error\",\"code\":\"too_slow\",\"message\":\"\"}");
    out = fresh();
    line_goodbye(&out, "draining", 1234);
    assert_wrote(&out, "{\"type\":\"goodbye\",\"reason\":\"draining\",\"reconnect_ms\":1234}");
    out = fresh();
    builder_span_add(&out, LINE_PING);
    assert_wrote(&out, "{\"type\":\"ping\"}");
    out = fresh();
    builder_span_add(&out, LINE_PONG);
    assert_wrote(&out, "{\"type\":\"pong\"}");
}

static void writes_messages(void **state) {
    (void)state;
    struct message_label label = {.id = SPAN("m1"), .event = SPAN("payment")};
    struct builder out = fresh();
    line_message_head(&out, &label);
    builder_text(&out, "{\"a\" :1}");
    line_message_tail(&out);
    assert_wrote(&out,
                 "{\"type\":\"message\",\"id\":\"m1\",\"event\":\"payment\",\"data\":{\"a\" :1}}");

    label = (struct message_label){
        SPAN("m\"\\"), SPAN("\xC3\xA4\""), SPAN("[\"g\",\"\\u0068\"]"), true, true, true};
    out = fresh();
    line_message_head(&out, &label);
    line_message_bytes(&out, SPAN("\0\xFF\n"));
    line_message_tail(&out);
    assert_wrote(&out, "{\"type\":\"message\",\"id\":\"m\\\"\\\\\",\"event\":\"\xC3\xA4\\\"\","
                       "\"group\":[\"g\",\"\\u0068\"],\"ack\":true,\"redelivered\":true,"
                       "\"encoding\":\"base64\",\"data\":\"AP8K\"}");
}

/* What a client gave as ref comes back in one line for every reader. */
static void writes_refs_in_one_line(void **state) {
    (void)state;
    struct builder out = fresh();
    line_ok(&out, SPAN("\"\xE2\x80\xA8\\n\xC2\x85\""));
    assert_wrote(&out, "{\"type\":\"ok\",\"ref\":\"\\u2028\\n\\u0085\"}");
    out = fresh();
    line_error(&out, CODE_BAD_MESSAGE, "unknown field \"\xE2\x80\xA9\"", span_of(NULL, 0));
    assert_wrote(&out, "{\"type\":\"error\",\"code\":\"bad_message\",\"message\":\"unknown field "
                       "\\\"\\u2029\\\"\"}");
}

/* The bound holds for the longest of everything. */
static void stays_in_its_bounds(void **state) {
    (void)state;
    char id[MESSAGE_ID_BYTES_MAX], event[NAME_BYTES_MAX];
    memset(id, '"', sizeof id);
    memset(event, '\\', sizeof event);
    struct message_label label = {
        span_of(id, sizeof id), span_of(event, sizeof event), SPAN("\"g\""), true, true, true};
    struct builder out = fresh();
    line_message_head(&out, &label);
    line_message_tail(&out);
    assert_false(out.full);
    assert_true(out.len <= line_message_bound(&label));
    assert_true(line_message_bound(&label) <= out.len + 8);

    /* And so does that of the answers. */
    char text[COMPLAINT_TEXT_BYTES], ref[REF_JSON_BYTES_MAX];
    memset(text, 1, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memset(ref, '9', sizeof ref);
    out = fresh();
    line_error(&out, CODE_HEARTBEAT_TIMEOUT, text, span_of(ref, sizeof ref));
    assert_false(out.full);
    struct welcome welcome = {
        span_of(id, sizeof id), span_of(event, sizeof event), UINT64_MAX, UINT64_MAX, true, false};
    out = fresh();
    line_welcome(&out, &welcome);
    assert_false(out.full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_welcomes),     cmocka_unit_test(writes_seconds_exactly),
        cmocka_unit_test(writes_answers),      cmocka_unit_test(writes_messages),
        cmocka_unit_test(stays_in_its_bounds), cmocka_unit_test(writes_refs_in_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
