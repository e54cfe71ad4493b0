/* What the load tool says of a run: its faults, why a rate does not hold, what bounds its figures.
 */
#include "perf/load/bench_result.c"

#include <string.h>

#include "tests/support/cmocka_first.h"

static struct bench_result run;
static struct bench_report report;

/* A run of a thousand messages at a rate, without fault. */
static void fresh(void) {
    memset(&run, 0, sizeof run);
    memset(&report, 0, sizeof report);
    run.rate = 1000;
    run.fan = 1;
    run.offered_s = run.wall_s = 1;
    run.others = -1;
    run.pushed.sent = run.pushed.answered = run.pushed.accepted = run.seen.received = 1000;
}

static bool told(const char *key, const char *text) {
    for (uint32_t i = 0; i < report.count; i++)
        if (strcmp(report.rows[i].key, key) == 0 && strstr(report.rows[i].text, text) != NULL)
            return true;
    return false;
}

static void nothing_is_said_of_a_good_run(void **state) {
    (void)state;
    fresh();
    bench_result_judge(&run);
    bench_result_faults(&run, &report);
    tiredness_report(&run, &report);
    assert_true(run.held);
    assert_int_equal(report.faults + report.notes, 0);
}

static void no_answer_is_a_fault(void **state) {
    (void)state;
    char why[64];
    fresh();
    run.pushed.answered = run.pushed.accepted = run.seen.received = 997;
    bench_result_judge(&run);
    assert_false(run.held);
    bench_result_faults(&run, &report);
    assert_int_equal(report.faults, 1);
    assert_true(told("fault", "3 messages got no answer"));
    bench_result_why(&run, why, sizeof why);
    assert_string_equal(why, "no: 3 not answered");
}

/* What is always under way is no backlog; one that grows is. */
static void behind_may_not_grow(void **state) {
    (void)state;
    char why[64];
    fresh();
    run.fan = run.fan_most = 1;
    run.behind = 20 + 1;
    bench_result_judge(&run);
    assert_true(run.held);
    run.behind++;
    bench_result_judge(&run);
    assert_false(run.held);
    bench_result_why(&run, why, sizeof why);
    assert_string_equal(why, "no: behind by 22, over 21");
    run.behind_half = 150;
    run.behind = 150 + 10 + 2;
    bench_result_judge(&run);
    assert_true(run.held);
    run.behind++;
    bench_result_judge(&run);
    assert_false(run.held);
    /* One message to all is much, and cannot be half under way. */
    fresh();
    run.rate = 10;
    run.fan = run.fan_most = 1000;
    run.behind_half = 3000;
    run.behind = 5100;
    bench_result_judge(&run);
    assert_true(run.held);
    run.behind++;
    bench_result_judge(&run);
    assert_false(run.held);
}

static void what_is_late_is_a_note(void **state) {
    (void)state;
    fresh();
    run.seen.stale = 2;
    run.pushed.stale = 3;
    bench_result_judge(&run);
    bench_result_faults(&run, &report);
    assert_true(run.held);
    assert_int_equal(report.faults, 0);
    assert_true(told("note", "2 messages of an earlier run came late"));
    assert_true(told("note", "3 answers to an earlier run came late"));
}

static void others_make_the_figures_bounds(void **state) {
    (void)state;
    fresh();
    run.others = 0.14;
    tiredness_report(&run, &report);
    assert_int_equal(report.notes, 0);
    run.others = 0.15;
    tiredness_report(&run, &report);
    assert_int_equal(report.notes, 1);
    assert_true(told("note", "not a quiet machine: others used 15 % of a core; throughput is a "
                             "lower bound, latency an upper bound"));
}

static void a_schedule_that_slips_makes_them_bounds(void **state) {
    (void)state;
    fresh();
    for (int i = 0; i < 100; i++)
        bench_hist_add(&run.pushed.late, 2 * LATE_NS);
    tiredness_report(&run, &report);
    assert_int_equal(report.notes, 1);
    assert_true(told("note", "throughput is a lower bound, latency an upper bound"));
    report.notes = 0;
    run.rate = 0; /* as fast as it goes: there is no schedule */
    tiredness_report(&run, &report);
    assert_int_equal(report.notes, 0);
}

/* A node that has too much to do refuses, which is no fault; one that takes nothing is no node. */
static void refusals_are_a_fault_when_nothing_was_taken(void **state) {
    (void)state;
    fresh();
    run.pushed.accepted = run.seen.received = 1;
    run.pushed.refused = 999;
    bench_result_faults(&run, &report);
    assert_int_equal(report.faults, 0);
    run.pushed.accepted = run.seen.received = 0;
    run.pushed.refused = 1000;
    bench_result_faults(&run, &report);
    assert_int_equal(report.faults, 1);
    assert_true(told("fault", "1000 messages were refused, and none was taken"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_of_a_good_run),
        cmocka_unit_test(no_answer_is_a_fault),
        cmocka_unit_test(refusals_are_a_fault_when_nothing_was_taken),
        cmocka_unit_test(behind_may_not_grow),
        cmocka_unit_test(what_is_late_is_a_note),
        cmocka_unit_test(others_make_the_figures_bounds),
        cmocka_unit_test(a_schedule_that_slips_makes_them_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
