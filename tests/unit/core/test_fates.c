/* What became of messages: settling, asking, repeats, waits; and several threads that settle and
 * wait for the same. */
#include "tests/support/fates_fixture.h"

#include "core/base/rand.h"

/* --- a message ------------------------------------------------------------------------------- */

static void test_open_taken_settled(void **state) {
    (void)state;
    begin(10);
    struct fate *fate = open_of("", "m1", 1, 1);
    assert_false(known("m1"));
    assert_int_equal(fates_count(&fates), 1);
    fates_taken(&fates, fate, RESULT_QUEUED, 1, T0);
    assert_true(known("m1"));
    assert_false(known("m2"));
    assert_true(span_equal(fate_id(fate), SPAN("m1")));
    assert_int_equal(fate_count(fate), 1);
    assert_true(span_equal(fate_address_text(fate, 0), SPAN("till-1")));
    assert_int_equal(fate_address_hash(fate, 0),
                     name_hash(NAME_ID, NAMESPACE_MAIN, SPAN("till-1")));
    assert_int_equal(fate_address(fate, 0)->len, 6);
    assert_int_equal(fate_state(fate), FATE_PENDING);
    assert_int_equal(fate_accepted_ms(fate), WALL_MS);
    assert_int_equal(fate_settled_ms(fate), 0);
    assert_int_equal(fate_settled_ns(fate), 0);
    endpoint.now_ns = T0 + 1500 * NS_PER_MS;
    settle(fate, 0, FATE_ACKED);
    assert_int_equal(fate_state(fate), FATE_ACKED);
    assert_int_equal(fate_settled_ms(fate), WALL_MS + 1500);
    assert_int_equal(fate_settled_ns(fate), T0 + 1500 * NS_PER_MS);
    fates_release(&fates, fate);
    assert_true(known("m1"));
    end();
    assert_string_equal(fate_state_word(FATE_PENDING), "pending");
    assert_string_equal(fate_state_word(FATE_DROPPED), "dropped");
    assert_string_equal(fate_reason_word(FATE_REASON_WITHDRAWN), "withdrawn");
}

static void test_cancel(void **state) {
    (void)state;
    begin(10);
    fates_cancel(&fates, open_of("", "m1", 2, 1));
    assert_int_equal(fates_count(&fates), 0);
    struct fate_repeat repeat;
    assert_int_equal(repeat_of("", "m1", 1, &repeat), FATE_UNKNOWN);
    assert_int_equal(fates.stripes[0].account.used_bytes, 0);
    /* Only the open one goes, not an older one of the id. */
    struct fate *older = take("", "m1", 1, 1);
    settle(older, 0, FATE_ACKED);
    fates_cancel(&fates, open_of("", "m1", 2, 1));
    assert_true(known("m1"));
    end();
}

/* By the serial, whatever the clock was. */
static void test_displaced(void **state) {
    (void)state;
    begin(10);
    struct fate *older = take("", "m1", 1, 1), *younger = take("", "m1", 2, 1);
    fates_record(&fates, older, 7, 0, 1, 100);
    fates_record(&fates, younger, 8, 0, 2, 100);
    assert_true(fates_displaced(&fates, older));
    assert_false(fates_displaced(&fates, younger));
    end();
}

static void test_settled_before_taken(void **state) {
    (void)state;
    begin(10);
    struct fate *fate = open_of("", "m1", 1, 1);
    settle(fate, 0, FATE_ACKED);
    assert_false(known("m1"));
    fates_taken(&fates, fate, RESULT_QUEUED, 1, T0);
    struct fate_wait wait;
    assert_false(fates_wait(&fates, &wait, fate, 0));
    fates_release(&fates, fate);
    assert_true(known("m1"));
    assert_int_equal(fates.stripes[0].settled[FATE_PRODUCERS].count, 1);
    end();
}

static void test_the_whole_is_the_worst(void **state) {
    (void)state;
    static const enum fate_state cases[][4] = {
        {FATE_ACKED, FATE_ACKED, FATE_ACKED, FATE_ACKED},
        {FATE_EXPIRED, FATE_ACKED, FATE_ACKED, FATE_EXPIRED},
        {FATE_ACKED, FATE_DROPPED, FATE_EXPIRED, FATE_DROPPED},
        {FATE_ACKED, FATE_EXPIRED, FATE_DROPPED, FATE_DROPPED},
    };
    begin(10);
    for (unsigned i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%u", i);
        struct fate *fate = take("", id, 3, 1);
        /* In any order. */
        for (unsigned n = 0; n < 3; n++) {
            assert_int_equal(fate_state(fate), FATE_PENDING);
            settle(fate, (n + i) % 3, cases[i][(n + i) % 3]);
        }
        assert_int_equal(fate_state(fate), cases[i][3]);
        assert_int_equal(fate_reason(fate),
                         cases[i][3] == FATE_DROPPED ? FATE_REASON_WITHDRAWN : FATE_REASON_NONE);
        for (unsigned n = 0; n < 3; n++)
            assert_int_equal(atomic_load(&fate_address(fate, n)->state), cases[i][n]);
    }
    end();
}

/* As docs and header say: of blocks of 144 bytes 28 fill a page. */
static void test_bytes_of_one(void **state) {
    (void)state;
    static const struct span to[] = {SPAN_INIT("0123456789abcdef")};
    begin(10);
    struct message *message = message_of("01234567890123456789012345", to, 1);
    assert_true(fates_open(&fates, message, SPAN(""), (struct hash128){0, 0}, WALL_MS));
    assert_in_range(fates.stripes[0].account.used_bytes, 100, 144 + 8);
    fates_cancel(&fates, message->fate);
    message_release(&endpoint, message);
    end();
}

/* --- asking ---------------------------------------------------------------------------------- */

static void test_the_producers_come_first(void **state) {
    (void)state;
    begin(10);
    struct fate *client = take("ctill", "m", 1, 1);
    endpoint.now_ns += NS_PER_S;
    struct fate *other = take("csafe", "m", 1, 1);
    struct fate *found = fates_find(&fates, SPAN("m"));
    assert_ptr_equal(found, other); /* the youngest */
    fates_release(&fates, found);
    struct fate *producer = take("", "m", 1, 1);
    endpoint.now_ns += NS_PER_S;
    struct fate *youngest = take("cnone", "m", 1, 1);
    found = fates_find(&fates, SPAN("m"));
    assert_ptr_equal(found, producer);
    fates_release(&fates, found);
    (void)client;
    (void)youngest;
    assert_int_equal(fates_count(&fates), 4);
    end();
}

static void test_a_held_one_stays(void **state) {
    (void)state;
    begin(1);
    struct fate *fate = take("", "m1", 1, 1);
    struct fate *held = fates_find(&fates, SPAN("m1"));
    assert_ptr_equal(held, fate);
    settle(fate, 0, FATE_EXPIRED);
    settle(take("", "m2", 1, 1), 0, FATE_ACKED);
    assert_false(known("m1"));
    assert_int_equal(fates_count(&fates), 1);
    assert_int_equal(fate_state(held), FATE_EXPIRED);
    assert_true(span_equal(fate_address_text(held, 0), SPAN("till-1")));
    fates_release(&fates, held);
    end();
}

/* --- repeats --------------------------------------------------------------------------------- */

static void test_repeats(void **state) {
    (void)state;
    struct fate_repeat repeat;
    begin(10);
    assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_UNKNOWN);
    struct fate *fate = take("", "m", 2, 1);
    assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_DUPLICATE);
    assert_int_equal(repeat.first, RESULT_QUEUED);
    assert_int_equal(repeat.recipients, 7);
    assert_int_equal(repeat_of("", "m", 2, &repeat), FATE_REUSED);
    assert_int_equal(repeat_of("c", "m", 1, &repeat), FATE_UNKNOWN);
    assert_int_equal(repeat_of("", "m2", 1, &repeat), FATE_UNKNOWN);
    /* However long it takes; from then on for the window. */
    endpoint.now_ns += 10 * DEDUP_NS;
    assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_DUPLICATE);
    settle(fate, 0, FATE_ACKED);
    endpoint.now_ns += DEDUP_NS;
    assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_DUPLICATE);
    settle(fate, 1, FATE_ACKED);
    endpoint.now_ns += DEDUP_NS - 1;
    assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_DUPLICATE);
    assert_int_equal(repeat_of("", "m", 2, &repeat), FATE_REUSED);
    endpoint.now_ns += 1;
    assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_UNKNOWN);
    assert_true(known("m"));
    /* It is taken again: the old one cannot be asked for any more. */
    take("", "m", 1, 2);
    assert_int_equal(fates_count(&fates), 1);
    assert_int_equal(repeat_of("", "m", 2, &repeat), FATE_DUPLICATE);
    assert_int_equal(atomic_load(&fates.forgotten), 0);
    end();
}

/* An id that the node made is not remembered: whoever gives it pushes another message, and is told
 * of that one, whichever settles first. */
static void test_ids_that_the_node_made(void **state) {
    (void)state;
    struct fate_repeat repeat;
    for (unsigned made_is_settled = 0; made_is_settled < 2; made_is_settled++) {
        begin(10);
        struct message *message = message_of("m", tills, 1);
        assert_true(fates_open(&fates, message, SPAN(""), (struct hash128){0, 0}, WALL_MS));
        struct fate *made = message->fate;
        message_release(&endpoint, message);
        fates_taken(&fates, made, RESULT_QUEUED, 1, T0);
        fates_release(&fates, made);
        assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_UNKNOWN);
        assert_int_equal(repeat_of("", "m", 0, &repeat), FATE_UNKNOWN);
        if (made_is_settled)
            settle(made, 0, FATE_ACKED);
        assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_UNKNOWN);
        struct fate *given = take("", "m", 1, 1);
        assert_int_equal(fates_count(&fates), made_is_settled ? 1 : 2);
        for (unsigned given_is_settled = 0; given_is_settled < 2; given_is_settled++) {
            struct fate *found = fates_find(&fates, SPAN("m"));
            assert_ptr_equal(found, given);
            fates_release(&fates, found);
            assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_DUPLICATE);
            assert_int_equal(repeat_of("", "m", 2, &repeat), FATE_REUSED);
            if (!given_is_settled)
                settle(given, 0, FATE_ACKED);
        }
        /* A store brings back first what is settled. */
        endpoint.now_ns += NS_PER_S;
        message = message_of("m", tills, 1);
        assert_true(fates_open(&fates, message, SPAN(""), (struct hash128){0, 0}, WALL_MS));
        fates_taken(&fates, message->fate, RESULT_QUEUED, 1, T0);
        fates_release(&fates, message->fate);
        message_release(&endpoint, message);
        assert_int_equal(repeat_of("", "m", 1, &repeat), FATE_DUPLICATE);
        end();
    }
}

/* --- waits ----------------------------------------------------------------------------------- */

static void wait_for(struct fate_wait *wait, const char *id, unsigned index) {
    struct fate *fate = fates_find(&fates, span_text(id));
    assert_non_null(fate);
    assert_true(fates_wait(&fates, wait, fate, index));
}

static void test_waits_are_told(void **state) {
    (void)state;
    begin(10);
    struct fate *fate = take("", "m", 2, 1);
    struct fate_wait waits[4];
    for (unsigned i = 0; i < 4; i++)
        wait_for(&waits[i], "m", i == 3 ? 2 : i);
    settle(fate, 0, FATE_ACKED);
    assert_int_equal(nudged, 0);
    fates_wait_end(&fates, &waits[1]); /* before it is told */
    settle(fate, 1, FATE_EXPIRED);
    assert_int_equal(nudged, 1u << 0 | 1u << 2);
    assert_null(fates_told(&fates, 1));
    assert_ptr_equal(fates_told(&fates, 0), &waits[0]);
    assert_null(fates_told(&fates, 0));
    assert_int_equal(fate_state(waits[0].fate), FATE_EXPIRED);
    fates_wait_end(&fates, &waits[0]);
    fates_wait_end(&fates, &waits[2]); /* told, and not fetched */
    assert_ptr_equal(fates_told(&fates, 2), &waits[3]);
    assert_null(fates_told(&fates, 2));
    fates_wait_end(&fates, &waits[3]);
    end();
}

static void test_no_wait_for_what_is_settled(void **state) {
    (void)state;
    begin(10);
    settle(take("", "m", 1, 1), 0, FATE_ACKED);
    struct fate *fate = fates_find(&fates, SPAN("m"));
    struct fate_wait wait;
    assert_false(fates_wait(&fates, &wait, fate, 0));
    assert_int_equal(fate_state(fate), FATE_ACKED); /* it is still held */
    fates_release(&fates, fate);
    end();
}

static void test_a_wait_holds_its_fate(void **state) {
    (void)state;
    begin(0);
    struct fate *fate = take("", "m", 1, 1);
    struct fate_wait wait;
    wait_for(&wait, "m", 0);
    settle(fate, 0, FATE_ACKED);
    assert_false(known("m"));
    assert_int_equal(fates_count(&fates), 0);
    assert_ptr_equal(fates_told(&fates, 0), &wait);
    assert_int_equal(fate_state(wait.fate), FATE_ACKED);
    fates_wait_end(&fates, &wait);
    end();
}

/* A session whose neighbour in the table is waited for is not. */
static void test_who_is_waited_for(void **state) {
    (void)state;
    begin(10);
    for (uint16_t count = 1; count <= 2; count++) {
        const char *id = count == 1 ? "m" : "n";
        struct fate *fate = take("", id, count, 1);
        uint64_t hash = fate_address_hash(fate, 0);
        struct fate_wait wait;
        assert_false(fates_waited(&fates, hash));
        wait_for(&wait, id, 0);
        assert_true(fates_any_waited(&fates));
        for (uint32_t i = 0; i < count; i++)
            assert_true(fates_waited(&fates, fate_address_hash(fate, i)));
        assert_false(fates_waited(&fates, hash + FATE_WAITED_PLACES));
        for (uint32_t i = 0; i < count; i++)
            settle(fate, i, FATE_ACKED);
        fates_wait_end(&fates, &wait);
        assert_false(fates_waited(&fates, hash));
        assert_false(fates_any_waited(&fates));
    }
    end();
}

/* Each address has one entry, however many wait for it: the look-up does not grow with them. */
static void test_many_are_waited_for(void **state) {
    (void)state;
    begin(10);
    enum { WAITS = 20, ADDRESSES = 3 };
    struct fate *fates_of[WAITS];
    struct fate_wait waits[WAITS];
    for (unsigned i = 0; i < WAITS; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%u", i);
        fates_of[i] = take("", id, ADDRESSES, 1);
        wait_for(&waits[i], id, 0);
    }
    uint32_t entries = 0;
    for (unsigned i = 0; i < FATE_WAITED_PLACES; i++)
        entries += fates.waited[i].entries.count;
    assert_int_equal(entries, ADDRESSES);
    uint64_t hash = fate_address_hash(fates_of[0], ADDRESSES - 1);
    for (unsigned i = 0; i < WAITS; i++) {
        assert_true(fates_waited(&fates, hash));
        for (unsigned to = 0; to < ADDRESSES; to++)
            settle(fates_of[i], to, FATE_ACKED);
        fates_wait_end(&fates, &waits[i]);
    }
    assert_false(fates_waited(&fates, hash));
    end();
}

/* Without memory for its addresses it is taken for one that waits for anybody. */
static void test_waited_for_without_memory(void **state) {
    (void)state;
    begin(10);
    struct fate *fate = take("", "m", 1, 1), *other = take("", "n", 1, 1);
    uint64_t hash = fate_address_hash(fate, 0), neighbour = hash + FATE_WAITED_PLACES;
    struct fate_wait without, with;
    struct account *account = &fates.stripes[0].account;
    uint64_t taken = 0;
    while (account_take(account, 16))
        taken += 16;
    wait_for(&without, "m", 0);
    account_give(account, taken);
    assert_true(fates_waited(&fates, hash) && fates_waited(&fates, neighbour));
    wait_for(&with, "n", 0);
    fates_wait_end(&fates, &without);
    assert_true(fates_waited(&fates, hash));
    assert_false(fates_waited(&fates, neighbour));
    settle(fate, 0, FATE_ACKED);
    settle(other, 0, FATE_ACKED);
    fates_wait_end(&fates, &with);
    assert_false(fates_waited(&fates, hash) || fates_any_waited(&fates));
    end();
}

/* --- many threads ---------------------------------------------------------------------------- */

#define WAITERS 3
#define MESSAGES 4000

/* One thread settles what has been taken; others wait for it, some for a while only. Each wait is
 * told once, or ended before. */
static struct fate *_Atomic published[MESSAGES];
static _Atomic bool flags[WAITERS];
static _Atomic uint32_t told_count, ended_count;
static _Atomic bool over;

static void flag_nudge(void *argument, unsigned index) {
    (void)argument;
    atomic_store_explicit(&flags[index], true, memory_order_release);
}

struct waiting {
    struct fate_wait wait;
    bool used;
};

/* CHECK and not assert: cmocka's jump must not leave its thread. */
static void told_fetch(unsigned index) {
    struct fate_wait *wait;
    while ((wait = fates_told(&fates, index)) != NULL) {
        struct waiting *waiting = container_of(wait, struct waiting, wait);
        CHECK(waiting->used && fate_state(wait->fate) == FATE_ACKED &&
              fate_settled_ms(wait->fate) != 0);
        fates_wait_end(&fates, wait);
        waiting->used = false;
        atomic_fetch_add(&told_count, 1);
    }
}

static void *waiter_run(void *argument) {
    unsigned index = (unsigned)(uintptr_t)argument;
    static struct waiting all[WAITERS][64];
    char id[16];
    unsigned used = 0;
    while (!atomic_load(&over) || used != 0) {
        struct waiting *waiting = &all[index][rand_below(64)];
        snprintf(id, sizeof id, "m%u", (unsigned)rand_below(MESSAGES));
        struct fate *fate;
        if (waiting->used) {
            fates_wait_end(&fates, &waiting->wait);
            waiting->used = false;
            atomic_fetch_add(&ended_count, 1);
        } else if (!atomic_load(&over) && (fate = fates_find(&fates, span_text(id))) != NULL) {
            waiting->used = fates_wait(&fates, &waiting->wait, fate, index);
            if (!waiting->used)
                fates_release(&fates, fate);
        }
        if (atomic_exchange_explicit(&flags[index], false, memory_order_acquire))
            told_fetch(index);
        used = 0;
        for (unsigned i = 0; i < 64; i++)
            used += all[index][i].used;
    }
    return NULL;
}

static void *settler_run(void *argument) {
    (void)argument;
    for (unsigned settled = 0; settled < MESSAGES;) {
        struct fate *fate = atomic_load_explicit(&published[settled], memory_order_acquire);
        if (fate == NULL)
            continue;
        fates_settle(&fates, fate, 1, FATE_ACKED, FATE_REASON_NONE, T0 + settled);
        fates_settle(&fates, fate, 0, FATE_ACKED, FATE_REASON_NONE, T0 + settled);
        settled++;
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    begin(100); /* so that most are forgotten at once */
    fates.nudge = flag_nudge;
    pthread_t waiters[WAITERS], settler;
    for (unsigned i = 0; i < WAITERS; i++)
        assert_int_equal(pthread_create(&waiters[i], NULL, waiter_run, (void *)(uintptr_t)i), 0);
    assert_int_equal(pthread_create(&settler, NULL, settler_run, NULL), 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        char id[16];
        snprintf(id, sizeof id, "m%u", i);
        struct fate *fate = open_of("", id, 2, i);
        bool early = i % 3 == 0; /* it may be settled before it is known to be taken */
        if (early)
            atomic_store_explicit(&published[i], fate, memory_order_release);
        fates_taken(&fates, fate, RESULT_QUEUED, 1, T0);
        if (!early)
            atomic_store_explicit(&published[i], fate, memory_order_release);
        fates_release(&fates, fate);
    }
    assert_int_equal(pthread_join(settler, NULL), 0);
    atomic_store(&over, true);
    for (unsigned i = 0; i < WAITERS; i++)
        assert_int_equal(pthread_join(waiters[i], NULL), 0);
    for (unsigned i = 0; i < WAITERS; i++)
        assert_null(fates_told(&fates, i));
    assert_int_equal(fates_count(&fates), 100);
    assert_int_equal(atomic_load(&fates.forgotten), MESSAGES - 100);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_taken_settled),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_displaced),
        cmocka_unit_test(test_settled_before_taken),
        cmocka_unit_test(test_the_whole_is_the_worst),
        cmocka_unit_test(test_bytes_of_one),
        cmocka_unit_test(test_the_producers_come_first),
        cmocka_unit_test(test_a_held_one_stays),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_ids_that_the_node_made),
        cmocka_unit_test(test_waits_are_told),
        cmocka_unit_test(test_no_wait_for_what_is_settled),
        cmocka_unit_test(test_a_wait_holds_its_fate),
        cmocka_unit_test(test_who_is_waited_for),
        cmocka_unit_test(test_many_are_waited_for),
        cmocka_unit_test(test_waited_for_without_memory),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
