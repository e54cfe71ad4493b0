/* The port to Redis without memory: what it cannot publish is answered so, and what it cannot
 * subscribe ends the connection, after which all is subscribed again. */
#include "tests/support/fake_redis.h"

static uint64_t taken;

static int setup(void **state) {
    redis_setup(state);
    /* The workers have a little in hand. */
    peer_say(api, JSON_POST("/v1/messages", "{\"to\":\"warm\"}"));
    redis_settle();
    taken = 0;
    return 0;
}

static void memory_ends(size_t part) {
    for (; account_take(&redis.port.account, part); taken += part)
        ;
}

static void memory_is_back(void) {
    account_give(&redis.port.account, taken);
    taken = 0;
}

/* Redis takes nothing more, and what waits leaves no room for a command. */
static void fill(struct link *link) {
    static char text[1 << 17];
    struct builder out;
    fake_socket_find(link->fd)->send_room = 0;
    size_t bytes = link->out_cap - link->out_len - 16;
    assert_true(bytes < sizeof(text) && link_room(link, bytes, &out));
    builder_bytes(&out, text, bytes);
    link_put(link, &out);
}

static void empty(struct link *link) {
    link->out_len = link->out_at = 0;
    fake_socket_find(link->fd)->send_room = SIZE_MAX;
}

static void unavailable(void) {
    free(peer_heard(api));
    peer_say(api, JSON_POST("/v1/messages", "{\"to\":\"x\"}"));
    assert_error(api->out, 503, "cluster_unavailable");
    assert_null(strstr(api->out, "maybe"));
}

static void test_no_room_to_publish(void **state) {
    (void)state;
    fill(&redis.shards[0]->commands);
    memory_ends(4096);
    unavailable();
    unavailable();
    memory_is_back();
    empty(&redis.shards[0]->commands);
    redis_published[0] = '\0';
    redis_others = 1;
    free(peer_heard(api));
    peer_say(api, JSON_POST("/v1/messages", "{\"to\":\"x\"}"));
    redis_settle();
    assert_int_equal(status_of(api->out), 202);
    /* What was never sent has no number that others could miss. */
    assert_non_null(strstr(redis_published, "\"s\":1,"));
    assert_int_equal(FIGURE(unavailable), 2);
    assert_int_equal(FIGURE(waiting), 0);
    assert_true(redis.up);
}

/* Redis takes nothing more, and so much may still wait for it. */
static void fill_but(struct link *link, size_t left_over) {
    static char text[1 << 17];
    struct builder out;
    fake_socket_find(link->fd)->send_room = 0;
    for (size_t left;
         (left = LINK_OUT_BYTES_MAX - left_over - link->out_len + link->out_at) != 0;) {
        size_t bytes = left < sizeof(text) ? left : sizeof(text);
        assert_true(link_room(link, bytes, &out));
        builder_bytes(&out, text, bytes);
        link_put(link, &out);
    }
}

/* It hangs, and so much waits for it that there is no room to ask whether it is there. */
static void test_no_room_to_ask(void **state) {
    (void)state;
    redis_runs[COMMANDS] = false;
    peer_say(api, JSON_POST("/v1/messages", "{\"to\":\"x\"}"));
    node_settle();
    fill_but(&redis.shards[0]->commands, 0);
    redis_pass(LINK_SILENT_NS - 200 * NS_PER_MS);
    assert_true(redis.up);
    redis_pass(LINK_ASK_NS);
    assert_int_equal(FIGURE(lost), 1);
    redis_runs[COMMANDS] = true;
}

/* There is room for the first copy of a message, and not for the second. */
static void test_no_room_for_all_copies(void **state) {
    (void)state;
    struct peer *first = api_connect();
    redis_runs[COMMANDS] = false;
    peer_say(first, JSON_POST("/v1/messages", "{\"to\":\"x\"}"));
    node_settle();
    fill_but(&redis.shards[0]->commands, 500);
    free(peer_heard(api));
    peer_say(api, JSON_POST("/v1/messages", "{\"to\":[\"y\",\"z\"]}"));
    node_settle();
    assert_error(api->out, 503, "cluster_unavailable");
    assert_non_null(strstr(api->out, "\"maybe\":true"));
    /* The one before it still waits. */
    assert_int_equal(first->out_len, 0);
    assert_int_equal(FIGURE(unavailable), 1);
    redis_link(SUBSCRIBER)->error = ECONNRESET;
    node_settle();
    assert_error(first->out, 503, "cluster_unavailable");
    assert_int_equal(FIGURE(unavailable), 2);
    assert_int_equal(FIGURE(waiting), 0);
}

static void test_no_memory_to_publish(void **state) {
    (void)state;
    memory_ends(1);
    unavailable();
    memory_is_back();
    assert_true(redis.up);
    assert_int_equal(FIGURE(waiting), 0);
}

static void test_no_memory_for_bytes(void **state) {
    (void)state;
    static char text[8192];
    /* The reader has the room that it needs for such texts. */
    snprintf(text, sizeof(text), "{\"data\":\"%07000d\"}", 0);
    redis_message("rp:all", text);
    redis_settle();
    snprintf(text, sizeof(text),
             "{\"node\":{\"run\":\"0123456789abcdef\",\"p\":1,\"n\":1,\"bytes\":true},"
             "\"broadcast\":true,\"data\":\"%06000d\"}",
             0);
    redis_message("rp:all", text);
    memory_ends(4096);
    redis_settle();
    assert_true(redis.held); /* it is not its fault */
    memory_is_back();
    redis_settle();
    assert_int_equal(FIGURE(received), 2);
    assert_int_equal(REFUSED(MESSAGE) + REFUSED(OVERLOADED), 0);
}

static void subscribed_again(void) {
    for (unsigned i = 0; i < 50 && !redis.up; i++)
        redis_pass(100 * NS_PER_MS);
    redis_settle();
    assert_non_null(redis_channel("rp:id:a"));
    assert_int_equal(FIGURE(names), 1);
    presence_end(fake_server.presence, NAME_ID, SPAN("a"));
    redis_settle();
    assert_null(redis_channel("rp:id:a"));
    assert_int_equal(presence_count(fake_server.presence), 0);
}

static void test_no_room_to_subscribe(void **state) {
    (void)state;
    fill(&redis.shards[0]->subscriber);
    memory_ends(4096);
    assert_true(presence_begin(fake_server.presence, NAME_ID, SPAN("a")));
    node_settle();
    assert_false(redis.up);
    assert_int_equal(FIGURE(waiting), 0);
    memory_is_back();
    subscribed_again();
}

static void test_no_memory_to_subscribe(void **state) {
    (void)state;
    memory_ends(1);
    assert_true(presence_begin(fake_server.presence, NAME_ID, SPAN("a")));
    node_settle();
    assert_false(redis.up);
    memory_is_back();
    subscribed_again();
}

/* --- calls ------------------------------------------------------------------------------------ */

static void call_api(const char *method, const char *path) {
    char text[200];
    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, path);
    free(peer_heard(api));
    peer_say(api, text);
    node_settle();
}

/* There is memory for such a call when there is none for others. */
static void not_asked(void) {
    call_api("DELETE", "/v1/clients/x");
    assert_int_equal(status_of(api->out), 200);
    assert_non_null(strstr(api->out, "{\"closed\":0,\"cluster\":\"unavailable\"}"));
    assert_int_equal(FIGURE(calls), 0);
    assert_int_equal(FIGURE(calls_incomplete), 1);
    assert_int_equal(redis.calls_open, 0);
    assert_true(redis.up);
}

static void test_no_room_to_call(void **state) {
    (void)state;
    fill(&redis.shards[0]->commands);
    memory_ends(4096);
    not_asked();
    assert_int_equal(redis.call_number, 1);
    memory_is_back();
    empty(&redis.shards[0]->commands);
}

static void test_no_memory_to_call(void **state) {
    (void)state;
    memory_ends(1);
    not_asked();
    assert_int_equal(redis.call_number, 0);
    memory_is_back();
}

/* There is memory to remember the call, and none to expect Redis' answer. */
static void test_no_memory_to_expect(void **state) {
    (void)state;
    memory_ends(1);
    account_give(&redis.port.account, redis.call_pool.object_bytes);
    taken -= redis.call_pool.object_bytes;
    not_asked();
    assert_int_equal(redis.call_number, 1);
    memory_is_back();
}

static void asks(void) {
    redis_published[0] = '\0';
    redis_message("rp:all", "{\"node\":{\"run\":\"0000000000000007\",\"call\":5,"
                            "\"does\":{\"what\":\"client\",\"id\":\"x\"}}}");
    redis_settle();
    assert_int_equal(redis.called_open, 0);
}

static void test_no_memory_for_one_more_server(void **state) {
    (void)state;
    memory_ends(1);
    assert_null(redis_shard_add(&redis));
    account_give(&redis.port.account, sizeof(struct redis_shard)); /* but for its links */
    taken -= sizeof(struct redis_shard);
    assert_null(redis_shard_add(&redis));
    memory_is_back();
    assert_int_equal(redis.shard_count, 1);
}

/* There is none for the call itself, and a little for what is said then. */
static void test_no_memory_to_answer(void **state) {
    (void)state;
    asks();
    assert_non_null(strstr(redis_published, "\"answer\":5,\"says\":[]}}"));
    assert_true(redis.rest_cap < 65536); /* a short answer takes little */
    memory_ends(1);
    account_give(&redis.port.account, 512);
    taken -= 512;
    asks();
    memory_is_back();
    assert_non_null(strstr(redis_published, "\"answer\":5,\"failed\":true,\"says\":[]}}"));
}

/* What others say finds no memory: then it is not known how many they have closed. */
static void test_no_memory_for_what_they_say(void **state) {
    (void)state;
    static char text[8192], channel[64];
    snprintf(channel, sizeof(channel), "rp:node:%s", fake_server.run);
    snprintf(
        text, sizeof(text),
        "{\"node\":{\"run\":\"%016x\",\"answer\":1,\"says\":[{\"count\":3,\"x\":\"%06000d\"}]}}", 7,
        0);
    redis_message(channel, text); /* the reader has the room that it needs for such a text */
    redis_settle();
    redis_others = 1;
    call_api("DELETE", "/v1/clients/x");
    redis_settle();
    assert_int_equal(api->out_len, 0);
    /* Neither within --memory nor beyond. */
    uint64_t answers = fake_server.answers.ceiling_bytes;
    uint64_t reserve = fake_server.reserve.ceiling_bytes;
    redis_message(channel, text);
    fake_server.answers.ceiling_bytes = fake_server.reserve.ceiling_bytes = 4096;
    redis_settle();
    fake_server.answers.ceiling_bytes = answers;
    fake_server.reserve.ceiling_bytes = reserve;
    assert_true(redis.up);
    assert_int_equal(FIGURE(calls_incomplete), 0);
    assert_int_equal(status_of(api->out), 200);
    assert_non_null(strstr(api->out, "{\"closed\":0,\"cluster\":\"unavailable\"}"));
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_no_room_to_publish),
        ONE(test_no_room_for_all_copies),
        ONE(test_no_room_to_ask),
        ONE(test_no_memory_to_publish),
        ONE(test_no_memory_for_bytes),
        ONE(test_no_room_to_subscribe),
        ONE(test_no_memory_to_subscribe),
        ONE(test_no_room_to_call),
        ONE(test_no_memory_to_call),
        ONE(test_no_memory_to_expect),
        ONE(test_no_memory_for_one_more_server),
        ONE(test_no_memory_for_what_they_say),
        ONE(test_no_memory_to_answer),
        ONE(test_no_memory_for_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
