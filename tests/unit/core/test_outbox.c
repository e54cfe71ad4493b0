/* Outboxes with batches: several messages in one piece, and still each with a fate of its own. */
#include "tests/support/outbox_fixture.h"

/* Three messages of 6, 7 and 8 bytes; the middle one expires earlier and is volatile. */
static struct frame_batch *batch_of_three(void) {
    struct parcel *parcels[] = {parcel_with("aaaa", 1000, false), parcel_with("bbbbb", 500, true),
                                parcel_with("cccccc", 1000, false)};
    struct frame_batch *batch = frame_batch_open(&worker, parcels, 3, &plain);
    assert_non_null(batch);
    for (unsigned i = 0; i < 3; i++)
        parcel_unref(&worker, parcels[i]);
    return batch;
}

static void push_three(void) {
    struct frame_batch *batch = batch_of_three();
    assert_true(outbox_push_batch(&worker, &connection.outbox, &session, batch));
    frame_batch_unref(&worker, batch);
}

static void test_a_batch_leaves_as_one_run(void **state) {
    (void)state;
    push_three();
    assert_int_equal(session.backlog.messages, 3);
    flush();
    assert_int_equal(worker.sending.flights_used, 0); /* nothing was gathered */
    assert_int_equal(handed_len, 21);
    assert_memory_equal(handed, "<aaaa><bbbbb><cccccc>", 21);
    on_sent(21);
    assert_true(outbox_empty(&connection.outbox));
    assert_int_equal(stats_get(&worker.stats.copies_sent[CLASS_DEFAULT]), 2);
    assert_int_equal(stats_get(&worker.stats.copies_sent[CLASS_VOLATILE]), 1);
}

/* However few bytes each send takes, the stream is the same, behind single messages too. */
static void test_short_sends(void **state) {
    (void)state;
    struct parcel *before = parcel_with("first", 1000, false);
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, before, framed(before), LANE_DIRECT),
        OUTBOX_TAKEN);
    parcel_unref(&worker, before);
    push_three();
    push_three();
    const char wanted[] = "<first><aaaa><bbbbb><cccccc><aaaa><bbbbb><cccccc>";
    size_t total = sizeof(wanted) - 1;
    for (size_t at = 0; at < total;) {
        flush();
        assert_int_equal(handed_len, total - at);
        assert_memory_equal(handed, wanted + at, total - at);
        uint32_t part = total - at < 5 ? (uint32_t)(total - at) : 5;
        on_sent(part);
        at += part;
    }
    assert_true(outbox_empty(&connection.outbox));
}

/* Of a batch that was sent in part, the messages that are out as a whole count as sent. */
static void test_the_end_in_the_middle(void **state) {
    (void)state;
    for (uint32_t cut = 0; cut < 21; cut++) {
        uint64_t sent_before = stats_get(&worker.stats.copies_sent[CLASS_DEFAULT]) +
                               stats_get(&worker.stats.copies_sent[CLASS_VOLATILE]);
        push_three();
        flush();
        on_sent(cut);
        outbox_clear(&worker, &connection.outbox, DROP_GONE);
        uint64_t sent_now = stats_get(&worker.stats.copies_sent[CLASS_DEFAULT]) +
                            stats_get(&worker.stats.copies_sent[CLASS_VOLATILE]) - sent_before;
        assert_int_equal(sent_now, cut < 6 ? 0 : cut < 13 ? 1 : 2);
        assert_true(outbox_empty(&connection.outbox));
    }
}

static void test_one_of_them_expires(void **state) {
    (void)state;
    struct parcel *before = parcel_with("x", 1000, false);
    outbox_push(&worker, &connection.outbox, &session, before, framed(before), LANE_DIRECT);
    parcel_unref(&worker, before);
    push_three();
    worker.now_ns += 500;
    flush();
    assert_int_equal(handed_len, 17);
    assert_memory_equal(handed, "<x><aaaa><cccccc>", 17);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_VOLATILE][DROP_EXPIRED]), 1);
    on_sent(17);
    assert_true(outbox_empty(&connection.outbox));
}

static void test_all_of_them_expire(void **state) {
    (void)state;
    push_three();
    worker.now_ns += 5000;
    outbox_flush(&worker, &connection);
    assert_int_equal(connection.ops & OP_SEND, 0);
    assert_true(outbox_empty(&connection.outbox));
    assert_null(connection.outbox.last);
}

/* The message that the peer has seen a part of is finished, expired or not; those behind it, of the
 * same batch, expire. */
static void test_begun_is_finished(void **state) {
    (void)state;
    for (uint32_t cut = 0; cut < 21; cut++) {
        push_three();
        flush();
        on_sent(cut);
        worker.now_ns += 5000;
        outbox_flush(&worker, &connection);
        const char *rest = "";
        if (cut > 0 && cut < 6)
            rest = &"<aaaa>"[cut];
        else if (cut > 6 && cut < 13)
            rest = &"<bbbbb>"[cut - 6];
        else if (cut > 13)
            rest = &"<cccccc>"[cut - 13];
        if (*rest != '\0') {
            assert_int_equal(handed_len, strlen(rest));
            assert_memory_equal(handed, rest, handed_len);
            on_sent((uint32_t)handed_len);
        }
        assert_int_equal(connection.ops & OP_SEND, 0);
        assert_true(outbox_empty(&connection.outbox));
    }
}

/* What waits has not been taken for long enough, and the worker was there all the time. */
static void make_slow(void) {
    session.backlog.watch_ms = (uint32_t)(worker.now_ns / NS_PER_MS - SLOW_NS / NS_PER_MS) | 1;
    worker.sending.away_ms = session.backlog.watch_ms - 1;
}

/* Full is not slow: as long as the peer takes what it is given, whoever delivers waits. */
static void test_full_but_not_slow(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.outbox_bytes = 30;
    struct parcel *parcel = parcel_with("1234567890", NS_PER_S, false);
    const struct frame *frame = parcel_frame(&worker, parcel, &plain);
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_TAKEN);
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_TAKEN);
    /* However long it lies here: nothing was given to the socket. */
    worker.now_ns += 10 * NS_PER_S;
    assert_true(outbox_must_wait(&worker, &connection.outbox, &session, frame->total_bytes));
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_WAIT);
    assert_int_equal(stats_get(&worker.stats.copies[CLASS_DEFAULT]), 2);
    worker.now_ns -= 10 * NS_PER_S;
    flush();
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_WAIT);
    worker.now_ns += SLOW_NS - NS_PER_MS;
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_WAIT);
    worker.now_ns += 2 * NS_PER_MS;
    assert_false(outbox_must_wait(&worker, &connection.outbox, &session, frame->total_bytes));
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_FULL);
    /* It took what there was, so it begins anew. */
    on_sent(24);
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_TAKEN);
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_TAKEN);
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_DIRECT),
        OUTBOX_WAIT);
    parcel_unref(&worker, parcel);
    flush();
    on_sent(24);
}

/* The verdict on one message more, which is not kept. */
static enum outbox_verdict verdict_on(struct parcel *parcel) {
    return outbox_push(&worker, &connection.outbox, &session, parcel, framed(parcel), LANE_DIRECT);
}

/* A message that does not fit beside little: nobody waits for it for ever. */
static void test_slow_with_less_than_half(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.outbox_bytes = 30;
    struct parcel *small = parcel_with("1234", 10 * NS_PER_S, false);
    struct parcel *large = parcel_with("1234567890123456789012345", 10 * NS_PER_S, false);
    assert_int_equal(verdict_on(small), OUTBOX_TAKEN);
    flush();
    assert_int_equal(verdict_on(large), OUTBOX_WAIT);
    on_sent(1); /* nor does a byte */
    flush();
    worker.now_ns += SLOW_NS / 2;
    assert_int_equal(verdict_on(small), OUTBOX_TAKEN); /* this does not begin it anew */
    worker.now_ns += SLOW_NS / 2;
    assert_int_equal(verdict_on(large), OUTBOX_FULL);
    on_sent(5);
    flush();
    on_sent(6);
    parcel_unref(&worker, small);
    parcel_unref(&worker, large);
}

/* Whoever goes on taking is not slow, however long more than half waits; who takes too little is.
 */
static void test_slow_is_who_takes_too_little(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.outbox_bytes = 30;
    struct parcel *parcel = parcel_with("1234567890", 10 * NS_PER_S, false); /* 12 bytes */
    assert_int_equal(verdict_on(parcel), OUTBOX_TAKEN);
    assert_int_equal(verdict_on(parcel), OUTBOX_TAKEN);
    for (unsigned i = 0; i < 20; i++) {
        flush();
        assert_int_equal(verdict_on(parcel), OUTBOX_WAIT);
        worker.now_ns += SLOW_NS / 2;
        on_sent(12);
        assert_int_equal(verdict_on(parcel), OUTBOX_TAKEN);
    }
    for (unsigned i = 0; i < 3; i++) {
        flush();
        assert_int_equal(verdict_on(parcel), OUTBOX_WAIT);
        worker.now_ns += SLOW_NS / 5;
        on_sent(1);
    }
    flush();
    worker.now_ns += SLOW_NS / 2;
    assert_int_equal(verdict_on(parcel), OUTBOX_FULL);
    on_sent(21);
    parcel_unref(&worker, parcel);
}

/* A worker that has much to do comes back to a session seldom: whoever takes at once what he is
 * given is not slow, however little that is. */
static void test_not_slow_while_the_worker_is_busy(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.outbox_bytes = 300;
    struct parcel *parcel = parcel_with("1234567890", 100 * NS_PER_S, false); /* 12 bytes */
    for (unsigned busy = 0; busy < 2; busy++) {
        enum outbox_verdict verdict = verdict_on(parcel);
        for (unsigned turns = 0; turns < 40 && verdict != OUTBOX_FULL; turns++) {
            flush();
            while ((verdict = verdict_on(parcel)) == OUTBOX_TAKEN)
                ;
            worker.sending.seen_ms = (uint32_t)(worker.now_ns / NS_PER_MS);
            worker.now_ns += 50 * NS_PER_MS;
            connection.ops &= (uint8_t)~OP_SEND;
            if (busy) /* it has not looked since */
                outbox_on_sent(&worker, &connection, 3);
            else
                on_sent(3);
        }
        assert_int_equal(verdict, busy ? OUTBOX_WAIT : OUTBOX_FULL);
        outbox_clear(&worker, &connection.outbox, DROP_GONE);
        session.backlog.watch_ms = 0;
    }
    parcel_unref(&worker, parcel);
}

/* A worker that had no CPU has not seen what was taken meanwhile. */
static void test_not_slow_while_the_worker_was_away(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.outbox_bytes = 30;
    struct parcel *parcel = parcel_with("1234567890", 10 * NS_PER_S, false);
    assert_int_equal(verdict_on(parcel), OUTBOX_TAKEN);
    assert_int_equal(verdict_on(parcel), OUTBOX_TAKEN);
    flush();
    assert_int_equal(verdict_on(parcel), OUTBOX_WAIT);
    worker.now_ns += 2 * SLOW_NS;
    worker.sending.away_ms = (uint32_t)(worker.now_ns / NS_PER_MS);
    assert_int_equal(verdict_on(parcel), OUTBOX_WAIT);
    /* Away all the time: not for ever. */
    worker.now_ns += (SLOW_AT_LAST - 2) * SLOW_NS;
    worker.sending.away_ms = (uint32_t)(worker.now_ns / NS_PER_MS);
    assert_int_equal(verdict_on(parcel), OUTBOX_FULL);
    on_sent(24);
    parcel_unref(&worker, parcel);
}

/* Of many that a fan-out goes to it asks one at a time; the time of all begins with their send. */
static void test_slow_without_being_asked(void **state) {
    (void)state;
    worker.now_ns = NS_PER_S;
    config.outbox_bytes = 30;
    struct parcel *parcel = parcel_with("1234567890", 10 * NS_PER_S, false);
    assert_int_equal(verdict_on(parcel), OUTBOX_TAKEN);
    assert_int_equal(verdict_on(parcel), OUTBOX_TAKEN);
    flush();
    worker.now_ns += SLOW_NS;
    assert_int_equal(verdict_on(parcel), OUTBOX_FULL);
    on_sent(24);
    parcel_unref(&worker, parcel);
}

static void test_the_oldest_make_room(void **state) {
    (void)state;
    config.slow = SLOW_DROP_OLDEST;
    push_three(); /* in flight: must stay */
    flush();
    push_three();
    config.outbox_bytes = 50;
    make_slow();
    struct parcel *late = parcel_with("late", 1000, false);
    assert_int_equal(
        outbox_push(&worker, &connection.outbox, &session, late, framed(late), LANE_DIRECT),
        OUTBOX_TAKEN);
    parcel_unref(&worker, late);
    on_sent(21);
    flush();
    /* 42 bytes and 6 more fit. */
    assert_memory_equal(handed, "<aaaa><bbbbb><cccccc><late>", handed_len);
    assert_int_equal(handed_len, 27);
    struct parcel *later = parcel_with("123456789012345678901234567890", 1000, false);
    config.outbox_bytes = 200;
    push_three();
    config.outbox_bytes = 60;
    make_slow();
    outbox_push(&worker, &connection.outbox, &session, later, framed(later), LANE_DIRECT);
    parcel_unref(&worker, later);
    on_sent(27);
    flush();
    assert_memory_equal(handed, "<123456789012345678901234567890>", handed_len);
    on_sent((uint32_t)handed_len);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_DEFAULT][DROP_DROP_OLDEST]), 2);
    assert_int_equal(stats_get(&worker.stats.copies_dropped[CLASS_VOLATILE][DROP_VOLATILE]), 1);
}

static void test_without_room_nothing_happens(void **state) {
    (void)state;
    config.outbox_bytes = 41; /* half of it is 20, the batch has 21 */
    struct frame_batch *batch = batch_of_three();
    assert_false(outbox_push_batch(&worker, &connection.outbox, &session, batch));
    config.outbox_bytes = 200;
    config.slow = SLOW_KEEP_LATEST;
    assert_false(outbox_push_batch(&worker, &connection.outbox, &session, batch));
    frame_batch_unref(&worker, batch);
    assert_true(outbox_empty(&connection.outbox));
    assert_true(list_empty(&worker.sending.dirty[LANE_DIRECT]));
    assert_true(list_empty(&worker.sending.dirty[LANE_BULK]));
}

/* A connection whose place in a lane is all that matters. */
static void waits(struct connection *other, enum send_lane lane) {
    *other = (struct connection){.slot = 2};
    list_init(&other->flush_link);
    outbox_dirty(&worker, other, lane);
}

static void push_copy(const char *payload) {
    struct parcel *parcel = parcel_with(payload, NS_PER_S, false);
    framed(parcel);
    assert_int_equal(outbox_push(&worker, &connection.outbox, &session, parcel, &plain, LANE_BULK),
                     OUTBOX_TAKEN);
    parcel_unref(&worker, parcel);
}

/* A pong behind copies of fan-outs leaves with them in its order, and before what waits for other
 * connections in the bulk lane; the next copies have no such haste. */
static void test_a_pong_takes_the_prompt_lane(void **state) {
    (void)state;
    struct connection others[3];
    for (unsigned i = 0; i < 3; i++)
        waits(&others[i], LANE_BULK);
    push_copy("one");
    assert_int_equal(connection.lane, LANE_BULK);
    assert_true(list_empty(&worker.sending.dirty[LANE_PROMPT]));
    worker.now_ns += 7 * NS_PER_MS;
    assert_true(outbox_write(&worker, &connection, SPAN("pong")));
    assert_int_equal(worker_send_lag_ns(&worker, LANE_PROMPT), 0);
    assert_int_equal(worker_send_lag_ns(&worker, LANE_BULK), 7 * NS_PER_MS);
    assert_int_equal(worker.sending.due[LANE_PROMPT], 1);
    assert_int_equal(worker.sending.due[LANE_BULK], 3);
    push_copy("two");
    assert_int_equal(connection.lane, LANE_PROMPT);
    assert_int_equal(worker.sending.due[LANE_BULK], 3);
    assert_ptr_equal(outbox_next_dirty(&worker, 0), &connection);
    flush();
    assert_int_equal(handed_len, 14);
    assert_memory_equal(handed, "<one>pong<two>", 14);
    on_sent(14);
    assert_int_equal(connection.lane, LANE_BULK);
    for (unsigned i = 0; i < 3; i++)
        assert_ptr_equal(outbox_next_dirty(&worker, i), &others[i]);
    assert_false(outbox_any_dirty(&worker));
    assert_null(outbox_next_dirty(&worker, 0));
    for (unsigned lane = 0; lane < LANES; lane++)
        assert_int_equal(worker.sending.due[lane], 0);
}

/* What a send does not cover keeps its haste. */
static void test_what_is_left_keeps_its_lane(void **state) {
    (void)state;
    static char much[SEND_BYTES_MAX];
    assert_true(outbox_write(&worker, &connection, span_of(much, sizeof much)));
    assert_true(outbox_write(&worker, &connection, SPAN("pong")));
    assert_ptr_equal(outbox_next_dirty(&worker, 0), &connection);
    handed_len = 0;
    outbox_flush(&worker, &connection);
    assert_int_equal(connection.lane, LANE_PROMPT);
    connection.ops |= OP_SEND;
    on_sent(sizeof much);
    outbox_dirty(&worker, &connection, (enum send_lane)connection.lane);
    assert_ptr_equal(outbox_next_dirty(&worker, 1), &connection);
    flush();
    assert_int_equal(connection.lane, LANE_BULK);
    on_sent(4);
}

static enum send_lane lane_of_reply(void) {
    assert_true(outbox_write(&worker, &connection, SPAN("x")));
    enum send_lane lane = (enum send_lane)connection.lane;
    assert_ptr_equal(outbox_next_dirty(&worker, 0), &connection);
    flush();
    on_sent(1);
    assert_int_equal(connection.lane, LANE_BULK);
    return lane;
}

/* Answers to producers wait among the deliveries, and so do those to a client that pushes much. */
static void test_the_lane_of_replies(void **state) {
    (void)state;
    struct intake intake = {.taken = ADMISSION_MODEST};
    assert_int_equal(lane_of_reply(), LANE_PROMPT);
    connection.intake = &intake;
    assert_int_equal(lane_of_reply(), LANE_PROMPT);
    intake.taken++;
    assert_int_equal(lane_of_reply(), LANE_DIRECT);
    intake.taken = 0;
    worker.listeners.at[0].kind = LISTENER_API;
    assert_int_equal(lane_of_reply(), LANE_DIRECT);
}

/* The best lane of all that waits; what takes it there has waited since then. */
static void test_a_better_lane_is_taken(void **state) {
    (void)state;
    struct connection other, direct;
    waits(&direct, LANE_DIRECT);
    waits(&other, LANE_BULK);
    worker.now_ns += NS_PER_MS;
    outbox_dirty(&worker, &other, LANE_DIRECT);
    outbox_dirty(&worker, &direct, LANE_PROMPT);
    outbox_dirty(&worker, &direct, LANE_BULK);
    assert_int_equal(other.lane, LANE_DIRECT);
    assert_int_equal(direct.lane, LANE_PROMPT);
    assert_true(list_empty(&worker.sending.dirty[LANE_BULK]));
    worker.now_ns += NS_PER_MS;
    assert_int_equal(worker_send_lag_ns(&worker, LANE_PROMPT), NS_PER_MS);
    assert_true(outbox_any_dirty(&worker));
    assert_ptr_equal(outbox_next_dirty(&worker, 0), &direct);
    assert_ptr_equal(outbox_next_dirty(&worker, 1), &other);
    assert_false(outbox_any_dirty(&worker));
}

/* The lanes of all sends in their order, with so many waiting in each. */
static void assert_shares(unsigned prompt, unsigned direct, unsigned bulk, const char *wanted) {
    static struct connection all[LANES][8];
    const unsigned counts[LANES] = {
        [LANE_PROMPT] = prompt, [LANE_DIRECT] = direct, [LANE_BULK] = bulk};
    for (unsigned lane = 0; lane < LANES; lane++)
        for (unsigned i = 0; i < counts[lane]; i++)
            waits(&all[lane][i], (enum send_lane)lane);
    char order[3 * 8 + 1] = "";
    unsigned count = 0, next[LANES] = {0};
    for (struct connection *one; (one = outbox_next_dirty(&worker, count)) != NULL;) {
        assert_ptr_equal(one, &all[one->lane][next[one->lane]++]); /* in the order they came */
        order[count++] = "bdp"[one->lane];
    }
    assert_string_equal(order, wanted);
}

static void test_shares_of_three_lanes(void **state) {
    (void)state;
    assert_shares(8, 8, 8, "pdpbpdpbpdpbpdpbdbdbdbdb");
    assert_shares(8, 8, 0, "pdpdpdpdpdpdpdpd");
    assert_shares(8, 0, 8, "pbpbpbpbpbpbpbpb");
    assert_shares(8, 0, 0, "pppppppp");
    assert_shares(1, 2, 2, "pbdbd");
    assert_shares(0, 4, 2, "dbdbdd");
    assert_shares(0, 0, 3, "bbb");
}

/* Neither lane holds up the other. */
static void test_lanes_take_turns(void **state) {
    (void)state;
    struct connection bulk[2], direct[4];
    for (unsigned i = 0; i < 2; i++)
        waits(&bulk[i], LANE_BULK);
    for (unsigned i = 0; i < 4; i++)
        waits(&direct[i], LANE_DIRECT);
    const struct connection *const order[] = {&direct[0], &bulk[0],   &direct[1],
                                              &bulk[1],   &direct[2], &direct[3]};
    for (unsigned i = 0; i < 6; i++)
        assert_ptr_equal(outbox_next_dirty(&worker, i), order[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_batch_leaves_as_one_run, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_short_sends, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_the_end_in_the_middle, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_one_of_them_expires, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_all_of_them_expire, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_begun_is_finished, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_slow_with_less_than_half, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_slow_is_who_takes_too_little, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_not_slow_while_the_worker_was_away, open_node,
                                        close_node),
        cmocka_unit_test_setup_teardown(test_not_slow_while_the_worker_is_busy, open_node,
                                        close_node),
        cmocka_unit_test_setup_teardown(test_full_but_not_slow, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_slow_without_being_asked, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_the_oldest_make_room, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_without_room_nothing_happens, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_a_pong_takes_the_prompt_lane, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_the_lane_of_replies, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_a_better_lane_is_taken, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_shares_of_three_lanes, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_what_is_left_keeps_its_lane, open_node, close_node),
        cmocka_unit_test_setup_teardown(test_lanes_take_turns, open_node, close_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
