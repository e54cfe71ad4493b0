/* Answers that clients do not read: how much of them waits, and how they leave. */
#include "tests/support/fake_http.h"

#include "core/base/builder.h"

#define CLIENTS 8
#define PING "{\"type\":\"ping\"}\n"
#define ASKED 14000
#define MANY 60

static void begin(void) {
    fake_config = (struct config){.workers = 1, .memory_bytes = 64 << 20};
    http_node_open();
}

/* More than 200 KiB of answers. */
static void ask_for_much(struct peer *peer) {
    static char text[sizeof(PING) * ASKED];
    struct builder out = builder_over(text, sizeof text);
    for (unsigned i = 0; i < ASKED; i++)
        builder_bytes(&out, PING, sizeof(PING) - 1);
    peer_send_bytes(peer, builder_span(&out));
    node_settle();
}

/* Nothing more can be had within --memory. */
static uint64_t fill(struct worker *worker) {
    account_force(&worker->account, fake_config.memory_bytes);
    uint64_t rest = worker->account.granted_bytes - worker->account.used_bytes;
    account_force(&worker->account, rest);
    return fake_config.memory_bytes + rest;
}

static void test_few_wait_when_the_memory_is_full(void **state) {
    (void)state;
    begin();
    struct worker *worker = &fake_server.workers[0];
    struct peer *peer = peer_connect(0, LISTENER_TCP);
    peer_say(peer, "{\"type\":\"hello\"}\n");
    peer_stall(peer, true);
    uint64_t filled = fill(worker), granted = worker->account.granted_bytes;
    ask_for_much(peer);
    assert_int_equal(worker->account.granted_bytes, granted);
    assert_in_range(worker->replies.beyond_bytes, 1, 5 * REPLY_FEW_BYTES);
    account_give(&worker->account, filled);
    peer_stall(peer, false);
    peer_end(peer);
    http_node_close();
}

/* In steps in which the worker does not count as having been away. */
static void pass_a_second(void) {
    for (unsigned i = 0; i < 100; i++)
        node_pass(10 * NS_PER_MS);
}

/* Whatever the number of those who do not read, who reads has room beyond --memory, and they make
 * way for it. */
static void test_many_take_no_more_than_there_is(void **state) {
    (void)state;
    begin();
    struct worker *worker = &fake_server.workers[0];
    const struct replies *replies = &worker->replies;
    struct peer *readers[MANY], *good = peer_connect(0, LISTENER_TCP);
    peer_say(good, "{\"type\":\"hello\"}\n");
    for (unsigned i = 0; i < MANY; i++) {
        readers[i] = peer_connect(0, i % 2 == 0 ? LISTENER_TCP : LISTENER_API);
        if (i % 2 == 0)
            peer_say(readers[i], "{\"type\":\"hello\"}\n");
        peer_stall(readers[i], true);
    }
    uint64_t filled = fill(worker), granted = worker->account.granted_bytes;
    for (unsigned i = 0; i < MANY; i++) {
        for (unsigned n = 0; n < 50; n++)
            peer_send(readers[i], i % 2 == 0 ? "{\"type\":\"join\",\"ref\":1}\n" : GET("/none"));
        node_settle();
        assert_true(replies->beyond_bytes <= REPLIES_BEYOND_BYTES);
        assert_int_equal(worker->account.granted_bytes, granted);
    }
    assert_true(replies_press(replies));
    free(peer_heard(good));
    peer_say(good, PING);
    assert_string_equal(good->out, "{\"type\":\"pong\"}\n");
    struct peer *asker = api_connect();
    assert_int_equal(status_of(ask(asker, GET("/healthz"))), 200);
    assert_int_equal(status_of(ask(asker, GET("/metrics"))), 200);
    pass_a_second();
    assert_true(stats_get(&worker->stats.unread_closed) != 0);
    assert_false(replies_press(replies));
    peer_say(good, PING);
    assert_false(good->ended);
    account_give(&worker->account, filled);
    http_node_close();
}

/* Who does not read what it asked for of the operator's reserve has one answer of it, and not for
 * long when others need it. */
static void test_the_reserve_is_shared(void **state) {
    (void)state;
    begin();
    struct worker *worker = &fake_server.workers[0];
    uint64_t filled = fill(worker);
    struct peer *readers[MANY], *asker = api_connect();
    for (unsigned i = 0; i < MANY; i++) {
        readers[i] = api_connect();
        peer_stall(readers[i], true);
        uint64_t before = quota_used(&fake_server.reserve);
        for (unsigned n = 0; n < 10; n++)
            peer_send(readers[i], GET("/metrics"));
        node_settle();
        assert_true(quota_used(&fake_server.reserve) - before < ANSWER_RESERVE_BYTES / 10);
        if (i < 2)
            assert_int_equal(status_of(ask(asker, GET("/metrics"))), 200);
    }
    pass_a_second();
    assert_int_equal(status_of(ask(asker, GET("/metrics"))), 200);
    assert_int_equal(status_of(ask(asker, GET("/v1/stats"))), 200);
    assert_true(quota_used(&fake_server.reserve) <= ANSWER_RESERVE_BYTES / 2);
    account_give(&worker->account, filled);
    http_node_close();
}

static void test_large_sends_leave_few_at_a_time(void **state) {
    (void)state;
    begin();
    struct peer *peers[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        peers[i] = peer_connect(0, LISTENER_TCP);
        peer_say(peers[i], "{\"type\":\"hello\"}\n");
        peer_stall(peers[i], true);
        peer_say(peers[i], PING); /* its answer is under way, all others wait */
        ask_for_much(peers[i]);
    }
    fake_started_bytes_max = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        peers[i]->stalled = false;
        peer_take(&fake_rings[0], peers[i]);
    }
    node_settle();
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_true(peers[i]->out_len > 200 * 1024);
    assert_in_range(fake_started_bytes_max, SENDS_BYTES_PER_SUBMIT,
                    SENDS_BYTES_PER_SUBMIT + SEND_BYTES_MAX);
    for (unsigned i = 0; i < CLIENTS; i++)
        peer_end(peers[i]);
    http_node_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_wait_when_the_memory_is_full),
        cmocka_unit_test(test_many_take_no_more_than_there_is),
        cmocka_unit_test(test_the_reserve_is_shared),
        cmocka_unit_test(test_large_sends_leave_few_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
