/* Sessions that come while a message is on its way to others of their id, on a whole engine of two
 * workers, turn by turn: the second worker is late. */
#include "tests/support/fake_http.h"

#include "core/keeper.h"

static struct peer *api, *first;
static char hello[64], message[96];

/* An id that the first worker keeps. */
static void id_choose(char *id, size_t cap) {
    for (unsigned i = 0;; i++) {
        snprintf(id, cap, "till-%u", i);
        if (keeper_of(&fake_server, name_hash(NAME_ID, 0, span_text(id))) == 0)
            return;
    }
}

static int setup(void **state) {
    (void)state;
    char id[32];
    http_node_open();
    id_choose(id, sizeof id);
    snprintf(hello, sizeof hello, "{\"type\":\"hello\",\"id\":\"%s\"}\n", id);
    snprintf(message, sizeof message, "{\"to\":\"%s\",\"ack\":true,\"id\":\"m1\"}", id);
    api = api_connect();
    first = client_connect(0, hello);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static void turn(unsigned worker) {
    worker_turn(&fake_server.workers[worker], 0);
}

static uint64_t questions(void) {
    return stats_get(&fake_server.workers[0].stats.mails[MAIL_ATTEND]) +
           stats_get(&fake_server.workers[1].stats.mails[MAIL_ATTEND]);
}

/* It has had the message once since the last time, and that said so, or not. */
static void heard(struct peer *peer, bool again) {
    char *text = peer_heard(peer);
    assert_int_equal(times(text, "\"id\":\"m1\""), 1);
    assert_int_equal(times(text, "\"redelivered\":true"), again);
    free(text);
}

/* A session of the second worker asks, and is answered; then the message is handed over, which the
 * first session has at once. The second worker has seen neither yet. */
static struct peer *ask_and_push(void) {
    struct peer *asker = peer_connect(1, LISTENER_TCP);
    peer_send(asker, hello);
    turn(1);
    turn(0);
    peer_send(api, JSON_POST("/v1/messages", message));
    turn(0);
    heard(first, false);
    return asker;
}

/* The answer to a question that was asked before it came is not for it: who has had the message
 * from the first session, and comes back on the second worker, gets no copy that looks new. */
static void test_comes_behind_a_question(void **state) {
    (void)state;
    struct peer *back = peer_connect(1, LISTENER_TCP);
    struct peer *asker = ask_and_push();
    uint64_t before = questions();
    peer_say(back, hello);
    heard(back, true);
    heard(asker, false);
    assert_int_equal(first->out_len, 0);
    assert_int_equal(questions() - before, 1);
}

/* Nor if whoever asked has gone. */
static void test_comes_behind_the_question_of_one_that_has_gone(void **state) {
    (void)state;
    struct peer *back = peer_connect(1, LISTENER_TCP);
    struct peer *asker = ask_and_push();
    asker->in_end = true;
    peer_deliver(&fake_rings[1], asker);
    peer_say(back, hello);
    heard(back, true);
    assert_int_equal(first->out_len, 0);
}

/* All that come while a question is under way have one more together. */
static void test_many_come_behind_a_question(void **state) {
    (void)state;
    struct peer *peers[12];
    for (unsigned i = 0; i < 12; i++)
        peers[i] = peer_connect(1, LISTENER_TCP);
    struct peer *asker = ask_and_push();
    uint64_t before = questions();
    for (unsigned i = 0; i < 6; i++)
        peer_send(peers[i], hello);
    turn(1); /* takes the answer, and asks again */
    for (unsigned i = 6; i < 12; i++)
        peer_send(peers[i], hello);
    turn(1);
    turn(1);
    node_settle();
    for (unsigned i = 0; i < 12; i++)
        heard(peers[i], true);
    heard(asker, false);
    assert_int_equal(questions() - before, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_comes_behind_a_question),
        TEST(test_comes_behind_the_question_of_one_that_has_gone),
        TEST(test_many_come_behind_a_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
