/* The search for the highest rate, against a made-up node of known capacity on a host that stalls.
 * What comes faster than the node works waits there, and is delivered after the pushing. */
#include "perf/load/bench_traffic.c"

#include "tests/support/cmocka_first.h"

static struct {
    double capacity;
    double closed; /* the part of it that a closed loop reaches */
    uint32_t stall_every;
    uint32_t runs;
    uint64_t missing;
    uint32_t lost; /* clients that each run beyond the capacity loses */
    uint32_t returns;
    double busy;   /* share of a core that the load tool has */
    double others; /* that other processes have */
} node;

volatile int bench_interrupted;

struct bench_push bench_push_for(const struct bench_field *field, double rate, double seconds) {
    (void)field;
    return (struct bench_push){.rate = rate, .end_ns = (uint64_t)(seconds * 1e9)};
}

void bench_field_run(struct bench_field *field, const struct bench_push *push, const char *what,
                     struct bench_result *found) {
    (void)field;
    (void)what;
    memset(found, 0, sizeof *found);
    found->rate = push->rate;
    found->fan = 1;
    found->own_busiest = node.busy;
    found->others = node.others;
    node.runs++;
    bool stalled = node.stall_every != 0 && node.runs % node.stall_every == 0;
    if (push->rate <= 0) {
        found->wall_s = (double)push->end_ns / 1e9;
        found->seen.received =
            (uint64_t)(node.capacity * node.closed * found->wall_s * (stalled ? 0.5 : 1));
        return;
    }
    double speed = node.capacity * (stalled ? 0.5 : 1);
    found->offered_s = (double)push->end_ns / 1e9;
    double due = push->rate * found->offered_s, made = speed * found->offered_s;
    found->seen.received = (uint64_t)due;
    found->behind = due > made ? (uint64_t)(due - made) : 0;
    found->wall_s = due > made ? due / speed : found->offered_s;
    found->missing = push->rate > node.capacity ? node.missing : 0;
    found->seen.lost = push->rate > node.capacity ? node.lost : 0;
    bench_result_judge(found);
}

bool bench_field_connect(struct bench_field *field, double rate, uint32_t pending) {
    (void)field;
    (void)rate;
    (void)pending;
    return true;
}

void bench_field_begin(struct bench_field *field) {
    (void)field;
}

void bench_field_disconnect(struct bench_field *field) {
    (void)field;
    node.returns++;
}

void bench_field_idle(struct bench_field *field, double seconds) {
    (void)field;
    (void)seconds;
}

int64_t bench_field_kb(const struct bench_field *field, int64_t (*of)(pid_t pid)) {
    (void)field;
    (void)of;
    return -1;
}

void bench_mark_take(const struct bench_field *field, struct bench_mark *mark) {
    (void)field;
    (void)mark;
}

static struct bench_report report;
static struct bench_result best;

/* The longer the tries, the more waits at the end of one that is too fast. */
static void search_for(double seconds, double capacity, double closed, uint32_t stall_every) {
    static const struct bench_options options;
    static struct bench_field field = {.options = &options};
    node.capacity = capacity;
    node.closed = closed;
    node.stall_every = stall_every;
    node.runs = 0;
    memset(&report, 0, sizeof report);
    bench_search(&field, seconds, &best, &report);
    assert_true(report.try_count <= 12);
    assert_int_equal(node.runs, report.try_count + 2);
}

static void search(double capacity, double closed, uint32_t stall_every) {
    search_for(1, capacity, closed, stall_every);
}

static void found_within_three_percent(void **state) {
    (void)state;
    for (double closed = 0.5; closed < 1.3; closed += 0.05) {
        search(100000, closed, 0);
        assert_true(bench_rate_held(&best) <= 100000.5);
        assert_true(bench_rate_held(&best) >= 97000);
        assert_int_equal(report.notes, 0);
    }
}

static void short_tries_do_not_flatter(void **state) {
    (void)state;
    for (double seconds = 0.5; seconds <= 8; seconds *= 2)
        for (double closed = 0.8; closed < 1.2; closed += 0.05) {
            search_for(seconds, 100000, closed, 0);
            assert_true(bench_rate_held(&best) <= 100000.5);
            assert_true(bench_rate_held(&best) >= 97000);
            for (uint32_t i = 0; i < report.try_count; i++)
                if (report.tries[i].rate > 102100)
                    assert_false(report.tries[i].held);
        }
}

static void a_tired_generator_is_told(void **state) {
    (void)state;
    node.busy = 0.95;
    search(100000, 1, 0);
    node.busy = 0;
    assert_int_equal(report.notes, 1);
    assert_non_null(strstr(report.rows[report.count - 1].text,
                           "a lower bound: the generator had 95 % of a core"));
    assert_true(report.tries[0].generator_percent == 95);
}

static void what_others_take_is_told(void **state) {
    (void)state;
    node.others = 0.4;
    search(100000, 1, 0);
    node.others = 0;
    assert_int_equal(report.notes, 1);
    assert_non_null(strstr(report.rows[report.count - 1].text,
                           "others used 40 % of a core at a rate that did not hold; the highest "
                           "rate is a lower bound"));
}

static void a_stall_is_no_word_about_the_node(void **state) {
    (void)state;
    for (double closed = 0.8; closed < 1.2; closed += 0.05) {
        search(100000, closed, 4);
        assert_true(bench_rate_held(&best) <= 100000.5);
        assert_true(bench_rate_held(&best) >= 94000);
    }
}

static void every_try_is_told(void **state) {
    (void)state;
    search(100000, 1, 0);
    bool held = false, refused = false;
    for (uint32_t i = 0; i < report.try_count; i++) {
        const struct bench_try *t = &report.tries[i];
        assert_int_equal(t->held, t->rate <= 102040);
        assert_int_equal(strcmp(t->why, "held") == 0, t->held);
        if (!t->held)
            assert_non_null(strstr(t->why, "behind by"));
        held = held || t->held;
        refused = refused || !t->held;
    }
    assert_true(held && refused);
}

static void what_a_try_loses_is_a_fault(void **state) {
    (void)state;
    node.missing = 3;
    search(100000, 1, 0);
    node.missing = 0;
    assert_true(report.faults > 0);
    bool told = false;
    for (uint32_t i = 0; i < report.try_count; i++)
        told = told || strcmp(report.tries[i].why, "no: 3 missing") == 0;
    assert_true(told);
    search(100000, 1, 0);
    assert_int_equal(report.faults, 0);
}

static void who_was_closed_comes_back(void **state) {
    (void)state;
    node.lost = 1;
    node.returns = 0;
    search(100000, 1, 0);
    node.lost = 0;
    uint32_t closed = 0;
    for (uint32_t i = 0; i < report.try_count; i++)
        closed += strcmp(report.tries[i].why, "no: 1 clients closed") == 0;
    assert_true(closed > 0);
    assert_int_equal(node.returns, closed);
    assert_true(bench_rate_held(&best) >= 97000);
}

static void no_end_is_said(void **state) {
    (void)state;
    search(1000000, 0.01, 0);
    assert_int_equal(report.notes, 1);
    search(0.001, 1e7, 0); /* nothing holds */
    assert_true(best.rate == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_within_three_percent),
        cmocka_unit_test(short_tries_do_not_flatter),
        cmocka_unit_test(a_tired_generator_is_told),
        cmocka_unit_test(what_others_take_is_told),
        cmocka_unit_test(a_stall_is_no_word_about_the_node),
        cmocka_unit_test(every_try_is_told),
        cmocka_unit_test(what_a_try_loses_is_a_fault),
        cmocka_unit_test(who_was_closed_comes_back),
        cmocka_unit_test(no_end_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
