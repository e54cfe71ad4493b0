/* Where channels are in a Redis Cluster: slots against values that others have computed, and maps
 * of every wrong kind. */
#include "ha/redis/slots.h"
#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>

static struct slots_map map;

static void test_crc16(void **state) {
    (void)state;
    assert_int_equal(slots_crc16(SPAN("123456789")), 0x31C3);
    assert_int_equal(slots_crc16(SPAN("")), 0);
    assert_int_equal(slots_of(SPAN("foo")), 12182);
    assert_int_equal(slots_of(SPAN("somekey")), 11058);
    assert_int_equal(slots_of(SPAN("")), 0);
}

static void test_tags(void **state) {
    static const struct {
        const char *channel, *counts;
    } cases[] = {
        {"{user1000}.following", "user1000"},
        {"ringpost:id:{a}b{c}", "a"},
        {"foo{{bar}}zap", "{bar"},
        {"foo{}{bar}", "foo{}{bar}"}, /* an empty one, and then all of it */
        {"foo{bar", "foo{bar"},
        {"foo}bar{", "foo}bar{"},
        {"{", "{"},
        {"}{x}", "x"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(slots_of(span_text(cases[i].channel)),
                         slots_crc16(span_text(cases[i].counts)) % SLOTS);
}

/* In memory of its exact size. */
static const char *read_it(const char *text) {
    size_t len = strlen(text);
    char *alone = malloc(len != 0 ? len : 1);
    assert_non_null(alone);
    memcpy(alone, text, len);
    const char *why = slots_read(span_of(alone, len), &map);
    free(alone);
    return why;
}

static void test_a_map(void **state) {
    (void)state;
    const char *why = read_it(
        "aa 127.0.0.1:7001@17001 myself,master - 0 1 3 connected 0-5460 [93->-bb]\n"
        "bb 127.0.0.1:7002@17002,host.example master - 0 1 7 connected 5461-10000 10002-10922\n"
        "dd 127.0.0.1:7004@17004 slave aa 0 1 3 connected\n"
        "cc ::1:7003@17003 master,fail - 0 1 2 disconnected 10001 10923-16383\n"
        "ee :0@0 master,noaddr - 0 1 0 disconnected\n");
    if (why != NULL)
        fail_msg("%s", why);
    assert_int_equal(map.count, 3);
    assert_true(map.epoch == 7);
    assert_string_equal(map.primaries[0].host, "127.0.0.1");
    assert_int_equal(map.primaries[1].port, 7002);
    assert_string_equal(map.primaries[2].host, "::1");
    assert_int_equal(map.primaries[2].port, 7003);
    assert_true(map.of[0] == 0 && map.of[93] == 0 && map.of[5460] == 0 && map.of[5461] == 1);
    assert_true(map.of[10000] == 1 && map.of[10001] == 2 && map.of[10002] == 1);
    assert_true(map.of[16383] == 2);
    /* One that does not know its own address; with the line ends of another system. */
    assert_null(read_it("aa :7001@17001 myself,master - 0 1 3 connected 0-16383\r\n"));
    assert_string_equal(map.primaries[0].host, "");
}

#define LINE(range) "aa 127.0.0.1:7001@17001 master - 0 1 3 connected " range "\n"

static void test_what_is_no_map(void **state) {
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "belong to nobody"},
        {"\n\n", "belong to nobody"},
        {"noise", "none of a node"},
        {"ERR x", "none of a node"},
        {LINE("0-16382"), "belong to nobody"},
        {LINE("1-16383"), "belong to nobody"},
        {LINE("[93->-bb]"), "belong to nobody"},
        {LINE("0-16384"), "a range"},
        {LINE("0-16383 x"), "a range"},
        {LINE("0-"), "a range"},
        {LINE("-1"), "a range"},
        {LINE("7-6"), "a range"},
        {LINE("0-99999999999999999999999999"), "a range"},
        {LINE("0--5"), "a range"},
        {LINE("0-16383 5"), "two nodes"},
        {LINE("0-16383") "bb 127.0.0.1:7002@1 master - 0 1 3 connected 9", "two nodes"},
        {LINE("0-9") "bb 127.0.0.1:7001@1 master - 0 1 3 connected 10-16383", "one address"},
        {"aa 127.0.0.1:7001@17001 slave bb 0 1 3 connected 0-16383", "no primary"},
        {"aa 127.0.0.1:7001@17001 masters - 0 1 3 connected 0-16383", "no primary"},
        {"aa 127.0.0.1:7001@17001 master - 0 1 x connected 0-16383", "none of a node"},
        {"aa 127.0.0.1:7001@17001 master - 0 1 -1 connected 0-16383", "none of a node"},
        {"aa 127.0.0.1@17001 master - 0 1 3 connected 0-16383", "no address"},
        {"aa 127.0.0.1:0@17001 master - 0 1 3 connected 0-16383", "no address"},
        {"aa 127.0.0.1:70000@17001 master - 0 1 3 connected 0-16383", "no address"},
        {"aa host.example:7001@17001 master - 0 1 3 connected 0-16383", "no address"},
        {"aa 1.2.3.4.5:7001@17001 master - 0 1 3 connected 0-16383", "no address"},
        {"aa 1111111111111111111111111111111111111111111111111111:1@1 master - 0 1 3 c 0-16383",
         "no address"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = read_it(cases[i].text);
        if (why == NULL || strstr(why, cases[i].why) == NULL)
            fail_msg("%s: %s", cases[i].text, why == NULL ? "is taken" : why);
    }
}

/* So many primaries, each with some slots. */
static const char *many(unsigned count) {
    static char text[64 * 1024];
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned first = i * 100, last = i + 1 == count ? SLOTS - 1 : first + 99;
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "n%u 192.0.2.1:%u@1 master - 0 1 %u connected %u-%u\n", i, 1000 + i,
                                i, first, last);
    }
    return read_it(text);
}

static void test_many_primaries(void **state) {
    (void)state;
    assert_null(many(SLOTS_PRIMARIES_MAX));
    assert_int_equal(map.count, SLOTS_PRIMARIES_MAX);
    assert_int_equal(map.of[SLOTS - 1], SLOTS_PRIMARIES_MAX - 1);
    assert_non_null(strstr(many(SLOTS_PRIMARIES_MAX + 1), "more than 128"));
}

/* Cut off anywhere, or with any byte changed, it is a map, or none; nothing else happens. */
static void test_broken_anywhere(void **state) {
    static const char whole[] = LINE("0-5460 [93->-bb]") "bb 127.0.0.1:7002@17002 "
                                                         "master - 0 1 7 connected 5461-16383\n";
    (void)state;
    char text[sizeof(whole)];
    for (size_t len = 0; len < sizeof(whole) - 2; len++) {
        memcpy(text, whole, len);
        text[len] = '\0';
        assert_non_null(read_it(text));
    }
    for (size_t at = 0; at < sizeof(whole) - 1; at++)
        for (const char *byte = " ,-09@:\n[x\xFF"; *byte != '\0'; byte++) {
            memcpy(text, whole, sizeof(whole));
            text[at] = *byte;
            if (read_it(text) != NULL)
                continue;
            assert_in_range(map.count, 1, 2);
            for (unsigned slot = 0; slot < SLOTS; slot++)
                assert_true(map.of[slot] < map.count);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc16),          cmocka_unit_test(test_tags),
        cmocka_unit_test(test_a_map),          cmocka_unit_test(test_what_is_no_map),
        cmocka_unit_test(test_many_primaries), cmocka_unit_test(test_broken_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
