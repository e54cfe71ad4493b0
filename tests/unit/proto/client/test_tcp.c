/* The TCP framings over a fake engine: whole conversations, however the bytes are cut, whatever
 * they are, and lines at their limits. */
#include "tests/support/fake_client.h"

#define WELCOME                                                                                    \
    "{\"type\":\"welcome\",\"session\":\"0-a-2\",\"node\":\"n1\",\"heartbeat\":25,"                \
    "\"max_message\":100}\n"

/* --- conversations, however they are cut --------------------------------------------------------
 */

struct conversation {
    const char *in;
    const char *out;
    const char *groups;
    const char *sends;
    enum close_reason reason; /* CLOSE_NONE: it goes on */
};

static const struct conversation conversations[] = {
    {"\r\n  \n{\"type\":\"hello\",\"id\":\"a\",\"groups\":[\"g\"]}\r\n\n{\"type\":\"ping\"}\n",
     WELCOME "{\"type\":\"pong\"}\n", "+g", "", CLOSE_NONE},
    {"{\"type\":\"hello\"}\n{\"type\":\"join\",\"groups\":[\"g\",\"h\"],\"ref\":1}\n"
     "{\"type\":\"leave\",\"groups\":[\"g\"],\"ref\":\"x\"}\n{\"type\":\"join\",\"groups\":[\"i\"]}"
     "\n",
     WELCOME "{\"type\":\"ok\",\"ref\":1}\n{\"type\":\"ok\",\"ref\":\"x\"}\n", "+g+h-g+i", "",
     CLOSE_NONE},
    {"{\"type\":\"hello\"}\n{\"type\":\"send\",\"to\":\"b\",\"data\":[1],\"ref\":7}\n"
     "{\"type\":\"send\",\"to\":\"b\"}\n",
     WELCOME "{\"type\":\"ok\",\"ref\":7,\"id\":\"i1\",\"state\":\"queued\"}\n", "",
     "{\"type\":\"send\",\"to\":\"b\",\"data\":[1],\"ref\":7}|;{\"type\":\"send\",\"to\":\"b\"}|;",
     CLOSE_NONE},
    {"{\"type\":\"hello\"}\n{\"type\":\"hello\"}\n{\"type\":\"ack\",\"ids\":[\"a\",\"b\"]}\n"
     "{\"type\":\"pong\"}\n",
     WELCOME "{\"type\":\"error\",\"code\":\"bad_message\",\"message\":\"a session says hello "
             "once\"}\n",
     "", "", CLOSE_NONE},
    {"{\"type\":\"ping\"}\n{\"type\":\"hello\"}\n",
     "{\"type\":\"error\",\"code\":\"hello_required\",\"message\":\"a hello must come first\"}\n",
     "", "", CLOSE_HELLO_REQUIRED},
    {"GET / HTTP/1.1\r\n\r\n",
     "ERR bad_message - the line begins with none of HELLO, ACK, JOIN, LEAVE, SEND, PING, "
     "PONG\r\n",
     "", "", CLOSE_BAD_MESSAGE},
    {"x",
     "{\"type\":\"error\",\"code\":\"bad_json\",\"message\":\"the first byte is neither { nor "
     "a letter from A to Z\"}\n",
     "", "", CLOSE_BAD_JSON},
    {"HELLO {}\r\n\r\nPING\nJOIN 1 a%20b\r\nLEAVE r-2 a%20b\r\nSEND 3 6 "
     "{\"to\":\"b\"}\r\n[1,\r\n2\r\n"
     "SEND 4 0 {\"to\":\"b\"}\n\nPING\r\n",
     "WELCOME {\"type\":\"welcome\",\"session\":\"0-a-2\",\"node\":\"n1\",\"heartbeat\":25,"
     "\"max_message\":100}\r\nPONG\r\nOK 1\r\nOK r-2\r\nOK 3 i1 queued\r\nOK 4 i1 "
     "queued\r\nPONG\r\n",
     "+a b-a b", "{\"to\":\"b\"}|[1,\r\n2;{\"to\":\"b\"}|;", CLOSE_NONE},
    {"HELLO {}\r\nSEND 3 2 {\"to\":\"b\"}\r\n12345\r\n",
     "WELCOME {\"type\":\"welcome\",\"session\":\"0-a-2\",\"node\":\"n1\",\"heartbeat\":25,"
     "\"max_message\":100}\r\nERR bad_frame 3 there is no line end where the payload should "
     "end\r\n",
     "", "", CLOSE_BAD_FRAME},
    {"HELLO {}\r\nSEND 3 4197 {\"to\":\"b\"}\r\n",
     "WELCOME {\"type\":\"welcome\",\"session\":\"0-a-2\",\"node\":\"n1\",\"heartbeat\":25,"
     "\"max_message\":100}\r\nERR too_large 3 the payload is over --max-message\r\n",
     "", "", CLOSE_TOO_LARGE},
};

#define CONVERSATIONS (sizeof(conversations) / sizeof(conversations[0]))

static void conversation_check(const struct conversation *conversation) {
    expect(conversation->out);
    assert_string_equal(seen.groups, conversation->groups);
    assert_string_equal(seen.sends, conversation->sends);
    assert_int_equal(seen.reason, conversation->reason);
    if (conversation->reason == CLOSE_NONE)
        assert_int_equal(kept_len, 0);
    finish();
}

static void test_conversations(void **state) {
    (void)state;
    for (size_t i = 0; i < CONVERSATIONS; i++) {
        struct span in = span_text(conversations[i].in);
        begin();
        feed(in);
        conversation_check(&conversations[i]);
        begin();
        for (size_t at = 0; at < in.len; at++)
            feed(span_of(in.at + at, 1));
        conversation_check(&conversations[i]);
        for (size_t cut = 1; cut < in.len; cut++) {
            begin();
            feed(span_of(in.at, cut));
            feed(span_skip(in, cut));
            conversation_check(&conversations[i]);
        }
    }
}

static void test_any_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < CONVERSATIONS; i++) {
        struct span in = span_text(conversations[i].in);
        for (size_t at = 0; at < in.len; at++) {
            static const char others[] = {'\0', '\n', '{', 'A', '9', '"', (char)0x80, (char)0xff};
            for (size_t k = 0; k < sizeof(others); k++) {
                char mutated[512];
                assert_true(in.len < sizeof(mutated));
                memcpy(mutated, in.at, in.len);
                mutated[at] = others[k];
                begin();
                feed(span_of(mutated, in.len));
                finish();
            }
        }
    }
}

/* --- limits --------------------------------------------------------------------------------------
 */

static void test_lines_over_their_limit(void **state) {
    (void)state;
    static char big[HELLO_BYTES_MAX + 64];
    memset(big, ' ', sizeof(big));
    static const char hello[] = "{\"type\":\"hello\"}";
    for (int over = 0; over <= 1; over++) {
        begin();
        memcpy(big, hello, sizeof(hello) - 1);
        feed(span_of(big, HELLO_BYTES_MAX + (size_t)over));
        say("\r\n");
        assert_int_equal(seen.reason, over ? CLOSE_TOO_LARGE : CLOSE_NONE);
        finish();
        /* Without an end it is noticed as well. */
        begin();
        feed(span_of(big, HELLO_BYTES_MAX + (size_t)over));
        assert_int_equal(seen.reason, over ? CLOSE_TOO_LARGE : CLOSE_NONE);
        finish();
        begin();
        say("{\"type\":\"hello\"}\n");
        memcpy(big, "{\"type\":\"pong\"}", 15);
        big[15] = ' ';
        feed(span_of(big, 100 + LINE_SLACK_BYTES + (size_t)over));
        say("\n");
        assert_int_equal(seen.reason, over ? CLOSE_TOO_LARGE : CLOSE_NONE);
        finish();
        begin();
        say("HELLO {}\r\nJOIN 1 ");
        memset(big, 'x', CONTROL_LINE_BYTES_MAX);
        feed(span_of(big, CONTROL_LINE_BYTES_MAX - 7 + (size_t)over));
        say("\r\n");
        assert_int_equal(seen.reason, over ? CLOSE_BAD_FRAME : CLOSE_NONE);
        finish();
        memset(big, ' ', sizeof(big));
    }
}

/* Bytes that drip in are heard, but the line that they belong to must come to its end, and longer
 * ones may take longer. */
static void test_a_line_that_is_not_finished(void **state) {
    (void)state;
    static const struct {
        const char *hello, *begin;
        unsigned seconds;
    } cases[] = {{"{\"type\":\"hello\"}\n", "{\"type\":\"pong\",\"x\":\"", 10},
                 {"HELLO {}\r\n", "JOIN 1 ", 10},
                 {"HELLO {}\r\n", "SEND 1 90 {\"to\":\"b\"}\r\n", 10}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        say(cases[i].hello);
        /* A whole line begins it anew. */
        for (unsigned s = 0; s < 2 * cases[i].seconds; s++) {
            worker.now_ns += NS_PER_S;
            say(i == 0 ? "{\"type\":\"ping\"}\n{" : "PING\r\nP");
            say(i == 0 ? "\"type\":\"ping\"}\n" : "ING\r\n");
        }
        say(cases[i].begin);
        /* A node that was stopped meanwhile hears nothing for long; a second time is too much. */
        worker.now_ns += 3600 * NS_PER_S;
        for (unsigned s = 0; s < cases[i].seconds; s++) {
            say("x");
            worker.now_ns += NS_PER_S;
        }
        assert_int_equal(seen.reason, CLOSE_NONE);
        worker.now_ns += 2 * NS_PER_S;
        say("x");
        assert_int_equal(seen.reason, CLOSE_HEARTBEAT_TIMEOUT);
        finish();
    }
}

int main(void) {
    log_set(LOG_ERROR, LOG_LOGFMT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversations),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_lines_over_their_limit),
        cmocka_unit_test(test_a_line_that_is_not_finished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
