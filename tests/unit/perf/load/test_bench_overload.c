/* What an overload's figures are made of: when it is over, what bounded the offer, the lone
 * producer.
 */
#include "perf/load/bench_overload.c"

#include "tests/support/cmocka_first.h"

static struct bench_report report;
static struct bench_result run;
static struct bench_tally seen;

static void fresh(void) {
    memset(&report, 0, sizeof report);
    memset(&run, 0, sizeof run);
    run.fan = run.offered_s = run.wall_s = 1;
}

static const struct bench_row *row(const char *key) {
    for (uint32_t i = 0; i < report.count; i++)
        if (strcmp(report.rows[i].key, key) == 0)
            return &report.rows[i];
    fail_msg("no row %s", key);
    return NULL;
}

/* All that was due came, `fan` copies of each message. */
static void all_slots(double rate, uint64_t fan) {
    memset(&seen, 0, sizeof seen);
    for (uint32_t i = 0; i < 20; i++)
        seen.slot_timed[i] = seen.slot_count[i] =
            (due_before(rate, i + 1) - due_before(rate, i)) * fan;
}

static void every_message_is_due_in_one_slot(void **state) {
    (void)state;
    for (double rate = 7; rate < 1e6; rate *= 1.7)
        for (uint32_t slot = 1; slot < 30; slot++) {
            uint64_t before = due_before(rate, slot);
            assert_true((uint64_t)((double)before * 1000.0 / rate) >= slot * 100);
            assert_true(before == 0 ||
                        (uint64_t)((double)(before - 1) * 1000.0 / rate) < slot * 100);
        }
}

static void over_when_every_later_slot_is_served(void **state) {
    (void)state;
    all_slots(1000, 1);
    assert_true(recovered_after_s(&seen, 1000, 1, 20) == 0);
    seen.slot_count[3]--; /* refused or lost */
    assert_true(recovered_after_s(&seen, 1000, 1, 20) == 0.4);
    seen.slot_slow[7] = 1; /* no more than 1 % */
    assert_true(recovered_after_s(&seen, 1000, 1, 20) == 0.4);
    seen.slot_slow[7] = 2;
    assert_true(recovered_after_s(&seen, 1000, 1, 20) == 0.8);
    seen.slot_count[19] = 0;
    assert_true(recovered_after_s(&seen, 1000, 1, 20) == -1);
}

static void each_member_has_its_copy(void **state) {
    (void)state;
    all_slots(50, 1500);
    assert_true(recovered_after_s(&seen, 50, 1500, 20) == 0);
    seen.slot_count[0]--;
    assert_true(recovered_after_s(&seen, 50, 1500, 20) == 0.1);
}

static void who_bounded_the_offer_is_told(void **state) {
    (void)state;
    const struct {
        double rate, sent, ran, waited;
        const char *by;
    } cases[] = {
        {3000, 3000, 0.95, 0.05, "as asked for"},
        {3000, 2000, 0.5, 0.45, "generator"},
        {3000, 2000, 0.95, 0, "generator"},
        {3000, 2000, 0.3, 0.3, "node"},
        {0, 2000, 0.3, 0.3, "closed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fresh();
        run.rate = cases[i].rate;
        run.pushed.sent = (uint64_t)cases[i].sent;
        run.own_producers = cases[i].ran;
        run.wait_producers = cases[i].waited;
        offered_report(&run, 1000, 3, &report);
        assert_string_equal(row("offered_by")->text, cases[i].by);
        assert_true(row("written_times")->value == cases[i].sent / 1000);
    }
}

static void goodput_is_of_what_was_accepted(void **state) {
    (void)state;
    fresh();
    run.fan = 10;
    run.copies.arrived = 8000;
    run.seen.received = 16000; /* each came twice */
    static const struct bench_share share;
    flood_report(&share, &run, 1000, &report);
    assert_true(row("goodput_per_s")->value == 800);
    assert_true(row("goodput_ratio")->value == 0.8);
}

static void a_refused_lone_producer_has_waited_all_the_time(void **state) {
    (void)state;
    fresh();
    run.offered_s = 60;
    run.lone.sent = 100;
    run.lone_copies.arrived = 100;
    for (int i = 0; i < 98; i++)
        bench_hist_add(&run.seen.lone, 1000000);
    run.lone_copies.arrived = 98;
    run.lone.refused = 2;
    lone_report(&run, &report);
    assert_true(row("lone_p50_us")->value < 1100);
    assert_true(row("lone_p99_us")->value > 59e6);
    assert_int_equal(report.notes, 1);
    fresh();
    run.lone.sent = run.lone_copies.arrived = 100;
    for (int i = 0; i < 100; i++)
        bench_hist_add(&run.seen.lone, 1000000);
    lone_report(&run, &report);
    assert_true(row("lone_p99_us")->value < 1100);
    assert_int_equal(report.notes, 0);
}

static void a_shape_fills_in_what_is_not_said(void **state) {
    (void)state;
    struct bench_options o = {.shape = "keepalive",
                              .inflight = BENCH_NOT_GIVEN,
                              .gather_us = BENCH_NOT_GIVEN,
                              .lone = -1,
                              .heartbeat_s = -1};
    enum bench_kind kind;
    assert_true(bench_overload_prepare(&o, &kind));
    assert_int_equal(kind, BENCH_UNICAST);
    assert_int_equal(o.producers, 4000);
    assert_int_equal(o.inflight, 1);
    assert_int_equal(o.send_buffer, 65536);
    assert_true(o.lone == 10);
    o = (struct bench_options){.inflight = 7, .producers = 3, .clients = 5};
    assert_true(bench_overload_prepare(&o, &kind));
    assert_int_equal(o.producers, 3);
    assert_int_equal(o.inflight, 7);
    assert_int_equal(o.clients, 5);
    assert_true(o.lone == 0 && o.heartbeat_s == 0);
    o.shape = "round";
    assert_false(bench_overload_prepare(&o, &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_due_in_one_slot),
        cmocka_unit_test(over_when_every_later_slot_is_served),
        cmocka_unit_test(each_member_has_its_copy),
        cmocka_unit_test(who_bounded_the_offer_is_told),
        cmocka_unit_test(goodput_is_of_what_was_accepted),
        cmocka_unit_test(a_refused_lone_producer_has_waited_all_the_time),
        cmocka_unit_test(a_shape_fills_in_what_is_not_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
