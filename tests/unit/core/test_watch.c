/* Both ends of a time in which the node turns things away are told, once each. */
#include "core/watch.c"

#include "tests/support/cmocka_first.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static struct stats total;
static struct watch watch;
static int reading, stderr_before;

static const char *look(uint64_t second) {
    static char heard[8192];
    watch_look(&watch, &total, second * NS_PER_S);
    ssize_t got = read(reading, heard, sizeof heard - 1);
    heard[got > 0 ? got : 0] = '\0';
    return heard;
}

static int capture(void **state) {
    (void)state;
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0)
        return -1;
    stderr_before = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reading = ends[0];
    total = (struct stats){0};
    watch = (struct watch){0};
    return 0;
}

static int release(void **state) {
    (void)state;
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(reading);
    return 0;
}

static void test_both_ends(void **state) {
    (void)state;
    assert_string_equal(look(1), "");
    stats_add(&total.memory_refused, 3);
    assert_non_null(strstr(look(2), "level=warn event=refusing cause=memory "));
    stats_add(&total.memory_refused, 4);
    assert_string_equal(look(3), "");
    assert_non_null(
        strstr(look(5), "level=info event=refusing_over cause=memory refused=7 seconds=3\n"));
    assert_string_equal(look(6), "");
    stats_add(&total.memory_refused, 1);
    assert_non_null(strstr(look(7), "event=refusing cause=memory "));
    assert_non_null(strstr(look(8), "refused=1 seconds=1\n"));
}

/* Where a limit of the process is in the way, that is what is said. */
static void test_a_limit_of_the_process(void **state) {
    (void)state;
    struct rlimit before, little;
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    little = before;
    little.rlim_cur = 1 << 20;
    stats_add(&total.memory_refused, 1);
    assert_int_equal(setrlimit(RLIMIT_DATA, &little), 0);
    const char *heard = look(1);
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    assert_non_null(
        strstr(heard, "event=refusing cause=memory meaning=\"the process gets no more"));
    assert_non_null(strstr(heard, "remedy=\"RLIMIT_DATA of 1048576 bytes has no room for it: raise "
                                  "LimitDATA (ulimit -d)\""));
    assert_null(strstr(heard, "has reached --memory"));
}

static void test_every_cause(void **state) {
    (void)state;
    const struct {
        const char *word;
        _Atomic uint64_t *one, *two; /* the counters of that cause */
    } cases[] = {
        {"overload", &total.behind_refused, NULL},
        {"queues", &total.requests_refused, &total.mail_refused},
        {"memory", &total.memory_refused, &total.refused[REFUSE_MEMORY]},
        {"answers", &total.answers_refused, NULL},
        {"connections", &total.refused[REFUSE_CONNECTIONS], NULL},
        {"address", &total.refused[REFUSE_ADDRESS], NULL},
        {"descriptors", &total.refused[REFUSE_DESCRIPTORS], &total.accept_errors},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "event=refusing cause=%s ", cases[i].word);
        stats_add(cases[i].one, 1);
        assert_non_null(strstr(look(3 * i + 10), wanted));
        if (cases[i].two != NULL)
            stats_add(cases[i].two, 1);
        look(3 * i + 11);
        snprintf(wanted, sizeof wanted, " refused=%d ", cases[i].two != NULL ? 2 : 1);
        assert_true(watch.spells[i].began_ns == 0 || strstr(look(3 * i + 12), wanted) != NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ends, capture, release),
        cmocka_unit_test_setup_teardown(test_a_limit_of_the_process, capture, release),
        cmocka_unit_test_setup_teardown(test_every_cause, capture, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
