/* Single values of settings: times and sizes with their units, counts. */
#include "tests/support/cmocka_first.h"

#include "main/settings/settings_value.c"

static void test_values(void **state) {
    uint64_t number;
    (void)state;
    assert_true(value_seconds(SPAN("0.000000001"), &number) && number == 1);
    assert_true(value_seconds(SPAN("999999999"), &number));
    assert_false(value_seconds(SPAN("1000000000"), &number));
    assert_true(value_seconds(SPAN("500ms"), &number) && number == 500 * NS_PER_MS);
    assert_true(value_seconds(SPAN("1.5s"), &number) && number == 1500 * NS_PER_MS);
    assert_true(value_seconds(SPAN("10m"), &number) && number == 600 * NS_PER_S);
    assert_true(value_seconds(SPAN("0.25h"), &number) && number == 900 * NS_PER_S);
    assert_true(value_seconds(SPAN("0.000001ms"), &number) && number == 1);
    assert_true(value_seconds(SPAN("999999999h"), &number) && number == UINT64_MAX);
    static const char *const bad[] = {"s", "", "1 s", "1d", "1sm", "1S", "1m30s", "-1s", "1.s"};
    for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
        assert_false(value_seconds(span_text(bad[n]), &number));
    assert_false(value_seconds(SPAN("1."), &number));
    assert_false(value_seconds(SPAN(".5"), &number));
    assert_false(value_seconds(SPAN("1.0000000001"), &number));
    assert_true(value_bytes(SPAN("3KiB"), &number) && number == 3072);
    assert_true(value_bytes(SPAN("1tb"), &number) && number == UINT64_C(1) << 40);
    assert_false(value_bytes(SPAN("18014398509481984K"), &number));
    assert_true(value_bytes(SPAN("16777215T"), &number));
    assert_false(value_bytes(SPAN("16777216T"), &number));
    assert_false(value_bytes(SPAN("1KK"), &number));
    assert_false(value_bytes(SPAN("K"), &number));
    assert_false(value_count(SPAN("1000000000000000000"), &number));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
