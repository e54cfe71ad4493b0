/* Messages that are to be acknowledged, from node to node, on a whole node: those that others lend
 * to it, those that it hands to others, and the words about both; also such as do not belong. */
#include "tests/support/fake_redis.h"

#include "core/keeper.h"

static struct peer *till;

static void till_comes(void) {
    till = peer_connect(0, LISTENER_TCP);
    peer_say(till, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    redis_settle();
    assert_non_null(strstr(till->out, "\"type\":\"welcome\""));
}

/* A copy that node `run` lends; `number` is that of the copy. */
static void lends(unsigned run, unsigned number, const char *fields) {
    char text[400];
    snprintf(text, sizeof(text),
             "{\"node\":{\"run\":\"%016x\",\"p\":%u,\"n\":%u,\"s\":%u,\"e\":1,\"keeps\":true%s},"
             "\"to\":[\"till\"],\"ack\":true,\"ttl\":60,%s}",
             run, number, number, number, number > 1 ? ",\"again\":true" : "", fields);
    redis_comes("rp:id:till", text);
}

static void says(unsigned run, const char *channel, const char *word) {
    char text[400];
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%016x\",%s}}", run, word);
    redis_comes(channel, text);
}

static const char *own_channel(void) {
    static char channel[40];
    snprintf(channel, sizeof(channel), "rp:node:%s", fake_server.run);
    return channel;
}

static void acks(const char *id) {
    char line[100];
    snprintf(line, sizeof(line), "{\"type\":\"ack\",\"id\":\"%s\"}\n", id);
    peer_say(till, line);
    redis_settle();
}

static uint64_t pending(void) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        sum += stats_get(&fake_server.workers[i].stats.acks_pending);
    return sum;
}

static void push_begin(const char *body) {
    free(peer_heard(api));
    peer_say(api, JSON_POST("/v1/messages", body));
    redis_settle();
}

static void push(const char *body) {
    push_begin(body);
    assert_int_equal(status_of(api->out), 202);
}

/* --- lent to this node ------------------------------------------------------------------------ */

static void test_lent(void **state) {
    (void)state;
    till_comes();
    lends(7, 1, "\"id\":\"m1\",\"data\":1");
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(FIGURE(lent), 1);
    lends(7, 2, "\"id\":\"m1\",\"data\":1"); /* who lent it heard nothing */
    assert_int_equal(messages_got(till), 0);
    assert_int_equal(FIGURE(lent), 1);
    assert_null(strstr(redis_said, "acked"));
    acks("m1");
    assert_non_null(strstr(redis_said, "rp:node:0000000000000007 {\"node\":{\"run\":\""));
    assert_non_null(strstr(redis_said, "\"acked\":[[\"m1\",\"till\"]]}}"));
    assert_int_equal(FIGURE(lent), 0);
    /* It did not come there: it is told again. */
    redis_said[0] = '\0';
    lends(7, 3, "\"id\":\"m1\",\"data\":1");
    assert_int_equal(messages_got(till), 0);
    assert_non_null(strstr(redis_said, "\"acked\":[[\"m1\",\"till\"]]}}"));
    assert_int_equal(pending() + FIGURE(lent), 0);
}

/* Two clients of one node gave their messages the same id: each is delivered. */
static void test_same_id(void **state) {
    (void)state;
    till_comes();
    lends(7, 1, "\"id\":\"m1\",\"data\":1");
    lends(7, 2, "\"id\":\"m1\",\"data\":2");
    lends(7, 3, "\"id\":\"m1\",\"event\":\"e\",\"data\":2");
    assert_int_equal(messages_got(till), 3);
    assert_int_equal(pending(), 3);
}

/* Its node was started again, and lends it again: one acknowledgement is for both. */
static void test_lent_by_two_runs(void **state) {
    (void)state;
    till_comes();
    lends(7, 1, "\"id\":\"m1\",\"data\":1");
    lends(8, 2, "\"id\":\"m1\",\"data\":1");
    assert_int_equal(messages_got(till), 2);
    acks("m1");
    assert_int_equal(pending() + FIGURE(lent), 0);
    assert_non_null(strstr(redis_said, "rp:node:0000000000000007"));
    assert_non_null(strstr(redis_said, "rp:node:0000000000000008"));
}

/* What does not wait to be acknowledged is not lent, whatever is said of it. */
static void test_kept_without_ack(void **state) {
    (void)state;
    till_comes();
    redis_comes("rp:id:till",
                "{\"node\":{\"run\":\"0000000000000007\",\"p\":1,\"n\":1,\"keeps\":true},"
                "\"id\":\"m1\",\"to\":[\"till\"],\"data\":1}");
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(pending() + FIGURE(lent), 0);
}

static void test_too_many_are_lent(void **state) {
    (void)state;
    till_comes();
    atomic_store(&redis.figures.lent, REDIS_LENT_MAX);
    lends(7, 1, "\"id\":\"m1\",\"data\":1");
    assert_false(redis.held); /* nobody else waits */
    assert_int_equal(messages_got(till), 0);
    assert_int_equal(REFUSED(OVERLOADED), 1);
    redis_comes("rp:id:till", "{\"data\":1}");
    assert_int_equal(messages_got(till), 1);
    atomic_store(&redis.figures.lent, 0);
    lends(7, 2, "\"id\":\"m1\",\"data\":1");
    assert_int_equal(messages_got(till), 1);
}

/* --- words ------------------------------------------------------------------------------------ */

static void test_settled(void **state) {
    (void)state;
    till_comes();
    lends(7, 1, "\"id\":\"m1\",\"data\":1");
    const char *settled = "\"settled\":[[\"m1\",\"till\"]]";
    says(8, "rp:id:till", settled); /* another one's word */
    says(7, "rp:all", settled);     /* not its place */
    assert_int_equal(pending(), 1);
    says(7, "rp:id:till", settled);
    assert_int_equal(pending() + FIGURE(lent), 0);
    assert_null(strstr(redis_said, "acked"));
}

/* What a third node keeps is not settled by what another one's clients say. */
static void test_acked_elsewhere(void **state) {
    (void)state;
    till_comes();
    lends(7, 1, "\"id\":\"m1\",\"data\":1");
    says(8, own_channel(), "\"acked\":[[\"m1\",\"till\"]]");
    assert_int_equal(pending(), 1);
    assert_null(strstr(redis_said, "acked"));
    acks("m1");
    assert_int_equal(pending(), 0);
}

static void test_own_acked(void **state) {
    (void)state;
    redis_others = 1;
    says(7, "rp:all", "\"came\":[\"till\"]");
    push("{\"to\":\"till\",\"id\":\"m2\",\"ack\":true}");
    assert_non_null(strstr(redis_published, "\"keeps\":true"));
    assert_int_equal(pending(), 1);
    says(7, "rp:all", "\"acked\":[[\"m2\",\"till\"]]");
    says(7, "rp:node:0123456789abcdef", "\"acked\":[[\"m2\",\"till\"]]");
    assert_int_equal(pending(), 1);
    says(7, own_channel(),
         "\"acked\":[7,[],[1,2],[\"m2\"],{},[\"m2\",\"nobody\"],[\"m1\",\"till\"],"
         "[\"m2\",\"till\",\"/none\"]]");
    assert_int_equal(pending(), 1);
    says(7, own_channel(), "\"acked\":[[\"m2\",\"till\"],[\"m2\",\"till\"]]");
    assert_int_equal(pending(), 0);
}

/* A message that was never handed to others cannot have been acknowledged there. */
static void test_acked_and_not_sent(void **state) {
    (void)state;
    till_comes();
    push("{\"to\":\"till\",\"id\":\"m2\",\"ack\":true}");
    assert_int_equal(messages_got(till), 1);
    says(7, own_channel(), "\"acked\":[[\"m2\",\"till\"]]");
    assert_int_equal(pending(), 1);
    acks("m2");
    assert_int_equal(pending(), 0);
}

/* --- clients that come ------------------------------------------------------------------------ */

/* The answer to a copy says that nobody was there; that somebody has come since is known already.
 */
static void test_came_before_an_answer(void **state) {
    (void)state;
    redis_others = 1;
    says(7, "rp:all", "\"came\":[\"till\"]");
    redis_tells[COMMANDS] = false;
    redis_others = 0; /* it has gone, and comes again behind the copy */
    push_begin("{\"to\":\"till\",\"id\":\"m2\",\"ack\":true}");
    assert_int_equal(times(redis_published, "\"m2\""), 1);
    redis_others = 1;
    says(7, "rp:all", "\"came\":[\"till\"]");
    assert_int_equal(times(redis_published, "\"m2\""), 2);
    redis_tells[COMMANDS] = true;
    redis_settle();
    /* It is handed there until it is acknowledged. */
    redis_pass(fake_config.ack_silence_ns + NS_PER_S);
    assert_true(times(redis_published, "\"m2\"") > 2);
}

/* Nobody was known when a client came: whoever comes to be known is told. */
static void test_came_before_anybody(void **state) {
    (void)state;
    till_comes();
    redis_pass(NS_PER_S);
    assert_int_equal(times(redis_said, "\"came\":[\"till\"]"), 0);
    says(7, "rp:all", "\"name\":\"n2\",\"lives\":true");
    redis_pass(NS_PER_S);
    assert_int_equal(times(redis_said, "\"came\":[\"till\"]"), 1);
    redis_pass(5 * NS_PER_S);
    assert_int_equal(times(redis_said, "\"came\":[\"till\"]"), 1);
}

static void names(bool begin) {
    for (unsigned i = 0; i < 150; i++) {
        char id[20];
        snprintf(id, sizeof(id), "id-%u", i);
        if (begin)
            presence_begin(fake_server.presence, NAME_ID, span_text(id));
        else
            presence_end(fake_server.presence, NAME_ID, span_text(id));
    }
    redis_settle();
}

/* Who asks while others are told hears all of them as well, at once. */
static void test_asked_meanwhile(void **state) {
    (void)state;
    const char *asks = "\"name\":\"n2\",\"lives\":true,\"asks\":true";
    unsigned told[2];
    says(7, "rp:all", asks);
    names(true);
    redis_said[0] = '\0';
    says(7, "rp:all", asks);
    told[0] = times(redis_said, "\"id-");
    redis.tells_again = true; /* as if nearly all were told */
    redis.told_to = UINT64_MAX;
    redis_said[0] = '\0';
    says(7, "rp:all", asks);
    told[1] = times(redis_said, "\"id-");
    names(false);
    assert_int_equal(told[0], 150);
    assert_int_equal(told[1], 150);
    assert_false(redis.tells_again || redis.tells_once_more);
}

static int setup_small(void **state) {
    post_slots_override = 64;
    return redis_setup(state);
}

static int teardown_small(void **state) {
    post_slots_override = 0;
    return redis_teardown(state);
}

/* More of them than a mailbox holds: it goes on where it stopped. */
static void test_many_come(void **state) {
    (void)state;
    static char text[8192];
    size_t len = (size_t)snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%016x\",\"came\":[", 7);
    for (unsigned i = 0; i < 1000; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"%u\"", i == 0 ? "" : ",", i);
    snprintf(text + len, sizeof(text) - len, "]}}");
    redis_comes("rp:all", text);
    for (unsigned i = 0; i < 100 && redis.held; i++)
        redis_pass(NS_PER_MS);
    assert_false(redis.held);
    assert_int_equal(redis.came_taken, 0);
    assert_int_equal(REFUSED(OVERLOADED), 0);
    assert_int_equal(stats_get(&redis.port.stats.mails[MAIL_REMOTE]), 1000);
}

/* That an id has come to another node is known before its message, of many ids as well. */
static void test_many_have_come(void **state) {
    (void)state;
    enum { IDS = 600 };
    char word[16384], body[100];
    struct builder out = builder_over(word, sizeof(word));
    builder_text(&out, "\"came\":[\"c0\"");
    for (unsigned i = 1; i < IDS; i++)
        builder_format(&out, ",\"c%u\"", i);
    builder_format(&out, "]");
    char text[17000];
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%016x\",%s}}", 7, word);
    redis_comes("rp:all", text);
    for (unsigned i = 0; i < IDS; i++) {
        redis_published[0] = '\0';
        snprintf(body, sizeof(body), "{\"to\":\"c%u\",\"ack\":true,\"data\":1}", i);
        push(body);
        if (strstr(redis_published, "\"keeps\":true") == NULL)
            fail_msg("c%u is forgotten", i);
    }
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_lent),
        ONE(test_same_id),
        ONE(test_lent_by_two_runs),
        ONE(test_kept_without_ack),
        ONE(test_too_many_are_lent),
        ONE(test_settled),
        ONE(test_acked_elsewhere),
        ONE(test_own_acked),
        ONE(test_acked_and_not_sent),
        ONE(test_came_before_an_answer),
        ONE(test_came_before_anybody),
        ONE(test_asked_meanwhile),
        cmocka_unit_test_setup_teardown(test_many_come, setup_small, teardown_small),
        ONE(test_many_have_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
