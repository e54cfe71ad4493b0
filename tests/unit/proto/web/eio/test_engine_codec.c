#include "tests/support/cmocka_first.h"

#include "proto/web/eio/engine_codec.c"

#include <stdio.h>
#include <stdlib.h>

static char transcript[4096];

/* What a payload holds, in a copy that is exactly as long: each packet as type, t or b, bytes. */
static const char *read_bytes(enum engine_payload form, struct span payload) {
    char *copy = malloc(payload.len + (payload.len == 0));
    assert_non_null(copy);
    if (payload.len != 0)
        memcpy(copy, payload.at, payload.len);
    struct engine_reader reader = {.at = copy, .len = payload.len, .form = form};
    struct builder out = builder_over(transcript, sizeof transcript - 1);
    struct engine_packet packet;
    enum engine_step step;
    while ((step = engine_payload_next(&reader, &packet)) == ENGINE_STEP_PACKET) {
        builder_byte(&out, packet.type);
        builder_byte(&out, packet.binary ? 'b' : 't');
        builder_span_add(&out, packet.bytes);
        builder_byte(&out, '|');
    }
    builder_text(&out, step == ENGINE_STEP_BAD ? "BAD" : "");
    assert_false(out.full);
    transcript[out.len] = '\0';
    free(copy);
    return transcript;
}

static const char *read_text(enum engine_payload form, const char *payload) {
    return read_bytes(form, span_text(payload));
}

static void test_version_4(void **state) {
    (void)state;
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "4hello"), "4thello|");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "4a\x1e"
                                                    "3\x1e"
                                                    "bAQID\x1e"
                                                    "4"),
                        "4ta|3t|4b\x01\x02\x03|4t|");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "b"), "4b|");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, ""), "BAD");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "abc"), "BAD");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "7"), "BAD");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "4a\x1e"), "4ta|BAD");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "4a\x1e\x1e"
                                                    "4b"),
                        "4ta|BAD");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "bAQI"), "BAD");
    assert_string_equal(read_text(ENGINE_PAYLOAD_4, "4\xff"), "BAD");
}

static void test_version_3_text(void **state) {
    (void)state;
    assert_string_equal(read_text(ENGINE_PAYLOAD_3, "6:4hello"), "4thello|");
    assert_string_equal(read_text(ENGINE_PAYLOAD_3, "6:4hello1:210:b4AQIDBAUG"),
                        "4thello|2t|4b\x01\x02\x03\x04\x05\x06|");
    /* Units of UTF-16: the euro sign is one, a face is two. */
    assert_string_equal(read_text(ENGINE_PAYLOAD_3, "2:4\xe2\x82\xac"
                                                    "3:4\xf0\x9f\x98\x80"),
                        "4t\xe2\x82\xac|4t\xf0\x9f\x98\x80|");
    assert_string_equal(read_text(ENGINE_PAYLOAD_3, "2:4\xf0\x9f\x98\x80"), "BAD");
    assert_string_equal(read_text(ENGINE_PAYLOAD_3, "0:"), "");
    assert_string_equal(read_text(ENGINE_PAYLOAD_3, "0:1:2"), "2t|");
    static const char *const bad[] = {"",    "1",    ":4",    "2:4",    "1:4x",
                                      "x:4", "-1:4", "1.0:4", "01",     "1:7",
                                      "1:b", "2:b9", "3:b4A", "1:\xff", "99999999999:4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *told = read_text(ENGINE_PAYLOAD_3, bad[i]);
        assert_string_equal(told + strlen(told) - 3, "BAD");
    }
}

static void test_version_3_binary(void **state) {
    (void)state;
    static const char good[] = "\x00\x06\xff"
                               "4hello\x01\x01\x01\xff\x04"
                               "0123456789";
    assert_string_equal(read_bytes(ENGINE_PAYLOAD_3_BINARY, span_of(good, sizeof good - 1)),
                        "4thello|4b0123456789|");
    static const struct span bad[] = {SPAN_INIT(""),
                                      SPAN_INIT("\x02\x01\xff"
                                                "4"),
                                      SPAN_INIT("\x00\xff"
                                                "4"),
                                      SPAN_INIT("\x00\x02\xff"
                                                "4"),
                                      SPAN_INIT("\x00\x0a\xff"),
                                      SPAN_INIT("\x00\x00\xff"),
                                      SPAN_INIT("\x01\x01\xff\x07"),
                                      SPAN_INIT("\x00\x01"),
                                      SPAN_INIT("\x00\x02\xff"
                                                "4\xff")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(read_bytes(ENGINE_PAYLOAD_3_BINARY, bad[i]), "BAD");
}

static void test_frames(void **state) {
    (void)state;
    char text[] = "4hi", base64[] = "b4AQID", bytes[] = "\x04hi", none[] = "";
    struct engine_packet packet;
    assert_true(engine_frame_read(4, text, 3, false, &packet));
    assert_true(packet.type == ENGINE_MESSAGE && span_equal(packet.bytes, SPAN("hi")));
    assert_true(engine_frame_read(4, text, 3, true, &packet));
    assert_true(packet.binary && span_equal(packet.bytes, SPAN("4hi")));
    assert_true(engine_frame_read(3, bytes, 3, true, &packet));
    assert_true(packet.binary && span_equal(packet.bytes, SPAN("hi")));
    assert_true(engine_frame_read(3, base64, 6, false, &packet));
    assert_true(packet.binary && span_equal(packet.bytes, SPAN("\x01\x02\x03")));
    assert_false(engine_frame_read(4, none, 0, false, &packet));
    assert_true(engine_frame_read(4, none, 0, true, &packet));
    assert_false(engine_frame_read(3, none, 0, true, &packet));
    assert_false(engine_frame_read(3, text, 3, true, &packet));
}

/* Every packet is read back as it was written, in each form of a payload. */
static void test_there_and_back(void **state) {
    (void)state;
    static const struct engine_packet packets[] = {
        {ENGINE_MESSAGE, false, SPAN_INIT("hello")},
        {ENGINE_MESSAGE, false, SPAN_INIT("\xe2\x82\xac \xf0\x9f\x98\x80")},
        {ENGINE_MESSAGE, true, SPAN_INIT("\x00\x1e\xff")},
        {ENGINE_PING, false, SPAN_INIT("")},
        {ENGINE_MESSAGE, true, SPAN_INIT("")},
    };
    static const struct {
        enum engine_form form;
        enum engine_payload payload;
    } forms[] = {{EIO4_POLL, ENGINE_PAYLOAD_4},
                 {EIO3_POLL, ENGINE_PAYLOAD_3},
                 {EIO3_POLL_BINARY, ENGINE_PAYLOAD_3_BINARY}};
    for (size_t f = 0; f < 3; f++) {
        char room[512];
        struct builder out = builder_over(room, sizeof room);
        for (size_t i = 0; i < 5; i++) {
            size_t before = out.len;
            if (forms[f].form == EIO4_POLL && i != 0)
                builder_byte(&out, ENGINE_SEPARATOR);
            engine_packet_write(&out, forms[f].form, &packets[i]);
            assert_true(out.len - before <= engine_packet_bound(forms[f].form, &packets[i]));
        }
        assert_false(out.full);
        struct engine_reader reader = {.at = room, .len = out.len, .form = forms[f].payload};
        struct engine_packet packet;
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(engine_payload_next(&reader, &packet), ENGINE_STEP_PACKET);
            assert_int_equal(packet.type, packets[i].type);
            assert_int_equal(packet.binary, packets[i].binary);
            assert_true(span_equal(packet.bytes, packets[i].bytes));
        }
        assert_int_equal(engine_payload_next(&reader, &packet), ENGINE_STEP_END);
    }
}

static void test_as_the_reference_writes(void **state) {
    (void)state;
    char room[256];
    struct builder out = builder_over(room, sizeof room);
    engine_packet_write(&out, EIO3_POLL,
                        &(struct engine_packet){ENGINE_MESSAGE, true, SPAN("\x01\x02\x03")});
    engine_packet_write(&out, EIO3_POLL,
                        &(struct engine_packet){ENGINE_MESSAGE, false, SPAN("\xe2\x82\xac")});
    assert_true(span_equal(builder_span(&out), SPAN("6:b4AQID2:4\xe2\x82\xac")));
    out.len = 0;
    engine_packet_write(&out, EIO3_SOCKET,
                        &(struct engine_packet){ENGINE_MESSAGE, true, SPAN("\x01")});
    engine_packet_write(&out, EIO4_SOCKET,
                        &(struct engine_packet){ENGINE_MESSAGE, true, SPAN("\x01")});
    engine_packet_write(&out, EIO4_SOCKET, &(struct engine_packet){.type = ENGINE_PING});
    assert_true(span_equal(builder_span(&out), SPAN("\x82\x02\x04\x01\x82\x01\x01\x81\x01"
                                                    "2")));
}

static const char *jsonp_read(const char *form) {
    char *copy = malloc(strlen(form) + 1);
    struct span payload;
    memcpy(copy, form, strlen(form) + 1);
    bool good = engine_jsonp_read(copy, strlen(form), &payload);
    snprintf(transcript, sizeof transcript, "%s%.*s", good ? "" : "BAD",
             good ? (int)payload.len : 0, payload.at);
    free(copy);
    return transcript;
}

static void test_jsonp(void **state) {
    (void)state;
    assert_string_equal(jsonp_read("d=6%3A4hello"), "6:4hello");
    assert_string_equal(jsonp_read("x=1&d=a+b%20c&e"), "a b c");
    assert_string_equal(jsonp_read("d"), "");
    assert_string_equal(jsonp_read("d=a%5Cnb"), "a\nb");
    assert_string_equal(jsonp_read("d=a%5C%5Cnb"), "a\\nb");
    assert_string_equal(jsonp_read("d=%5C%5C%5Cn"), "\\\\n");
    assert_string_equal(jsonp_read("e=1"), "");
    assert_string_equal(jsonp_read("d=%f"), "BAD");
    assert_string_equal(jsonp_read("d=%ff"), "BAD");
    char room[128];
    struct builder out = builder_over(room, sizeof room);
    struct span text = SPAN("1:\"\\\n\r\t\b\f\x01\x1f\xe2\x80\xa8\xe2\x80\xa9\xe2\x82\xac");
    engine_jsonp_write(&out, text);
    assert_true(
        span_equal(builder_span(&out),
                   SPAN("1:\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u001f\\u2028\\u2029\xe2\x82\xac")));
    assert_int_equal(engine_jsonp_len(text), out.len);
}

/* Cut at any byte, and with any byte changed, it is read to an end. */
static void test_mutated(void **state) {
    (void)state;
    static const struct {
        enum engine_payload form;
        struct span text;
    } whole[] = {{ENGINE_PAYLOAD_4, SPAN_INIT("4a\x1e"
                                              "bAQID\x1e"
                                              "3")},
                 {ENGINE_PAYLOAD_3, SPAN_INIT("2:4\xe2\x82\xac"
                                              "6:b4AQID0:1:2")},
                 {ENGINE_PAYLOAD_3_BINARY, SPAN_INIT("\x00\x02\xff"
                                                     "4a\x01\x03\xff\x04hi")}};
    for (size_t w = 0; w < 3; w++) {
        for (size_t cut = 0; cut <= whole[w].text.len; cut++)
            read_bytes(whole[w].form, span_of(whole[w].text.at, cut));
        for (size_t at = 0; at < whole[w].text.len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                char copy[64];
                memcpy(copy, whole[w].text.at, whole[w].text.len);
                copy[at] = (char)byte;
                read_bytes(whole[w].form, span_of(copy, whole[w].text.len));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_4),
        cmocka_unit_test(test_version_3_text),
        cmocka_unit_test(test_version_3_binary),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_as_the_reference_writes),
        cmocka_unit_test(test_jsonp),
        cmocka_unit_test(test_mutated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
