#include "tests/support/cmocka_first.h"

#include "proto/web/eio/engine_sid.c"

static const struct sid whole = {
    .node = 0xABCD, .worker = 7, .slot = 0x123456, .random = {1, 2, 3, 4, 5, 6, 7, 8, 255}};

static void test_there_and_back(void **state) {
    (void)state;
    char text[SID_TEXT_BYTES];
    struct sid sid = {0};
    sid_write(&whole, text);
    assert_true(sid_read(span_of(text, sizeof text), &sid));
    assert_int_equal(sid.node, whole.node);
    assert_int_equal(sid.worker, whole.worker);
    assert_int_equal(sid.slot, whole.slot);
    assert_true(sid_random_same(sid.random, whole.random));
    for (unsigned i = 0; i < SID_RANDOM_BYTES; i++) {
        struct sid other = whole;
        other.random[i] ^= 1;
        assert_false(sid_random_same(other.random, whole.random));
    }
}

static void test_what_is_none(void **state) {
    (void)state;
    struct sid sid;
    char text[SID_TEXT_BYTES + 1];
    sid_write(&whole, text);
    text[SID_TEXT_BYTES] = 'A';
    assert_false(sid_read(span_of(text, SID_TEXT_BYTES - 1), &sid));
    assert_false(sid_read(span_of(text, SID_TEXT_BYTES + 1), &sid));
    assert_false(sid_read(SPAN(""), &sid));
    for (unsigned at = 0; at < SID_TEXT_BYTES; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char copy[SID_TEXT_BYTES], again[SID_TEXT_BYTES];
            memcpy(copy, text, sizeof copy);
            copy[at] = (char)byte;
            if (!sid_read(span_of(copy, sizeof copy), &sid))
                continue;
            sid_write(&sid, again);
            assert_memory_equal(copy, again, sizeof copy);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back),
                                       cmocka_unit_test(test_what_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
