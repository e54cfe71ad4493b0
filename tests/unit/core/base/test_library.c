/* A library that is loaded when it is needed: its functions, and what is said where it, or one of
 * them, is not there. */
#include "core/base/library.h"
#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int none_such(void);

static struct {
    LIBRARY_POINTER(abs)
    LIBRARY_POINTER(strlen)
    LIBRARY_POINTER(none_such)
} api;

static const struct library_call calls[] = {LIBRARY_CALL(api, abs) LIBRARY_CALL(api, strlen)
                                                LIBRARY_CALL(api, none_such)};

static char problem[200];

static bool load(const char *file, size_t call_count) {
    const struct library library = {
        .file = file,
        .need = "tests need a library",
        .remedy = "get it",
        .calls = calls,
        .call_count = call_count,
    };
    memset(&api, 0, sizeof(api));
    problem[0] = '\0';
    return library_load(&library, problem, sizeof(problem));
}

static void test_all_are_there(void **state) {
    (void)state;
    assert_true(load("libc.so.6", 2));
    assert_string_equal(problem, "");
    assert_int_equal(api.abs(-7), 7);
    assert_int_equal(api.strlen("four"), 4);
}

static void test_there_is_no_such_library(void **state) {
    (void)state;
    assert_false(load("libnone-such.so.9", 2));
    assert_non_null(strstr(problem, "tests need a library (libnone-such.so.9: "));
    assert_non_null(strstr(problem, "): get it"));
}

static void test_it_lacks_a_function(void **state) {
    (void)state;
    assert_false(load("libc.so.6", 3));
    assert_string_equal(problem, "libc.so.6 has no none_such: get it");
    assert_null(api.none_such);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_are_there),
        cmocka_unit_test(test_there_is_no_such_library),
        cmocka_unit_test(test_it_lacks_a_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
