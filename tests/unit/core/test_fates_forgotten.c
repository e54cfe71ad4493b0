/* Which fates are forgotten, and when: by age, by number, for memory. */
#include "tests/support/fates_fixture.h"

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

static void take_settled(const char *scope, const char *format, unsigned from, unsigned until) {
    char id[16];
    for (unsigned i = from; i < until; i++) {
        snprintf(id, sizeof id, format, i);
        endpoint.now_ns++;
        settle(take(scope, id, 1, i), 0, FATE_ACKED);
    }
}

static unsigned known_of(const char *format, unsigned count) {
    char id[16];
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++) {
        snprintf(id, sizeof id, format, i);
        found += known(id);
    }
    return found;
}

/* However many messages clients send, those of producers are known; and the other way round a
 * producer's pushes out the oldest of all. */
static void test_clients_push_out_only_each_other(void **state) {
    (void)state;
    begin(100);
    take_settled("", "p%u", 0, 1);
    take_settled("ctill", "t%u", 0, 30);
    take_settled("csafe", "s%u", 0, 120);
    assert_true(known("p0"));
    assert_int_equal(known_of("t%u", 30), 0);
    assert_int_equal(known_of("s%u", 120), 25);
    assert_true(known("s95"));
    assert_int_equal(atomic_load(&fates.forgotten), 125);
    take_settled("", "p%u", 1, 75);
    assert_int_equal(fates_count(&fates), 100);
    take_settled("ctill", "t%u", 0, 10); /* all is full */
    assert_int_equal(known_of("p%u", 75), 75);
    assert_int_equal(known_of("t%u", 10), 10);
    take_settled("", "p%u", 75, 78);
    assert_int_equal(known_of("p%u", 78), 77); /* p0 was the oldest, then two of clients */
    assert_int_equal(known_of("s%u", 120), 13);
    assert_int_equal(fates_count(&fates), 100);
    end();
}

static void test_memory_of_clients(void **state) {
    (void)state;
    begin_with(64 * 1024, 1000, 0);
    take_settled("", "p%u", 0, 1);
    take_settled("ctill", "t%u", 0, 1);
    char id[16];
    unsigned count = 0;
    for (;; count++) {
        assert_true(count < 1000);
        snprintf(id, sizeof id, "m%u", count);
        struct fate *fate = open_of("ctill", id, 1, 1);
        if (fate == NULL)
            break;
        fates_taken(&fates, fate, RESULT_STORED, 0, T0);
        fates_release(&fates, fate);
    }
    assert_true(known("p0")); /* also in vain */
    assert_false(known("t0"));
    take("", "next", 1, 1);
    assert_false(known("p0"));
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

/* --- ids that are known for longer ------------------------------------------------------------ */

static bool repeats(const char *scope, const char *id, uint64_t content) {
    struct fate_repeat repeat;
    enum fate_verdict verdict = repeat_of(scope, id, content, &repeat);
    assert_int_equal(repeat_of(scope, id, content + 1, &repeat),
                     verdict == FATE_DUPLICATE ? FATE_REUSED : FATE_UNKNOWN);
    return verdict == FATE_DUPLICATE;
}

/* --fate-window is the shorter one: nobody is told of it, and a repeat is one. */
static void test_a_longer_window_of_ids(void **state) {
    (void)state;
    begin(10);
    fates.window_ns = DEDUP_NS / 10;
    struct message *message = message_of("made", tills, 1);
    assert_true(fates_open(&fates, message, SPAN(""), (struct hash128){0, 0}, WALL_MS));
    fates_taken(&fates, message->fate, RESULT_QUEUED, 1, T0);
    settle(message->fate, 0, FATE_ACKED);
    fates_release(&fates, message->fate);
    message_release(&endpoint, message);
    take_settled("", "p%u", 0, 3);
    take_settled("ctill", "t%u", 0, 1);
    uint64_t settled_ns = endpoint.now_ns;
    endpoint.now_ns += DEDUP_NS / 10 - 1;
    assert_int_equal(fates_sweep(&fates, endpoint.now_ns, 10), settled_ns + DEDUP_NS / 10);
    assert_false(known("made"));
    assert_false(known("p2"));
    assert_true(known("t0"));
    endpoint.now_ns += 1;
    assert_int_equal(fates_sweep(&fates, endpoint.now_ns, 10), T0 + 1 + DEDUP_NS);
    assert_false(known("t0"));
    assert_int_equal(fates_count(&fates), 4); /* whose ids a producer or a client gave */
    endpoint.now_ns = T0 + DEDUP_NS;
    for (unsigned i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof id, "p%u", i);
        assert_true(repeats("", id, i));
    }
    assert_true(repeats("ctill", "t0", 0));
    assert_false(repeats("", "t0", 0));
    endpoint.now_ns += 2;
    assert_false(repeats("", "p1", 1)); /* also before it is forgotten */
    assert_true(repeats("", "p2", 2));
    assert_int_equal(fates_sweep(&fates, endpoint.now_ns, 10), T0 + 3 + DEDUP_NS);
    assert_int_equal(fates_count(&fates), 2);
    /* Taken again: the old one cannot be known any more. */
    take("", "p2", 1, 7);
    assert_int_equal(fates_count(&fates), 2);
    assert_true(known("p2"));
    assert_int_equal(atomic_load(&fates.forgotten), 0);
    assert_int_equal(atomic_load(&fates.ids_forgotten), 0);
    end();
}

/* What --fate-max has pushed out is known by its id, as far as --dedup-max goes. */
static void test_more_ids(void **state) {
    (void)state;
    begin_with(UINT64_C(1) << 30, 4, 40);
    take_settled("", "p%u", 0, 60);
    assert_int_equal(known_of("p%u", 60), 4);
    assert_int_equal(fates_count(&fates), 40);
    assert_true(repeats("", "p20", 20));
    assert_false(repeats("", "p19", 19));
    assert_int_equal(atomic_load(&fates.forgotten), 56);
    assert_int_equal(atomic_load(&fates.ids_forgotten), 20);
    end();
    /* Of clients a quarter. */
    begin_with(UINT64_C(1) << 30, 4, 40);
    take_settled("", "p%u", 0, 2);
    take_settled("ctill", "t%u", 0, 30);
    assert_int_equal(known_of("t%u", 30), 1);
    assert_true(repeats("ctill", "t20", 20));
    assert_false(repeats("ctill", "t19", 19));
    assert_int_equal(known_of("p%u", 2), 2);
    take_settled("", "p%u", 2, 60);
    assert_int_equal(fates_count(&fates), 40);
    /* There is no room for them, and they make none. */
    take_settled("ctill", "t%u", 30, 60);
    assert_int_equal(known_of("t%u", 60), 0);
    assert_true(repeats("", "p20", 20));
    assert_int_equal(fates_count(&fates), 40);
    end();
}

static void test_recalled_ones_give_way_first(void **state) {
    (void)state;
    begin_with(64 * 1024, 2, 1000);
    take_settled("", "p%u", 0, 100);
    assert_int_equal(fates_count(&fates), 100);
    uint32_t forgotten = fates_relieve(&fates, endpoint.now_ns);
    assert_in_range(forgotten, 1, 98);
    assert_int_equal(atomic_load(&fates.ids_forgotten), forgotten);
    assert_true(known("p98") && known("p99"));
    assert_false(repeats("", "p0", 0));
    assert_true(repeats("", "p97", 97));
    end();
}

/* Fates that are not settled cannot be forgotten: only those make it fail. */
static void test_memory_ceiling(void **state) {
    (void)state;
    begin_with(64 * 1024, 1000, 0);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_settled_goes_first),
        cmocka_unit_test(test_clients_push_out_only_each_other),
        cmocka_unit_test(test_memory_of_clients),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_a_longer_window_of_ids),
        cmocka_unit_test(test_more_ids),
        cmocka_unit_test(test_recalled_ones_give_way_first),
        cmocka_unit_test(test_memory_ceiling),
        cmocka_unit_test(test_stripes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
