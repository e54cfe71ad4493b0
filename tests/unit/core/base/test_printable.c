/* test_printable.c - what may be shown, and the UTF-8 it is found in. */
#include "core/base/printable.c"

#include "tests/support/cmocka_first.h"

static void test_characters(void **state) {
    (void)state;
    static const uint32_t never[] = {0,       0x0A,    0x0D,    0x1B,    0x7F,   0x80,   0x85,
                                     0x9B,    0x9F,    0xAD,    0x061C,  0x180E, 0x200B, 0x200E,
                                     0x200F,  0x2028,  0x2029,  0x202A,  0x202E, 0x2060, 0x2064,
                                     0x2066,  0x2069,  0x206F,  0xFEFF,  0xFFF9, 0xFFFB, 0x1BCA0,
                                     0x1D17A, 0xE0000, 0xE0001, 0xE0041, 0xE007F};
    static const uint32_t fine[] = {' ',    '~',    0xA0,    0xAC,    0xAE,   0xE4,
                                    0x0600, 0x061B, 0x06DD,  0x200A,  0x200C, 0x200D,
                                    0x2010, 0x2027, 0x202F,  0x205F,  0x2070, 0xFE0F,
                                    0xFF00, 0xFFFD, 0x13430, 0x1F600, 0xE0100};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        assert_false(printable(never[i]));
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        assert_true(printable(fine[i]));
}

/* Every character is found again from its own bytes; cut short it is none. */
static void test_all_characters(void **state) {
    (void)state;
    for (uint32_t wanted = 0; wanted <= 0x10FFFF; wanted++) {
        char text[4];
        size_t len = 1;
        uint32_t point = 0;
        bool surrogate = wanted >= 0xD800 && wanted <= 0xDFFF;
        if (wanted < 0x80) {
            text[0] = (char)wanted;
        } else {
            len = wanted < 0x800 ? 2 : wanted < 0x10000 ? 3 : 4;
            uint32_t rest = wanted;
            for (size_t i = len - 1; i > 0; i--, rest >>= 6)
                text[i] = (char)(0x80 | (rest & 0x3F));
            text[0] = (char)((0xF00u >> len & 0xFF) | rest);
        }
        assert_int_equal(printable_next(span_of(text, len), &point), surrogate ? 0 : len);
        assert_true(surrogate || point == wanted);
        for (size_t cut = 1; cut < len; cut++)
            assert_int_equal(printable_next(span_of(text, cut), &point), 0);
    }
}

static void test_broken(void **state) {
    (void)state;
    static const struct span broken[] = {
        SPAN_INIT("\x80"),
        SPAN_INIT("\xC0\xAF"),
        SPAN_INIT("\xC1\xBF"),
        SPAN_INIT("\xE0\x9F\xBF"),
        SPAN_INIT("\xF0\x8F\xBF\xBF"),
        SPAN_INIT("\xF4\x90\x80\x80"),
        SPAN_INIT("\xF5\x80\x80\x80"),
        SPAN_INIT("\xFF"),
        SPAN_INIT("\xC3("),
    };
    uint32_t point;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_int_equal(printable_next(broken[i], &point), 0);
}

static void check_taken(struct span text, const char *first, size_t left) {
    char escape[PRINTABLE_ESCAPE_MAX];
    struct span shown = printable_take(&text, escape);
    assert_int_equal(shown.len, strlen(first));
    assert_memory_equal(shown.at, first, shown.len);
    assert_int_equal(text.len, left);
}

static void test_escapes(void **state) {
    (void)state;
    check_taken(SPAN("ab"), "a", 1);
    check_taken(SPAN("\x7f"), "\\x7f", 0);
    check_taken(SPAN("\xFF\xFF"), "\\xff", 1);
    check_taken(SPAN("\xC3\xA4."), "\xC3\xA4", 1);
    check_taken(SPAN("\xC2\x9B"), "\\u009b", 0);
    check_taken(SPAN("\xEF\xBB\xBF"), "\\ufeff", 0);
    check_taken(SPAN("\xF3\xA0\x81\x81"), "\\U000e0041", 0);
}

static void test_json_escapes(void **state) {
    (void)state;
    static const struct {
        uint32_t point;
        const char *text;
    } cases[] = {{0x7F, "\\u007f"},
                 {0xFEFF, "\\ufeff"},
                 {0xE0041, "\\udb40\\udc41"},
                 {0x10FFFF, "\\udbff\\udfff"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char escape[PRINTABLE_ESCAPE_MAX];
        struct span text = printable_json_escape(cases[i].point, escape);
        assert_int_equal(text.len, strlen(cases[i].text));
        assert_memory_equal(text.at, cases[i].text, text.len);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),   cmocka_unit_test(test_all_characters),
        cmocka_unit_test(test_broken),       cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_json_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
