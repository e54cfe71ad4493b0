/* Requests in flight: answered in their order, written when their last byte is taken. */
#include "perf/load/bench_flights.c"

#include "tests/support/cmocka_first.h"

static struct bench_flights flights;

static int open_flights(void **state) {
    (void)state;
    return bench_flights_open(&flights) ? 0 : -1;
}

static int close_flights(void **state) {
    (void)state;
    bench_flights_close(&flights);
    return 0;
}

static void push(uint64_t first, uint64_t ends) {
    const struct bench_flight flight = {.first = first, .ends = ends};
    assert_true(bench_flights_room(&flights, 0));
    bench_flights_push(&flights, &flight);
}

static void the_order_outlives_the_growth(void **state) {
    (void)state;
    struct bench_flight flight;
    uint64_t made = 0, taken = 0;
    for (int round = 0; round < 40; round++) { /* grows while it is not at its beginning */
        for (int i = 0; i < 100; i++, made++)
            push(made, made + 1);
        for (int i = 0; i < 50; i++) {
            assert_true(bench_flights_pop(&flights, &flight));
            assert_int_equal(flight.first, taken++);
        }
    }
    assert_int_equal(bench_flights_count(&flights), made - taken);
    while (bench_flights_pop(&flights, &flight))
        assert_int_equal(flight.first, taken++);
    assert_int_equal(taken, made);
}

static void a_limit_is_kept(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        push(i, i);
    assert_true(bench_flights_room(&flights, 4));
    assert_false(bench_flights_room(&flights, 3));
    for (uint64_t i = 3; i < BENCH_FLIGHTS_MAX; i++)
        push(i, i);
    assert_false(bench_flights_room(&flights, 0));
}

static void written_is_what_ended_in_the_bytes_taken(void **state) {
    (void)state;
    push(0, 100);
    push(1, 200);
    push(2, 300);
    assert_null(bench_flights_written(&flights, 99));
    assert_int_equal(bench_flights_written(&flights, 250)->first, 0);
    assert_int_equal(bench_flights_written(&flights, 250)->first, 1);
    assert_null(bench_flights_written(&flights, 250));
    assert_int_equal(bench_flights_written(&flights, 300)->first, 2);
    assert_null(bench_flights_written(&flights, 1000));
}

static void an_answer_may_come_before_the_end_is_written(void **state) {
    (void)state;
    struct bench_flight flight;
    push(0, 100);
    push(1, 200);
    assert_true(bench_flights_pop(&flights, &flight));
    assert_int_equal(bench_flights_written(&flights, 200)->first, 1);
    assert_true(bench_flights_pop(&flights, &flight));
    assert_false(bench_flights_pop(&flights, &flight));
    assert_null(bench_flights_written(&flights, 1000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_order_outlives_the_growth, open_flights, close_flights),
        cmocka_unit_test_setup_teardown(a_limit_is_kept, open_flights, close_flights),
        cmocka_unit_test_setup_teardown(written_is_what_ended_in_the_bytes_taken, open_flights,
                                        close_flights),
        cmocka_unit_test_setup_teardown(an_answer_may_come_before_the_end_is_written, open_flights,
                                        close_flights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
