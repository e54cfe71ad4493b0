/* The PROXY header, both versions: whole, cut at every byte, broken. */
#include "tests/support/cmocka_first.h"

#include "core/proxy.c"

static enum proxy_verdict parse(struct span bytes, size_t *used, char text[PEER_ADDRESS_TEXT_MAX]) {
    struct peer_address peer = {{0}, 0};
    const char *why = NULL;
    enum proxy_verdict verdict = proxy_parse(bytes, used, &peer, &why);
    if (verdict == PROXY_BAD)
        assert_non_null(why);
    net_peer_text(&peer, text);
    return verdict;
}

/* The header is followed by `rest`; every shorter piece must ask for more, and nothing past the
 * header may be touched. */
static void check_header(struct span header, enum proxy_verdict wanted, const char *address) {
    char text[PEER_ADDRESS_TEXT_MAX];
    size_t used = 0;
    for (size_t len = 0; len < header.len; len++) {
        char *copy = malloc(len + 1);
        memcpy(copy, header.at, len);
        assert_int_equal(parse(span_of(copy, len), &used, text), PROXY_MORE);
        free(copy);
    }
    char *whole = malloc(header.len + 4);
    memcpy(whole, header.at, header.len);
    memcpy(whole + header.len, "{\"t\"", 4);
    assert_int_equal(parse(span_of(whole, header.len + 4), &used, text), wanted);
    assert_int_equal(used, header.len);
    if (address != NULL)
        assert_string_equal(text, address);
    free(whole);
}

static void test_version_1(void **state) {
    (void)state;
    check_header(SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 4711 7000\r\n"), PROXY_NAMED,
                 "192.0.2.7:4711");
    check_header(SPAN("PROXY TCP6 2001:db8::1 2001:db8::2 65535 7000\r\n"), PROXY_NAMED,
                 "[2001:db8::1]:65535");
    check_header(SPAN("PROXY UNKNOWN\r\n"), PROXY_KEEP, NULL);
    check_header(SPAN("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), PROXY_KEEP, NULL);
}

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static void test_version_2(void **state) {
    (void)state;
    check_header(SPAN(V2 "\x21\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x1b\x58"), PROXY_NAMED,
                 "192.0.2.7:4711");
    check_header(SPAN(V2 "\x21\x21\0\x24"
                         "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                         "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\x12\x67\x1b\x58"),
                 PROXY_NAMED, "[2001:db8::1]:4711");
    check_header(SPAN(V2 "\x20\0\0\0"), PROXY_KEEP, NULL);
    /* Type-length-values behind the addresses are passed over. */
    check_header(SPAN(V2 "\x21\x11\0\x0f\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x1b\x58\4\0\0"),
                 PROXY_NAMED, "192.0.2.7:4711");
}

static void test_broken_ones(void **state) {
    (void)state;
    static const struct span broken[] = {
        SPAN_INIT("{\"type\":\"hello\"}\n"),
        SPAN_INIT("PROXI TCP4"),
        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 4711 7000 x\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 4711 70000\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 +711 7000\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.777 198.51.100.1 4711 7000\r\n"),
        SPAN_INIT("PROXY TCP4 2001:db8::1 198.51.100.1 4711 7000\r\n"),
        SPAN_INIT("PROXY TCP6 192.0.2.7 198.51.100.1 4711 7000\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 4711 7000\n"),
        SPAN_INIT("PROXY TCP4\0 192.0.2.7 198.51.100.1 4711 7000\r\n"),
        SPAN_INIT("PROXY UNKNOWN\0x 192.0.2.7 198.51.100.1 4711 7000\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.7\0x 198.51.100.1 4711 7000\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1\0 4711 7000\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 47\0 7000\r\n"),
        SPAN_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 4711 7000\0x\r\n"),
        SPAN_INIT("PROXY  TCP4 192.0.2.7 198.51.100.1 4711 7000\r\n"),
        SPAN_INIT(V2 "\x31\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x1b\x58"),
        SPAN_INIT(V2 "\x22\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x1b\x58"),
        SPAN_INIT(V2 "\x21\x12\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x1b\x58"),
        SPAN_INIT(V2 "\x21\x31\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x1b\x58"),
        SPAN_INIT(V2 "\x21\x11\0\x0b\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x1b"),
        SPAN_INIT(V2 "\x21\x11\xff\xff"),
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        size_t used;
        char text[PEER_ADDRESS_TEXT_MAX];
        assert_int_equal(parse(broken[i], &used, text), PROXY_BAD);
    }
    /* A line that does not end. */
    char endless[200];
    memset(endless, 'A', sizeof(endless));
    memcpy(endless, "PROXY TCP4 ", 11);
    size_t used;
    char text[PEER_ADDRESS_TEXT_MAX];
    assert_int_equal(parse(span_of(endless, 106), &used, text), PROXY_MORE);
    assert_int_equal(parse(span_of(endless, 107), &used, text), PROXY_BAD);
}

static void test_trusted_networks(void **state) {
    (void)state;
    static struct config config = {.proxy_count = 2};
    struct peer_address peer = {{0}, 0};
    peer_from_v4(&peer, "\xc0\0\2\7");
    memcpy(config.proxies[0].address, peer.bytes, 16);
    config.proxies[0].prefix_bits = 96 + 28;
    inet_pton(AF_INET6, "2001:db8::", config.proxies[1].address);
    config.proxies[1].prefix_bits = 32;
    assert_true(proxy_trusts(&config, &peer));
    peer.bytes[15] = 0x0f;
    assert_true(proxy_trusts(&config, &peer));
    peer.bytes[15] = 0x10;
    assert_false(proxy_trusts(&config, &peer));
    inet_pton(AF_INET6, "2001:db8:ffff::9", peer.bytes);
    assert_true(proxy_trusts(&config, &peer));
    inet_pton(AF_INET6, "2001:db9::9", peer.bytes);
    assert_false(proxy_trusts(&config, &peer));
    config.proxy_count = 0;
    assert_false(proxy_trusts(&config, &peer));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_broken_ones),
        cmocka_unit_test(test_trusted_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
