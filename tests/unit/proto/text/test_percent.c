/* Percent-encoding: what is decoded, what is refused and where, and that a round trip changes
 * nothing. */
#include "proto/text/percent.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

static const char *decoded(struct span raw, enum percent_mode mode, struct span *text,
                           size_t *offset) {
    static char room[2048];
    struct builder scratch = builder_over(room, sizeof room);
    /* In memory of its exact size; the answer is copied before that goes. */
    static char copy[2048];
    char *alone = malloc(raw.len != 0 ? raw.len : 1);
    assert_non_null(alone);
    if (raw.len != 0)
        memcpy(alone, raw.at, raw.len);
    const char *wrong = percent_text(span_of(alone, raw.len), mode, &scratch, text, offset);
    if (wrong == NULL) {
        assert_true(text->len <= raw.len);
        if (text->len != 0)
            memcpy(copy, text->at, text->len);
        text->at = copy;
    }
    free(alone);
    return wrong;
}

static void expect(struct span raw, enum percent_mode mode, struct span want) {
    struct span text;
    const char *wrong = decoded(raw, mode, &text, NULL);
    if (wrong != NULL || !span_equal(text, want))
        fail_msg("%.*s %s", SPAN_ARG(raw), wrong != NULL ? wrong : "is something else");
}

static void expect_wrong(struct span raw, const char *want, size_t want_offset) {
    for (int mode = PERCENT_PATH; mode <= PERCENT_QUERY; mode++) {
        struct span text;
        size_t offset = SIZE_MAX;
        const char *wrong = decoded(raw, (enum percent_mode)mode, &text, &offset);
        assert_non_null(wrong);
        assert_string_equal(wrong, want);
        assert_int_equal(offset, want_offset);
    }
}

static void decodes_once(void **state) {
    (void)state;
    for (int i = PERCENT_PATH; i <= PERCENT_QUERY; i++) {
        enum percent_mode mode = (enum percent_mode)i;
        expect(span_of(NULL, 0), mode, SPAN(""));
        expect(SPAN("till-7"), mode, SPAN("till-7"));
        expect(SPAN("a%2Fb%2fc"), mode, SPAN("a/b/c"));
        expect(SPAN("%25%32%46"), mode, SPAN("%2F"));
        expect(SPAN("%C3%A4 \xC3\xA4"), mode, SPAN("\xC3\xA4 \xC3\xA4"));
        expect(SPAN("%2B"), mode, SPAN("+"));
        expect(SPAN("x%20"), mode, SPAN("x "));
        expect(SPAN("%0A"), mode, SPAN("\n"));
    }
    expect(SPAN("a+b"), PERCENT_PATH, SPAN("a+b"));
    expect(SPAN("a+b+%2B"), PERCENT_QUERY, SPAN("a b +"));
    expect(SPAN("%41+"), PERCENT_PATH, SPAN("A+"));
}

static void says_what_is_wrong(void **state) {
    (void)state;
    expect_wrong(SPAN("%"), "holds a bad escape", 0);
    expect_wrong(SPAN("a%4"), "holds a bad escape", 1);
    expect_wrong(SPAN("%41%"), "holds a bad escape", 3);
    expect_wrong(SPAN("ab%zz"), "holds a bad escape", 2);
    expect_wrong(SPAN("%4g"), "holds a bad escape", 0);
    expect_wrong(SPAN("%%41"), "holds a bad escape", 0);
    expect_wrong(SPAN("% 41"), "holds a bad escape", 0);
    expect_wrong(SPAN("a%00"), "holds U+0000", 1);
    expect_wrong(SPAN("a\0b"), "holds U+0000", 1);
    expect_wrong(SPAN("%41b%FF"), "is not UTF-8", 4);
    expect_wrong(SPAN("%41\xC3"), "is not UTF-8", 3);
    expect_wrong(SPAN("\xC3"), "is not UTF-8", 0);
    expect_wrong(SPAN("%C3%28"), "is not UTF-8", 0);
    expect_wrong(SPAN("%ED%A0%80"), "is not UTF-8", 0);
    expect_wrong(SPAN("%C0%80"), "is not UTF-8", 0);
}

static void needs_no_room_for_plain_text(void **state) {
    (void)state;
    char room[4];
    struct builder scratch = builder_over(room, sizeof room);
    struct span text, raw = SPAN("longer than the room");
    assert_null(percent_text(raw, PERCENT_PATH, &scratch, &text, NULL));
    assert_ptr_equal(text.at, raw.at);
    assert_int_equal(scratch.len, 0);
    /* What was decoded before stays. */
    struct span first, second;
    assert_null(percent_text(SPAN("%41b"), PERCENT_PATH, &scratch, &first, NULL));
    assert_null(percent_text(SPAN("c%44"), PERCENT_PATH, &scratch, &second, NULL));
    assert_true(span_equal(first, SPAN("Ab")) && span_equal(second, SPAN("cD")));
    assert_string_equal(percent_text(SPAN("%45"), PERCENT_PATH, &scratch, &text, NULL),
                        "is too long");
}

static void encodes_words(void **state) {
    (void)state;
    char room[64];
    struct builder out = builder_over(room, sizeof room);
    percent_encode(&out, SPAN("a b%c\xC3\xA4~!\x7F\"/+"));
    assert_true(span_equal(builder_span(&out), SPAN("a%20b%25c%C3%A4~!%7F\"/+")));
    for (int byte = 0; byte < 256; byte++) {
        char one = (char)byte;
        out = builder_over(room, sizeof room);
        percent_encode(&out, span_of(&one, 1));
        bool plain = byte > 0x20 && byte < 0x7F && byte != '%';
        assert_int_equal(out.len, plain ? 1 : 3);
        assert_int_equal(room[0], plain ? one : '%');
    }
}

static void comes_back_as_it_was(void **state) {
    (void)state;
    char text[260], room[sizeof text * 3];
    size_t len = 0;
    for (int byte = 1; byte < 0x80; byte++)
        text[len++] = (char)byte;
    for (int i = 0; i < 32; i++, len += 3)
        memcpy(text + len, "\xE2\x82\xAC", 3);
    for (size_t from = 0; from < 0x7F; from++) {
        struct builder out = builder_over(room, sizeof room);
        percent_encode(&out, span_of(text + from, len - from));
        assert_false(out.full);
        assert_true(out.len <= percent_encode_max(len - from));
        for (size_t i = 0; i < out.len; i++)
            assert_true(room[i] > 0x20 && room[i] < 0x7F);
        expect(builder_span(&out), PERCENT_PATH, span_of(text + from, len - from));
    }
}

static void walks_queries(void **state) {
    (void)state;
    struct span rest = SPAN("a=1&b=&&c&=d&e=f=g&"), name, value;
    static const char *const pairs[][2] = {
        {"a", "1"}, {"b", ""}, {"c", ""}, {"", "d"}, {"e", "f=g"},
    };
    for (size_t i = 0; i < 5; i++) {
        assert_true(query_next(&rest, &name, &value));
        assert_true(span_equal(name, span_text(pairs[i][0])));
        assert_true(span_equal(value, span_text(pairs[i][1])));
    }
    assert_false(query_next(&rest, &name, &value));
    assert_false(query_next(&rest, &name, &value));
    rest = span_of(NULL, 0);
    assert_false(query_next(&rest, &name, &value));
    rest = SPAN("&&&");
    assert_false(query_next(&rest, &name, &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_once),  cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(encodes_words), cmocka_unit_test(needs_no_room_for_plain_text),
        cmocka_unit_test(walks_queries), cmocka_unit_test(comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
