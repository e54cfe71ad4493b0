/* Calls over many turns and within their memory: on a whole engine, with workers that have time for
 * one step in each turn. */
#include "tests/support/fake_http.h"

static struct peer *api;

static void node_begin(uint64_t memory_bytes) {
    fake_config.memory_bytes = memory_bytes;
    http_node_open();
    api = api_connect();
}

static int setup(void **state) {
    (void)state;
    node_begin(0);
    return 0;
}

static int setup_small(void **state) {
    (void)state;
    node_begin(1 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static void slices_set(uint64_t ns) {
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        fake_server.workers[i].slice_ns = ns;
}

static uint64_t total(size_t offset) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        sum +=
            stats_get((_Atomic uint64_t *)(void *)((char *)&fake_server.workers[i].stats + offset));
    return sum;
}
#define TOTAL(member) total(offsetof(struct stats, member))

/* Turns until an answer is there; how many it took. */
static unsigned turns_until_answer(void) {
    unsigned turns = 0;
    for (; api->out_len == 0; turns++) {
        assert_true(turns < 10000);
        node_turns();
    }
    return turns;
}

/* So many sessions on both workers: ids a0, a1... of which each has two, all in group g. */
static void crowd(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        char hello[128];
        snprintf(hello, sizeof hello, "{\"type\":\"hello\",\"id\":\"a%02u\",\"groups\":[\"g\"]}\n",
                 i / 2);
        client_connect(i % 2, hello);
    }
}

static const char *const page = "{\"count\":20,\"ids\":[\"a00\",\"a01\",\"a02\"],\"next\":\"a02\"}";

/* With time for one step a turn the answer is the same, and takes as many turns as it has steps;
 * what is pushed meanwhile does not wait for it. */
static void test_a_page_in_slices(void **state) {
    (void)state;
    crowd(40);
    assert_answer(ask(api, GET("/v1/groups/g?limit=3")), 200, page);
    struct peer *till = client_connect(0, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    struct peer *other = api_connect();
    slices_set(0);
    free(peer_heard(api));
    peer_send(api, GET("/v1/groups/g?limit=3"));
    peer_send(other, JSON_POST("/v1/clients/till", "7"));
    for (unsigned i = 0; i < 5; i++)
        node_turns();
    assert_non_null(strstr(till->out, "\"data\":7"));
    assert_int_equal(api->out_len, 0);
    assert_in_range(turns_until_answer(), 15, 60);
    assert_answer(api->out, 200, page);
    slices_set(WORK_SLICE_NS);
}

/* Who leaves or comes while the group is walked through does no harm; who stays is told of. */
static void test_members_come_and_go(void **state) {
    (void)state;
    struct peer *peers[20];
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 20; i++) {
            char hello[128];
            snprintf(hello, sizeof hello,
                     "{\"type\":\"hello\",\"id\":\"m%02u\",\"groups\":[\"g\"]}\n", i);
            peers[i] = client_connect(0, hello);
        }
        slices_set(0);
        free(peer_heard(api));
        peer_send(api, GET("/v1/groups/g"));
        for (unsigned i = 0; i < round; i++)
            worker_turn(&fake_server.workers[0], 0);
        for (unsigned i = round % 2; i < 20; i += 2)
            peer_end(peers[i]);
        client_connect(0, "{\"type\":\"hello\",\"id\":\"new\",\"groups\":[\"g\"]}\n");
        if (api->out_len == 0)
            turns_until_answer();
        for (unsigned i = 1 - round % 2; i < 20; i += 2) {
            char id[8];
            snprintf(id, sizeof id, "\"m%02u\"", i);
            assert_int_equal(times(api->out, id), 1);
        }
        slices_set(WORK_SLICE_NS);
        assert_answer(ask(api, DEL("/v1/clients/new")), 200, "{\"closed\":1}");
        for (unsigned p = 0; p < 20; p++) {
            if (!peers[p]->closed)
                peer_end(peers[p]);
            peer_forget(peers[p]);
        }
        for (unsigned p = 0; p < PEERS_MAX; p++)
            if (fake_peers[p].used && &fake_peers[p] != api) {
                peer_end(&fake_peers[p]);
                peer_forget(&fake_peers[p]);
            }
    }
    assert_answer(ask(api, GET("/v1/groups/g")), 200, "{\"count\":0,\"ids\":[],\"next\":null}");
}

/* Closing, joining and leaving go on over turns, too, and presence. */
static void test_sessions_in_slices(void **state) {
    (void)state;
    for (unsigned i = 0; i < 30; i++)
        client_connect(i % 2, "{\"type\":\"hello\",\"id\":\"same\"}\n");
    slices_set(0);
    const struct {
        const char *request, *answer;
    } calls[] = {{PUT("/v1/groups/h/clients/same"), "{\"sessions\":30}"},
                 {DEL("/v1/groups/h/clients/same"), "{\"sessions\":30}"},
                 {DEL("/v1/groups/h/clients/same"), "{\"sessions\":0}"},
                 {GET("/v1/clients/same"), NULL},
                 {DEL("/v1/clients/same"), "{\"closed\":30}"}};
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        free(peer_heard(api));
        peer_send(api, calls[i].request);
        assert_in_range(turns_until_answer(), 10, 80);
        if (calls[i].answer == NULL)
            assert_int_equal(times(api->out, "\"session\":"), 30);
        else
            assert_answer(api->out, 200, calls[i].answer);
    }
    slices_set(WORK_SLICE_NS);
    assert_error(ask(api, GET("/v1/clients/same")), 404, "not_found");
}

/* One look-up of a connection is under way at a time; those behind it are not even read. */
static void test_one_at_a_time(void **state) {
    (void)state;
    crowd(8);
    slices_set(0);
    for (unsigned i = 0; i < 20; i++)
        peer_send(api, GET("/v1/groups/g?limit=3"));
    for (unsigned i = 0; i < 10; i++) {
        node_turns();
        assert_true(fake_server.workers[0].calling <= 1);
    }
    slices_set(WORK_SLICE_NS);
    node_settle();
    assert_int_equal(times(api->out, "HTTP/1.1 200"), 20);
    assert_int_equal(TOTAL(requests_refused), 0);
}

static struct connection *connection_of(const struct peer *peer) {
    struct connection *connections = fake_server.workers[peer->worker].slots.blocks[0];
    for (unsigned i = 1; i < CONNECTION_BLOCK; i++)
        if (connections[i].state != CONNECTION_FREE && connections[i].socket == peer->fd)
            return &connections[i];
    fail_msg("no connection");
    return NULL;
}

/* The peer goes while its look-up is under way: the workers give it up, and nothing is left. */
static void test_gone_meanwhile(void **state) {
    (void)state;
    crowd(40);
    for (unsigned turns = 0; turns < 30; turns += 3) {
        struct peer *peer = api_connect();
        slices_set(0);
        peer_send(peer, GET("/v1/groups/g"));
        for (unsigned i = 0; i < turns; i++)
            node_turns();
        connection_close(&fake_server.workers[0], connection_of(peer), CLOSE_PEER_ERROR);
        for (unsigned i = 0; i < 20; i++)
            node_turns();
        slices_set(WORK_SLICE_NS);
        node_settle();
        assert_int_equal(fake_server.workers[0].calling, 0);
        assert_true(peer->closed);
        peer_forget(peer);
        assert_int_equal(quota_used(&fake_server.answers), 0);
    }
    /* What changes something is carried out to its end. */
    struct peer *peer = api_connect();
    slices_set(0);
    peer_send(peer, DEL("/v1/clients/a01"));
    node_turns();
    peer_end(peer);
    slices_set(WORK_SLICE_NS);
    node_settle();
    assert_error(ask(api, GET("/v1/clients/a01")), 404, "not_found");
}

#define UNSENT 20

/* Answers that nobody reads take their share and no more; who asks then gets 503, each counted
 * once, while messages go through. */
static void test_the_share_is_used_up(void **state) {
    (void)state;
    struct peer *readers[UNSENT];
    unsigned refused = 0;
    for (unsigned i = 0; i < 4; i++) {
        char hello[12000];
        struct builder out = builder_over(hello, sizeof hello - 1);
        builder_text(&out, "{\"type\":\"hello\",\"id\":\"same\",\"groups\":[");
        for (unsigned g = 0; g < 64; g++)
            builder_format(&out, "%s\"%0120u\"", g == 0 ? "" : ",", g);
        builder_text(&out, "]}\n");
        hello[out.len] = '\0';
        client_connect(i % 2, hello);
    }
    uint64_t ceiling = fake_server.budget.ceiling_bytes;
    for (unsigned i = 0; i < UNSENT; i++) {
        readers[i] = api_connect();
        peer_stall(readers[i], true);
        peer_say(readers[i], GET("/v1/clients/same") GET("/v1/clients/same"));
        assert_true(quota_used(&fake_server.answers) <= ceiling / ANSWERS_SHARE);
    }
    assert_true(quota_used(&fake_server.answers) > ceiling / ANSWERS_SHARE / 4);
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/clients/same", "7"))), 202);
    assert_error(ask(api, GET("/v1/clients/same")), 503, "overloaded");
    assert_int_equal(status_of(ask(api, GET("/healthz"))), 200);
    assert_int_equal(status_of(ask(api, GET("/metrics"))), 200);
    assert_int_equal(status_of(ask(api, GET("/v1/stats"))), 200);
    for (unsigned i = 0; i < UNSENT; i++) {
        peer_stall(readers[i], false);
        refused += times(readers[i]->out, "HTTP/1.1 503");
        assert_int_equal(times(readers[i]->out, "HTTP/1.1 "), 2);
        assert_int_equal(times(readers[i]->out, "Retry-After: 1"),
                         times(readers[i]->out, "HTTP/1.1 503"));
    }
    assert_true(refused > 0);
    assert_int_equal(TOTAL(answers_refused), refused + 1);
    assert_int_equal(TOTAL(memory_refused), 0);
    assert_int_equal(status_of(ask(api, GET("/v1/clients/same"))), 200);
}

/* At --memory operators still see what is there and can close who holds it; they have so much. */
static void test_the_memory_is_full(void **state) {
    (void)state;
    struct account *account = &fake_server.workers[1].account;
    client_connect(0, "{\"type\":\"hello\",\"id\":\"hog\"}\n");
    account_force(account, 1 << 20);
    assert_error(ask(api, GET("/v1/clients/hog")), 503, "overloaded");
    assert_error(ask(api, GET("/v1/groups/g")), 503, "overloaded");
    assert_int_equal(status_of(ask(api, GET("/readyz"))), 200);
    assert_int_equal(status_of(ask(api, GET("/metrics"))), 200);
    assert_int_equal(status_of(ask(api, GET("/v1/stats"))), 200);
    assert_answer(ask(api, DEL("/v1/clients/hog")), 200, "{\"closed\":1}");
    assert_int_equal(TOTAL(answers_refused), 2);
    struct peer *readers[50];
    unsigned served = 0;
    for (unsigned i = 0; i < 50; i++) {
        readers[i] = api_connect();
        peer_stall(readers[i], true);
        peer_say(readers[i], GET("/metrics") GET("/metrics") GET("/metrics") GET("/metrics"));
        assert_true(quota_used(&fake_server.reserve) <= ANSWER_RESERVE_BYTES);
    }
    /* Each has one answer of the reserve, however much it asks for; so many use it up. */
    assert_error(ask(api, GET("/metrics")), 503, "overloaded");
    for (unsigned i = 0; i < 50; i++) {
        peer_stall(readers[i], false);
        served += times(readers[i]->out, "HTTP/1.1 200");
        assert_true(times(readers[i]->out, "HTTP/1.1 ") >= 1);
    }
    assert_true(served >= 10 && served < 200);
    assert_int_equal(quota_used(&fake_server.reserve), 0);
    assert_int_equal(status_of(ask(api, GET("/metrics"))), 200);
    account_give(account, 1 << 20);
}

/* Small answers have room beyond the ceiling; who does not read a few of them is not read then. */
static void test_small_answers_at_the_ceiling(void **state) {
    (void)state;
    struct account *account = &fake_server.workers[1].account;
    account_force(account, 1 << 20);
    peer_stall(api, true);
    for (unsigned i = 0; i < 4000; i++)
        peer_send(api, GET("/healthz"));
    node_settle();
    assert_true(fake_server.workers[0].account.used_bytes < 2 * REPLY_FEW_BYTES);
    assert_true(fake_server.workers[0].replies.beyond_bytes < 4 * REPLY_FEW_BYTES);
    account_give(account, 1 << 20);
    peer_stall(api, false);
    /* Nor is there memory for what it sends meanwhile: the last answer says so. */
    assert_in_range(times(api->out, "HTTP/1.1 200"), 10, 100);
    assert_int_equal(times(api->out, "HTTP/1.1 503"), 1);
    assert_true(api->ended);
}

static void test_too_many_calls(void **state) {
    (void)state;
    fake_server.workers[0].calling = CALLS_MAX;
    assert_error(ask(api, GET("/v1/clients/x")), 503, "overloaded");
    assert_int_equal(TOTAL(requests_refused), 1);
    fake_server.workers[0].calling = 0;
    assert_error(ask(api, GET("/v1/clients/x")), 404, "not_found");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, setup_small, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_page_in_slices),         TEST(test_members_come_and_go),
        TEST(test_sessions_in_slices),       TEST(test_one_at_a_time),
        TEST(test_gone_meanwhile),           TEST_SMALL(test_the_share_is_used_up),
        TEST_SMALL(test_the_memory_is_full), TEST_SMALL(test_small_answers_at_the_ceiling),
        TEST(test_too_many_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
