/* The port to Redis on a whole node: what it publishes and what it makes of the answers, and what
 * it subscribes. How it is with Redis away is test_redis_away.c, what comes in test_redis_in.c. */
#include "tests/support/redis_push.h"

/* --- up ----------------------------------------------------------------------------------------
 */

static void test_comes_up(void **state) {
    (void)state;
    assert_true(redis.up && redis_is_up(&redis));
    assert_null(atomic_load(&redis.port.degraded));
    assert_int_equal(redis_channel_count(), 2);
    assert_non_null(redis_channel("rp:all"));
    assert_true(redis_words == 1);
    assert_int_equal(FIGURE(names), 0);
    redis_pass(5 * NS_PER_S);
    assert_in_range(redis_words, 5, 7);
    assert_true(redis.up && FIGURE(lost) == 0);
    /* Its own words are not another node. */
    assert_int_equal(FIGURE(nodes), 0);
    assert_int_equal(FIGURE(waiting), 0);
}

static void test_no_such_host(void **state) {
    (void)state;
    char problem[256];
    struct redis_port other;
    fake_sockets.addresses = 0;
    redis_port_init(&other, &fake_config);
    other.port.config = &fake_config;
    account_init(&other.port.account, &fake_server.budget);
    assert_false(other.port.type->open(&other.port, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "redis: redis is not known"));
    assert_null(strstr(problem, "pw"));
    redis_shard_free(other.shards[0]);
    fake_sockets.addresses = 1;
}

/* --- names -------------------------------------------------------------------------------------
 */

static void test_names(void **state) {
    (void)state;
    redis_runs[SUBSCRIBER] = false;
    struct peer *a = hello(0, "a");
    redis_settle();
    assert_string_equal(a->out, "");
    redis_runs[SUBSCRIBER] = true;
    redis_tells[SUBSCRIBER] = false;
    redis_settle();
    assert_non_null(redis_channel("rp:id:a"));
    assert_string_equal(a->out, "");
    redis_tells[SUBSCRIBER] = true;
    redis_settle();
    assert_non_null(strstr(a->out, "\"type\":\"welcome\""));
    assert_non_null(redis_channel("rp:group:g"));
    assert_int_equal(FIGURE(names), 2);
    struct peer *again = client(1, "a");
    assert_int_equal(redis_channel_count(), 4);
    peer_end(a);
    redis_settle();
    assert_int_equal(redis_channel_count(), 4);
    peer_end(again);
    redis_settle();
    assert_int_equal(redis_channel_count(), 2);
    assert_int_equal(FIGURE(names), 0);
    assert_int_equal(presence_count(fake_server.presence), 0);
}

/* More than fit into one command. */
static void test_many_names(void **state) {
    (void)state;
    char text[40];
    enum { MANY = 700 };
    redis_runs[SUBSCRIBER] = false;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "name-%u", i);
        assert_true(presence_begin(fake_server.presence, NAME_ID, span_text(text)));
    }
    uint64_t begun = presence_begun(fake_server.presence);
    node_settle();
    assert_int_equal(FIGURE(names), MANY);
    assert_int_equal(times(redis_link(SUBSCRIBER)->sent, "SUBSCRIBE"), 2);
    assert_true(presence_ready(fake_server.presence) < begun);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "name-%u", i);
        presence_end(fake_server.presence, NAME_ID, span_text(text));
    }
    node_settle();
    assert_int_equal(FIGURE(names), 0);
    fake_socket_take(redis_link(SUBSCRIBER), redis_link(SUBSCRIBER)->sent_len);
    lose();
    assert_int_equal(presence_count(fake_server.presence), 0);
    redis_runs[SUBSCRIBER] = true;
}

/* --- what PUBLISH answers -----------------------------------------------------------------------
 */

static void test_counts(void **state) {
    (void)state;
    assert_int_equal(status_of(push("{\"to\":\"x\"}")), 404);
    assert_queued(push("{\"group\":\"x\"}"), 0);
    assert_queued(push("{\"broadcast\":true}"), 0); /* less this node */
    client(0, "a");
    assert_queued(push("{\"to\":\"a\"}"), 1);
    assert_queued(push("{\"group\":\"g\"}"), 1);
    redis_others = 2;
    assert_queued(push("{\"to\":\"x\"}"), 2);
    assert_queued(push("{\"to\":\"a\"}"), 3);
    assert_queued(push("{\"broadcast\":true}"), 3);
    assert_queued(push("{\"to\":[\"a\",\"x\"]}"), 5); /* a node counts for each channel */
    assert_int_equal(FIGURE(published), 10);
    assert_int_equal(redis_publishes, 10);
    assert_in_range(FIGURE(own), 6, 6 + redis_words);
    assert_int_equal(FIGURE(received) + FIGURE(repeated), 0);
}

static void test_many_addresses(void **state) {
    (void)state;
    redis_others = 1;
    char body[600] = "{\"to\":[\"x0\"";
    for (unsigned i = 1; i < WIRE_ADDRESSES_MAX; i++)
        snprintf(body + strlen(body), sizeof(body) - strlen(body), ",\"x%u\"", i);
    size_t len = strlen(body);
    snprintf(body + len, sizeof(body) - len, "]}");
    assert_queued(push(body), WIRE_ADDRESSES_MAX);
    assert_int_equal(redis_publishes, WIRE_ADDRESSES_MAX);
    snprintf(body + len, sizeof(body) - len, ",\"last\"]}");
    assert_queued(push(body), 1);
    assert_int_equal(redis_publishes, WIRE_ADDRESSES_MAX + 1);
    assert_non_null(strstr(redis_published, "rp:all {\"node\""));
    assert_non_null(strstr(redis_published, "\"last\""));
}

/* SUBSCRIBE is under way: carried out before PUBLISH or behind it, told before or behind. */
static void race(bool subscribe_first, bool told_first, bool leaves) {
    struct peer *a = leaves ? client(0, "a") : NULL;
    redis_others = 1;
    redis_runs[SUBSCRIBER] = redis_runs[COMMANDS] = false;
    redis_tells[SUBSCRIBER] = redis_tells[COMMANDS] = false;
    if (leaves)
        peer_end(a);
    else
        a = hello(0, "a");
    push_begin("{\"to\":\"a\"}");
    redis_settle();
    for (unsigned i = 0; i < 2; i++) {
        redis_runs[(i == 0) == subscribe_first ? SUBSCRIBER : COMMANDS] = true;
        redis_settle();
    }
    for (unsigned i = 0; i < 2; i++) {
        redis_tells[(i == 0) == told_first ? SUBSCRIBER : COMMANDS] = true;
        redis_settle();
    }
    assert_queued(api->out, leaves ? 1 : 2);
    assert_true(list_empty(&redis.shards[0]->parked) && list_empty(&redis.shards[0]->parked_next));
    if (!leaves)
        peer_end(a);
    redis_settle();
    assert_int_equal(redis_channel_count(), 2);
}

static void test_races(void **state) {
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        race((i & 1) != 0, (i & 2) != 0, (i & 4) != 0);
}

/* The same while the node has just come up, and while it leaves. */
static void test_races_to_all(void **state) {
    (void)state;
    redis_others = 1;
    lose();
    redis_tells[SUBSCRIBER] = false;
    for (unsigned i = 0; i < 50 && !redis.up; i++) {
        redis_pass(100 * NS_PER_MS);
        if (redis.shards[0]->subscriber.state == LINK_GREETING)
            redis_tell(SUBSCRIBER);
    }
    assert_true(redis.up && !redis.shards[0]->hears_all);
    push_begin("{\"broadcast\":true}");
    redis_settle();
    assert_string_equal(api->out, "");
    redis_tells[SUBSCRIBER] = true;
    redis_settle();
    assert_queued(api->out, 1);
    /* It is published, and all is given up before the answer comes. */
    redis_runs[COMMANDS] = false;
    push_begin("{\"broadcast\":true}");
    redis.port.type->refuse(&redis.port);
    redis_settle();
    assert_null(redis_channel("rp:all"));
    redis_runs[COMMANDS] = true;
    redis_settle();
    assert_queued(api->out, 1);
}

static uint64_t random_state = 88172645463325252u;

static unsigned roll(unsigned below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20) % below;
}

/* Clients come and go, others too, and all is carried out and told in any order: each answer says
 * how many there were when its PUBLISH was carried out. */
static void test_races_at_random(void **state) {
    (void)state;
    struct peer *clients[3] = {NULL}, *pushers[6];
    unsigned wanted[6] = {0}, answers = 0;
    char body[60], id[8];
    redis_others = 2;
    for (unsigned i = 0; i < 6; i++)
        pushers[i] = api_connect();
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = roll(3), p = roll(6);
        snprintf(id, sizeof(id), "c%u", i);
        switch (roll(6)) {
        case 0:
            if (roll(6) != 0)
                break;
            if (clients[i] == NULL) {
                clients[i] = hello(roll(2), id);
            } else {
                peer_end(clients[i]);
                peer_end(clients[i]);
                if (!clients[i]->closed)
                    break;
                peer_forget(clients[i]);
                clients[i] = NULL;
            }
            break;
        case 1:
            if (wanted[p] != 0)
                break;
            free(peer_heard(pushers[p]));
            snprintf(body, sizeof(body), "{\"to\":\"%s\"}", id);
            peer_say(pushers[p], JSON_POST("/v1/messages", body));
            wanted[p] = 2 + (clients[i] != NULL);
            break;
        case 2:
            redis_run(roll(LINKS));
            break;
        case 3:
            redis_tell(roll(LINKS));
            break;
        default:
            node_settle();
        }
        for (p = 0; p < 6; p++)
            if (wanted[p] != 0 && pushers[p]->out_len != 0) {
                assert_queued(pushers[p]->out, wanted[p]);
                wanted[p] = 0;
                answers++;
            }
    }
    assert_true(answers > 100 && redis.up);
    for (unsigned i = 0; i < 3; i++)
        if (clients[i] != NULL)
            peer_end(clients[i]);
    redis_settle();
    assert_int_equal(redis_channel_count(), 2);
}

/* What goes to the port is no mail between workers. */
static void test_unicast_mails(void **state) {
    (void)state;
    uint64_t mails = 0, unicasts = 0;
    redis_others = 1;
    assert_queued(push("{\"to\":\"x\"}"), 1);
    for (unsigned i = 0; i < fake_server.worker_count; i++) {
        mails += stats_get(&fake_server.workers[i].stats.unicast_mails);
        unicasts += stats_get(&fake_server.workers[i].stats.unicasts);
    }
    assert_int_equal(unicasts, 1);
    assert_int_equal(mails, 0);
}

/* Whatever Redis says, the sessions of this node count. */
static void test_absurd_counts(void **state) {
    (void)state;
    client(0, "a");
    static const char *const answers[] = {":9223372036854775807\r\n", ":4294967295\r\n",
                                          ":4294967296\r\n", ":4294967297\r\n"};
    for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        redis_publish_answer = answers[i];
        assert_queued(push("{\"to\":\"a\"}"), (uint32_t)INT32_MAX + 1);
        assert_queued(push("{\"to\":[\"a\",\"x\",\"y\"]}"), (uint32_t)INT32_MAX + 1);
    }
    redis_publish_answer = NULL;
}

/* So many copies have gone out since that it is not remembered whether this node's own came back:
 * then nobody is called absent, and nobody there. */
static void test_not_remembered(void **state) {
    (void)state;
    redis_others = 1;
    redis_runs[SUBSCRIBER] = false;
    hello(0, "a");
    push_begin("{\"to\":\"a\",\"except\":\"a\"}");
    redis_settle();
    assert_int_equal(api->out_len, 0);
    assert_false(list_empty(&redis.shards[0]->parked));
    redis.copy += OWN_COPIES;
    redis_runs[SUBSCRIBER] = true;
    redis_settle();
    assert_unavailable(api->out, false);
}

/* --- answers that are none -----------------------------------------------------------------------
 */

static void test_answers_that_nobody_asked_for(void **state) {
    (void)state;
    static const char *const answers[] = {":1\r\n", "+PONG\r\n", "-ERR x\r\n", "*0\r\n", "$-1\r\n"};
    for (unsigned link = 0; link < LINKS; link++)
        for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
            redis_say(link, answers[i]);
            redis_tell(link);
            node_settle();
            assert_false(redis.up);
            come_back();
        }
    static const char *const confirmations[] = {
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nrp:x\r\n:3\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$6\r\nrp:all\r\n:1\r\n",
        "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
        "*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n",
        "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nb\r\n",
    };
    for (unsigned i = 0; i < sizeof(confirmations) / sizeof(confirmations[0]); i++) {
        redis_say(SUBSCRIBER, confirmations[i]);
        redis_tell(SUBSCRIBER);
        node_settle();
        assert_false(redis.up);
        come_back();
    }
}

static void test_errors(void **state) {
    (void)state;
    static const char *const answers[] = {"-NOPERM no\r\n", "+OK\r\n", "$1\r\nx\r\n", "*0\r\n"};
    for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        redis_publish_answer = answers[i];
        assert_unavailable(push("{\"to\":\"x\"}"), true);
        redis_publish_answer = NULL;
        come_back();
    }
    assert_int_equal(FIGURE(lost), 4);
    redis_subscribe_answer = "-NOPERM no\r\n";
    hello(0, "a");
    redis_settle();
    assert_int_equal(FIGURE(lost), 5);
    redis_subscribe_answer = NULL;
    come_back();
    /* A negative number of nodes is none. */
    redis_publish_answer = ":-5\r\n";
    redis_pass(UNSURE_NS);
    assert_int_equal(status_of(push("{\"to\":\"x\"}")), 404);
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_comes_up),
        ONE(test_no_such_host),
        ONE(test_names),
        ONE(test_many_names),
        ONE(test_counts),
        ONE(test_many_addresses),
        ONE(test_races),
        ONE(test_races_to_all),
        ONE(test_races_at_random),
        ONE(test_unicast_mails),
        ONE(test_absurd_counts),
        ONE(test_not_remembered),
        ONE(test_answers_that_nobody_asked_for),
        ONE(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
