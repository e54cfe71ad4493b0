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

/* What blocks leave behind is answered for until it is back with the system. */
static void test_the_ceiling_holds_for_what_bursts_leave(void **state) {
    (void)state;
    enum { BYTES = 60000, CEILING = 64000000 };
    static void *blocks[CEILING / BYTES + 1];
    struct budget budget;
    struct account a, b;
    budget_init(&budget, CEILING);
    account_init(&a, &budget);
    account_init(&b, &budget);
    unsigned count = 0;
    while ((blocks[count] = memory_get(&a, BYTES)) != NULL)
        count++;
    assert_true((uint64_t)count * BYTES > CEILING * UINT64_C(9) / 10);
    for (unsigned i = 0; i < count; i++)
        memory_put(&a, blocks[i], BYTES);
    assert_int_equal(a.used_bytes, 0);
    uint64_t warm = a.blocks.warm_bytes;
    assert_true(atomic_load(&budget.granted_bytes) + a.blocks.warm_max >= warm);
    /* Its own account turns what is left into blocks of other sizes. */
    void *large = memory_get(&a, CEILING / 2);
    assert_non_null(large);
    assert_true(a.blocks.resident_bytes <= CEILING + a.blocks.warm_max);
    memory_put(&a, large, CEILING / 2);
    /* Another has to wait until it was given back. */
    while (account_wants_release(&a))
        account_release(&a, TRIM_STEP_BYTES);
    assert_true(a.blocks.warm_bytes <= a.blocks.warm_max);
    large = memory_get(&b, CEILING * UINT64_C(9) / 10);
    assert_non_null(large);
    memory_put(&b, large, CEILING * UINT64_C(9) / 10);
    account_fini(&a);
    account_fini(&b);
}

static void test_a_block_grows_at_the_expense_of_the_difference(void **state) {
    (void)state;
    struct budget budget;
    struct account account;
    budget_init(&budget, 100000000);
    account_init(&account, &budget);
    size_t bytes = 1000;
    char *at = memory_grow(&account, NULL, 0, bytes);
    for (; bytes < 30000000; bytes *= 3) {
        at = memory_grow(&account, at, bytes, 3 * bytes);
        assert_non_null(at);
        assert_int_equal(account.used_bytes, 3 * bytes);
    }
    assert_null(memory_grow(&account, at, bytes, 200000000));
    assert_int_equal(account.used_bytes, bytes);
    memory_put(&account, at, bytes);
    assert_int_equal(account.used_bytes, 0);
    account_fini(&account);
}

/* What a start restores may go beyond, and what it leaves ends when enough is given back. */
static void test_a_start_may_go_beyond(void **state) {
    (void)state;
    struct budget budget;
    struct account port, worker;
    budget_init(&budget, 100000);
    account_init(&port, &budget);
    account_init(&worker, &budget);
    assert_true(account_take(&port, 99000));
    assert_false(account_take(&port, 10000));
    budget_restore(&budget);
    assert_true(account_take(&port, 10000));
    assert_true(account_admits(&port));
    assert_false(account_take(&port, 20000));
    uint64_t over = budget_restored(&budget);
    assert_true(over >= 9000 && over <= 25000);
    /* No message is taken, and all else goes on. */
    assert_false(account_admits(&worker));
    assert_true(account_take(&worker, 20000));
    assert_false(account_take(&worker, 10000));
    account_give(&worker, 20000);
    account_trim(&worker);
    assert_false(account_admits(&worker));
    account_give(&port, 20000);
    assert_true(account_admits(&worker));
    assert_false(account_take(&worker, 20000));
    account_give(&port, 89000);
    account_trim(&port);
    assert_int_equal(atomic_load(&budget.granted_bytes), 0);
    /* One that leaves no grant goes on in the same way, or nobody could make room. */
    uint64_t all = budget.ceiling_bytes / budget.grant_bytes * budget.grant_bytes;
    budget_restore(&budget);
    assert_true(account_take(&port, all));
    assert_int_equal(budget_restored(&budget), 0);
    assert_false(account_admits(&worker));
    assert_true(account_take(&worker, 1000));
    account_give(&worker, 1000);
    account_give(&port, all);
    account_trim(&worker);
    account_trim(&port);
    assert_true(account_admits(&worker));
    /* A start that stays below leaves nothing. */
    budget_restore(&budget);
    assert_int_equal(budget_restored(&budget), 0);
    assert_false(account_take(&worker, 110000));
}

static bool relieve_none(void *argument, struct account *account) {
    ++*(unsigned *)argument;
    account_give(account, 5000);
    return true;
}

/* While nothing is taken, what can be missed gives way. */
static void test_what_is_missed_gives_way_to_a_message(void **state) {
    (void)state;
    struct budget budget;
    struct account account;
    unsigned asked = 0;
    budget_init(&budget, 100000);
    account_init(&account, &budget);
    budget_restore(&budget);
    assert_true(account_take(&account, 110000));
    assert_true(budget_restored(&budget) != 0);
    budget.relieve = relieve_none;
    budget.relieve_argument = &asked;
    account.presses = true;
    while (!account_admits(&account))
        continue;
    assert_in_range(asked, 2, 4);
    account_give(&account, account.used_bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ceiling_holds),
        cmocka_unit_test(test_a_refusal_takes_nothing),
        cmocka_unit_test(test_the_ceiling_holds_for_what_bursts_leave),
        cmocka_unit_test(test_a_start_may_go_beyond),
        cmocka_unit_test(test_what_is_missed_gives_way_to_a_message),
        cmocka_unit_test(test_a_block_grows_at_the_expense_of_the_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
