/* Which of several servers has a channel: the same on every node, evenly, and with few that move
 * when a server comes. */
#include "ha/redis/spread.h"
#include "tests/support/cmocka_first.h"

#include <stdio.h>

enum { CHANNELS = 20000, SERVERS = 16 };

static uint64_t server(const char *url) {
    struct redis_url parsed;
    assert_null(redis_url_parse(span_text(url), &parsed));
    return spread_server(&parsed);
}

static uint64_t channel(unsigned number) {
    char name[40];
    int len = snprintf(name, sizeof(name), "ringpost:id:till-%u", number);
    return spread_channel(span_of(name, (size_t)len));
}

static unsigned best(const uint64_t *servers, unsigned count, uint64_t of) {
    unsigned chosen = 0;
    for (unsigned i = 1; i < count; i++)
        if (spread_score(servers[i], of) > spread_score(servers[chosen], of))
            chosen = i;
    return chosen;
}

static void servers_make(uint64_t *servers, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        char url[60];
        snprintf(url, sizeof(url), "redis://192.0.2.%u:6379", i + 1);
        servers[i] = server(url);
    }
}

static void test_what_a_server_is(void **state) {
    (void)state;
    uint64_t plain = server("redis://redis-1.example");
    assert_true(plain == server("redis://redis-1.example:6379"));
    assert_true(plain == server("redis://user:pw@Redis-1.Example:6379/3"));
    assert_true(plain != server("redis://redis-1.example:6380"));
    assert_true(plain != server("redis://redis-2.example"));
}

/* Nodes of all versions must agree. */
static void test_known_values(void **state) {
    (void)state;
    assert_true(server("redis://127.0.0.1:6379") == UINT64_C(0xC1EC05E6139A5E9B));
    assert_true(spread_channel(SPAN("ringpost:id:till-7")) == UINT64_C(0x15DFDD36DE3B24B1));
    assert_true(spread_score(UINT64_C(0xC1EC05E6139A5E9B), UINT64_C(0x15DFDD36DE3B24B1)) ==
                UINT64_C(0x1260C1660CD6AA62));
}

static void test_evenly(void **state) {
    (void)state;
    for (unsigned count = 2; count <= SERVERS; count++) {
        uint64_t servers[SERVERS];
        unsigned had[SERVERS] = {0};
        servers_make(servers, count);
        for (unsigned i = 0; i < CHANNELS; i++)
            had[best(servers, count, channel(i))]++;
        for (unsigned i = 0; i < count; i++)
            assert_in_range(had[i], CHANNELS / count * 85 / 100, CHANNELS / count * 115 / 100);
    }
}

static void test_few_move(void **state) {
    (void)state;
    for (unsigned count = 1; count < SERVERS; count++) {
        uint64_t servers[SERVERS];
        unsigned moved = 0;
        servers_make(servers, count + 1);
        for (unsigned i = 0; i < CHANNELS; i++) {
            unsigned before = best(servers, count, channel(i));
            unsigned after = best(servers, count + 1, channel(i));
            if (before == after)
                continue;
            moved++;
            assert_int_equal(after, count); /* to the one that came */
        }
        assert_in_range(moved, CHANNELS / (count + 1) * 85 / 100,
                        CHANNELS / (count + 1) * 115 / 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_server_is),
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_evenly),
        cmocka_unit_test(test_few_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
