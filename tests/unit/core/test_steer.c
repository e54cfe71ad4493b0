/* The hash of addresses: even, and the same as the kernel's program computes (that is proved end to
 * end). */
#include "tests/support/cmocka_first.h"

#include "core/steer.c"

static void check_even(unsigned workers, bool v6) {
    enum { ADDRESSES = 4096 };
    unsigned counts[64] = {0};
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct peer_address peer = {{0}, 1};
        if (v6) {
            memcpy(peer.bytes, "\x20\x01\x0d\xb8", 4);
            peer.bytes[14] = (uint8_t)(i >> 8);
            peer.bytes[15] = (uint8_t)i;
        } else {
            memset(peer.bytes + 10, 0xff, 2);
            memcpy(peer.bytes + 12, "\x0a\1", 2);
            peer.bytes[14] = (uint8_t)(i >> 8);
            peer.bytes[15] = (uint8_t)i;
        }
        counts[steer_worker(&peer, workers)]++;
    }
    for (unsigned i = 0; i < workers; i++) {
        assert_true(counts[i] > ADDRESSES / workers * 7 / 10);
        assert_true(counts[i] < ADDRESSES / workers * 13 / 10);
    }
}

static void test_spreads_evenly(void **state) {
    (void)state;
    static const unsigned workers[] = {1, 2, 3, 4, 7, 8, 16};
    for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
        check_even(workers[i], false);
        check_even(workers[i], true);
    }
}

static void test_the_port_does_not_count(void **state) {
    (void)state;
    struct peer_address a = {{0}, 1}, b = {{0}, 60000};
    a.bytes[15] = b.bytes[15] = 1;
    assert_int_equal(steer_hash(&a), steer_hash(&b));
}

static void test_text(void **state) {
    (void)state;
    char text[PEER_ADDRESS_TEXT_MAX];
    struct peer_address peer = {{0}, 4711};
    peer.bytes[15] = 1;
    net_peer_text(&peer, text);
    assert_string_equal(text, "[::1]:4711");
    memset(peer.bytes + 10, 0xff, 2);
    memcpy(peer.bytes + 12, "\x7f\0\0\1", 4);
    net_peer_text(&peer, text);
    assert_string_equal(text, "127.0.0.1:4711");
    peer.port = 0;
    net_peer_text(&peer, text);
    assert_string_equal(text, "127.0.0.1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spreads_evenly),
        cmocka_unit_test(test_the_port_does_not_count),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
