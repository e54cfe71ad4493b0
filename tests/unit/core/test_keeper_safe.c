/* What clients have acknowledged, on a whole engine of two workers with a store that takes its
 * time: it is pending until the store has it, and the ledger balances all the while. */
#include "tests/support/fake_http.h"

#define OWED 8

/* What the store was given to settle. */
static struct owed {
    struct fate *fate;
    uint32_t address;
    enum fate_state state;
    enum fate_reason reason;
} owed[OWED];
static unsigned owed_count;

static struct store store;
static struct peer *api, *till;
static bool puts_wait;
static struct mail put; /* one that waits */

static void on_put(struct store *at, const struct mail *mail) {
    struct message *message = mail->object;
    struct fates *fates = &fake_server.fates;
    if (puts_wait) {
        put = *mail;
        return;
    }
    bool stored = fates_stored(fates, message->fate);
    fates_release(fates, message->fate);
    message_release(&at->port.endpoint, message);
    store_answer(at, mail, stored);
}

static void on_settle(struct store *at, struct message *message, uint32_t address,
                      enum fate_state state, enum fate_reason reason) {
    assert_true(owed_count < OWED);
    owed[owed_count++] = (struct owed){message->fate, address, state, reason};
    message_release(&at->port.endpoint, message);
}

/* It has the first of them. */
static void safe(void) {
    store_settled(&store, owed[0].fate, owed[0].address, owed[0].state, owed[0].reason,
                  fake_now_ns);
    memmove(owed, owed + 1, --owed_count * sizeof *owed);
}

/* It has the message that waits. */
static void put_safe(void) {
    puts_wait = false;
    on_put(&store, &put);
    node_pass(NS_PER_MS);
}

static int setup(void **state) {
    (void)state;
    puts_wait = false;
    static const struct store_type type = {.put = on_put, .settle = on_settle};
    static const struct port_type port_type = {.name = "store"};
    store_init(&store, &type, &port_type, "test");
    fake_store = &store;
    fake_ports[0] = &store.port;
    http_node_open();
    api = api_connect();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    while (owed_count != 0)
        safe();
    http_node_close();
    return 0;
}

static void push(const char *id, const char *ttl) {
    char message[128];
    snprintf(message, sizeof message, "{\"to\":\"till\",\"ack\":true,\"id\":\"%s\",\"ttl\":%s}", id,
             ttl);
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/messages", message))), 202);
}

static void assert_ledger(const char *wanted) {
    const char *answer = ask(api, GET("/v1/stats")), *total = strrchr(answer, 'g');
    while (strncmp(total, "ger\":{\"ack\":", 12) != 0)
        total--;
    if (strncmp(total + 12, wanted, strlen(wanted)) != 0)
        fail_msg("%.120s is not %s", total + 12, wanted);
}

static void test_settled_when_it_is_safe(void **state) {
    (void)state;
    push("m1", "60");
    push("m2", "60");
    push("m3", "5");
    peer_say(till, "{\"type\":\"ack\",\"ids\":[\"m1\"]}\n");
    ask(api, DEL("/v1/messages/m2"));
    node_pass(6 * NS_PER_S);
    assert_int_equal(owed_count, 3);
    assert_ledger("{\"accepted\":3,\"acked\":0,\"expired\":0,\"pending\":3,"
                  "\"dropped\":{\"withdrawn\":0,\"lent\":0}");
    assert_non_null(strstr(ask(api, GET("/v1/messages/m1")), "\"state\":\"pending\""));
    safe();
    assert_ledger("{\"accepted\":3,\"acked\":1,\"expired\":0,\"pending\":2,"
                  "\"dropped\":{\"withdrawn\":0,\"lent\":0}");
    safe();
    assert_ledger("{\"accepted\":3,\"acked\":1,\"expired\":0,\"pending\":1,"
                  "\"dropped\":{\"withdrawn\":1,\"lent\":0}");
    safe();
    assert_ledger("{\"accepted\":3,\"acked\":1,\"expired\":1,\"pending\":0,"
                  "\"dropped\":{\"withdrawn\":1,\"lent\":0}");
}

/* The metrics see it soon by themselves, and then the node does not look any more. */
static void test_metrics(void **state) {
    (void)state;
    push("m1", "60");
    peer_say(till, "{\"type\":\"ack\",\"ids\":[\"m1\"]}\n");
    node_pass(NS_PER_S);
    assert_non_null(
        strstr(ask(api, GET("/metrics")), "class=\"ack\",fate=\"pending\",reason=\"\"} 1"));
    safe();
    node_pass(200 * NS_PER_MS);
    const char *answer = ask(api, GET("/metrics"));
    assert_non_null(strstr(answer, "class=\"ack\",fate=\"pending\",reason=\"\"} 0"));
    assert_non_null(strstr(answer, "class=\"ack\",fate=\"acked\",reason=\"\"} 1"));
    for (unsigned i = 0; i < 2; i++)
        assert_false(timer_armed(&fake_server.workers[i].keeper.age.timer));
}

/* 200 says that it is safe; otherwise it is tried again. */
static void test_taken_back(void **state) {
    (void)state;
    push("m1", "60");
    assert_string_equal(ask(api, DEL("/v1/messages/m1")), "");
    node_pass(4900 * NS_PER_MS);
    assert_int_equal(api->out_len, 0);
    node_pass(200 * NS_PER_MS);
    assert_error(api->out, 503, "storage_unavailable");
    assert_non_null(strstr(api->out, "\r\nRetry-After: 1\r\n"));
    /* As long as its connection lives. */
    struct peer *other = api_connect();
    assert_string_equal(ask(other, DEL("/v1/messages/m1")), "");
    peer_end(other);
    assert_error(other->out, 503, "storage_unavailable");
    assert_non_null(
        strstr(ask(api, GET("/metrics")), "ringpost_withdrawals_unsafe_total{worker=\"0\"} "));
    assert_string_equal(ask(api, DEL("/v1/messages/m1")), "");
    safe();
    node_pass(NS_PER_MS);
    assert_int_equal(status_of(api->out), 200);
    assert_non_null(strstr(api->out, "\"to\":{\"till\":\"dropped\"}"));
    assert_non_null(strstr(api->out, "\"reason\":\"withdrawn\""));
}

#define PRESENCE(id) ask(api, GET("/v1/clients/" id))
#define PENDING(id, rest) ask(api, GET("/v1/clients/" id "/pending" rest))

/* What the store does not have yet was not taken; what it is to settle waits for nobody. */
static void test_what_is_pending(void **state) {
    (void)state;
    struct peer *producer = api_connect();
    puts_wait = true;
    assert_string_equal(
        ask(producer, JSON_POST("/v1/messages", "{\"to\":\"till\",\"ack\":true,\"id\":\"m1\"}")),
        "");
    assert_null(strstr(PRESENCE("till"), "\"pending\""));
    assert_answer(PENDING("till", ""), 200, "{\"count\":0,\"messages\":[],\"next\":null}");
    put_safe();
    assert_int_equal(status_of(producer->out), 202);
    assert_non_null(strstr(PRESENCE("till"), "\"pending\":1,\"oldest\""));
    assert_non_null(strstr(PENDING("till", ""), "{\"count\":1,\"messages\":[{\"id\":\"m1\""));
    /* Behind it one that is not decided: it is on no page, and no page leads to it. */
    puts_wait = true;
    ask(producer, JSON_POST("/v1/messages", "{\"to\":\"till\",\"ack\":true,\"id\":\"m2\"}"));
    assert_non_null(strstr(PRESENCE("till"), "\"pending\":1,\"oldest\""));
    assert_non_null(strstr(PENDING("till", "?limit=1"), "],\"next\":null}"));
    peer_say(till, "{\"type\":\"ack\",\"ids\":[\"m1\"]}\n");
    assert_int_equal(owed_count, 1);
    assert_null(strstr(PRESENCE("till"), "\"pending\""));
    assert_answer(PENDING("till", ""), 200, "{\"count\":0,\"messages\":[],\"next\":null}");
    put_safe();
    assert_non_null(strstr(PRESENCE("till"), "\"pending\":1,\"oldest\""));
    assert_non_null(strstr(PENDING("till", ""), "{\"count\":1,\"messages\":[{\"id\":\"m2\""));
}

/* The producer is told whose backlog it is. */
static void test_a_full_backlog(void **state) {
    (void)state;
    push("m1", "60");
    push("m2", "60");
    const char *answer = ask(
        api, JSON_POST("/v1/messages", "{\"to\":[\"away\",\"till\",\"a\",\"b\"],\"ack\":true}"));
    assert_error(answer, 503, "overloaded");
    assert_non_null(strstr(answer, "\"message\":\"till has not acknowledged 2 messages"));
    assert_non_null(strstr(answer, "\"field\":\"to\""));
    answer = ask(api, JSON_POST("/v1/messages", "[{\"to\":\"till\",\"ack\":true},"
                                                "{\"to\":\"away\",\"ack\":true}]"));
    assert_non_null(strstr(answer, "\"message\":\"till has not"));
    assert_non_null(strstr(answer, "\"state\":\"stored\""));
    /* Nothing of a batch was taken: it is told of the first. */
    answer = ask(api, JSON_POST("/v1/messages", "[{\"to\":\"till\",\"ack\":true},"
                                                "{\"to\":\"till\",\"ack\":true}]"));
    assert_error(answer, 503, "overloaded");
    assert_non_null(strstr(answer, "\"message\":\"till has not acknowledged 2 messages"));
    assert_non_null(strstr(answer, "\"field\":\"to\""));
}

static int setup_small_backlog(void **state) {
    fake_config.ack_backlog = 2;
    return setup(state);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_settled_when_it_is_safe),
        TEST(test_metrics),
        TEST(test_taken_back),
        TEST(test_what_is_pending),
        cmocka_unit_test_setup_teardown(test_a_full_backlog, setup_small_backlog, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
