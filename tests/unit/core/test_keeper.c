/* What keepers hand over again and again, on a whole engine of two workers. */
#include "tests/support/fake_http.h"

#define MANY 40
#define TOGETHER 24
#define SILENCE_NS (1 * NS_PER_S)

static struct peer *api, *till;

static int setup(void **state) {
    (void)state;
    fake_config.ack_silence_ns = SILENCE_NS;
    fake_config.drain_timeout_ns = NS_PER_S;
    http_node_open();
    api = api_connect();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    return 0;
}

static int setup_with_little_room(void **state) {
    fake_config.outbox_bytes = 4096;
    return setup(state);
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

/* `count` messages m0, m1, ... in one request. */
static void push(unsigned count) {
    static char batch[64 * 1024];
    struct builder out = builder_over(batch, sizeof batch - 1);
    for (unsigned i = 0; i < count; i++)
        builder_format(&out, "%s{\"to\":\"till\",\"ack\":true,\"id\":\"m%u\"}", i == 0 ? "[" : ",",
                       i);
    builder_text(&out, "]");
    batch[out.len] = '\0';
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/messages", batch))), 200);
}

/* Each of them was heard so often since the last time, in order, and said so. */
static void heard(struct peer *peer, unsigned count, unsigned copies, bool again) {
    char *text = peer_heard(peer), name[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "\"id\":\"m%u\"", i);
        assert_int_equal(times(text, name), copies);
    }
    assert_int_equal(times(text, "\"redelivered\":true"), again ? count * copies : 0);
    free(text);
}

static void ack(unsigned number) {
    char line[64];
    snprintf(line, sizeof line, "{\"type\":\"ack\",\"id\":\"m%u\"}\n", number);
    peer_say(till, line);
}

/* All that were handed over in one turn come again when their silence is over, not one of them. */
static void test_all_of_a_turn_come_again(void **state) {
    (void)state;
    free(peer_heard(till));
    push(MANY);
    heard(till, MANY, 1, false);
    for (unsigned round = 0; round < 4; round++) {
        node_pass(SILENCE_NS + 20 * NS_PER_MS);
        heard(till, MANY, 1, true);
    }
    ack(0);
    for (unsigned i = 2; i < MANY; i++)
        ack(i);
    node_pass(SILENCE_NS + 20 * NS_PER_MS);
    char *text = peer_heard(till);
    assert_int_equal(times(text, "\"id\":\"m1\""), 1);
    assert_int_equal(times(text, "\"type\":\"message\""), 1);
    free(text);
}

/* Other messages that come all the time do not hold them up, since they are read. */
static void test_beside_other_messages(void **state) {
    (void)state;
    free(peer_heard(till));
    push(3);
    heard(till, 3, 1, false);
    for (unsigned i = 0; i < 220; i++) {
        node_pass(10 * NS_PER_MS);
        assert_int_equal(status_of(ask(api, post("/v1/clients/till", "application/json", "1"))),
                         202);
        peer_stall(till, i % 2 == 0); /* every other one waits until the next has come */
    }
    peer_stall(till, false);
    char *text = peer_heard(till);
    for (unsigned i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "\"id\":\"m%u\"", i);
        assert_int_equal(times(text, name), 2);
    }
    free(text);
}

/* A client that has not taken the first copies gets no others behind them. */
static void test_not_behind_the_first_copy(void **state) {
    (void)state;
    free(peer_heard(till));
    peer_stall(till, true);
    push(MANY);
    node_pass(5 * SILENCE_NS);
    peer_stall(till, false);
    heard(till, MANY, 1, false);
    node_pass(SILENCE_NS + 20 * NS_PER_MS);
    heard(till, MANY, 1, true);
}

/* One that had no room for all gets the others, and all again. */
static void test_without_room_for_all(void **state) {
    (void)state;
    free(peer_heard(till));
    peer_stall(till, true);
    push(MANY);
    node_pass(2 * SILENCE_NS);
    peer_stall(till, false);
    node_pass(100 * NS_PER_MS);
    char *text = peer_heard(till);
    for (unsigned i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "\"id\":\"m%u\"", i);
        assert_true(times(text, name) >= 1);
    }
    free(text);
    node_pass(2 * SILENCE_NS);
    text = peer_heard(till);
    for (unsigned i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "\"id\":\"m%u\"", i);
        assert_true(times(text, name) >= 1);
    }
    free(text);
}

static uint64_t questions(void) {
    return stats_get(&fake_server.workers[0].stats.mails[MAIL_ATTEND]) +
           stats_get(&fake_server.workers[1].stats.mails[MAIL_ATTEND]);
}

/* Those that come at the same time have one question for all, and each gets everything. */
static void test_many_sessions_come_at_once(void **state) {
    (void)state;
    struct peer *peers[TOGETHER];
    push(MANY);
    ack(0);
    free(peer_heard(till));
    for (unsigned i = 0; i < TOGETHER; i++)
        peers[i] = peer_connect(i % 2, LISTENER_TCP);
    uint64_t before = questions();
    for (unsigned i = 0; i < TOGETHER; i++)
        peer_send(peers[i], "{\"type\":\"hello\",\"id\":\"till\"}\n");
    node_settle();
    /* The keeper's own worker asks without a mail. */
    assert_int_equal(questions() - before, 1);
    for (unsigned i = 0; i < TOGETHER; i++) {
        char *text = peer_heard(peers[i]), name[32];
        for (unsigned n = 0; n < MANY; n++) {
            snprintf(name, sizeof name, "\"id\":\"m%u\"", n);
            assert_int_equal(times(text, name), n != 0);
        }
        free(text);
    }
    assert_int_equal(till->out_len, 0);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_all_of_a_turn_come_again, setup),
        TEST(test_beside_other_messages, setup),
        TEST(test_not_behind_the_first_copy, setup),
        TEST(test_many_sessions_come_at_once, setup),
        TEST(test_without_room_for_all, setup_with_little_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
