/* Polls of this node's clients for sessions of other nodes, which the test plays. */
#include "tests/support/fake_peer.h"

static struct peer *web, *web_too;

/* A session of the other node: 0xabcd, worker 0, slot 1. */
#define SID "q80AAAABAAAAAAAAAAAA"
#define PATH "/engine.io/?EIO=4&transport=polling&sid="
#define POLL "GET " PATH SID " HTTP/1.1\r\nHost: a\r\n\r\n"
#define UNKNOWN "{\"code\":1,\"message\":\"Session ID unknown\"}"

static int setup(void **state) {
    passes_open(state);
    web = peer_connect(0, LISTENER_WEB);
    web_too = peer_connect(1, LISTENER_WEB);
    return 0;
}

static uint64_t failed(enum peer_failure why) {
    return figure(&passes.figures.failed[why]);
}

static void answer(struct wire *wire, uint64_t number, enum poll_answer what, unsigned status,
                   const char *body) {
    frame_say(wire,
              (struct peer_head){.type = PEER_ANSWER,
                                 .number = number,
                                 .answer = (uint8_t)what,
                                 .code = what == POLL_ANSWER_ERROR ? 1 : 0,
                                 .status = (uint16_t)status},
              body);
}

#define assert_asked(wire, type_, number_, body_)                                                  \
    do {                                                                                           \
        struct peer_head got_;                                                                     \
        const char *text_ = frame_take(wire, &got_);                                               \
        assert_int_equal(got_.type, type_);                                                        \
        assert_int_equal(got_.number, number_);                                                    \
        assert_string_equal(text_, body_);                                                         \
    } while (0)

#define assert_told(text, status, body)                                                            \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        assert_int_equal(status_of(text_), status);                                                \
        assert_string_equal(body_of(text_), body);                                                 \
    } while (0)

/* The node has called, and has asked for one poll, number 1. */
static struct wire *one_asked(void) {
    assert_string_equal(ask(web, POLL), "");
    struct wire *wire = peer_answer(OTHER_RUN, OTHER_ADDRESS);
    assert_asked(wire, PEER_POLL, 1, "");
    assert_int_equal(figure(&passes.figures.away), 1);
    return wire;
}

static void test_passed_on(void **state) {
    (void)state;
    struct wire *wire = one_asked();
    answer(wire, 1, POLL_ANSWER_TEXT, 200, "4hello");
    assert_told(web->out, 200, "4hello");
    /* Another goes over the same connection, with what it brings. */
    peer_say(web_too, post(PATH SID "&j=7", "application/octet-stream", "4x"));
    struct peer_head head;
    assert_string_equal(frame_take(wire, &head), "4x");
    assert_int_equal(head.number, 2);
    assert_int_equal(head.ask.kind, POLL_POST);
    assert_int_equal(head.ask.path, ENGINE_PATH_ECHO);
    assert_true(head.ask.bytes && head.ask.jsonp && !head.ask.mismatch);
    answer(wire, 2, POLL_ANSWER_OK, 200, NULL);
    assert_told(web_too->out, 200, "ok");
    assert_int_equal(figure(&passes.figures.answered), 2);
    assert_int_equal(figure(&passes.figures.away) + figure(&passes.figures.calls), 1);
    /* Numbers that nobody waits for, and a payload too large for the memory there is. */
    answer(wire, 2, POLL_ANSWER_TEXT, 200, "again");
    answer(wire, 77, POLL_ANSWER_OK, 200, NULL);
    free(peer_heard(web));
    peer_say(web, POLL);
    assert_asked(wire, PEER_POLL, 3, "");
    quota_force(&fake_server.answers, fake_server.answers.ceiling_bytes);
    answer(wire, 3, POLL_ANSWER_TEXT, 200, "4hello");
    quota_give(&fake_server.answers, fake_server.answers.ceiling_bytes);
    assert_int_equal(status_of(web->out), 503);
}

static void test_a_script(void **state) {
    (void)state;
    peer_say(web, "GET " PATH SID "&j=3 HTTP/1.1\r\nHost: a\r\n\r\n");
    struct wire *wire = peer_answer(OTHER_RUN, OTHER_ADDRESS);
    assert_asked(wire, PEER_POLL, 1, "");
    answer(wire, 1, POLL_ANSWER_TEXT, 200, "4x");
    assert_string_equal(body_of(web->out), "___eio[3](\"4x\");");
}

static void test_its_client_goes(void **state) {
    (void)state;
    struct wire *wire = one_asked();
    peer_end(web);
    assert_asked(wire, PEER_CANCEL, 1, "");
    assert_int_equal(figure(&passes.figures.away), 0);
    answer(wire, 1, POLL_ANSWER_TEXT, 200, "to nobody");
    assert_false(wire->closed);
}

/* It goes in the moment in which its answer has come. */
static void test_its_client_goes_meanwhile(void **state) {
    (void)state;
    struct wire *wire = one_asked();
    frame_put(wire,
              (struct peer_head){
                  .type = PEER_ANSWER, .number = 1, .answer = POLL_ANSWER_TEXT, .status = 200},
              "4x");
    port_turn(&passes.port, 0);
    peer_end(web); /* the worker sees that first, in this turn */
    node_settle();
    struct peer_head head;
    frame_take(wire, &head);
    assert_int_equal(head.type, PEER_CANCEL);
    assert_int_equal(head.ask.sid.node, 0xabcd);
    assert_int_equal(figure(&passes.figures.away), 0);
    assert_int_equal(figure(&passes.figures.answered), 1);
}

static void test_its_client_goes_before_it_was_asked(void **state) {
    (void)state;
    peer_say(web, POLL);
    peer_say(web_too, POLL);
    peer_end(web);
    struct wire *wire = peer_answer(OTHER_RUN, OTHER_ADDRESS);
    assert_asked(wire, PEER_POLL, 2, "");
    assert_true(frame_none(wire));
}

/* Half of its question is written, and the client goes. */
static void test_its_client_goes_in_the_middle(void **state) {
    (void)state;
    static char body[150001];
    memset(body, '4', sizeof(body) - 1);
    struct wire *wire = one_asked();
    wire->takes = 100;
    peer_say(web_too, post(PATH SID, "text/plain", body));
    peer_end(web_too);
    assert_int_equal(figure(&passes.figures.away), 1);
    wire->takes = SIZE_MAX;
    node_settle();
    assert_asked(wire, PEER_POLL, 2, body);
    assert_asked(wire, PEER_CANCEL, 2, "");
}

static void test_the_node_goes(void **state) {
    (void)state;
    struct wire *wire = one_asked();
    peer_say(web_too, POLL);
    wire->in_end = true;
    node_settle();
    assert_told(web->out, 400, UNKNOWN);
    assert_told(web_too->out, 400, UNKNOWN);
    assert_int_equal(failed(PEER_FAILED_LOST), 2);
    assert_int_equal(figure(&passes.figures.calls), 0);
}

static void test_the_node_is_silent(void **state) {
    (void)state;
    struct wire *wire = one_asked();
    node_pass(4 * NS_PER_S);
    assert_string_equal(web->out, "");
    node_pass(2 * NS_PER_S);
    assert_true(wire->closed);
    assert_told(web->out, 400, UNKNOWN);
}

/* The node lives, and does not answer that one. */
static void test_no_answer(void **state) {
    (void)state;
    struct wire *wire = one_asked();
    for (unsigned i = 0; i < 13; i++) {
        assert_string_equal(web->out, "");
        frame_say(wire, (struct peer_head){.type = PEER_PING}, NULL);
        node_pass(4 * NS_PER_S);
    }
    frame_say(wire, (struct peer_head){.type = PEER_PING}, NULL);
    node_pass(4 * NS_PER_S);
    assert_told(web->out, 400, UNKNOWN);
    assert_int_equal(failed(PEER_FAILED_LATE), 1);
    assert_asked(wire, PEER_CANCEL, 1, "");
    assert_false(wire->closed);
}

static void test_released(void **state) {
    (void)state;
    struct wire *wire = one_asked();
    server_drain(&fake_server);
    node_settle();
    assert_asked(wire, PEER_RELEASE, 1, "");
    answer(wire, 1, POLL_ANSWER_TEXT, 200, "6");
    assert_string_equal(body_of(web->out), "6");
    /* One that still comes is let go as well. */
    peer_say(web_too, POLL);
    assert_asked(wire, PEER_POLL, 2, "");
    assert_asked(wire, PEER_RELEASE, 2, "");
    answer(wire, 2, POLL_ANSWER_TEXT, 200, "6");
    assert_non_null(strstr(web_too->out, "Connection: close"));
}

/* At the end nobody is waited for. */
static void test_the_end(void **state) {
    (void)state;
    one_asked();
}

/* --- who is called ---------------------------------------------------------------------------- */

static void test_who_proves_nothing(void **state) {
    (void)state;
    uint8_t key[PROOF_KEY_BYTES];
    proof_key(SPAN("another secret"), key);
    const struct {
        const char *run, *address;
        const uint8_t *key;
        enum peer_refusal why; /* COUNT: it is lost */
    } cases[] = {
        {OTHER_RUN, OTHER_ADDRESS, key, PEER_REFUSED_PROOF},
        /* Somebody who passes on what the real one says, from an address of his own. */
        {OTHER_RUN, "192.0.2.8:7010", the_key, PEER_REFUSED_PROOF},
        {"abcd000000000002", OTHER_ADDRESS, the_key, PEER_REFUSAL_COUNT},
    };
    for (unsigned i = 0; i < 3; i++) {
        free(peer_heard(web));
        assert_string_equal(ask(web, POLL), "");
        struct wire *wire = wire_called();
        peer_challenge(wire, cases[i].run, cases[i].address, cases[i].key);
        assert_true(wire->closed);
        assert_int_equal(wire->out_len, 0); /* it has said no more than hello */
        assert_told(web->out, 400, UNKNOWN);
        if (cases[i].why != PEER_REFUSAL_COUNT)
            assert_int_equal(figure(&passes.figures.refused[cases[i].why]), i + 1);
        node_pass(6 * NS_PER_S);
    }
    assert_int_equal(failed(PEER_FAILED_UNREACHED), 3);
}

static void test_who_cannot_be_called(void **state) {
    (void)state;
    wires_refuse = true;
    peer_say(web, POLL);
    assert_told(web->out, 400, UNKNOWN);
    wires_refuse = false;
    free(peer_heard(web));
    peer_say(web, POLL); /* not called again at once */
    assert_told(web->out, 400, UNKNOWN);
    assert_null(wire_called());
    node_pass(NS_PER_S);
    free(peer_heard(web));
    peer_say(web, POLL);
    assert_non_null(wire_called());
    node_pass(6 * NS_PER_S);
    assert_told(web->out, 400, UNKNOWN);
    assert_null(wire_called());
}

static void test_who_is_not_known(void **state) {
    (void)state;
    node_pass(NS_PER_S);
    herald_count = 0;
    node_pass(4 * NS_PER_S);
    assert_int_equal(passes.host_count, 1);
    node_pass(2 * NS_PER_S);
    assert_int_equal(passes.host_count, 0);
    peer_say(web, POLL);
    assert_told(web->out, 400, UNKNOWN);
    assert_int_equal(failed(PEER_FAILED_UNKNOWN), 1);
    herald_add("other", OTHER_RUN, "");
    free(peer_heard(web));
    fake_now_ns += NS_PER_S;
    peer_say(web, POLL);
    assert_told(web->out, 400, UNKNOWN);
    assert_int_equal(failed(PEER_FAILED_UNSET), 1);
    /* It has been given an address: found at once. */
    herald_count = 0;
    herald_add("other", OTHER_RUN, OTHER_ADDRESS);
    node_pass(NS_PER_S);
    struct wire *wire = one_asked();
    /* It is kept while there is a connection. */
    herald_count = 0;
    for (unsigned i = 0; i < 3; i++) {
        frame_say(wire, (struct peer_head){.type = PEER_PING}, NULL);
        node_pass(2 * NS_PER_S);
    }
    assert_int_equal(passes.host_count, 1);
}

/* The herald has lost all, and has come back; it has not heard of them yet. */
static void test_who_is_not_known_again_yet(void **state) {
    (void)state;
    node_pass(NS_PER_S);
    herald_count = 0;
    atomic_store(&herald.degraded, "redis");
    node_pass(10 * NS_PER_S);
    atomic_store(&herald.degraded, NULL);
    node_pass(NS_PER_S);
    one_asked();
}

static void test_who_idles(void **state) {
    (void)state;
    struct wire *wire = one_asked();
    answer(wire, 1, POLL_ANSWER_TEXT, 200, "4x");
    for (unsigned i = 0; i < 16; i++) {
        frame_say(wire, (struct peer_head){.type = PEER_PING}, NULL);
        node_pass(4 * NS_PER_S);
    }
    assert_true(wire->closed);
    assert_int_equal(figure(&passes.figures.lost), 0);
}

/* Two nodes whose sids begin alike are asked one after the other. */
static void test_two_alike(void **state) {
    (void)state;
    herald_add("twin", "abcd000000000002", "192.0.2.9:7010");
    node_pass(NS_PER_S);
    peer_say(web, post(PATH SID, "text/plain", "4x"));
    struct wire *first = peer_answer(OTHER_RUN, OTHER_ADDRESS);
    assert_asked(first, PEER_POLL, 1, "4x");
    answer(first, 1, POLL_ANSWER_ERROR, 400, NULL);
    assert_string_equal(web->out, "");
    struct wire *second = first + 1;
    assert_true(second->used && second->called);
    uint8_t proof[PROOF_BYTES];
    peer_challenge(second, "abcd000000000002", "192.0.2.9:7010", the_key);
    wire_take(second, proof, sizeof(proof));
    assert_asked(second, PEER_POLL, 2, "4x");
    answer(second, 2, POLL_ANSWER_ERROR, 400, NULL);
    assert_told(web->out, 400, UNKNOWN);
    assert_int_equal(figure(&passes.figures.answered), 1);
}

/* One of them is not there, or is somebody else. */
static void test_two_alike_and_one_away(void **state) {
    (void)state;
    uint8_t key[PROOF_KEY_BYTES];
    proof_key(SPAN("another secret"), key);
    herald_add("twin", "abcd000000000002", "192.0.2.9:7010");
    node_pass(NS_PER_S);
    peer_say(web, post(PATH SID, "text/plain", "4x"));
    struct wire *first = wire_called();
    peer_challenge(first, OTHER_RUN, OTHER_ADDRESS, key);
    assert_true(first->closed);
    assert_string_equal(web->out, "");
    struct wire *second = peer_answer("abcd000000000002", "192.0.2.9:7010");
    struct peer_head head;
    assert_string_equal(frame_take(second, &head), "4x");
    answer(second, head.number, POLL_ANSWER_OK, 200, NULL);
    assert_told(web->out, 200, "ok");
}

static void test_what_is_no_answer(void **state) {
    (void)state;
    static char body[150001];
    struct wire *wire = one_asked();
    struct peer_head bad = {.type = PEER_CANCEL, .number = 1};
    frame_say(wire, bad, NULL);
    assert_true(wire->closed);
    assert_told(web->out, 400, UNKNOWN);
    assert_int_equal(figure(&passes.figures.refused[PEER_REFUSED_FRAME]), 1);
    /* An answer to half a question. */
    node_pass(NS_PER_S);
    free(peer_heard(web));
    peer_say(web, POLL);
    wire = peer_answer(OTHER_RUN, OTHER_ADDRESS);
    wire->takes = 0;
    memset(body, '4', sizeof(body) - 1);
    peer_say(web_too, post(PATH SID, "text/plain", body));
    answer(wire, 3, POLL_ANSWER_OK, 200, NULL);
    assert_true(wire->closed);
    assert_told(web->out, 400, UNKNOWN);
    assert_told(web_too->out, 400, UNKNOWN);
    assert_int_equal(figure(&passes.figures.away), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, passes_close)
        TEST(test_passed_on),
        TEST(test_a_script),
        TEST(test_its_client_goes),
        TEST(test_its_client_goes_meanwhile),
        TEST(test_its_client_goes_before_it_was_asked),
        TEST(test_its_client_goes_in_the_middle),
        TEST(test_the_node_goes),
        TEST(test_the_node_is_silent),
        TEST(test_no_answer),
        TEST(test_released),
        TEST(test_the_end),
        TEST(test_who_proves_nothing),
        TEST(test_who_cannot_be_called),
        TEST(test_who_is_not_known),
        TEST(test_who_is_not_known_again_yet),
        TEST(test_who_idles),
        TEST(test_two_alike),
        TEST(test_two_alike_and_one_away),
        TEST(test_what_is_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
