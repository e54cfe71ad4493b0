#include "tests/support/cmocka_first.h"

#include "ingest/api/process.c"

#include <fcntl.h>

static void test_sample(void **state) {
    (void)state;
    struct process_sample first, second;
    process_sample_get(&first, NS_PER_S, 0);
    assert_true(first.resident_bytes > 100000);
    assert_true(first.open_fds >= 3 && first.open_fds <= first.max_fds);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    /* A sample is kept for a while. */
    process_sample_get(&second, NS_PER_S + PROCESS_SAMPLE_NS - 1, 0);
    assert_int_equal(second.open_fds, first.open_fds);
    process_sample_get(&second, NS_PER_S + PROCESS_SAMPLE_NS, 1);
    assert_int_equal(second.open_fds, first.open_fds + 1);
    /* With many connections the rest is what it was when it was counted. */
    process_sample_get(&second, 10 * NS_PER_S, 5000);
    assert_int_equal(second.open_fds, first.open_fds + 5000);
    close(fd);
    process_sample_get(&second, 20 * NS_PER_S, 0);
    assert_int_equal(second.open_fds, first.open_fds);
    assert_true(second.cpu_s >= first.cpu_s);
}

static void test_no_descriptor(void **state) {
    (void)state;
    struct process_sample before, sample;
    struct rlimit limit, none;
    process_sample_get(&before, 30 * NS_PER_S, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    process_sample_get(&sample, 40 * NS_PER_S, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    /* All are in use, which is what an alert looks for. */
    assert_int_equal(sample.open_fds, sample.max_fds);
    assert_int_equal(sample.resident_bytes, before.resident_bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sample),
                                       cmocka_unit_test(test_no_descriptor)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
