/* The load tool's histogram. */
#include "perf/load/bench_hist.c"

#include "tests/support/cmocka_first.h"

static struct bench_hist hist;

static void each_bucket_holds_what_it_says(void **state) {
    (void)state;
    for (unsigned i = 0; i + 1 < BENCH_HIST_BUCKETS; i++) {
        assert_int_equal(bucket_of(bucket_end(i)), i);
        assert_int_equal(bucket_of(bucket_end(i) + 1), i + 1);
    }
    assert_int_equal(bucket_of(UINT64_MAX), BENCH_HIST_BUCKETS - 1);
}

static void quantiles_are_close_and_never_low(void **state) {
    (void)state;
    bench_hist_clear(&hist);
    assert_int_equal(bench_hist_quantile(&hist, 0.5), 0);
    for (uint64_t i = 1; i <= 100000; i++)
        bench_hist_add(&hist, i * 1000);
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    for (unsigned i = 0; i < 4; i++) {
        double truth = quantiles[i] * 1e8;
        double said = (double)bench_hist_quantile(&hist, quantiles[i]);
        assert_true(said >= truth && said <= truth * 1.008);
    }
    assert_int_equal(bench_hist_quantile(&hist, 1), 100000000);
    assert_int_equal(hist.max_ns, 100000000);
}

static void one_value_is_all_quantiles(void **state) {
    (void)state;
    bench_hist_clear(&hist);
    bench_hist_add(&hist, 123456789);
    assert_int_equal(bench_hist_quantile(&hist, 0), 123456789);
    assert_int_equal(bench_hist_quantile(&hist, 0.5), 123456789);
    assert_int_equal(bench_hist_quantile(&hist, 1), 123456789);
}

static void merging_is_adding(void **state) {
    (void)state;
    static struct bench_hist other, both;
    bench_hist_clear(&hist);
    for (uint64_t i = 0; i < 1000; i++) {
        bench_hist_add(i % 2 ? &hist : &other, i * i * 77);
        bench_hist_add(&both, i * i * 77);
    }
    bench_hist_merge(&hist, &other);
    assert_memory_equal(&hist, &both, sizeof hist);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bucket_holds_what_it_says),
        cmocka_unit_test(quantiles_are_close_and_never_low),
        cmocka_unit_test(one_value_is_all_quantiles),
        cmocka_unit_test(merging_is_adding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
