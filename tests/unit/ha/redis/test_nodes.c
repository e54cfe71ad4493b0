/* The other nodes: which message has come already, which copies are missing, who is there. Against
 * plain models. */
#include "tests/support/cmocka_first.h"

#include "core/memory.h"
#include "ha/redis/nodes.h"

#include <stdio.h>
#include <string.h>

static struct budget budget;
static struct account account;
static struct nodes nodes;

static int setup(void **state) {
    (void)state;
    budget_init(&budget, 64 << 20);
    account_init(&account, &budget);
    assert_true(nodes_init(&nodes, &account));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    nodes_fini(&nodes);
    nodes_fini(&nodes);
    assert_int_equal(account.used_bytes, 0);
    account_fini(&account);
    return 0;
}

static uint64_t random_state = 88172645463325252u;

static uint64_t roll(uint64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

static const char *run_of(unsigned number) {
    static char run[WIRE_RUN_BYTES + 1];
    snprintf(run, sizeof(run), "%016x", number);
    return run;
}

static struct peer_node *hear(unsigned number, uint64_t now_ns) {
    return nodes_hear(&nodes, run_of(number), now_ns);
}

/* --- numbers of messages ---------------------------------------------------------------------- */

enum { NUMBERS = 40000 };

static void test_the_first_of_a_message(void **state) {
    (void)state;
    static bool seen[NUMBERS];
    struct peer_node *node = hear(1, NS_PER_S);
    uint64_t top = 0, firsts = 0;
    for (unsigned i = 0; i < 300000; i++) {
        /* Mostly near the end, sometimes long ago, sometimes far ahead. */
        uint64_t number = 1 + (roll(50) == 0 ? roll(NUMBERS - 1) : top / 2 + roll(top / 2 + 3));
        if (roll(4) != 0)
            number = top + 1 > 20 ? top + 1 - roll(20) : 1 + roll(3);
        if (number >= NUMBERS)
            break;
        bool first = !seen[number] && number + NODES_WINDOW > top;
        assert_int_equal(nodes_first(node, number), first);
        seen[number] = true;
        top = number > top ? number : top;
        firsts += first;
    }
    assert_true(firsts > 1000);
}

static void test_the_edges_of_the_window(void **state) {
    (void)state;
    struct peer_node *node = hear(1, NS_PER_S);
    assert_true(nodes_first(node, 1));
    assert_true(nodes_first(node, NODES_WINDOW));
    assert_false(nodes_first(node, 1));
    assert_true(nodes_first(node, 2));
    assert_true(nodes_first(node, NODES_WINDOW + 1));
    assert_false(nodes_first(node, 1)); /* too old to be known, so it counts as seen */
    assert_false(nodes_first(node, 2));
    assert_true(nodes_first(node, 3));
    /* What was cleared is not taken for what stood in the same place. */
    assert_true(nodes_first(node, 2 * NODES_WINDOW + 1));
    assert_true(nodes_first(node, NODES_WINDOW + 2));
    assert_true(nodes_first(node, 100 * NODES_WINDOW));
    assert_true(nodes_first(node, 99 * NODES_WINDOW + 1));
    assert_false(nodes_first(node, 99 * NODES_WINDOW));
    /* Each node has numbers of its own. */
    assert_true(nodes_first(hear(2, NS_PER_S), 1));
}

/* Numbers are what a stranger writes. */
static void test_the_greatest_numbers(void **state) {
    (void)state;
    struct peer_node *node = hear(1, NS_PER_S);
    assert_true(nodes_first(node, UINT64_MAX - 1));
    assert_true(nodes_first(node, UINT64_MAX));
    assert_false(nodes_first(node, UINT64_MAX));
    assert_false(nodes_first(node, UINT64_MAX - 1));
    assert_true(nodes_first(node, UINT64_MAX - 2));
    assert_false(nodes_first(node, 5));
    node = hear(2, NS_PER_S);
    assert_true(nodes_first(node, 10));
    assert_true(nodes_first(node, UINT64_MAX));
    assert_false(nodes_first(node, 11));
}

/* --- counts ----------------------------------------------------------------------------------- */

static struct wire_node sent(struct nodes *from, uint64_t channel) {
    struct wire_node copy = {.run = "00000000000000aa"};
    nodes_number(from, channel, 0, NS_PER_S, &copy);
    return copy;
}

/* What is missing, of copies that come in their order. */
static uint64_t missing_of(uint64_t name, uint64_t since, const struct wire_node *copy) {
    bool late;
    uint64_t missing = nodes_missing(&nodes, name, since, copy, &late);
    assert_false(late);
    return missing;
}

static void test_missing(void **state) {
    (void)state;
    struct wire_node copy = sent(&nodes, 5);
    assert_int_equal(copy.count, 1);
    assert_int_equal(missing_of(5, 1, &copy), 0);
    copy = sent(&nodes, 5);
    assert_int_equal(copy.count, 2);
    assert_int_equal(missing_of(5, 1, &copy), 0);
    sent(&nodes, 5);
    sent(&nodes, 5);
    copy = sent(&nodes, 5);
    assert_int_equal(missing_of(5, 1, &copy), 2);
    /* One of the two comes after all. */
    bool late;
    copy.count--;
    assert_int_equal(nodes_missing(&nodes, 5, 1, &copy, &late), 0);
    assert_true(late);
    /* Whoever begins to listen does not know what was before. */
    sent(&nodes, 5);
    copy = sent(&nodes, 5);
    assert_int_equal(missing_of(5, 2, &copy), 0);
    copy = sent(&nodes, 5);
    assert_int_equal(missing_of(5, 2, &copy), 0);
    /* Other channels, and other nodes, count for themselves. */
    copy = sent(&nodes, 6);
    assert_int_equal(copy.count, 1);
    assert_int_equal(missing_of(6, 2, &copy), 0);
    struct wire_node other = {.run = "00000000000000bb", .count = 50, .epoch = 1};
    assert_int_equal(missing_of(5, 2, &other), 0);
    other.count = 52;
    assert_int_equal(missing_of(5, 2, &other), 1);
    /* A new epoch begins anew. */
    other.count = 10;
    other.epoch = 2;
    assert_int_equal(missing_of(5, 2, &other), 0);
    other.count = 12;
    assert_int_equal(missing_of(5, 2, &other), 1);
    other.count = 15;
    assert_int_equal(missing_of(5, 2, &other), 2);
}

/* Of channels that have the same places the first ones keep them until there are too many. */
static void test_channels_of_one_place(void **state) {
    (void)state;
    const uint64_t apart = 2 * COUNTS_MAX / COUNTS_WAYS;
    struct wire_node copy;
    for (unsigned round = 1; round <= 3; round++)
        for (uint64_t i = 0; i < COUNTS_WAYS; i++) {
            copy = sent(&nodes, 3 + i * apart);
            assert_int_equal(copy.count, round);
            copy.count = 2 * round; /* each second one is lost */
            assert_int_equal(missing_of(3 + i * apart, 1, &copy), round == 1 ? 0 : 1);
        }
    uint64_t epoch = copy.epoch;
    copy = sent(&nodes, 3 + COUNTS_WAYS * apart);
    assert_int_equal(copy.count, 1);
    assert_int_equal(missing_of(3 + COUNTS_WAYS * apart, 1, &copy), 0);
    /* The one that was used longest ago has lost its place, and nothing is said to be missing. */
    copy = sent(&nodes, 3);
    assert_int_equal(copy.count, 1);
    assert_true(copy.epoch > epoch);
    copy.count = 9;
    assert_int_equal(missing_of(3, 1, &copy), 0);
    copy = sent(&nodes, 3 + (COUNTS_WAYS - 1) * apart);
    assert_int_equal(copy.count, 4);
}

/* Many channels, of which some copies never come. */
static void test_missing_against_a_model(void **state) {
    (void)state;
    enum { CHANNELS = 300 };
    static struct {
        uint64_t lost;
        bool heard;
    } model[CHANNELS];
    uint64_t missing = 0, lost = 0;
    for (unsigned i = 0; i < 100000; i++) {
        unsigned at = (unsigned)roll(CHANNELS);
        uint64_t channel = at * UINT64_C(0x9E3779B97F4A7C15);
        struct wire_node copy = sent(&nodes, channel);
        if (roll(10) == 0) {
            model[at].lost++;
            continue;
        }
        uint64_t more = missing_of(channel, 1, &copy);
        assert_int_equal(more, model[at].heard ? model[at].lost : 0);
        lost += model[at].heard ? model[at].lost : 0;
        missing += more;
        model[at].lost = 0;
        model[at].heard = true;
    }
    assert_int_equal(missing, lost);
    assert_true(lost > 1000);
}

/* --- who is there ----------------------------------------------------------------------------- */

static void test_silence(void **state) {
    (void)state;
    assert_null(nodes_silent(&nodes, UINT64_MAX));
    struct peer_node *a = hear(1, NS_PER_S), *b = hear(2, 2 * NS_PER_S);
    assert_true(a != b && nodes.count == 2);
    assert_null(nodes_silent(&nodes, NS_PER_S + NODES_SILENT_NS - 1));
    assert_ptr_equal(nodes_silent(&nodes, NS_PER_S + NODES_SILENT_NS), a);
    assert_ptr_equal(hear(1, 3 * NS_PER_S), a);
    assert_ptr_equal(nodes_silent(&nodes, 2 * NS_PER_S + NODES_SILENT_NS), b);
    nodes_leave(&nodes, b);
    assert_int_equal(nodes.count, 1);
    assert_ptr_equal(nodes_silent(&nodes, 9 * NS_PER_S), a);
    /* One that comes back is new. */
    assert_true(nodes_first(a, 7));
    nodes_leave(&nodes, a);
    assert_true(nodes_first(hear(1, 9 * NS_PER_S), 7));
}

static void test_names(void **state) {
    (void)state;
    struct peer_node *a = hear(1, NS_PER_S), *b = hear(2, NS_PER_S);
    assert_string_equal(a->name, "");
    snprintf(a->name, sizeof(a->name), "one");
    snprintf(b->name, sizeof(b->name), "two");
    assert_null(nodes_namesake(&nodes, a));
    snprintf(b->name, sizeof(b->name), "one");
    assert_ptr_equal(nodes_namesake(&nodes, a), b);
    nodes_leave(&nodes, b);
    assert_null(nodes_namesake(&nodes, a));
}

static void test_limits(void **state) {
    (void)state;
    for (unsigned i = 0; i < NODES_MAX; i++)
        assert_non_null(hear(i, NS_PER_S));
    assert_null(hear(NODES_MAX, NS_PER_S));
    assert_non_null(hear(5, NS_PER_S));
    nodes_leave(&nodes, hear(5, NS_PER_S));
    assert_non_null(hear(NODES_MAX, NS_PER_S));
    assert_int_equal(nodes.count, NODES_MAX);
}

static void test_no_memory(void **state) {
    (void)state;
    struct nodes small;
    struct account poor;
    struct budget little;
    budget_init(&little, 1 << 20); /* one of the two tables */
    account_init(&poor, &little);
    assert_false(nodes_init(&small, &poor));
    nodes_fini(&small);
    assert_int_equal(poor.used_bytes, 0);
    account_fini(&poor);
    while (account_take(&account, 64))
        ;
    uint64_t used = account.used_bytes;
    assert_null(hear(1, NS_PER_S));
    assert_int_equal(account.used_bytes, used);
    account_give(&account,
                 used - COUNTS_MAX * (sizeof(struct count_place) + sizeof(struct look_place)));
    assert_non_null(hear(1, NS_PER_S));
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_the_first_of_a_message),
        ONE(test_the_edges_of_the_window),
        ONE(test_the_greatest_numbers),
        ONE(test_missing),
        ONE(test_channels_of_one_place),
        ONE(test_missing_against_a_model),
        ONE(test_silence),
        ONE(test_names),
        ONE(test_limits),
        ONE(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
