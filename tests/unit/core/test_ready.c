/* Sessions whose peers hear nothing until other hosts know of their names, on a whole engine: over
 * connections, over polls, and in all the ways in which that ends. The port that would tell others
 * is a toy; what it has told is said by the test. */
#include "tests/support/fake_http.h"

#include "proto/web/sio/sio.h"
#include "tests/toys/toy_port.h"

static struct toy_port herald;

static int setup(void **state) {
    (void)state;
    toy_init(&herald);
    fake_ports[0] = fake_herald = &herald.port;
    fake_apps[ENGINE_PATH_SOCKETIO] = &sio_app;
    fake_config.max_payload_bytes = 100000;
    http_node_open();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    fake_apps[ENGINE_PATH_SOCKETIO] = NULL;
    return 0;
}

static struct presence *presence(void) {
    return fake_server.presence;
}

static void known_to(uint64_t begun) {
    presence_ready_to(presence(), begun);
    node_settle();
}

static struct readies *readies(unsigned worker) {
    return &fake_server.workers[worker].readies;
}

static struct peer *client(unsigned worker, const char *id) {
    char hello[200];
    struct peer *peer = peer_connect(worker, LISTENER_TCP);
    snprintf(hello, sizeof(hello), "{\"type\":\"hello\",\"id\":\"%s\",\"groups\":[\"g\"]}\n", id);
    peer_say(peer, hello);
    return peer;
}

static bool is_welcome(const struct peer *peer) {
    return strstr(peer->out, "\"type\":\"welcome\"") != NULL;
}

static void push(const char *body) {
    static struct peer *api;
    static const char *wanted = "\"state\":\"queued\"";
    api = api_connect();
    assert_non_null(strstr(ask(api, JSON_POST("/v1/messages", body)), wanted));
}

static void test_until_all_know(void **state) {
    (void)state;
    struct peer *a = client(0, "a");
    assert_int_equal(presence_begun(presence()), 2);
    assert_string_equal(a->out, "");
    push("{\"to\":\"a\",\"data\":1}");
    push("{\"group\":\"g\",\"data\":2}");
    /* One name is not all. */
    known_to(1);
    assert_string_equal(a->out, "");
    assert_false(list_empty(&readies(0)->order));
    /* The worker would sleep else. */
    assert_false(atomic_load(&fake_server.workers[0].nudged));
    presence_ready_to(presence(), 2);
    assert_true(atomic_load(&fake_server.workers[0].nudged));
    assert_false(atomic_load(&fake_server.workers[1].nudged));
    node_settle();
    assert_true(list_empty(&readies(0)->order));
    const char *first = strstr(a->out, "\"data\":1"), *second = strstr(a->out, "\"data\":2");
    assert_true(is_welcome(a) && first != NULL && second != NULL);
    assert_true(strstr(a->out, "\"type\":\"welcome\"") < first && first < second);
    /* From then on nothing waits. */
    free(peer_heard(a));
    push("{\"to\":\"a\",\"data\":3}");
    assert_non_null(strstr(a->out, "\"data\":3"));
}

static void test_names_that_are_known_already(void **state) {
    (void)state;
    struct peer *a = client(0, "a");
    known_to(2);
    assert_true(is_welcome(a));
    /* On another worker: the names are no news, for nobody. */
    assert_true(is_welcome(client(0, "a")));
    assert_true(is_welcome(client(1, "a")) == (presence_begun(presence()) == 2));
}

/* Each in its order, on each worker. */
static void test_several(void **state) {
    (void)state;
    struct peer *a = client(0, "a"), *b = client(1, "b"), *c = client(0, "c");
    uint64_t begun = presence_begun(presence());
    assert_true(begun >= 4);
    known_to(2);
    assert_true(is_welcome(a) && !is_welcome(b) && !is_welcome(c));
    known_to(begun - 1);
    assert_true(!is_welcome(c));
    known_to(begun);
    assert_true(is_welcome(b) && is_welcome(c));
}

static void test_a_second_at_the_latest(void **state) {
    (void)state;
    struct peer *a = client(0, "a");
    node_pass(READY_NS / 2);
    struct peer *b = client(0, "b");
    node_pass(READY_NS / 2 - 100 * NS_PER_MS);
    assert_string_equal(a->out, "");
    node_pass(200 * NS_PER_MS);
    assert_true(is_welcome(a));
    assert_false(is_welcome(b));
    node_pass(READY_NS / 2);
    assert_true(is_welcome(b));
    /* The next one waits again. */
    assert_false(is_welcome(client(0, "c")));
}

static void test_nobody_waits(void **state) {
    (void)state;
    struct peer *a = client(0, "a");
    assert_false(is_welcome(a));
    known_to(UINT64_MAX);
    assert_true(is_welcome(a));
    assert_true(is_welcome(client(1, "b")));
    known_to(2);
    assert_false(is_welcome(client(1, "c")));
}

static void test_ends_while_held(void **state) {
    (void)state;
    struct peer *a = client(0, "a"), *b = client(0, "b"), *c = client(0, "c");
    peer_end(b);
    assert_true(b->closed);
    /* What ends says why. */
    peer_say(c, "nonsense\n");
    assert_true(is_welcome(c));
    assert_non_null(strstr(c->out, "\"type\":\"error\""));
    peer_end(a);
    assert_true(a->closed);
    assert_true(list_empty(&readies(0)->order));
    assert_int_equal(readies(0)->places.count, 0);
    /* Whoever has the memory now is held for itself. */
    struct peer *d = client(0, "d");
    assert_false(is_welcome(d));
    known_to(presence_begun(presence()));
    assert_true(is_welcome(d));
}

static void test_the_node_ends(void **state) {
    (void)state;
    struct peer *a = client(0, "a");
    server_drain(&fake_server);
    for (unsigned i = 0; i < 100 && !a->closed; i++) {
        server_step(&fake_server);
        fake_now_ns += 20 * NS_PER_MS;
        node_settle();
    }
    assert_true(is_welcome(a));
    assert_true(list_empty(&readies(0)->order));
}

static void test_no_memory(void **state) {
    (void)state;
    struct account *account = &fake_server.workers[0].account;
    struct session session = {.index = 1};
    assert_true(presence_begin(presence(), NAME_ID, SPAN("a")));
    uint64_t ceiling = fake_server.budget.ceiling_bytes;
    fake_server.budget.ceiling_bytes = 0;
    uint64_t rest = account->granted_bytes - account->used_bytes;
    account_force(account, rest);
    /* It is as if all knew. */
    ready_begin(&fake_server.workers[0], &session);
    assert_false(session.held);
    account_give(account, rest);
    fake_server.budget.ceiling_bytes = ceiling;
    presence_end(presence(), NAME_ID, SPAN("a"));
}

/* --- other transports ------------------------------------------------------------------------- */

static void test_events(void **state) {
    (void)state;
    struct peer *web = peer_connect(0, LISTENER_WEB);
    peer_say(web, GET("/events?id=a&group=g"));
    assert_string_equal(web->out, "");
    push("{\"to\":\"a\",\"data\":1}");
    known_to(2);
    assert_int_equal(status_of(web->out), 200);
    assert_non_null(strstr(web->out, "event: message\ndata: 1\n"));
}

static char sid[64];

static void poll_open(struct peer *peer) {
    const char *answer = ask(peer, GET("/socket.io/?EIO=4&transport=polling"));
    const char *at = strstr(answer, "\"sid\":\"");
    assert_non_null(at);
    snprintf(sid, sizeof(sid), "%.*s", (int)strcspn(at + 7, "\""), at + 7);
}

static const char *poll_path(void) {
    static char path[200];
    snprintf(path, sizeof(path), "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    return path;
}

static void poll_get(struct peer *peer) {
    char request[400];
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", poll_path());
    free(peer_heard(peer));
    peer_say(peer, request);
}

/* What is held waits for the poll, and the poll for it. */
static void test_polls(void **state) {
    (void)state;
    struct peer *gets = peer_connect(0, LISTENER_WEB), *posts = peer_connect(0, LISTENER_WEB);
    poll_open(gets);
    assert_int_equal(status_of(ask(posts, post(poll_path(), "text/plain", "40{\"id\":\"a\"}"))),
                     200);
    uint64_t begun = presence_begun(presence());
    assert_true(begun > 0);
    poll_get(gets);
    assert_string_equal(gets->out, "");
    push("{\"to\":\"a\",\"event\":\"e\",\"data\":1}");
    assert_string_equal(gets->out, "");
    known_to(begun);
    const char *connected = strstr(gets->out, "40{\"sid\"");
    assert_non_null(connected);
    const char *message = strstr(gets->out, "42[");
    if (message == NULL) {
        poll_get(gets);
        message = strstr(gets->out, "42[");
        assert_non_null(message);
    } else {
        assert_true(connected < message);
    }
}

/* The poll comes when it has been let go; and one whose time is over without a poll. */
static void test_polls_later(void **state) {
    (void)state;
    struct peer *gets = peer_connect(0, LISTENER_WEB), *posts = peer_connect(0, LISTENER_WEB);
    poll_open(gets);
    ask(posts, post(poll_path(), "text/plain", "40{\"id\":\"a\"}"));
    node_pass(READY_NS + 100 * NS_PER_MS);
    assert_true(list_empty(&readies(0)->order));
    poll_get(gets);
    assert_non_null(strstr(gets->out, "40{\"sid\""));
    /* A second namespace of the same client is held, and with it all. */
    assert_true(presence_begin(presence(), NAME_ID, SPAN("other")));
    poll_get(gets);
    ask(posts, post(poll_path(), "text/plain", "41"));
    presence_end(presence(), NAME_ID, SPAN("other"));
    node_settle();
    assert_true(list_empty(&readies(0)->order));
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_until_all_know), ONE(test_names_that_are_known_already),
        ONE(test_several),        ONE(test_a_second_at_the_latest),
        ONE(test_nobody_waits),   ONE(test_ends_while_held),
        ONE(test_the_node_ends),  ONE(test_no_memory),
        ONE(test_events),         ONE(test_polls),
        ONE(test_polls_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
