/* The TCP client protocol over a fake engine: whole conversations, however the bytes are cut; what
 * waits for the directory; heartbeat, drain and the ends. */
#include "tests/support/cmocka_first.h"

#include "proto/client.c"
#include "proto/tcp.c"

#include <stdlib.h>

/* --- the fake engine ----------------------------------------------------------------------------
 */

const struct encoding encoding_line = {.index = ENCODING_LINE};
const struct encoding encoding_counted = {.index = ENCODING_COUNTED};

static struct config config;
static struct server server;
static struct worker worker;
static struct budget budget;
static struct connection connection;

static struct {
    char out[65536];
    size_t out_len;
    uint64_t deadline_ns;
    enum close_reason reason;
    bool closed_at_once;
    bool settle_now;
    bool settle_asked;
    enum directory_verdict verdict;
    char id[NAME_BYTES_MAX + 1];
    char groups[1024]; /* +g: joined, -g: left, in the order of the calls */
    char sends[65536]; /* fields|payload; */
    bool answer_now;
    unsigned releases;
    bool cleared;
} seen;

static char kept[1 << 17]; /* what the engine keeps of the input */
static size_t kept_len;

void connection_write(struct worker *w, struct connection *c, struct span bytes) {
    assert_ptr_equal(w, &worker);
    assert_true(connection_is_open(c));
    assert_true(seen.out_len + bytes.len < sizeof(seen.out));
    memcpy(seen.out + seen.out_len, bytes.at, bytes.len);
    seen.out_len += bytes.len;
    seen.out[seen.out_len] = '\0';
}

static void end(enum close_reason reason) {
    if (connection.state != CONNECTION_OPEN)
        return;
    connection.reason = (uint8_t)reason;
    seen.reason = reason;
    connection.state = CONNECTION_FLUSHING;
    tcp_protocol.on_close(&worker, &connection);
}

void connection_close(struct worker *w, struct connection *c, enum close_reason reason) {
    (void)w, (void)c;
    seen.closed_at_once = true;
    end(reason);
}

void connection_finish(struct worker *w, struct connection *c, enum close_reason reason) {
    (void)w, (void)c;
    end(reason);
}

void connection_pause(struct worker *w, struct connection *c) {
    (void)w;
    c->paused = true;
}

void connection_resume(struct worker *w, struct connection *c) {
    (void)w;
    c->paused = false;
}

void connection_deadline(struct worker *w, struct connection *c, uint64_t due_ns) {
    (void)w, (void)c;
    seen.deadline_ns = due_ns;
}

void outbox_clear(struct worker *w, struct connection *c, enum drop_reason reason) {
    (void)w;
    assert_int_equal(reason, DROP_TOO_SLOW);
    seen.cleared = true;
    c->outbox.bytes = c->outbox.message_bytes = 0;
}

bool session_open(struct worker *w, struct session *session, const struct session_type *type) {
    (void)w;
    session->type = type;
    session->index = 0;
    return true;
}

void session_close(struct worker *w, struct session *session) {
    (void)w;
    session->index = UINT32_MAX;
}

enum directory_verdict directory_take_id(struct worker *w, struct session *session,
                                         struct span id) {
    (void)w, (void)session;
    memcpy(seen.id, id.at, id.len);
    return DIRECTORY_DONE;
}

static void groups_note(char sign, const struct span *groups, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(seen.groups);
        snprintf(seen.groups + len, sizeof(seen.groups) - len, "%c%.*s", sign, SPAN_ARG(groups[i]));
    }
}

enum directory_verdict directory_join(struct worker *w, struct session *session,
                                      const struct span *groups, size_t count) {
    (void)w, (void)session;
    if (seen.verdict == DIRECTORY_DONE)
        groups_note('+', groups, count);
    return seen.verdict;
}

void directory_leave(struct worker *w, struct session *session, const struct span *groups,
                     size_t count) {
    (void)w, (void)session;
    groups_note('-', groups, count);
}

void directory_settle(struct worker *w, struct session *session) {
    assert_false(seen.settle_asked);
    if (seen.settle_now)
        session->type->on_settled(w, session);
    else
        seen.settle_asked = true;
}

static void fake_send(struct worker *w, struct connection *c, const struct client_send *send) {
    size_t len = strlen(seen.sends);
    snprintf(seen.sends + len, sizeof(seen.sends) - len, "%.*s|%.*s;", SPAN_ARG(send->fields),
             SPAN_ARG(send->payload));
    client_of(c)->producer = &seen;
    client_send_begun(c);
    if (!seen.answer_now)
        return;
    struct span ref = send->counted ? send->ref : line_ref_find(send->fields);
    client_sent(w, c, ref, SPAN("i1"), "queued");
    client_send_ended(w, c);
}

static void fake_release(struct worker *w, struct connection *c) {
    (void)w;
    client_of(c)->producer = NULL;
    seen.releases++;
}

static const struct client_gate fake_gate = {fake_send, fake_release};

static void begin(void) {
    config = (struct config){.heartbeat_ns = 25 * NS_PER_S,
                             .heartbeat_timeout_ns = 20 * NS_PER_S,
                             .hello_timeout_ns = 10 * NS_PER_S,
                             .max_message_bytes = 100,
                             .client_send = true,
                             .node = "n1"};
    budget_init(&budget, 1 << 20);
    server.worker_count = 1;
    worker.server = &server;
    worker.config = &config;
    worker.now_ns = 1000 * NS_PER_S;
    memset(&worker.stats, 0, sizeof(worker.stats));
    account_init(&worker.account, &budget);
    memset(&connection, 0, sizeof(connection));
    connection.state = CONNECTION_OPEN;
    connection.slot = 10;
    connection.generation = 2;
    connection.protocol = &tcp_protocol;
    memset(&seen, 0, sizeof(seen));
    seen.settle_now = seen.answer_now = true;
    kept_len = 0;
    client_gate_set(&fake_gate);
    tcp_protocol.on_open(&worker, &connection);
}

static void finish(void) {
    end(CLOSE_CLIENT);
    tcp_protocol.on_free(&worker, &connection);
    assert_int_equal(worker.account.used_bytes, 0);
}

/* As the engine does: what was not consumed is kept and comes again with what follows. */
static void consider(void) {
    if (connection.state != CONNECTION_OPEN || connection.paused || kept_len == 0)
        return;
    /* Just as long as the input is, so that reading past it is seen. */
    char *at = malloc(kept_len);
    memcpy(at, kept, kept_len);
    size_t fed = kept_len;
    size_t used = tcp_protocol.on_bytes(&worker, &connection, at, fed);
    assert_true(used <= fed);
    memmove(kept, at + used, fed - used);
    kept_len -= used;
    free(at);
    if (connection.state == CONNECTION_OPEN && !connection.paused && used == 0 &&
        fed > tcp_protocol.input_max(&worker, &connection))
        tcp_protocol.on_flood(&worker, &connection);
}

static void feed(struct span bytes) {
    assert_true(kept_len + bytes.len <= sizeof(kept));
    memcpy(kept + kept_len, bytes.at, bytes.len);
    kept_len += bytes.len;
    consider();
    while (kept_len != 0 && connection.state == CONNECTION_OPEN && !connection.paused) {
        size_t before = kept_len;
        consider();
        if (kept_len == before)
            break;
    }
}

static void say(const char *text) {
    feed(span_text(text));
}

static void expect(const char *text) {
    assert_string_equal(seen.out_len == 0 ? "" : seen.out, text);
    seen.out_len = 0;
}

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
        /* When every answer of the directory takes its time, the outcome is the same. */
        begin();
        seen.settle_now = false;
        feed(in);
        while (seen.settle_asked && connection_is_open(&connection)) {
            seen.settle_asked = false;
            client_of(&connection)
                ->session.type->on_settled(&worker, &client_of(&connection)->session);
            consider();
        }
        conversation_check(&conversations[i]);
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

static void test_no_message_before_the_welcome(void **state) {
    (void)state;
    begin();
    seen.settle_now = false;
    say("{\"type\":\"hello\",\"id\":\"a\",\"resume\":\"m1\"}\n{\"type\":\"ping\"}\n");
    struct session *session = &client_of(&connection)->session;
    assert_string_equal(seen.id, "a");
    expect("");
    assert_null(session->type->connection(session));
    assert_true(connection.paused);
    session->type->on_settled(&worker, session);
    assert_ptr_equal(session->type->connection(session), &connection);
    expect("{\"type\":\"welcome\",\"session\":\"0-a-2\",\"node\":\"n1\",\"heartbeat\":25,"
           "\"max_message\":100,\"recovered\":false}\n");
    assert_false(connection.paused);
    consider();
    expect("{\"type\":\"pong\"}\n");
    assert_int_equal(session->type->encoding(session)->index, ENCODING_LINE);
    end(CLOSE_CLIENT);
    assert_null(session->type->connection(session));
    finish();
}

static void test_gone_while_it_waits(void **state) {
    (void)state;
    begin();
    say("{\"type\":\"hello\"}\n");
    seen.settle_now = false;
    say("{\"type\":\"join\",\"groups\":[\"g\"],\"ref\":\"a long one\"}\n");
    assert_true(worker.account.used_bytes > 0);
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
    seen.settle_now = false;
    say("{\"type\":\"join\",\"groups\":[\"g\"],\"ref\":1}\n{\"type\":\"ping\"}\n");
    at_deadline();
    at_deadline();
    expect("");
    assert_true(connection_is_open(&connection));
    finish();
}

/* --- the end -------------------------------------------------------------------------------------
 */

static void test_drain(void **state) {
    (void)state;
    begin();
    say("{\"type\":\"hello\"}\n");
    seen.out_len = 0;
    worker.session_count = 1;
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
        connection.outbox.bytes = connection.outbox.message_bytes = 1000;
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
        cmocka_unit_test(test_conversations),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_lines_over_their_limit),
        cmocka_unit_test(test_sends_in_flight_are_bounded),
        cmocka_unit_test(test_answers_to_the_gone),
        cmocka_unit_test(test_send_is_off),
        cmocka_unit_test(test_no_message_before_the_welcome),
        cmocka_unit_test(test_gone_while_it_waits),
        cmocka_unit_test(test_refused_names),
        cmocka_unit_test(test_hello_timeout),
        cmocka_unit_test(test_heartbeat),
        cmocka_unit_test(test_held_input_is_not_silence),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_too_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
