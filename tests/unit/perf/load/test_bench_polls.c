/* Sessions that poll: which connection a poll takes, and what an answer to it leads to. */
#include "perf/load/bench_polls.c"

#include "tests/support/cmocka_first.h"

#define SESSIONS 256u

static const struct bench_aim aims[BENCH_KINDS] = {
    [BENCH_UNICAST] = {.addresses = SESSIONS, .streams = 1}};
static struct bench_share *share;
static struct bench_net net;
static struct bench_polls *polls;

static int set_up(void **state) {
    (void)state;
    share = bench_share_open(SESSIONS, aims);
    if (share == NULL)
        return -1;
    share->form = BENCH_FORM_POLL;
    share->payload_size = BENCH_PAYLOAD_MIN;
    share->run_base = 0x100;
    snprintf(share->host, sizeof share->host, "h");
    bench_share_begin(share);
    net = (struct bench_net){.epoll = -1};
    polls = bench_polls_open(&net, share, &share->tallies[0], 0, SESSIONS,
                             &(struct sockaddr_in){.sin_family = AF_INET}, 0);
    return polls != NULL ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    bench_polls_close(polls);
    bench_share_close(share);
    return 0;
}

/* A session that has begun, without a connection. */
static struct bench_poller *session_make(uint32_t place, uint8_t request) {
    polls->sessions[place] = (struct bench_poller){.state = COMING, .next = request};
    polls->pending++;
    snprintf(polls->sessions[place].sid, sizeof polls->sessions[place].sid, "abc");
    return &polls->sessions[place];
}

static void answer(uint32_t place, uint32_t status, const char *body) {
    answer_take(polls, place,
                &(struct bench_answer){
                    .status = status, .body = (const uint8_t *)body, .body_len = strlen(body)});
}

static void from_the_handshake_to_the_first_poll(void **state) {
    (void)state;
    struct bench_poller *session = session_make(3, HANDSHAKE);
    answer(3, 200, "0{\"sid\":\"vqMB\"}");
    assert_string_equal(session->sid, "vqMB");
    assert_int_equal(session->next, CONNECT);
    answer(3, 200, "ok");
    assert_int_equal(session->next, POLL);
    answer(3, 200, "40{\"sid\":\"x\"}");
    assert_int_equal(session->state, READY);
    assert_int_equal(polls->tally->ready, 1);
    assert_int_equal(session->next, POLL);
    assert_int_equal(polls->wanting_count, 3); /* each answer wanted the next request */
    share->by_hello = true;
    session = session_make(4, POLL);
    answer(4, 200, "40{\"sid\":\"x\"}");
    assert_int_equal(session->next, REGISTER);
    answer(4, 200, "ok");
    answer(4, 200, "430[{\"ok\":true}]");
    assert_int_equal(session->state, READY);
}

static void what_a_poll_brings(void **state) {
    (void)state;
    char body[512];
    uint8_t payload[BENCH_PAYLOAD_MIN];
    struct bench_poller *session = session_make(3, POLL);
    session->state = READY;
    polls->tally->ready = 1;
    size_t len = 0;
    for (uint32_t i = 0; i < 2; i++) {
        bench_payload_write(
            payload, sizeof payload,
            &(struct bench_payload){.run = 0x101, .number = i, .to = 0x10000003, .at_ns = 1});
        len += (size_t)snprintf(body + len, sizeof body - len, "42[\"message\",%.*s]\x1e",
                                (int)sizeof payload, (const char *)payload);
    }
    snprintf(body + len, sizeof body - len, "2");
    answer(3, 200, body);
    assert_int_equal(polls->tally->received, 2);
    assert_int_equal(polls->tally->misrouted + polls->tally->damaged + polls->tally->disordered, 0);
    assert_int_equal(session->next, PONG);
    answer(3, 200, "ok");
    assert_int_equal(session->next, POLL);
    answer(3, 200, "rubbish");
    assert_int_equal(polls->tally->damaged, 1);
    answer(3, 400, "{\"code\":1}");
    assert_int_equal(session->state, LOST);
    assert_int_equal(polls->tally->lost, 1);
    assert_int_equal(polls->tally->ready, 0);
}

static void requests(void **state) {
    (void)state;
    char text[REQUEST_BYTES];
    size_t len;
    struct bench_poller *session = session_make(3, HANDSHAKE);
    len = request_make(polls, 3, text);
    assert_int_equal(len, strlen(text));
    assert_string_equal(text,
                        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n");
    session->next = PONG;
    len = request_make(polls, 3, text);
    assert_int_equal(len, strlen(text));
    assert_string_equal(text, "POST /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\n"
                              "Host: h\r\nContent-Type: text/plain;charset=UTF-8\r\n"
                              "Content-Length: 1\r\n\r\n3");
}

/* All connections are one end of a pair, and idle. */
static void a_poll_takes_any_idle_connection(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    (void)bench_share_run(share, polls->tally, 0, SESSIONS);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        polls->carriers[i].fd = dup(ends[0]);
        carrier_idle(polls, i);
        session_make(i, POLL);
        session_want(polls, i, POLL);
    }
    requests_send(polls, clock_ns());
    uint32_t kept = SESSIONS / BENCH_POLLS_CHOICE + 1;
    assert_int_equal(polls->wanting_count, kept); /* these wait for a choice, */
    assert_int_equal(polls->idle_count, kept);
    requests_send(polls, clock_ns() + BENCH_POLLS_PAUSE_NS); /* but not for ever */
    assert_int_equal(polls->wanting_count + polls->idle_count, 0);
    uint32_t own = 0;
    for (uint32_t i = 0; i < SESSIONS; i++)
        own += polls->carriers[i].session == i;
    assert_true(own < SESSIONS / 8);
    assert_int_equal(polls->tally->polls, SESSIONS);
    assert_int_equal(polls->tally->carried, SESSIONS);
    assert_int_equal(polls->tally->shared, 0);
    carrier_note(polls, &polls->carriers[0], polls->carriers[0].session);
    assert_int_equal(polls->tally->shared, 0);
    for (uint32_t i = 0; i < SESSIONS; i++)
        carrier_note(polls, &polls->carriers[0], i);
    assert_int_equal(polls->tally->shared, 1);
    assert_int_equal(polls->tally->carried, SESSIONS + BENCH_POLLS_CARRIED - 1);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(from_the_handshake_to_the_first_poll, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_poll_brings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_poll_takes_any_idle_connection, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
