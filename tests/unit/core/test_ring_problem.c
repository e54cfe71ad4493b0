/* What is said when there is no ring names what helps. */
#include "core/ring_problem.h"

#include "tests/support/cmocka_first.h"

#include <errno.h>
#include <string.h>

static void test_each_problem_names_a_remedy(void **state) {
    (void)state;
    static const struct {
        int error;
        const char *wanted;
    } rows[] = {
        {EPERM, "kernel.io_uring_disabled=0"},
        {ENOSYS, "kernel.io_uring_disabled=0"},
        {EINVAL, "use Linux 6.1 or newer"},
        {EMFILE, "Too many open files: raise LimitNOFILE (ulimit -n), or start fewer --workers"},
        {ENFILE, "raise sysctl fs.file-max"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char problem[512];
        assert_false(ring_refused(problem, sizeof problem, "io_uring_setup", rows[i].error));
        if (strstr(problem, rows[i].wanted) == NULL)
            fail_msg("%s: %s", strerror(rows[i].error), problem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_problem_names_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
