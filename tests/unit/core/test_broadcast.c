/* Broadcasts that share a walk: each session gets each once and in order, wherever the walk is when
 * one joins, and whoever comes and goes meanwhile. */
#include "tests/support/cmocka_first.h"

#include "core/worker.h"

static bool fake_push_batch(struct worker *worker, struct outbox *outbox, struct session *session,
                            struct frame_batch *batch);
static enum outbox_verdict fake_push(struct worker *worker, struct session *session,
                                     struct outbox *outbox, struct parcel *parcel,
                                     enum send_lane lane);
static void fake_hurry(struct worker *worker, struct outbox *outbox);
static void fake_answer(struct endpoint *endpoint, const struct mail *request, uint32_t recipients,
                        unsigned flags, bool unicast);

#define outbox_push_batch fake_push_batch
#define delivery_push fake_push
#define outbox_hurry fake_hurry
#define hub_answer fake_answer
#include "core/broadcast.c"

#include "core/base/builder.h"
#include "core/base/hash.h"

#define SESSIONS 100
#define COPIES 80
#define BROADCASTS 100

static struct server server;
static struct config config;
static struct mailbox box;
static struct worker worker;

/* A session and what it got: the first byte of each payload, and how many pieces that were. */
struct till {
    struct session session;
    struct connection connection;
    char got[COPIES];
    unsigned count, pieces;
    enum outbox_verdict verdict; /* of the next push */
};
static struct till tills[SESSIONS + 50];
static unsigned opened;

static struct {
    unsigned answers;
    uint32_t recipients;
    unsigned flags;
    unsigned place; /* among the answers */
} answered[BROADCASTS];
static unsigned answers;

static size_t plain_bound(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return 2;
}
static bool plain_head(const struct encoding *encoding, const struct message *message,
                       struct builder *out) {
    (void)encoding, (void)message;
    builder_bytes(out, "<", 1);
    return true;
}
static void plain_tail(const struct encoding *encoding, const struct message *message,
                       struct builder *out) {
    (void)encoding, (void)message;
    builder_bytes(out, ">", 1);
}
static const struct encoding plain = {.bound = plain_bound, .head = plain_head, .tail = plain_tail};

static const struct encoding *till_encoding(const struct session *session) {
    (void)session;
    return &plain;
}
static struct outbox *till_outbox(struct session *session) {
    return &container_of(session, struct till, session)->connection.outbox;
}
static const struct session_type till_type = {
    .transport = "test", .encoding = till_encoding, .outbox = till_outbox};

static struct till *till_of(struct outbox *outbox) {
    return container_of(connection_of_outbox(outbox), struct till, connection);
}

static void got(struct till *till, const struct parcel *parcel) {
    assert_true(till->count < COPIES);
    till->got[till->count++] = message_payload(parcel->message).at[0];
}

static bool fake_push_batch(struct worker *w, struct outbox *outbox, struct session *session,
                            struct frame_batch *batch) {
    (void)w, (void)session;
    struct till *till = till_of(outbox);
    if (till->verdict != OUTBOX_TAKEN)
        return false;
    for (uint32_t i = 0; i < batch->count; i++)
        got(till, batch->parts[i].parcel);
    till->pieces++;
    return true;
}

static enum outbox_verdict fake_push(struct worker *w, struct session *session,
                                     struct outbox *outbox, struct parcel *parcel,
                                     enum send_lane lane) {
    struct till *till = till_of(outbox);
    enum outbox_verdict verdict = till->verdict;
    assert_int_equal(lane, LANE_BULK);
    if (verdict == OUTBOX_FULL)
        session_close(w, session, outbox);
    if (verdict == OUTBOX_TAKEN) {
        got(till, parcel);
        till->pieces++;
    }
    return verdict;
}

static void fake_hurry(struct worker *w, struct outbox *outbox) {
    (void)w;
    till_of(outbox)->verdict = OUTBOX_TAKEN; /* it will have sent when it is visited again */
}

static void fake_answer(struct endpoint *e, const struct mail *request, uint32_t recipients,
                        unsigned flags, bool unicast) {
    (void)e;
    assert_false(unicast);
    assert_true(request->token < BROADCASTS);
    answered[request->token].answers++;
    answered[request->token].recipients = recipients;
    answered[request->token].flags = flags;
    answered[request->token].place = answers++;
}

static void till_open(void) {
    struct till *till = &tills[opened++];
    *till = (struct till){.verdict = OUTBOX_TAKEN};
    assert_true(session_open(&worker, &till->session, &till_type));
}

static int open_node(void **state) {
    (void)state;
    hash_init(NULL);
    memset(&server, 0, sizeof(server));
    memset(&worker, 0, sizeof(worker));
    memset(&box, 0, sizeof(box));
    memset(answered, 0, sizeof(answered));
    answers = opened = 0;
    config = (struct config){.outbox_bytes = 1 << 20, .slow = SLOW_CLOSE};
    atomic_init(&server.config, &config);
    server.worker_count = 1;
    server.post.boxes = &box;
    server.post.copies_max = FANOUT_COPIES_MAX;
    budget_init(&server.budget, 1 << 20);
    worker.is_worker = true;
    worker.server = &server;
    worker.config = &config;
    worker.now_ns = NS_PER_S;
    account_init(&worker.account, &server.budget);
    pool_init(&worker.delivery.parcels, sizeof(struct parcel));
    for (unsigned lane = 0; lane < LANES; lane++)
        list_init(&worker.sending.dirty[lane]);
    fanout_init(&worker.fanout);
    directory_init(&worker);
    broadcasts_init(&worker.broadcasts);
    for (unsigned i = 0; i < SESSIONS; i++)
        till_open();
    return 0;
}

static int close_node(void **state) {
    (void)state;
    for (unsigned i = 0; i < opened; i++)
        session_close(&worker, &tills[i].session, &tills[i].connection.outbox);
    broadcasts_fini(&worker.broadcasts);
    fanout_fini(&worker.fanout);
    directory_fini(&worker);
    assert_int_equal(worker.account.used_bytes, 0);
    assert_int_equal(atomic_load(&box.copies), 0);
    pool_fini(&worker.delivery.parcels);
    account_fini(&worker.account);
    free(worker.sessions.at);
    return 0;
}

/* Broadcast number `n`, which is known by its first byte. */
static void push_to(uint8_t namespace, unsigned n, size_t bytes) {
    struct message_parts parts = {.broadcast = true, .namespace = namespace, .payload_max = bytes};
    struct message *message = message_open(&worker.endpoint, &parts);
    assert_non_null(message);
    memset(message_payload_room(message), 'a' + (int)n, bytes);
    message_seal(message, bytes);
    struct parcel *parcel = parcel_open(&worker, message);
    struct mail request = {.kind = MAIL_DELIVER, .token = n, .number = worker.sessions.count};
    assert_true(fanout_reserve(&server.post, 0, request.number, worker.sessions.count, false));
    assert_true(broadcast_push(&worker, parcel, &request));
}

static void push(unsigned n, size_t bytes) {
    push_to(NAMESPACE_MAIN, n, bytes);
}

/* As much as is done before the clock is read for the first time. */
static void turn(void) {
    worker.slice_until_ns = 0;
    broadcasts_work(&worker);
}

static void turns_all(void) {
    unsigned turns = 0;
    while (broadcasts_busy(&worker.broadcasts)) {
        turn();
        assert_true(++turns < 1000);
    }
}

static void expect_answer(unsigned n, uint32_t recipients, unsigned flags) {
    assert_int_equal(answered[n].answers, 1);
    assert_int_equal(answered[n].recipients, recipients);
    assert_int_equal(answered[n].flags, flags);
}

static void expect_got(unsigned till, const char *all) {
    assert_int_equal(tills[till].count, strlen(all));
    assert_memory_equal(tills[till].got, all, strlen(all));
}

static void test_one_joins_while_another_is_under_way(void **state) {
    (void)state;
    push(0, 1);
    turn();
    expect_got(SESSIONS - 1, "a");
    expect_got(0, "");
    push(1, 1);
    turns_all();
    for (unsigned i = 0; i < SESSIONS; i++)
        expect_got(i, "ab");
    /* Those who had not been visited got both together, but the first, which showed what to make.
     */
    assert_int_equal(tills[SESSIONS - 1].pieces, 2);
    assert_int_equal(tills[SESSIONS - VISITS_PER_LOOK].pieces, 2);
    assert_int_equal(tills[SESSIONS - VISITS_PER_LOOK - 2].pieces, 1);
    assert_int_equal(tills[0].pieces, 1);
    expect_answer(0, SESSIONS, ANSWER_FOUND);
    expect_answer(1, SESSIONS, ANSWER_FOUND);
    assert_true(answered[0].place < answered[1].place);
}

static void test_nobody_waits_longer_than_a_round(void **state) {
    (void)state;
    push(0, 1);
    turn();
    push(1, 1);
    /* 100 sessions, 16 in a turn: after six turns more the first has been round. */
    for (unsigned i = 0; i < 6; i++)
        turn();
    assert_int_equal(answered[0].answers, 1);
    assert_int_equal(answered[1].answers, 0);
    turn();
    assert_int_equal(answered[1].answers, 1);
}

/* While so many sends of copies wait, the walk stands still, and goes on where it was. */
static void test_the_walk_waits_for_sends(void **state) {
    (void)state;
    push(0, 1);
    worker.sending.due[LANE_BULK] = FANOUT_SENDS_MAX;
    turn();
    expect_got(SESSIONS - 1, "");
    worker.sending.due[LANE_BULK] = FANOUT_SENDS_MAX - 1;
    turn();
    expect_got(SESSIONS - 1, "a");
    worker.sending.due[LANE_BULK] = 0;
    turns_all();
    for (unsigned i = 0; i < SESSIONS; i++)
        expect_got(i, "a");
    expect_answer(0, SESSIONS, ANSWER_FOUND);
}

/* Sessions leave and enter at every place of the walk, and change their places by that. */
static void test_sessions_come_and_go(void **state) {
    (void)state;
    for (unsigned first = 0; first < 8; first++) {
        push(0, 1);
        turn();
        push(1, 1);
        unsigned begun = opened;
        for (unsigned i = 0; i < 5; i++) {
            unsigned gone = (first * 13 + i * 29) % SESSIONS;
            session_close(&worker, &tills[gone].session, &tills[gone].connection.outbox);
            tills[gone].count = 0;
            till_open();
            turn();
        }
        turns_all();
        assert_int_equal(answered[0].answers, 1);
        assert_int_equal(answered[1].answers, 1);
        for (unsigned i = 0; i < opened; i++) {
            if (!session_is_open(&tills[i].session))
                continue;
            /* The first that came did so before the second broadcast joined. */
            expect_got(i, i < begun ? "ab" : i == begun ? "b" : "");
        }
        (void)close_node(state);
        (void)open_node(state);
    }
}

/* One that waits for its own send holds the walk for a turn; one that is too slow is gone. */
static void test_a_full_outbox(void **state) {
    (void)state;
    push(0, 1);
    push(1, 1);
    tills[SESSIONS - 3].verdict = OUTBOX_WAIT;
    tills[SESSIONS - 5].verdict = OUTBOX_FULL;
    tills[SESSIONS - 7].verdict = OUTBOX_DROPPED;
    tills[SESSIONS - 9].verdict = OUTBOX_STARVED;
    turn();
    expect_got(SESSIONS - 2, "ab");
    expect_got(SESSIONS - 3, "");
    expect_got(SESSIONS - 4, "");
    turns_all();
    expect_got(SESSIONS - 3, "ab");
    assert_false(session_is_open(&tills[SESSIONS - 5].session));
    expect_answer(0, SESSIONS - 3, ANSWER_FOUND | ANSWER_STARVED);
    expect_answer(1, SESSIONS - 3, ANSWER_FOUND | ANSWER_STARVED);
}

/* A payload that no batch takes goes alone; those behind it wait, and keep their order. */
static void test_a_large_one_goes_alone(void **state) {
    (void)state;
    push(0, 1);
    push(1, FRAME_COPY_BYTES_MAX + 1);
    push(2, 1);
    turns_all();
    for (unsigned i = 0; i < SESSIONS; i++)
        expect_got(i, "abc");
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(answered[n].place, n);
}

/* As many as a batch holds; the next one joins when the first is over. */
static void test_how_many_go_together(void **state) {
    (void)state;
    for (unsigned n = 0; n < FRAME_BATCH_PARTS_MAX + 2; n++)
        push(n, 1);
    turn();
    assert_int_equal(worker.broadcasts.count, FRAME_BATCH_PARTS_MAX);
    for (unsigned i = 0; i < 5; i++)
        turn();
    assert_int_equal(worker.broadcasts.count, FRAME_BATCH_PARTS_MAX);
    turn(); /* this one is the end of their round */
    turn();
    assert_int_equal(worker.broadcasts.count, 2);
    turns_all();
    for (unsigned n = 0; n < FRAME_BATCH_PARTS_MAX + 2; n++)
        expect_answer(n, SESSIONS, ANSWER_FOUND);
}

/* And as many bytes. What waits although the walk has been round since is late. */
static void test_how_many_bytes_go_together(void **state) {
    (void)state;
    unsigned together = FRAME_BATCH_BYTES_MAX / FRAME_COPY_BYTES_MAX;
    for (unsigned n = 0; n < 4 * together; n++)
        push(n, FRAME_COPY_BYTES_MAX);
    turn();
    assert_int_equal(worker.broadcasts.count, together);
    bool late = false;
    for (unsigned i = 0; i < 24; i++) {
        worker.now_ns += NS_PER_MS;
        turn();
        late |= broadcasts_late_ns(&worker.broadcasts, worker.now_ns) != 0;
    }
    assert_true(late);
    turns_all();
    assert_int_equal(broadcasts_late_ns(&worker.broadcasts, worker.now_ns), 0);
    for (unsigned n = 0; n < 4 * together; n++)
        expect_answer(n, SESSIONS, ANSWER_FOUND);
}

static void test_no_sessions(void **state) {
    (void)state;
    for (unsigned i = 0; i < SESSIONS; i++)
        session_close(&worker, &tills[i].session, &tills[i].connection.outbox);
    push(0, 1);
    turn();
    expect_answer(0, 0, 0);
    till_open();
    push(1, 1);
    session_close(&worker, &tills[opened - 1].session, &tills[opened - 1].connection.outbox);
    turn();
    expect_answer(1, 0, 0);
}

/* Each goes to the sessions of its namespace, whichever are under way together. */
static void test_namespaces(void **state) {
    (void)state;
    for (unsigned i = 0; i < SESSIONS; i += 3)
        tills[i].session.namespace = 1;
    push(0, 1);
    push(1, 1);
    push_to(1, 2, 1);
    turn();
    push_to(1, 3, 1);
    push(4, 1);
    turns_all();
    for (unsigned i = 0; i < SESSIONS; i++)
        expect_got(i, i % 3 == 0 ? "cd" : "abe");
    expect_answer(0, SESSIONS - SESSIONS / 3 - 1, ANSWER_FOUND);
    expect_answer(3, SESSIONS / 3 + 1, ANSWER_FOUND);
}

/* Who publishes is told when they wait too long for a session that reads too little. */
static void test_who_publishes_is_told(void **state) {
    (void)state;
    worker.delivery.held_late_ns = HELD_LATE_NS;
    tills[SESSIONS / 2].verdict = OUTBOX_WAIT;
    push(0, 1);
    worker.slice_until_ns = UINT64_MAX;
    broadcasts_work(&worker);
    assert_true(broadcasts_idle(&worker.broadcasts) && broadcasts_busy(&worker.broadcasts));
    worker.now_ns += HELD_LATE_NS - 1;
    broadcasts_held_tell(&worker);
    assert_false(atomic_load(&box.broadcasts_held_late));
    worker.now_ns++;
    broadcasts_held_tell(&worker);
    assert_true(atomic_load(&box.broadcasts_held_late));
    turns_all();
    broadcasts_held_tell(&worker);
    assert_false(atomic_load(&box.broadcasts_held_late));
    expect_got(SESSIONS / 2, "a");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_joins_while_another_is_under_way, open_node,
                                        close_node),
        cmocka_unit_test_setup_teardown(test_nobody_waits_longer_than_a_round, open_node,
                                        close_node),
        cmocka_unit_test_setup_teardown(test_the_walk_waits_for_sends, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_sessions_come_and_go, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_a_full_outbox, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_a_large_one_goes_alone, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_how_many_go_together, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_how_many_bytes_go_together, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_who_publishes_is_told, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_namespaces, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_no_sessions, open_node, close_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
