/* Sentinels over sockets that are none: which one is asked and when, what is believed of what they
 * say, and how they are lost. */
#include "tests/support/redis_talk.h"

#include "ha/redis/redis_sentinel.h"

#include <arpa/inet.h>

static struct redis_sentinel sentinel_, *const at = &sentinel_;
static bool up;

#define QUESTION "*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$4\r\nmain\r\n"
#define HERE "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n"
#define THERE "*2\r\n$8\r\n10.0.0.2\r\n$4\r\n6380\r\n"

static void open_with(const char *url) {
    char problem[200];
    assert_null(redis_url_parse(span_text(url), &server.url));
    redis_sentinel_init(at);
    assert_false(redis_sentinel_is_on(at));
    assert_true(redis_sentinel_open(at, &server, &account, now_ns, problem, sizeof(problem)));
    assert_true(redis_sentinel_is_on(at));
}

static int setup(void **state) {
    (void)state;
    talk_begin();
    up = false;
    open_with("redis+sentinel://ann:pw@a:1,b:2,c:3/main");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    redis_sentinel_fini(at);
    redis_sentinel_fini(at);
    assert_null(fake_socket_at(0));
    talk_end();
    return 0;
}

/* Polls, and takes a step. True: the server is another one. */
static bool step(void) {
    struct pollfd fd = redis_sentinel_poll(at);
    redis_socket_wait(&fd, 1, 0);
    redis_sentinel_polled(at, fd.revents);
    return redis_sentinel_step(at, up, now_ns);
}

/* The port of the Sentinel that is connected to. */
static unsigned whom(void) {
    struct sockaddr_in in;
    memcpy(&in, &talk_socket()->address.address, sizeof(in));
    return ntohs(in.sin_port);
}

static uint64_t figure(const _Atomic uint64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void server_is(const char *host, unsigned port) {
    char place[URL_PLACE_WRITTEN_MAX], wanted[URL_PLACE_WRITTEN_MAX + 32];
    assert_int_equal(server.address_count, 1);
    assert_string_equal(server.url.host, host);
    assert_int_equal(server.url.port, port);
    assert_int_equal(server.url.is_v6, strchr(host, ':') != NULL);
    snprintf(place, sizeof(place), server.url.is_v6 ? "[%s]:%u" : "%s:%u", host, port);
    snprintf(wanted, sizeof(wanted), "redis://ann:***@%s/0", place);
    assert_string_equal(server.text, wanted);
}

/* Connects, and asks. */
static void come(unsigned port) {
    now_ns = at->retry_ns > now_ns ? at->retry_ns : now_ns;
    assert_false(step());
    assert_int_equal(at->state, SENTINEL_CONNECTING);
    assert_int_equal(whom(), port);
    assert_false(step());
    assert_int_equal(at->state, SENTINEL_ASKED);
    assert_string_equal(sent(), QUESTION);
}

/* Comes to the first one, who knows the server. */
static void come_up(void) {
    come(1);
    say(HERE);
    assert_true(step());
    server_is("10.0.0.1", 6379);
    up = true;
    step();
}

static void assert_lost(uint64_t count) {
    assert_int_equal(at->state, SENTINEL_DOWN);
    assert_int_equal(at->fd, -1);
    assert_null(fake_socket_at(0));
    assert_int_equal(figure(&at->figures.lost), count);
    assert_int_equal(figure(&at->figures.connected), 0);
}

static void test_asks_once_a_second(void **state) {
    (void)state;
    assert_string_equal(server.text, "main, by Sentinel");
    assert_int_equal(server.address_count, 0);
    assert_true(redis_sentinel_due_ns(at) <= now_ns);
    come(1);
    say(HERE);
    assert_true(step());
    server_is("10.0.0.1", 6379);
    assert_int_equal(figure(&at->figures.connected), 1);
    /* Soon again, until the links are up. */
    assert_int_equal(redis_sentinel_due_ns(at), now_ns + SENTINEL_HURRY_NS);
    up = true;
    assert_false(step());
    assert_int_equal(redis_sentinel_due_ns(at), now_ns + SENTINEL_ASK_NS);
    for (unsigned i = 0; i < 3; i++) {
        now_ns += SENTINEL_ASK_NS - 1;
        assert_false(step());
        assert_string_equal(sent(), "");
        now_ns++;
        assert_false(step());
        assert_string_equal(sent(), QUESTION);
        say(HERE);
        assert_false(step());
        assert_int_equal(at->state, SENTINEL_KNOWS);
    }
    /* And at once when they are lost. */
    now_ns += SENTINEL_HURRY_NS;
    up = false;
    assert_false(step());
    assert_string_equal(sent(), QUESTION);
    assert_int_equal(figure(&at->figures.failovers), 0);
    assert_int_equal(figure(&at->figures.lost), 0);
}

static void test_in_any_parts(void **state) {
    (void)state;
    come(1);
    for (size_t i = 0; i < strlen(HERE); i++) {
        fake_socket_say(talk_socket(), span_of(&HERE[i], 1));
        assert_int_equal(step(), i == strlen(HERE) - 1);
    }
    server_is("10.0.0.1", 6379);
}

static void test_follows(void **state) {
    (void)state;
    come_up();
    now_ns += SENTINEL_ASK_NS;
    step();
    say(THERE);
    assert_true(step());
    server_is("10.0.0.2", 6380);
    struct sockaddr_in in;
    memcpy(&in, &server.addresses[0].address, sizeof(in));
    assert_int_equal(server.addresses[0].len, sizeof(in));
    assert_int_equal(ntohs(in.sin_port), 6380);
    assert_int_equal(ntohl(in.sin_addr.s_addr), 0x0a000002);
    assert_int_equal(figure(&at->figures.failovers), 1);
    /* One that does not know what it wants is followed once a second. */
    up = false;
    unsigned moves = 0;
    for (unsigned i = 0; i < 50; i++) {
        now_ns += SENTINEL_HURRY_NS;
        step();
        say(i % 2 == 0 ? HERE : THERE);
        moves += step();
    }
    assert_in_range(moves, 8, 10);
    assert_int_equal(figure(&at->figures.failovers), 1 + moves);
    assert_int_equal(figure(&at->figures.lost), 0);
}

static void test_addresses(void **state) {
    (void)state;
    static const struct {
        const char *said, *host;
        unsigned port;
    } good[] = {
        {"*2\r\n$3\r\n::1\r\n$5\r\n65535\r\n", "::1", 65535},
        {"*2\r\n$13\r\n2001:DB8:0::7\r\n$1\r\n1\r\n", "2001:db8::7", 1},
        {"*2\r\n$15\r\n192.168.100.200\r\n$5\r\n06379\r\n", "192.168.100.200", 6379},
    };
    come_up();
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        now_ns += SENTINEL_ASK_NS;
        assert_false(step());
        say(good[i].said);
        assert_true(step());
        server_is(good[i].host, good[i].port);
    }
    /* The same one, written in another way. */
    now_ns += SENTINEL_ASK_NS;
    assert_false(step());
    say("*2\r\n$15\r\n192.168.100.200\r\n$4\r\n6379\r\n");
    assert_false(step());
}

/* What is no answer: whoever says it is lost, and the next one asked at once. */
static void test_what_is_no_answer(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "*-1\r\n",
        "$-1\r\n",
        "-IDONTKNOW no\r\n",
        "-ERR unknown command 'SENTINEL'\r\n",
        "-NOPERM no\r\n",
        "-WRONGPASS no\r\n",
        "+OK\r\n",
        ":6379\r\n",
        "$8\r\n10.0.0.1\r\n",
        "*0\r\n",
        "*1\r\n$8\r\n10.0.0.1\r\n",
        "*3\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n$1\r\nx\r\n",
        "*2\r\n$8\r\n10.0.0.1\r\n:6379\r\n",
        "*2\r\n:1\r\n$4\r\n6379\r\n",
        "*2\r\n$8\r\n10.0.0.1\r\n$-1\r\n",
        "*1\r\n*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n",
        "*2\r\n*1\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n",
        "*2\r\n$7\r\nredis-1\r\n$4\r\n6379\r\n",
        "*2\r\n$9\r\nlocalhost\r\n$4\r\n6379\r\n",
        "*2\r\n$0\r\n\r\n$4\r\n6379\r\n",
        "*2\r\n$9\r\n10.0.0.1\0\r\n$4\r\n6379\r\n",
        "*2\r\n$8\r\n10.0.0.1\r\n$0\r\n\r\n",
        "*2\r\n$8\r\n10.0.0.1\r\n$1\r\n0\r\n",
        "*2\r\n$8\r\n10.0.0.1\r\n$5\r\n65536\r\n",
        "*2\r\n$8\r\n10.0.0.1\r\n$20\r\n18446744073709557995\r\n",
        "*2\r\n$8\r\n10.0.0.1\r\n$2\r\n-1\r\n",
        "*2\r\n$10\r\n10.0.0.1%1\r\n$4\r\n6379\r\n",
        "*2\r\n$5\r\n[::1]\r\n$4\r\n6379\r\n",
        "*2\r\n$60\r\n100.0.0.1 100.0.0.1 100.0.0.1 100.0.0.1 100.0.0.1 1000000000\r\n$1\r\n1\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "$2000000000\r\n",
        "*1000000\r\n",
        "*2\r\n$5000\r\n",
        "%1\r\n+a\r\n+b\r\n",
    };
    unsigned place = 0;
    uint64_t count = 0;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        /* Each instead of an answer, and once the server is known. */
        for (unsigned known = 0; known < 2; known++) {
            come(1 + place % 3);
            if (known != 0) {
                say(HERE);
                step();
                now_ns += SENTINEL_ASK_NS;
                step();
                assert_int_equal(at->state, SENTINEL_ASKED);
            }
            const char *text = wrong[i];
            size_t len = strlen(text);
            if (len > 14 && memcmp(text, "*2\r\n$9\r\n10.0.0.1", 16) == 0)
                len = sizeof("*2\r\n$9\r\n10.0.0.1\0\r\n$4\r\n6379\r\n") - 1;
            fake_socket_say(talk_socket(), span_of(text, len));
            bool moves = step();
            if (moves || at->state != SENTINEL_DOWN)
                fail_msg("%s is taken", text);
            place++;
            assert_lost(++count);
            if (place % 3 != 0)
                assert_int_equal(at->retry_ns, now_ns);
        }
    }
    server_is("10.0.0.1", 6379);
    assert_int_equal(figure(&at->figures.failovers), 0);
    assert_in_range(account.used_bytes, 0, 2 << 20);
}

static void test_answers_that_nobody_asked_for(void **state) {
    (void)state;
    come_up();
    say(THERE);
    assert_false(step());
    assert_lost(1);
    come(2);
    say(HERE THERE);
    assert_false(step());
    assert_lost(2);
    come(3);
    now_ns += SENTINEL_ASK_NS;
    say(THERE HERE); /* the first counts, and it is lost */
    assert_true(step());
    assert_lost(3);
    server_is("10.0.0.2", 6380);
}

static void test_cannot_be_reached(void **state) {
    (void)state;
    fake_sockets.open_error = ENETUNREACH;
    step();
    assert_lost(1);
    assert_int_equal(at->retry_ns, now_ns);
    fake_sockets.open_error = 0;
    fake_sockets.accepts = false;
    step();
    assert_int_equal(whom(), 2);
    talk_socket()->error = ECONNREFUSED;
    step();
    assert_lost(2);
    /* It says nothing at all. */
    step();
    assert_int_equal(whom(), 3);
    assert_int_equal(redis_sentinel_due_ns(at), now_ns + SENTINEL_WAIT_NS);
    now_ns += SENTINEL_WAIT_NS - 1;
    step();
    assert_int_equal(at->state, SENTINEL_CONNECTING);
    now_ns++;
    step();
    assert_lost(3);
    /* Nor to the question. */
    fake_sockets.accepts = true;
    come(1);
    now_ns += SENTINEL_WAIT_NS;
    step();
    assert_lost(4);
    come(2);
    say("*2\r\n$8\r\n10.0");
    now_ns += SENTINEL_WAIT_NS - 1;
    step();
    assert_int_equal(at->state, SENTINEL_ASKED);
    now_ns++;
    step();
    assert_lost(5);
    /* Half an answer of the one before is nothing to the next. */
    come(3);
    say(HERE);
    assert_true(step());
    talk_socket()->ended = true;
    step();
    assert_lost(6);
    come(1);
    talk_socket()->error = ECONNRESET;
    step();
    assert_lost(7);
    /* It was this node that stood still: the answer lies in the socket. */
    come(2);
    say(HERE);
    now_ns += 10 * SENTINEL_WAIT_NS;
    step();
    assert_int_equal(figure(&at->figures.connected), 1);
    assert_string_equal(sent(), QUESTION);
    say(HERE);
    step();
    assert_int_equal(at->state, SENTINEL_KNOWS);
    /* It takes no more. */
    now_ns += SENTINEL_ASK_NS;
    talk_socket()->send_room = 5;
    step();
    assert_lost(8);
}

/* Nobody answers: how long was waited before all were tried again? */
static uint64_t round_fails(void) {
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(at->retry_ns, now_ns);
        unsigned opened = fake_sockets.opened;
        step();
        assert_int_equal(fake_sockets.opened, opened + 1);
        assert_int_equal(at->state, SENTINEL_DOWN);
    }
    uint64_t wait_ns = at->retry_ns - now_ns;
    now_ns = at->retry_ns;
    return wait_ns;
}

static void test_tries_again(void **state) {
    (void)state;
    fake_sockets.open_error = ECONNREFUSED;
    assert_in_range(round_fails(), 0, LINK_RETRY_FIRST_NS);
    uint64_t wanted_ns = LINK_RETRY_MIN_NS, began_ns = now_ns;
    unsigned told = 0, rounds = 0;
    for (; now_ns < began_ns + 10 * SENTINEL_TELL_NS; rounds++) {
        told += at->tells;
        assert_in_range(round_fails(), wanted_ns / 2, wanted_ns);
        wanted_ns = 2 * wanted_ns < LINK_RETRY_MAX_NS ? 2 * wanted_ns : LINK_RETRY_MAX_NS;
    }
    assert_true(rounds > 200);
    assert_in_range(told, 9, 10);
    fake_sockets.open_error = 0;
    come(1);
    say(HERE);
    assert_true(step());
    /* One that answers and goes, again and again, is not tried at once for ever. */
    static const unsigned next[] = {2, 3, 1};
    for (unsigned i = 0; i < 3; i++) {
        talk_socket()->ended = true;
        step();
        come(next[i]);
        say(HERE);
        step();
    }
    assert_true(at->tries >= rounds);
    /* One that was there for long is. */
    up = true;
    for (unsigned i = 0; i < 10; i++) {
        now_ns += SENTINEL_ASK_NS;
        step();
        say(HERE);
        step();
    }
    talk_socket()->ended = true;
    step();
    assert_int_equal(at->tries, 0);
    assert_int_equal(at->retry_ns, now_ns);
    assert_true(at->tells);
}

static void test_passwords(void **state) {
    (void)state;
    static const char noauth[] = "-NOAUTH Authentication required.\r\n";
    static const char with_user[] = "*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$2\r\npw\r\n" QUESTION;
    come(1); /* it is given to nobody who does not ask for it */
    say(noauth);
    assert_false(step());
    assert_string_equal(sent(), with_user);
    say("+OK\r\n");
    assert_false(step());
    say(HERE);
    assert_true(step());
    /* It does not like it. */
    talk_socket()->ended = true;
    step();
    come(2);
    say(noauth);
    step();
    assert_string_equal(sent(), with_user);
    say("-WRONGPASS invalid username-password pair\r\n");
    assert_false(step());
    assert_lost(2);
    /* It is asked once. */
    come(3);
    say(noauth);
    step();
    say("+OK\r\n");
    step();
    sent();
    say(noauth);
    assert_false(step());
    assert_lost(3);
    /* Without user; and without any. */
    redis_sentinel_fini(at);
    open_with("redis+sentinel://:pw@a:1/main");
    come(1);
    say(noauth);
    step();
    assert_string_equal(sent(), "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n" QUESTION);
    redis_sentinel_fini(at);
    open_with("redis+sentinel://a:1/main");
    come(1);
    say(noauth);
    step();
    assert_lost(1);
}

static void test_hosts(void **state) {
    (void)state;
    char problem[200] = "";
    redis_sentinel_fini(at);
    fake_sockets.addresses = 3;
    open_with("redis+sentinel://a:1,b:2/main");
    assert_int_equal(at->address_count, 6);
    redis_sentinel_fini(at);
    fake_sockets.addresses = 0;
    assert_null(redis_url_parse(SPAN("redis+sentinel://a,b/main"), &server.url));
    redis_sentinel_init(at);
    assert_false(redis_sentinel_open(at, &server, &account, now_ns, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "b is not known"));
}

static void test_without_sentinels(void **state) {
    (void)state;
    redis_sentinel_fini(at);
    redis_sentinel_init(at);
    assert_false(redis_sentinel_is_on(at));
    assert_true(redis_sentinel_due_ns(at) == CLOCK_NEVER);
    assert_int_equal(redis_sentinel_poll(at).fd, -1);
    assert_false(step());
    assert_int_equal(fake_sockets.opened, 0);
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_asks_once_a_second),
        ONE(test_in_any_parts),
        ONE(test_follows),
        ONE(test_addresses),
        ONE(test_what_is_no_answer),
        ONE(test_answers_that_nobody_asked_for),
        ONE(test_cannot_be_reached),
        ONE(test_tries_again),
        ONE(test_passwords),
        ONE(test_hosts),
        ONE(test_without_sentinels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
