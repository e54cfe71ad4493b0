/* Blocks kept for reuse: which, how many, and how long. */
#include "tests/support/cmocka_first.h"

#include "core/block_cache.c"

#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#define KEEPS 0
#else
#define KEEPS 1
#endif

enum { MANY = 10000 };
static void *blocks[MANY];

static void take_many(struct block_cache *cache, unsigned count, size_t bytes) {
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = block_cache_get(cache, bytes);
        assert_non_null(blocks[i]);
        memset(blocks[i], 'x', bytes);
    }
}

static void put_many(struct block_cache *cache, unsigned count, size_t bytes) {
    for (unsigned i = 0; i < count; i++)
        block_cache_put(cache, blocks[i], bytes);
}

static void test_sizes_are_powers_of_two_up_to_a_bound(void **state) {
    (void)state;
    assert_int_equal(block_bytes(1), 256);
    assert_int_equal(block_bytes(256), 256);
    assert_int_equal(block_bytes(257), 512);
    assert_int_equal(block_bytes(32768), 32768);
    assert_int_equal(block_bytes(32769), 32769);
}

static void test_what_is_put_back_comes_again(void **state) {
    (void)state;
    struct block_cache cache = {0};
    take_many(&cache, 2, 512);
    void *last = blocks[1];
    put_many(&cache, 2, 512);
    assert_int_equal(cache.kept, 2 * KEEPS);
    void *block = block_cache_get(&cache, 512);
    if (KEEPS)
        assert_ptr_equal(block, last);
    block_cache_put(&cache, block, 512);
    /* Another size does not get it, and a large one is never kept. */
    block = block_cache_get(&cache, 1024);
    assert_int_equal(cache.kept, 2 * KEEPS);
    block_cache_put(&cache, block, 1024);
    block = block_cache_get(&cache, 40000);
    block_cache_put(&cache, block, 40000);
    assert_int_equal(cache.kept, 3 * KEEPS);
    block_cache_fini(&cache);
    assert_int_equal(cache.kept, 0);
}

static void test_no_more_is_kept_than_the_bound(void **state) {
    (void)state;
    struct block_cache cache = {0};
    take_many(&cache, MANY, 256);
    put_many(&cache, MANY, 256);
    assert_int_equal(cache.kept, KEEPS * BLOCK_CACHE_BYTES_MAX / 256);
    block_cache_fini(&cache);
}

/* Only what lay there all the time between two trims is given back. */
static void test_a_trim_frees_what_was_not_needed(void **state) {
    (void)state;
    struct block_cache cache = {0};
    take_many(&cache, 1000, 256);
    put_many(&cache, 1000, 256);
    block_cache_trim(&cache); /* they were in use since the last one */
    assert_int_equal(cache.kept, 1000 * KEEPS);
    take_many(&cache, 100, 256);
    put_many(&cache, 100, 256);
    block_cache_trim(&cache);
    assert_int_equal(cache.kept, 100 * KEEPS);
    block_cache_trim(&cache);
    assert_int_equal(cache.kept, 0);
    block_cache_fini(&cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_powers_of_two_up_to_a_bound),
        cmocka_unit_test(test_what_is_put_back_comes_again),
        cmocka_unit_test(test_no_more_is_kept_than_the_bound),
        cmocka_unit_test(test_a_trim_frees_what_was_not_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
