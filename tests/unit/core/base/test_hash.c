#include "core/base/hash.c"

#include "tests/support/cmocka_first.h"

/* The published vectors of SipHash-2-4: key 00..0f, message 00..n-1. */
static void test_vectors(void **state) {
    (void)state;
    unsigned char message[16];
    for (unsigned char i = 0; i < 16; i++)
        key[i] = message[i] = i;
    key_drawn = true;
    assert_true(hash64(span_of(NULL, 0)) == UINT64_C(0x726fdb47dd0e0e31));
    assert_true(hash64(span_of(message, 1)) == UINT64_C(0x74f839c593dc67fd));
    assert_true(hash64(span_of(message, 15)) == UINT64_C(0xa129ca6149be45e5));

    struct hash128 empty = hash128(span_of(NULL, 0));
    assert_true(empty.low == UINT64_C(0xe6a825ba047f81a3));
    assert_true(empty.high == UINT64_C(0x930255c71472f66d));
}

static void test_key_is_drawn(void **state) {
    (void)state;
    hash_init(NULL);
    uint64_t first = hash64(SPAN("till-7"));
    assert_true(first == hash64(SPAN("till-7")));
    assert_true(first != hash64(SPAN("till-8")));
    hash_init(NULL);
    assert_true(first != hash64(SPAN("till-7")));
}

static void test_128_bits_differ(void **state) {
    (void)state;
    struct hash128 a = hash128(SPAN("a")), b = hash128(SPAN("b"));
    assert_true(a.low != b.low);
    assert_true(a.high != b.high);
    assert_true(a.low != a.high);
}

/* Another program finds the same, as of BLAKE2b with 16 bytes. */
static void test_content(void **state) {
    (void)state;
    struct hash128 empty = hash_content(SPAN("")), abc = hash_content(SPAN("abc"));
    assert_true(empty.low == UINT64_C(0x40bdefd94169e6ca));
    assert_true(empty.high == UINT64_C(0x7076a68e75884d4e));
    assert_true(abc.low == UINT64_C(0x2b8d2bc691b74acf));
    assert_true(abc.high == UINT64_C(0x1678287502c90921));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_key_is_drawn),
        cmocka_unit_test(test_128_bits_differ),
        cmocka_unit_test(test_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
