/* When a worker is behind, what it takes then, and who is refused. */
#include "tests/support/cmocka_first.h"

#include "core/admission.c"

#include <string.h>

static struct admission admission;
static struct admission_share flood, other;
static uint64_t now_ns;

static void fresh(void) {
    admission_init(&admission);
    flood = other = (struct admission_share){0};
    now_ns = NS_PER_S;
    admission_turn(&admission, 0, false, now_ns);
}

/* The flood asks in this round, which lasts as long as what was taken takes at that cost, and at
 * least so long; how many were taken. */
static unsigned round_of(unsigned requests, uint64_t cost_ns, uint64_t least_ms) {
    unsigned taken = 0;
    for (unsigned i = 0; i < requests; i++)
        if (admission_ask(&admission, &flood)) {
            admission_count(&admission, &flood);
            taken++;
        }
    uint64_t lasted_ns = taken * cost_ns + (requests - taken) * ADMISSION_REFUSAL_NS;
    now_ns += at_least(lasted_ns, least_ms * NS_PER_MS);
    admission_turn(&admission, 0, false, now_ns);
    return taken;
}

static void behind(void) {
    for (unsigned i = 0; i < 3; i++) {
        assert_false(admission.behind);
        assert_int_equal(round_of(5000, 10000, 0), 5000);
    }
    assert_true(admission.behind);
}

static void test_a_burst_or_a_stall_is_taken(void **state) {
    (void)state;
    fresh();
    assert_int_equal(round_of(50000, 10000, 0), 50000);
    assert_int_equal(round_of(50000, 10, 0), 50000); /* short */
    assert_int_equal(round_of(50000, 10000, 0), 50000);
    assert_int_equal(round_of(3000, 10000, 0), 3000);
    assert_int_equal(round_of(50000, 10000, 0), 50000);
    assert_false(admission.behind);
    /* Few requests, however long they take. */
    for (unsigned i = 0; i < 10; i++)
        round_of(ADMISSION_REQUESTS_MIN - 1, 10000, 200);
    assert_false(admission.behind);
}

static void test_many_that_cost_little_are_taken(void **state) {
    (void)state;
    fresh();
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(round_of(60000, 4900, 0), 60000);
    for (unsigned i = 0; i < 10; i++)
        round_of(60000, 5100, 0);
    assert_true(admission.behind);
    /* They become cheap. */
    for (unsigned i = 0; i < 10; i++)
        round_of(60000, 1000, 0);
    assert_int_equal(round_of(60000, 1000, 0), 60000);
    assert_false(admission.behind);
}

static void test_what_is_taken_fits_a_round(void **state) {
    (void)state;
    fresh();
    behind();
    assert_int_equal(admission.limit, 3500);
    for (unsigned i = 0; i < 20; i++)
        assert_in_range(round_of(16000, 10000, 0), 3400, 3600);
    /* Messages become dearer, and cheaper. */
    for (unsigned i = 0; i < 20; i++)
        round_of(16000, 140000, 0);
    assert_in_range(admission.limit, 240, 260);
    for (unsigned i = 0; i < 30; i++)
        round_of(16000, 10000, 0);
    assert_in_range(admission.limit, 3300, 3600);
    /* Never less than a few. */
    for (unsigned i = 0; i < 30; i++)
        round_of(16000, 10 * NS_PER_MS, 0);
    assert_int_equal(admission.limit, ADMISSION_REQUESTS_MIN);
}

static void test_it_is_over_when_none_was_refused(void **state) {
    (void)state;
    fresh();
    behind();
    round_of(3501, 10000, 0);
    assert_true(admission.behind);
    round_of(3000, 10000, 0);
    assert_false(admission.behind);
    /* And takes its time to begin again. */
    assert_int_equal(round_of(9000, 10000, 0), 9000);
    assert_int_equal(round_of(9000, 10000, 0), 9000);
    assert_false(admission.behind);
    assert_int_equal(round_of(9000, 10000, 0), 9000);
    assert_true(admission.behind);
    assert_true(round_of(9000, 10000, 0) < 3600);
}

static void test_who_slept_is_not_behind(void **state) {
    (void)state;
    fresh();
    behind();
    admission_slept(&admission, ADMISSION_BEHIND_NS - 1);
    assert_true(admission.behind);
    admission_slept(&admission, ADMISSION_BEHIND_NS);
    assert_false(admission.behind);
    /* Nor does sleeping make a round long. */
    for (unsigned i = 0; i < 10; i++) {
        admission_slept(&admission, 50 * NS_PER_MS);
        now_ns += 50 * NS_PER_MS;
        round_of(1000, 10000, 0);
    }
    assert_int_equal(admission.long_since_ns, 0);
}

static void test_who_asks_little_is_taken(void **state) {
    (void)state;
    fresh();
    behind();
    round_of(16000, 10000, 0);
    uint32_t limit = admission.limit;
    round_of(16000, 10000, 0);
    for (unsigned i = 0; i < 4 * limit; i++)
        if (admission_ask(&admission, &flood))
            admission_count(&admission, &flood);
    assert_int_equal(admission.taken, admission.limit);
    for (unsigned i = 0; i < ADMISSION_SHARE; i++) {
        assert_true(admission_ask(&admission, &other));
        admission_count(&admission, &other);
    }
    assert_false(admission_ask(&admission, &other));
}

/* However many flood: each has its share, and there is one for who asks for one. */
static void test_shares_are_for_as_many_as_ask(void **state) {
    (void)state;
    enum { FLOODS = 1500 };
    static struct admission_share floods[FLOODS];
    fresh();
    behind();
    memset(floods, 0, sizeof floods);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned k = 0; k < 64; k++)
            for (unsigned i = 0; i < FLOODS; i++)
                if (admission_ask(&admission, &floods[i]))
                    admission_count(&admission, &floods[i]);
        assert_true(admission.taken <= 2 * admission.limit);
        if (round > 0)
            assert_true(admission_ask(&admission, &other));
        now_ns += admission.taken * 10000 + admission.refused * ADMISSION_REFUSAL_NS;
        admission_turn(&admission, 0, false, now_ns);
    }
    assert_int_equal(admission.share, 2);
}

static void test_a_round_lasts_until_what_had_come_is_handled(void **state) {
    (void)state;
    fresh();
    admission_turn(&admission, 300, false, now_ns);
    uint32_t round = admission.round;
    admission_handled(&admission, 256);
    admission_turn(&admission, 900, false, now_ns + NS_PER_MS);
    assert_int_equal(admission.round, round);
    admission_handled(&admission, 256);
    /* The kernel has more: it is the same round, for a while. */
    admission_turn(&admission, 700, true, now_ns + 2 * NS_PER_MS);
    assert_int_equal(admission.round, round);
    assert_int_equal(admission.left, 700);
    admission_handled(&admission, 700);
    admission_turn(&admission, 700, true, now_ns + 2 * ADMISSION_ROUND_NS);
    assert_int_equal(admission.round, round + 1);
    admission_handled(&admission, 700);
    admission_turn(&admission, 1, false, now_ns + 2 * ADMISSION_ROUND_NS + NS_PER_MS);
    assert_int_equal(admission.round, round + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_or_a_stall_is_taken),
        cmocka_unit_test(test_many_that_cost_little_are_taken),
        cmocka_unit_test(test_what_is_taken_fits_a_round),
        cmocka_unit_test(test_it_is_over_when_none_was_refused),
        cmocka_unit_test(test_who_slept_is_not_behind),
        cmocka_unit_test(test_who_asks_little_is_taken),
        cmocka_unit_test(test_shares_are_for_as_many_as_ask),
        cmocka_unit_test(test_a_round_lasts_until_what_had_come_is_handled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
