/* MessagePack as notepack.io and others write it, to JSON and back; cut off at every byte; what
 * lies about its length, or is nested too deep. */
#include "ha/adapter/msgpack.h"
#include "proto/text/json.h"

#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>

static char text[1 << 20];

#define BYTES(literal) span_of(literal, sizeof(literal) - 1)

/* Of memory of exactly its size. */
static const char *json_of(struct span packed, struct span *json) {
    char *alone = malloc(packed.len != 0 ? packed.len : 1);
    assert_non_null(alone);
    if (packed.len != 0)
        memcpy(alone, packed.at, packed.len);
    struct span rest = span_of(alone, packed.len);
    struct builder out = builder_over(text, sizeof(text));
    const char *wrong = msgpack_to_json(&rest, &out);
    if (wrong == NULL && rest.len != 0)
        wrong = "more";
    free(alone);
    assert_false(out.full);
    *json = builder_span(&out);
    return wrong;
}

static void becomes(struct span packed, const char *json) {
    struct span got;
    const char *wrong = json_of(packed, &got);
    if (wrong != NULL || !span_equal(got, span_text(json)))
        fail_msg("%s: %s %.*s", json, wrong, (int)got.len, got.at);
    /* Nothing that is cut off is taken for whole. */
    for (size_t len = 0; len < packed.len; len++)
        assert_non_null(json_of(span_of(packed.at, len), &got));
}

static void test_reads_every_spelling(void **state) {
    (void)state;
    becomes(BYTES("\xc0"), "null");
    becomes(BYTES("\x93\xc2\xc3\x00"), "[false,true,0]");
    becomes(BYTES("\x9a\x7f\xcc\xff\xcd\x01\x00\xce\x00\x01\x00\x00\xcf\x00\x20\x00\x00\x00\x00\x00"
                  "\x01\xff\xe0\xd0\x80\xd1\xff\x7f\xd2\xff\xff\x7f\xff"),
            "[127,255,256,65536,9007199254740993,-1,-32,-128,-129,-32769]");
    becomes(BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "-9223372036854775808");
    becomes(BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x05"), "5");
    becomes(BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615");
    becomes(BYTES("\xca\x3f\x00\x00\x00"), "0.5");
    becomes(BYTES("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"), "0.1");
    becomes(BYTES("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "null");
    becomes(BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "null");
    becomes(BYTES("\x95\xa1z\xd9\x01z\xda\x00\x01z\xdb\x00\x00\x00\x01z\xa0"),
            "[\"z\",\"z\",\"z\",\"z\",\"\"]");
    becomes(BYTES("\xdc\x00\x01\xdd\x00\x00\x00\x01\xde\x00\x01\xa1z\xdf\x00\x00\x00\x01\xa1y\x90"),
            "[[{\"z\":{\"y\":[]}}]]");
    becomes(BYTES("\x93\xc4\x02\x01\x02\xc5\x00\x01\xff\xc6\x00\x00\x00\x00"),
            "[\"AQI=\",\"/w==\",\"\"]");
    becomes(BYTES("\x84\x01\x02\xff\x03\xa1\"\x04\xa1\n\x05"),
            "{\"1\":2,\"-1\":3,\"\\\"\":4,\"\\n\":5}");
}

static void test_reads_dates_of_both_ages(void **state) {
    (void)state;
    becomes(BYTES("\xd7\x00\x00\x00\x01\x5d\xe0\x8a\xb4\x00"), "\"2017-08-14T11:39:32.736Z\"");
    becomes(BYTES("\xd7\x00\xff\xff\xff\xff\xff\xff\xff\xff"), "\"1969-12-31T23:59:59.999Z\"");
    becomes(BYTES("\xd6\xff\x00\x00\x00\x00"), "\"1970-01-01T00:00:00.000Z\"");
    becomes(BYTES("\xd6\xff\xff\xff\xff\xff"), "\"2106-02-07T06:28:15.000Z\"");
    /* 2000-02-29, with 500 ms */
    becomes(BYTES("\xd7\xff\x77\x35\x94\x00\x38\xbb\x0d\x60"), "\"2000-02-29T00:05:52.500Z\"");
    becomes(BYTES("\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xf1\x86\x8b\x84\x00"),
            "\"0000-01-01T00:00:00.000Z\"");
    becomes(BYTES("\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), "null");
    becomes(BYTES("\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), "null");
    becomes(BYTES("\xd7\x00\x80\x00\x00\x00\x00\x00\x00\x00"), "null");
    becomes(BYTES("\xd4\x00\x00"), "null");
    becomes(BYTES("\x92\xc7\x03\x05zzz\xd8\x05zzzzzzzzzzzzzzzz"), "[null,null]");
}

static void refused(struct span packed) {
    struct span got;
    assert_non_null(json_of(packed, &got));
}

static void test_refuses_what_is_none(void **state) {
    (void)state;
    refused(BYTES("\xc1"));
    refused(BYTES("\x91\xc1"));
    refused(BYTES("\xa1\xff"));         /* no UTF-8 */
    refused(BYTES("\x81\xa1\xc3\x01")); /* nor is a key */
    refused(BYTES("\x81\x90\x01"));     /* a key that is a list */
    refused(BYTES("\x81\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\x01"));
    refused(BYTES("\xdd\xff\xff\xff\xff\x01\x01"));
    refused(BYTES("\xdf\xff\xff\xff\xff\x01\x01"));
    refused(BYTES("\xdb\xff\xff\xff\xffzzz"));
    refused(BYTES("\xc6\xff\xff\xff\xffzzz"));
    refused(BYTES("\xc9\xff\xff\xff\xff\x01zzz"));
}

static void test_goes_as_deep_as_json(void **state) {
    (void)state;
    char deep[1000];
    memset(deep, '\x91', sizeof(deep));
    struct span got, rest = span_of(deep, sizeof(deep));
    deep[JSON_DEPTH_MAX] = '\xc0';
    assert_null(json_of(span_of(deep, JSON_DEPTH_MAX + 1), &got));
    assert_int_equal(got.len, 2 * JSON_DEPTH_MAX + 4);
    deep[JSON_DEPTH_MAX] = '\x91';
    deep[sizeof(deep) - 1] = '\xc0';
    refused(rest);
    assert_true(msgpack_pass(&rest));
    assert_int_equal(rest.len, 0);
    /* Lists that hold lists that announce all there could be. */
    for (size_t i = 0; i + 5 <= sizeof(deep); i += 5)
        memcpy(deep + i, "\xdd\xff\xff\xff\xff", 5);
    rest = span_of(deep, sizeof(deep));
    assert_false(msgpack_pass(&rest));
}

static void packs(const char *json, struct span packed) {
    size_t cap = msgpack_json_bytes(strlen(json));
    struct builder out = builder_over(text, cap);
    msgpack_from_json(span_text(json), &out);
    assert_false(out.full);
    if (!span_equal(builder_span(&out), packed))
        fail_msg("%s: %zu bytes", json, out.len);
}

static void test_packs_as_javascript_does(void **state) {
    (void)state;
    packs("[\"a\",1,-1,true,false,null,{\"b\":[]}]", BYTES("\x97\xa1"
                                                           "a\x01\xff\xc3\xc2\xc0\x81\xa1"
                                                           "b\x90"));
    packs(" { \"type\" : 2 , \"data\" : [ \"x\" , 1 ] } ", BYTES("\x82\xa4type\x02\xa4"
                                                                 "data\x92\xa1x\x01"));
    packs("[1.0,1e3,-0,0.5,0.1,9007199254740993,9223372036854775807]",
          BYTES("\x97\x01\xcd\x03\xe8\x00\xca\x3f\x00\x00\x00\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"
                "\xcf\x00\x20\x00\x00\x00\x00\x00\x01\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"));
    packs("9223372036854775808", BYTES("\xca\x5f\x00\x00\x00"));
    packs("-9223372036854775808", BYTES("\xca\xdf\x00\x00\x00"));
    packs("1e999", BYTES("\xca\x7f\x80\x00\x00"));
}

static void test_packs_escapes(void **state) {
    (void)state;
    packs("\"\\u0000\\u00e9\\n\\\"\\/\\ud83d\\ude00\\ud800x\\udc00\"",
          BYTES("\xb1\x00\xc3\xa9\n\"/\xf0\x9f\x98\x80\xef\xbf\xbdx\xef\xbf\xbd"));
    packs("\"\\\\\"", BYTES("\xa1\\"));
    char json[300] = "\"\\n", packed[300] = "\xdb\x00\x00\x00\xc9\n";
    for (unsigned i = 0; i < 200; i++)
        json[3 + i] = packed[6 + i] = 'z';
    json[203] = '"';
    packs(json, span_of(packed, 206));
    packs("\"\\nzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\"",
          BYTES("\xd9\x28\nzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"));
}

/* What was packed reads as the same JSON, also where arrays are long, and numbers alone. */
static void test_comes_back(void **state) {
    (void)state;
    static char json[200000], packed[700000];
    struct builder out = builder_over(json, sizeof(json));
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
        builder_byte(&out, '[');
    for (unsigned i = 0; i < 20000; i++)
        builder_format(&out, "%s%u.25", i == 0 ? "" : ",", i % 7);
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
        builder_byte(&out, ']');
    struct builder to = builder_over(packed, msgpack_json_bytes(out.len));
    msgpack_from_json(builder_span(&out), &to);
    assert_false(to.full);
    struct span got;
    assert_null(json_of(builder_span(&to), &got));
    assert_true(span_equal(got, builder_span(&out)));
    /* Half as much room is not enough, and nothing is written beyond. */
    to = builder_over(packed, to.len / 2);
    msgpack_from_json(builder_span(&out), &to);
    assert_true(to.full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_every_spelling),
        cmocka_unit_test(test_reads_dates_of_both_ages),
        cmocka_unit_test(test_refuses_what_is_none),
        cmocka_unit_test(test_goes_as_deep_as_json),
        cmocka_unit_test(test_packs_as_javascript_does),
        cmocka_unit_test(test_packs_escapes),
        cmocka_unit_test(test_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
