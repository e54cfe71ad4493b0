/* What is taken when too much is pushed: how long input waits is measured right, and in a model of
 * a node, whatever refusals cost, enough is delivered and nothing that is taken is old. */
#include "tests/support/cmocka_first.h"

#include "core/admission.c"
#include "core/share.c"

#include <stdio.h>
#include <string.h>

/* --- how long input waits --------------------------------------------------------------------- */

static void test_an_empty_socket_is_never_late(void **state) {
    (void)state;
    struct intake intake = {0};
    for (uint64_t now_ns = NS_PER_S; now_ns < 2 * NS_PER_S; now_ns += 10 * NS_PER_MS) {
        assert_false(intake_asks(&intake, false, now_ns));
        intake_received(&intake, 100, false, now_ns);
        assert_int_equal(intake_late_ns(&intake, now_ns), 0);
    }
}

static void test_what_is_ahead_is_looked_for(void **state) {
    (void)state;
    struct intake intake = {0};
    uint64_t now_ns = NS_PER_S;
    intake_received(&intake, 4096, true, now_ns);
    assert_true(intake_asks(&intake, true, now_ns));
    intake_told(&intake, 10000, now_ns);
    assert_false(intake_asks(&intake, true, now_ns));
    /* While it is read, what is known grows with the time. */
    intake_received(&intake, 4096, true, now_ns + 10 * NS_PER_MS);
    assert_int_equal(intake_late_ns(&intake, now_ns + 10 * NS_PER_MS), 10 * NS_PER_MS);
    intake_received(&intake, 4096, true, now_ns + 20 * NS_PER_MS);
    intake_received(&intake, 4096, true, now_ns + 30 * NS_PER_MS);
    /* All 10,000 bytes have been read. */
    assert_int_equal(intake_late_ns(&intake, now_ns + 31 * NS_PER_MS), 30 * NS_PER_MS);
    assert_true(intake_asks(&intake, true, now_ns + 31 * NS_PER_MS));
    intake_told(&intake, 500, now_ns + 31 * NS_PER_MS);
    intake_received(&intake, 500, true, now_ns + 32 * NS_PER_MS);
    assert_int_equal(intake_late_ns(&intake, now_ns + 33 * NS_PER_MS), 1 * NS_PER_MS);
    /* Not asked again and again. */
    assert_false(intake_asks(&intake, true, now_ns + 33 * NS_PER_MS));
    assert_true(intake_asks(&intake, true, now_ns + 36 * NS_PER_MS));
    /* Once it is seen empty nothing waits. */
    intake_received(&intake, 10, false, now_ns + 37 * NS_PER_MS);
    assert_int_equal(intake_late_ns(&intake, now_ns + 60 * NS_PER_MS), 0);
}

static void test_nothing_there_after_all(void **state) {
    (void)state;
    struct intake intake = {0};
    intake_told(&intake, 0, NS_PER_S);
    assert_int_equal(intake_late_ns(&intake, 2 * NS_PER_S), 0);
}

/* --- who is refused --------------------------------------------------------------------------- */

static bool ask(struct admission *admission, struct intake *intake, uint64_t lag_ns) {
    enum standing standing;
    return admission_ask(admission, intake, 1, lag_ns, &standing);
}

static void test_the_modest_are_taken(void **state) {
    (void)state;
    struct admission admission;
    struct intake in_time = {.late_ns = 0}, late = {.late_ns = NS_PER_S};
    admission_init(&admission);
    admission.patience_ns = 0;
    admission_turn(&admission, NS_PER_S);
    admission_turn(&admission, 2 * NS_PER_S);
    /* The worker delivers late. */
    const uint64_t lag_ns = LATE_NS + 1;
    enum standing standing;
    for (unsigned i = 0; i < ADMISSION_MODEST; i++) {
        assert_true(admission_ask(&admission, &in_time, 1, lag_ns, &standing));
        assert_int_equal(standing, ASKS_LITTLE);
    }
    assert_false(admission_ask(&admission, &in_time, 1, lag_ns, &standing));
    assert_int_equal(standing, ASKS_MUCH);
    /* Who is read late has asked for more than a little. */
    assert_false(admission_ask(&admission, &late, 1, 0, &standing));
    assert_int_equal(standing, ASKS_MUCH);
    admission_turn(&admission, 2 * NS_PER_S + ADMISSION_CYCLE_NS);
    assert_true(ask(&admission, &in_time, lag_ns));
}

static void test_refusing_has_its_share_of_time(void **state) {
    (void)state;
    struct admission admission;
    struct intake late = {.late_ns = NS_PER_S, .taken = ADMISSION_MODEST, .cycle_ns = NS_PER_S};
    admission_init(&admission);
    admission.patience_ns = 0;
    admission_turn(&admission, NS_PER_S);
    /* There is nothing to spend yet. */
    assert_true(ask(&admission, &late, 0));
    assert_false(admission.shedding);
    uint64_t now_ns = NS_PER_S + NS_PER_MS, spent_ns = 0;
    admission_turn(&admission, now_ns);
    while (!ask(&admission, &late, 0)) {
        admission_refused(&admission, 1000);
        spent_ns += 1000;
    }
    assert_int_equal(spent_ns, NS_PER_MS * ADMISSION_SHARE_PERCENT / 100);
    assert_true(admission.shedding);
    /* One that is not late is taken without a look at that. */
    struct intake fresh = {.taken = ADMISSION_MODEST, .cycle_ns = NS_PER_S};
    admission_turn(&admission, now_ns + NS_PER_MS);
    assert_true(ask(&admission, &fresh, 0));
    /* Unless the worker is late itself. */
    assert_false(ask(&admission, &fresh, LATE_NS + 1));
}

static void test_who_was_away_is_not_behind(void **state) {
    (void)state;
    struct admission admission;
    struct intake late = {.late_ns = NS_PER_S, .taken = ADMISSION_MODEST, .cycle_ns = NS_PER_S};
    admission_init(&admission);
    uint64_t now_ns = NS_PER_S;
    for (; now_ns < NS_PER_S + ADMISSION_PATIENCE_NS; now_ns += NS_PER_MS) {
        admission_turn(&admission, now_ns);
        late.cycle_ns = now_ns;
        late.taken = ADMISSION_MODEST;
        assert_true(ask(&admission, &late, 0));
    }
    /* It has caught up; the next time is another time. */
    now_ns += ADMISSION_GAP_NS + NS_PER_MS;
    late.cycle_ns = now_ns;
    admission_turn(&admission, now_ns);
    assert_true(ask(&admission, &late, 0));
    for (uint64_t end_ns = now_ns + ADMISSION_PATIENCE_NS; now_ns < end_ns; now_ns += NS_PER_MS) {
        admission_turn(&admission, now_ns);
        late.cycle_ns = now_ns;
        late.taken = ADMISSION_MODEST;
        assert_true(ask(&admission, &late, 0));
    }
    admission_turn(&admission, now_ns);
    late.cycle_ns = now_ns;
    assert_false(ask(&admission, &late, 0));
}

static void test_it_is_over_after_a_while(void **state) {
    (void)state;
    struct admission admission;
    admission_init(&admission);
    admission_turn(&admission, NS_PER_S);
    admission_refused(&admission, 1000);
    admission_turn(&admission, NS_PER_S + ADMISSION_OVER_NS - 1);
    assert_true(admission.shedding);
    admission_turn(&admission, NS_PER_S + ADMISSION_OVER_NS);
    assert_false(admission.shedding);
}

/* --- a model ---------------------------------------------------------------------------------- */

/* A worker of the model: one connection that floods it, whose bytes wait in a socket. */
#define MODEL_WORKERS_MAX 16
#define REQUEST_BYTES 200
#define SOCKET_REQUESTS 40000 /* what the buffers of 64 producers hold */

struct model {
    struct admission admission;
    struct intake intake;
    uint32_t queue; /* requests */
    double due;     /* part of a request that has come */
    /* When the requests of the queue came, by number. */
    uint64_t came_ns[SOCKET_REQUESTS];
    uint64_t first;
    uint64_t taken, refused, worst_ns, old; /* after it has settled */
};

static struct model models[MODEL_WORKERS_MAX];

/* One turn of 2 ms at the most. */
static void model_turn(struct model *m, uint64_t now_ns, double rate, uint64_t take_ns,
                       uint64_t refuse_ns, uint64_t turn_ns, bool counts) {
    m->due += rate * (double)turn_ns / NS_PER_S;
    for (; m->due >= 1; m->due--)
        if (m->queue < SOCKET_REQUESTS) {
            m->came_ns[(m->first + m->queue) % SOCKET_REQUESTS] = now_ns;
            m->queue++;
        }
    admission_turn(&m->admission, now_ns);
    for (uint64_t spent_ns = 0; spent_ns < turn_ns && m->queue != 0;) {
        m->queue--;
        uint64_t age_ns = now_ns - m->came_ns[m->first++ % SOCKET_REQUESTS];
        bool more = m->queue != 0;
        intake_received(&m->intake, REQUEST_BYTES, more, now_ns);
        if (intake_asks(&m->intake, more, now_ns))
            intake_told(&m->intake, m->queue * REQUEST_BYTES, now_ns);
        if (ask(&m->admission, &m->intake, 0)) {
            spent_ns += take_ns;
            if (counts) {
                m->taken++;
                if (age_ns > m->worst_ns)
                    m->worst_ns = age_ns;
                m->old += age_ns > 200 * NS_PER_MS;
            }
        } else {
            admission_refused(&m->admission, refuse_ns);
            spent_ns += refuse_ns;
            m->refused += counts;
        }
    }
}

static void model_run(unsigned workers, uint64_t refuse_ns, bool stalls, double times) {
    const uint64_t take_ns = 8000, turn_ns = 2 * NS_PER_MS;
    const double highest = (double)NS_PER_S / (double)take_ns;
    memset(models, 0, sizeof(models));
    for (unsigned i = 0; i < workers; i++)
        admission_init(&models[i].admission);
    uint64_t turns = 0;
    for (uint64_t now_ns = NS_PER_S; now_ns < 6 * NS_PER_S; now_ns += turn_ns, turns++) {
        for (unsigned i = 0; i < workers; i++) {
            /* Each loses its CPU for 100 ms, at another time. */
            bool gone = stalls && (turns + i * 37) % 500 < 50;
            if (!gone)
                model_turn(&models[i], now_ns, times * highest, take_ns, refuse_ns, turn_ns,
                           now_ns > 2 * NS_PER_S);
        }
    }
    for (unsigned i = 0; i < workers; i++) {
        const struct model *m = &models[i];
        double goodput = (double)m->taken / 4 / highest;
        double up = stalls ? 0.9 : 1;
        /* What refusing has no time for is bounded by the socket; up to there all is fresh. */
        double saved = 1 - (double)refuse_ns / (double)take_ns; /* of taking one, by refusing it */
        bool can_keep_up = saved > 0 && (times - 1) * highest * (double)refuse_ns / NS_PER_S <
                                            0.9 * saved * ADMISSION_SHARE_PERCENT / 100;
        double floor = (1 - ADMISSION_SHARE_PERCENT / 100.0) * up;
        if (goodput < floor - 0.01)
            fail_msg("worker %u of %u, refusal %llu ns, %.1f times: goodput %.2f", i, workers,
                     (unsigned long long)refuse_ns, times, goodput);
        if (can_keep_up && !stalls && m->worst_ns > 200 * NS_PER_MS)
            fail_msg("worker %u of %u, refusal %llu ns, %.1f times: one waited %.0f ms", i, workers,
                     (unsigned long long)refuse_ns, times, (double)m->worst_ns / 1e6);
    }
}

static void test_the_model_is_stable(void **state) {
    (void)state;
    static const uint64_t refusals_ns[] = {500, 1000, 2000, 5000, 10000, 20000};
    static const double times[] = {1.2, 2, 3, 10};
    for (unsigned i = 0; i < sizeof(refusals_ns) / sizeof(*refusals_ns); i++)
        for (unsigned j = 0; j < sizeof(times) / sizeof(*times); j++)
            for (unsigned stalls = 0; stalls < 2; stalls++)
                model_run(1, refusals_ns[i], stalls, times[j]);
    for (unsigned workers = 2; workers <= MODEL_WORKERS_MAX; workers *= 2)
        for (unsigned stalls = 0; stalls < 2; stalls++)
            model_run(workers, 1000, stalls, 3);
}

/* Nothing is refused below the highest rate, though a neighbour takes the CPU now and then. */
static void test_a_busy_neighbour_is_no_overload(void **state) {
    (void)state;
    const uint64_t turn_ns = 2 * NS_PER_MS;
    memset(models, 0, sizeof(models));
    admission_init(&models[0].admission);
    uint64_t turns = 0;
    for (uint64_t now_ns = NS_PER_S; now_ns < 11 * NS_PER_S; now_ns += turn_ns, turns++)
        if (turns % 250 >= 50) /* away for 100 ms of 500 */
            model_turn(&models[0], now_ns, 40000, 8000, 1000, turn_ns, true);
    assert_int_equal(models[0].refused, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_socket_is_never_late),
        cmocka_unit_test(test_what_is_ahead_is_looked_for),
        cmocka_unit_test(test_nothing_there_after_all),
        cmocka_unit_test(test_the_modest_are_taken),
        cmocka_unit_test(test_refusing_has_its_share_of_time),
        cmocka_unit_test(test_who_was_away_is_not_behind),
        cmocka_unit_test(test_it_is_over_after_a_while),
        cmocka_unit_test(test_the_model_is_stable),
        cmocka_unit_test(test_a_busy_neighbour_is_no_overload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
