#include <sodium.h>

/* libsodium's source is replaced, so that what rand_below does with it can be seen. */
static void randombytes_scripted(void *at, size_t len);
#define randombytes_buf randombytes_scripted
#include "core/base/rand.c"
#undef randombytes_buf

#include "tests/support/cmocka_first.h"

#include <string.h>

static uint64_t script[8];
static unsigned script_len, script_at;

static void randombytes_scripted(void *at, size_t len) {
    if (script_at == script_len) {
        randombytes_buf(at, len);
        return;
    }
    assert_int_equal(len, sizeof(uint64_t));
    memcpy(at, &script[script_at++], sizeof(uint64_t));
}

static void test_fills_everything(void **state) {
    (void)state;
    unsigned char seen[32] = {0}, bytes[34];
    memset(bytes, 0xA5, sizeof(bytes));
    for (int round = 0; round < 64; round++) {
        rand_fill(bytes + 1, 32);
        for (int i = 0; i < 32; i++)
            seen[i] |= bytes[1 + i];
    }
    assert_int_equal(bytes[0], 0xA5);
    assert_int_equal(bytes[33], 0xA5);
    for (int i = 0; i < 32; i++)
        assert_int_equal(seen[i], 0xFF); /* misses by chance once in 2^56 runs */
    assert_true(rand_u64() != rand_u64());
}

static void test_below_rejects_what_is_unfair(void **state) {
    (void)state;
    /* 2^64 mod 10 is 6: 0 to 5 would come up once too often. */
    script[0] = 0;
    script[1] = 5;
    script[2] = 6;
    script_len = 3;
    script_at = 0;
    assert_int_equal(rand_below(10), 6);
    assert_int_equal(script_at, 3);
    script[0] = UINT64_MAX;
    script_len = 1;
    script_at = 0;
    assert_int_equal(rand_below(10), 5); /* 18446744073709551615 */
}

static void test_below_covers(void **state) {
    (void)state;
    assert_int_equal(rand_below(1), 0);
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = rand_below(5);
        assert_true(value < 5);
        seen |= 1u << value;
    }
    assert_int_equal(seen, 31);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_everything),
        cmocka_unit_test(test_below_rejects_what_is_unfair),
        cmocka_unit_test(test_below_covers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
