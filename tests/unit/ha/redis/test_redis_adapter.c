/* A seat among Socket.IO servers, on a whole node: what is subscribed, events both ways, requests;
 * without memory, without room, and more requests than at once. */
#include "tests/support/adapter_seat.h"

static int setup(void **state) {
    (void)state;
    return seat_setup(ADAPTER_CLASSIC);
}

/* [uid, {data: ["e", 7]}, {rooms: [room]}] */
static void event_says(const char *channel, const char *uid, const char *room) {
    char text[400];
    struct builder out = builder_over(text, sizeof(text));
    builder_text(&out, "\x93\xd9");
    builder_byte(&out, (char)strlen(uid));
    builder_text(&out, uid);
    builder_text(&out, "\x81\xa4"
                       "data\x92\xa1"
                       "e\x07\x81\xa5rooms");
    builder_byte(&out, (char)(room == NULL ? 0x90 : 0x91));
    if (room != NULL) {
        builder_byte(&out, (char)(0xA0 + strlen(room)));
        builder_text(&out, room);
    }
    redis_pmessage("k#/#*", channel, builder_span(&out));
}

static void event_comes(const char *channel, const char *uid, const char *room) {
    event_says(channel, uid, room);
    redis_settle();
}

static void asks(const char *request) {
    redis_message("k-request#/#", request);
}

static void test_what_is_subscribed(void **state) {
    (void)state;
    assert_non_null(redis_channel("k-request#/#"));
    assert_null(redis_channel("k-response#/#"));
    /* Again with another connection; and given up at the end. */
    redis_lose(redis.shards[0], "a test");
    redis_pass(NS_PER_S);
    assert_true(redis.up);
    assert_non_null(redis_channel("k-request#/#"));
    redis.leaves = true;
    redis_names_leave(&redis);
    redis_settle();
    assert_null(redis_channel("k-request#/#"));
    assert_true(redis_names_left(&redis));
}

static void test_events(void **state) {
    (void)state;
    event_comes("k#/#", "u", NULL);
    assert_non_null(strstr(till->out, "\"event\":\"e\""));
    assert_non_null(strstr(till->out, "\"data\":7"));
    assert_int_equal(messages_got(till), 1);
    event_comes("k#/#g#", "u", "g");
    assert_int_equal(messages_got(till), 1);
    event_comes("k#/#", "u", "g");
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(ADAPTER(received), 3);
    /* A client id is no room; nor is one that nobody is in. */
    event_comes("k#/#till#", "u", "till");
    event_comes("k#/#", "u", "till");
    /* What nodes of this cluster publish comes by its own channels; of another it is taken. */
    char uid[ADAPTER_UID_BYTES + 1];
    snprintf(uid, sizeof(uid), "%.*s", ADAPTER_UID_BYTES, redis.adapter.uid);
    event_comes("k#/#", uid, NULL);
    uid[ADAPTER_UID_BYTES - 1] ^= 1;
    event_comes("k#/#", uid, NULL);
    assert_int_equal(messages_got(till), 0);
    assert_int_equal(ADAPTER(passed), 3);
    uid[9] ^= 1;
    event_comes("k#/#", uid, NULL);
    assert_int_equal(messages_got(till), 1);
    assert_null(strstr(redis_said, "k#"));
}

static void test_messages(void **state) {
    (void)state;
    peer_say(api, JSON_POST("/v1/messages", "{\"group\":\"r\",\"data\":1}"));
    redis_settle();
    assert_non_null(strstr(redis_said, "k#/#r# \x93"));
    assert_non_null(strstr(redis_said, redis.port.server->run));
    redis_said[0] = '\0';
    peer_say(api, JSON_POST("/v1/messages", "{\"to\":\"x\",\"group\":\"r\",\"data\":1}"));
    redis_settle();
    assert_non_null(strstr(redis_said, "k#/# \x93"));
    redis_said[0] = '\0';
    peer_say(api, JSON_POST("/v1/messages", "{\"to\":\"x\",\"ack\":true,\"data\":1}"));
    redis_settle();
    assert_null(strstr(redis_said, "k#"));
    assert_int_equal(ADAPTER(published), 2);
    redis_lose(redis.shards[0], "a test");
    peer_say(api, JSON_POST("/v1/messages", "{\"broadcast\":true,\"data\":1}"));
    assert_int_equal(ADAPTER(unpublished), 0); /* it was not tried: its answer says enough */
}

static void test_without_memory(void **state) {
    (void)state;
    uint64_t taken = 0;
    for (; account_take(&redis.port.account, 16384); taken += 16384)
        ;
    event_comes("k#/#", "u", NULL);
    assert_int_equal(messages_got(till), 0);
    assert_true(redis.held);
    account_give(&redis.port.account, taken);
    redis_pass(10 * NS_PER_MS);
    assert_int_equal(messages_got(till), 1);
}

static void test_without_memory_for_a_request(void **state) {
    (void)state;
    char request[2000];
    snprintf(request, sizeof(request), "{\"requestId\":\"q\",\"type\":1,\"z\":\"%01500d\"}", 0);
    asks(request);
    redis_settle();
    redis_said[0] = '\0';
    uint64_t taken = 0, answers = fake_server.answers.ceiling_bytes;
    for (size_t part = 1024; part != 0; part /= 32)
        for (; account_take(&redis.port.account, part); taken += part)
            ;
    asks("{\"requestId\":\"r\",\"type\":1}");
    redis_settle();
    assert_true(redis.held && redis.up);
    account_give(&redis.port.account, taken);
    fake_server.answers.ceiling_bytes = 0;
    redis_pass(10 * NS_PER_MS);
    assert_true(redis.held && redis.adapter.open == 0);
    fake_server.answers.ceiling_bytes = answers;
    redis_pass(10 * NS_PER_MS);
    assert_false(redis.held);
    assert_non_null(strstr(redis_said, "k-response#/# {\"requestId\":\"r\",\"rooms\":[\"g\"]}"));
}

/* What is too long lacks whole names, and is right. */
static void test_long_answers(void **state) {
    (void)state;
    struct peer *other = peer_connect(1, LISTENER_TCP);
    peer_say(other, "{\"type\":\"hello\",\"groups\":[\"aa\",\"bb\",\"cc\"]}\n");
    redis_settle();
    asks("{\"requestId\":\"q\",\"type\":1}");
    redis_settle();
    assert_non_null(strstr(redis_said, "\"g\""));
    assert_non_null(strstr(redis_said, "\"aa\",\"bb\",\"cc\""));
    assert_int_equal(ADAPTER(cut), 0);
    redis.adapter.answer_bytes_max = 24; /* of each name six times its length may be needed */
    redis_said[0] = '\0';
    asks("{\"requestId\":\"q\",\"type\":1}");
    redis_settle();
    assert_non_null(strstr(redis_said, "{\"requestId\":\"q\",\"rooms\":[\"g\",\"aa\",\"bb\"]}"));
    assert_int_equal(ADAPTER(cut), 1);
    redis.adapter.answer_bytes_max = 1;
    redis_said[0] = '\0';
    asks("{\"requestId\":\"q\",\"type\":1}");
    redis_settle();
    assert_non_null(strstr(redis_said, "{\"requestId\":\"q\",\"rooms\":[]}"));
    assert_int_equal(ADAPTER(cut), 2);
}

/* For so long that it is given up: whoever waits is answered. */
static void test_behind(void **state) {
    (void)state;
    redis.adapter.open += ROOMS_CALLS_MAX;
    asks("{\"requestId\":\"q\",\"type\":5,\"opts\":{}}");
    asks("{\"requestId\":\"r\",\"type\":6,\"data\":[]}");
    redis_pass(IN_HELD_NS / 2);
    assert_true(redis.held);
    assert_null(strstr(redis_said, "response"));
    redis_pass(IN_HELD_NS);
    redis.adapter.open -= ROOMS_CALLS_MAX;
    assert_false(redis.held);
    assert_int_equal(ADAPTER_REFUSED(OVERLOADED), 1);
    assert_int_equal(ADAPTER(cut), 1);
    assert_int_equal(ADAPTER(requests), 2);
    assert_non_null(strstr(redis_said, "k-response#/# {\"requestId\":\"q\",\"sockets\":[]}"));
    assert_non_null(
        strstr(redis_published, "k-response#/# {\"type\":6,\"requestId\":\"r\",\"data\":null}"));
}

static void test_more_than_at_once(void **state) {
    (void)state;
    char request[100];
    for (unsigned i = 0; i < 3 * ROOMS_CALLS_MAX; i++) {
        snprintf(request, sizeof(request), "{\"requestId\":\"q%u\",\"type\":1}", i);
        asks(request);
    }
    redis_pass(100 * NS_PER_MS);
    assert_int_equal(times(redis_said, "\"rooms\":[\"g\"]}"), 3 * ROOMS_CALLS_MAX);
    assert_int_equal(ADAPTER(requests), 3 * ROOMS_CALLS_MAX);
    assert_int_equal(ADAPTER(cut), 0);
    assert_int_equal(redis.adapter.open, 0);
}

static void test_requests(void **state) {
    (void)state;
    /* A till is in its groups, and is no socket. */
    asks("{\"requestId\":\"q\",\"type\":5,\"opts\":{\"rooms\":[\"g\"]}}");
    redis_settle();
    assert_non_null(strstr(redis_said, "{\"requestId\":\"q\",\"sockets\":[]}"));
    asks("{\"type\":2,\"opts\":{\"rooms\":[\"g\"]},\"rooms\":[\"h\",\"i\"]}");
    redis_settle();
    event_comes("k#/#h#", "u", "h");
    assert_int_equal(messages_got(till), 1);
    asks("{\"type\":3,\"opts\":{\"except\":[\"g\"]},\"rooms\":[\"h\"]}");
    redis_settle();
    event_comes("k#/#h#", "u", "h");
    assert_int_equal(messages_got(till), 1);
    asks("{\"type\":3,\"opts\":{},\"rooms\":[\"h\"]}");
    redis_settle();
    event_comes("k#/#h#", "u", "h");
    assert_int_equal(messages_got(till), 0);
    /* More groups than a session may be in. */
    char request[2000];
    struct builder out = builder_over(request, sizeof(request));
    builder_text(&out, "{\"type\":2,\"opts\":{},\"rooms\":[");
    for (unsigned i = 0; i < GROUPS_PER_SESSION_MAX; i++)
        builder_format(&out, "%s\"r%u\"", i == 0 ? "" : ",", i);
    builder_text(&out, "]}");
    builder_byte(&out, '\0');
    asks(request);
    redis_settle();
    assert_int_equal(ADAPTER_REFUSED(ROOMS), 1);
    asks("{\"type\":4,\"opts\":{\"rooms\":[\"g\"]},\"close\":true}");
    redis_settle();
    assert_int_equal(FIGURE(names), 0);
}

/* What Redis does not take is counted, and ends nothing. */
static void test_without_room(void **state) {
    (void)state;
    static char text[LINK_OUT_BYTES_MAX];
    struct builder out;
    fake_socket_find(redis.shards[0]->commands.fd)->send_room = 0;
    assert_true(link_room(&redis.shards[0]->commands, sizeof(text) - 32, &out));
    builder_bytes(&out, text, sizeof(text) - 32);
    link_put(&redis.shards[0]->commands, &out);
    peer_say(api, JSON_POST("/v1/messages", "{\"group\":\"g\",\"data\":1}"));
    asks("{\"requestId\":\"q\",\"type\":1}");
    node_settle();
    redis_tell(SUBSCRIBER);
    node_settle();
    assert_int_equal(ADAPTER(unpublished), 1);
    assert_int_equal(ADAPTER_REFUSED(OVERLOADED), 1);
    redis.shards[0]->commands.out_len = redis.shards[0]->commands.out_at = 0;
    fake_socket_find(redis.shards[0]->commands.fd)->send_room = SIZE_MAX;
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, seat_teardown)
        TEST(test_what_is_subscribed),
        TEST(test_events),
        TEST(test_messages),
        TEST(test_without_memory),
        TEST(test_without_memory_for_a_request),
        TEST(test_long_answers),
        TEST(test_behind),
        TEST(test_more_than_at_once),
        TEST(test_requests),
        TEST(test_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
