#include "tests/support/cmocka_first.h"

#include "core/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

struct look {
    size_t stack_bytes;
    sigset_t blocked;
};

static void *look_around(void *argument) {
    struct look *look = argument;
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstacksize(&attributes, &look->stack_bytes);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_BLOCK, NULL, &look->blocked);
    return NULL;
}

static void test_stack_and_signals(void **state) {
    (void)state;
    struct look look = {0};
    pthread_t thread;
    sigset_t before, after;
    memset(&before, 0, sizeof(before)); /* the kernel fills in a part */
    memset(&after, 0, sizeof(after));
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(thread_start(&thread, look_around, &look), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    pthread_join(thread, NULL);
    assert_memory_equal(&after, &before, sizeof(after));
    assert_true(look.stack_bytes >= THREAD_STACK_BYTES);
    assert_true(look.stack_bytes < 2 * THREAD_STACK_BYTES);
    assert_int_equal(sigismember(&look.blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&look.blocked, SIGHUP), 1);
    assert_int_equal(sigismember(&look.blocked, SIGSEGV), 0);
    assert_int_equal(sigismember(&look.blocked, SIGSYS), 0);
}

/* The same errno for both. */
static void test_what_is_short(void **state) {
    (void)state;
    char problem[160];
    struct rlimit before, low;
    thread_problem(EAGAIN, problem, sizeof(problem));
    assert_non_null(strstr(problem, "TasksMax"));
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    low = before;
    low.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    thread_problem(EAGAIN, problem, sizeof(problem));
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_non_null(strstr(problem, "RLIMIT_AS"));
    assert_null(strstr(problem, "TasksMax"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stack_and_signals),
                                       cmocka_unit_test(test_what_is_short)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
