/* Sessions and outboxes: two on one connection, one without any, one that moves to another, and
 * copies that differ by a mark. */
#include "tests/support/outbox_fixture.h"

#include "core/chain.h"

#include <stdio.h>

/* Another way to write it: [payload] */
static size_t wide_bound(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return 4;
}
static bool wide_head(const struct encoding *encoding, const struct message *message,
                      struct builder *out) {
    (void)encoding, (void)message;
    builder_bytes(out, "[[", 2);
    return true;
}
static void wide_tail(const struct encoding *encoding, const struct message *message,
                      struct builder *out) {
    (void)encoding, (void)message;
    builder_bytes(out, "]]", 2);
}
static const struct encoding wide = {
    .index = 1, .bound = wide_bound, .head = wide_head, .tail = wide_tail};

/* And one with a mark: #0000000007:payload; */
static size_t marked_bound(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return MARK_BYTES + 3;
}
static bool marked_head(const struct encoding *encoding, const struct message *message,
                        struct builder *out) {
    (void)encoding, (void)message;
    builder_text(out, "#----------:");
    return true;
}
static void marked_tail(const struct encoding *encoding, const struct message *message,
                        struct builder *out) {
    (void)encoding, (void)message;
    builder_byte(out, ';');
}
static uint32_t mark_at(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return 1;
}
static const struct encoding marked = {.index = 2,
                                       .bound = marked_bound,
                                       .head = marked_head,
                                       .tail = marked_tail,
                                       .mark_at = mark_at};

static struct outbox parked;
static struct list lists[2]; /* of what waits for `session`, and for `other` */
static struct connection second;
static struct session other;
static const struct encoding *spoken;
static struct outbox *place, *other_place; /* where the sessions' messages are now */
static unsigned parked_told, marks;

static const struct encoding *type_encoding(const struct session *of) {
    (void)of;
    return spoken;
}
static void type_parked(struct worker *w, struct session *of) {
    (void)w, (void)of;
    parked_told++;
}
static void type_mark(struct worker *w, struct session *of, const struct message *message,
                      char *mark) {
    (void)w, (void)of, (void)message;
    char text[MARK_BYTES + 1];
    snprintf(text, sizeof(text), "%0*u", MARK_BYTES, ++marks);
    memcpy(mark, text, MARK_BYTES);
}
static struct outbox *type_outbox(struct session *of) {
    return of == &session ? place : other_place;
}
static struct list *type_waiting(struct session *of) {
    return &lists[of == &other];
}
static const struct session_type type = {.outbox = type_outbox,
                                         .encoding = type_encoding,
                                         .on_parked = type_parked,
                                         .mark = type_mark,
                                         .waiting = type_waiting};
/* Alone in its outbox: there is no list. */
static const struct session_type lone = {
    .outbox = type_outbox, .encoding = type_encoding, .on_parked = type_parked};

static int open_sessions(void **state) {
    open_node(state);
    parked = outbox_parked();
    memset(&second, 0, sizeof(second));
    list_init(&second.flush_link);
    memset(&other, 0, sizeof(other));
    session.type = other.type = &type;
    list_init(&lists[0]);
    list_init(&lists[1]);
    spoken = &plain;
    parked_told = marks = 0;
    place = other_place = &connection.outbox;
    return 0;
}

static int close_sessions(void **state) {
    assert_true(outbox_empty(&parked));
    assert_true(outbox_empty(&second.outbox));
    assert_true(list_empty(&lists[0]) && list_empty(&lists[1]));
    assert_int_equal(parked.bytes + second.outbox.bytes, 0);
    assert_int_equal(other.backlog.messages + other.backlog.bytes, 0);
    return close_node(state);
}

static enum outbox_verdict push(struct outbox *outbox, struct session *to, const char *payload,
                                uint64_t ttl_ns) {
    struct parcel *parcel = parcel_with(payload, ttl_ns, false);
    assert_non_null(parcel_frame(&worker, parcel, spoken));
    enum outbox_verdict verdict = outbox_push(&worker, outbox, to, parcel, spoken, LANE_DIRECT);
    parcel_unref(&worker, parcel);
    return verdict;
}

static void expect_sent(struct connection *over, const char *wanted) {
    worker.sending.flights_used = 0;
    outbox_flush(&worker, over);
    assert_int_equal(handed_len, strlen(wanted));
    assert_memory_equal(handed, wanted, handed_len);
    over->ops &= (uint8_t)~OP_SEND;
    outbox_on_sent(&worker, over, (uint32_t)handed_len);
}

/* Each has its own limits, and what they wait for leaves in its order. */
static void test_two_on_one_connection(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.outbox_bytes = 30;
    struct outbox *outbox = &connection.outbox;
    assert_int_equal(push(outbox, &session, "1234567890", 1000), OUTBOX_TAKEN);
    assert_int_equal(push(outbox, &other, "abc", 1000), OUTBOX_TAKEN);
    assert_int_equal(push(outbox, &session, "1234567890", 1000), OUTBOX_TAKEN);
    assert_int_equal(push(outbox, &session, "1234567890", 1000), OUTBOX_WAIT);
    assert_int_equal(push(outbox, &other, "def", 1000), OUTBOX_TAKEN);
    assert_int_equal(session.backlog.messages, 2);
    assert_int_equal(other.backlog.bytes, 10);
    expect_sent(&connection, "<1234567890><abc><1234567890><def>");
}

/* To make room for one, nothing of the other is dropped. */
static void test_one_is_dropped_for(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.slow = SLOW_KEEP_LATEST;
    config.outbox_bytes = 30;
    struct outbox *outbox = &connection.outbox;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(push(outbox, &session, "1234567890", NS_PER_S), OUTBOX_TAKEN);
        assert_int_equal(push(outbox, &other, "x", NS_PER_S), OUTBOX_TAKEN);
    }
    expect_sent(&connection, "<x><x><x><x><1234567890><x>");
}

/* A session that ends leaves its messages, which are sent, and count for nobody. */
static void test_one_of_two_ends(void **state) {
    (void)state;
    struct outbox *outbox = &connection.outbox;
    push(outbox, &session, "one", 1000);
    push(outbox, &other, "two", 1000);
    outbox_disown(&worker, outbox, &session);
    assert_int_equal(session.backlog.messages + session.backlog.bytes, 0);
    assert_int_equal(other.backlog.messages, 1);
    expect_sent(&connection, "<one><two>");
}

/* Without a connection messages wait, within the same limits, and expire. */
static void test_none(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.outbox_bytes = 30;
    assert_int_equal(push(&parked, &session, "1234567890", NS_PER_MS), OUTBOX_TAKEN);
    assert_int_equal(push(&parked, &session, "abcdefghij", NS_PER_S), OUTBOX_TAKEN);
    assert_int_equal(parked_told, 1);
    assert_int_equal(push(&parked, &session, "later", NS_PER_S), OUTBOX_WAIT);
    worker.now_ns += NS_PER_MS;
    assert_int_equal(push(&parked, &session, "later", 10 * NS_PER_S), OUTBOX_TAKEN);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_DEFAULT][DROP_EXPIRED]), 1);
    /* Nobody came for it: it is slow, as one that does not read its socket. */
    assert_int_equal(push(&parked, &session, "1234567890", NS_PER_S), OUTBOX_WAIT);
    worker.now_ns += SLOW_NS;
    assert_int_equal(push(&parked, &session, "1234567890", NS_PER_S), OUTBOX_FULL);
    assert_false(outbox_push_batch(&worker, &parked, &session, NULL));
    place = &connection.outbox;
    assert_int_equal(outbox_move(&worker, &session, &parked, &connection.outbox), 19);
    assert_int_equal(session.backlog.bytes, 19);
    expect_sent(&connection, "<abcdefghij><later>");
    place = &parked;
    assert_int_equal(push(&parked, &session, "next", NS_PER_S), OUTBOX_TAKEN);
    assert_int_equal(parked_told, 2);
    outbox_clear(&worker, &parked, DROP_GONE);
}

/* Only its own; where the session is not, they count for nobody. */
static void test_one_of_two_moves(void **state) {
    (void)state;
    push(&connection.outbox, &session, "1", 1000);
    push(&connection.outbox, &other, "x", 1000);
    push(&connection.outbox, &session, "22", 1000);
    place = &parked;
    assert_int_equal(outbox_move(&worker, &session, &connection.outbox, &parked), 7);
    assert_int_equal(parked.bytes, 7);
    expect_sent(&connection, "<x>");
    assert_int_equal(outbox_move(&worker, &session, &connection.outbox, &parked), 0);
    assert_int_equal(outbox_move(&worker, &session, &parked, &second.outbox), 7);
    assert_int_equal(session.backlog.messages + session.backlog.bytes, 0);
    assert_true(list_linked(&second.flush_link));
    expect_sent(&second, "<1><22>");
}

/* In the order in which they came, whosesoever they are; those that nobody has any more are
 * dropped, and so are the expired ones. */
static void test_all_move(void **state) {
    (void)state;
    place = other_place = &parked;
    push(&parked, &session, "1", 1000);
    push(&parked, &other, "x", 1000);
    push(&parked, &session, "gone", 10);
    push(&parked, &session, "2", 1000);
    push(&parked, &other, "y", 1000);
    outbox_disown(&worker, &parked, &other);
    push(&parked, &other, "z", 1000);
    push(&parked, &session, "3", 1000);
    worker.now_ns += 10;
    spoken = &wide;
    place = other_place = &connection.outbox;
    outbox_move_all(&worker, &parked, &connection.outbox);
    assert_int_equal(session.backlog.messages, 3);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_DEFAULT][DROP_GONE]), 2);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_DEFAULT][DROP_EXPIRED]), 1);
    expect_sent(&connection, "[[1]][[2]][[z]][[3]]");
}

/* --- what is one session's is found without a walk through the rest ----------------------------
 */

/* Whoever walks on from the first piece of the other session ends the test. */
static struct piece *trap_set(struct outbox *outbox) {
    struct piece *piece = outbox->first;
    while (piece->session != &other)
        piece = piece->next;
    struct piece *next = piece->next;
    piece->next = (struct piece *)sizeof(struct piece);
    return next;
}

static void trap_undo(struct outbox *outbox, struct piece *next) {
    struct piece *piece = outbox->first;
    while (piece->session != &other)
        piece = piece->next;
    piece->next = next;
}

static void push_many(unsigned count) {
    config.outbox_bytes = 1000;
    for (unsigned i = 0; i < count; i++)
        push(&connection.outbox, &other, "o", NS_PER_S);
}

static void test_it_drops_its_oldest(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.slow = SLOW_DROP_OLDEST;
    push(&connection.outbox, &session, "0", NS_PER_S);
    flush();
    push_many(3);
    push(&connection.outbox, &session, "1", NS_PER_S);
    push(&connection.outbox, &session, "2", NS_PER_S);
    struct piece *next = trap_set(&connection.outbox);
    config.outbox_bytes = 9;
    assert_int_equal(push(&connection.outbox, &session, "3", NS_PER_S), OUTBOX_WAIT);
    worker.now_ns += SLOW_NS;
    assert_int_equal(push(&connection.outbox, &session, "3", NS_PER_S), OUTBOX_TAKEN);
    config.slow = SLOW_KEEP_LATEST;
    assert_int_equal(push(&connection.outbox, &session, "4", NS_PER_S), OUTBOX_TAKEN);
    trap_undo(&connection.outbox, next);
    on_sent(3);
    expect_sent(&connection, "<o><o><o><4>");
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_DEFAULT][DROP_DROP_OLDEST]), 1);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_DEFAULT][DROP_KEEP_LATEST]), 2);
}

/* What is in flight stays, and so does what is out in part; what came back from a short send is
 * dropped like what was never sent. */
static void test_it_leaves(void **state) {
    (void)state;
    for (uint32_t sent = 0; sent <= 9; sent++) {
        push(&connection.outbox, &session, "1", NS_PER_S);
        push(&connection.outbox, &session, "2", NS_PER_S);
        push(&connection.outbox, &session, "3", NS_PER_S);
        flush();
        if (sent < 9)
            on_sent(sent);
        push_many(3);
        push(&connection.outbox, &session, "4", NS_PER_S);
        struct piece *next = trap_set(&connection.outbox);
        outbox_drop(&worker, &connection.outbox, &session, DROP_GONE);
        outbox_disown(&worker, &connection.outbox, &session);
        assert_int_equal(session.backlog.messages + session.backlog.bytes, 0);
        trap_undo(&connection.outbox, next);
        if (sent == 9)
            on_sent(9);
        else if (sent % 3 == 1)
            expect_sent(&connection, sent == 1   ? "1><o><o><o>"
                                     : sent == 4 ? "2><o><o><o>"
                                                 : "3><o><o><o>");
        else if (sent % 3 == 2)
            expect_sent(&connection, "><o><o><o>");
        if (!outbox_empty(&connection.outbox))
            expect_sent(&connection, "<o><o><o>");
    }
}

/* Nor does it matter how often one leaves: nothing is left of it but what is in flight. */
static void test_it_leaves_again_and_again(void **state) {
    (void)state;
    push(&connection.outbox, &session, "flies", NS_PER_S);
    flush();
    for (unsigned i = 0; i < 100; i++) {
        push(&connection.outbox, &session, "1234567890", NS_PER_S);
        push(&connection.outbox, &session, "1234567890", NS_PER_S);
        outbox_drop(&worker, &connection.outbox, &session, DROP_GONE);
        outbox_disown(&worker, &connection.outbox, &session);
        assert_int_equal(connection.outbox.bytes, 7);
    }
    on_sent(7);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_DEFAULT][DROP_GONE]), 200);
}

/* A batch that was out in part comes apart in front of what waits. */
static void test_a_batch_in_its_list(void **state) {
    (void)state;
    for (uint32_t sent = 0; sent <= 6; sent++) {
        struct parcel *parcels[] = {parcel_with("a", 5, false), parcel_with("b", NS_PER_S, false),
                                    parcel_with("c", NS_PER_S, false)};
        struct frame_batch *batch = frame_batch_open(&worker, parcels, 3, &plain);
        assert_true(outbox_push_batch(&worker, &connection.outbox, &session, batch));
        frame_batch_unref(&worker, batch);
        for (unsigned i = 0; i < 3; i++)
            parcel_unref(&worker, parcels[i]);
        push(&connection.outbox, &session, "d", NS_PER_S);
        flush();
        on_sent(sent);
        worker.now_ns += 5;
        flush(); /* "a" has expired */
        on_sent(0);
        push_many(1);
        outbox_drop(&worker, &connection.outbox, &session, DROP_GONE);
        assert_int_equal(session.backlog.messages, sent % 3 != 0);
        expect_sent(&connection, sent == 1       ? "a><o>"
                                 : sent == 4     ? "b><o>"
                                 : sent % 3 == 2 ? "><o>"
                                                 : "<o>");
    }
}

/* A send that failed gives everything back. */
static void test_nothing_was_sent(void **state) {
    (void)state;
    push(&connection.outbox, &session, "1", NS_PER_S);
    push(&connection.outbox, &session, "2", NS_PER_S);
    flush();
    connection.ops &= (uint8_t)~OP_SEND;
    outbox_on_unsent(&connection);
    outbox_drop(&worker, &connection.outbox, &session, DROP_GONE);
    assert_true(outbox_empty(&connection.outbox));
}

/* One without a list shares its outbox with answers alone. */
static void test_one_alone(void **state) {
    (void)state;
    session.type = &lone;
    worker.now_ns = NS_PER_S;
    config.slow = SLOW_KEEP_LATEST;
    config.outbox_bytes = 9;
    push(&connection.outbox, &session, "1", NS_PER_S);
    flush();
    push(&connection.outbox, &session, "2", NS_PER_S);
    assert_true(outbox_write(&worker, &connection, SPAN("ok")));
    push(&connection.outbox, &session, "3", NS_PER_S);
    assert_int_equal(session.backlog.messages, 2);
    outbox_disown(&worker, &connection.outbox, &session);
    on_sent(3);
    expect_sent(&connection, "ok<3>");
}

/* What is in flight stays; the rest is written as the new transport wants it. */
static void test_it_moves_to_another_connection(void **state) {
    (void)state;
    push(&connection.outbox, &session, "flies", 1000);
    flush();
    push(&connection.outbox, &session, "gone", 10);
    push(&connection.outbox, &session, "stays", 1000);
    worker.now_ns += 10;
    spoken = &wide;
    place = &second.outbox;
    assert_int_equal(outbox_move(&worker, &session, &connection.outbox, &second.outbox), 9);
    /* What is still in flight there may outlive the session. */
    assert_int_equal(session.backlog.bytes, 9);
    push(&second.outbox, &session, "new", 1000);
    expect_sent(&second, "[[stays]][[new]]");
    on_sent(7);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_DEFAULT][DROP_EXPIRED]), 1);
}

/* A poll takes what waits, as it speaks now; without memory for that it stays. */
static void test_a_poll_takes_it(void **state) {
    (void)state;
    char room[64];
    struct chain chain = {.endpoint = &worker.endpoint, .out = builder_over(room, sizeof(room))};
    place = &parked;
    push(&parked, &session, "one", 1000);
    spoken = &wide;
    uint64_t taken = 0;
    while (account_take(&worker.account, 16))
        taken += 16;
    assert_int_equal(outbox_parked_take(&worker, &parked, &chain, SPAN(""), 100),
                     OUTBOX_TAKE_STARVED);
    assert_int_equal(session.backlog.messages, 1);
    account_give(&worker.account, taken);
    assert_int_equal(outbox_parked_take(&worker, &parked, &chain, SPAN(""), 6), OUTBOX_TAKE_LONG);
    assert_int_equal(outbox_parked_take(&worker, &parked, &chain, SPAN(""), 7), OUTBOX_TAKE_DONE);
    assert_int_equal(session.backlog.messages + session.backlog.bytes, 0);
    assert_int_equal(chain_bytes(&chain), 7);
    assert_memory_equal(room, "[[one]]", 7);
}

/* A batch comes apart on the way. */
static void test_a_batch_moves(void **state) {
    (void)state;
    struct parcel *parcels[] = {parcel_with("a", 1000, false), parcel_with("b", 1000, true)};
    struct frame_batch *batch = frame_batch_open(&worker, parcels, 2, &plain);
    assert_true(outbox_push_batch(&worker, &connection.outbox, &session, batch));
    frame_batch_unref(&worker, batch);
    for (unsigned i = 0; i < 2; i++)
        parcel_unref(&worker, parcels[i]);
    spoken = &wide;
    place = &second.outbox;
    assert_int_equal(outbox_move(&worker, &session, &connection.outbox, &second.outbox), 10);
    assert_true(outbox_empty(&connection.outbox));
    expect_sent(&second, "[[a]][[b]]");
}

/* One frame for all, and each copy has its mark, whatever part of it a send takes. */
static void test_marks(void **state) {
    (void)state;
    spoken = &marked;
    static const char wanted[] = "#0000000001:one;#0000000002:one;";
    for (uint32_t step = 1; step < sizeof(wanted); step++) {
        struct parcel *parcel = parcel_with("one", 1000, false);
        assert_non_null(parcel_frame(&worker, parcel, &marked));
        assert_null(frame_batch_open(&worker, &parcel, 1, &marked));
        outbox_push(&worker, &connection.outbox, &session, parcel, &marked, LANE_DIRECT);
        outbox_push(&worker, &parked, &other, parcel, &marked, LANE_DIRECT);
        assert_int_equal(stats_get(&worker.stats.encoded[marked.index]), step);
        parcel_unref(&worker, parcel);
        /* The mark that it got stays its own when it moves. */
        outbox_move(&worker, &other, &parked, &connection.outbox);
        for (size_t at = 0; at < sizeof(wanted) - 1; at += step) {
            flush();
            assert_int_equal(handed_len, sizeof(wanted) - 1 - at);
            assert_memory_equal(handed, wanted + at, handed_len);
            on_sent(handed_len < step ? (uint32_t)handed_len : step);
        }
        marks = 0;
    }
}

/* With a payload that is not copied, too. */
static void test_a_mark_before_a_large_payload(void **state) {
    (void)state;
    static char payload[FRAME_COPY_BYTES_MAX + 2];
    memset(payload, 'x', sizeof(payload) - 1);
    config.outbox_bytes = 3 * FRAME_COPY_BYTES_MAX;
    spoken = &marked;
    push(&connection.outbox, &session, payload, 1000);
    flush();
    assert_int_equal(handed_len, MARK_BYTES + 3 + sizeof(payload) - 1);
    assert_memory_equal(handed, "#0000000001:xx", 14);
    assert_memory_equal(handed + handed_len - 2, "x;", 2);
    on_sent((uint32_t)handed_len);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_on_one_connection, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_one_is_dropped_for, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_one_of_two_ends, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_none, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_one_of_two_moves, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_all_move, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_it_drops_its_oldest, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_it_leaves, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_it_leaves_again_and_again, open_sessions,
                                        close_sessions),
        cmocka_unit_test_setup_teardown(test_a_batch_in_its_list, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_nothing_was_sent, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_one_alone, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_it_moves_to_another_connection, open_sessions,
                                        close_sessions),
        cmocka_unit_test_setup_teardown(test_a_poll_takes_it, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_a_batch_moves, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_marks, open_sessions, close_sessions),
        cmocka_unit_test_setup_teardown(test_a_mark_before_a_large_payload, open_sessions,
                                        close_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
