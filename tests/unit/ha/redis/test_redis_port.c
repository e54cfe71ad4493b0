/* The port to Redis on a whole node: what it publishes and what it makes of the answers, what it
 * subscribes, and how it is with Redis away. What comes in is test_redis_in.c. */
#include "tests/support/fake_redis.h"

#include "core/port_wait.h"

static struct peer *api;

static int setup(void **state) {
    (void)state;
    redis_node_open();
    api = api_connect();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    redis_node_close();
    return 0;
}

static void push_begin(const char *body) {
    free(peer_heard(api));
    peer_say(api, JSON_POST("/v1/messages", body));
}

static const char *push(const char *body) {
    push_begin(body);
    redis_settle();
    return api->out;
}

static void assert_queued(const char *answer, unsigned recipients) {
    char wanted[100];
    snprintf(wanted, sizeof(wanted), "\"state\":\"queued\",\"recipients\":%u}", recipients);
    if (status_of(answer) != 202 || strstr(answer, wanted) == NULL)
        fail_msg("%s is not %s", answer, wanted);
}

static void assert_unavailable(const char *answer, bool maybe) {
    assert_error(answer, 503, "cluster_unavailable");
    assert_int_equal(strstr(answer, "\"maybe\":true") != NULL, maybe);
}

static struct peer *hello(unsigned worker, const char *id) {
    char line[200];
    struct peer *peer = peer_connect(worker, LISTENER_TCP);
    snprintf(line, sizeof(line), "{\"type\":\"hello\",\"id\":\"%s\",\"groups\":[\"g\"]}\n", id);
    peer_say(peer, line);
    return peer;
}

static struct peer *client(unsigned worker, const char *id) {
    struct peer *peer = hello(worker, id);
    redis_settle();
    assert_non_null(strstr(peer->out, "\"type\":\"welcome\""));
    return peer;
}

static void lose(void) {
    if (redis_link(SUBSCRIBER) != NULL)
        redis_link(SUBSCRIBER)->error = ECONNRESET;
    node_settle();
    assert_false(redis.up);
}

static void come_back(void) {
    for (unsigned i = 0; i < 200 && !redis.up; i++)
        redis_pass(100 * NS_PER_MS);
    assert_true(redis.up);
    redis_pass(LINK_GOOD_NS); /* it counts as one that stays */
}

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
    assert_false(other.port.type->open(&other.port, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "redis: redis is not known"));
    assert_null(strstr(problem, "pw"));
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
    assert_true(list_empty(&redis.parked) && list_empty(&redis.parked_next));
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
        if (redis.subscriber.state == LINK_GREETING)
            redis_tell(SUBSCRIBER);
    }
    assert_true(redis.up && !redis.hears_all);
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
        if (redis.subscriber.state == LINK_GREETING)
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
    assert_false(list_empty(&redis.parked));
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
    for (unsigned i = 0; i < 20 && !link_is_up(&redis.commands); i++)
        redis_pass(20 * NS_PER_MS);
    assert_true(link_is_up(&redis.commands) && !redis.up);
    redis_link(COMMANDS)->ended = true;
    node_settle();
    assert_false(link_is_up(&redis.commands));
    redis_tells[SUBSCRIBER] = true;
    come_back();
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
    redis_pass(100 * NS_PER_MS);
    assert_int_equal(FIGURE(lost), 5);
    redis_subscribe_answer = NULL;
    come_back();
    /* A negative number of nodes is none. */
    redis_publish_answer = ":-5\r\n";
    redis_pass(UNSURE_NS);
    assert_int_equal(status_of(push("{\"to\":\"x\"}")), 404);
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
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
        ONE(test_away),
        ONE(test_known_names_after_a_loss),
        ONE(test_lost_with_a_message),
        ONE(test_lost_at_each_step),
        ONE(test_silent),
        ONE(test_one_of_two),
        ONE(test_answers_that_nobody_asked_for),
        ONE(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
