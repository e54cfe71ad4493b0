#define RINGPOST_FAULTS
#include "core/base/fault.c"

#include "tests/support/cmocka_first.h"

#include <string.h>

static void test_none_at_first(void **state) {
    (void)state;
    assert_int_equal(fault_active, FAULTS);
    assert_false(FAULT(MAIL_LOST));
    assert_int_equal(fault_hits, 0);
}

static void test_only_the_active_one_strikes(void **state) {
    (void)state;
    fault_active = FAULT_MAIL_LOST;
    fault_hits = 0;
    assert_true(FAULT(MAIL_LOST));
    assert_false(FAULT(MAIL_REORDER));
    assert_true(FAULT(MAIL_LOST));
    assert_int_equal(fault_hits, 2);
    fault_active = FAULTS;
    assert_false(FAULT(MAIL_LOST));
    assert_int_equal(fault_hits, 2);
}

static void test_every_fault_is_told_apart(void **state) {
    (void)state;
    static const char *const names[] = {
#define FAULT_NAME(name, what) #name,
        FAULT_LIST(FAULT_NAME)
#undef FAULT_NAME
    };
    assert_int_equal(sizeof(names) / sizeof(names[0]), FAULTS);
    for (size_t i = 0; i < FAULTS; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(names[i], names[j]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_at_first),
        cmocka_unit_test(test_only_the_active_one_strikes),
        cmocka_unit_test(test_every_fault_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
