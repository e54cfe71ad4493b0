/* One connection to Redis, over sockets that are none: how it comes up and does not, what it sends
 * in parts, how it is lost at each point, and when it is tried again. */
#include "tests/support/redis_talk.h"

static struct link link_, *const at = &link_;

static int setup(void **state) {
    (void)state;
    talk_begin();
    assert_null(redis_url_parse(SPAN("redis://127.0.0.1"), &server.url));
    snprintf(server.client, sizeof(server.client), "ringpost-n1");
    fake_sockets.addresses = 3;
    server.address_count = redis_socket_resolve("x", 1, server.addresses, NULL, 0);
    assert_true(link_init(at, "test", &server, &account, 1 << 20));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    link_fini(at);
    link_fini(at);
    talk_end();
    return 0;
}

/* Polls, and takes a step. True: it has come up just now. */
static bool step(void) {
    struct pollfd fd = link_poll(at);
    redis_socket_wait(&fd, 1, 0);
    link_polled(at, fd.revents);
    bool up = link_step(at, now_ns);
    link_send(at, now_ns);
    return up;
}

#define SETNAME "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$11\r\nringpost-n1\r\n"
#define ROLE "*1\r\n$4\r\nROLE\r\n"
#define PING "*1\r\n$4\r\nPING\r\n"
#define MASTER "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"

static void come_up(void) {
    step();
    step();
    assert_string_equal(sent(), SETNAME ROLE PING);
    say("+OK\r\n" MASTER "+PONG\r\n");
    assert_true(step());
    assert_true(link_is_up(at));
}

static void assert_lost(const char *why) {
    assert_int_equal(at->state, LINK_DOWN);
    assert_int_equal(at->fd, -1);
    assert_null(fake_socket_at(0));
    if (strstr(at->why, why) == NULL)
        fail_msg("%s is not %s", at->why, why);
}

static void test_comes_up(void **state) {
    (void)state;
    assert_int_equal(at->state, LINK_DOWN);
    assert_true(link_due_ns(at) <= now_ns);
    assert_false(step());
    assert_int_equal(at->state, LINK_CONNECTING);
    assert_int_equal(link_poll(at).events, POLLIN | POLLOUT);
    assert_false(step());
    assert_int_equal(at->state, LINK_GREETING);
    assert_string_equal(sent(), SETNAME ROLE PING);
    assert_int_equal(link_poll(at).events, POLLIN);
    /* In any parts. */
    const char *answers = "+OK\r\n" MASTER "+PONG\r\n";
    for (size_t i = 0; i < strlen(answers); i++) {
        assert_false(link_is_up(at));
        fake_socket_say(talk_socket(), span_of(answers + i, 1));
        assert_int_equal(step(), i == strlen(answers) - 1);
    }
    assert_true(link_is_up(at));
    assert_int_equal(at->connections, 1);
    assert_false(step());
    assert_int_equal(link_due_ns(at), now_ns + LINK_ASK_NS);
}

static void test_greets_with_all(void **state) {
    (void)state;
    assert_null(redis_url_parse(SPAN("redis://me:se%20cret@h/5"), &server.url));
    step();
    step();
    assert_string_equal(sent(), "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$7\r\nse cret\r\n"
                                "*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n" SETNAME ROLE PING);
    say("+OK\r\n+OK\r\n+OK\r\n" MASTER);
    assert_false(step());
    say("+PONG\r\n");
    assert_true(step());
    link_lose(at, now_ns, "x");
    assert_null(redis_url_parse(SPAN("redis://:pw@h"), &server.url));
    now_ns += LINK_RETRY_MAX_NS;
    step();
    step();
    assert_string_equal(sent(), "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n" SETNAME ROLE PING);
}

static void greeted_with(const char *answers, const char *why) {
    now_ns += LINK_AWAY_MAX_NS;
    step();
    step();
    assert_int_equal(at->state, LINK_GREETING);
    say(answers);
    if (why == NULL) {
        assert_true(step());
        link_lose(at, now_ns, "done");
        return;
    }
    assert_false(step());
    assert_lost(why);
}

static void test_answers_to_the_greeting(void **state) {
    (void)state;
    greeted_with("-WRONGPASS invalid username-password pair\r\n", "WRONGPASS");
    greeted_with("-NOAUTH Authentication required.\r\n", "NOAUTH");
    greeted_with("+OK\r\n*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:7\r\n",
                 "replica");
    greeted_with("+OK\r\n*2\r\n$8\r\nsentinel\r\n*1\r\n$1\r\nm\r\n", "Sentinel");
    greeted_with("+OK\r\n-LOADING Redis is loading\r\n", "LOADING");
    greeted_with("+OK\r\n" MASTER "-ERR no\r\n", "ERR no");
    greeted_with("HTTP/1.1 400 Bad Request\r\n", "");
    /* Without PING nobody knows whether it is there; and nothing behind it is waited for. */
    greeted_with("+OK\r\n" MASTER "-NOPERM no 'ping'\r\n", "NOPERM no 'ping'");
    greeted_with("-NOPERM no\r\n-NOPERM no\r\n-ERR unknown command\r\n-NOPERM no\r\n",
                 "unknown command");
    /* What an ACL forbids of the two, or a server that is none knows nothing of. */
    greeted_with("-NOPERM no\r\n-NOPERM no\r\n+PONG\r\n", NULL);
    greeted_with("-ERR unknown command 'CLIENT'\r\n-ERR unknown command\r\n+PONG\r\n", NULL);
}

static void test_cannot_connect(void **state) {
    (void)state;
    fake_sockets.open_error = ENETUNREACH;
    step();
    assert_lost("cannot connect: Network is unreachable");
    fake_sockets.open_error = 0;
    fake_sockets.accepts = false;
    now_ns = at->retry_ns;
    step();
    assert_int_equal(at->state, LINK_CONNECTING);
    talk_socket()->error = ECONNREFUSED;
    step();
    assert_lost("cannot connect: Connection refused");
    /* It says nothing at all. */
    now_ns = at->retry_ns;
    step();
    assert_int_equal(link_due_ns(at), now_ns + LINK_CONNECT_NS);
    now_ns += LINK_CONNECT_NS - 1;
    step();
    assert_int_equal(at->state, LINK_CONNECTING);
    now_ns++;
    step();
    assert_lost("does not answer");
    /* Nor to the greeting. */
    fake_sockets.accepts = true;
    now_ns = at->retry_ns;
    step();
    step();
    assert_int_equal(at->state, LINK_GREETING);
    now_ns += LINK_CONNECT_NS;
    step();
    assert_lost("does not answer");
}

/* Nobody lets it in: how long did it wait for its next round of all addresses? */
static uint64_t round_fails(void) {
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(at->retry_ns, now_ns); /* one address behind the other */
        unsigned opened = fake_sockets.opened;
        step();
        assert_int_equal(fake_sockets.opened, opened + 1);
        assert_int_equal(at->state, LINK_DOWN);
    }
    unsigned opened = fake_sockets.opened;
    uint64_t wait_ns = at->retry_ns - now_ns;
    now_ns = at->retry_ns - 1;
    step();
    assert_int_equal(fake_sockets.opened, opened);
    now_ns++;
    return wait_ns;
}

/* Later and later, and never all at the same time. */
static void test_tries_again(void **state) {
    (void)state;
    fake_sockets.open_error = ECONNREFUSED;
    at->retry_ns = now_ns;
    assert_in_range(round_fails(), 0, LINK_RETRY_FIRST_NS);
    uint64_t wanted_ns = LINK_RETRY_MIN_NS, differ = 0;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t wait_ns = round_fails();
        assert_in_range(wait_ns, wanted_ns / 2, wanted_ns);
        differ += wait_ns != wanted_ns;
        wanted_ns = 2 * wanted_ns < LINK_RETRY_MAX_NS ? 2 * wanted_ns : LINK_RETRY_MAX_NS;
    }
    assert_true(differ > 10);
    fake_sockets.open_error = 0;
    struct port_address used[3];
    for (unsigned i = 0; i < 3; i++) {
        step();
        used[i] = talk_socket()->address;
        link_lose(at, now_ns, "again");
    }
    assert_memory_not_equal(&used[0], &used[1], sizeof(used[0]));
    assert_memory_not_equal(&used[1], &used[2], sizeof(used[0]));
    assert_memory_not_equal(&used[0], &used[2], sizeof(used[0]));
}

static uint64_t wait_when_sent_away(uint64_t up_ns) {
    come_up();
    for (uint64_t until_ns = now_ns + up_ns; now_ns < until_ns; now_ns += NS_PER_S)
        link_bide(at, now_ns);
    link_lose(at, now_ns, "again");
    uint64_t wait_ns = at->retry_ns - now_ns;
    now_ns = at->retry_ns;
    return wait_ns;
}

/* One that stayed is tried again at once, at the same address; one that is let in and sent away
 * again and again is not. */
static void test_is_sent_away(void **state) {
    (void)state;
    come_up();
    struct port_address address = talk_socket()->address;
    link_lose(at, now_ns, "again");
    assert_in_range(at->retry_ns - now_ns, 0, LINK_RETRY_FIRST_NS);
    now_ns = at->retry_ns;
    uint64_t wait_ns = 0;
    for (unsigned i = 0; i < 10; i++)
        wait_ns = wait_when_sent_away(NS_PER_S);
    assert_in_range(wait_ns, LINK_AWAY_MAX_NS / 2, LINK_AWAY_MAX_NS);
    assert_in_range(wait_when_sent_away(LINK_GOOD_NS), 0, LINK_RETRY_FIRST_NS);
    assert_in_range(wait_when_sent_away(NS_PER_S), LINK_RETRY_MIN_NS / 2, LINK_RETRY_MIN_NS);
    step();
    assert_memory_equal(&address, &talk_socket()->address, sizeof(address));
}

/* Nobody has said where the server is; then it is said, and said again. */
static void test_goes_where_it_is_sent(void **state) {
    (void)state;
    server.address_count = 0;
    assert_false(step());
    assert_int_equal(fake_sockets.opened, 0);
    assert_true(link_due_ns(at) == CLOCK_NEVER);
    server.address_count = 1;
    link_anew(at, now_ns);
    assert_int_equal(link_due_ns(at), now_ns);
    come_up();
    /* Neither that it was sent away from one nor how often it was says anything of another. */
    for (unsigned i = 0; i < 5; i++) {
        link_lose(at, now_ns, "again");
        now_ns = at->retry_ns;
        come_up();
    }
    link_lose(at, now_ns, "moved");
    assert_true(at->retry_ns > now_ns);
    link_anew(at, now_ns);
    assert_int_equal(link_due_ns(at), now_ns);
    fake_sockets.open_error = ECONNREFUSED;
    step();
    assert_lost("cannot connect");
    assert_in_range(at->retry_ns - now_ns, 0, LINK_RETRY_FIRST_NS);
}

static void test_silence(void **state) {
    (void)state;
    come_up();
    now_ns += LINK_ASK_NS - 1;
    assert_false(link_wants_ping(at, now_ns));
    now_ns++;
    assert_true(link_wants_ping(at, now_ns));
    link_asked(at, now_ns, true);
    assert_false(link_wants_ping(at, now_ns));
    struct resp_reply reply;
    say("+PONG\r\n");
    step();
    assert_true(link_next(at, &reply, now_ns));
    assert_false(link_wants_ping(at, now_ns));
    assert_true(link_wants_ping(at, now_ns + LINK_ASK_NS));
    /* A byte is enough, whatever it begins. */
    now_ns += LINK_ASK_NS;
    link_asked(at, now_ns, true);
    now_ns += LINK_ANSWER_NS - 1;
    say("$");
    step();
    assert_false(link_next(at, &reply, now_ns));
    now_ns += LINK_ASK_NS;
    link_asked(at, now_ns, true);
    assert_int_equal(link_due_ns(at), now_ns + LINK_ANSWER_NS);
    now_ns += LINK_ANSWER_NS - 1;
    step();
    assert_true(link_is_up(at));
    now_ns++;
    step();
    assert_lost("does not answer");
}

/* There was no room for the PING: Redis cannot be blamed for that, and it is tried again. */
static void test_nobody_could_ask(void **state) {
    (void)state;
    come_up();
    now_ns += LINK_ASK_NS;
    assert_true(link_wants_ping(at, now_ns));
    link_asked(at, now_ns, false);
    assert_false(link_wants_ping(at, now_ns));
    assert_int_equal(link_due_ns(at), now_ns + LINK_ASK_NS);
    now_ns += 2 * LINK_SILENT_NS;
    step();
    assert_true(link_is_up(at) && link_wants_ping(at, now_ns));
}

/* It was this node that stood still: the answer lies in the socket. */
static void test_stood_still(void **state) {
    (void)state;
    struct resp_reply reply;
    come_up();
    now_ns += LINK_ASK_NS;
    link_asked(at, now_ns, true);
    say("+PONG\r\n");
    now_ns += 10 * LINK_SILENT_NS;
    step();
    assert_true(link_is_up(at) && link_next(at, &reply, now_ns));
    step();
    assert_true(link_is_up(at));
}

static void test_sends_in_parts(void **state) {
    (void)state;
    const struct span words[] = {SPAN("PUBLISH"), SPAN("c"), SPAN("text")};
    const char *wanted = "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$4\r\ntext\r\n";
    come_up();
    talk_socket()->send_room = 5;
    assert_true(link_command(at, words, 3));
    char all[100] = "";
    for (unsigned i = 0; i < 20 && strlen(all) < strlen(wanted); i++) {
        assert_true((link_poll(at).events & POLLOUT) != 0);
        step();
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s", sent());
    }
    assert_string_equal(all, wanted);
    step();
    assert_int_equal(link_poll(at).events, POLLIN);
    assert_int_equal(at->out_len, 0);
}

static void test_room(void **state) {
    (void)state;
    static char text[100000];
    struct builder out;
    memset(text, 'x', sizeof(text));
    const struct span word = span_of(text, sizeof(text));
    come_up();
    size_t bytes = resp_command_bytes(&word, 1);
    talk_socket()->send_room = 12345;
    uint64_t used = account.used_bytes;
    for (unsigned i = 0; i < 3; i++) { /* what has left makes room */
        assert_true(link_command(at, &word, 1));
        step();
        assert_true(strlen(sent()) != 0);
        talk_socket()->send_room = 12345;
    }
    while (link_command(at, &word, 1))
        ;
    assert_in_range(at->out_len - at->out_at, LINK_OUT_BYTES_MAX - bytes, LINK_OUT_BYTES_MAX);
    assert_false(link_room(at, bytes, &out));
    size_t most = at->out_cap;
    talk_socket()->send_room = SIZE_MAX;
    step();
    /* The buffer was no more than twice what may wait, and is small again. */
    assert_in_range(most, LINK_OUT_BYTES_MAX, 2 * LINK_OUT_BYTES_MAX);
    assert_int_equal(account.used_bytes, used);
    assert_true(link_room(at, bytes, &out));
    /* What waited is gone with the connection. */
    talk_socket()->send_room = talk_socket()->sent_len;
    assert_true(link_command(at, &word, 1));
    link_lose(at, now_ns, "x");
    assert_int_equal(at->out_len, 0);
    now_ns = at->retry_ns;
    come_up();
}

/* A socket that takes a little at a time: what waits is not moved for each. */
static void test_little_room(void **state) {
    (void)state;
    static char text[1000];
    const struct span word = span_of(text, sizeof(text));
    come_up();
    talk_socket()->send_room = 0;
    size_t bytes = resp_command_bytes(&word, 1);
    while (link_command(at, &word, 1))
        ;
    unsigned moves = 0;
    for (unsigned i = 0; i < 30000; i++) {
        size_t before = at->out_at;
        fake_socket_take(talk_socket(), talk_socket()->sent_len);
        talk_socket()->send_room = bytes;
        link_send(at, now_ns);
        assert_true(at->out_at > before);
        before = at->out_at;
        assert_true(link_command(at, &word, 1));
        moves += at->out_at < before;
    }
    assert_in_range(moves, 1, 5);
}

static void test_no_memory_for_room(void **state) {
    (void)state;
    come_up();
    struct builder out;
    uint64_t taken = 0;
    for (; account_take(&account, 4096); taken += 4096)
        ;
    assert_false(link_room(at, 2 * at->out_cap, &out));
    assert_true(link_room(at, at->out_cap, &out));
    assert_true(link_is_up(at));
    account_give(&account, taken);
}

static void lost_by(const char *why) {
    struct resp_reply reply;
    for (unsigned i = 0; i < 2 && at->state != LINK_DOWN; i++) { /* what came before it is read */
        step();
        assert_false(link_next(at, &reply, now_ns));
    }
    assert_lost(why);
    now_ns = at->retry_ns;
}

static void test_is_lost(void **state) {
    (void)state;
    const struct span word = SPAN("PING");
    come_up();
    talk_socket()->error = ECONNRESET;
    lost_by("cannot receive: Connection reset by peer");
    come_up();
    talk_socket()->ended = true;
    lost_by("closed the connection");
    come_up();
    say("+PO");
    talk_socket()->ended = true;
    lost_by("closed the connection");
    come_up();
    say("?\r\n");
    lost_by("");
    assert_true(at->why[0] != '\0');
    come_up();
    assert_true(link_command(at, &word, 1));
    talk_socket()->error = EPIPE;
    link_send(at, now_ns);
    assert_lost("cannot send: Broken pipe");
    now_ns = at->retry_ns;
    /* What came before it is read. */
    come_up();
    say("+one\r\n");
    talk_socket()->ended = true;
    struct resp_reply reply;
    step();
    assert_true(link_next(at, &reply, now_ns));
    assert_true(span_equal(reply.text, SPAN("one")));
    lost_by("closed the connection");
    /* Half a reply of the one before is nothing to the next. */
    come_up();
    assert_int_equal(at->connections, 7);
}

/* At each byte of the greeting. */
static void test_is_lost_while_it_greets(void **state) {
    (void)state;
    const char *answers = "+OK\r\n" MASTER "+PONG\r\n";
    for (size_t i = 0; i < strlen(answers); i++) {
        step();
        step();
        fake_socket_say(talk_socket(), span_of(answers, i));
        talk_socket()->error = i % 2 == 0 ? ECONNRESET : 0;
        talk_socket()->ended = i % 2 != 0;
        assert_false(step());
        if (at->state != LINK_DOWN)
            assert_false(step());
        assert_lost("");
        now_ns = at->retry_ns;
    }
    assert_int_equal(at->connections, 0);
    come_up();
}

static void test_replies(void **state) {
    (void)state;
    struct resp_reply reply;
    come_up();
    say(":1\r\n:2\r\n*2\r\n$1\r\na\r\n");
    talk_socket()->receive_max = 3;
    unsigned got = 0;
    for (unsigned i = 0; i < 20; i++) {
        step();
        while (link_next(at, &reply, now_ns)) {
            assert_int_equal(reply.type, RESP_INTEGER);
            assert_int_equal(reply.integer, ++got);
        }
    }
    assert_int_equal(got, 2);
    say(":3\r\n");
    for (unsigned i = 0; i < 20 && !link_next(at, &reply, now_ns); i++)
        step();
    assert_true(reply.type == RESP_ARRAY && reply.item_count == 2);
    assert_int_equal(reply.items[1].integer, 3);
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_comes_up),
        ONE(test_greets_with_all),
        ONE(test_answers_to_the_greeting),
        ONE(test_cannot_connect),
        ONE(test_tries_again),
        ONE(test_is_sent_away),
        ONE(test_goes_where_it_is_sent),
        ONE(test_silence),
        ONE(test_nobody_could_ask),
        ONE(test_stood_still),
        ONE(test_sends_in_parts),
        ONE(test_room),
        ONE(test_little_room),
        ONE(test_is_lost),
        ONE(test_replies),
        ONE(test_is_lost_while_it_greets),
        ONE(test_no_memory_for_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
