/* test_printable.c - what may be shown, and the UTF-8 it is found in. */
#include "core/base/printable.c"

#include "tests/support/cmocka_first.h"

static void test_characters(void **state) {
    (void)state;
    static const uint32_t never[] = {0,      0x0A,   0x0D,   0x1B,   0x7F,   0x80,
                                     0x85,   0x9B,   0x9F,   0x061C, 0x200E, 0x200F,
                                     0x2028, 0x2029, 0x202A, 0x202E, 0x2066, 0x2069};
    static const uint32_t fine[] = {' ',    '~',    0xA0,   0xE4,   0x061B, 0x200D,
                                    0x2027, 0x202F, 0x2065, 0x206A, 0x1F600};
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_all_characters),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
