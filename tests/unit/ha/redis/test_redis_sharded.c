/* A seat among Socket.IO servers with the sharded adapter, on a whole node: what is subscribed as
 * groups come and go, events both ways, requests; without memory. */
#include "tests/support/adapter_seat.h"

static int setup(void **state) {
    (void)state;
    return seat_setup(ADAPTER_SHARDED);
}

static void comes(const char *channel, const char *text) {
    redis_smessage(channel, span_text(text));
    redis_settle();
}

#define FROM "\"uid\":\"u\",\"nsp\":\"/\""
#define EVENT(rooms)                                                                               \
    "{\"type\":3," FROM ",\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\",7]},\"opts\":{"         \
    "\"rooms\":[" rooms "],\"except\":[],\"flags\":{}}}}"

static void test_what_is_subscribed(void **state) {
    (void)state;
    assert_non_null(redis_channel("k#/#"));
    assert_non_null(redis_channel("k#/#g#"));
    assert_null(redis_channel("k#/#till#"));
    assert_null(redis_channel("k-request#/#"));
    /* Again with another connection; and given up with the group, and at the end. */
    redis_lose(redis.shards[0], "a test");
    redis_pass(NS_PER_S);
    assert_true(redis.up);
    assert_non_null(redis_channel("k#/#"));
    assert_non_null(redis_channel("k#/#g#"));
    peer_say(till, "{\"type\":\"leave\",\"groups\":[\"g\"]}\n");
    redis_settle();
    assert_null(redis_channel("k#/#g#"));
    peer_say(till, "{\"type\":\"join\",\"groups\":[\"h\"]}\n");
    redis_settle();
    assert_non_null(redis_channel("k#/#h#"));
    redis.leaves = true;
    redis_names_leave(&redis);
    redis_settle();
    assert_null(redis_channel("k#/#"));
    assert_null(redis_channel("k#/#h#"));
    assert_true(redis_names_left(&redis));
}

/* A welcome says that whoever emits reaches the client. */
static void test_a_welcome_waits_for_the_room(void **state) {
    (void)state;
    redis_tells[SUBSCRIBER] = false;
    struct peer *other = peer_connect(0, LISTENER_TCP);
    peer_say(other, "{\"type\":\"hello\",\"id\":\"x\",\"groups\":[\"new\"]}\n");
    redis_settle();
    assert_true(other->out == NULL || strstr(other->out, "welcome") == NULL);
    assert_non_null(redis_channel("k#/#new#"));
    redis_tells[SUBSCRIBER] = true;
    redis_settle();
    assert_non_null(strstr(other->out, "welcome"));
}

static void test_events(void **state) {
    (void)state;
    comes("k#/#", EVENT(""));
    assert_non_null(strstr(till->out, "\"event\":\"e\""));
    assert_non_null(strstr(till->out, "\"data\":7"));
    assert_int_equal(messages_got(till), 1);
    comes("k#/#g#", EVENT("\"g\""));
    comes("k#/#", EVENT("\"g\""));
    assert_int_equal(messages_got(till), 2);
    assert_int_equal(ADAPTER(received), 3);
    /* A room that nobody is in, another namespace, answers to others, and what nodes of this
     * cluster publish. */
    comes("k#/#r#", EVENT("\"r\""));
    comes("k#/#", EVENT("\"r\""));
    comes("k#/#", "{\"type\":3,\"uid\":\"u\",\"nsp\":\"/b\",\"data\":{}}");
    comes("k#/#", "{\"type\":8,\"uid\":\"u\",\"nsp\":\"/\",\"data\":{}}");
    char own[200];
    snprintf(own, sizeof(own), "{\"type\":3,\"uid\":\"%.*s\",\"nsp\":\"/\",\"data\":{}}",
             ADAPTER_UID_BYTES, redis.adapter.uid);
    comes("k#/#", own);
    assert_int_equal(messages_got(till), 0);
    assert_int_equal(ADAPTER(passed), 4);
    assert_int_equal(ADAPTER(received), 4); /* to everybody, for a room that nobody is in */
    assert_int_equal(ADAPTER(requests), 0);
    assert_int_equal(ADAPTER_REFUSED(PACKET), 0);
    assert_null(strstr(redis_said, "k#"));
}

static void test_wrong(void **state) {
    (void)state;
    comes("k#/#", "{");
    comes("k#/#", "{\"type\":3," FROM ",\"data\":{}}");
    comes("k#/nowhere#", EVENT(""));
    comes("other#/#", EVENT(""));
    assert_int_equal(ADAPTER_REFUSED(PACKET), 4);
    comes("k#/#", "{\"type\":14," FROM "}");
    assert_int_equal(ADAPTER_REFUSED(UNKNOWN), 1);
    comes("k#/#", "{\"type\":6," FROM ",\"data\":{}}");
    assert_int_equal(ADAPTER_REFUSED(REQUEST), 1);
    assert_int_equal(FIGURE(lost), 0);
    comes("k#/#", EVENT(""));
    assert_int_equal(messages_got(till), 1);
}

static void test_messages(void **state) {
    (void)state;
    peer_say(api, JSON_POST("/v1/messages", "{\"group\":\"r\",\"data\":1}"));
    redis_settle();
    assert_non_null(strstr(redis_said, "k#/# \x84"));
    assert_non_null(strstr(redis_said, redis.port.server->run));
    assert_int_equal(ADAPTER(published), 1);
    assert_int_equal(ADAPTER(passed), 1); /* it has come back */
    assert_int_equal(messages_got(till), 0);
}

static void test_requests(void **state) {
    (void)state;
    comes("k#/#",
          "{\"type\":7," FROM ",\"data\":{\"opts\":{\"rooms\":[\"g\"]},\"requestId\":\"q\"}}");
    assert_non_null(strstr(redis_published, "k#/#u# {\"type\":8,\"uid\":\"ringpost-"));
    assert_non_null(strstr(redis_published, ",\"data\":{\"requestId\":\"q\",\"sockets\":[]}}"));
    comes("k#/#", "{\"type\":9," FROM ",\"data\":{\"requestId\":\"s\",\"packet\":[\"e\"]}}");
    assert_non_null(strstr(redis_published, "\"data\":{\"requestId\":\"s\",\"packet\":null}}"));
    comes("k#/#", "{\"type\":3," FROM ",\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},"
                  "\"requestId\":\"b\",\"opts\":{\"rooms\":[],\"except\":[],\"flags\":{}}}}");
    assert_non_null(strstr(redis_published, "\"data\":{\"requestId\":\"b\",\"clientCount\":0}}"));
    assert_int_equal(messages_got(till), 1);
    comes("k#/#",
          "{\"type\":4," FROM ",\"data\":{\"opts\":{\"rooms\":[\"g\"]},\"rooms\":[\"h\"]}}");
    comes("k#/#h#", EVENT("\"h\""));
    assert_int_equal(messages_got(till), 1);
    comes("k#/#", "{\"type\":5," FROM ",\"data\":{\"opts\":{\"rooms\":[]},\"rooms\":[\"h\"]}}");
    assert_null(redis_channel("k#/#h#"));
    assert_int_equal(ADAPTER(requests), 5);
    comes("k#/#", "{\"type\":6," FROM ",\"data\":{\"opts\":{\"rooms\":[\"g\"]},\"close\":true}}");
    assert_int_equal(FIGURE(names), 0);
}

static void test_without_memory(void **state) {
    (void)state;
    uint64_t taken = 0;
    for (size_t part = 16384; part >= 4096; part /= 4)
        for (; account_take(&redis.port.account, part); taken += part)
            ;
    comes("k#/#", EVENT(""));
    assert_int_equal(messages_got(till), 0);
    assert_true(redis.held);
    account_give(&redis.port.account, taken);
    redis_pass(10 * NS_PER_MS);
    assert_int_equal(messages_got(till), 1);
    /* Given up after a second, whoever waits is answered all the same. */
    for (size_t i = 0; i < ROOMS_CALLS_MAX; i++)
        redis.adapter.open++;
    redis_published[0] = '\0';
    comes("k#/#", "{\"type\":7," FROM ",\"data\":{\"opts\":{},\"requestId\":\"q\"}}");
    assert_true(redis.held);
    redis_pass(NS_PER_S + 100 * NS_PER_MS);
    assert_false(redis.held);
    assert_non_null(strstr(redis_published, "\"data\":{\"requestId\":\"q\",\"sockets\":[]}}"));
    assert_int_equal(ADAPTER_REFUSED(OVERLOADED), 1);
    redis.adapter.open = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, seat_teardown)
        TEST(test_what_is_subscribed),
        TEST(test_a_welcome_waits_for_the_room),
        TEST(test_events),
        TEST(test_wrong),
        TEST(test_messages),
        TEST(test_requests),
        TEST(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
