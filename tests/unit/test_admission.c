/* When a worker is behind, and who is refused then. */
#include "tests/support/cmocka_first.h"

#include "core/admission.c"

enum { MAX = 100 };

static struct admission admission;
static struct admission_share flood, other;

static void fresh(void) {
    admission_init(&admission);
    assert_int_equal(admission.round_max, ADMISSION_ROUND_MAX);
    admission.round_max = MAX;
    flood = other = (struct admission_share){0};
}

/* A round that begins at that moment; how many of the flood's requests are taken in it. */
static unsigned round_of(uint64_t at_ms, unsigned requests) {
    unsigned taken = 0;
    admission_turn(&admission, 0, at_ms * NS_PER_MS);
    for (unsigned i = 0; i < requests; i++)
        taken += admission_take(&admission, &flood);
    return taken;
}

static void behind(void) {
    for (unsigned at_ms = 1; at_ms <= 101; at_ms += 10)
        round_of(at_ms, MAX);
    assert_false(admission.behind);
    assert_int_equal(round_of(111, MAX), MAX);
    assert_true(admission.behind);
}

static void test_bursts_are_taken(void **state) {
    (void)state;
    fresh();
    assert_int_equal(round_of(1, 50 * MAX), 50 * MAX);
    assert_int_equal(round_of(90, 50 * MAX), 50 * MAX);
    assert_int_equal(round_of(95, MAX / 2 - 1), MAX / 2 - 1); /* it was short */
    assert_int_equal(round_of(200, 50 * MAX), 50 * MAX);
    assert_int_equal(round_of(290, 50 * MAX), 50 * MAX);
    assert_false(admission.behind);
}

static void test_a_queue_that_stays_is_cut(void **state) {
    (void)state;
    fresh();
    behind();
    assert_int_equal(round_of(131, 5 * MAX), MAX);
    assert_int_equal(admission.refused, 4 * MAX);
    assert_int_equal(round_of(141, MAX), MAX);
    assert_int_equal(admission.refused, 0);
}

static void test_it_ends_with_a_short_round(void **state) {
    (void)state;
    fresh();
    behind();
    round_of(131, MAX / 2);
    round_of(141, MAX / 2 - 1);
    assert_true(admission.behind);
    assert_int_equal(round_of(161, 5 * MAX), 5 * MAX);
    assert_false(admission.behind);
    /* And takes its time to begin again. */
    assert_int_equal(round_of(171, 5 * MAX), 5 * MAX);
    assert_int_equal(round_of(270, 5 * MAX), 5 * MAX);
    assert_int_equal(round_of(271, 5 * MAX), MAX);
}

static void test_who_asks_little_is_taken(void **state) {
    (void)state;
    fresh();
    behind();
    round_of(131, 5 * MAX);
    for (unsigned i = 0; i < ADMISSION_SHARE; i++)
        assert_true(admission_take(&admission, &other));
    assert_false(admission_take(&admission, &other));
    /* In the next round again; up to twice the number in all. */
    round_of(141, 5 * MAX);
    assert_true(admission_take(&admission, &other));
    for (unsigned i = 0; i < MAX; i++) {
        struct admission_share one = {0};
        admission_take(&admission, &one);
    }
    assert_int_equal(admission.taken, 2 * MAX);
    assert_false(admission_take(&admission, &other));
}

static void test_a_round_lasts_until_what_had_come_is_handled(void **state) {
    (void)state;
    fresh();
    admission_turn(&admission, 300, NS_PER_MS);
    uint32_t round = admission.round;
    admission_handled(&admission, 256);
    admission_turn(&admission, 900, 2 * NS_PER_MS);
    assert_int_equal(admission.round, round);
    admission_handled(&admission, 256);
    admission_turn(&admission, 700, 3 * NS_PER_MS);
    assert_int_equal(admission.round, round + 1);
    assert_int_equal(admission.left, 700);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bursts_are_taken),
        cmocka_unit_test(test_a_queue_that_stays_is_cut),
        cmocka_unit_test(test_it_ends_with_a_short_round),
        cmocka_unit_test(test_who_asks_little_is_taken),
        cmocka_unit_test(test_a_round_lasts_until_what_had_come_is_handled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
