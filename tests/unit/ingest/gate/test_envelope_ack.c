/* Messages that are to be acknowledged: what goes with `ack`, and what does not. */
#include "tests/support/cmocka_first.h"

#include "ingest/gate/envelope.h"

static struct envelope_scratch room;

static struct envelope take(const char *text) {
    struct envelope envelope;
    struct complaint complaint;
    if (!envelope_parse(&envelope, &room, ENVELOPE_MESSAGE, span_text(text), 100, &complaint))
        fail_msg("%s: %s", text, complaint.text);
    return envelope;
}

static void expect_wrong(const char *text, const char *field, const char *says) {
    struct envelope envelope;
    struct complaint complaint;
    assert_false(
        envelope_parse(&envelope, &room, ENVELOPE_MESSAGE, span_text(text), 100, &complaint));
    assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
    assert_string_equal(complaint.field, field);
    assert_string_equal(complaint.text, says);
}

static void takes_ack(void **state) {
    (void)state;
    struct envelope envelope = take("{\"to\":[\"b\",\"a\"],\"ack\":true,\"data\":1}");
    assert_int_equal(envelope.parts.class, CLASS_ACK);
    assert_int_equal(envelope.parts.ttl_ns, 600 * NS_PER_S);
    assert_int_equal(envelope.parts.to_count, 2);
    envelope = take("{\"ack\":true,\"volatile\":false,\"to\":\"a\",\"group\":null,\"ttl\":null}");
    assert_int_equal(envelope.parts.class, CLASS_ACK);
    assert_int_equal(envelope.parts.ttl_ns, TTL_ACK_DEFAULT_NS);
    envelope = take("{\"ttl\":604800,\"ack\":true,\"to\":\"a\"}");
    assert_int_equal(envelope.parts.ttl_ns, TTL_NS_MAX);
    envelope = take("{\"volatile\":true,\"ack\":false,\"to\":\"a\"}");
    assert_int_equal(envelope.parts.class, CLASS_VOLATILE);
    assert_int_equal(envelope.parts.ttl_ns, TTL_DEFAULT_NS);
}

static void says_what_does_not_go_with_it(void **state) {
    (void)state;
    expect_wrong("{\"to\":\"a\",\"ack\":true,\"volatile\":true,\"x\":1}", "ack",
                 "ack does not go with volatile");
    expect_wrong("{\"to\":\"a\",\"volatile\":true,\"ack\":true,\"x\":1}", "ack",
                 "ack does not go with volatile");
    expect_wrong("{\"ack\":true}", "to", "to or group or broadcast must be there");
    expect_wrong("{\"group\":\"a\",\"ack\":true}", "ack",
                 "ack needs to, without group, broadcast or except");
    expect_wrong("{\"ack\":true,\"to\":\"a\",\"group\":\"a\"}", "ack",
                 "ack needs to, without group, broadcast or except");
    expect_wrong("{\"broadcast\":true,\"ack\":true}", "ack",
                 "ack needs to, without group, broadcast or except");
    expect_wrong("{\"to\":\"a\",\"except\":\"b\",\"ack\":true}", "ack",
                 "ack needs to, without group, broadcast or except");
}

static void takes_it_from_a_query(void **state) {
    (void)state;
    static const char *const acks[] = {"1", "true", "0"};
    for (size_t i = 0; i < 3; i++) {
        struct envelope envelope;
        struct complaint complaint;
        envelope_init(&envelope, &room);
        assert_true(envelope_set(&envelope, SPAN("ack"), span_text(acks[i]), &complaint));
        assert_true(envelope_set(&envelope, SPAN("to"), SPAN("a"), &complaint));
        assert_true(envelope_finish(&envelope, &complaint));
        assert_int_equal(envelope.parts.class, i < 2 ? CLASS_ACK : CLASS_DEFAULT);
        assert_int_equal(envelope.parts.ttl_ns, i < 2 ? TTL_ACK_DEFAULT_NS : TTL_DEFAULT_NS);
    }
    struct envelope envelope;
    struct complaint complaint;
    envelope_init(&envelope, &room);
    envelope_set_broadcast(&envelope);
    assert_true(envelope_set(&envelope, SPAN("ack"), SPAN("1"), &complaint));
    assert_false(envelope_finish(&envelope, &complaint));
    assert_string_equal(complaint.field, "ack");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_ack),
        cmocka_unit_test(says_what_does_not_go_with_it),
        cmocka_unit_test(takes_it_from_a_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
