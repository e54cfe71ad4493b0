/* What is known of the pace of work, and when. */
#include "tests/support/cmocka_first.h"

#include "core/pace.h"

static void test_nothing_is_known_at_first(void **state) {
    (void)state;
    struct pace pace = {0};
    assert_int_equal(pace_ns(&pace, 1000), 0);
    /* All was done: it could have been more. */
    pace_turn(&pace, NS_PER_S, 5, false);
    pace_turn(&pace, 2 * NS_PER_S, 5, false);
    assert_int_equal(pace_ns(&pace, 1000), 0);
}

/* Turns that begin at these times, in milliseconds, and do so many, with some left over. */
static void turn(struct pace *pace, uint64_t at_ms, uint32_t done) {
    pace_turn(pace, NS_PER_S + at_ms * NS_PER_MS, done, true);
}

static void test_a_window_of_work_is_measured(void **state) {
    (void)state;
    struct pace pace = {0};
    turn(&pace, 0, 400);
    turn(&pace, 4, 600);
    assert_int_equal(pace_ns(&pace, 1), 0);
    turn(&pace, 20, 250);
    assert_int_equal(pace_ns(&pace, 1), 20 * NS_PER_US);
    assert_int_equal(pace_ns(&pace, 500), 10 * NS_PER_MS);
    /* Four times as slow: a quarter of the way there. */
    turn(&pace, 40, 1);
    assert_int_equal(pace_ns(&pace, 1), 35 * NS_PER_US);
}

/* A worker that slept was not slow. */
static void test_a_sleep_is_no_work(void **state) {
    (void)state;
    struct pace pace = {0};
    turn(&pace, 0, 1);
    pace_turn(&pace, NS_PER_S + 19 * NS_PER_MS, 1, false);
    turn(&pace, 9000, 500); /* the first of a burst */
    turn(&pace, 9010, 500);
    assert_int_equal(pace_ns(&pace, 1), 0);
    pace_turn(&pace, NS_PER_S + 9020 * NS_PER_MS, 500, false);
    assert_int_equal(pace_ns(&pace, 1), 20 * NS_PER_US);
    pace_turn(&pace, 20 * NS_PER_S, 0, false); /* it stays known */
    pace_turn(&pace, 30 * NS_PER_S, 0, false);
    assert_int_equal(pace_ns(&pace, 1), 20 * NS_PER_US);
}

/* A turn that had no CPU, or did none of this: no division by nothing. */
static void test_none_done(void **state) {
    (void)state;
    struct pace pace = {0};
    turn(&pace, 0, 0);
    turn(&pace, 1000, 1000);
    assert_int_equal(pace_ns(&pace, 1), 0);
    turn(&pace, 1000, 0);
    assert_int_equal(pace_ns(&pace, 1), NS_PER_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known_at_first),
        cmocka_unit_test(test_a_window_of_work_is_measured),
        cmocka_unit_test(test_a_sleep_is_no_work),
        cmocka_unit_test(test_none_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
