/* What the processes of the load tool share: who gets which message, and when it was written. */
#include "perf/load/bench_share.c"

#include "tests/support/cmocka_first.h"

static struct bench_share *share;

static int close_share(void **state) {
    (void)state;
    bench_share_close(share);
    share = NULL;
    return 0;
}

/* Four clients of all kinds: three of them in two of five groups each, two producers to all. */
static void open_mixed(void) {
    const struct bench_aim aims[BENCH_KINDS] = {
        [BENCH_UNICAST] = {.addresses = 4, .streams = 1},
        [BENCH_GROUP] = {.addresses = 5, .streams = 2},
        [BENCH_BROADCAST] = {.addresses = 2, .streams = 2},
        [BENCH_LONE] = {.addresses = 4, .streams = 1},
    };
    share = bench_share_open(4, aims);
    assert_non_null(share);
    share->groups = 5;
    share->join = 2;
    share->members = 3;
}

static struct bench_copies copies_of(enum bench_kind kind) {
    struct bench_copies copies;
    bench_share_copies(share, kind, &copies);
    return copies;
}

static void kinds_have_places_of_their_own(void **state) {
    (void)state;
    open_mixed();
    bool address[15] = {false}, stream[6] = {false};
    assert_int_equal(share->addresses, 15);
    assert_int_equal(share->streams_each, 6);
    for (unsigned kind = 0; kind < BENCH_KINDS; kind++) {
        for (uint32_t i = 0; i < share->aims[kind].addresses; i++) {
            assert_false(address[share->aims[kind].first + i]);
            address[share->aims[kind].first + i] = true;
        }
        for (uint32_t i = 0; i < share->aims[kind].streams; i++) {
            assert_false(stream[share->aims[kind].first_stream + i]);
            stream[share->aims[kind].first_stream + i] = true;
        }
    }
}

static void a_copy_for_each_member(void **state) {
    (void)state;
    open_mixed();
    share->accepted[share->aims[BENCH_GROUP].first + 1] = 2; /* clients 0 and 1 are in group 1 */
    assert_int_equal(copies_of(BENCH_GROUP).missing, 4);
    assert_int_equal(copies_of(BENCH_BROADCAST).missing, 0);
    share->accepted[share->aims[BENCH_GROUP].first + 3] = 1; /* clients 2 and, if it were, 3 */
    assert_int_equal(copies_of(BENCH_GROUP).missing, 5);
    share->accepted[share->aims[BENCH_BROADCAST].first + 1] = 1;
    assert_int_equal(copies_of(BENCH_BROADCAST).missing, 4);
    share->accepted[share->aims[BENCH_LONE].first + 2] = 3;
    struct bench_stream *streams = share->streams + (size_t)2 * share->streams_each;
    streams[share->aims[BENCH_LONE].first_stream].unique = 2;
    assert_int_equal(copies_of(BENCH_LONE).arrived, 2);
    assert_int_equal(copies_of(BENCH_LONE).missing, 1);
    assert_int_equal(copies_of(BENCH_UNICAST).missing, 0);
}

/* A node cannot make its goodput look better by delivering what it has refused. */
static void what_was_not_accepted_has_not_arrived(void **state) {
    (void)state;
    open_mixed();
    share->accepted[share->aims[BENCH_UNICAST].first] = 1;
    share->streams[share->aims[BENCH_UNICAST].first_stream].unique = 5;
    struct bench_copies copies = copies_of(BENCH_UNICAST);
    assert_int_equal(copies.arrived, 1);
    assert_int_equal(copies.unasked, 4);
    assert_int_equal(copies.missing, 0);
}

static void a_ticket_tells_when_it_was_written(void **state) {
    (void)state;
    uint64_t at_ns;
    open_mixed();
    assert_true(bench_share_tickets(share));
    uint64_t first = bench_ticket_take(share, 3);
    assert_int_not_equal(first, 0);
    assert_int_equal(bench_ticket_read(share, first, 50, &at_ns), BENCH_TICKET_GOOD);
    assert_int_equal(at_ns, 50); /* there before the write returned */
    bench_ticket_write(share, first, 2, 40);
    assert_int_equal(bench_ticket_read(share, first + 1, 50, &at_ns), BENCH_TICKET_GOOD);
    assert_int_equal(at_ns, 40);
    assert_int_equal(bench_ticket_read(share, first + 1, 30, &at_ns), BENCH_TICKET_GOOD);
    assert_int_equal(at_ns, 30); /* read before it was written: no negative latency */
    assert_int_equal(bench_ticket_read(share, first + 2, 50, &at_ns), BENCH_TICKET_GOOD);
    assert_int_equal(at_ns, 50);
}

static void a_ticket_that_was_never_given_out_is_false(void **state) {
    (void)state;
    uint64_t at_ns;
    open_mixed();
    assert_true(bench_share_tickets(share));
    uint64_t first = bench_ticket_take(share, 1);
    assert_int_equal(bench_ticket_read(share, 0, 50, &at_ns), BENCH_TICKET_FALSE);
    assert_int_equal(bench_ticket_read(share, first + 1, 50, &at_ns), BENCH_TICKET_FALSE);
    assert_int_equal(bench_ticket_read(share, UINT64_MAX, 50, &at_ns), BENCH_TICKET_FALSE);
}

static void what_is_too_old_is_as_old_as_the_table(void **state) {
    (void)state;
    uint64_t at_ns;
    open_mixed();
    assert_true(bench_share_tickets(share));
    uint64_t first = bench_ticket_take(share, 1);
    bench_ticket_write(share, first, 1, 1);
    for (uint64_t i = 0; i < BENCH_TICKETS / 1000; i++)
        bench_ticket_write(share, bench_ticket_take(share, 1000), 1000, 1000 + i);
    assert_int_equal(bench_ticket_read(share, first, 1000000, &at_ns), BENCH_TICKET_FORGOTTEN);
    assert_in_range(at_ns, 1000 + BENCH_TICKETS / 1000 / 5, 1000 + BENCH_TICKETS / 1000 / 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(kinds_have_places_of_their_own, close_share),
        cmocka_unit_test_teardown(a_copy_for_each_member, close_share),
        cmocka_unit_test_teardown(what_was_not_accepted_has_not_arrived, close_share),
        cmocka_unit_test_teardown(a_ticket_tells_when_it_was_written, close_share),
        cmocka_unit_test_teardown(a_ticket_that_was_never_given_out_is_false, close_share),
        cmocka_unit_test_teardown(what_is_too_old_is_as_old_as_the_table, close_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
