/* Calls fail, the disk is full, the directory goes: nothing that was safe is lost, and the journal
 * works again when the disk does. */
#include "tests/support/cmocka_first.h"

#include "ha/store/journal_check.h"
#include "ha/store/journal_parts.h"
#include "tests/fakes/fake_disk.c"
#include "tests/support/store_owner.h"

#define CAPACITY (UINT64_C(64) << 20)
#define SEGMENT (UINT64_C(64) << 10)

static struct owner owner;

static const struct journal_options plain = {
    .directory = "store", .record_max = 4096, .segment_bytes = SEGMENT, .slack_bytes = 0};

static void begin(uint64_t capacity) {
    fake_disk_reset(7, capacity);
    owner_init(&owner, &plain);
    if (!owner_open(&owner))
        fail_msg("%s", owner.problem.text);
}

static void again(void) {
    if (!owner_open(&owner))
        fail_msg("%s", owner.problem.text);
}

/* Commits until that works; the time passes. */
static void recover(void) {
    for (unsigned tries = 0; !owner_commit(&owner); tries++) {
        assert_true(tries < 20);
        assert_true(journal_next_ns(&owner.journal) != CLOCK_NEVER);
        owner.now_ns = journal_next_ns(&owner.journal);
    }
    assert_int_equal(journal_safe(&owner.journal), journal_added(&owner.journal));
}

static void nothing(void *argument, const char *line) {
    (void)argument;
    (void)line;
}

/* A start, a few segments written and reclaimed, and an end. False: the start was refused. */
static bool life(void) {
    if (!owner_open(&owner))
        return false;
    for (unsigned i = 0; i < 300; i++) {
        if (owner_message(&owner, 400 + i % 300) && i % 50 != 0)
            assert_true(owner_ack(&owner, owner.ids - 1));
        if (i % 4 == 0)
            (void)owner_commit(&owner);
        if (i % 8 == 0)
            (void)owner_tend(&owner, 30);
        owner.now_ns += 20 * NS_PER_MS;
    }
    recover();
    (void)owner_tend(&owner, 100);
    return true;
}

/* False: there are no more such calls. */
static bool fail_once(enum fake_call call, unsigned nth, unsigned count, int error) {
    fake_disk_reset(nth, CAPACITY);
    owner_init(&owner, &plain);
    fake_disk_fail(call, nth, count, error);
    bool lived = life();
    bool failed = fake_disk_failed();
    fake_disk_fail(call, 0, 0, 0);
    if (lived) {
        if (nth % 2 == 0)
            owner_close(&owner);
        else
            journal_free(&owner.journal);
        assert_true(owner.safe > 0);
    } else {
        assert_true(failed && owner.problem.text[0] != '\0');
    }
    fake_disk_cut();
    again();
    owner_close(&owner);
    assert_true(life());
    owner_close(&owner);
    return failed;
}

static void each_call_fails(enum fake_call call, int error) {
    static const unsigned counts[] = {1, 3};
    for (unsigned i = 0; i < 2; i++) {
        unsigned nth = 1, step = 1;
        /* All of the first, then ever fewer of the many that are like those before. */
        while (fail_once(call, nth, counts[i], error)) {
            step += nth % 4 == 0;
            nth += step;
        }
        assert_true(nth > 1);
    }
}

static void test_each_open_fails(void **state) {
    (void)state;
    each_call_fails(FAKE_OPEN, EMFILE);
}

static void test_each_read_fails(void **state) {
    (void)state;
    each_call_fails(FAKE_READ, EIO);
}

static void test_each_write_fails(void **state) {
    (void)state;
    each_call_fails(FAKE_WRITE, EIO);
    each_call_fails(FAKE_WRITE, ENOSPC);
}

static void test_each_reserve_fails(void **state) {
    (void)state;
    each_call_fails(FAKE_RESERVE, ENOSPC);
}

static void test_each_sync_fails(void **state) {
    (void)state;
    each_call_fails(FAKE_SYNC, EIO);
}

static void test_each_folder_sync_fails(void **state) {
    (void)state;
    each_call_fails(FAKE_FOLDER_SYNC, EIO);
}

static void test_each_rename_fails(void **state) {
    (void)state;
    each_call_fails(FAKE_RENAME, EIO);
}

static void test_each_unlink_fails(void **state) {
    (void)state;
    each_call_fails(FAKE_UNLINK, EIO);
}

static void test_what_failed_is_refused_until_it_works(void **state) {
    (void)state;
    begin(CAPACITY);
    assert_true(owner_message(&owner, 100));
    assert_true(owner_commit(&owner));
    assert_true(owner_message(&owner, 100));
    fake_disk_fail(FAKE_SYNC, 1, 1000000, EIO);
    assert_false(owner_commit(&owner));
    assert_int_equal(journal_safe(&owner.journal), 1);
    assert_false(owner_message(&owner, 100));
    assert_true(owner_ack(&owner, 0)); /* what ends a message is taken */
    assert_int_equal(owner.journal.stats.failing, 1);
    /* 0.1, 0.2, 0.4 ... 5 s. */
    uint64_t wait_ns = 0;
    for (unsigned i = 0; i < 10; i++) {
        assert_true(journal_next_ns(&owner.journal) - owner.now_ns >= wait_ns);
        wait_ns = journal_next_ns(&owner.journal) - owner.now_ns;
        assert_false(owner_commit(&owner)); /* too early */
        owner.now_ns += wait_ns;
        assert_false(owner_commit(&owner));
    }
    assert_int_equal(wait_ns, JOURNAL_RETRY_NS_MAX);
    assert_int_equal(owner.journal.stats.failures, 11);
    fake_disk_fail(FAKE_SYNC, 0, 0, 0);
    recover();
    assert_int_equal(journal_safe(&owner.journal), 3);
    assert_true(owner_message(&owner, 100));
    assert_true(owner_commit(&owner));
    fake_disk_cut();
    journal_unmap(owner.journal.pending.at, owner.journal.pending.cap);
    again();
    assert_int_equal(owner.live_count, 2);
    owner_close(&owner);
}

/* At the end nobody waits for the next try: what was added meanwhile is written, if it can be. */
static void test_a_try_at_the_end(void **state) {
    (void)state;
    begin(CAPACITY);
    assert_true(owner_message(&owner, 100));
    assert_true(owner_commit(&owner));
    fake_disk_fail(FAKE_SYNC, 1, 2, EIO);
    assert_true(owner_message(&owner, 100));
    assert_false(owner_commit(&owner));
    assert_true(owner_ack(&owner, 0));
    /* It fails once more, and waits again. */
    journal_retry(&owner.journal);
    assert_false(owner_commit(&owner));
    assert_int_equal(owner.journal.stats.failures, 2);
    assert_true(journal_next_ns(&owner.journal) > owner.now_ns);
    assert_false(owner_commit(&owner));
    assert_int_equal(owner.journal.stats.failures, 2);
    journal_retry(&owner.journal);
    assert_true(owner_commit(&owner));
    assert_int_equal(journal_safe(&owner.journal), 3);
    journal_retry(&owner.journal);
    assert_true(owner_commit(&owner));
    owner_close(&owner);
    fake_disk_cut();
    again();
    assert_int_equal(owner.live_count, 1);
    owner_close(&owner);
}

/* After a sync that failed the kernel shows what is on no disk, also to the next process. */
static void test_what_a_failed_sync_left_is_written_anew(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 100; seed++) {
        fake_disk_reset(seed, CAPACITY);
        owner_init(&owner, &plain);
        again();
        for (unsigned i = 0; i < 5; i++) {
            assert_true(owner_message(&owner, 1500));
            assert_true(owner_commit(&owner));
        }
        for (unsigned i = 0; i < 5; i++)
            assert_true(owner_message(&owner, 1500));
        fake_disk_fail(FAKE_SYNC, 1, 1, EIO);
        assert_false(owner_commit(&owner));
        journal_free(&owner.journal);
        fake_disk_kill();
        again();
        assert_int_equal(owner.live_count, 10);
        owner_note_safe(&owner);
        assert_int_equal(owner.safe, 10);
        journal_free(&owner.journal);
        fake_disk_cut();
        again();
        owner_close(&owner);
    }
}

static void test_memory_has_an_end(void **state) {
    (void)state;
    struct journal_options options = plain;
    options.segment_bytes = UINT64_C(4) << 20;
    fake_disk_reset(1, UINT64_C(256) << 20);
    owner_init(&owner, &options);
    again();
    assert_true(owner_message(&owner, 100));
    assert_true(owner_commit(&owner));
    fake_disk_fail(FAKE_WRITE, 1, 1000000, EIO);
    uint64_t taken = 0;
    while (owner_message(&owner, 4096))
        taken += journal_bytes(4096);
    assert_true(taken > JOURNAL_UNSYNCED_MAX - 8192 && taken <= JOURNAL_UNSYNCED_MAX);
    assert_false(owner_commit(&owner));
    unsigned acks = 0;
    while (acks < 1000 && owner_ack(&owner, acks))
        acks++;
    assert_true(acks > 100 && acks < 1000);
    assert_false(owner_commit(&owner));
    fake_disk_fail(FAKE_WRITE, 0, 0, 0);
    recover();
    owner_close(&owner);
    again();
    owner_close(&owner);
}

/* A disk that is nearly full: new messages are refused, acknowledgements are not, and in the end
 * there is room again. */
static void test_a_full_disk(void **state) {
    (void)state;
    for (unsigned segments = 5; segments < 12; segments++) {
        begin(segments * SEGMENT + 2 * META_SLOTS * SEGMENT_HEADER_BYTES);
        for (unsigned round = 0; round < 6; round++) {
            unsigned refused = 0, steps = 0;
            while (refused < 50) {
                if (!owner_message(&owner, 800))
                    refused++;
                assert_true(owner_commit(&owner));
                (void)owner_tend(&owner, 5);
                assert_true(++steps < 5000);
            }
            assert_int_equal(owner.journal.stats.full, 1);
            assert_true(owner.live_bytes >= SEGMENT);
            assert_true(owner_tend(&owner, 500)); /* it does not go round for ever */
            /* All that is live is acknowledged, one by one, each with its commit. */
            for (uint64_t id = 0; id < owner.ids; id++)
                if (owner_live(&owner, id)) {
                    assert_true(owner_ack(&owner, id));
                    assert_true(owner_commit(&owner));
                    (void)owner_tend(&owner, 2);
                }
            assert_true(owner_tend(&owner, 500));
            owner.now_ns += 10 * NS_PER_S;
            assert_true(owner_tend(&owner, 500));
            if (round % 2 == 0) {
                owner_close(&owner);
                again();
            }
        }
        owner_close(&owner);
    }
}

static void test_a_start_on_a_full_disk(void **state) {
    (void)state;
    begin(CAPACITY);
    for (unsigned i = 0; i < 200; i++)
        assert_true(owner_message(&owner, 1000));
    owner_close(&owner);
    fake_disk_capacity(1); /* nothing more, and no spares */
    again();
    assert_int_equal(owner.live_count, 200);
    (void)owner_tend(&owner, 10);
    owner_close(&owner);
    /* A new store needs a segment. */
    fake_disk_reset(1, SEGMENT / 2);
    owner_init(&owner, &plain);
    assert_false(owner_open(&owner));
    assert_non_null(strstr(owner.problem.text, "make room"));
}

static void test_a_directory_that_is_removed(void **state) {
    (void)state;
    begin(CAPACITY);
    assert_true(owner_message(&owner, 1000));
    assert_true(owner_commit(&owner));
    fake_disk_gone(true);
    assert_true(owner_message(&owner, 1000));
    assert_false(owner_commit(&owner));
    owner.now_ns += 10 * NS_PER_S;
    assert_false(owner_commit(&owner));
    assert_int_equal(journal_safe(&owner.journal), 1);
    fake_disk_gone(false);
    recover();
    owner_close(&owner);
    again();
    assert_int_equal(owner.live_count, 2);
    owner_close(&owner);
}

/* Nearly all of it is to be reclaimed: message 0 and the last few are alive. */
static void begin_to_reclaim(void) {
    begin(CAPACITY);
    for (unsigned i = 0; i < 400; i++)
        assert_true(owner_message(&owner, 1000));
    assert_true(owner_commit(&owner));
    for (unsigned i = 1; i < 390; i++)
        assert_true(owner_ack(&owner, i));
    assert_true(owner_commit(&owner));
}

/* Tries to read the oldest so often; it stays, and all the others do. */
static void stays_unreadable(unsigned tries) {
    const uint64_t oldest = owner.journal.segments[0].number;
    const unsigned count = owner.journal.segment_count;
    assert_true(count > 4);
    assert_true(owner_tend(&owner, 2000));
    const uint64_t copied = owner.journal.stats.copied_bytes;
    for (uint64_t wait_ns = NS_PER_S; tries-- != 0;) {
        assert_int_equal(owner.journal.stats.unreadable, 1);
        assert_int_equal(owner.journal.segments[0].number, oldest);
        assert_true(owner.journal.segment_count >= count);
        assert_int_equal(owner.journal.stats.copied_bytes, copied);
        const uint64_t retry_ns = owner.journal.reclaim.retry_ns;
        assert_true(retry_ns > owner.now_ns && retry_ns <= owner.now_ns + wait_ns);
        assert_true(retry_ns + NS_PER_S > owner.now_ns + wait_ns);
        assert_true(journal_next_ns(&owner.journal) <= retry_ns);
        wait_ns = wait_ns < 32 * NS_PER_S ? wait_ns * 2 : 60 * NS_PER_S;
        owner.now_ns = retry_ns;
        assert_true(owner_tend(&owner, 20)); /* it does not go round for ever */
    }
}

static void is_reclaimed(void) {
    assert_int_equal(owner.journal.stats.unreadable, 1);
    owner.now_ns = owner.journal.reclaim.retry_ns;
    assert_true(owner_tend(&owner, 2000));
    assert_int_equal(owner.journal.stats.unreadable, 0);
    assert_true(owner.journal.segment_count <= 4);
    assert_true(journal_next_ns(&owner.journal) > owner.now_ns);
    owner_close(&owner);
    fake_disk_cut();
    again();
    assert_int_equal(owner.live_count, 11);
    owner_close(&owner);
}

/* Such as too many open files for a while. */
static void test_a_segment_that_cannot_be_opened_for_a_while(void **state) {
    (void)state;
    static const unsigned tries[] = {0, 1, 10};
    for (unsigned i = 0; i < 3; i++) {
        begin_to_reclaim();
        fake_disk_fail(FAKE_OPEN, 1, 1000000, EMFILE);
        stays_unreadable(tries[i]);
        fake_disk_fail(FAKE_OPEN, 0, 0, 0);
        is_reclaimed();
        begin_to_reclaim();
        fake_disk_fail(FAKE_READ, 1, 1000000, EIO);
        stays_unreadable(tries[i]);
        fake_disk_fail(FAKE_READ, 0, 0, 0);
        is_reclaimed();
    }
}

/* And the process ends meanwhile: nothing is missing. */
static void test_an_end_while_a_segment_cannot_be_opened(void **state) {
    (void)state;
    begin_to_reclaim();
    fake_disk_fail(FAKE_OPEN, 1, 1000000, EMFILE);
    stays_unreadable(3);
    journal_free(&owner.journal);
    fake_disk_cut();
    fake_disk_fail(FAKE_OPEN, 0, 0, 0);
    again();
    assert_int_equal(owner.live_count, 11);
    owner_close(&owner);
}

/* Read wrongly for a while: it goes on where it was. */
static void test_a_record_that_cannot_be_read_for_a_while(void **state) {
    (void)state;
    char name[STORE_NAME_BYTES];
    size_t len;
    begin_to_reclaim();
    store_name_write(name, FILE_SEGMENT, owner.journal.segments[0].number);
    fake_disk_bytes(name, &len)[SEGMENT_HEADER_BYTES + 5000] ^= 1;
    stays_unreadable(3);
    fake_disk_bytes(name, &len)[SEGMENT_HEADER_BYTES + 5000] ^= 1;
    is_reclaimed();
}

/* With it all that are newer stay, so nothing but the damage is missing afterwards. */
static void test_a_segment_that_is_damaged(void **state) {
    (void)state;
    struct journal_problem problem;
    char name[STORE_NAME_BYTES];
    size_t len;
    begin_to_reclaim();
    store_name_write(name, FILE_SEGMENT, owner.journal.segments[0].number);
    fake_disk_bytes(name, &len)[SEGMENT_HEADER_BYTES + 5000] ^= 1;
    stays_unreadable(10);
    /* Message 0 was added again, once. */
    assert_int_equal(owner.journal.stats.copied_bytes, journal_bytes(1000));
    owner_close(&owner);
    assert_false(owner_open(&owner));
    assert_non_null(strstr(owner.problem.text, name));
    assert_non_null(strstr(owner.problem.text, "record 5 is missing there"));
    assert_non_null(strstr(owner.problem.text, "and record 6 is whole"));
    assert_int_equal(journal_repair("store", nothing, NULL, &problem), JOURNAL_SOUND);
    assert_int_equal(journal_check("store", nothing, NULL, &problem), JOURNAL_SOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_open_fails),
        cmocka_unit_test(test_each_read_fails),
        cmocka_unit_test(test_each_write_fails),
        cmocka_unit_test(test_each_reserve_fails),
        cmocka_unit_test(test_each_sync_fails),
        cmocka_unit_test(test_each_folder_sync_fails),
        cmocka_unit_test(test_each_rename_fails),
        cmocka_unit_test(test_each_unlink_fails),
        cmocka_unit_test(test_what_failed_is_refused_until_it_works),
        cmocka_unit_test(test_a_try_at_the_end),
        cmocka_unit_test(test_what_a_failed_sync_left_is_written_anew),
        cmocka_unit_test(test_memory_has_an_end),
        cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_a_start_on_a_full_disk),
        cmocka_unit_test(test_a_directory_that_is_removed),
        cmocka_unit_test(test_a_segment_that_cannot_be_opened_for_a_while),
        cmocka_unit_test(test_an_end_while_a_segment_cannot_be_opened),
        cmocka_unit_test(test_a_record_that_cannot_be_read_for_a_while),
        cmocka_unit_test(test_a_segment_that_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
