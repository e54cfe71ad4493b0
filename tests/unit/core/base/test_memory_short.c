#include "tests/support/cmocka_first.h"

#include "core/base/memory_short.h"

#include <string.h>
#include <sys/resource.h>

/* With the soft limit at what no process fits in; what is taken already stays. */
static void with_limit(unsigned which, const char *name, const char *remedy) {
    char text[MEMORY_LIMIT_TEXT_MAX];
    struct rlimit before, low;
    assert_int_equal(getrlimit(which, &before), 0);
    low = before;
    low.rlim_cur = 4096;
    assert_int_equal(setrlimit(which, &low), 0);
    bool hit = memory_limit_hit(0, text);
    assert_int_equal(setrlimit(which, &before), 0);
    assert_true(hit);
    assert_non_null(strstr(text, name));
    assert_non_null(strstr(text, "of 4096 bytes"));
    assert_non_null(strstr(text, remedy));
}

static void test_a_limit_is_named(void **state) {
    (void)state;
    with_limit(RLIMIT_AS, "RLIMIT_AS", "LimitAS");
    with_limit(RLIMIT_DATA, "RLIMIT_DATA", "LimitDATA");
}

static void test_no_limit_is_named(void **state) {
    (void)state;
    char text[MEMORY_LIMIT_TEXT_MAX];
    struct rlimit space, data;
    assert_int_equal(getrlimit(RLIMIT_AS, &space), 0);
    assert_int_equal(getrlimit(RLIMIT_DATA, &data), 0);
    if (space.rlim_cur != RLIM_INFINITY || data.rlim_cur != RLIM_INFINITY)
        skip();
    assert_false(memory_limit_hit(UINT64_MAX, text));
    assert_string_equal(text, "");
    memory_short(text);
    assert_null(strstr(text, "RLIMIT"));
    assert_non_null(strstr(text, "the machine (or container)"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_limit_is_named),
                                       cmocka_unit_test(test_no_limit_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
