/* Damage of all kinds: each start says what it is, and a repair saves what is whole. */
#include "tests/support/cmocka_first.h"

#include "ha/store/journal_check.h"
#include "ha/store/scan.h"
#include "tests/fakes/fake_disk.c"
#include "tests/support/store_owner.h"

#define CAPACITY (UINT64_C(64) << 20)
#define SEGMENT (UINT64_C(64) << 10)
#define BODY 1000
#define MESSAGES 300

static struct owner owner;
static char report[1 << 16];
static size_t report_len;

static const struct journal_options options = {.directory = "store",
                                               .record_max = 4096,
                                               .segment_bytes = SEGMENT,
                                               .slack_bytes = 1000 * SEGMENT};

static void say(void *argument, const char *line) {
    (void)argument;
    int len = snprintf(report + report_len, sizeof report - report_len, "%s\n", line);
    report_len += (size_t)len;
    assert_true(report_len < sizeof report);
}

static enum journal_verdict check(void) {
    struct journal_problem problem;
    report_len = 0;
    report[0] = '\0';
    return journal_check("store", say, NULL, &problem);
}

static enum journal_verdict repair(void) {
    struct journal_problem problem;
    report_len = 0;
    report[0] = '\0';
    enum journal_verdict verdict = journal_repair("store", say, NULL, &problem);
    if (verdict == JOURNAL_UNKNOWN)
        fail_msg("%s", problem.text);
    return verdict;
}

/* A store of some segments that was closed. */
static void store_make(void) {
    fake_disk_reset(1, CAPACITY);
    owner_init(&owner, &options);
    if (!owner_open(&owner))
        fail_msg("%s", owner.problem.text);
    for (unsigned i = 0; i < MESSAGES; i++) {
        assert_true(owner_message(&owner, BODY));
        if (i % 3 == 0)
            assert_true(owner_commit(&owner));
    }
    owner_close(&owner);
    assert_true(owner.journal.segment_count >= 5);
}

static void name_of(unsigned segment, char name[STORE_NAME_BYTES]) {
    uint64_t numbers[64], number;
    unsigned count = 0;
    for (unsigned i = 0; fake_disk_name(i) != NULL; i++)
        if (store_name_read(fake_disk_name(i), &number) == FILE_SEGMENT)
            numbers[count++] = number;
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = i + 1; j < count; j++)
            if (numbers[j] < numbers[i]) {
                number = numbers[i];
                numbers[i] = numbers[j];
                numbers[j] = number;
            }
    assert_true(segment < count);
    store_name_write(name, FILE_SEGMENT, numbers[segment]);
}

static uint8_t *bytes_of(unsigned segment) {
    char name[STORE_NAME_BYTES];
    size_t len;
    name_of(segment, name);
    return fake_disk_bytes(name, &len);
}

/* Sequence of a segment's first record. */
static uint64_t first_of(unsigned segment) {
    struct segment_header header;
    uint32_t version;
    assert_int_equal(segment_header_read(span_of(bytes_of(segment), SEGMENT), &header, &version),
                     FORM_GOOD);
    return header.first;
}

static void opens(void) {
    if (!owner_open(&owner))
        fail_msg("%s", owner.problem.text);
    owner_close(&owner);
}

/* The start is refused and says so, and so does a check. */
static void refused(const char *words) {
    assert_false(owner_open(&owner));
    if (strstr(owner.problem.text, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, owner.problem.text);
    assert_int_equal(check(), JOURNAL_DAMAGED);
    if (strstr(report, words) == NULL)
        fail_msg("\"%s\" is not in the report:\n%s", words, report);
}

static bool count_record(void *argument, const struct journal_record *record) {
    unsigned *count = argument;
    uint64_t id;
    char room[OWNER_BODY_MAX];
    memcpy(&id, record->body.at, sizeof id);
    assert_int_equal(record->body.len, BODY);
    assert_memory_equal(owner_body(id, BODY, room).at, record->body.at, BODY);
    ++*count;
    return true;
}

/* After it the store can be opened, checked and written, and has so many records. */
static void repaired(unsigned records) {
    struct journal journal;
    struct journal_problem problem;
    unsigned count = 0;
    assert_int_equal(repair(), JOURNAL_SOUND);
    assert_int_equal(check(), JOURNAL_SOUND);
    assert_int_equal(repair(), JOURNAL_SOUND);
    assert_non_null(strstr(report, "nothing to repair"));
    for (unsigned i = 0; i < 2; i++) {
        count = 0;
        if (!journal_open(&journal, &options, count_record, &count, &problem))
            fail_msg("%s", problem.text);
        if (count != records)
            fail_msg("%u records instead of %u", count, records);
        journal_close(&journal);
    }
}

static unsigned files_with(const char *part) {
    unsigned count = 0;
    for (unsigned i = 0; fake_disk_name(i) != NULL; i++)
        count += strstr(fake_disk_name(i), part) != NULL;
    return count;
}

static void test_a_sound_store(void **state) {
    (void)state;
    store_make();
    assert_int_equal(check(), JOURNAL_SOUND);
    assert_non_null(strstr(report, "sound: 300 records"));
    assert_non_null(strstr(report, " of kind 1;"));
    repaired(MESSAGES);
    opens();
    struct journal_problem problem;
    fake_disk_reset(1, CAPACITY);
    assert_int_equal(journal_check("store", say, NULL, &problem), JOURNAL_UNKNOWN);
    assert_non_null(strstr(problem.text, "holds no store"));
}

static void test_a_store_in_use_is_left_alone(void **state) {
    (void)state;
    struct journal_problem problem;
    store_make();
    assert_true(owner_open(&owner));
    assert_int_equal(journal_check("store", say, NULL, &problem), JOURNAL_UNKNOWN);
    assert_non_null(strstr(problem.text, "is in use by process"));
    assert_int_equal(journal_repair("store", say, NULL, &problem), JOURNAL_UNKNOWN);
    owner_close(&owner);
}

/* Any bit of what counts: the start stops, or the bit did not matter. */
static void test_flipped_bits(void **state) {
    (void)state;
    store_make();
    for (unsigned segment = 0; segment < 5; segment += 2) {
        uint8_t *bytes = bytes_of(segment);
        for (size_t at = 0; at < SEGMENT; at += at < 200 ? 1 : 977) {
            bytes[at] ^= 0x10;
            bool opened = owner_open(&owner);
            if (opened) {
                /* The rest of the header is not read, nor is what is behind the last record. */
                assert_true((at >= 72 && at < SEGMENT_HEADER_BYTES) || at > SEGMENT - 2048 ||
                            segment == owner.journal.segment_count - 1);
                assert_int_equal(owner.live_count, MESSAGES);
                owner_close(&owner);
            } else {
                assert_true(owner.problem.text[0] != '\0');
                assert_int_not_equal(check(), JOURNAL_SOUND);
            }
            bytes[at] ^= 0x10;
        }
    }
    opens();
}

static void test_a_damaged_record_in_the_middle(void **state) {
    (void)state;
    store_make();
    bytes_of(1)[SEGMENT_HEADER_BYTES + 3 * record_bytes(BODY) + 100] ^= 1;
    refused(".segment is damaged at byte 7168: record ");
    assert_non_null(strstr(owner.problem.text, "ringpost store repair store"));
    repaired(MESSAGES - 1);
    assert_int_equal(files_with(".damaged"), 1);
}

/* In the last segment, behind which no segment begins. */
static void test_a_damaged_record_near_the_end(void **state) {
    (void)state;
    store_make();
    unsigned last = owner.journal.segment_count - 1;
    bytes_of(last)[SEGMENT_HEADER_BYTES + 50] ^= 1;
    refused("is damaged at byte 4096");
    repaired(MESSAGES - 1);
    /* The very last one, of a store that was closed in order. */
    store_make();
    uint8_t *bytes = bytes_of(last);
    struct segment_header header;
    uint32_t version;
    segment_header_read(span_of(bytes, SEGMENT), &header, &version);
    struct scan scan = scan_begin(span_of(bytes, SEGMENT), &header);
    struct record_head head;
    struct span body;
    uint64_t at = 0;
    while (scan_next(&scan, &head, &body))
        at = scan.at - record_bytes(BODY);
    bytes[at + 30] ^= 1;
    refused("is damaged at byte");
    repaired(MESSAGES - 1);
}

/* The same of one that was not: the last group is torn, and cut off. */
static void test_a_torn_end(void **state) {
    (void)state;
    fake_disk_reset(1, CAPACITY);
    owner_init(&owner, &options);
    assert_true(owner_open(&owner));
    for (unsigned i = 0; i < 10; i++)
        assert_true(owner_message(&owner, BODY));
    assert_true(owner_commit(&owner));
    for (unsigned i = 0; i < 3; i++)
        assert_true(owner_message(&owner, BODY));
    assert_true(owner_commit(&owner));
    fake_disk_kill();
    bytes_of(0)[SEGMENT_HEADER_BYTES + 11 * record_bytes(BODY) + 30] ^= 1;
    assert_int_equal(check(), JOURNAL_SOUND);
    assert_non_null(strstr(report, "torn at byte 15360, 2048 bytes with 2 records or more"));
    owner.safe = 0;
    opens();
    assert_int_equal(owner.journal.stats.cut_bytes, 2048);
    assert_int_equal(owner.journal.stats.cut_records, 2);
    assert_int_equal(journal_added(&owner.journal), 11);
    assert_int_equal(check(), JOURNAL_SOUND);
    opens();
    assert_int_equal(owner.journal.stats.cut_bytes, 0);
    assert_int_equal(journal_added(&owner.journal), 11);
}

static void test_a_damaged_header(void **state) {
    (void)state;
    store_make();
    memset(bytes_of(2), 0, 512);
    refused("it has no valid header");
    repaired(MESSAGES); /* it stands there twice */
    store_make();
    unsigned whole = (unsigned)(first_of(3) - first_of(2));
    memset(bytes_of(2), 0, SEGMENT_HEADER_BYTES);
    refused("it has no valid header");
    repaired(MESSAGES - whole);
}

static void test_a_missing_segment(void **state) {
    (void)state;
    for (unsigned segment = 0; segment < 6; segment++) {
        store_make();
        char name[STORE_NAME_BYTES];
        unsigned count = owner.journal.segment_count;
        unsigned at = segment < count ? segment : count - 1;
        uint64_t behind = at + 1 < count ? first_of(at + 1) : MESSAGES + 1;
        unsigned whole = (unsigned)(behind - first_of(at));
        name_of(at, name);
        assert_true(disk_unlink(FOLDER_FD, name));
        refused(at == 0 ? "is missing" : "is damaged at byte");
        repaired(MESSAGES - whole);
    }
}

static void test_exchanged_segments(void **state) {
    (void)state;
    char a[STORE_NAME_BYTES], b[STORE_NAME_BYTES];
    store_make();
    name_of(1, a);
    name_of(2, b);
    assert_true(disk_rename(FOLDER_FD, a, "x"));
    assert_true(disk_rename(FOLDER_FD, b, a));
    assert_true(disk_rename(FOLDER_FD, "x", b));
    refused("by its header: give it back its name");
    repaired(MESSAGES);
}

static void test_a_repeated_segment(void **state) {
    (void)state;
    char name[STORE_NAME_BYTES];
    store_make();
    store_name_write(name, FILE_SEGMENT, 100);
    fake_disk_put(name, bytes_of(1), SEGMENT);
    refused("by its header");
    repaired(MESSAGES);
}

static void test_a_cut_segment(void **state) {
    (void)state;
    char name[STORE_NAME_BYTES];
    static uint8_t copy[SEGMENT];
    store_make();
    name_of(1, name);
    memcpy(copy, bytes_of(1), SEGMENT);
    fake_disk_put(name, copy, SEGMENT_HEADER_BYTES + 2 * record_bytes(BODY) + 77);
    unsigned whole = (unsigned)(first_of(2) - first_of(1));
    refused("the file has that length");
    repaired(MESSAGES - whole + 2);
    store_make();
    name_of(1, name);
    fake_disk_put(name, copy, 0);
    refused("no valid header");
    repaired(MESSAGES - whole);
}

static void test_a_foreign_segment(void **state) {
    (void)state;
    static uint8_t foreign[SEGMENT];
    char name[STORE_NAME_BYTES];
    store_make();
    memcpy(foreign, bytes_of(1), SEGMENT);
    unsigned whole = (unsigned)(first_of(2) - first_of(1));
    store_make(); /* another one */
    name_of(1, name);
    fake_disk_put(name, foreign, SEGMENT);
    refused("belongs to another node's store");
    repaired(MESSAGES - whole);
}

static void test_another_version(void **state) {
    (void)state;
    store_make();
    bytes_of(1)[8] = 2;
    assert_false(owner_open(&owner));
    assert_non_null(strstr(owner.problem.text, "has version 2 of the store's format"));
    struct journal_problem problem;
    assert_int_equal(journal_check("store", say, NULL, &problem), JOURNAL_UNKNOWN);
    assert_non_null(strstr(problem.text, "has version 2"));
    assert_int_equal(journal_repair("store", say, NULL, &problem), JOURNAL_UNKNOWN);
    bytes_of(1)[8] = 1;
    opens();
}

static void test_a_damaged_or_missing_meta(void **state) {
    (void)state;
    size_t len;
    store_make();
    uint8_t *meta = fake_disk_bytes(STORE_META, &len);
    memset(meta, 0x55, len);
    refused("store.meta is damaged");
    repaired(MESSAGES);
    store_make();
    assert_true(disk_unlink(FOLDER_FD, STORE_META));
    refused("no store.meta");
    repaired(MESSAGES);
    /* One slot may be bad: the other is what was valid before. */
    store_make();
    opens();
    for (size_t slot = 0; slot < META_SLOTS; slot++) {
        meta = fake_disk_bytes(STORE_META, &len);
        if (meta[slot * SEGMENT_HEADER_BYTES + 20] != 0) {
            meta[slot * SEGMENT_HEADER_BYTES + 20] ^= 1;
            opens();
            break;
        }
    }
}

/* A repair that is cut off at any point can be run again. */
static void test_a_repair_may_be_interrupted(void **state) {
    (void)state;
    for (unsigned calls = 1;; calls++) {
        struct journal_problem problem;
        store_make();
        bytes_of(1)[SEGMENT_HEADER_BYTES + 100] ^= 1;
        if (calls % 2 == 0) {
            size_t len;
            memset(fake_disk_bytes(STORE_META, &len), 0, META_SLOTS * SEGMENT_HEADER_BYTES);
        }
        fake_disk_settle();
        fake_disk_die(calls);
        report_len = 0;
        enum journal_verdict verdict = journal_repair("store", say, NULL, &problem);
        bool dead = fake_disk_dead();
        fake_disk_cut();
        if (verdict == JOURNAL_UNKNOWN)
            assert_true(dead && problem.text[0] != '\0');
        assert_int_equal(repair(), JOURNAL_SOUND);
        repaired(MESSAGES - 1);
        if (!dead)
            break;
        assert_true(calls < 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_store),
        cmocka_unit_test(test_a_store_in_use_is_left_alone),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_a_damaged_record_in_the_middle),
        cmocka_unit_test(test_a_damaged_record_near_the_end),
        cmocka_unit_test(test_a_torn_end),
        cmocka_unit_test(test_a_damaged_header),
        cmocka_unit_test(test_a_missing_segment),
        cmocka_unit_test(test_exchanged_segments),
        cmocka_unit_test(test_a_repeated_segment),
        cmocka_unit_test(test_a_cut_segment),
        cmocka_unit_test(test_a_foreign_segment),
        cmocka_unit_test(test_another_version),
        cmocka_unit_test(test_a_damaged_or_missing_meta),
        cmocka_unit_test(test_a_repair_may_be_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
