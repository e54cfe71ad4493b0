/* Connections that change their protocol or their worker, over the fake engine: sockets are plain
 * descriptors here. The toy protocols are on `web`; on `tcp` is one that writes down what it hears.
 */
#include "tests/support/cmocka_first.h"

#include "tests/support/fake_engine.h"

#include "core/base/hash.h"
#include "core/handover.h"
#include "core/kept_input.h"
#include "core/slots.h"
#include "tests/toys/toy_protocol.h"

static char heard[1024]; /* by the protocols that write down */
static struct connection *heard_of;
static struct intake intake;
static const struct protocol *taken_by;

static void hear(const char *what) {
    size_t len = strlen(heard);
    snprintf(heard + len, sizeof(heard) - len, "%s ", what);
}

static void first_open(struct worker *worker, struct connection *connection) {
    heard_of = connection;
    memset(connection_state(connection), 0xff, CONNECTION_STATE_BYTES);
    connection_deadline(worker, connection, worker->now_ns + NS_PER_S);
    hear("open1");
}
static size_t first_bytes(struct worker *worker, struct connection *connection, char *at,
                          size_t len) {
    if (len > 2 && at[1] == 't') { /* it takes over the block that is kept, up to there */
        size_t cap;
        char *block = input_take(worker, connection, at + 2, &cap);
        assert_ptr_equal(block, at);
        connection_become(worker, connection, taken_by);
        memory_put(&worker->account, block, cap);
        return 2;
    }
    return len - (memchr(at, '.', len) != NULL); /* a full stop, at the end, is kept */
}
static size_t input_max(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
    return 100;
}
static void first_flood(struct worker *worker, struct connection *connection) {
    connection_close(worker, connection, CLOSE_TOO_LARGE);
}
static void first_end(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
    hear("end1");
}
static void first_deadline(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
    hear("deadline1");
}
static void first_drain(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
    hear("drain1");
}
static void first_leave(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
    hear("leave1");
}
static void first_close(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
    hear("close1");
}

/* It never leaves, and is not told that it stays. */
static void second_open(struct worker *worker, struct connection *connection) {
    (void)worker;
    static const char empty[CONNECTION_STATE_BYTES];
    assert_memory_equal(connection_state(connection), empty, sizeof(empty));
    assert_false(timer_armed(&connection->timer));
    assert_null(connection->intake);
    hear("open2");
}
static size_t second_bytes(struct worker *worker, struct connection *connection, char *at,
                           size_t len) {
    (void)worker, (void)connection;
    char text[64];
    snprintf(text, sizeof(text), "bytes2:%.*s", (int)len, at);
    hear(text);
    return len;
}
static void second_end(struct worker *worker, struct connection *connection) {
    hear("end2");
    connection_finish(worker, connection, CLOSE_CLIENT);
}
static void second_drain(struct worker *worker, struct connection *connection) {
    hear("drain2");
    connection_finish(worker, connection, CLOSE_DRAINING);
}
static void second_close(struct worker *worker, struct connection *connection) {
    (void)worker, (void)connection;
    hear("close2");
}

static const struct protocol first = {.name = "first",
                                      .on_open = first_open,
                                      .on_bytes = first_bytes,
                                      .input_max = input_max,
                                      .on_flood = first_flood,
                                      .on_end = first_end,
                                      .on_deadline = first_deadline,
                                      .on_drain = first_drain,
                                      .on_leave = first_leave,
                                      .on_close = first_close},
                             second = {.name = "second",
                                       .on_open = second_open,
                                       .on_bytes = second_bytes,
                                       .input_max = input_max,
                                       .on_flood = first_flood,
                                       .on_end = second_end,
                                       .on_deadline = first_deadline,
                                       .on_drain = second_drain,
                                       .on_close = second_close};

static void nothing(struct server *server) {
    (void)server;
}

static struct config config;

static int setup(void **state) {
    (void)state;
    static const struct server_parts parts = {.protocols = {[LISTENER_TCP] = &first,
                                                            [LISTENER_WEB] = &toy_protocol,
                                                            [LISTENER_API] = &toy_protocol}};
    hash_init(NULL);
    log_set(LOG_ERROR, LOG_LOGFMT);
    heard[0] = '\0';
    taken_by = &second;
    config = (struct config){.workers = 3, .max_per_address = 2};
    node_open(&config, &parts, nothing);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    node_close(nothing);
    return 0;
}

static uint64_t sum(size_t offset) {
    uint64_t all = 0;
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        all += stats_get((_Atomic uint64_t *)((char *)&fake_server.workers[i].stats + offset));
    return all;
}
#define SUM(counter) sum(offsetof(struct stats, counter))

static struct worker *worker_at(unsigned i) {
    return &fake_server.workers[i];
}

static void assert_on(unsigned worker, struct peer *peer) {
    assert_int_equal(peer->worker, worker);
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        assert_int_equal(worker_at(i)->slots.live, i == worker);
    assert_int_equal(SUM(connections), 1);
    assert_int_equal(atomic_load(&fake_server.connections), 1);
}

/* --- become ----------------------------------------------------------------------------------- */

/* Whole, and split at every place: in the old protocol's bytes, in the new one's, between them. */
static void test_what_one_leaves_the_other_gets(void **state) {
    (void)state;
    static const char says[] = "a\nbecome\nABCD\n\nbecome\n12\n\nz\n";
    for (size_t split = 0; split < sizeof(says) - 1; split++) {
        struct peer *peer = peer_connect(0, LISTENER_WEB);
        peer_send_bytes(peer, span_of(says, split));
        node_settle();
        peer_say(peer, says + split);
        assert_string_equal(peer->out, "=a\n=become\nBADC\n\n=become\n21\n\n=z\n");
        peer_end(peer);
        assert_true(peer->closed);
        peer_forget(peer);
    }
}

static void test_one_after_the_other_a_byte_at_a_time(void **state) {
    (void)state;
    struct peer *peer = peer_connect(0, LISTENER_WEB);
    for (const char *at = "become\nAB\n\nbecome\nCD"; *at != '\0'; at++)
        peer_say(peer, (char[]){*at, '\0'});
    assert_string_equal(peer->out, "=become\nBA\n\n=become\nDC");
}

static void test_the_block_may_be_taken_over(void **state) {
    (void)state;
    struct peer *peer = peer_connect(1, LISTENER_TCP);
    peer_say(peer, ".");
    peer_say(peer, "trest");
    assert_string_equal(heard, "open1 leave1 open2 bytes2:rest ");
    peer_end(peer);
}

static void test_the_new_one_begins_with_nothing(void **state) {
    (void)state;
    struct peer *peer = peer_connect(1, LISTENER_TCP);
    peer_say(peer, "x.");
    heard_of->intake = &intake;
    connection_pause(worker_at(1), heard_of);
    connection_become(worker_at(1), heard_of, &second);
    assert_string_equal(heard, "open1 leave1 open2 ");
    node_settle();
    assert_string_equal(heard, "open1 leave1 open2 bytes2:. ");
    node_pass(2 * NS_PER_S); /* the old deadline is none any more */
    peer_end(peer);
    assert_string_equal(heard, "open1 leave1 open2 bytes2:. end2 close2 ");
    assert_true(peer->closed);
}

static void test_the_new_one_is_told_of_the_end(void **state) {
    (void)state;
    struct peer *peer = peer_connect(1, LISTENER_TCP);
    peer_send(peer, "x.");
    peer_end(peer);
    assert_string_equal(heard, "open1 end1 ");
    connection_become(worker_at(1), heard_of, &second);
    node_settle();
    assert_string_equal(heard, "open1 end1 leave1 open2 bytes2:. end2 close2 ");
}

static void test_the_new_one_is_told_of_the_drain(void **state) {
    (void)state;
    peer_connect(1, LISTENER_TCP);
    connection_drain(worker_at(1), heard_of);
    connection_drain(worker_at(1), heard_of);
    connection_become(worker_at(1), heard_of, &second);
    assert_string_equal(heard, "open1 drain1 leave1 open2 drain2 close2 ");
}

/* --- hand over -------------------------------------------------------------------------------- */

static void test_it_goes_on_elsewhere(void **state) {
    (void)state;
    static const char says[] = "a\nmove 1\nb\nmove 2\nmove 2\nmove 0\nc\n";
    for (size_t split = 0; split < sizeof(says) - 1; split++) {
        struct peer *peer = peer_connect(0, LISTENER_WEB);
        peer_send_bytes(peer, span_of(says, split));
        node_settle();
        peer_say(peer, says + split);
        assert_string_equal(peer->out, "=a\n@1\n=b\n@2\n@2\n@0\n=c\n");
        assert_on(0, peer);
        peer_end(peer);
        peer_forget(peer);
    }
    assert_int_equal(SUM(accepted_web), sizeof(says) - 1);
    assert_int_equal(SUM(closed[CLOSE_CLIENT]), sizeof(says) - 1);
    assert_int_equal(SUM(moved), 3 * (sizeof(says) - 1));
    assert_int_equal(SUM(moves_failed), 0);
}

/* Its answers leave first, and what comes meanwhile waits. */
static void test_it_waits_for_what_is_unsent(void **state) {
    (void)state;
    struct peer *peer = peer_connect(0, LISTENER_WEB);
    peer_stall(peer, true);
    peer_say(peer, "a\nmove 1\n");
    peer_say(peer, "b\n");
    assert_on(0, peer);
    peer_stall(peer, false);
    assert_string_equal(peer->out, "=a\n@1\n=b\n");
    assert_on(1, peer);
}

static void test_its_protocol_bounds_the_wait(void **state) {
    (void)state;
    struct peer *peer = peer_connect(0, LISTENER_WEB);
    peer_stall(peer, true);
    peer_say(peer, "a\nmove 1\n");
    node_pass(TOY_QUIET_NS + 10 * NS_PER_S);
    assert_true(peer->closed);
    assert_int_equal(SUM(moved), 0);
    assert_int_equal(SUM(closed[CLOSE_CLIENT]), 1);
}

static void test_the_end_comes_behind_what_was_kept(void **state) {
    (void)state;
    struct peer *peer = peer_connect(0, LISTENER_WEB);
    peer_send(peer, "move 1\nlast\n");
    peer_end(peer);
    assert_string_equal(peer->out, "@1\n=last\n");
    assert_true(peer->closed);
    assert_int_equal(SUM(moved), 1);
}

/* The worker that it would go to has not taken its mail for long. */
static void test_without_room_it_stays(void **state) {
    (void)state;
    struct peer *peer = peer_connect(0, LISTENER_WEB);
    struct queue *queue = &fake_server.post.boxes[1].from[0];
    while (post_room(&fake_server.post, 0, 1))
        assert_true(queue_push(queue, &(struct mail){.kind = MAIL_RETURN}));
    peer_send(peer, "move 1\nb\n");
    worker_turn(worker_at(0), 0);
    worker_turn(worker_at(0), 0);
    node_settle();
    assert_string_equal(peer->out, "@0\n=b\n");
    assert_on(0, peer);
    assert_int_equal(SUM(moves_failed), 1);
    peer_say(peer, "move 1\n");
    assert_on(1, peer);
}

/* One whose protocol does not say what happens then. */
static void test_without_room_it_is_closed(void **state) {
    (void)state;
    struct peer *peer = peer_connect(0, LISTENER_TCP);
    struct queue *queue = &fake_server.post.boxes[1].from[0];
    while (post_room(&fake_server.post, 0, 1))
        assert_true(queue_push(queue, &(struct mail){.kind = MAIL_RETURN}));
    connection_hand_over(worker_at(0), heard_of, 1);
    for (unsigned i = 0; i < 3; i++)
        worker_turn(worker_at(0), 0);
    assert_string_equal(heard, "open1 close1 ");
    assert_true(peer->closed);
    assert_int_equal(SUM(closed[CLOSE_OVERLOADED]), 1);
}

static void test_the_drain_is_told_there(void **state) {
    (void)state;
    struct peer *peer = peer_connect(0, LISTENER_WEB);
    worker_at(1)->slots.sweep.phase = PHASE_GOODBYE; /* as if it were through with its own */
    peer_say(peer, "move 1\nb\n");
    assert_string_equal(peer->out, "bye\n");
    worker_at(1)->slots.sweep.phase = 0;
    peer_end(peer);
    assert_int_equal(SUM(closed[CLOSE_DRAINING]), 1);
}

/* Of the two that one address may have, it is one all the time. */
static void test_its_address_is_counted_all_the_time(void **state) {
    (void)state;
    struct peer *moves = peer_connect(0, LISTENER_WEB), *stays = peer_connect(0, LISTENER_WEB);
    peer_send(moves, "move 1\n");
    worker_turn(worker_at(0), 0);
    worker_turn(worker_at(0), 0);
    assert_int_equal(worker_at(0)->slots.live, 1);
    assert_true(peer_connect(2, LISTENER_WEB)->closed);
    assert_string_equal(moves->out, "@1\n");
    peer_end(moves);
    assert_false(peer_connect(2, LISTENER_WEB)->closed);
    assert_false(stays->closed);
}

/* On its way when the last turn is over. */
static void test_the_node_has_ended(void **state) {
    (void)state;
    struct peer *peer = peer_connect(0, LISTENER_WEB);
    peer_send(peer, "move 1\nkept\n");
    for (unsigned i = 0; i < 3; i++)
        worker_turn(worker_at(0), 0);
    assert_int_equal(worker_at(0)->account.used_bytes, 0);
    assert_int_equal(atomic_load(&fake_server.connections), 1);
    endpoints_collect(&fake_server);
    assert_int_equal(atomic_load(&fake_server.connections), 0);
    assert_int_equal(SUM(closed[CLOSE_STOPPED]), 1);
    assert_int_equal(SUM(moves_failed), 1);
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_what_one_leaves_the_other_gets),
        ONE(test_one_after_the_other_a_byte_at_a_time),
        ONE(test_the_block_may_be_taken_over),
        ONE(test_the_new_one_begins_with_nothing),
        ONE(test_the_new_one_is_told_of_the_end),
        ONE(test_the_new_one_is_told_of_the_drain),
        ONE(test_it_goes_on_elsewhere),
        ONE(test_it_waits_for_what_is_unsent),
        ONE(test_its_protocol_bounds_the_wait),
        ONE(test_the_end_comes_behind_what_was_kept),
        ONE(test_without_room_it_stays),
        ONE(test_without_room_it_is_closed),
        ONE(test_the_drain_is_told_there),
        ONE(test_its_address_is_counted_all_the_time),
        ONE(test_the_node_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
