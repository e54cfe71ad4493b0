/* Waits on a whole engine of two workers: how each kind ends, in a drain too, and that sessions
 * which one concerns stay until it has. */
#include "tests/support/fake_http.h"

#include "tests/toys/toy_wait.h"

static struct peer *api, *till, *other;
static struct worker *worker;
static struct toy_wait first, second;

#define LONG_NS (30 * NS_PER_S)

static int setup(void **state) {
    (void)state;
    fake_config.drain_timeout_ns = 10 * NS_PER_S;
    http_node_open();
    worker = &fake_server.workers[1];
    api = api_connect();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    other = client_connect(1, "{\"type\":\"hello\",\"id\":\"other\"}\n");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_false(first.open || second.open);
    assert_int_equal(worker->waits.count, 0);
    assert_int_equal(worker->waits.concern_count, 0);
    http_node_close();
    return 0;
}

/* The connection of the first client that came. */
static struct connection *connection_of_till(void) {
    for (uint32_t i = 1; i < CONNECTION_BLOCK; i++) {
        struct connection *connection = slot_at(worker, i);
        if (connection->state == CONNECTION_OPEN)
            return connection;
    }
    fail_msg("there is none");
    return NULL;
}

/* The drain goes on for so long. */
static void drain_for(uint64_t ns) {
    for (uint64_t end_ns = fake_now_ns + ns; fake_now_ns < end_ns;) {
        server_step(&fake_server);
        fake_now_ns += 20 * NS_PER_MS;
        node_settle();
    }
}

static bool goodbye(const struct peer *peer) {
    return strstr(peer->out, "\"goodbye\"") != NULL && peer->ended;
}

static void test_a_time_is_over(void **state) {
    (void)state;
    assert_true(toy_wait_begin(worker, &first, true, NS_PER_S, NULL));
    assert_true(toy_wait_begin(worker, &second, true, 2 * NS_PER_S, NULL));
    assert_int_equal(stats_get(&worker->stats.waits), 2);
    assert_int_equal(worker->publishing + worker->requests, 0);
    node_pass(NS_PER_S + 100 * NS_PER_MS);
    assert_int_equal(first.deadlines, 1);
    assert_int_equal(second.deadlines, 0);
    toy_wait_acknowledge(worker, &second);
    node_pass(2 * NS_PER_S);
    assert_int_equal(second.deadlines, 0);
    assert_int_equal(first.drains + second.drains, 0);
    assert_int_equal(stats_get(&worker->stats.waits), 0);
}

static void test_too_many(void **state) {
    (void)state;
    worker->waits.max = 1;
    assert_true(toy_wait_begin(worker, &first, true, NS_PER_S, NULL));
    assert_false(toy_wait_begin(worker, &second, true, NS_PER_S, NULL));
    assert_int_equal(stats_get(&worker->stats.waits_refused), 1);
    toy_wait_acknowledge(worker, &first);
    /* A concern that finds no place keeps nobody. */
    worker->waits.concern_max = 0;
    assert_true(toy_wait_begin(worker, &first, true, NS_PER_S, connection_of_till()));
    assert_false(first.concerned);
    assert_int_equal(stats_get(&worker->stats.waits_refused), 2);
    toy_wait_acknowledge(worker, &first);
}

/* One ends at once; the other, and the session that it concerns, stay, nobody else. */
static void test_a_drain(void **state) {
    (void)state;
    toy_wait_begin(worker, &first, false, LONG_NS, NULL);
    toy_wait_begin(worker, &second, true, LONG_NS, connection_of_till());
    server_drain(&fake_server);
    drain_for(NS_PER_S);
    assert_false(first.open);
    assert_int_equal(first.drains, 1);
    assert_int_equal(first.deadlines, 0);
    assert_true(second.open);
    assert_int_equal(server_phase(&fake_server), PHASE_GOODBYE);
    assert_true(goodbye(other));
    assert_false(goodbye(till));
    /* Pushes are refused, but the producer has its connection. */
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\"}"))), 503);
    drain_for(NS_PER_S);
    assert_int_equal(second.drains, 1);
    toy_wait_acknowledge(worker, &second);
    node_settle();
    assert_true(goodbye(till));
}

/* One that begins when the drain has begun is told, too. */
static void test_a_late_one_is_told(void **state) {
    (void)state;
    toy_wait_begin(worker, &second, true, LONG_NS, NULL);
    server_drain(&fake_server);
    drain_for(NS_PER_S);
    assert_true(toy_wait_begin(worker, &first, false, LONG_NS, NULL));
    node_settle();
    assert_int_equal(first.drains, 1);
    assert_false(first.open);
    toy_wait_acknowledge(worker, &second);
}

/* Its own time ends one that stays. */
static void test_its_time_is_over_in_a_drain(void **state) {
    (void)state;
    toy_wait_begin(worker, &second, true, 3 * NS_PER_S, connection_of_till());
    server_drain(&fake_server);
    drain_for(2 * NS_PER_S);
    assert_false(goodbye(till));
    drain_for(2 * NS_PER_S);
    assert_int_equal(second.deadlines, 1);
    assert_true(goodbye(till));
}

/* --drain-timeout ends what is left, and sessions that stayed for it. */
static void test_the_drain_is_over(void **state) {
    (void)state;
    toy_wait_begin(worker, &first, true, LONG_NS, NULL);
    toy_wait_begin(worker, &second, true, LONG_NS, connection_of_till());
    server_drain(&fake_server);
    drain_for(9 * NS_PER_S);
    assert_true(first.open && second.open);
    drain_for(2 * NS_PER_S);
    assert_int_equal(first.deadlines, 1);
    assert_int_equal(second.deadlines, 1);
    assert_true(goodbye(till));
    /* It is too late for others. */
    assert_false(toy_wait_begin(worker, &first, true, LONG_NS, NULL));
}

/* A session that leaves by itself is not waited for. */
static void test_a_session_that_goes(void **state) {
    (void)state;
    toy_wait_begin(worker, &first, true, LONG_NS, connection_of_till());
    toy_wait_begin(worker, &second, true, LONG_NS, connection_of_till());
    connection_close(worker, connection_of_till(), CLOSE_CLIENT);
    node_settle();
    assert_int_equal(worker->sessions.count, 1);
    toy_wait_acknowledge(worker, &first);
    /* Whoever has its slot now is not meant. */
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    assert_false(wait_concerns(worker, connection_of_till()));
    toy_wait_acknowledge(worker, &second);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_time_is_over),
        TEST(test_too_many),
        TEST(test_a_drain),
        TEST(test_a_late_one_is_told),
        TEST(test_its_time_is_over_in_a_drain),
        TEST(test_the_drain_is_over),
        TEST(test_a_session_that_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
