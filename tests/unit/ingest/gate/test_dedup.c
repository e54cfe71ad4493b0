/* The idempotency table: what a claim comes to, the limits of window and number, and many threads
 * at the same few ids. */
#include "tests/support/cmocka_first.h"

#include "ingest/gate/dedup.c"

#include "core/base/rand.h"

#include <stdio.h>

#define WINDOW_NS (100 * NS_PER_S)
#define T0 (1000 * NS_PER_S)

static struct budget budget;
static struct dedup dedup;
static uint64_t nudged; /* workers */

static void note_nudge(void *argument, unsigned worker) {
    assert_ptr_equal(argument, &nudged);
    nudged |= UINT64_C(1) << worker;
}

static void begin(uint32_t entries_max) {
    budget_init(&budget, UINT64_C(1) << 30);
    nudged = 0;
    dedup_init(&dedup, &budget, entries_max, WINDOW_NS, note_nudge, &nudged);
}

static enum dedup_verdict claim_of(struct dedup_claim *claim, unsigned worker, const char *scope,
                                   const char *id, uint64_t content, uint64_t now_ns) {
    return dedup_claim(&dedup, worker, claim, span_text(scope), span_text(id),
                       (struct hash128){content, ~content}, now_ns);
}

/* Claims and takes an id at once. */
static uint32_t take(const char *id, uint64_t content, uint32_t recipients, uint64_t now_ns) {
    struct dedup_claim claim;
    assert_int_equal(claim_of(&claim, 0, "", id, content, now_ns), DEDUP_NEW);
    return dedup_settle(&dedup, &claim, true, RESULT_QUEUED, recipients, now_ns);
}

static enum dedup_verdict look(const char *id, uint64_t content, uint64_t now_ns) {
    struct dedup_claim claim;
    enum dedup_verdict verdict = claim_of(&claim, 0, "", id, content, now_ns);
    if (verdict == DEDUP_NEW)
        dedup_settle(&dedup, &claim, false, RESULT_ABSENT, 0, now_ns);
    return verdict;
}

static void test_repeat(void **state) {
    (void)state;
    begin(10);
    assert_int_equal(take("m1", 7, 3, T0), 0);
    struct dedup_claim claim;
    assert_int_equal(claim_of(&claim, 0, "", "m1", 7, T0 + 1), DEDUP_DUPLICATE);
    assert_int_equal(claim.first_state, RESULT_QUEUED);
    assert_int_equal(claim.first_recipients, 3);
    assert_int_equal(claim_of(&claim, 0, "", "m1", 8, T0 + 1), DEDUP_REUSED);
    assert_int_equal(look("m2", 7, T0 + 1), DEDUP_NEW);
    assert_int_equal(dedup_count(&dedup), 1);
    dedup_fini(&dedup);
    assert_int_equal(atomic_load(&budget.granted_bytes) / budget.grant_bytes <= 3, 1);
}

static void test_scopes(void **state) {
    (void)state;
    begin(20);
    static const char *const scopes[] = {"", "ca", "cb", "sa", "c"};
    for (unsigned i = 0; i < 5; i++) {
        struct dedup_claim claim;
        assert_int_equal(claim_of(&claim, 0, scopes[i], "m", i, T0), DEDUP_NEW);
        dedup_settle(&dedup, &claim, true, RESULT_QUEUED, i, T0);
    }
    /* The end of the scope does not run into the id. */
    struct dedup_claim claim;
    assert_int_equal(claim_of(&claim, 0, "c", "am", 0, T0), DEDUP_NEW);
    dedup_settle(&dedup, &claim, false, RESULT_ABSENT, 0, T0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(claim_of(&claim, 0, scopes[i], "m", i, T0), DEDUP_DUPLICATE);
        assert_int_equal(claim.first_recipients, i);
    }
    dedup_fini(&dedup);
}

static uint32_t take_of(const char *scope, const char *id, uint64_t now_ns) {
    struct dedup_claim claim;
    assert_int_equal(claim_of(&claim, 0, scope, id, 1, now_ns), DEDUP_NEW);
    return claim.forgotten + dedup_settle(&dedup, &claim, true, RESULT_QUEUED, 1, now_ns);
}

static bool known(const char *scope, const char *id, uint64_t now_ns) {
    struct dedup_claim claim;
    enum dedup_verdict verdict = claim_of(&claim, 0, scope, id, 1, now_ns);
    if (verdict == DEDUP_NEW)
        dedup_settle(&dedup, &claim, false, RESULT_ABSENT, 0, now_ns);
    return verdict == DEDUP_DUPLICATE;
}

/* Clients have a quarter at most and push out only each other; producers push out the oldest. */
static void test_shares(void **state) {
    (void)state;
    char id[16];
    begin(8);
    for (unsigned i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "p%u", i);
        assert_int_equal(take_of("", id, T0 + i), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "c%u", i);
        assert_int_equal(take_of(i % 2 ? "ca" : "sb", id, T0 + 10 + i), i >= 2);
    }
    for (unsigned i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "p%u", i);
        assert_true(known("", id, T0 + 100));
    }
    assert_int_equal(dedup_count(&dedup), 8);
    assert_true(known("ca", "c49", T0 + 100));
    assert_true(known("sb", "c48", T0 + 100));
    assert_false(known("ca", "c47", T0 + 100));
    /* The oldest of all goes for a producer; it is a client's at last. */
    for (unsigned i = 0; i < 7; i++) {
        snprintf(id, sizeof id, "q%u", i);
        assert_int_equal(take_of("", id, T0 + 200 + i), 1);
    }
    assert_false(known("sb", "c48", T0 + 300));
    assert_true(known("ca", "c49", T0 + 300));
    /* A client finds the table full of producers' ids, and its share of one: itself gives way. */
    assert_int_equal(take_of("ca", "c50", T0 + 300), 1);
    assert_true(known("", "q0", T0 + 300));
    assert_int_equal(dedup_count(&dedup), 8);
    dedup_fini(&dedup);
}

/* When memory is short ids are forgotten, the oldest first, and a claim is never refused. */
static void test_memory_gives_way(void **state) {
    (void)state;
    char id[16];
    begin(100000);
    budget_init(&budget, 64 * 1024);
    uint32_t forgotten = 0;
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(id, sizeof id, "p%u", i);
        forgotten += take_of("", id, T0 + i);
    }
    assert_true(forgotten > 0);
    assert_int_equal(dedup_count(&dedup), 5000 - forgotten);
    assert_true(known("", "p4999", T0 + 5000));
    assert_false(known("", "p0", T0 + 5000));
    /* For others that want memory, too. */
    struct account other;
    account_init(&other, &budget);
    assert_false(account_take(&other, 8192));
    unsigned rounds = 0;
    while (!account_take(&other, 8192) && rounds++ < 1000) {
        assert_int_equal(dedup_relieve(&dedup, true), 0); /* no id of a client's is there */
        assert_true(dedup_relieve(&dedup, false) > 0);
    }
    assert_true(rounds > 0 && rounds < 1000);
    account_give(&other, 8192);
    dedup_fini(&dedup);
}

static void test_not_taken_leaves_no_trace(void **state) {
    (void)state;
    begin(10);
    struct dedup_claim claim;
    assert_int_equal(claim_of(&claim, 0, "", "m", 1, T0), DEDUP_NEW);
    dedup_settle(&dedup, &claim, false, RESULT_ABSENT, 0, T0);
    assert_int_equal(dedup.stripes[0].entries.count, 0);
    assert_int_equal(dedup.stripes[0].account.used_bytes, 0);
    assert_int_equal(claim_of(&claim, 0, "", "m", 2, T0), DEDUP_NEW);
    dedup_settle(&dedup, &claim, true, RESULT_QUEUED, 1, T0);
    assert_int_equal(look("m", 1, T0), DEDUP_REUSED);
    dedup_fini(&dedup);
}

static void test_waiters_of_a_taken_one(void **state) {
    (void)state;
    begin(10);
    struct dedup_claim first, same, other, late;
    assert_int_equal(claim_of(&first, 3, "", "m", 1, T0), DEDUP_NEW);
    assert_int_equal(claim_of(&same, 5, "", "m", 1, T0), DEDUP_WAIT);
    assert_int_equal(claim_of(&other, 3, "", "m", 2, T0), DEDUP_WAIT);
    assert_int_equal(claim_of(&late, 5, "", "m", 1, T0), DEDUP_WAIT);
    assert_null(dedup_told(&dedup, 5));
    assert_int_equal(nudged, 0);
    dedup_settle(&dedup, &first, true, RESULT_QUEUED, 9, T0);
    assert_int_equal(nudged, 1u << 3 | 1u << 5);
    assert_ptr_equal(dedup_told(&dedup, 3), &other);
    assert_null(dedup_told(&dedup, 3));
    assert_ptr_equal(dedup_told(&dedup, 5), &same);
    assert_ptr_equal(dedup_told(&dedup, 5), &late);
    assert_null(dedup_told(&dedup, 5));
    assert_int_equal(same.verdict, DEDUP_DUPLICATE);
    assert_int_equal(same.first_recipients, 9);
    assert_int_equal(late.verdict, DEDUP_DUPLICATE);
    assert_int_equal(other.verdict, DEDUP_REUSED);
    dedup_fini(&dedup);
}

static void test_a_waiter_becomes_the_first(void **state) {
    (void)state;
    begin(10);
    struct dedup_claim a, b, c, d;
    assert_int_equal(claim_of(&a, 0, "", "m", 1, T0), DEDUP_NEW);
    assert_int_equal(claim_of(&b, 1, "", "m", 2, T0), DEDUP_WAIT);
    assert_int_equal(claim_of(&c, 2, "", "m", 1, T0), DEDUP_WAIT);
    assert_int_equal(claim_of(&d, 2, "", "m", 2, T0), DEDUP_WAIT);
    dedup_settle(&dedup, &a, false, RESULT_OVERLOADED, 0, T0);
    assert_int_equal(nudged, 1u << 1);
    assert_ptr_equal(dedup_told(&dedup, 1), &b);
    assert_int_equal(b.verdict, DEDUP_PROMOTED);
    assert_null(dedup_told(&dedup, 2));
    dedup_settle(&dedup, &b, true, RESULT_QUEUED, 4, T0);
    assert_ptr_equal(dedup_told(&dedup, 2), &c);
    assert_ptr_equal(dedup_told(&dedup, 2), &d);
    /* The content that counts is the one that was taken. */
    assert_int_equal(c.verdict, DEDUP_REUSED);
    assert_int_equal(d.verdict, DEDUP_DUPLICATE);
    assert_int_equal(d.first_recipients, 4);
    assert_int_equal(look("m", 2, T0), DEDUP_DUPLICATE);
    dedup_fini(&dedup);
}

static void test_every_waiter_gets_its_turn(void **state) {
    (void)state;
    begin(10);
    struct dedup_claim claims[5];
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(claim_of(&claims[i], 0, "", "m", i, T0), i == 0 ? DEDUP_NEW : DEDUP_WAIT);
    for (unsigned i = 0; i < 5; i++) {
        if (i != 0)
            assert_ptr_equal(dedup_told(&dedup, 0), &claims[i]);
        dedup_settle(&dedup, &claims[i], false, RESULT_ABSENT, 0, T0);
    }
    assert_null(dedup_told(&dedup, 0));
    assert_int_equal(dedup.stripes[0].entries.count, 0);
    dedup_fini(&dedup);
}

static void test_oldest_is_forgotten_first(void **state) {
    (void)state;
    begin(3);
    assert_int_equal(dedup.stripe_count, 1);
    assert_int_equal(take("a", 1, 0, T0), 0);
    assert_int_equal(take("b", 1, 0, T0), 0);
    assert_int_equal(take("c", 1, 0, T0), 0);
    assert_int_equal(take("d", 1, 0, T0), 1);
    assert_int_equal(dedup_count(&dedup), 3);
    assert_int_equal(look("a", 1, T0), DEDUP_NEW);
    assert_int_equal(look("b", 1, T0), DEDUP_DUPLICATE);
    /* A repeat does not make it younger. */
    assert_int_equal(take("e", 1, 0, T0), 1);
    assert_int_equal(look("b", 1, T0), DEDUP_NEW);
    assert_int_equal(look("c", 1, T0), DEDUP_DUPLICATE);
    dedup_fini(&dedup);
}

static void test_age_counts_from_the_claim(void **state) {
    (void)state;
    begin(2);
    struct dedup_claim old, young;
    assert_int_equal(claim_of(&old, 0, "", "old", 1, T0), DEDUP_NEW);
    assert_int_equal(claim_of(&young, 0, "", "young", 1, T0), DEDUP_NEW);
    dedup_settle(&dedup, &young, true, RESULT_QUEUED, 0, T0);
    dedup_settle(&dedup, &old, true, RESULT_QUEUED, 0, T0);
    assert_int_equal(take("new", 1, 0, T0), 1);
    assert_int_equal(look("old", 1, T0), DEDUP_NEW);
    assert_int_equal(look("young", 1, T0), DEDUP_DUPLICATE);
    dedup_fini(&dedup);
}

static void test_undecided_ones_are_not_forgotten(void **state) {
    (void)state;
    begin(1);
    struct dedup_claim claim, repeat;
    assert_int_equal(claim_of(&claim, 0, "", "m", 1, T0), DEDUP_NEW);
    assert_int_equal(take("a", 1, 0, T0), 0);
    assert_int_equal(take("b", 1, 0, T0), 1);
    assert_int_equal(claim_of(&repeat, 0, "", "m", 1, T0 + 2 * WINDOW_NS), DEDUP_WAIT);
    dedup_settle(&dedup, &claim, false, RESULT_ABSENT, 0, T0 + 2 * WINDOW_NS);
    assert_ptr_equal(dedup_told(&dedup, 0), &repeat);
    assert_int_equal(repeat.verdict, DEDUP_PROMOTED);
    dedup_settle(&dedup, &repeat, true, RESULT_QUEUED, 0, T0 + 2 * WINDOW_NS);
    /* Its window began when it was promoted. */
    assert_int_equal(look("m", 1, T0 + 3 * WINDOW_NS - 1), DEDUP_DUPLICATE);
    dedup_fini(&dedup);
}

static void test_window(void **state) {
    (void)state;
    begin(10);
    take("m", 1, 0, T0);
    assert_int_equal(look("m", 1, T0 + WINDOW_NS - 1), DEDUP_DUPLICATE);
    assert_int_equal(dedup_sweep(&dedup, T0 + WINDOW_NS - 1, 10), T0 + WINDOW_NS);
    assert_int_equal(look("m", 1, T0 + WINDOW_NS), DEDUP_NEW);
    assert_int_equal(dedup_count(&dedup), 0);
    take("m", 1, 0, T0);
    take("n", 1, 0, T0 + 5);
    assert_int_equal(dedup_sweep(&dedup, T0 + WINDOW_NS, 1), T0 + WINDOW_NS + 5);
    assert_int_equal(dedup_sweep(&dedup, T0 + 2 * WINDOW_NS, 1), CLOCK_NEVER);
    assert_int_equal(dedup_count(&dedup), 0);
    /* What was past its window was not forgotten early. */
    dedup_fini(&dedup);
    begin(1);
    take("m", 1, 0, T0);
    assert_int_equal(take("n", 1, 0, T0 + WINDOW_NS), 0);
    dedup_fini(&dedup);
}

static void test_nothing_remembered(void **state) {
    (void)state;
    begin(0);
    assert_int_equal(take("m", 1, 0, T0), 1);
    assert_int_equal(look("m", 1, T0), DEDUP_NEW);
    dedup_fini(&dedup);
}

/* What is undecided cannot be forgotten: only that can make a claim fail. */
static void test_memory_ceiling(void **state) {
    (void)state;
    budget_init(&budget, 10 * ENTRY_BYTES);
    dedup_init(&dedup, &budget, 1000, WINDOW_NS, note_nudge, &nudged);
    unsigned out = 0;
    char id[16];
    static struct dedup_claim claims[12];
    for (;; out++) {
        assert_true(out < 11);
        snprintf(id, sizeof(id), "m%u", out);
        if (claim_of(&claims[out], 0, "", id, 1, T0) != DEDUP_NEW)
            break;
    }
    assert_int_equal(claims[out].verdict, DEDUP_NO_MEMORY);
    assert_true(out >= 8);
    assert_int_equal(dedup_relieve(&dedup, false), 0);
    while (out-- > 0)
        dedup_settle(&dedup, &claims[out], out % 2 == 0, RESULT_QUEUED, 0, T0);
    assert_int_equal(look(id, 1, T0), DEDUP_NEW);
    dedup_fini(&dedup);
    assert_true(atomic_load(&budget.granted_bytes) <= budget.ceiling_bytes);
}

static void test_stripes(void **state) {
    (void)state;
    begin(DEDUP_STRIPES_FROM);
    assert_int_equal(dedup.stripe_count, DEDUP_STRIPES);
    char id[16];
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(id, sizeof(id), "m%u", i);
        take(id, i, i, T0);
    }
    assert_int_equal(dedup_count(&dedup), 4000);
    for (unsigned i = 0; i < DEDUP_STRIPES; i++)
        assert_in_range(dedup.stripes[i].taken[DEDUP_PRODUCERS], 150, 350);
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(id, sizeof(id), "m%u", i);
        assert_int_equal(look(id, i, T0), DEDUP_DUPLICATE);
    }
    dedup_fini(&dedup);
}

/* --- many threads -------------------------------------------------------------------------------
 */

#define THREADS 4
#define IDS 8
#define CLAIMS_EACH 3000
#define CLAIMS_OUT 16 /* of one thread at a time */

/* What each thread does must come out the same whatever the order: an id is taken once with the
 * content of the one that took it, and everybody else hears that. */
struct slot {
    struct dedup_claim claim;
    unsigned id;
    bool used;
    bool first; /* undecided, to be settled by us */
};

static _Atomic uint32_t takers[IDS * 64];  /* how many took the id of that number */
static _Atomic uint32_t told_by[IDS * 64]; /* the recipients that the taker told, plus 1 */
static _Atomic bool flags[THREADS];
static _Atomic uint32_t verdicts[DEDUP_NO_MEMORY + 1];

static void flag_nudge(void *argument, unsigned worker) {
    (void)argument;
    atomic_store_explicit(&flags[worker], true, memory_order_release);
}

/* CHECK and not assert: cmocka's jump must not leave its thread. */
static void slot_decided(struct slot *slot, enum dedup_verdict verdict) {
    atomic_fetch_add_explicit(&verdicts[verdict], 1, memory_order_relaxed);
    if (verdict == DEDUP_NEW || verdict == DEDUP_PROMOTED) {
        slot->first = true;
        return;
    }
    if (verdict == DEDUP_DUPLICATE)
        CHECK(slot->claim.first_recipients + 1 == atomic_load(&told_by[slot->id]));
    CHECK(atomic_load(&takers[slot->id]) == 1);
    slot->used = false;
}

static void slot_settle(struct slot *slot, unsigned thread) {
    bool took = rand_below(3) == 0;
    if (took) {
        atomic_fetch_add(&takers[slot->id], 1);
        atomic_store(&told_by[slot->id], thread + 1);
    }
    slot->used = slot->first = false;
    dedup_settle(&dedup, &slot->claim, took, took ? RESULT_QUEUED : RESULT_ABSENT, thread, T0);
}

static unsigned slots_used(const struct slot *slots) {
    unsigned used = 0;
    for (unsigned i = 0; i < CLAIMS_OUT; i++)
        used += slots[i].used;
    return used;
}

static void *thread_run(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    struct slot slots[CLAIMS_OUT] = {{.used = false}};
    unsigned claimed = 0;
    while (claimed < CLAIMS_EACH || slots_used(slots) != 0) {
        struct slot *slot = &slots[rand_below(CLAIMS_OUT)];
        if (slot->first) {
            slot_settle(slot, thread);
        } else if (!slot->used && claimed < CLAIMS_EACH) {
            /* All threads are at about the same few ids, which move on with the claims. */
            slot->id = (unsigned)(claimed * 63 / CLAIMS_EACH * IDS + rand_below(IDS));
            slot->used = true;
            claimed++;
            char id[16];
            snprintf(id, sizeof(id), "%u", slot->id);
            enum dedup_verdict verdict = claim_of(&slot->claim, thread, "", id, rand_below(2), T0);
            if (verdict == DEDUP_WAIT)
                atomic_fetch_add_explicit(&verdicts[DEDUP_WAIT], 1, memory_order_relaxed);
            else
                slot_decided(slot, verdict);
        }
        if (atomic_exchange_explicit(&flags[thread], false, memory_order_acq_rel)) {
            struct dedup_claim *claim;
            while ((claim = dedup_told(&dedup, thread)) != NULL)
                slot_decided(container_of(claim, struct slot, claim),
                             (enum dedup_verdict)claim->verdict);
        }
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    budget_init(&budget, UINT64_C(1) << 30);
    dedup_init(&dedup, &budget, DEDUP_STRIPES_FROM, WINDOW_NS, flag_nudge, NULL);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_run, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint32_t taken = 0;
    for (unsigned i = 0; i < IDS * 64; i++) {
        assert_in_range(atomic_load(&takers[i]), 0, 1);
        taken += atomic_load(&takers[i]);
    }
    assert_int_equal(dedup_count(&dedup), taken);
    uint32_t ended = atomic_load(&verdicts[DEDUP_NEW]) + atomic_load(&verdicts[DEDUP_PROMOTED]) +
                     atomic_load(&verdicts[DEDUP_DUPLICATE]) + atomic_load(&verdicts[DEDUP_REUSED]);
    assert_int_equal(ended, THREADS * CLAIMS_EACH);
    /* The paths were really walked. */
    assert_true(atomic_load(&verdicts[DEDUP_WAIT]) > 0);
    assert_true(atomic_load(&verdicts[DEDUP_PROMOTED]) > 0);
    assert_true(atomic_load(&verdicts[DEDUP_REUSED]) > 0);
    dedup_fini(&dedup);
}

int main(void) {
    hash_init(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeat),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_memory_gives_way),
        cmocka_unit_test(test_not_taken_leaves_no_trace),
        cmocka_unit_test(test_waiters_of_a_taken_one),
        cmocka_unit_test(test_a_waiter_becomes_the_first),
        cmocka_unit_test(test_every_waiter_gets_its_turn),
        cmocka_unit_test(test_oldest_is_forgotten_first),
        cmocka_unit_test(test_age_counts_from_the_claim),
        cmocka_unit_test(test_undecided_ones_are_not_forgotten),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_nothing_remembered),
        cmocka_unit_test(test_memory_ceiling),
        cmocka_unit_test(test_stripes),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
