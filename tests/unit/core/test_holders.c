/* The table of holders: against a plain model, at every size and with clashing hashes; and from
 * several threads (also under ThreadSanitizer). */
#include "tests/support/cmocka_first.h"

#include "core/holders.c"

#include <stdio.h>
#include <string.h>

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static uint64_t find(struct holders *holders, uint64_t hash) {
    uint32_t sessions = 0;
    return holders_find(holders, hash, &sessions);
}

static void test_counts_of_sessions(void **state) {
    (void)state;
    struct holders *holders = holders_new();
    uint32_t sessions = 100;
    assert_int_equal(holders_find(holders, 7, &sessions), 0);
    assert_int_equal(sessions, 100);
    assert_true(holders_add(holders, 7, 0));
    holders_grow(holders, 7, 8);
    assert_true(holders_add(holders, 7, 1));
    holders_grow(holders, 7, 16);
    assert_int_equal(holders_find(holders, 7, &sessions), 3);
    assert_int_equal(sessions, 124);
    holders_grow(holders, 7, -8);
    holders_remove(holders, 7, 0);
    sessions = 0;
    assert_int_equal(holders_find(holders, 7, &sessions), 2);
    assert_int_equal(sessions, 16);
    holders_grow(holders, 7, -16);
    holders_remove(holders, 7, 1);
    /* Who has the hash next begins with none. */
    assert_true(holders_add(holders, 7, 1));
    sessions = 0;
    assert_int_equal(holders_find(holders, 7, &sessions), 2);
    assert_int_equal(sessions, 0);
    holders_remove(holders, 7, 1);
    holders_free(holders);
}

static void test_sets_of_workers(void **state) {
    (void)state;
    struct holders *holders = holders_new();
    assert_int_equal(find(holders, 7), 0);
    assert_true(holders_add(holders, 7, 0));
    assert_true(holders_add(holders, 7, 63));
    assert_true(holders_add(holders, 7, 63)); /* it holds it already */
    assert_int_equal(find(holders, 7), UINT64_C(1) << 63 | 1);
    assert_int_equal(find(holders, 8), 0);
    holders_remove(holders, 7, 0);
    assert_int_equal(find(holders, 7), UINT64_C(1) << 63);
    holders_remove(holders, 7, 63);
    assert_int_equal(find(holders, 7), 0);
    /* 0 is a hash as any other. */
    assert_true(holders_add(holders, 0, 5));
    assert_int_equal(find(holders, 0), 32);
    holders_remove(holders, 0, 5);
    holders_free(holders);
}

enum { KEYS = 600, STEPS = 60000 };

/* One stripe and few low bits, so that entries pile up behind each other and around the end. */
static void test_against_a_model(void **state) {
    (void)state;
    for (unsigned bits = 1; bits <= 32; bits += 3) {
        struct holders *holders = holders_new();
        static uint64_t model[KEYS], hashes[KEYS];
        memset(model, 0, sizeof(model));
        for (unsigned i = 0; i < KEYS; i++)
            hashes[i] = (uint64_t)i << 33 | (random_next() & ((UINT64_C(1) << bits) - 1));
        for (unsigned step = 0; step < STEPS; step++) {
            /* Grows for a while, then shrinks. */
            unsigned key = (unsigned)(random_next() % KEYS), worker = (unsigned)(random_next() % 3);
            bool grow = random_next() % 10 < (step < STEPS / 2 ? 7u : 3u);
            if (grow) {
                assert_true(holders_add(holders, hashes[key], worker));
                model[key] |= UINT64_C(1) << worker;
            } else if (model[key] >> worker & 1) {
                holders_remove(holders, hashes[key], worker);
                model[key] &= ~(UINT64_C(1) << worker);
            }
            unsigned other = (unsigned)(random_next() % KEYS);
            assert_int_equal(find(holders, hashes[other]), model[other]);
        }
        for (unsigned key = 0; key < KEYS; key++) {
            assert_int_equal(find(holders, hashes[key]), model[key]);
            for (unsigned worker = 0; worker < 3; worker++)
                if (model[key] >> worker & 1)
                    holders_remove(holders, hashes[key], worker);
        }
        /* What grew has shrunk. */
        assert_true(holders->stripes[0].cap <= 2 * ENTRIES_MIN);
        holders_free(holders);
    }
}

enum { THREADS = 4, NAMES = 64, ROUNDS = 4000 };

static struct holders *shared;

/* Each thread is a worker that takes and gives up the same names as the others; its own bit is
 * always as it left it. */
static void *work(void *argument) {
    unsigned worker = *(unsigned *)argument;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t hash = (uint64_t)(round * 7 + worker) % NAMES * UINT64_C(0x9E3779B97F4A7C15);
        if (!holders_add(shared, hash, worker) || !(find(shared, hash) >> worker & 1))
            return "an entry was lost";
        holders_remove(shared, hash, worker);
        if (find(shared, hash) >> worker & 1)
            return "an entry stayed";
    }
    return NULL;
}

static void test_many_threads(void **state) {
    (void)state;
    shared = holders_new();
    pthread_t threads[THREADS];
    unsigned workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        if (problem != NULL)
            fail_msg("%s", (const char *)problem);
    }
    holders_free(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_of_workers),
        cmocka_unit_test(test_counts_of_sessions),
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
