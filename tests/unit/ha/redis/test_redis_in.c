/* What comes from Redis, on a whole node: messages of other nodes and of programs, once each; what
 * is none; what waits while the workers are behind; who the other nodes are. */
#include "tests/support/fake_redis.h"

static struct peer *till;

static int setup(void **state) {
    (void)state;
    redis_node_open();
    till = peer_connect(0, LISTENER_TCP);
    peer_say(till, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\",\"h\"]}\n");
    redis_settle();
    assert_non_null(strstr(till->out, "\"type\":\"welcome\""));
    free(peer_heard(till));
    return 0;
}

/* A copy as another node writes it. */
static const char *copy(unsigned node, unsigned number, unsigned count, const char *fields) {
    static char text[4096];
    snprintf(text, sizeof(text),
             "{\"node\":{\"run\":\"%016x\",\"p\":%u,\"n\":%u,\"s\":%u,\"e\":1},\"id\":\"m%u\",%s}",
             node, number, number, count, number, fields);
    return text;
}

static const char *word(unsigned node, const char *name, bool lives) {
    static char text[400];
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%016x\",\"name\":\"%s\",\"lives\":%s}}",
             node, name, lives ? "true" : "false");
    return text;
}

static uint64_t refused(void) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < REDIS_REFUSAL_COUNT; i++)
        sum += redis_figure_of(&redis.figures.refused[i]);
    return sum;
}

static void test_of_another_node(void **state) {
    (void)state;
    redis_comes("rp:id:till",
                copy(7, 1, 1, "\"to\":[\"till\"],\"event\":\"e\",\"ttl\":9,\"data\":{\"a\":1}"));
    assert_non_null(strstr(till->out, "\"event\":\"e\""));
    assert_non_null(strstr(till->out, "\"id\":\"m1\""));
    assert_non_null(strstr(till->out, "\"data\":{\"a\":1}"));
    assert_int_equal(messages_got(till), 1);
    redis_comes("rp:all", copy(7, 2, 1, "\"broadcast\":true,\"data\":2"));
    assert_int_equal(messages_got(till), 1);
    redis_comes("rp:all", copy(7, 3, 2, "\"broadcast\":true,\"except\":[\"till\"],\"data\":2"));
    assert_int_equal(messages_got(till), 0);
    /* To many it comes on `all`. */
    redis_comes("rp:all", copy(7, 4, 3, "\"to\":[\"x\",\"till\"],\"data\":2"));
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(FIGURE(received), 4);
    assert_int_equal(refused(), 0);
    /* It does not go out again, and its result is no producer's. */
    assert_int_equal(redis_publishes, 0);
    assert_int_equal(stats_get(&redis.port.stats.results[CLASS_DEFAULT][RESULT_QUEUED]), 0);
}

static void test_once(void **state) {
    (void)state;
    const char *fields = "\"to\":[\"till\"],\"group\":[\"g\",\"h\"],\"data\":1";
    redis_comes("rp:id:till", copy(7, 1, 1, fields));
    redis_comes("rp:group:g", copy(7, 1, 1, fields));
    redis_comes("rp:group:h", copy(7, 1, 1, fields));
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(FIGURE(repeated), 2);
    assert_int_equal(FIGURE(missed), 0);
    /* The same number of another node is another message; one of an id that has come already is
     * too, since ids are looked at where they come in. */
    redis_comes("rp:id:till", copy(8, 1, 1, fields));
    redis_comes("rp:id:till", copy(7, 2, 2, "\"to\":[\"till\"],\"id\":\"x\",\"data\":1"));
    assert_int_equal(messages_got(till), 1); /* the second has its id twice */
    redis_comes("rp:id:till", copy(7, 3, 3, "\"to\":[\"till\"],\"data\":1"));
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(FIGURE(missed), 0);
}

static void test_bytes(void **state) {
    (void)state;
    char text[400];
    snprintf(text, sizeof(text),
             "{\"node\":{\"run\":\"%016x\",\"p\":1,\"n\":1,\"bytes\":true},\"to\":\"till\","
             "\"data\":\"%s\"}",
             7, "AP8ieA==");
    redis_comes("rp:id:till", text);
    assert_non_null(strstr(till->out, "AP8ieA=="));
    assert_int_equal(messages_got(till), 1);
    static const char *const wrong[] = {"7", "\"AP8ieA=\"", "\"\\u0041\"", "\"*\"", "null"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text),
                 "{\"node\":{\"run\":\"%016x\",\"p\":1,\"n\":%u,\"bytes\":true},\"to\":\"till\","
                 "\"data\":%s}",
                 7, i + 2, wrong[i]);
        redis_comes("rp:id:till", text);
    }
    assert_int_equal(messages_got(till), 0);
    assert_int_equal(REFUSED(MESSAGE), 5);
}

static void test_of_a_program(void **state) {
    (void)state;
    redis_comes("rp:id:till", "{\"data\":1}");
    redis_comes("rp:id:till", " {\"to\":\"till\",\"data\":1}\n");
    redis_comes("rp:id:till", "{\"to\":[\"till\",\"till\"],\"data\":1}");
    redis_comes("rp:group:g", "{\"event\":\"e\"}");
    redis_comes("rp:group:g", "{\"group\":[\"g\"]}");
    redis_comes("rp:all", "{}");
    redis_comes("rp:all", "{\"broadcast\":true,\"volatile\":true}");
    assert_int_equal(messages_got(till), 7);
    assert_int_equal(FIGURE(received), 7);
    /* The same id twice is two messages: nothing is remembered. */
    redis_comes("rp:id:till", "{\"id\":\"m\",\"data\":1}");
    redis_comes("rp:id:till", "{\"id\":\"m\",\"data\":1}");
    assert_int_equal(messages_got(till), 2);
    assert_int_equal(refused(), 0);
    assert_int_equal(FIGURE(nodes), 0);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *channel, *text;
        enum redis_refusal why;
    } cases[] = {
        {"rp:x", "{}", REDIS_REFUSED_CHANNEL},
        {"id:till", "{}", REDIS_REFUSED_CHANNEL},
        {"rp:node:0123456789abcdef", "{}", REDIS_REFUSED_CHANNEL},
        {"rp:id:till", "", REDIS_REFUSED_JSON},
        {"rp:id:till", "{", REDIS_REFUSED_JSON},
        {"rp:id:till", "{}}", REDIS_REFUSED_JSON},
        {"rp:id:till", "\xff", REDIS_REFUSED_JSON},
        {"rp:id:till", "[]", REDIS_REFUSED_MESSAGE},
        {"rp:id:till", "{\"x\":1}", REDIS_REFUSED_MESSAGE},
        {"rp:id:till", "{\"ttl\":-1}", REDIS_REFUSED_MESSAGE},
        {"rp:id:till", "{\"node\":7}", REDIS_REFUSED_MESSAGE},
        {"rp:id:till", "{\"type\":\"send\"}", REDIS_REFUSED_MESSAGE},
        {"rp:id:till", "{\"namespace\":\"/none\"}", REDIS_REFUSED_MESSAGE},
        {"rp:id:till", "{\"to\":\"x\"}", REDIS_REFUSED_ADDRESS},
        {"rp:id:till", "{\"to\":[\"till\",\"x\"]}", REDIS_REFUSED_ADDRESS},
        {"rp:id:till", "{\"group\":\"g\"}", REDIS_REFUSED_ADDRESS},
        {"rp:id:till", "{\"to\":\"till\",\"broadcast\":true}", REDIS_REFUSED_ADDRESS},
        {"rp:group:g", "{\"to\":\"till\"}", REDIS_REFUSED_ADDRESS},
        {"rp:group:g", "{\"group\":[\"g\",\"h\"]}", REDIS_REFUSED_ADDRESS},
        {"rp:all", "{\"to\":\"till\"}", REDIS_REFUSED_ADDRESS},
        {"rp:all", "{\"broadcast\":false}", REDIS_REFUSED_ADDRESS},
        {"rp:id:till", "{\"ack\":true}", REDIS_REFUSED_ACK},
        {"rp:id:till", "{\"node\":{}}", REDIS_REFUSED_NODE},
        {"rp:id:till", "{\"node\":{\"run\":\"0000000000000007\"},\"data\":1}", REDIS_REFUSED_NODE},
        {"rp:id:till", "{\"node\":{\"run\":\"0\",\"n\":1},\"to\":\"till\"}", REDIS_REFUSED_NODE},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t before = redis_figure_of(&redis.figures.refused[cases[i].why]), all = refused();
        redis_comes(cases[i].channel, cases[i].text);
        if (redis_figure_of(&redis.figures.refused[cases[i].why]) != before + 1 ||
            refused() != all + 1)
            fail_msg("%s %s", cases[i].channel, cases[i].text);
        assert_int_equal(messages_got(till), 0);
    }
    char *text = malloc(100001);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    memcpy(text, "{\"data\":\"", 9);
    memcpy(text + 99998, "\"}", 2);
    redis_comes("rp:id:till", text);
    assert_int_equal(REFUSED(TOO_LARGE), 1);
    free(text);
    assert_int_equal(FIGURE(received), 0);
    assert_true(redis.up);
}

static void test_own(void **state) {
    (void)state;
    char text[200];
    uint64_t before = FIGURE(own);
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%.16s\",\"p\":1,\"n\":1},\"to\":\"till\"}",
             fake_server.run);
    redis_comes("rp:id:till", text);
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%.16s\",\"p\":18446744073709551615",
             fake_server.run);
    redis_comes("rp:id:till", text);
    assert_int_equal(FIGURE(own), before + 2);
    assert_int_equal(messages_got(till), 0);
}

static void test_missed(void **state) {
    (void)state;
    const char *fields = "\"to\":[\"till\"],\"data\":1";
    redis_comes("rp:id:till", copy(7, 10, 5, fields));
    redis_comes("rp:id:till", copy(7, 20, 8, fields));
    assert_int_equal(FIGURE(missed), 2);
    assert_int_equal(messages_got(till), 2);
    /* Nor does one miss what comes while one is away. */
    peer_end(till);
    redis_settle();
    assert_null(redis_channel("rp:id:till"));
    till = peer_connect(0, LISTENER_TCP);
    peer_say(till, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    redis_settle();
    redis_comes("rp:id:till", copy(7, 25, 12, fields));
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(FIGURE(missed), 2);
    redis_comes("rp:id:till", copy(7, 26, 14, fields));
    assert_int_equal(FIGURE(missed), 3);
    /* One for a name that has just gone is nobody's. */
    redis_comes("rp:id:gone", copy(7, 27, 9, "\"to\":[\"gone\"],\"data\":1"));
    assert_int_equal(FIGURE(gone), 1);
    assert_int_equal(FIGURE(received), 4);
    assert_int_equal(refused(), 0);
}

/* --- while the workers are behind
 * ----------------------------------------------------------------- */

static uint32_t free_publish;

/* The port cannot publish anything. */
static void hold(void) {
    redis_settle();
    free_publish = redis.port.free_publish;
    redis.port.free_publish = 0;
}

static void let(void) {
    redis.port.free_publish = free_publish;
    redis_settle();
}

static void test_held(void **state) {
    (void)state;
    hold();
    redis_comes("rp:id:till", copy(7, 1, 1, "\"to\":[\"till\"],\"group\":\"g\",\"data\":1"));
    redis_comes("rp:group:g", copy(7, 1, 1, "\"to\":[\"till\"],\"group\":\"g\",\"data\":1"));
    redis_comes("rp:id:till", "{\"data\":2}");
    redis_pass(IN_HELD_NS / 2);
    assert_true(redis.held);
    assert_int_equal(messages_got(till), 0);
    let();
    assert_false(redis.held);
    const char *first = strstr(till->out, "\"data\":1"), *second = strstr(till->out, "\"data\":2");
    assert_true(first != NULL && first < second);
    assert_int_equal(messages_got(till), 2);
    assert_int_equal(FIGURE(received), 2);
    assert_int_equal(FIGURE(repeated), 1);
    assert_int_equal(refused(), 0);
}

/* One that comes through at the last moment counts as taken, and as nothing else. */
static void test_held_to_the_last(void **state) {
    (void)state;
    hold();
    redis_comes("rp:id:till", "{\"data\":1}");
    assert_true(redis.held);
    fake_now_ns += IN_HELD_NS;
    let();
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(FIGURE(received), 1);
    assert_int_equal(refused(), 0);
}

static void test_given_up(void **state) {
    (void)state;
    hold();
    redis_comes("rp:id:till", "{\"data\":1}");
    redis_comes("rp:id:till", "{\"data\":2}");
    redis_pass(IN_HELD_NS + 100 * NS_PER_MS);
    assert_int_equal(REFUSED(OVERLOADED), 1);
    assert_true(redis.held);
    let();
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(FIGURE(received), 1);
}

/* However long that takes, Redis is there, and nobody is called silent who was not heard. */
static void test_behind_for_long(void **state) {
    (void)state;
    const char *fields = "\"to\":[\"till\"],\"group\":\"g\",\"data\":1";
    redis_comes("rp:all", word(7, "n2", true));
    redis_comes("rp:id:till", copy(7, 1, 1, fields));
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(FIGURE(nodes), 1);
    hold();
    for (unsigned i = 0; i < 8; i++)
        redis_message("rp:id:till", "{\"data\":2}");
    redis_message("rp:group:g", copy(7, 1, 1, fields)); /* the same as the first */
    redis_tell(SUBSCRIBER);
    redis_tells[SUBSCRIBER] = false;
    for (unsigned i = 0; i < 15; i++) {
        redis_pass(500 * NS_PER_MS);
        assert_true(redis.held && redis.up);
    }
    /* While it waits it does not look at what comes. */
    fake_sockets.waits_at_once = 0;
    fake_socket_say(redis_link(SUBSCRIBER), SPAN("*3\r\n"));
    redis.port.type->wait(&redis.port, 1, NS_PER_S);
    assert_true(fake_sockets.waits_at_once == 0 && fake_sockets.waited_ns == NS_PER_MS);
    fake_socket_find(redis.shards[0]->subscriber.fd)->said_len = 0;
    let();
    redis_tells[SUBSCRIBER] = true;
    redis_settle();
    assert_int_equal(FIGURE(lost), 0);
    assert_int_equal(FIGURE(repeated), 1);
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(REFUSED(OVERLOADED), 7);
}

static void test_lost_while_held(void **state) {
    (void)state;
    hold();
    redis_comes("rp:id:till", "{\"data\":1}");
    redis_link(COMMANDS)->error = ECONNRESET;
    node_settle();
    assert_false(redis.up || redis.held);
    assert_int_equal(REFUSED(OVERLOADED), 1); /* no number would tell that it is missing */
    let();
    for (unsigned i = 0; i < 50 && !redis.up; i++)
        redis_pass(100 * NS_PER_MS);
    assert_int_equal(messages_got(till), 0);
    redis_comes("rp:id:till", "{\"data\":2}");
    assert_int_equal(messages_got(till), 1);
}

/* Without memory to know the node, nothing of it could be told apart. */
static void test_unknown_node(void **state) {
    (void)state;
    const char *fields = "\"to\":[\"till\"],\"group\":\"g\",\"data\":1";
    uint64_t now_ns = redis.port.now_ns;
    char run[WIRE_RUN_BYTES + 1];
    for (unsigned i = 0; i < NODES_MAX; i++) {
        snprintf(run, sizeof(run), "%016x", 1000 + i);
        assert_non_null(nodes_hear(&redis.nodes, run, now_ns));
    }
    redis_comes("rp:id:till", copy(7, 1, 1, fields));
    redis_comes("rp:group:g", copy(7, 1, 1, fields));
    assert_int_equal(messages_got(till), 0);
    assert_int_equal(REFUSED(OVERLOADED), 2);
    nodes_leave(&redis.nodes, nodes_hear(&redis.nodes, "00000000000003e8", now_ns));
    redis_comes("rp:id:till", copy(7, 2, 2, fields));
    redis_comes("rp:group:g", copy(7, 2, 2, fields));
    assert_int_equal(messages_got(till), 1);
}

/* --- who is there
 * ---------------------------------------------------------------------------------- */

static void test_nodes(void **state) {
    (void)state;
    redis_comes("rp:all", word(7, "n2", true));
    redis_comes("rp:all", word(7, "n2", true));
    redis_comes("rp:all", word(8, "n3", true));
    assert_int_equal(FIGURE(nodes), 2);
    redis_comes("rp:all", word(8, "n3", false));
    assert_int_equal(FIGURE(nodes), 1);
    for (unsigned i = 0; i < 8; i++) {
        redis_pass(NODES_SILENT_NS / 2);
        assert_int_equal(FIGURE(nodes), 1);
        redis_comes("rp:all", word(7, "n2", true));
    }
    redis_pass(NODES_SILENT_NS + 100 * NS_PER_MS);
    assert_int_equal(FIGURE(nodes), 0);
    assert_int_equal(FIGURE(received) + refused(), 0);
    assert_int_equal(messages_got(till), 0);
    char name[NODES_NAME_BYTES_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[NODES_NAME_BYTES_MAX + 1] = '\0';
    redis_comes("rp:all", word(9, name, true));
    redis_comes("rp:all", word(10, name + 1, true));
    assert_int_equal(FIGURE(nodes), 2);
}

/* Redis stands still between two copies of a message: it is not the other node that is silent, and
 * the second copy is known for what it is. */
static void test_redis_stands_still(void **state) {
    (void)state;
    const char *fields = "\"to\":[\"till\"],\"group\":\"g\",\"data\":1";
    redis_comes("rp:all", word(7, "n2", true));
    redis_comes("rp:id:till", copy(7, 1, 1, fields));
    assert_int_equal(messages_got(till), 1);
    redis_runs[SUBSCRIBER] = redis_runs[COMMANDS] = false;
    redis_pass(LINK_SILENT_NS - 200 * NS_PER_MS);
    assert_true(redis.up && FIGURE(nodes) == 1);
    redis_runs[SUBSCRIBER] = redis_runs[COMMANDS] = true;
    redis_settle();
    redis_comes("rp:group:g", copy(7, 1, 1, fields));
    assert_int_equal(messages_got(till), 0);
    assert_int_equal(FIGURE(repeated), 1);
    /* And if it says nothing now, it is silent. */
    redis_pass(NODES_SILENT_NS + 200 * NS_PER_MS);
    assert_int_equal(FIGURE(nodes), 0);
}

/* --- the end
 * --------------------------------------------------------------------------------------- */

static void test_behind_the_drain(void **state) {
    (void)state;
    redis_runs[SUBSCRIBER] = false; /* it does not give up a name */
    server_drain(&fake_server);
    for (unsigned i = 0; i < 200 && server_phase(&fake_server) == PHASE_REFUSING; i++) {
        fake_now_ns += 20 * NS_PER_MS;
        redis_settle();
        server_step(&fake_server);
    }
    assert_true(server_phase(&fake_server) > PHASE_REFUSING);
    redis_comes("rp:id:till", "{\"data\":1}");
    assert_int_equal(REFUSED(DRAINING), 1);
}

/* --- the end -------------------------------------------------------------------------------------
 */

static void test_drain(void **state) {
    (void)state;
    redis_runs[SUBSCRIBER] = false;
    server_drain(&fake_server);
    for (unsigned i = 0; i < 10; i++) {
        fake_now_ns += 20 * NS_PER_MS;
        redis_settle();
        server_step(&fake_server);
    }
    /* Nothing is closed while messages may still come. */
    assert_int_equal(server_phase(&fake_server), PHASE_REFUSING);
    redis_message("rp:id:till", "{\"data\":\"the last\"}");
    redis_settle();
    assert_non_null(strstr(till->out, "the last"));
    redis_runs[SUBSCRIBER] = true;
    redis_settle();
    assert_int_equal(redis_channel_count(), 1);
    for (unsigned i = 0; i < 400 && !server_step(&fake_server); i++) {
        fake_now_ns += 20 * NS_PER_MS;
        redis_settle();
    }
    assert_int_equal(server_phase(&fake_server), PHASE_STOPPED);
    assert_true(redis_words > 1);
}

/* Redis does not answer: that ends after a second. */
static void test_drain_while_silent(void **state) {
    (void)state;
    redis_runs[SUBSCRIBER] = redis_runs[COMMANDS] = false;
    server_drain(&fake_server);
    uint64_t since_ns = fake_now_ns;
    while (server_phase(&fake_server) == PHASE_REFUSING) {
        fake_now_ns += 20 * NS_PER_MS;
        redis_settle();
        server_step(&fake_server);
    }
    assert_in_range(fake_now_ns - since_ns, SILENT_NS, SILENT_NS + 200 * NS_PER_MS);
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_of_another_node),
        ONE(test_once),
        ONE(test_bytes),
        ONE(test_of_a_program),
        ONE(test_refused),
        ONE(test_own),
        ONE(test_missed),
        ONE(test_held),
        ONE(test_held_to_the_last),
        ONE(test_given_up),
        ONE(test_behind_for_long),
        ONE(test_lost_while_held),
        ONE(test_unknown_node),
        ONE(test_nodes),
        ONE(test_redis_stands_still),
        ONE(test_behind_the_drain),
        ONE(test_drain),
        ONE(test_drain_while_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
