/* Blocks from regions of our own: reuse, no overlap, and how they are given back. */
#include "tests/support/cmocka_first.h"

#include "core/block_cache.c"

#ifdef __SANITIZE_ADDRESS__
#define KEEPS 0
#else
#define KEEPS 1
#endif

enum { MANY = 20000 };
static void *blocks[MANY];
static struct block_cache cache;

static void *get(size_t bytes) {
    bool fresh;
    void *at = block_cache_get(&cache, bytes, &fresh);
    assert_non_null(at);
    return at;
}

static void take_many(unsigned count, size_t bytes) {
    for (unsigned i = 0; i < count; i++)
        memset(blocks[i] = get(bytes), 'x', bytes);
}

static void put_many(unsigned from, unsigned count, unsigned step, size_t bytes) {
    for (unsigned i = from; i < count; i += step)
        block_cache_put(&cache, blocks[i], bytes);
}

static void test_sizes_cover_all_lengths(void **state) {
    (void)state;
    unsigned size = 0;
    for (size_t bytes = 1; bytes <= BLOCK_BYTES_MAX; bytes = size_bytes(size) + 1) {
        assert_true(bytes == 1 || size_of(bytes) > size);
        size = size_of(bytes);
        assert_true(size_bytes(size) >= bytes);
        assert_int_equal(size_of(size_bytes(size)), size);
        if (size_bytes(size) >= PAGE_BYTES)
            assert_int_equal(size_bytes(size) % PAGE_BYTES, 0);
        else /* no block more would find room in a page */
            assert_true(PAGE_BYTES / (size_bytes(size) + PARTS_ALIGN) <
                        PAGE_BYTES / size_bytes(size));
    }
    assert_int_equal(size, BLOCK_SIZES - 1);
    assert_int_equal(size_bytes(0), BLOCK_BYTES_MIN);
    assert_int_equal(size_bytes(size_of(144)), 144);
    assert_int_equal(size_bytes(size_of(257)), 272);
    assert_int_equal(size_bytes(size_of(1025)), 1360);
    assert_int_equal(size_bytes(size_of(PARTS_BYTES_MAX)), PARTS_BYTES_MAX);
    assert_int_equal(size_bytes(PAGE_SIZES), PAGE_BYTES);
    assert_int_equal(size_bytes(LARGE_FROM - 1), 16384);
    assert_int_equal(size_bytes(LARGE_FROM), 20480);
    assert_int_equal(size_bytes(BLOCK_SIZES - 1), BLOCK_BYTES_MAX);
    assert_int_equal(size_of(1), 0);
}

static void test_what_is_put_back_comes_again(void **state) {
    (void)state;
    cache = (struct block_cache){.warm_max = WARM_BYTES_MAX};
    take_many(2, 5000);
    void *last = blocks[1];
    put_many(0, 2, 1, 5000);
    assert_int_equal(cache.warm_bytes, KEEPS * 2 * 8192);
    take_many(2, 8192);
    assert_ptr_equal(KEEPS ? blocks[1] : last, last);
    assert_int_equal(cache.warm_bytes, 0);
    put_many(0, 2, 1, 8192);
    assert_int_equal(block_cache_kept(&cache), KEEPS * PAGE_BYTES); /* the head */
    /* What was not written to does not count. */
    bool fresh;
    void *block = block_cache_get(&cache, 100000, &fresh);
    assert_true(fresh);
    block_cache_unget(&cache, block, 100000, fresh);
    assert_int_equal(cache.warm_bytes, KEEPS * 2 * 8192);
    block_cache_fini(&cache);
    assert_int_equal(cache.resident_bytes, 0);
    assert_int_equal(cache.regions, 0);
}

/* Blocks of all sizes, in any order: none overlaps another, and the sums are right at the end. */
static void test_blocks_do_not_overlap(void **state) {
    (void)state;
    cache = (struct block_cache){.warm_max = WARM_BYTES_MAX};
    static struct {
        unsigned char *at;
        size_t bytes;
        unsigned char mark;
    } held[1000];
    uint64_t random = 88172645463325252u, used = 0;
    for (unsigned step = 0; step < (KEEPS ? 200000 : 2000); step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned i = (unsigned)(random % 1000);
        if (step % 50 == 0)
            block_cache_release(&cache, block_cache_due(&cache, step % 100 == 0));
        if (held[i].at != NULL) {
            assert_int_equal(held[i].at[0], held[i].mark);
            assert_int_equal(held[i].at[held[i].bytes - 1], held[i].mark);
            block_cache_put(&cache, held[i].at, held[i].bytes);
            used -= held[i].bytes;
            held[i].at = NULL;
            continue;
        }
        held[i].bytes = 1 + (random >> 40) % ((size_t)32 << (random >> 32) % 18);
        held[i].at = get(held[i].bytes);
        used += held[i].bytes;
        held[i].mark = (unsigned char)(random >> 48);
        held[i].at[0] = held[i].at[held[i].bytes - 1] = held[i].mark;
        assert_int_equal(cache.used_bytes, KEEPS * used);
        assert_true(cache.resident_bytes >= cache.used_bytes + cache.warm_bytes);
    }
    for (unsigned i = 0; i < 1000; i++)
        if (held[i].at != NULL)
            block_cache_put(&cache, held[i].at, held[i].bytes);
    assert_int_equal(cache.resident_bytes, cache.warm_bytes + (uint64_t)cache.regions * PAGE_BYTES);
    block_cache_fini(&cache);
    assert_int_equal(cache.resident_bytes, 0);
}

static void test_a_block_grows_with_what_is_in_it(void **state) {
    (void)state;
    cache = (struct block_cache){.warm_max = WARM_BYTES_MAX};
    size_t bytes = 256;
    unsigned char *at = get(bytes);
    memset(at, 7, bytes);
    for (; bytes < 32 * 1024 * 1024; bytes *= 2) {
        at = block_cache_grow(&cache, at, bytes, 2 * bytes);
        assert_non_null(at);
        assert_int_equal(at[0] + at[bytes / 2] + at[bytes - 1], 21);
        memset(at + bytes, 7, bytes);
        assert_int_equal(cache.used_bytes, KEEPS * 2 * bytes);
    }
    block_cache_put(&cache, at, bytes);
    at = get(40000);
    void *same = block_cache_grow(&cache, at, 40000, 40500);
    assert_ptr_equal(KEEPS ? same : at, at);
    block_cache_put(&cache, same, 40500);
    block_cache_fini(&cache);
}

/* Trims until nothing more is to go; returns how many there were. */
static unsigned trim_all(void) {
    unsigned trims = 0;
    for (; block_cache_wants_trim(&cache); trims++) {
        assert_true(trims < 10000);
        uint64_t before = cache.resident_bytes;
        block_cache_release(&cache, block_cache_due(&cache, false));
        assert_true(before - cache.resident_bytes <= TRIM_BYTES + BLOCK_BYTES_MAX + PAGE_BYTES);
    }
    return trims;
}

/* A burst is given back bit by bit, all but what stays warm, whatever its size. */
static void test_a_burst_is_given_back(void **state) {
    (void)state;
    static const size_t sizes[] = {64, 256, 2048, 8192, 65536, 300000, 3000000};
    cache = (struct block_cache){.warm_max = WARM_BYTES_MAX};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned count = sizes[i] < 8192 ? MANY : (unsigned)(64000000 / sizes[i]);
        take_many(count, sizes[i]);
        put_many(0, count, 1, sizes[i]);
        trim_all();
        assert_true(cache.warm_bytes <= WARM_BYTES_MAX);
        assert_true(block_cache_kept(&cache) <= 64 * PAGE_BYTES);
    }
    block_cache_fini(&cache);
    assert_int_equal(cache.regions, 0);
}

/* A few blocks that stay keep their own pages. */
static void test_survivors_keep_little(void **state) {
    (void)state;
    cache = (struct block_cache){.warm_max = 0};
    take_many(4000, 8000);
    put_many(0, 4000, 16, 8000); /* those are taken again, and stay */
    for (unsigned i = 0; i < 4000; i += 16)
        blocks[i] = get(8000);
    for (unsigned i = 0; i < 4000; i++)
        if (i % 16 != 0)
            block_cache_put(&cache, blocks[i], 8000);
    trim_all();
    assert_int_equal(cache.used_bytes, KEEPS * 250 * 8000);
    assert_true(cache.resident_bytes <= 250 * (8192 + PAGE_BYTES));
    put_many(0, 4000, 16, 8000);
    block_cache_fini(&cache);
}

/* What is used again and again is not given back, however much it is. */
static void test_what_is_needed_stays(void **state) {
    (void)state;
    cache = (struct block_cache){.warm_max = 100000};
    take_many(100, 65536);
    put_many(0, 100, 1, 65536);
    for (unsigned round = 0; round < 10 * LOOKS_UNUSED; round++) {
        take_many(60, 65536);
        put_many(0, 60, 1, 65536);
        block_cache_release(&cache, block_cache_due(&cache, false));
    }
    assert_true(!KEEPS || cache.warm_bytes >= 60 * 65536);
    assert_true(cache.warm_bytes <= 64 * 65536);
    block_cache_release(&cache, block_cache_due(&cache, true)); /* but others wait for it */
    assert_true(!KEEPS || cache.warm_bytes < 40 * 65536);
    block_cache_fini(&cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_cover_all_lengths),
        cmocka_unit_test(test_what_is_put_back_comes_again),
        cmocka_unit_test(test_blocks_do_not_overlap),
        cmocka_unit_test(test_a_block_grows_with_what_is_in_it),
        cmocka_unit_test(test_a_burst_is_given_back),
        cmocka_unit_test(test_survivors_keep_little),
        cmocka_unit_test(test_what_is_needed_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
