/* What is known of the pace of work, and when. */
#include "tests/support/cmocka_first.h"

#include "core/pace.h"

static void test_nothing_is_known_at_first(void **state) {
    (void)state;
    struct pace pace = {0};
    assert_int_equal(pace_ns(&pace, 1000), 0);
    /* All was done: it could have been more. */
    pace_turn(&pace, 100 * NS_PER_MS, 5, false);
    assert_int_equal(pace_ns(&pace, 1000), 0);
}

static void test_a_window_of_work_is_measured(void **state) {
    (void)state;
    struct pace pace = {0};
    pace_turn(&pace, 4 * NS_PER_MS, 400, true);
    assert_int_equal(pace_ns(&pace, 1), 0);
    pace_turn(&pace, 16 * NS_PER_MS, 600, true);
    assert_int_equal(pace_ns(&pace, 1), 20 * NS_PER_US);
    assert_int_equal(pace_ns(&pace, 500), 10 * NS_PER_MS);
    /* Four times as slow: a quarter of the way there. */
    pace_turn(&pace, 20 * NS_PER_MS, 250, true);
    assert_int_equal(pace_ns(&pace, 1), 35 * NS_PER_US);
}

static void test_idle_time_is_no_work(void **state) {
    (void)state;
    struct pace pace = {0};
    pace_turn(&pace, 19 * NS_PER_MS, 1, true);
    pace_turn(&pace, 900 * NS_PER_MS, 1, false);
    pace_turn(&pace, 10 * NS_PER_MS, 500, true);
    pace_turn(&pace, 10 * NS_PER_MS, 500, true);
    assert_int_equal(pace_ns(&pace, 1), 20 * NS_PER_US);
    pace_turn(&pace, NS_PER_S, 0, false); /* it stays known */
    assert_int_equal(pace_ns(&pace, 1), 20 * NS_PER_US);
}

/* A turn that had no CPU, or did none of this: no division by nothing. */
static void test_none_done(void **state) {
    (void)state;
    struct pace pace = {0};
    pace_turn(&pace, NS_PER_S, 0, true);
    assert_int_equal(pace_ns(&pace, 1), 0);
    pace_turn(&pace, 0, 1000, true);
    assert_int_equal(pace_ns(&pace, 1), NS_PER_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known_at_first),
        cmocka_unit_test(test_a_window_of_work_is_measured),
        cmocka_unit_test(test_idle_time_is_no_work),
        cmocka_unit_test(test_none_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
