/* Which connection sends which message to whom, and when. */
#include "perf/load/bench_producer.c"

#include "tests/support/cmocka_first.h"

#define CONNECTIONS 4u
#define ADDRESSES 30u

static struct bench_producer list[CONNECTIONS];
static struct bench_share share = {.aims[BENCH_UNICAST] = {.addresses = ADDRESSES, .streams = 1}};
static struct bench_producers producers;
static uint32_t sent[ADDRESSES];

static void fresh(uint64_t messages) {
    bench_flights_close(&list[0].flights);
    memset(list, 0, sizeof list);
    memset(sent, 0, sizeof sent);
    producers =
        (struct bench_producers){.share = &share,
                                 .list = list,
                                 .lanes = CONNECTIONS,
                                 .options = {.connections = CONNECTIONS, .kind = BENCH_UNICAST}};
    producers.push = (struct bench_push){.rate = 1000, .messages = messages, .end_ns = UINT64_MAX};
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        list[i].number = list[i].lane = i;
        producer_walk(&list[i], (ADDRESSES - i + CONNECTIONS - 1) / CONNECTIONS);
    }
}

/* Sends everything, and checks that message n is due at the n-th millisecond. */
static void run(uint64_t messages) {
    uint64_t due = 0;
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        for (uint64_t n = 0; producer_has_more(&producers, &list[i]); n = ++list[i].next) {
            assert_int_equal(message_due_ns(&producers, &list[i], n) % NS_PER_MS, 0);
            due += message_due_ns(&producers, &list[i], n) / NS_PER_MS;
            sent[producer_address(&producers, &list[i], n)]++;
        }
    assert_int_equal(due, messages * (messages - 1) / 2);
}

static void all_addresses_in_turn(void **state) {
    (void)state;
    fresh(ADDRESSES);
    run(ADDRESSES);
    for (uint32_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(sent[i], 1);
}

static void only_what_was_assigned(void **state) {
    (void)state;
    static const uint32_t one[] = {7}, three[] = {2, 29, 11};
    fresh(12);
    bench_producers_assign(&producers, 0, NULL, 0);
    bench_producers_assign(&producers, 1, one, 1);
    bench_producers_assign(&producers, 2, NULL, 0);
    bench_producers_assign(&producers, 3, three, 3);
    assert_int_equal(producers.lanes, 2);
    run(12);
    for (uint32_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(sent[i], i == 7 ? 6 : i == 2 || i == 29 || i == 11 ? 2 : 0);
}

static void a_silent_connection_has_nothing_due(void **state) {
    (void)state;
    fresh(12);
    bench_producers_assign(&producers, 1, NULL, 0);
    assert_false(producer_has_more(&producers, &list[1]));
    assert_int_equal(producer_due(&producers, &list[1], UINT64_MAX - 1), 0);
    producers.push.rate = 0; /* closed-loop */
    assert_int_equal(producer_due(&producers, &list[1], 1), 0);
}

static const struct bench_answer taken = {.status = 202, .body = (const uint8_t *)""};

/* One request of two messages in flight on the first connection, written in this run. */
static void write_request(uint32_t run) {
    producers.options.inflight = 2;
    producers.options.batch = 2;
    atomic_store(&share.run, run);
    if (list[0].flights.ring == NULL)
        assert_true(bench_flights_open(&list[0].flights));
    assert_true(bench_flights_room(&list[0].flights, 2));
    const struct bench_flight flight = {.first = list[0].next, .count = 2, .run = run};
    bench_flights_push(&list[0].flights, &flight);
    producers.pushed.sent += 2;
}

static void an_answer_counts_in_the_run_of_its_request(void **state) {
    (void)state;
    static uint32_t accepted[ADDRESSES], members[ADDRESSES];
    fresh(12);
    share.accepted = accepted;
    producers.members = members;
    write_request(0x101);
    assert_false(bench_producers_done(&producers, UINT64_MAX));
    assert_int_equal(bench_unanswered(&producers.pushed), 2);
    const struct bench_push next = producers.push;
    atomic_store(&share.run, 0x102);
    bench_producers_begin(&producers, &next);
    bench_producers_assign(&producers, 0, NULL, 0); /* nor is it asked whom it was for */
    write_request(0x102);
    producer_on_answer(&producers, &list[0], &taken, 1);
    assert_int_equal(producers.pushed.stale, 1);
    assert_int_equal(producers.pushed.accepted + producers.pushed.answered, 0);
    for (uint32_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(accepted[i], 0);
    fresh(12);
    producers.members = members;
    write_request(0x102);
    producer_on_answer(&producers, &list[0], &taken, 1);
    assert_int_equal(producers.pushed.stale, 0);
    assert_int_equal(producers.pushed.accepted, 2);
    assert_int_equal(bench_unanswered(&producers.pushed), 0);
    assert_true(bench_producers_done(&producers, UINT64_MAX));
    share.accepted = NULL;
}

static void a_lost_connection_fails_what_is_of_this_run(void **state) {
    (void)state;
    fresh(12);
    write_request(0x101);
    write_request(0x102);
    producers.pushed.sent = 2; /* of this run */
    list[0].fd = -1;
    producer_on_end(&producers, &list[0], "closed by the node");
    assert_int_equal(producers.pushed.failed, 2);
    assert_int_equal(bench_unanswered(&producers.pushed), 0);
}

static bool confirm(uint64_t tag, bool multiple, bool good) {
    const struct bench_confirm confirm = {.tag = tag, .multiple = multiple, .good = good};
    return producer_on_confirm(&producers, &list[0], &confirm, 1);
}

static void each_publish_is_confirmed_once_in_any_order(void **state) {
    (void)state;
    static uint32_t accepted[ADDRESSES], members[ADDRESSES];
    fresh(40);
    share.accepted = accepted;
    producers.members = members;
    atomic_store(&share.run, 0x101);
    assert_true(bench_flights_open(&list[0].flights));
    for (uint32_t i = 0; i < 6; i++, producers.pushed.sent++) {
        const struct bench_flight flight = {.first = i, .count = 1, .run = 0x101};
        bench_flights_push(&list[0].flights, &flight);
    }
    assert_true(confirm(3, false, true));
    assert_int_equal(bench_producers_inflight(&producers), 6); /* the first ones are still out */
    assert_true(confirm(1, false, true));
    assert_true(confirm(5, false, false));
    assert_int_equal(bench_unanswered(&producers.pushed), 3);
    assert_false(confirm(3, false, true)); /* a second time, */
    assert_false(confirm(7, true, true));  /* of what was not published, */
    assert_false(confirm(1, false, true)); /* and of what is long gone */
    assert_true(confirm(4, true, true));
    assert_int_equal(bench_producers_inflight(&producers), 1);
    assert_true(confirm(6, true, true));
    assert_int_equal(bench_producers_inflight(&producers), 0);
    assert_int_equal(producers.pushed.accepted, 5);
    assert_int_equal(producers.pushed.failed, 1);
    share.accepted = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_addresses_in_turn),
        cmocka_unit_test(only_what_was_assigned),
        cmocka_unit_test(a_silent_connection_has_nothing_due),
        cmocka_unit_test(an_answer_counts_in_the_run_of_its_request),
        cmocka_unit_test(each_publish_is_confirmed_once_in_any_order),
        cmocka_unit_test(a_lost_connection_fails_what_is_of_this_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
