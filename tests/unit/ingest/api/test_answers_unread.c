/* Answers that clients do not read: how much of them waits, and how they leave. */
#include "tests/support/fake_http.h"

#include "core/base/builder.h"

#define CLIENTS 8
#define PING "{\"type\":\"ping\"}\n"
#define ASKED 14000

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

static void test_few_wait_when_the_memory_is_full(void **state) {
    (void)state;
    begin();
    struct worker *worker = &fake_server.workers[0];
    struct peer *peer = peer_connect(0, LISTENER_TCP);
    peer_say(peer, "{\"type\":\"hello\"}\n");
    peer_stall(peer, true);
    account_force(&worker->account, fake_config.memory_bytes);
    uint64_t before = worker->account.used_bytes;
    ask_for_much(peer);
    assert_in_range(worker->account.used_bytes - before, 64 * 1024, 80 * 1024);
    account_give(&worker->account, fake_config.memory_bytes);
    peer_stall(peer, false);
    peer_end(peer);
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
        cmocka_unit_test(test_large_sends_leave_few_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
