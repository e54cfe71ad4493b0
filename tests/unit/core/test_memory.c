/* Accounts under one ceiling. */
#include "tests/support/cmocka_first.h"

#include "core/memory.c"

static void test_the_ceiling_holds(void **state) {
    (void)state;
    struct budget budget;
    struct account a, b;
    budget_init(&budget, 100000);
    account_init(&a, &budget);
    account_init(&b, &budget);
    size_t taken = 0;
    while (account_take(&a, 1000))
        taken += 1000;
    assert_true(taken <= 100000 && taken >= 98000);
    assert_false(account_take(&b, 2000));
    account_give(&a, taken / 2);
    assert_true(account_take(&b, taken / 4));
    account_give(&b, taken / 4);
    account_give(&a, taken - taken / 2);
    assert_int_equal(a.used_bytes, 0);
    /* What is kept in hand is a few grants. */
    assert_true(atomic_load(&budget.granted_bytes) <= 6 * budget.grant_bytes);
}

static void test_a_refusal_takes_nothing(void **state) {
    (void)state;
    struct budget budget;
    struct account account;
    budget_init(&budget, 1000);
    account_init(&account, &budget);
    assert_true(account_take(&account, 600));
    assert_false(account_take(&account, 600));
    assert_int_equal(account.used_bytes, 600);
    assert_true(account_take(&account, 300));
    account_force(&account, 5000);
    assert_int_equal(account.used_bytes, 5900);
    account_give(&account, 5900);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ceiling_holds),
        cmocka_unit_test(test_a_refusal_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
