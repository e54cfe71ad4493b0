/* The journal on a disk that fails in no way. */
#include "tests/support/cmocka_first.h"

#include "tests/fakes/fake_disk.c"
#include "tests/support/store_owner.h"

#define CAPACITY (UINT64_C(64) << 20)
#define SEGMENT (UINT64_C(64) << 10)

static struct owner owner;

static const struct journal_options plain = {
    .directory = "store", .record_max = 4096, .segment_bytes = SEGMENT, .slack_bytes = 4 * SEGMENT};

static void begin(const struct journal_options *options) {
    fake_disk_reset(1, CAPACITY);
    owner_init(&owner, options);
    if (!owner_open(&owner))
        fail_msg("%s", owner.problem.text);
}

static void again(void) {
    if (!owner_open(&owner))
        fail_msg("%s", owner.problem.text);
}

static unsigned files_with(const char *part) {
    unsigned count = 0;
    for (unsigned i = 0; fake_disk_name(i) != NULL; i++)
        count += strstr(fake_disk_name(i), part) != NULL;
    return count;
}

static void test_records_come_back_in_order(void **state) {
    (void)state;
    begin(&plain);
    assert_int_equal(journal_safe(&owner.journal), 0);
    for (unsigned i = 0; i < 10; i++)
        assert_true(owner_message(&owner, 8 + i));
    assert_int_equal(journal_added(&owner.journal), 10);
    assert_int_equal(journal_safe(&owner.journal), 0);
    assert_true(owner_commit(&owner));
    assert_int_equal(journal_safe(&owner.journal), 10);
    assert_true(owner_ack(&owner, 3));
    assert_true(owner_commit(&owner));
    assert_int_equal(owner.journal.stats.commits, 2);
    owner_close(&owner);
    for (unsigned i = 0; i < 3; i++) {
        again();
        assert_int_equal(journal_added(&owner.journal), 11);
        assert_int_equal(owner.live_count, 9);
        assert_int_equal(owner.journal.stats.cut_bytes, 0);
        owner_close(&owner);
    }
    /* Starts alone begin no segments. */
    assert_int_equal(files_with(".segment"), 1);
}

static void test_a_record_may_be_empty_or_large(void **state) {
    (void)state;
    begin(&plain);
    assert_true(journal_add(&owner.journal, 9, NULL, 0));
    owner_close(&owner);
    fake_disk_reset(1, CAPACITY);
    begin(&plain);
    assert_true(owner_message(&owner, 4096));
    assert_true(owner_commit(&owner));
    owner_close(&owner);
    /* A smaller limit does not keep it out. */
    owner.options.record_max = 64;
    again();
    assert_int_equal(owner.live_count, 1);
    owner_close(&owner);
}

static void test_a_log_goes_through_many_segments(void **state) {
    (void)state;
    begin(&plain);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(owner_message(&owner, 8 + i % 3000));
        if (i % 7 == 0)
            assert_true(owner_commit(&owner));
    }
    assert_true(owner_commit(&owner));
    assert_true(owner.journal.segment_count > 7);
    owner_close(&owner);
    again();
    assert_int_equal(owner.live_count, 1000);
    owner_close(&owner);
}

/* More in one group than a segment holds. */
static void test_a_group_may_be_larger_than_a_segment(void **state) {
    (void)state;
    begin(&plain);
    for (unsigned i = 0; i < 100; i++)
        assert_true(owner_message(&owner, 4000));
    assert_true(owner_commit(&owner));
    assert_int_equal(journal_safe(&owner.journal), 100);
    owner_close(&owner);
    again();
    assert_int_equal(owner.live_count, 100);
    owner_close(&owner);
}

static void test_segments_are_used_again(void **state) {
    (void)state;
    begin(&plain);
    uint64_t oldest = 0;
    for (unsigned round = 0; round < 4000; round++) {
        assert_true(owner_message(&owner, 1000));
        if (round % 100 != 0) /* some stay for long */
            assert_true(owner_ack(&owner, owner.ids - 1));
        if (round == 2000)
            for (; oldest < 1000; oldest++)
                if (owner_live(&owner, oldest))
                    assert_true(owner_ack(&owner, oldest));
        if (round % 5 == 0) {
            assert_true(owner_commit(&owner));
            assert_true(owner_tend(&owner, 200));
        }
        if (round % 777 == 0) {
            owner_close(&owner);
            again();
        }
    }
    assert_true(owner.journal.stats.reclaimed_bytes > SEGMENT);
    /* At most twice what is alive, slack, and what is being written. */
    assert_true(owner.journal.disk_bytes <= 2 * owner.live_bytes + 7 * SEGMENT);
    assert_int_equal(owner.journal.spare_count, JOURNAL_SPARES);
    owner_close(&owner);
    again();
    owner_close(&owner);
}

/* Where everything is alive, nothing is gained, and nothing is done for ever. */
static void test_what_is_alive_is_not_turned_round(void **state) {
    (void)state;
    struct journal_options options = plain;
    options.slack_bytes = 0;
    begin(&options);
    for (unsigned i = 0; i < 500; i++)
        assert_true(owner_message(&owner, 1000));
    assert_true(owner_commit(&owner));
    assert_true(owner_tend(&owner, 1000));
    uint64_t copied = owner.journal.stats.copied_bytes;
    assert_true(owner_tend(&owner, 1));
    assert_int_equal(owner.journal.stats.copied_bytes, copied);
    for (unsigned i = 0; i < 500; i++)
        assert_true(owner_ack(&owner, i));
    assert_true(owner_commit(&owner));
    assert_true(owner_tend(&owner, 1000));
    assert_true(owner.journal.disk_bytes <= (JOURNAL_SPARES + 2) * SEGMENT);
    owner_close(&owner);
    again();
    assert_int_equal(owner.live_count, 0);
    owner_close(&owner);
}

static void test_an_interval_syncs_when_it_is_over(void **state) {
    (void)state;
    struct journal_options options = plain;
    options.sync = JOURNAL_SYNC_INTERVAL;
    options.interval_ns = 10 * NS_PER_MS;
    begin(&options);
    assert_true(owner_message(&owner, 100));
    assert_true(owner_commit(&owner)); /* begins a segment, which is synced with what is in it */
    assert_int_equal(journal_next_ns(&owner.journal), CLOCK_NEVER);
    assert_true(owner_message(&owner, 100));
    assert_true(owner_commit(&owner));
    assert_int_equal(journal_safe(&owner.journal), 2);
    assert_int_equal(owner.journal.synced, 1);
    assert_int_equal(journal_next_ns(&owner.journal), owner.now_ns + 10 * NS_PER_MS);
    owner.now_ns += 10 * NS_PER_MS;
    assert_true(owner_commit(&owner));
    assert_int_equal(owner.journal.synced, 2);
    assert_int_equal(journal_next_ns(&owner.journal), CLOCK_NEVER);
    owner_close(&owner);
}

static void test_never_keeps_within_its_memory(void **state) {
    (void)state;
    struct journal_options options = plain;
    options.sync = JOURNAL_SYNC_NEVER;
    options.segment_bytes = UINT64_C(24) << 20;
    fake_disk_reset(1, UINT64_C(256) << 20);
    owner_init(&owner, &options);
    again();
    uint64_t unsynced_max = 0;
    for (unsigned i = 0; i < 5000; i++) {
        assert_true(owner_message(&owner, 4096));
        assert_true(owner_commit(&owner));
        assert_int_equal(journal_safe(&owner.journal), i + 1);
        uint64_t unsynced = journal_added(&owner.journal) - owner.journal.synced;
        unsynced_max = unsynced > unsynced_max ? unsynced : unsynced_max;
    }
    assert_true(unsynced_max > 1900 && unsynced_max * 4096 <= JOURNAL_UNSYNCED_MAX / 2);
    owner_close(&owner);
    again();
    assert_int_equal(owner.live_count, 5000);
    owner_close(&owner);
}

static void test_a_store_is_one_process_s(void **state) {
    (void)state;
    static struct owner other;
    begin(&plain);
    owner_init(&other, &plain);
    assert_false(owner_open(&other));
    assert_non_null(strstr(other.problem.text, "store is in use by process "));
    owner_close(&owner);
    again();
    owner_close(&owner);
}

static bool stop(void *argument, const struct journal_record *record) {
    (void)argument;
    (void)record;
    return false;
}

static void test_an_owner_may_stop_the_start(void **state) {
    (void)state;
    begin(&plain);
    assert_true(owner_message(&owner, 100));
    owner_close(&owner);
    struct journal journal;
    struct journal_problem problem;
    assert_false(journal_open(&journal, &plain, stop, NULL, &problem));
    assert_string_equal(problem.text, "");
    again();
    owner_close(&owner);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_back_in_order),
        cmocka_unit_test(test_a_record_may_be_empty_or_large),
        cmocka_unit_test(test_a_log_goes_through_many_segments),
        cmocka_unit_test(test_a_group_may_be_larger_than_a_segment),
        cmocka_unit_test(test_segments_are_used_again),
        cmocka_unit_test(test_what_is_alive_is_not_turned_round),
        cmocka_unit_test(test_an_interval_syncs_when_it_is_over),
        cmocka_unit_test(test_never_keeps_within_its_memory),
        cmocka_unit_test(test_a_store_is_one_process_s),
        cmocka_unit_test(test_an_owner_may_stop_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
