/* What clients know of some messages, compared with what a node tells of them. */
#include "perf/load/bench_fates.c"

#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>

#define MANY 20000u

static struct bench_fates samples[2];
static struct bench_report report;

/* A node that tells this of every message but one, of which it tells the other. */
static struct node {
    enum bench_told told, other;
    const char *odd;
    uint32_t asked, odd_until; /* from then on it tells the same of that one, too */
} node;

static enum bench_told ask(void *argument, const char *id) {
    struct node *to = argument;
    to->asked++;
    bool odd = to->odd != NULL && strcmp(id, to->odd) == 0;
    return odd && to->asked < to->odd_until ? to->other : to->told;
}

static int setup(void **state) {
    (void)state;
    memset(samples, 0, sizeof samples);
    report = (struct bench_report){.faults = 0};
    node = (struct node){.told = BENCH_TOLD_ACKED, .odd_until = UINT32_MAX};
    return 0;
}

static void met(unsigned sample, const char *id, bool acked) {
    const uint8_t *at = (const uint8_t *)id;
    bench_fate_met(&samples[sample], at, strlen(id));
    if (acked)
        bench_fate_acked(&samples[sample], bench_fate_hash(at, strlen(id)));
}

static void compare(uint64_t patience_ns, bool forgets) {
    const struct bench_fates *const both[] = {&samples[0], &samples[1]};
    bench_fates_compare(both, 2, ask, &node, forgets, patience_ns, &report);
}

static double compared(void) {
    assert_string_equal(report.rows[0].key, "fates_compared");
    return report.rows[0].value;
}

static void those_that_are_the_same(void **state) {
    (void)state;
    met(0, "a", true);
    met(1, "b", true);
    met(1, "b", false); /* once more: it is known */
    compare(0, false);
    assert_int_equal(compared(), 2);
    assert_int_equal(report.faults, 0);
    setup(NULL);
    node.told = BENCH_TOLD_PENDING;
    met(0, "a", false);
    bench_fate_acked(&samples[0], 1); /* of another that has its place, or none */
    compare(0, false);
    assert_int_equal(compared(), 1);
    assert_int_equal(report.faults, 0);
}

/* Each pair of what a client knows and the node tells that does not fit. */
static void those_that_are_not(void **state) {
    (void)state;
    for (enum bench_told told = 0; told <= BENCH_TOLD_BADLY; told++) {
        for (unsigned acked = 0; acked < 2; acked++) {
            if (told == (acked ? BENCH_TOLD_ACKED : BENCH_TOLD_PENDING))
                continue;
            setup(NULL);
            node.told = acked ? BENCH_TOLD_ACKED : BENCH_TOLD_PENDING;
            node.other = told;
            node.odd = "odd";
            for (unsigned i = 0; i < 26; i++)
                met(0, (char[]){(char)('a' + i), '\0'}, acked);
            met(1, "odd", acked);
            compare(0, false);
            assert_int_equal(report.faults, 1);
        }
    }
}

static void a_node_that_forgets(void **state) {
    (void)state;
    node.told = BENCH_TOLD_NOTHING;
    met(0, "a", true);
    compare(0, true);
    assert_int_equal(report.faults, 0);
    assert_int_equal(compared(), 0);
    assert_int_equal(report.notes, 1);
    /* What is pending is never forgotten. */
    met(1, "b", false);
    compare(0, true);
    assert_int_equal(report.faults, 1);
}

static void one_that_is_told_a_moment_later(void **state) {
    (void)state;
    node.other = BENCH_TOLD_PENDING;
    node.odd = "odd";
    node.odd_until = 5;
    met(0, "odd", true);
    compare(10 * NS_PER_S, false);
    assert_int_equal(report.faults, 0);
    assert_int_equal(node.asked, 5);
}

/* Of many a bounded number is kept, from the beginning as from the end. */
static void a_sample(void **state) {
    (void)state;
    char id[32];
    uint32_t late = 0, first = 0;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "message-%u", i);
        met(0, id, true);
    }
    compare(0, false);
    assert_int_equal(compared(), BENCH_FATES_EACH);
    assert_int_equal(report.faults, 0);
    for (unsigned i = 0; i < BENCH_FATES_EACH; i++) {
        unsigned number = (unsigned)strtoul(samples[0].places[i].id + 8, NULL, 10);
        first += number < MANY / 4;
        late += number >= MANY - MANY / 4;
    }
    assert_true(first > BENCH_FATES_EACH / 8 && late > BENCH_FATES_EACH / 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(those_that_are_the_same, setup),
        cmocka_unit_test_setup(those_that_are_not, setup),
        cmocka_unit_test_setup(a_node_that_forgets, setup),
        cmocka_unit_test_setup(one_that_is_told_a_moment_later, setup),
        cmocka_unit_test_setup(a_sample, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
