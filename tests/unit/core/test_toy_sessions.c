/* Sessions that outlive their connections, over the whole engine of two workers: two on one
 * connection, none, another connection and another form; what waits for them keeps its order and
 * its marks. */
#include "tests/support/cmocka_first.h"

#include "tests/support/fake_engine.h"

#include "core/base/hash.h"
#include "tests/toys/toy_form.h"
#include "tests/toys/toy_protocol.h"
#include "tests/toys/toy_session.h"

static struct config config;

static void nothing(struct server *server) {
    (void)server;
}

static int open_both(void **state) {
    (void)state;
    static const struct server_parts parts = {
        .protocols = {&toy_protocol, &toy_protocol, &toy_protocol},
        .encodings = {&toy_encodings[0], &toy_encodings[1]},
    };
    hash_init(NULL);
    toy_sessions_init();
    config = (struct config){.workers = 2};
    node_open(&config, &parts, nothing);
    return 0;
}

static int close_both(void **state) {
    (void)state;
    node_close(nothing);
    assert_false(toy_sessions_any());
    return 0;
}

static void expect(struct peer *peer, const char *text) {
    char *all = peer_heard(peer);
    assert_string_equal(all, text);
    free(all);
}

static const struct toy_session *at(unsigned place) {
    return toy_session_at(0, place);
}

/* Walking through them finds so many copies. */
static void assert_tally(uint64_t copies) {
    struct worker *worker = &fake_server.workers[0];
    while (!tally_work(worker)) {
    }
    assert_int_equal(stats_get(&worker->stats.copies_waiting[CLASS_ACK]), copies);
}

static void test_two_on_one_then_none_then_another(void **state) {
    (void)state;
    struct peer *first = peer_connect(0, LISTENER_WEB), *other = peer_connect(1, LISTENER_WEB);
    peer_say(first, "take\n");
    expect(first, "=take\n");
    assert_int_equal(stats_get(&fake_server.workers[0].stats.sessions), TOY_ON_ONE);
    peer_say(other, "say\n");
    expect(first, "?0000100001:1-1\n?0000200001:1-1\n");
    /* Without a connection they are found all the same, and counted. */
    peer_end(first);
    expect(first, "");
    expect(other, "=say\n");
    peer_say(other, "say\nsay\n");
    assert_int_equal(at(0)->session.backlog.messages, 2);
    assert_int_equal(stats_get(&fake_server.workers[0].stats.waits), TOY_ON_ONE);
    assert_int_equal(stats_get(&fake_server.workers[0].stats.copies_waiting[CLASS_ACK]), 4);
    /* That they are moved while they are counted is no loss. */
    assert_tally(4);
    fake_server.workers[0].slice_until_ns = 0;
    assert_false(tally_work(&fake_server.workers[0]));
    struct peer *second = peer_connect(0, LISTENER_WEB);
    peer_say(second, "take\n");
    char *all = peer_heard(second);
    assert_int_equal(strncmp(all, "=take\n", 6), 0);
    assert_string_equal(all + 7, &"?0000100002:1-2\n?0000100003:1-3\n?0000200002:1-2\n"
                                  "?0000200003:1-3\n"[1]);
    free(all);
    assert_tally(0);
}

/* What their connection cannot take goes with them, and what is in flight is lost with it. */
static void test_what_was_not_sent_moves(void **state) {
    (void)state;
    struct peer *first = peer_connect(0, LISTENER_WEB);
    peer_say(first, "take\n");
    peer_stall(first, true);
    peer_say(first, "say\n");
    peer_say(first, "say\n");
    uint32_t waiting = at(0)->session.backlog.messages;
    assert_in_range(waiting, 2, 2);
    peer_say(first, "become\n");
    assert_null(at(0)->connection);
    assert_int_equal(at(0)->session.backlog.messages, 1);
    assert_tally(stats_get(&fake_server.workers[0].stats.copies_waiting[CLASS_ACK]));
    struct peer *second = peer_connect(0, LISTENER_WEB);
    peer_say(second, "take\n");
    assert_int_equal(at(0)->session.backlog.messages, 0);
    peer_stall(first, false);
}

/* They wait so long, and messages less long. */
static void test_nobody_comes(void **state) {
    (void)state;
    struct peer *first = peer_connect(0, LISTENER_WEB), *other = peer_connect(1, LISTENER_WEB);
    peer_say(first, "take\n");
    peer_end(first);
    peer_say(other, "say\n");
    node_pass(TOY_TTL_NS + NS_PER_S);
    peer_say(other, "say\n");
    assert_int_equal(
        stats_get(&fake_server.workers[0].stats.copies_dropped[CLASS_ACK][DROP_EXPIRED]), 2);
    node_pass(TOY_PARKED_NS);
    assert_false(toy_sessions_any());
    assert_int_equal(stats_get(&fake_server.workers[0].stats.sessions), 0);
    assert_int_equal(stats_get(&fake_server.workers[0].stats.copies_waiting[CLASS_ACK]), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_on_one_then_none_then_another, open_both,
                                        close_both),
        cmocka_unit_test_setup_teardown(test_what_was_not_sent_moves, open_both, close_both),
        cmocka_unit_test_setup_teardown(test_nobody_comes, open_both, close_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
