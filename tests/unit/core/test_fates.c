/* What became of messages: settling, asking, repeats, waits, what is forgotten; and several threads
 * that settle and wait for the same. */
#include "tests/support/cmocka_first.h"

#include "core/fates.c"

#include "core/base/rand.h"
#include "core/server.h"

#include <stdio.h>

#define WINDOW_NS (100 * NS_PER_S)
#define DEDUP_NS (10 * NS_PER_S)
#define T0 (1000 * NS_PER_S)
#define WALL_MS UINT64_C(1700000000000)

static struct budget budget;
static struct fates fates;
static struct endpoint endpoint; /* whose the messages are */
static struct config config;
static struct server server;
static uint64_t nudged; /* endpoints */

static void note_nudge(void *argument, unsigned index) {
    assert_ptr_equal(argument, &nudged);
    nudged |= UINT64_C(1) << index;
}

static void begin_with(uint64_t ceiling_bytes, uint32_t settled_max) {
    hash_init(NULL);
    memset(&server, 0, sizeof server);
    memset(&endpoint, 0, sizeof endpoint);
    atomic_init(&server.config, &config);
    budget_init(&server.budget, UINT64_C(1) << 30);
    endpoint.server = &server;
    endpoint.config = &config;
    endpoint.now_ns = T0;
    endpoint.now_wall_ms = WALL_MS;
    account_init(&endpoint.account, &server.budget);
    budget_init(&budget, ceiling_bytes);
    nudged = 0;
    fates_init(&fates, &budget, settled_max, WINDOW_NS, note_nudge, &nudged);
}

static void begin(uint32_t settled_max) {
    begin_with(UINT64_C(1) << 30, settled_max);
}

static void end(void) {
    fates_fini(&fates);
    account_fini(&endpoint.account);
    assert_int_equal(endpoint.account.used_bytes, 0);
}

static struct message *message_of(const char *id, const struct span *to, uint16_t count) {
    struct message_parts parts = {.id = span_text(id),
                                  .event = SPAN("payment"),
                                  .to = to,
                                  .to_count = count,
                                  .class = CLASS_ACK,
                                  .ttl_ns = 600 * NS_PER_S,
                                  .payload_max = 4};
    struct message *message = message_open(&endpoint, &parts);
    assert_non_null(message);
    message_seal(message, 0);
    return message;
}

static const struct span tills[] = {SPAN_INIT("till-1"), SPAN_INIT("till-2"), SPAN_INIT("till-3")};

/* Opens a fate; the message has gone. NULL: no memory. */
static struct fate *open_of(const char *scope, const char *id, uint16_t count, uint64_t content) {
    struct message *message = message_of(id, tills, count);
    bool good = fates_open(&fates, message, span_text(scope), (struct hash128){content, ~content},
                           WALL_MS + (endpoint.now_ns - T0) / NS_PER_MS);
    struct fate *fate = message->fate;
    assert_int_equal(good, fate != NULL);
    message_release(&endpoint, message);
    return fate;
}

/* The same, taken, and let go of. */
static struct fate *take(const char *scope, const char *id, uint16_t count, uint64_t content) {
    struct fate *fate = open_of(scope, id, count, content);
    assert_non_null(fate);
    fates_taken(&fates, fate, RESULT_QUEUED, 7, endpoint.now_ns);
    fates_release(&fates, fate);
    return fate;
}

static void settle(struct fate *fate, uint32_t address, enum fate_state state) {
    fates_settle(&fates, fate, address, state,
                 state == FATE_DROPPED ? FATE_REASON_WITHDRAWN : FATE_REASON_NONE, endpoint.now_ns);
}

static bool known(const char *id) {
    struct fate *fate = fates_find(&fates, span_text(id));
    if (fate != NULL)
        fates_release(&fates, fate);
    return fate != NULL;
}

static enum fate_verdict repeat_of(const char *scope, const char *id, uint64_t content,
                                   struct fate_repeat *repeat) {
    enum fate_verdict verdict =
        fates_repeat(&fates, span_text(scope), span_text(id), (struct hash128){content, ~content},
                     DEDUP_NS, endpoint.now_ns, repeat);
    assert_int_equal(verdict == FATE_DUPLICATE, repeat->fate != NULL);
    if (repeat->fate != NULL)
        fates_release(&fates, repeat->fate);
    return verdict;
}

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
    assert_int_equal(fates.stripes[0].settled_count, 1);
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

/* As docs and header say: 150 bytes, which malloc makes 160 of. */
static void test_bytes_of_one(void **state) {
    (void)state;
    static const struct span to[] = {SPAN_INIT("0123456789abcdef")};
    begin(10);
    struct message *message = message_of("01234567890123456789012345", to, 1);
    assert_true(fates_open(&fates, message, SPAN(""), (struct hash128){0, 0}, WALL_MS));
    assert_in_range(fates.stripes[0].account.used_bytes, 100, 160);
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

/* --- what is forgotten ----------------------------------------------------------------------- */

static void test_the_oldest_settled_goes_first(void **state) {
    (void)state;
    begin(2);
    assert_int_equal(fates.stripe_count, 1);
    struct fate *pending = take("", "a", 1, 1);
    struct fate *b = take("", "b", 1, 1), *c = take("", "c", 1, 1), *d = take("", "d", 1, 1);
    settle(c, 0, FATE_ACKED);
    settle(b, 0, FATE_ACKED);
    assert_int_equal(atomic_load(&fates.forgotten), 0);
    settle(d, 0, FATE_ACKED);
    assert_int_equal(atomic_load(&fates.forgotten), 1);
    assert_true(known("a"));
    assert_false(known("c"));
    assert_true(known("b"));
    assert_true(known("d"));
    assert_int_equal(fates_count(&fates), 3);
    /* One that is past its window is not forgotten before its time. */
    endpoint.now_ns += WINDOW_NS;
    settle(pending, 0, FATE_ACKED);
    assert_int_equal(atomic_load(&fates.forgotten), 1);
    assert_false(known("b"));
    end();
}

static void test_window(void **state) {
    (void)state;
    begin(10);
    assert_int_equal(fates_sweep(&fates, T0, 10), CLOCK_NEVER);
    struct fate *a = take("", "a", 1, 1), *b = take("", "b", 1, 1);
    take("", "c", 1, 1);
    assert_int_equal(fates_sweep(&fates, T0 + 10 * WINDOW_NS, 10), CLOCK_NEVER);
    settle(a, 0, FATE_ACKED);
    endpoint.now_ns += 5;
    settle(b, 0, FATE_ACKED);
    assert_int_equal(fates_sweep(&fates, T0 + WINDOW_NS - 1, 10), T0 + WINDOW_NS);
    assert_true(known("a"));
    assert_int_equal(fates_sweep(&fates, T0 + WINDOW_NS + 5, 1), T0 + WINDOW_NS + 5);
    assert_false(known("a"));
    assert_int_equal(fates_sweep(&fates, T0 + WINDOW_NS + 5, 1), CLOCK_NEVER);
    assert_false(known("b"));
    assert_true(known("c"));
    assert_int_equal(atomic_load(&fates.forgotten), 0);
    end();
}

/* Fates that are not settled cannot be forgotten: only those make it fail. */
static void test_memory_ceiling(void **state) {
    (void)state;
    begin_with(64 * 1024, 1000);
    static struct fate *all[1000];
    char id[16];
    unsigned count = 0;
    for (;; count++) {
        assert_true(count < 1000);
        snprintf(id, sizeof id, "m%u", count);
        all[count] = open_of("", id, 1, 1);
        if (all[count] == NULL)
            break;
        fates_taken(&fates, all[count], RESULT_STORED, 0, T0);
        fates_release(&fates, all[count]);
    }
    assert_true(count >= 200);
    assert_int_equal(fates_relieve(&fates, T0), 0);
    assert_int_equal(fates_count(&fates), count);
    /* A settled one gives way to the next. */
    settle(all[3], 0, FATE_ACKED);
    take("", "next", 1, 1);
    assert_false(known("m3"));
    assert_int_equal(atomic_load(&fates.forgotten), 1);
    for (unsigned i = 4; i < 104; i++)
        settle(all[i], 0, FATE_ACKED);
    uint32_t forgotten = fates_relieve(&fates, T0);
    assert_in_range(forgotten, 1, 99);
    for (unsigned i = 4; i < 104; i++) {
        snprintf(id, sizeof id, "m%u", i);
        assert_int_equal(known(id), i >= 4 + forgotten);
    }
    end();
    assert_true(atomic_load(&budget.granted_bytes) <= budget.ceiling_bytes);
}

static void test_stripes(void **state) {
    (void)state;
    begin(FATE_STRIPES_FROM);
    assert_int_equal(fates.stripe_count, FATE_STRIPES);
    char id[16];
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(id, sizeof id, "m%u", i);
        struct fate *fate = take("", id, 1, i);
        if (i % 2 == 0)
            settle(fate, 0, FATE_ACKED);
    }
    assert_int_equal(fates_count(&fates), 4000);
    for (unsigned i = 0; i < FATE_STRIPES; i++)
        assert_in_range(fates.stripes[i].fates.count, 150, 350);
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(id, sizeof id, "m%u", i);
        struct fate_repeat repeat;
        assert_int_equal(repeat_of("", id, i, &repeat), FATE_DUPLICATE);
    }
    /* What they leave is given back stripe by stripe. */
    for (unsigned i = 0; fates_sweep(&fates, T0 + WINDOW_NS, 4000) != CLOCK_NEVER; i++)
        assert_true(i < FATE_STRIPES * 2);
    assert_int_equal(fates_count(&fates), 2000);
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
        cmocka_unit_test(test_waits_are_told),
        cmocka_unit_test(test_no_wait_for_what_is_settled),
        cmocka_unit_test(test_a_wait_holds_its_fate),
        cmocka_unit_test(test_the_oldest_settled_goes_first),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_memory_ceiling),
        cmocka_unit_test(test_stripes),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
