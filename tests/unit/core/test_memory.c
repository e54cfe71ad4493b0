/* Accounts under one ceiling, and pools. */
#include "tests/support/cmocka_first.h"

#include "core/memory.c"

#include <string.h>

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

static void test_pool_objects_are_apart_and_come_again(void **state) {
    (void)state;
    struct pool pool;
    enum { COUNT = 5000 };
    static uint64_t *objects[COUNT];
    pool_init(&pool, 24);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < COUNT; i++) {
            objects[i] = pool_get(&pool);
            assert_non_null(objects[i]);
            assert_int_equal((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
            objects[i][0] = objects[i][1] = objects[i][2] = i;
        }
        assert_int_equal(pool.in_use, COUNT);
        for (uint64_t i = 0; i < COUNT; i++) {
            assert_int_equal(objects[i][0] + objects[i][1] + objects[i][2], 3 * i);
            pool_put(&pool, objects[i]);
        }
    }
    pool_fini(&pool);
}

/* All of it, but for a few blocks, in whatever order the objects come back. */
static void test_a_pool_gives_back_what_a_burst_took(void **state) {
    (void)state;
    struct pool pool;
    enum { COUNT = 60000 };
    static void *objects[COUNT];
    pool_init(&pool, 100);
    for (unsigned i = 0; i < COUNT; i++)
        objects[i] = pool_get(&pool);
    if (!PLAIN_POOLS)
        assert_int_equal(pool.blocks, (COUNT + pool.block_objects - 1) / pool.block_objects);
    for (unsigned i = 0; i < COUNT; i += 2)
        pool_put(&pool, objects[i]);
    for (unsigned i = 1; i < COUNT; i += 2)
        pool_put(&pool, objects[i]);
    assert_int_equal(pool.blocks, PLAIN_POOLS ? 0 : POOL_SPARE_BLOCKS);
    pool_fini(&pool);
}

/* A lazy one gives back when it is asked to, a block at a time, and uses what it has before. */
static void test_a_lazy_pool_gives_back_by_and_by(void **state) {
    (void)state;
    struct pool pool;
    enum { COUNT = 20000 };
    static void *objects[COUNT];
    pool_init(&pool, 100);
    pool.lazy = true;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < COUNT; i++)
            objects[i] = pool_get(&pool);
        uint64_t blocks = pool.blocks;
        for (unsigned i = 0; i < COUNT; i++)
            pool_put(&pool, objects[i]);
        assert_int_equal(pool.blocks, blocks);
    }
    while (pool_wants_trim(&pool)) {
        uint64_t blocks = pool.blocks;
        pool_trim(&pool);
        assert_int_equal(pool.blocks, blocks - 1);
    }
    assert_int_equal(pool.blocks, PLAIN_POOLS ? 0 : POOL_SPARE_BLOCKS);
    pool_trim(&pool);
    assert_int_equal(pool.blocks, PLAIN_POOLS ? 0 : POOL_SPARE_BLOCKS);
    pool_fini(&pool);
}

static void test_an_object_may_be_larger_than_a_block(void **state) {
    (void)state;
    struct pool pool;
    pool_init(&pool, 200000);
    char *first = pool_get(&pool), *second = pool_get(&pool);
    memset(first, 1, 200000);
    memset(second, 2, 200000);
    assert_int_equal(first[199999], 1);
    pool_put(&pool, first);
    pool_put(&pool, second);
    pool_fini(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ceiling_holds),
        cmocka_unit_test(test_a_refusal_takes_nothing),
        cmocka_unit_test(test_pool_objects_are_apart_and_come_again),
        cmocka_unit_test(test_a_pool_gives_back_what_a_burst_took),
        cmocka_unit_test(test_a_lazy_pool_gives_back_by_and_by),
        cmocka_unit_test(test_an_object_may_be_larger_than_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
