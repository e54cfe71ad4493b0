/* Strings decoded, numbers as numbers, texts without their line breaks. */
#include "proto/text/json_value.c"

#include "tests/support/cmocka_first.h"

#include <stdio.h>

#define ASSERT_TEXT(span, literal) assert_true(span_equal(span, SPAN(literal)))

static const char *unescape(struct span inside, char *room, size_t cap, struct builder *out) {
    *out = builder_over(room, cap);
    return json_unescape(inside, out);
}

static void decodes_escapes(void **state) {
    (void)state;
    char room[64];
    struct builder out;
    assert_null(unescape(SPAN(""), room, sizeof room, &out));
    ASSERT_TEXT(builder_span(&out), "");
    assert_null(unescape(SPAN("plain \xC3\xA4"), room, sizeof room, &out));
    ASSERT_TEXT(builder_span(&out), "plain \xC3\xA4");
    assert_null(unescape(SPAN("a\\\"\\\\\\/\\b\\f\\n\\r\\tz"), room, sizeof room, &out));
    ASSERT_TEXT(builder_span(&out), "a\"\\/\b\f\n\r\tz");
    assert_null(unescape(SPAN("\\u0041\\u00e4\\u20AC\\ud83d\\uDE00!"), room, sizeof room, &out));
    ASSERT_TEXT(builder_span(&out), "A\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80!");
    assert_null(unescape(SPAN("\\\\u0041"), room, sizeof room, &out));
    ASSERT_TEXT(builder_span(&out), "\\u0041");
    assert_null(unescape(SPAN("\\ud800\\udc00\\udbff\\udfff"), room, sizeof room, &out));
    ASSERT_TEXT(builder_span(&out), "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
}

static void refuses_what_no_string_may_hold(void **state) {
    (void)state;
    static const char *const lone[] = {
        "\\ud800",        "\\udc00",        "\\ud800x",
        "\\ud800\\n",     "\\ud800\\u0041", "\\ud800\\ud800\\udc00",
        "\\udc00\\ud800", "ok \\udfff",     "\\ud800\\\\udc00",
        "\\udbff\\ue000", "\\ud800-udc00",  "\\ud800\\tdc00",
        "\\u0041\\udc00", "\\ud800\\udbff",
    };
    char room[64];
    struct builder out;
    for (size_t i = 0; i < sizeof lone / sizeof lone[0]; i++) {
        const char *wrong = unescape(span_text(lone[i]), room, sizeof room, &out);
        assert_non_null(wrong);
        assert_string_equal(wrong, "holds a lone surrogate");
    }
    assert_string_equal(unescape(SPAN("a\\u0000"), room, sizeof room, &out), "holds U+0000");
}

/* All code units by themselves, and all pairs of surrogates, as UTF-8 that is itself right. */
static void decodes_every_character(void **state) {
    (void)state;
    char text[16], room[8];
    struct builder out;
    for (unsigned unit = 1; unit < 0x10000; unit++) {
        snprintf(text, sizeof text, unit & 1 ? "\\u%04x" : "\\u%04X", unit);
        const char *wrong = unescape(span_text(text), room, sizeof room, &out);
        assert_int_equal(wrong != NULL, unit >= 0xD800 && unit <= 0xDFFF);
        if (wrong == NULL) {
            assert_true(utf8_valid(builder_span(&out), NULL));
            assert_int_equal(out.len, unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3);
        }
    }
    uint32_t last = 0xFFFF;
    for (unsigned high = 0xD800; high < 0xDC00; high++) {
        for (unsigned low = 0xDC00; low < 0xE000; low += 0x55) {
            snprintf(text, sizeof text, "\\u%04x\\u%04x", high, low);
            assert_null(unescape(span_text(text), room, sizeof room, &out));
            assert_int_equal(out.len, 4);
            const unsigned char *s = (const unsigned char *)room;
            uint32_t point =
                (s[0] & 7u) << 18 | (s[1] & 63u) << 12 | (s[2] & 63u) << 6 | (s[3] & 63u);
            assert_true(point > last && point <= 0x10FFFF);
            assert_true(utf8_valid(builder_span(&out), NULL));
            last = point;
        }
    }
}

static void slices_in_place_if_it_can(void **state) {
    (void)state;
    char room[8];
    struct builder scratch = builder_over(room, sizeof room);
    struct span raw = SPAN("\"plain\""), text = SPAN("");
    struct json_value value = {raw, JSON_STRING, false, 0};
    assert_null(json_text(&value, &scratch, &text));
    ASSERT_TEXT(text, "plain");
    assert_ptr_equal(text.at, raw.at + 1);
    assert_int_equal(scratch.len, 0);

    value = (struct json_value){SPAN("\"\\u0061b\""), JSON_STRING, true, 0};
    assert_null(json_text(&value, &scratch, &text));
    ASSERT_TEXT(text, "ab");
    assert_ptr_equal(text.at, room);
    struct span second = SPAN("");
    value = (struct json_value){SPAN("\"\\tcdefg\""), JSON_STRING, true, 0};
    assert_null(json_text(&value, &scratch, &second));
    ASSERT_TEXT(text, "ab");
    ASSERT_TEXT(second, "\tcdefg");
    /* The scratch is full to the last byte. */
    value = (struct json_value){SPAN("\"\\t\""), JSON_STRING, true, 0};
    assert_string_equal(json_text(&value, &scratch, &second), "is too long");
    value = (struct json_value){SPAN("\"\\ud800\""), JSON_STRING, true, 0};
    assert_string_equal(json_text(&value, &scratch, &second), "holds a lone surrogate");
}

static void reads_whole_numbers(void **state) {
    (void)state;
    uint64_t value;
    assert_true(json_u64(SPAN("0"), &value) && value == 0);
    assert_true(json_u64(SPAN("1234567890123"), &value) && value == 1234567890123);
    assert_true(json_u64(SPAN("18446744073709551615"), &value) && value == UINT64_MAX);
    assert_false(json_u64(SPAN("18446744073709551616"), &value));
    assert_false(json_u64(SPAN("99999999999999999999"), &value));
    assert_false(json_u64(SPAN("-1"), &value));
    assert_false(json_u64(SPAN("1.0"), &value));
    assert_false(json_u64(SPAN("1e2"), &value));
}

static void reads_seconds(void **state) {
    (void)state;
    static const struct {
        const char *number;
        uint64_t ns;
    } rows[] = {
        {"0", 0},
        {"-0", 0},
        {"0.0e9", 0},
        {"-0.000", 0},
        {"1", 1000000000},
        {"60", 60000000000},
        {"604800", 604800000000000},
        {"604800.0000000001", 604800000000001},
        {"604800.000000000", 604800000000000},
        {"0.5", 500000000},
        {"0.000000001", 1},
        {"0.0000000001", 1},
        {"1e-400", 1},
        {"1e-9", 1},
        {"1.0000000001", 1000000001},
        {"1.5e3", 1500000000000},
        {"15e-1", 1500000000},
        {"1E+2", 100000000000},
        {"0.00000000000000000000000000001e29", 1000000000},
        {"100000000000000000000000000000e-29", 1000000000},
        {"100000000000000000000000000001e-29", 1000000001},
        {"18446744073", 18446744073000000000u},
        {"18446744073.709551615", UINT64_MAX},
        {"18446744074", UINT64_MAX},
        {"1e400", UINT64_MAX},
        {"1e99999999999999999999", UINT64_MAX},
        {"1e-99999999999999999999", 1},
        {"0e99999999999999999999", 0},
        {"123456789012345678901234567890", UINT64_MAX},
    };
    uint64_t ns;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(json_seconds(span_text(rows[i].number), &ns));
        if (ns != rows[i].ns)
            fail_msg("%s: %llu", rows[i].number, (unsigned long long)ns);
    }
    assert_false(json_seconds(SPAN("-1"), &ns));
    assert_false(json_seconds(SPAN("-1e-300"), &ns));
}

/* However a number of nanoseconds is written, it is the same. */
static void reads_seconds_in_all_spellings(void **state) {
    (void)state;
    uint64_t seed = 88172645463325252u, ns;
    char text[128];
    for (int i = 0; i < 20000; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        uint64_t want = (seed >> (seed & 31) >> 15) + 1;
        snprintf(text, sizeof text, "%llu.%09llu", (unsigned long long)(want / 1000000000),
                 (unsigned long long)(want % 1000000000));
        assert_true(json_seconds(span_text(text), &ns) && ns == want);
        snprintf(text, sizeof text, "%llue-9", (unsigned long long)want);
        assert_true(json_seconds(span_text(text), &ns) && ns == want);
        snprintf(text, sizeof text, "%llu00000000000000000000E-29", (unsigned long long)want);
        assert_true(json_seconds(span_text(text), &ns) && ns == want);
        snprintf(text, sizeof text, "0.00000000000000000000%020llue31", (unsigned long long)want);
        assert_true(json_seconds(span_text(text), &ns) && ns == want);
        snprintf(text, sizeof text, "%llu.0000000000000000000000001e-9", (unsigned long long)want);
        assert_true(json_seconds(span_text(text), &ns) && ns == want + 1);
    }
}

static void expect_compact(struct span text, struct span want) {
    char room[64];
    struct builder out = builder_over(room, want.len);
    json_compact(text, &out);
    assert_false(out.full);
    assert_true(span_equal(builder_span(&out), want));
    assert_int_equal(json_compact_len(text), want.len);
    if (want.len != 0) {
        out = builder_over(room, want.len - 1);
        json_compact(text, &out);
        assert_true(out.full);
    }
}

static void drops_line_breaks(void **state) {
    (void)state;
    expect_compact(SPAN("{\"a\" :\t1}"), SPAN("{\"a\" :\t1}"));
    expect_compact(SPAN("{\r\n  \"a\":\n\n1\r}\n"), SPAN("{  \"a\":1}"));
    expect_compact(SPAN("\r\n\n\r"), SPAN(""));
    expect_compact(SPAN("\"\\n\\r\""), SPAN("\"\\n\\r\""));
    expect_compact(span_of(NULL, 0), SPAN(""));
}

static void knows_the_length_of_a_quoted_text(void **state) {
    (void)state;
    char room[2 + 6 * 256], all[256];
    for (size_t byte = 0; byte < sizeof all; byte++) {
        all[byte] = (char)byte;
        struct builder out = builder_over(room, sizeof room);
        builder_json_payload(&out, span_of(all + byte, 1));
        assert_int_equal(json_quoted_len(span_of(all + byte, 1)), out.len);
        out = builder_over(room, sizeof room);
        builder_json_payload(&out, span_of(all, byte + 1));
        assert_int_equal(json_quoted_len(span_of(all, byte + 1)), out.len);
    }
    assert_int_equal(json_quoted_len(span_of(NULL, 0)), 2);
}

static void expect_escaped(struct span text, struct span want) {
    char room[64];
    struct json_value value;
    struct json_error error;
    struct builder out = builder_over(room, sizeof room);
    json_escape_breaks(text, &out);
    assert_true(span_equal(builder_span(&out), want));
    assert_int_equal(json_breaks_grow(text), want.len - text.len);
    assert_true(json_scan(text, &value, &error));
    assert_int_equal(value.breaks_grow, want.len - text.len);
}

static void escapes_line_breaks(void **state) {
    (void)state;
    expect_escaped(SPAN("\"a\""), SPAN("\"a\""));
    expect_escaped(SPAN("\"\xC2\x85\""), SPAN("\"\\u0085\""));
    expect_escaped(SPAN("\"\xE2\x80\xA8\xE2\x80\xA9\xC2\x85\""), SPAN("\"\\u2028\\u2029\\u0085\""));
    /* Their neighbours, and what is an escape already. */
    expect_escaped(
        SPAN("\"\xC2\x84\xC2\x86\xE2\x80\xA7\xE2\x80\xAA\xE2\x81\xA8\xE3\x80\xA8\\u2028\""),
        SPAN("\"\xC2\x84\xC2\x86\xE2\x80\xA7\xE2\x80\xAA\xE2\x81\xA8\xE3\x80\xA8\\u2028\""));
    expect_escaped(SPAN("{\"\xE2\x80\xA9\":[\"x\xC2\x85\"]}"),
                   SPAN("{\"\\u2029\":[\"x\\u0085\"]}"));
    assert_int_equal(json_breaks_grow(span_of(NULL, 0)), 0);
}

/* A walk tells it of each member by itself. */
static void counts_breaks_of_each_member(void **state) {
    (void)state;
    struct json_cursor cursor;
    struct json_value key, value;
    json_open(
        &cursor,
        SPAN("{\"a\":\"\xC2\x85\",\"\xE2\x80\xA8\":1,\"c\":[\"\xE2\x80\xA8\",\"\xC2\x85\"]}"));
    static const size_t grow[] = {4, 0, 7};
    for (size_t i = 0; i < sizeof grow / sizeof *grow; i++) {
        assert_true(json_object_next(&cursor, &key, &value));
        assert_int_equal(value.breaks_grow, grow[i]);
    }
}

static void knows_byte_order_marks(void **state) {
    (void)state;
    assert_true(json_has_mark(SPAN("\xEF\xBB\xBF{}")));
    assert_true(json_has_mark(SPAN("\xFE\xFF")));
    assert_true(json_has_mark(SPAN("\xFF\xFE{\0")));
    assert_false(json_has_mark(SPAN("\xEF\xBB")));
    assert_false(json_has_mark(SPAN("{}\xEF\xBB\xBF")));
    assert_false(json_has_mark(span_of(NULL, 0)));
}

static void knows_blank_lines(void **state) {
    (void)state;
    assert_true(json_line_is_blank(span_of(NULL, 0)));
    assert_true(json_line_is_blank(SPAN(" \t\r")));
    assert_false(json_line_is_blank(SPAN(" {")));
    assert_false(json_line_is_blank(SPAN("\0")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_escapes),
        cmocka_unit_test(refuses_what_no_string_may_hold),
        cmocka_unit_test(decodes_every_character),
        cmocka_unit_test(slices_in_place_if_it_can),
        cmocka_unit_test(reads_whole_numbers),
        cmocka_unit_test(reads_seconds),
        cmocka_unit_test(reads_seconds_in_all_spellings),
        cmocka_unit_test(drops_line_breaks),
        cmocka_unit_test(escapes_line_breaks),
        cmocka_unit_test(counts_breaks_of_each_member),
        cmocka_unit_test(knows_byte_order_marks),
        cmocka_unit_test(knows_blank_lines),
        cmocka_unit_test(knows_the_length_of_a_quoted_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
