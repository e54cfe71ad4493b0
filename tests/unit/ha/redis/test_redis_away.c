/* The port to Redis on a whole node: how it is while Redis is away or silent, at each moment. */
#include "tests/support/redis_push.h"

#include "core/port_wait.h"

/* --- away ----------------------------------------------------------------------------------------
 */

static void test_away(void **state) {
    (void)state;
    struct peer *a = client(0, "a");
    redis_others = 1;
    lose();
    assert_non_null(strstr(ask(api, GET("/readyz")), "\"degraded\":[\"redis\"]"));
    assert_unavailable(push("{\"to\":\"x\"}"), false);
    const char *answer = push("{\"to\":\"a\"}");
    assert_int_equal(status_of(answer), 202);
    assert_non_null(strstr(answer, "\"recipients\":1,\"cluster\":\"unavailable\""));
    assert_non_null(strstr(push("{\"group\":\"x\"}"), "\"cluster\":\"unavailable\""));
    /* Whoever comes waits a second for it, from its loss on. */
    struct peer *b = hello(1, "b"), *again = hello(0, "a");
    node_settle();
    assert_int_equal(b->out_len + again->out_len, 0);
    fake_sockets.open_error = ECONNREFUSED;
    redis_pass(DOWN_HOLD_NS + 100 * NS_PER_MS);
    assert_non_null(strstr(b->out, "\"type\":\"welcome\""));
    assert_non_null(strstr(again->out, "\"type\":\"welcome\""));
    assert_non_null(strstr(hello(0, "c")->out, "\"type\":\"welcome\""));
    fake_sockets.open_error = 0;
    for (unsigned i = 0; i < 150 && !redis.up; i++)
        redis_pass(100 * NS_PER_MS);
    assert_true(redis.up);
    assert_null(atomic_load(&redis.port.degraded));
    assert_true(redis_channel("rp:id:a") != NULL && redis_channel("rp:id:b") != NULL &&
                redis_channel("rp:group:g") != NULL);
    assert_int_equal(redis_channel_count(), 6);
    assert_int_equal(FIGURE(names), 4);
    assert_int_equal(FIGURE(lost), 1);
    /* Others are still coming back. */
    redis_others = 0;
    assert_unavailable(push("{\"to\":\"x\"}"), false);
    redis_pass(UNSURE_NS);
    assert_int_equal(status_of(push("{\"to\":\"x\"}")), 404);
    assert_true(a->out_len != 0);
}

/* A session of a name that is known already waits for it to be subscribed again, too. */
static void test_known_names_after_a_loss(void **state) {
    (void)state;
    client(0, "a");
    lose();
    redis_tells[SUBSCRIBER] = false;
    for (unsigned i = 0; i < 8 && !redis.up; i++) {
        redis_pass(50 * NS_PER_MS);
        if (redis.shards[0]->subscriber.state == LINK_GREETING)
            redis_tell(SUBSCRIBER);
    }
    assert_true(redis.up);
    struct peer *again = hello(0, "a");
    redis_settle();
    assert_int_equal(again->out_len, 0);
    redis_tells[SUBSCRIBER] = true;
    redis_settle();
    assert_non_null(strstr(again->out, "\"type\":\"welcome\""));
}

/* A message is on its way: nobody knows whether it got there. */
static void test_lost_with_a_message(void **state) {
    (void)state;
    redis_runs[COMMANDS] = false;
    push_begin("{\"to\":\"x\"}");
    redis_settle();
    assert_int_equal(api->out_len, 0);
    lose();
    assert_unavailable(api->out, true);
    assert_int_equal(FIGURE(unavailable), 1);
    redis_runs[COMMANDS] = true;
    come_back();
    /* One copy of two is answered. */
    redis_others = 1;
    redis_runs[COMMANDS] = false;
    push_begin("{\"to\":[\"x\",\"y\"]}");
    redis_run(COMMANDS);
    redis_settle();
    assert_int_equal(api->out_len, 0);
    lose();
    assert_non_null(strstr(api->out, "\"recipients\":1,\"cluster\":\"unavailable\""));
    redis_runs[COMMANDS] = true;
    come_back();
    /* It is parked for the order. */
    redis_runs[SUBSCRIBER] = false;
    struct peer *a = hello(0, "a");
    push_begin("{\"to\":\"a\"}");
    redis_settle();
    assert_int_equal(api->out_len, 0);
    assert_false(list_empty(&redis.shards[0]->parked));
    lose();
    assert_non_null(strstr(api->out, "\"recipients\":1,\"cluster\":\"unavailable\""));
    redis_runs[SUBSCRIBER] = true;
    come_back();
    assert_non_null(strstr(a->out, "\"type\":\"welcome\""));
}

/* At each step of what Redis does and tells. */
static void test_lost_at_each_step(void **state) {
    (void)state;
    redis_others = 1;
    for (unsigned step = 0; step < 24; step++) {
        unsigned left = step;
        redis_runs[COMMANDS] = redis_runs[SUBSCRIBER] = false;
        redis_tells[COMMANDS] = redis_tells[SUBSCRIBER] = false;
        struct peer *a = hello(0, "a");
        push_begin("{\"to\":[\"a\",\"b\"]}");
        for (unsigned i = 0; i < 12 && left > 0; i++) {
            unsigned link = (i + step) % LINKS;
            left -= left > 0 && redis_run(link);
            if (left > 0 && redis_untold_len[link] != 0) {
                left--;
                redis_tell(link);
            }
            node_settle();
        }
        redis_link(step % LINKS)->error = step % 3 == 0 ? ECONNRESET : 0;
        redis_link(step % LINKS)->ended = step % 3 != 0;
        node_settle();
        assert_false(redis.up);
        assert_int_equal(status_of(api->out), 202);
        assert_int_equal(FIGURE(waiting), 0);
        peer_end(a);
        redis_runs[COMMANDS] = redis_runs[SUBSCRIBER] = true;
        redis_tells[COMMANDS] = redis_tells[SUBSCRIBER] = true;
        come_back();
        assert_int_equal(redis_channel_count(), 2);
        assert_int_equal(presence_count(fake_server.presence), 0);
    }
}

/* Redis says nothing any more: after a second nobody waits for it, after five it is lost. */
static void test_silent(void **state) {
    (void)state;
    redis_runs[COMMANDS] = false;
    push_begin("{\"to\":\"x\"}");
    redis_pass(PORT_ANSWER_NS + 100 * NS_PER_MS);
    assert_unavailable(api->out, true);
    assert_unavailable(push("{\"to\":\"x\"}"), false);
    assert_true(redis.up);
    redis_pass(LINK_SILENT_NS);
    assert_int_equal(FIGURE(lost), 1);
    redis_runs[COMMANDS] = true;
    come_back();
}

/* One of the two comes up, and is lost again before the other has. */
static void test_one_of_two(void **state) {
    (void)state;
    lose();
    redis_tells[SUBSCRIBER] = false;
    for (unsigned i = 0; i < 20 && !link_is_up(&redis.shards[0]->commands); i++)
        redis_pass(20 * NS_PER_MS);
    assert_true(link_is_up(&redis.shards[0]->commands) && !redis.up);
    redis_link(COMMANDS)->ended = true;
    node_settle();
    assert_false(link_is_up(&redis.shards[0]->commands));
    redis_tells[SUBSCRIBER] = true;
    come_back();
}

/* A node that ends does not come back to Redis: others would count it again. Nor does it turn
 * without a rest. */
static void test_away_while_it_ends(void **state) {
    (void)state;
    client(0, "a");
    lose();
    assert_true(redis.port.type->refuse(&redis.port));
    unsigned opened = fake_sockets.opened;
    redis_pass(2 * LINK_AWAY_MAX_NS);
    assert_false(redis.up);
    assert_int_equal(fake_sockets.opened, opened);
    redis.port.type->wait(&redis.port, 1, NS_PER_S);
    assert_int_equal(fake_sockets.waited_ns, NS_PER_S);
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_away),
        ONE(test_known_names_after_a_loss),
        ONE(test_lost_with_a_message),
        ONE(test_lost_at_each_step),
        ONE(test_silent),
        ONE(test_one_of_two),
        ONE(test_away_while_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
