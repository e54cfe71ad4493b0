/* Whose request a proxy hands on, by X-Forwarded-For read from its end. */
#include "tests/support/cmocka_first.h"

#include "proto/http/forwarded.c"

static struct config config;
static struct http_request request;

static void expect(const char *first, const char *second, const char *want) {
    char text[PEER_ADDRESS_TEXT_MAX];
    struct peer_address peer = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}, 80};
    request.fields.count = 1;
    request.fields.list[0] = (struct http_field){SPAN("Host"), SPAN("a")};
    const char *const values[] = {first, second};
    for (unsigned i = 0; i < 2; i++)
        if (values[i] != NULL)
            request.fields.list[request.fields.count++] =
                (struct http_field){SPAN("x-Forwarded-For"), span_text(values[i])};
    forwarded_peer(&config, &request, &peer);
    net_peer_text(&peer, text);
    assert_string_equal(text, want);
}

static void test_fields(void **state) {
    (void)state;
    /* 10.0.0.0/8 and 2001:db8:1::/48 are the proxies. */
    config.forwarders[0] =
        (struct network){{[10] = 0xff, [11] = 0xff, [12] = 10}, .prefix_bits = 104};
    config.forwarders[1] = (struct network){{0x20, 0x01, 0x0d, 0xb8, 0, 1}, .prefix_bits = 48};
    config.forwarder_count = 2;
    static const char own[] = "10.0.0.1:80";
    expect(NULL, NULL, own);
    expect("", NULL, own);
    expect("192.0.2.7", NULL, "192.0.2.7");
    expect("192.0.2.7:4711", NULL, "192.0.2.7");
    expect("2001:db8::7", NULL, "[2001:db8::7]");
    expect("[2001:db8::7]:80", NULL, "[2001:db8::7]");
    expect("203.0.113.1, 192.0.2.7", NULL, "192.0.2.7"); /* what is before it, anybody can write */
    expect("192.0.2.7, 10.1.2.3,2001:db8:1::5", NULL, "192.0.2.7");
    expect("203.0.113.1", "192.0.2.7", "192.0.2.7");
    expect("192.0.2.7", "10.9.9.9", "192.0.2.7");
    expect("10.9.9.9", NULL, own);
    /* What is no address ends the search: nobody trusted said it of anybody. */
    expect("192.0.2.7, unknown", NULL, own);
    expect("192.0.2.7, ", NULL, own);
    expect("192.0.2.7,,10.0.0.2", NULL, own);
    expect("192.0.2.999", NULL, own);
    expect("[192.0.2.7]", NULL, own);
    expect("[2001:db8::7", NULL, own);
    expect("1111111111111111111111111111111111111111111111111111", NULL, own);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
