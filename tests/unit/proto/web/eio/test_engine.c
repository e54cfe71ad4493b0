/* Engine.IO sessions over the fake engine: polls on the worker of their session and on another one,
 * with and without room in the mailbox between them. */
#include "tests/support/fake_http.h"

#include "proto/web/eio/engine_echo.h"
#include "proto/web/eio/engine_own.h"

static struct peer *home, *other;
static char sid[ENGINE_SID_BYTES + 1];

static struct worker *worker_at(unsigned i) {
    return &fake_server.workers[i];
}

static const char *get(const char *more) {
    static char request[512];
    snprintf(request, sizeof request,
             "GET /engine.io/?EIO=4&transport=polling%s HTTP/1.1\r\nHost: a\r\n\r\n", more);
    return request;
}

static const char *get_sid(void) {
    char more[64];
    snprintf(more, sizeof more, "&sid=%s", sid);
    return get(more);
}

static const char *post_sid(const char *body) {
    char path[128];
    snprintf(path, sizeof path, "/engine.io/?EIO=4&transport=polling&sid=%s", sid);
    return post(path, "text/plain", body);
}

static void setup_with(const struct engine_app *app) {
    fake_config = (struct config){.workers = 2,
                                  .heartbeat_ns = 25 * NS_PER_S,
                                  .heartbeat_timeout_ns = 20 * NS_PER_S,
                                  .max_payload_bytes = 1000,
                                  .outbox_bytes = 1 << 20,
                                  .conformance = true};
    fake_apps[ENGINE_PATH_ECHO] = app;
    http_node_open();
    home = peer_connect(0, LISTENER_WEB);
    other = peer_connect(1, LISTENER_WEB);
    const char *opened = strstr(ask(home, get("")), "{\"sid\":\"");
    assert_non_null(opened);
    memcpy(sid, opened + strlen("{\"sid\":\""), ENGINE_SID_BYTES);
}

static int setup(void **state) {
    (void)state;
    setup_with(&engine_echo_app);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static uint64_t engines(void) {
    return stats_get(&worker_at(0)->stats.engines);
}

static void test_there_and_back(void **state) {
    (void)state;
    assert_string_equal(body_of(ask(other, post_sid("4a\x1e"
                                                    "bAQID"))),
                        "ok");
    assert_string_equal(body_of(ask(other, get_sid())), "4a\x1e"
                                                        "bAQID");
    assert_int_equal(worker_at(1)->stats.relays, 2);
    assert_string_equal(body_of(ask(home, post_sid("4b"))), "ok");
    assert_string_equal(body_of(ask(home, get_sid())), "4b");
    assert_int_equal(worker_at(0)->stats.relays, 0);
    assert_int_equal(worker_at(1)->relays.away, 0);
}

static void test_one_waits(void **state) {
    (void)state;
    assert_string_equal(ask(other, get_sid()), "");
    assert_int_equal(worker_at(1)->relays.away, 1);
    assert_string_equal(body_of(ask(home, post_sid("4a"))), "ok");
    node_settle();
    assert_string_equal(body_of(other->out), "4a");
    assert_int_equal(worker_at(1)->relays.away, 0);
}

/* Until nothing more may be asked for. */
static void mailbox_fill(unsigned from, unsigned to) {
    struct queue *queue = &fake_server.post.boxes[to].from[from];
    while (post_room(&fake_server.post, from, to))
        assert_true(queue_push(queue, &(struct mail){.kind = MAIL_RETURN}));
}

static void test_no_room_there(void **state) {
    (void)state;
    mailbox_fill(1, 0);
    peer_send(other, get_sid());
    worker_turn(worker_at(1), 0);
    worker_turn(worker_at(1), 0);
    node_settle();
    assert_int_equal(status_of(other->out), 503);
    assert_int_equal(worker_at(1)->stats.relays_refused, 1);
    assert_string_equal(body_of(ask(home, post_sid("4a"))), "ok");
}

static void test_no_room_back(void **state) {
    (void)state;
    assert_string_equal(ask(other, get_sid()), "");
    mailbox_fill(0, 1);
    peer_send(home, post_sid("4a"));
    for (unsigned i = 0; i < 4; i++)
        worker_turn(worker_at(0), 0);
    assert_true(relays_wait(&worker_at(0)->relays));
    node_settle();
    assert_false(relays_wait(&worker_at(0)->relays));
    assert_string_equal(body_of(other->out), "4a");
}

static void test_its_connection_goes(void **state) {
    (void)state;
    assert_string_equal(ask(other, get_sid()), "");
    assert_int_equal(engines(), 1);
    peer_end(other);
    node_settle();
    assert_int_equal(engines(), 0);
    assert_int_equal(worker_at(1)->relays.away, 0);
    assert_non_null(strstr(ask(home, get_sid()), "\"code\":1"));
}

static void test_its_connection_goes_before_the_answer(void **state) {
    (void)state;
    assert_string_equal(ask(other, get_sid()), "");
    mailbox_fill(0, 1);
    peer_send(home, post_sid("4a"));
    for (unsigned i = 0; i < 4; i++)
        worker_turn(worker_at(0), 0);
    peer_end(other);
    node_settle();
    assert_int_equal(engines(), 0);
    assert_int_equal(worker_at(1)->relays.away, 0);
}

static void test_two_at_once(void **state) {
    (void)state;
    assert_string_equal(ask(other, get_sid()), "");
    assert_int_equal(status_of(ask(home, get_sid())), 400);
    node_settle();
    assert_string_equal(body_of(other->out), "1");
    assert_int_equal(engines(), 0);
}

/* What comes back is never fetched. */
static void test_too_much_waits(void **state) {
    (void)state;
    char body[900];
    memset(body, 'a', sizeof body - 1);
    body[0] = '4';
    body[sizeof body - 1] = '\0';
    unsigned taken = 0;
    while (taken < 2 * ENGINE_WRITTEN_BYTES_MAX / sizeof body &&
           strcmp(body_of(ask(home, post_sid(body))), "ok") == 0 && engines() != 0)
        taken++;
    assert_in_range(taken, ENGINE_WRITTEN_BYTES_MAX / 1000, ENGINE_WRITTEN_BYTES_MAX / 850);
    assert_int_equal(worker_at(0)->stats.closed[CLOSE_TOO_SLOW], 0); /* no connection was closed */
    assert_non_null(strstr(ask(home, get_sid()), "\"code\":1"));
}

/* It comes in two pieces, so that the request is put together elsewhere. */
static void test_a_handshake_with_a_body(void **state) {
    (void)state;
    peer_say(home, "GET /engine.io/?EIO=4&transport=websocket&id=a HTTP/1.1\r\nHost: a\r\n"
                   "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    const char *answer = ask(home, "0\r\n\r\n");
    assert_int_equal(status_of(answer), 400);
    assert_string_equal(body_of(answer), "Bad request");
}

static const char *handshake_offering(const char *protocols) {
    static char request[1024];
    snprintf(request, sizeof request,
             "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\n"
             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Sec-WebSocket-Protocol: %s\r\n\r\n",
             protocols);
    return request;
}

static void test_the_first_subprotocol(void **state) {
    (void)state;
    char longest[200];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *answer = ask(home, handshake_offering("one , two"));
    assert_non_null(strstr(answer, "\r\nSec-WebSocket-Protocol: one\r\n"));
    answer = ask(other, handshake_offering(longest));
    assert_int_equal(status_of(answer), 101);
    assert_null(strstr(answer, "Sec-WebSocket-Protocol"));
    answer = ask(peer_connect(0, LISTENER_WEB), handshake_offering(", two"));
    assert_int_equal(status_of(answer), 101);
    assert_int_equal(status_of(ask(peer_connect(0, LISTENER_WEB), handshake_offering("@"))), 400);
}

static void test_a_foreign_page(void **state) {
    (void)state;
    char request[1024];
    const char *offer = handshake_offering("x");
    snprintf(request, sizeof request, "%.*sOrigin: http://evil.example\r\n\r\n",
             (int)strlen(offer) - 2, offer);
    const char *answer = ask(home, request);
    assert_int_equal(status_of(answer), 400);
    assert_string_equal(body_of(answer), "Forbidden");
}

/* --- the memory is gone when a poll is answered ----------------------------------------------- */

static size_t memory_taken;
static bool memory_ends;

/* From here on no answer can be written: whoever has one to write loses the connection. */
static void memory_end(void) {
    struct worker *worker = worker_at(0);
    fake_server.budget.ceiling_bytes = 1;
    while (account_try(&worker->account, 16))
        memory_taken += 16;
    worker->replies.beyond_max = 0;
}

static void memory_back(void) {
    account_give(&worker_at(0)->account, memory_taken);
    memory_taken = 0;
}

/* Takes no more for now; or ends the session at once, without memory. */
static bool on_message_stop(struct worker *worker, struct engine *engine, struct span bytes,
                            bool binary) {
    (void)bytes, (void)binary;
    if (!memory_ends)
        return false;
    memory_end();
    engine_close(worker, engine, CLOSE_BAD_MESSAGE);
    return true;
}

static void with_app_that_stops(void **state) {
    static struct engine_app app;
    teardown(state);
    app = engine_echo_app;
    app.on_message = on_message_stop;
    memory_ends = false;
    setup_with(&app);
}

/* So much is left for the poll itself, but not for its answer. */
#define POLL_BYTES 512

static bool on_open_at_the_ceiling(struct worker *worker, struct engine *engine) {
    if (!memory_ends)
        return engine_echo_app.on_open(worker, engine);
    fake_server.budget.ceiling_bytes = 1;
    while (account_try(&worker->account, 16))
        memory_taken += 16;
    account_give(&worker->account, POLL_BYTES);
    memory_taken -= POLL_BYTES;
    return true;
}

/* Nobody waits for a session that he does not know of. */
static void test_a_handshake_that_cannot_be_answered(void **state) {
    static struct engine_app app;
    teardown(state);
    app = engine_echo_app;
    app.on_open = on_open_at_the_ceiling;
    memory_ends = false;
    setup_with(&app);
    memory_ends = true;
    struct peer *third = peer_connect(0, LISTENER_WEB);
    assert_int_equal(status_of(ask(third, get(""))), 503);
    memory_back();
    assert_int_equal(engines(), 1);
    assert_int_equal(worker_at(0)->stats.engine_refused, 1);
}

/* A GET that waits, and behind it, by the same connection, a POST that ends the session. */
static void test_the_end_of_a_post_cannot_be_answered(void **state) {
    with_app_that_stops(state);
    memory_ends = true;
    peer_say(home, get_sid());
    peer_say(home, post_sid("4a"));
    memory_back();
    assert_true(home->closed);
    assert_int_equal(engines(), 0);
}

/* A WebSocket for the session, which is not probed yet. */
static struct peer *upgrade_begin(void) {
    char request[512];
    struct peer *socket = peer_connect(0, LISTENER_WEB);
    snprintf(request, sizeof request,
             "GET /engine.io/?EIO=4&transport=websocket&sid=%s HTTP/1.1\r\nHost: a\r\n"
             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             sid);
    assert_int_equal(status_of(ask(socket, request)), 101);
    return socket;
}

#define FRAME_UPGRADE SPAN("\x81\x81\0\0\0\0005")

/* The poll that the upgrade ended is answered to nobody: the session does without it. */
static void test_its_connection_goes_after_the_upgrade(void **state) {
    (void)state;
    struct peer *socket = upgrade_begin();
    assert_string_equal(ask(other, get_sid()), "");
    mailbox_fill(0, 1);
    peer_send_bytes(socket, FRAME_UPGRADE);
    for (unsigned i = 0; i < 4; i++)
        worker_turn(worker_at(0), 0);
    assert_true(relays_wait(&worker_at(0)->relays));
    peer_end(other);
    node_settle();
    assert_int_equal(worker_at(1)->relays.away, 0);
    assert_int_equal(engines(), 1);
    assert_false(socket->closed);
}

/* A GET and a POST wait by the same connection when the upgrade ends the GET. */
static void test_the_poll_of_an_upgrade_cannot_be_answered(void **state) {
    with_app_that_stops(state);
    struct peer *socket = upgrade_begin();
    peer_say(home, get_sid());
    peer_say(home, post_sid("4a"));
    assert_string_equal(home->out, "");
    memory_end();
    peer_send_bytes(socket, FRAME_UPGRADE);
    node_settle();
    memory_back();
    assert_true(home->closed);
    assert_int_equal(engines(), 0);
    assert_int_equal(stats_get(&worker_at(0)->stats.engines_polling), 0);
}

static const struct engine_polls *polls(void) {
    return engines_of(worker_at(0))->at[1]->polls;
}

/* What polls need is there as long as one of them is. */
static void test_polls_end_with_the_upgrade(void **state) {
    with_app_that_stops(state);
    uint64_t before = worker_at(0)->account.used_bytes;
    struct peer *socket = upgrade_begin();
    peer_say(home, post_sid("4a"));
    peer_send_bytes(socket, FRAME_UPGRADE);
    node_settle();
    assert_string_equal(home->out, "");
    assert_non_null(polls());
    engine_resume(worker_at(0), engines_of(worker_at(0))->at[1]);
    node_settle();
    assert_string_equal(body_of(home->out), "ok");
    assert_null(polls());
    assert_int_equal(worker_at(0)->account.used_bytes, before - sizeof(struct engine_polls));
}

static void test_a_slot_is_small(void **state) {
    (void)state;
    assert_true(sizeof(struct engine) <= 96);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_there_and_back),
        TEST(test_one_waits),
        TEST(test_no_room_there),
        TEST(test_no_room_back),
        TEST(test_its_connection_goes),
        TEST(test_its_connection_goes_before_the_answer),
        TEST(test_two_at_once),
        TEST(test_too_much_waits),
        TEST(test_a_handshake_with_a_body),
        TEST(test_the_first_subprotocol),
        TEST(test_a_foreign_page),
        TEST(test_its_connection_goes_after_the_upgrade),
        TEST(test_a_handshake_that_cannot_be_answered),
        TEST(test_the_end_of_a_post_cannot_be_answered),
        TEST(test_the_poll_of_an_upgrade_cannot_be_answered),
        TEST(test_polls_end_with_the_upgrade),
        TEST(test_a_slot_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
