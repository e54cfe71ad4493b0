#include "core/base/builder.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

#define ASSERT_HOLDS(b, text)                                                                      \
    do {                                                                                           \
        assert_int_equal((b)->len, strlen(text));                                                  \
        assert_memory_equal((b)->at, text, strlen(text));                                          \
    } while (0)

static void test_spans(void **state) {
    (void)state;
    assert_true(span_equal(SPAN("ab"), span_text("ab")));
    assert_false(span_equal(SPAN("ab"), SPAN("abc")));
    assert_false(span_equal(SPAN("ab"), SPAN("aB")));
    assert_true(span_equal(span_of(NULL, 0), SPAN("")));
    assert_true(span_equal_nocase(SPAN("Content-LENGTH"), SPAN("content-length")));
    /* '@' and '`' differ by the same bit as letters of two cases. */
    assert_false(span_equal_nocase(SPAN("@"), SPAN("`")));
    assert_false(span_equal_nocase(SPAN("a"), SPAN("ab")));
    assert_true(span_starts(SPAN("abc"), SPAN("ab")));
    assert_true(span_starts(SPAN("abc"), SPAN("")));
    assert_false(span_starts(SPAN("ab"), SPAN("abc")));
    assert_true(span_equal(span_skip(SPAN("abc"), 2), SPAN("c")));
}

static void test_numbers(void **state) {
    (void)state;
    char room[64];
    struct builder b = builder_over(room, sizeof(room));
    builder_u64(&b, 0);
    builder_byte(&b, ' ');
    builder_u64(&b, 10);
    builder_byte(&b, ' ');
    builder_u64(&b, UINT64_MAX);
    assert_false(b.full);
    ASSERT_HOLDS(&b, "0 10 18446744073709551615");
}

static void test_format(void **state) {
    (void)state;
    char room[8];
    struct builder b = builder_over(room, sizeof(room));
    builder_format(&b, "%s-%d", "ab", 7);
    ASSERT_HOLDS(&b, "ab-7");
    builder_format(&b, "%s", "4567"); /* the NUL has no room */
    assert_true(b.full);
    ASSERT_HOLDS(&b, "ab-7");
    builder_format(&b, "x");
    ASSERT_HOLDS(&b, "ab-7");
    b = builder_over(room, 0);
    builder_format(&b, "x");
    assert_true(b.full);
}

static void test_full_is_for_good(void **state) {
    (void)state;
    char room[4] = "....";
    struct builder b = builder_over(room, 3);
    builder_text(&b, "ab");
    builder_text(&b, "cd");
    assert_true(b.full);
    builder_byte(&b, 'e'); /* would fit */
    ASSERT_HOLDS(&b, "ab");
    assert_int_equal(room[3], '.');
}

static void test_json(void **state) {
    (void)state;
    char room[256];
    struct builder b = builder_over(room, sizeof(room));
    builder_json(&b, span_of("a\"b\\c\n\r\t\b\f\0\x1f\x7f\xC3\xA9\xE2\x80\xA8/", 19));
    assert_false(b.full);
    ASSERT_HOLDS(&b, "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0000\\u001f\x7f\xC3\xA9\\u2028/\"");
    b = builder_over(room, sizeof(room));
    builder_json(&b, span_of(NULL, 0));
    ASSERT_HOLDS(&b, "\"\"");
}

/* The line breaks that are not ASCII, whole, cut off at the end, and their neighbours. */
static void test_json_breaks(void **state) {
    (void)state;
    char room[256];
    struct builder b = builder_over(room, sizeof(room));
    struct span text =
        SPAN("\xC2\x85 \xE2\x80\xA8\xE2\x80\xA9 \xC2\x84\xC2\x86\xE2\x80\xA7\xE2\x80");
    builder_json(&b, text);
    ASSERT_HOLDS(&b, "\"\\u0085 \\u2028\\u2029 \xC2\x84\xC2\x86\xE2\x80\xA7\xE2\x80\"");
    b = builder_over(room, sizeof(room));
    builder_json_payload(&b, text);
    ASSERT_HOLDS(&b, "\"\xC2\x85 \xE2\x80\xA8\xE2\x80\xA9 \xC2\x84\xC2\x86\xE2\x80\xA7\xE2\x80\"");
}

/* With every smaller room: full, nothing written; with exactly enough: whole. */
static void test_json_every_room(void **state) {
    (void)state;
    static const char text[] = "plain \x01 more \" end";
    static const char wanted[] = "\"plain \\u0001 more \\\" end\"";
    for (size_t room = 0; room <= strlen(wanted); room++) {
        char *at = malloc(room + 1);
        assert_non_null(at);
        at[0] = 'x';
        struct builder b = builder_over(at, room + 1);
        b.cap = room;
        builder_json(&b, span_text(text));
        assert_int_equal(b.full, room < strlen(wanted));
        if (b.full)
            assert_int_equal(b.len, 0);
        else
            ASSERT_HOLDS(&b, wanted);
        free(at);
    }
}

static void test_json_max_is_enough(void **state) {
    (void)state;
    char text[256], room[2 + 6 * sizeof(text)];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    struct builder b = builder_over(room, builder_json_max(sizeof(text)));
    builder_json(&b, span_of(text, sizeof(text)));
    assert_false(b.full);
    memset(text, 1, sizeof(text));
    b = builder_over(room, builder_json_max(sizeof(text)));
    builder_json(&b, span_of(text, sizeof(text)));
    assert_false(b.full);
    assert_int_equal(b.len, sizeof(room));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_full_is_for_good),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_breaks),
        cmocka_unit_test(test_json_every_room),
        cmocka_unit_test(test_json_max_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
