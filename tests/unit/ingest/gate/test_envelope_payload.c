/* The payload in its three forms, its bounds, and which messages are the same. */
#include "ingest/gate/envelope_payload.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

static struct envelope_scratch *room, *other_room;

static int make_rooms(void **state) {
    (void)state;
    hash_init(NULL);
    room = malloc(sizeof *room);
    other_room = malloc(sizeof *other_room);
    return room == NULL || other_room == NULL;
}

static int drop_rooms(void **state) {
    (void)state;
    free(room);
    free(other_room);
    return 0;
}

static void expect_payload(enum payload_kind kind, struct span data, size_t max, struct span want) {
    struct envelope envelope;
    struct complaint complaint;
    char bytes[256];
    envelope_init(&envelope, room);
    if (!envelope_set_data(&envelope, kind, data, max, &complaint))
        fail_msg("%s", complaint.text);
    assert_true(envelope.parts.payload_max <= sizeof bytes);
    struct builder out = builder_over(bytes, envelope.parts.payload_max);
    envelope_payload(&envelope, &out);
    assert_false(out.full);
    assert_true(span_equal(builder_span(&out), want));
    assert_int_equal(envelope.parts.is_bytes, kind == PAYLOAD_BYTES);
}

static void expect_wrong(enum payload_kind kind, struct span data, size_t max, enum code code,
                         const char *says) {
    struct envelope envelope;
    struct complaint complaint;
    envelope_init(&envelope, room);
    assert_false(envelope_set_data(&envelope, kind, data, max, &complaint));
    assert_int_equal(complaint.code, code);
    assert_string_equal(complaint.text, says);
    assert_string_equal(complaint.field, code == CODE_BAD_JSON ? "" : "data");
}

static void takes_json(void **state) {
    (void)state;
    expect_payload(PAYLOAD_JSON, SPAN("1"), 1, SPAN("1"));
    expect_payload(PAYLOAD_JSON, SPAN("\n {\r\n \"a\" :\t\"\\n\"\n} "), 14,
                   SPAN("{ \"a\" :\t\"\\n\"}"));
    expect_wrong(PAYLOAD_JSON, SPAN("[1,2]"), 4, CODE_TOO_LARGE, "data is longer than 4 bytes");
    expect_wrong(PAYLOAD_JSON, SPAN("[1\n,\n2 ]"), 5, CODE_TOO_LARGE,
                 "data is longer than 5 bytes");
    expect_payload(PAYLOAD_JSON, SPAN("[1\n,\n2 ]"), 6, SPAN("[1,2 ]"));
    expect_wrong(PAYLOAD_JSON, SPAN("[1,"), 9, CODE_BAD_JSON,
                 "the text ends inside an array at byte 3");
    expect_wrong(PAYLOAD_JSON, SPAN(""), 9, CODE_BAD_JSON, "there is no value at byte 0");
    expect_wrong(PAYLOAD_JSON, SPAN("1 2"), 9, CODE_BAD_JSON,
                 "something follows the value at byte 2");
}

/* Six bytes each, whatever they take: U+0085, U+2028, U+2029. */
static void counts_line_breaks_as_escapes(void **state) {
    (void)state;
    struct span json = SPAN("[\n\"\xC2\x85\xE2\x80\xA8\xE2\x80\xA9\",{\"\xC2\x85\":1}]");
    struct span kept = SPAN("[\"\xC2\x85\xE2\x80\xA8\xE2\x80\xA9\",{\"\xC2\x85\":1}]");
    expect_payload(PAYLOAD_JSON, json, kept.len + 14, kept);
    expect_wrong(PAYLOAD_JSON, json, kept.len + 13, CODE_TOO_LARGE, "data is longer than 34 bytes");
    struct span text = SPAN("\xE2\x80\xA8x\xC2\x85");
    expect_payload(PAYLOAD_TEXT, text, 15, SPAN("\"\xE2\x80\xA8x\xC2\x85\""));
    expect_wrong(PAYLOAD_TEXT, text, 14, CODE_TOO_LARGE,
                 "data is longer than 14 bytes as a JSON string");
}

static void makes_text_a_json_string(void **state) {
    (void)state;
    expect_payload(PAYLOAD_TEXT, SPAN(""), 2, SPAN("\"\""));
    expect_payload(PAYLOAD_TEXT, SPAN("a\n\"\\\x01\xC3\xA4"), 17,
                   SPAN("\"a\\n\\\"\\\\\\u0001\xC3\xA4\""));
    expect_wrong(PAYLOAD_TEXT, SPAN("a\n\"\\\x01\xC3\xA4"), 16, CODE_TOO_LARGE,
                 "data is longer than 16 bytes as a JSON string");
    expect_wrong(PAYLOAD_TEXT, SPAN("abc\xFF"), 99, CODE_BAD_MESSAGE,
                 "data is not UTF-8 at byte 3");
}

static void hands_bytes_on(void **state) {
    (void)state;
    expect_payload(PAYLOAD_BYTES, span_of(NULL, 0), 0, SPAN(""));
    expect_payload(PAYLOAD_BYTES, SPAN("\0\r\n\xFF"), 8, SPAN("\0\r\n\xFF"));
    expect_wrong(PAYLOAD_BYTES, SPAN("\0\r\n\xFF"), 7, CODE_TOO_LARGE,
                 "data is longer than 7 bytes as base64");
    expect_payload(PAYLOAD_BYTES, SPAN("abc"), 4, SPAN("abc"));
    expect_wrong(PAYLOAD_BYTES, SPAN("abc"), 3, CODE_TOO_LARGE,
                 "data is longer than 3 bytes as base64");
}

static struct hash128 digest_of(const char *text, struct envelope_scratch *in) {
    struct envelope envelope;
    struct complaint complaint;
    char bytes[256];
    if (!envelope_parse(&envelope, in, ENVELOPE_MESSAGE, span_text(text), sizeof bytes, &complaint))
        fail_msg("%s: %s", text, complaint.text);
    struct builder payload = builder_over(bytes, sizeof bytes);
    envelope_payload(&envelope, &payload);
    return envelope_digest(&envelope, builder_span(&payload));
}

static bool is_same(const char *a, const char *b) {
    struct hash128 first = digest_of(a, room), second = digest_of(b, other_room);
    return first.low == second.low && first.high == second.high;
}

static void knows_the_same_message(void **state) {
    (void)state;
    static const char *const first = "{\"id\":\"m\",\"to\":[\"a\",\"b\"],\"data\":{\"x\" : [1]}}";
    static const char *const same[] = {
        first,
        "{\"to\":[\"b\",\"a\",\"b\"],\"id\":\"other\",\"data\":\n{\"x\" :\r\n [1]}}",
        "{\"to\":[\"\\u0062\",\"a\"],\"ttl\":5,\"event\":\"m\\u0065ssage\",\"data\":{\"x\" : [1]}}",
        "{\"namespace\":\"/\",\"volatile\":false,\"to\":[\"b\",\"a\"],\"data\":{\"x\" : [1]}}",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        assert_true(is_same(first, same[i]));
    assert_true(is_same("{\"group\":\"g\"}", "{\"group\":[\"g\"],\"data\":null}"));
}

/* All of these differ from each other. */
static void knows_different_messages(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"to\":\"a\"}",
        "{\"to\":\"b\"}",
        "{\"to\":[\"a\",\"b\"]}",
        "{\"to\":\"ab\"}",
        "{\"group\":\"a\"}",
        "{\"group\":[\"a\",\"b\"]}",
        "{\"to\":\"a\",\"group\":\"b\"}",
        "{\"to\":\"b\",\"group\":\"a\"}",
        "{\"to\":\"a\",\"except\":\"b\"}",
        "{\"group\":\"a\",\"except\":\"b\"}",
        "{\"broadcast\":true}",
        "{\"broadcast\":true,\"except\":\"a\"}",
        "{\"to\":\"a\",\"volatile\":true}",
        "{\"to\":\"a\",\"ack\":true}",
        "{\"to\":\"a\",\"event\":\"a\"}",
        "{\"to\":\"a\",\"event\":\"messagea\"}",
        "{\"to\":\"a\",\"data\":0}",
        "{\"to\":\"a\",\"data\":\"null\"}",
        "{\"to\":\"a\",\"data\":[1, 2]}",
        "{\"to\":\"a\",\"data\":[1,2]}",
    };
    size_t count = sizeof texts / sizeof texts[0];
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < count; b++)
            if (is_same(texts[a], texts[b]) != (a == b))
                fail_msg("%s and %s", texts[a], texts[b]);
}

/* To the last byte of the longest name. */
static void looks_at_whole_names(void **state) {
    (void)state;
    static const char *const fields[] = {"to", "group", "except", "event"};
    for (size_t i = 0; i < 4; i++) {
        char texts[2][256];
        for (int last = 0; last < 2; last++) {
            struct builder out = builder_over(texts[last], sizeof texts[last]);
            builder_format(&out, "{%s\"%s\":\"%0127d%d\"}", i < 2 ? "" : "\"to\":\"a\",", fields[i],
                           0, last);
            builder_byte(&out, '\0');
            assert_false(out.full);
        }
        assert_true(is_same(texts[0], texts[0]));
        assert_false(is_same(texts[0], texts[1]));
    }
}

static void tells_bytes_from_json(void **state) {
    (void)state;
    struct envelope json, bytes;
    struct complaint complaint;
    envelope_init(&json, room);
    envelope_init(&bytes, room);
    assert_true(envelope_set_data(&json, PAYLOAD_JSON, SPAN("7"), 9, &complaint));
    assert_true(envelope_set_data(&bytes, PAYLOAD_BYTES, SPAN("7"), 9, &complaint));
    struct hash128 a = envelope_digest(&json, SPAN("7")), b = envelope_digest(&bytes, SPAN("7"));
    assert_true(a.low != b.low || a.high != b.high);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_json),
        cmocka_unit_test(counts_line_breaks_as_escapes),
        cmocka_unit_test(makes_text_a_json_string),
        cmocka_unit_test(hands_bytes_on),
        cmocka_unit_test(knows_the_same_message),
        cmocka_unit_test(knows_different_messages),
        cmocka_unit_test(looks_at_whole_names),
        cmocka_unit_test(tells_bytes_from_json),
    };
    return cmocka_run_group_tests(tests, make_rooms, drop_rooms);
}
