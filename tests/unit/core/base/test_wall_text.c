#include "tests/support/cmocka_first.h"

#include "core/base/wall_text.c"

static void test_text(void **state) {
    (void)state;
    const struct {
        uint64_t wall_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {UINT64_C(1767225599999), "2025-12-31T23:59:59.999Z"},
        {UINT64_C(1767225600007), "2026-01-01T00:00:00.007Z"},
        {UINT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {UINT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[WALL_TEXT_BYTES];
        wall_text(cases[i].wall_ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
