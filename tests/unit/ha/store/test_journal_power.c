/* The power is cut while the journal writes: what was promised is there, in order, and nothing
 * else.
 *
 *   RINGPOST_RUNS=10000 build/dev/tests/test_journal_power     for longer than a second or two
 */
#include "tests/support/cmocka_first.h"

#include "ha/store/journal_parts.h"
#include "tests/fakes/fake_disk.c"
#include "tests/support/store_owner.h"

#define CAPACITY (UINT64_C(64) << 20)
#define SEGMENT (UINT64_C(64) << 10)
#define RUNS 40

static struct owner owner;
static uint64_t seed;

static void say_seed(const char *what) {
    fprintf(stderr, "%s\nseed %llu: RINGPOST_SEED=%llu\n", what, (unsigned long long)seed,
            (unsigned long long)seed);
}

static uint64_t draw(uint64_t bound) {
    return fake_disk_draw(bound);
}

static uint64_t live_pick(void) {
    uint64_t id = draw(owner.ids);
    while (!owner_live(&owner, id))
        id = (id + 1) % owner.ids;
    return id;
}

/* Some work; returns early when the power is cut. */
static void work(void) {
    for (uint64_t steps = 1 + draw(120); steps != 0 && !fake_disk_dead(); steps--) {
        for (uint64_t group = draw(12); group != 0; group--)
            if (draw(2) == 0 && owner.live_count != 0)
                (void)owner_ack(&owner, live_pick());
            else
                (void)owner_message(&owner, 8 + (draw(4) != 0 ? draw(200) : draw(4000)));
        (void)owner_commit(&owner);
        owner.now_ns += draw(20) * NS_PER_MS;
        if (draw(3) == 0)
            (void)owner_tend(&owner, (unsigned)draw(40));
    }
}

static void open_it(void) {
    if (!owner_open(&owner))
        check_fail(__FILE__, __LINE__, "owner_open", "%s", owner.problem.text);
}

/* The lives of a store, with everything that may happen to its power. */
static void live_through(enum journal_sync sync) {
    const struct journal_options options = {.directory = "store",
                                            .sync = sync,
                                            .interval_ns = 50 * NS_PER_MS,
                                            .record_max = 4096,
                                            .segment_bytes = SEGMENT,
                                            .slack_bytes = draw(4) * SEGMENT};
    owner_init(&owner, &options);
    uint64_t synced = 0;
    for (unsigned lives = 0; lives < 6; lives++) {
        if (draw(3) == 0) /* in the middle of the start */
            fake_disk_die(1 + (unsigned)draw(60));
        bool opened = owner_open(&owner);
        if (!opened && !fake_disk_dead())
            check_fail(__FILE__, __LINE__, "owner_open", "%s", owner.problem.text);
        if (opened && !fake_disk_dead()) {
            if (draw(3) != 0)
                fake_disk_die(1 + (unsigned)draw(400));
            work();
            if (draw(4) == 0)
                owner_close(&owner);
            else
                journal_free(&owner.journal);
        } else if (opened) {
            journal_free(&owner.journal);
        }
        if (opened && owner.journal.synced > synced)
            synced = owner.journal.synced;
        if (draw(4) == 0 && !fake_disk_dead()) {
            fake_disk_kill();
        } else {
            fake_disk_cut();
            if (sync != JOURNAL_SYNC_ALWAYS)
                owner.safe = synced;
        }
    }
    open_it();
    uint64_t last = journal_added(&owner.journal);
    journal_free(&owner.journal);
    fake_disk_kill();
    open_it();
    assert_int_equal(journal_added(&owner.journal), last);
    owner_close(&owner);
    open_it();
    assert_int_equal(journal_added(&owner.journal), last);
    owner_close(&owner);
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void runs(enum journal_sync sync) {
    uint64_t first = number_of("RINGPOST_SEED", 0);
    uint64_t count = first != 0 ? 1 : number_of("RINGPOST_RUNS", RUNS);
    check_hook = say_seed;
    for (seed = first != 0 ? first : 1; count != 0; seed++, count--) {
        fake_disk_reset(seed, CAPACITY);
        live_through(sync);
    }
    check_hook = NULL;
}

static void test_what_is_safe_survives(void **state) {
    (void)state;
    runs(JOURNAL_SYNC_ALWAYS);
}

static void test_with_an_interval_what_was_synced_survives(void **state) {
    (void)state;
    runs(JOURNAL_SYNC_INTERVAL);
}

static void test_with_never_what_was_synced_survives(void **state) {
    (void)state;
    runs(JOURNAL_SYNC_NEVER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_safe_survives),
        cmocka_unit_test(test_with_an_interval_what_was_synced_survives),
        cmocka_unit_test(test_with_never_what_was_synced_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
