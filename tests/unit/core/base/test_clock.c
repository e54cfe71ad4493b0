#include "core/base/clock.c"

#include "tests/support/cmocka_first.h"

static void test_monotonic(void **state) {
    (void)state;
    uint64_t last = clock_ns();
    assert_true(last > 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_ns();
        assert_true(now >= last);
        last = now;
    }
}

/* Two clocks of the same machine agree on how long this takes, in nanoseconds. */
static void test_units(void **state) {
    (void)state;
    uint64_t start_ns = clock_ns(), start_cpu_ns = clock_thread_cpu_ns();
    while (clock_ns() - start_ns < 20 * NS_PER_MS)
        ;
    uint64_t cpu_ns = clock_thread_cpu_ns() - start_cpu_ns;
    assert_true(cpu_ns > 0);
    assert_true(cpu_ns <= clock_ns() - start_ns + NS_PER_MS);
}

static void test_wall(void **state) {
    (void)state;
    uint64_t now_ms = clock_wall_ms();
    assert_true(now_ms > UINT64_C(1600000000000)); /* 2020 */
    assert_true(now_ms < UINT64_C(7258118400000)); /* 2200 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_wall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
