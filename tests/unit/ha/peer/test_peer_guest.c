/* Polls that come from other nodes, for sessions of this one; and who may bring them. */
#include "tests/support/fake_peer.h"

static struct peer *web;
static struct sid sid;
static char sid_text[SID_TEXT_BYTES + 1];

static int setup(void **state) {
    passes_open(state);
    web = peer_connect(1, LISTENER_WEB);
    const char *opened =
        strstr(ask(web, "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n"),
               "{\"sid\":\"");
    assert_non_null(opened);
    memcpy(sid_text, opened + strlen("{\"sid\":\""), SID_TEXT_BYTES);
    assert_true(sid_read(span_of(sid_text, SID_TEXT_BYTES), &sid));
    return 0;
}

static struct peer_head poll_of(uint64_t number, enum poll_kind kind) {
    return (struct peer_head){
        .type = PEER_POLL,
        .number = number,
        .ask = {.sid = sid, .path = ENGINE_PATH_ECHO, .kind = (uint8_t)kind, .version = 4}};
}

static struct peer_head about(enum peer_type type, uint64_t number) {
    return (struct peer_head){.type = (uint8_t)type, .number = number, .ask = {.sid = sid}};
}

#define assert_frame(wire, number_, answer_, status_, body_)                                       \
    do {                                                                                           \
        struct peer_head got_;                                                                     \
        const char *text_ = frame_take(wire, &got_);                                               \
        assert_int_equal(got_.type, PEER_ANSWER);                                                  \
        assert_int_equal(got_.number, number_);                                                    \
        assert_int_equal(got_.answer, answer_);                                                    \
        assert_int_equal(got_.status, status_);                                                    \
        assert_string_equal(text_, body_);                                                         \
    } while (0)

static void test_polls(void **state) {
    (void)state;
    struct wire *wire = peer_come();
    assert_int_equal(figure(&passes.figures.called), 1);
    frame_say(wire, poll_of(1, POLL_GET), NULL);
    assert_true(frame_none(wire));
    assert_int_equal(figure(&passes.figures.guests), 1);
    frame_say(wire, poll_of(2, POLL_POST), "4hello");
    struct peer_head head;
    /* The session is looked at later in the turn. */
    assert_string_equal(frame_take(wire, &head), "");
    assert_int_equal(head.answer, POLL_ANSWER_OK);
    assert_int_equal(head.number, 2);
    assert_frame(wire, 1, POLL_ANSWER_TEXT, 200, "4hello");
    frame_say(wire, poll_of(3, POLL_OTHER), NULL);
    assert_frame(wire, 3, POLL_ANSWER_NONE, 500, "");
    assert_int_equal(figure(&passes.figures.guests), 0);
    assert_int_equal(passes.guests.count, 0);
}

static void test_released(void **state) {
    (void)state;
    struct wire *wire = peer_come();
    frame_put(wire, poll_of(1, POLL_GET), NULL);
    frame_say(wire, about(PEER_RELEASE, 1), NULL);
    assert_frame(wire, 1, POLL_ANSWER_TEXT, 200, "6");
    frame_say(wire, about(PEER_RELEASE, 1), NULL);
    /* One that is released and given up before the worker has heard of it. */
    frame_put(wire, poll_of(2, POLL_GET), NULL);
    frame_put(wire, about(PEER_RELEASE, 2), NULL);
    frame_say(wire, about(PEER_CANCEL, 2), NULL);
    assert_int_equal(sessions(), 0);
    assert_int_equal(figure(&passes.figures.guests), 0);
}

static void test_given_up(void **state) {
    (void)state;
    struct wire *wire = peer_come();
    frame_say(wire, poll_of(1, POLL_GET), NULL);
    frame_say(wire, about(PEER_CANCEL, 1), NULL);
    assert_true(frame_none(wire));
    assert_int_equal(sessions(), 0);
    assert_int_equal(figure(&passes.figures.guests), 0);
    frame_say(wire, poll_of(2, POLL_GET), NULL);
    assert_frame(wire, 2, POLL_ANSWER_ERROR, 400, "");
}

static void test_given_up_when_it_was_answered(void **state) {
    (void)state;
    struct wire *wire = peer_come();
    frame_say(wire, poll_of(1, POLL_GET), NULL);
    frame_put(wire, poll_of(2, POLL_POST), "4x");
    frame_say(wire, about(PEER_CANCEL, 1), NULL);
    assert_int_equal(sessions(), 0);
    assert_int_equal(figure(&passes.figures.guests), 0);
    /* Of a session that there is not, a node, a worker. */
    frame_say(wire, about(PEER_CANCEL, 9), NULL);
    sid.worker = 77;
    frame_say(wire, about(PEER_CANCEL, 9), NULL);
    sid.node ^= 1;
    frame_say(wire, about(PEER_CANCEL, 9), NULL);
    assert_int_equal(figure(&passes.figures.guests), 0);
}

static void test_the_connection_ends(void **state) {
    (void)state;
    struct wire *wire = peer_come();
    frame_say(wire, poll_of(1, POLL_GET), NULL);
    wire->in_end = true;
    node_settle();
    assert_true(wire->closed);
    assert_int_equal(sessions(), 0);
    assert_int_equal(figure(&passes.figures.guests), 0);
    assert_int_equal(figure(&passes.figures.called), 0);
    assert_int_equal(figure(&passes.figures.lost), 1);
}

static void test_it_is_silent(void **state) {
    (void)state;
    struct wire *wire = peer_come();
    frame_say(wire, poll_of(1, POLL_GET), NULL);
    node_pass(4 * NS_PER_S);
    assert_true(wire->out_len >= 3 * PEER_HEAD_BYTES); /* pings */
    assert_true(frame_none(wire));
    frame_say(wire, (struct peer_head){.type = PEER_PING}, NULL);
    node_pass(4 * NS_PER_S);
    assert_false(wire->closed);
    node_pass(2 * NS_PER_S);
    assert_true(wire->closed);
    assert_int_equal(sessions(), 0);
}

/* A packet of Engine.IO that fills many buffers. */
static const char *long_packet(void) {
    static char body[150001];
    memset(body, 'y', sizeof(body) - 1);
    body[0] = '4';
    return body;
}

/* Answers wait while it takes nothing, and so does what it asks. */
static void test_it_reads_slowly(void **state) {
    (void)state;
    const char *body = long_packet();
    struct wire *wire = peer_come();
    frame_none(wire);
    wire->takes = 0;
    for (uint64_t i = 0; i < 4; i++) {
        frame_say(wire, poll_of(2 * i + 1, POLL_POST), body);
        frame_say(wire, poll_of(2 * i + 2, POLL_GET), NULL);
    }
    assert_int_equal(wire->out_len, 0);
    assert_in_range(figure(&passes.figures.guests), 4, 8); /* some are in its buffer */
    for (unsigned pieces = 0; figure(&passes.figures.guests) != 0; pieces++) {
        assert_true(pieces < 1000);
        wire->takes = 7001;
        node_settle();
    }
    wire->takes = SIZE_MAX;
    node_settle();
    for (uint64_t i = 0; i < 4; i++) {
        assert_frame(wire, 2 * i + 1, POLL_ANSWER_OK, 200, "");
        assert_frame(wire, 2 * i + 2, POLL_ANSWER_TEXT, 200, body);
    }
}

/* What is not about the answer that is being written follows it. */
static void test_in_the_middle_of_an_answer(void **state) {
    (void)state;
    const char *body = long_packet();
    struct wire *wire = peer_come();
    frame_none(wire);
    frame_say(wire, poll_of(1, POLL_POST), body);
    assert_frame(wire, 1, POLL_ANSWER_OK, 200, "");
    wire->takes = 50000;
    frame_say(wire, poll_of(2, POLL_GET), NULL);
    node_pass(2 * NS_PER_S); /* a ping is due */
    sid.worker = 77;
    /* More of them than there is room for. */
    for (uint64_t i = 0; i < 200; i++)
        frame_put(wire, poll_of(10 + i, POLL_GET), NULL);
    node_settle();
    node_pass(2 * NS_PER_S);
    wire->takes = SIZE_MAX;
    node_settle();
    assert_frame(wire, 2, POLL_ANSWER_TEXT, 200, body);
    for (uint64_t i = 0; i < 200; i++)
        assert_frame(wire, 10 + i, POLL_ANSWER_ERROR, 400, "");
    assert_true(frame_none(wire));
    assert_int_equal(sessions(), 1);
}

/* It goes while much is to be written to it: the session, which was told that it has left, ends. */
static void test_it_goes_unread(void **state) {
    (void)state;
    const char *body = long_packet();
    struct wire *wire = peer_come();
    wire->takes = 100;
    frame_say(wire, poll_of(1, POLL_POST), body);
    frame_say(wire, poll_of(2, POLL_GET), NULL);
    assert_int_equal(figure(&passes.figures.guests), 1); /* the other is in its buffer */
    wire->error = ECONNRESET;
    node_settle();
    assert_true(wire->closed);
    assert_int_equal(sessions(), 0);
    assert_int_equal(figure(&passes.figures.guests), 0);
}

static void test_what_is_too_much(void **state) {
    (void)state;
    static char body[200002];
    struct wire *wire = peer_come();
    memset(body, '4', sizeof(body) - 1);
    frame_say(wire, poll_of(1, POLL_POST), body);
    assert_frame(wire, 1, POLL_ANSWER_NONE, 413, "");
    /* No memory for its body. */
    quota_force(&fake_server.answers, fake_server.answers.ceiling_bytes);
    frame_say(wire, poll_of(2, POLL_POST), "4x");
    assert_frame(wire, 2, POLL_ANSWER_STARVED, 503, "");
    quota_give(&fake_server.answers, fake_server.answers.ceiling_bytes);
    assert_int_equal(figure(&passes.figures.turned), 2);
    sid.worker = 2;
    frame_say(wire, poll_of(3, POLL_GET), NULL);
    assert_frame(wire, 3, POLL_ANSWER_ERROR, 400, "");
    frame_say(wire, poll_of(4, POLL_GET), NULL);
    assert_frame(wire, 4, POLL_ANSWER_ERROR, 400, "");
    assert_int_equal(sessions(), 1);
}

/* Every frame that it may not say ends the connection. */
static void test_what_is_no_frame(void **state) {
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct wire *wire = peer_come();
        frame_say(wire, poll_of(1, POLL_GET), NULL);
        struct peer_head bad = i == 0   ? poll_of(1, POLL_GET) /* the same number */
                               : i == 1 ? about(PEER_ANSWER, 1)
                               : i == 2 ? poll_of(0, POLL_GET)
                                        : poll_of(2, POLL_GET);
        bad.status = 200;
        frame_say(wire, bad, i == 3 ? "a body" : NULL);
        assert_true(wire->closed);
        assert_int_equal(figure(&passes.figures.refused[PEER_REFUSED_FRAME]), i + 1);
    }
    assert_int_equal(sessions(), 0);
}

/* --- who may come ----------------------------------------------------------------------------- */

static void test_strangers(void **state) {
    (void)state;
    uint8_t hello[PEER_HELLO_BYTES], challenge[PEER_CHALLENGE_BYTES];
    struct wire *wire = wire_connect();
    wire_say(wire, "GET / HTTP/1.1\r\nHost: a\r\nAnd what else there may be in it\r\n\r\n....", 64);
    assert_true(wire->closed && wire->out_len == 0);
    assert_int_equal(figure(&passes.figures.refused[PEER_REFUSED_HELLO]), 1);
    wire = wire_connect();
    side_make(&wire->mine, OTHER_RUN);
    peer_hello_write(&wire->mine, hello);
    wire_say(wire, hello, sizeof(hello));
    wire_take(wire, challenge, sizeof(challenge));
    wire_say(wire, challenge + PEER_HELLO_BYTES, PROOF_BYTES); /* the node's own proof */
    assert_true(wire->closed && wire->out_len == 0);
    assert_int_equal(figure(&passes.figures.refused[PEER_REFUSED_PROOF]), 1);
    wire = wire_connect();
    wire_say(wire, hello, 63);
    node_pass(4 * NS_PER_S);
    assert_false(wire->closed);
    node_pass(2 * NS_PER_S);
    assert_true(wire->closed);
    assert_int_equal(figure(&passes.figures.refused[PEER_REFUSED_SLOW]), 1);
    wire = wire_connect();
    wire->in_end = true;
    node_settle();
    assert_int_equal(figure(&passes.figures.refused[PEER_REFUSED_ENDED]), 1);
    struct wire *first = wire_connect();
    for (unsigned i = 1; i < PEER_STRANGERS_MAX; i++)
        wire_connect();
    assert_false(first->closed);
    wire_connect();
    assert_true(first->closed);
    assert_int_equal(figure(&passes.figures.refused[PEER_REFUSED_MANY]), 1);
    assert_int_equal(passes.strangers, PEER_STRANGERS_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, passes_close)
        TEST(test_polls),
        TEST(test_released),
        TEST(test_given_up),
        TEST(test_given_up_when_it_was_answered),
        TEST(test_the_connection_ends),
        TEST(test_it_is_silent),
        TEST(test_it_reads_slowly),
        TEST(test_in_the_middle_of_an_answer),
        TEST(test_it_goes_unread),
        TEST(test_what_is_too_much),
        TEST(test_what_is_no_frame),
        TEST(test_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
