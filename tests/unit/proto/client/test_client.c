/* A session of the client protocol over a fake engine: sends, the welcome,
 * heartbeat, drain and the ends. */
#include "tests/support/fake_client.h"

/* --- sends ---------------------------------------------------------------------------------------
 */

static void test_sends_in_flight_are_bounded(void **state) {
    (void)state;
    begin();
    seen.answer_now = false;
    say("HELLO {}\r\n");
    seen.out_len = 0;
    for (unsigned i = 0; i < CLIENT_SENDS_MAX + 3; i++)
        say("SEND 1 1 {}\r\n5\r\n");
    struct client *client = client_of(&connection);
    assert_int_equal(client->sends, CLIENT_SENDS_MAX);
    assert_true(connection.paused);
    assert_int_equal(kept_len, 3 * 16);
    while (client->sends > CLIENT_SENDS_MAX / 2) {
        assert_true(connection.paused);
        client_send_ended(&worker, &connection);
    }
    assert_false(connection.paused);
    consider();
    assert_int_equal(kept_len, 0);
    assert_int_equal(client->sends, CLIENT_SENDS_MAX / 2 + 3);
    /* The end waits for what is owed. */
    tcp_protocol.on_end(&worker, &connection);
    assert_true(connection_is_open(&connection));
    client_sent(&worker, &connection, SPAN("1"), SPAN("i"), "absent");
    expect("OK 1 i absent\r\n");
    while (client->sends > 0)
        client_send_ended(&worker, &connection);
    assert_int_equal(seen.reason, CLOSE_CLIENT);
    finish();
    assert_int_equal(seen.releases, 1);
}

static void test_answers_to_the_gone(void **state) {
    (void)state;
    begin();
    seen.answer_now = false;
    say("HELLO {}\r\nSEND 1 1 {}\r\n5\r\n");
    seen.out_len = 0;
    end(CLOSE_PEER_ERROR);
    client_sent(&worker, &connection, SPAN("1"), SPAN("i"), "queued");
    client_refused(&worker, &connection, CODE_OVERLOADED, "x", SPAN("1"));
    client_fail(&worker, &connection, CODE_BAD_JSON, "x", SPAN("1"));
    client_send_ended(&worker, &connection);
    assert_int_equal(seen.out_len, 0);
    finish();
}

/* A line that ends the session waits for the answers to the sends before it. */
static void test_sends_are_answered_before_the_end(void **state) {
    (void)state;
    static const struct {
        const char *begin, *line, *answers;
        enum close_reason reason;
    } cases[] = {
        {"{\"type\":\"hello\"}\n{\"type\":\"send\",\"ref\":1}\n", "{bad\n",
         "{\"type\":\"ok\",\"ref\":1,\"id\":\"i\",\"state\":\"queued\"}\n"
         "{\"type\":\"error\",\"code\":\"bad_json\",\"message\":\"a name in quotes is missing at "
         "byte 1\"}\n",
         CLOSE_BAD_JSON},
        {"HELLO {}\r\nSEND 1 1 {}\r\n5\r\n", "SEND 2 01 {}\r\n",
         "OK 1 i queued\r\nERR bad_frame - SEND without a byte count in its third word\r\n",
         CLOSE_BAD_FRAME},
        {"HELLO {}\r\nSEND 1 1 {}\r\n5\r\n", "SEND 2 1 {}\r\n5x",
         "OK 1 i queued\r\nERR bad_frame 2 there is no line end where the payload should end\r\n",
         CLOSE_BAD_FRAME},
        {"HELLO {}\r\nSEND 1 1 {}\r\n5\r\n", "SEND 2 9000 {}\r\n",
         "OK 1 i queued\r\nERR too_large 2 the payload is over --max-message\r\n", CLOSE_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        seen.answer_now = false;
        say(cases[i].begin);
        seen.out_len = 0;
        uint64_t lines = stats_get(&worker.stats.client_lines);
        say(cases[i].line);
        assert_true(connection.paused);
        expect("");
        client_sent(&worker, &connection, SPAN("1"), SPAN("i"), "queued");
        client_send_ended(&worker, &connection);
        assert_false(connection.paused);
        consider();
        expect(cases[i].answers);
        assert_int_equal(seen.reason, cases[i].reason);
        assert_true(stats_get(&worker.stats.client_lines) - lines <= 1);
        finish();
    }
}

static void test_send_is_off(void **state) {
    (void)state;
    begin();
    config.client_send = false;
    say("{\"type\":\"hello\"}\n");
    seen.out_len = 0;
    say("{\"type\":\"send\",\"to\":\"a\",\"ref\":\"r\"}\n");
    expect("{\"type\":\"error\",\"code\":\"forbidden\",\"message\":\"clients may not send here "
           "(--client-send is off)\",\"ref\":\"r\"}\n");
    assert_string_equal(seen.sends, "");
    finish();
    begin();
    config.client_send = false;
    say("HELLO {}\n");
    seen.out_len = 0;
    say("SEND 5 1 {}\r\n5\r\n");
    expect("ERR forbidden 5 clients may not send here (--client-send is off)\r\n");
    finish();
}

/* --- what waits ----------------------------------------------------------------------------------
 */

/* A line that finds no room at the keeper stays in the input, and is read again. */
static void test_acknowledgements(void **state) {
    (void)state;
    static const char *const hellos[] = {"{\"type\":\"hello\",\"id\":\"a\"}\n",
                                         "HELLO {\"id\":\"a\"}\r\n"};
    static const char *const acks[] = {
        "{\"type\":\"ack\",\"id\":\"m1\"}\n{\"type\":\"ack\",\"ids\":[\"m2\",\"m3\"]}\n"
        "{\"type\":\"ping\"}\n",
        "ACK m1\r\nACK m2 m3\r\nPING\r\n"};
    for (unsigned i = 0; i < 2; i++) {
        begin();
        say(hellos[i]);
        seen.out_len = 0;
        say(acks[i]);
        assert_string_equal(seen.acks, "m1;m2;m3;");
        expect(i == 0 ? "{\"type\":\"pong\"}\n" : "PONG\r\n");
        seen.acks[0] = '\0';
        seen.no_room = true;
        say(acks[i]);
        assert_string_equal(seen.acks, "");
        assert_int_equal(kept_len, strlen(acks[i]));
        assert_int_not_equal(seen.yields, 0);
        expect("");
        seen.no_room = false;
        consider();
        assert_string_equal(seen.acks, "m1;m2;m3;");
        assert_int_equal(kept_len, 0);
        expect(i == 0 ? "{\"type\":\"pong\"}\n" : "PONG\r\n");
        finish();
    }
}

static void test_no_message_before_the_welcome(void **state) {
    (void)state;
    begin();
    struct session *session = &client_of(&connection)->session;
    say("{\"type\":\"hello\",\"id\":\"a\",\"resume\":\"m1\"}\n{\"type\":\"ping\"}\n");
    assert_string_equal(seen.id, "a");
    assert_ptr_equal(session->type->outbox(session), &connection.outbox);
    expect("{\"type\":\"welcome\",\"session\":\"0-a-2\",\"node\":\"n1\",\"heartbeat\":25,"
           "\"max_message\":100,\"recovered\":false}\n{\"type\":\"pong\"}\n");
    assert_ptr_equal(session->type->encoding(session), &encoding_line);
    end(CLOSE_CLIENT);
    assert_null(session->type->outbox(session));
    finish();
    /* One whose names could not be taken is a session already, and gets nothing. */
    begin();
    seen.verdict = DIRECTORY_NO_MEMORY;
    say("{\"type\":\"hello\",\"id\":\"a\",\"groups\":[\"g\"]}\n");
    assert_null(strstr(seen.out, "welcome"));
    assert_null(session->type->outbox(session));
    finish();
}

static void test_refused_names(void **state) {
    (void)state;
    begin();
    say("{\"type\":\"hello\"}\n");
    seen.out_len = 0;
    seen.verdict = DIRECTORY_TOO_MANY_GROUPS;
    say("{\"type\":\"join\",\"groups\":[\"g\"],\"ref\":1}\n");
    expect("{\"type\":\"error\",\"code\":\"too_many_groups\",\"message\":\"a session is in 64 "
           "groups at the most\",\"ref\":1}\n");
    seen.verdict = DIRECTORY_NO_MEMORY;
    say("{\"type\":\"join\",\"groups\":[\"g\"],\"ref\":1}\n");
    expect("{\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"no memory for one more "
           "group\",\"ref\":1}\n");
    assert_int_equal(seen.reason, CLOSE_NONE);
    finish();
    begin();
    seen.verdict = DIRECTORY_TOO_MANY_GROUPS;
    say("{\"type\":\"hello\",\"groups\":[\"g\"]}\n");
    assert_int_equal(seen.reason, CLOSE_TOO_MANY_GROUPS);
    finish();
}

/* --- time ----------------------------------------------------------------------------------------
 */

static void at_deadline(void) {
    worker.now_ns = seen.deadline_ns;
    tcp_protocol.on_deadline(&worker, &connection);
}

static void test_hello_timeout(void **state) {
    (void)state;
    begin();
    assert_int_equal(seen.deadline_ns, worker.now_ns + 10 * NS_PER_S);
    say("{\"type\":");
    at_deadline();
    expect("{\"type\":\"error\",\"code\":\"hello_timeout\",\"message\":\"no hello in time\"}\n");
    assert_int_equal(seen.reason, CLOSE_HELLO_TIMEOUT);
    finish();
}

static void test_heartbeat(void **state) {
    (void)state;
    begin();
    uint64_t start_ns = worker.now_ns;
    say("{\"type\":\"hello\"}\n");
    seen.out_len = 0;
    assert_int_equal(seen.deadline_ns, start_ns + 25 * NS_PER_S);
    /* What is heard moves the deadline only when it comes. */
    worker.now_ns = start_ns + 10 * NS_PER_S;
    say("\n");
    assert_int_equal(seen.deadline_ns, start_ns + 25 * NS_PER_S);
    at_deadline();
    expect("");
    assert_int_equal(seen.deadline_ns, start_ns + 35 * NS_PER_S);
    at_deadline();
    expect("{\"type\":\"ping\"}\n");
    assert_int_equal(seen.deadline_ns, start_ns + 55 * NS_PER_S);
    /* Anything answers it. */
    worker.now_ns = start_ns + 54 * NS_PER_S;
    say("{\"ty");
    assert_int_equal(seen.deadline_ns, start_ns + 79 * NS_PER_S);
    at_deadline();
    expect("{\"type\":\"ping\"}\n");
    at_deadline();
    expect("{\"type\":\"error\",\"code\":\"heartbeat_timeout\",\"message\":\"nothing was heard for "
           "too long\"}\n");
    assert_int_equal(seen.reason, CLOSE_HEARTBEAT_TIMEOUT);
    finish();
}

static void test_held_input_is_not_silence(void **state) {
    (void)state;
    begin();
    say("{\"type\":\"hello\"}\n");
    seen.out_len = 0;
    seen.answer_now = false;
    for (unsigned n = 0; n < CLIENT_SENDS_MAX; n++)
        say("{\"type\":\"send\",\"to\":\"b\"}\n");
    say("{\"type\":\"ping\"}\n");
    assert_true(connection.paused);
    at_deadline();
    at_deadline();
    expect("");
    assert_true(connection_is_open(&connection));
    while (client_of(&connection)->sends != 0)
        client_send_ended(&worker, &connection);
    finish();
}

/* Whoever has said that nothing more comes, and waits for answers, is not silent either. */
static void test_an_end_is_not_silence(void **state) {
    (void)state;
    begin();
    say("{\"type\":\"hello\"}\n");
    seen.out_len = 0;
    seen.answer_now = false;
    say("{\"type\":\"send\",\"to\":\"b\"}\n");
    tcp_protocol.on_end(&worker, &connection);
    at_deadline();
    at_deadline();
    expect("");
    assert_true(connection_is_open(&connection));
    client_send_ended(&worker, &connection);
    assert_int_equal(seen.reason, CLOSE_CLIENT);
    finish();
}

/* --- the end -------------------------------------------------------------------------------------
 */

static void test_drain(void **state) {
    (void)state;
    begin();
    say("{\"type\":\"hello\"}\n");
    seen.out_len = 0;
    worker.sessions.count = 1;
    tcp_protocol.on_sent(&worker, &connection);
    assert_true(connection_is_open(&connection));
    tcp_protocol.on_drain(&worker, &connection);
    unsigned long ms = 100000;
    assert_int_equal(sscanf(seen.out,
                            "{\"type\":\"goodbye\",\"reason\":\"draining\",\"reconnect_ms\":%lu}\n",
                            &ms),
                     1);
    assert_in_range(ms, 0, 1000);
    assert_true(connection_is_open(&connection));
    seen.out_len = 0;
    say("{\"type\":\"ping\"}\nanything");
    expect("");
    tcp_protocol.on_sent(&worker, &connection);
    assert_int_equal(seen.reason, CLOSE_DRAINING);
    finish();
    /* Who has not said hello is just let go. */
    begin();
    tcp_protocol.on_drain(&worker, &connection);
    assert_int_equal(seen.reason, CLOSE_DRAINING);
    assert_int_equal(seen.out_len, 0);
    finish();
}

static void test_too_slow(void **state) {
    (void)state;
    for (int within = 0; within <= 1; within++) {
        begin();
        say("HELLO {}\n");
        seen.out_len = 0;
        connection.outbox.bytes = client_of(&connection)->session.backlog.bytes = 1000;
        connection.outbox.sent_bytes = within ? 5 : 0;
        struct session *session = &client_of(&connection)->session;
        session->type->close(&worker, session, CLOSE_TOO_SLOW);
        assert_true(seen.cleared);
        assert_int_equal(seen.reason, CLOSE_TOO_SLOW);
        assert_int_equal(seen.closed_at_once, within);
        expect(within ? "" : "ERR too_slow - messages came faster than they were taken\r\n");
        assert_int_equal(client_of(&connection)->left_bytes, 1000);
        finish();
    }
    begin();
    say("HELLO {}\n");
    struct session *session = &client_of(&connection)->session;
    session->type->close(&worker, session, CLOSE_CLOSED_BY_API);
    assert_int_equal(seen.reason, CLOSE_CLOSED_BY_API);
    finish();
}

int main(void) {
    log_set(LOG_ERROR, LOG_LOGFMT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sends_in_flight_are_bounded),
        cmocka_unit_test(test_answers_to_the_gone),
        cmocka_unit_test(test_sends_are_answered_before_the_end),
        cmocka_unit_test(test_send_is_off),
        cmocka_unit_test(test_acknowledgements),
        cmocka_unit_test(test_no_message_before_the_welcome),
        cmocka_unit_test(test_refused_names),
        cmocka_unit_test(test_hello_timeout),
        cmocka_unit_test(test_heartbeat),
        cmocka_unit_test(test_an_end_is_not_silence),
        cmocka_unit_test(test_held_input_is_not_silence),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_too_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
