/* Who serves whom when messages shall stay on a worker, or shall not. */
#include "perf/load/bench_cross.c"

#include "tests/support/cmocka_first.h"

#define CLIENTS 90u
#define PRODUCERS 12u

static struct bench_options options = {.clients = CLIENTS};
static struct bench_field field = {.options = &options, .producers.options.connections = PRODUCERS};
static struct cross cross;

/* Producer i is on worker i % workers; client i at near on i % (workers + 1), nobody's beyond. */
static void made(uint32_t workers) {
    cross = (struct cross){.field = NULL};
    assert_true(cross_make(&cross, &field));
    cross.stats.workers = workers;
    for (uint32_t i = 0; i < PRODUCERS; i++)
        cross.worker_of[i] = i % workers;
    for (uint32_t i = 0; i < CLIENTS; i++)
        cross.near[i] = i % (workers + 1) == workers ? NOBODY : i % (workers + 1);
}

static void each_client_has_one_producer(int group) {
    uint32_t seen[CLIENTS] = {0}, at = 0;
    for (uint32_t producer = 0; producer < PRODUCERS; producer++)
        for (uint32_t n = 0; n < cross.counts[group][producer]; n++) {
            uint32_t client = cross.lists[group][at++];
            bool same = cross.worker_of[producer] == cross.near[client];
            assert_int_equal(same, group == SAME);
            seen[client]++;
        }
    for (uint32_t i = 0; i < CLIENTS; i++)
        assert_int_equal(seen[i], cross.near[i] != NOBODY);
}

static void everybody_is_served_once(void **state) {
    (void)state;
    for (uint32_t workers = 2; workers <= 6; workers++) {
        made(workers);
        assert_true(groups_make(&cross));
        assert_int_equal(cross.workers_used, workers);
        assert_int_equal(cross.each, PRODUCERS / workers);
        for (int group = 0; group < GROUPS; group++)
            each_client_has_one_producer(group);
        cross_free(&cross);
    }
}

static void the_work_is_even(void **state) {
    (void)state;
    made(3);
    assert_true(groups_make(&cross));
    for (int group = 0; group < GROUPS; group++)
        for (uint32_t producer = 0; producer < PRODUCERS; producer++)
            assert_in_range(cross.counts[group][producer], 4, 7); /* 68 among 12 */
    cross_free(&cross);
}

static void the_most_loaded_worker_gives_no_more_than_the_least(void **state) {
    (void)state;
    made(2);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        cross.worker_of[i] = i < 2;
    assert_true(groups_make(&cross));
    assert_int_equal(cross.each, 2);
    for (int group = 0; group < GROUPS; group++) {
        each_client_has_one_producer(group);
        uint32_t active = 0;
        for (uint32_t i = 0; i < PRODUCERS; i++)
            active += cross.counts[group][i] != 0;
        assert_int_equal(active, 4);
    }
    cross_free(&cross);
}

static void one_worker_is_too_few(void **state) {
    (void)state;
    made(1);
    assert_false(groups_make(&cross));
    cross_free(&cross);
    made(2);
    for (uint32_t i = 0; i < CLIENTS; i++)
        cross.near[i] = 1;
    assert_false(groups_make(&cross));
    cross_free(&cross);
}

static void medians(void **state) {
    (void)state;
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2};
    assert_true(median(odd, 3) == 2);
    assert_true(median(even, 4) == 2.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_is_served_once),
        cmocka_unit_test(the_work_is_even),
        cmocka_unit_test(the_most_loaded_worker_gives_no_more_than_the_least),
        cmocka_unit_test(one_worker_is_too_few),
        cmocka_unit_test(medians),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
