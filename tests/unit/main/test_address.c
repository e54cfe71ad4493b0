/* test_address.c - addresses and networks, well written and not. */
#include "main/address.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool parse(const char *text, struct listen_address *out) {
    /* A copy of the exact size, so that a byte read behind it is seen. */
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    char why[ADDRESS_WHY_MAX] = "";
    memcpy(copy, text, len);
    bool good = address_parse(span_of(copy, len), out, why);
    assert_true(good || why[0] != '\0');
    free(copy);
    return good;
}

static uint16_t port_of(const struct listen_address *address) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->address.ss_family == AF_INET) {
        memcpy(&v4, &address->address, sizeof(v4));
        return ntohs(v4.sin_port);
    }
    memcpy(&v6, &address->address, sizeof(v6));
    return ntohs(v6.sin6_port);
}

static void test_good(void **state) {
    static const struct {
        const char *text;
        int family;
        uint16_t port;
        bool loopback;
    } cases[] = {
        {"127.0.0.1:7000", AF_INET, 7000, true},
        {"0.0.0.0:0", AF_INET, 0, false},
        {"localhost:65535", AF_INET, 65535, true},
        {"[::1]:8081", AF_INET6, 8081, true},
        {"[::]:1", AF_INET6, 1, false},
        {"127.9.9.9:1", AF_INET, 1, true},
        {"[::ffff:127.0.0.1]:1", AF_INET6, 1, true},
        {"[::ffff:10.0.0.1]:1", AF_INET6, 1, false},
        {"128.0.0.1:1", AF_INET, 1, false},
    };
    (void)state;
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        struct listen_address address;
        assert_true(parse(cases[n].text, &address));
        assert_int_equal(address.address.ss_family, cases[n].family);
        assert_int_equal(port_of(&address), cases[n].port);
        assert_int_equal(address_is_loopback(&address.address), cases[n].loopback);
        assert_int_equal(address.address_len, cases[n].family == AF_INET
                                                  ? sizeof(struct sockaddr_in)
                                                  : sizeof(struct sockaddr_in6));
    }
}

static void test_bad(void **state) {
    static const char *const cases[] = {
        "",
        ":",
        "7000",
        ":7000",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:x",
        "1.2.3.4:+1",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:000001",
        "1.2.3:1",
        "1.2.3.4.5:1",
        "256.0.0.1:1",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1]:",
        "[::1:80",
        "[]:80",
        "[1.2.3.4]:80",
        "[::g]:80",
        "example.org:80",
        "1.2.3.4:80 ",
        " 1.2.3.4:80",
        "[::1]:80:1",
        "1.2.3.4:8 0",
        "[fe80::1%lo]:1",
        "a b:1",
    };
    (void)state;
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        struct listen_address address;
        if (parse(cases[n], &address))
            fail_msg("\"%s\" was taken", cases[n]);
    }
    struct listen_address address;
    char why[ADDRESS_WHY_MAX];
    assert_false(address_parse(span_of("127.0.0.1\0:80", 13), &address, why));
    assert_false(address_parse((struct span){NULL, 0}, &address, why));
}

static void test_split(void **state) {
    struct span host;
    uint16_t port;
    char why[ADDRESS_WHY_MAX];
    (void)state;
    assert_true(address_split(SPAN("node-1.example:81"), &host, &port, why));
    assert_true(span_equal(host, SPAN("node-1.example")));
    assert_int_equal(port, 81);
    assert_true(address_split(SPAN("[fe80::1%eth0]:81"), &host, &port, why));
    assert_true(span_equal(host, SPAN("fe80::1%eth0")));
    assert_true(address_split(SPAN(":81"), &host, &port, why));
    assert_int_equal(host.len, 0);

    char longest[ADDRESS_HOST_MAX + 8];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + ADDRESS_HOST_MAX, ":1", 2);
    assert_true(address_split(span_of(longest, ADDRESS_HOST_MAX + 2), &host, &port, why));
    memcpy(longest + ADDRESS_HOST_MAX, "a:1", 3);
    assert_false(address_split(span_of(longest, ADDRESS_HOST_MAX + 3), &host, &port, why));
}

static void test_overlaps(void **state) {
    struct listen_address a, b;
    (void)state;
    assert_true(parse("127.0.0.1:7000", &a) && parse("localhost:7000", &b));
    assert_true(address_overlaps(&a, &b));
    assert_true(parse("127.0.0.1:7001", &b));
    assert_false(address_overlaps(&a, &b));
    assert_true(parse("[::1]:7000", &b));
    assert_false(address_overlaps(&a, &b));
    assert_true(parse("[::1]:7000", &a));
    assert_true(address_overlaps(&a, &b));
    assert_true(parse("127.0.0.1:0", &a) && parse("127.0.0.1:0", &b));
    assert_false(address_overlaps(&a, &b)); /* two free ports are two */
    assert_true(parse("0.0.0.0:7000", &a) && parse("127.0.0.1:7000", &b));
    assert_true(address_overlaps(&a, &b) && address_overlaps(&b, &a));
    assert_true(parse("[::]:7000", &b));
    assert_false(address_overlaps(&a, &b));
    assert_true(address_leaves_v4(&b, &a));
    assert_false(address_leaves_v4(&a, &b));
    assert_true(parse("127.0.0.1:7001", &a));
    assert_false(address_leaves_v4(&b, &a));
    assert_true(parse("[::1]:7000", &a));
    assert_true(address_overlaps(&a, &b));
    assert_false(address_leaves_v4(&a, &b));
}

static void check_network(const char *text, const char *shown) {
    struct network network;
    char why[ADDRESS_WHY_MAX] = "", back[NETWORK_TEXT_MAX];
    bool good = network_parse(span_text(text), &network, why);
    if (good != (shown != NULL))
        fail_msg("\"%s\" %s", text, good ? "was taken" : why);
    if (!good) {
        assert_true(why[0] != '\0');
        return;
    }
    network_format(&network, back);
    assert_string_equal(back, shown);
    struct network again;
    assert_true(network_parse(span_text(back), &again, why));
    assert_memory_equal(&again, &network, sizeof(network));
}

static void test_networks(void **state) {
    (void)state;
    check_network("10.0.0.0/8", "10.0.0.0/8");
    check_network("10.1.2.3", "10.1.2.3/32");
    check_network("0.0.0.0/0", "0.0.0.0/0");
    check_network("192.168.1.128/25", "192.168.1.128/25");
    check_network("::/0", "::/0");
    check_network("2001:db8::/32", "2001:db8::/32");
    check_network("::1", "::1/128");
    check_network("::ffff:10.0.0.0/104", "10.0.0.0/8");
    const char *const bad[] = {"",           "/8",          "10.0.0.0/",      "10.0.0.0/33",
                               "10.0.0.1/8", "::1/129",     "2001:db8::1/32", "10.0.0.0/8/8",
                               "10.0.0/8",   "10.0.0.0/-1", "10.0.0.0/8 ",    "example.org",
                               "[::1]/128",  "10.0.0.0/x"};
    for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
        check_network(bad[n], NULL);

    struct network network;
    char why[ADDRESS_WHY_MAX];
    assert_true(network_parse(SPAN("10.0.0.0/8"), &network, why));
    static const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0};
    assert_memory_equal(network.address, mapped, 16);
    assert_int_equal(network.prefix_bits, 104);
}

/* Whatever is cut off or changed: no crash, and what is taken has a family. */
static void test_mangled(void **state) {
    static const char *const seeds[] = {"[2001:db8::1]:65535", "255.255.255.255:65535",
                                        "2001:db8::/32", "10.0.0.0/8"};
    (void)state;
    for (size_t n = 0; n < sizeof(seeds) / sizeof(seeds[0]); n++) {
        size_t len = strlen(seeds[n]);
        for (size_t cut = 0; cut <= len; cut++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                char *text = malloc(cut + 1);
                char why[ADDRESS_WHY_MAX];
                struct listen_address address = {0};
                struct network network;
                memcpy(text, seeds[n], cut);
                text[cut] = (char)byte;
                if (address_parse(span_of(text, cut + 1), &address, why))
                    assert_true(address.address_len != 0);
                if (network_parse(span_of(text, cut + 1), &network, why))
                    assert_true(network.prefix_bits <= 128);
                free(text);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),     cmocka_unit_test(test_bad),
        cmocka_unit_test(test_split),    cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_networks), cmocka_unit_test(test_mangled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
