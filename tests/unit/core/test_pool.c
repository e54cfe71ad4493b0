/* Pools: reuse, and what goes back to the system. */
#include "tests/support/cmocka_first.h"

#include "core/pool.c"

#include <string.h>

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
        cmocka_unit_test(test_pool_objects_are_apart_and_come_again),
        cmocka_unit_test(test_a_pool_gives_back_what_a_burst_took),
        cmocka_unit_test(test_a_lazy_pool_gives_back_by_and_by),
        cmocka_unit_test(test_an_object_may_be_larger_than_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
