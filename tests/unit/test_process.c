#include "tests/support/cmocka_first.h"

#include "ingest/process.c"

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sample)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
