/* Blocks from regions of our own: reuse, no overlap, and how they are given back. */
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
    assert_int_equal(cache.idle_count, KEEPS);
    take_many(&cache, 2, 512);
    block_cache_put(&cache, blocks[1], 512);
    void *block = block_cache_get(&cache, 512);
    if (KEEPS)
        assert_ptr_equal(block, last);
    block_cache_put(&cache, block, 512);
    block_cache_put(&cache, blocks[0], 512);
    /* An idle region serves another size; a large block is a matter of its own. */
    take_many(&cache, 7, 32768);
    assert_int_equal(cache.regions, KEEPS);
    put_many(&cache, 7, 32768);
    block = block_cache_get(&cache, 40000);
    assert_non_null(block);
    block_cache_put(&cache, block, 40000);
    assert_int_equal(cache.regions, KEEPS);
    block_cache_fini(&cache);
    assert_int_equal(cache.regions, 0);
}

/* Blocks of all sizes, in any order: none overlaps another, and all regions are idle at the end. */
static void test_blocks_do_not_overlap(void **state) {
    (void)state;
    struct block_cache cache = {0};
    static struct {
        unsigned char *at;
        size_t bytes;
        unsigned char mark;
    } held[2000];
    uint64_t random = 88172645463325252u;
    for (unsigned step = 0; step < 200000; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned i = (unsigned)(random % 2000);
        if (held[i].at != NULL) {
            assert_int_equal(held[i].at[0], held[i].mark);
            assert_int_equal(held[i].at[held[i].bytes - 1], held[i].mark);
            block_cache_put(&cache, held[i].at, held[i].bytes);
            held[i].at = NULL;
            continue;
        }
        held[i].bytes = (size_t)BLOCK_BYTES_MIN << (random >> 32) % BLOCK_SIZES;
        held[i].at = block_cache_get(&cache, held[i].bytes);
        assert_non_null(held[i].at);
        held[i].mark = (unsigned char)(random >> 48);
        held[i].at[0] = held[i].at[held[i].bytes - 1] = held[i].mark;
    }
    for (unsigned i = 0; i < 2000; i++)
        if (held[i].at != NULL)
            block_cache_put(&cache, held[i].at, held[i].bytes);
    assert_int_equal(cache.regions, cache.idle_count);
    block_cache_fini(&cache);
}

/* A burst is given back bit by bit, all but a few regions. */
static void test_a_burst_is_given_back(void **state) {
    (void)state;
    struct block_cache cache = {0};
    take_many(&cache, MANY, 1024);
    uint32_t regions = cache.regions;
    assert_false(block_cache_wants_trim(&cache));
    put_many(&cache, MANY, 1024);
    assert_int_equal(cache.idle_count, regions);
    for (unsigned trims = 0; block_cache_wants_trim(&cache); trims++) {
        assert_true(trims < MANY);
        uint32_t before = cache.regions;
        block_cache_trim(&cache);
        assert_true(before - cache.regions <= REGIONS_PER_TRIM && cache.regions < before);
    }
    assert_int_equal(cache.regions, KEEPS * REGIONS_IDLE);
    block_cache_fini(&cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_powers_of_two_up_to_a_bound),
        cmocka_unit_test(test_what_is_put_back_comes_again),
        cmocka_unit_test(test_blocks_do_not_overlap),
        cmocka_unit_test(test_a_burst_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
