/* test_cli_audit.c - a ledger that balances passes, one that is off by a single copy does not. */
#include "main/cli/cli_audit.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGE(made, sent, waiting, expired, too_slow)                                               \
    "{\"made\":" #made ",\"sent\":" #sent ",\"waiting\":" #waiting                                 \
    ",\"dropped\":{\"expired\":" #expired ",\"too_slow\":" #too_slow "}}"
#define ACKS(accepted, acked, pending, expired, withdrawn)                                         \
    "{\"accepted\":" #accepted ",\"acked\":" #acked ",\"expired\":" #expired                       \
    ",\"pending\":" #pending ",\"dropped\":{\"withdrawn\":" #withdrawn "}}"
#define LEDGER(normal, flighty) "\"ledger\":{\"default\":" normal ",\"volatile\":" flighty "}"
#define STATS(worker_0, worker_1, node)                                                            \
    "{\"node\":\"n\",\"workers\":[{\"worker\":0," worker_0 "},{\"worker\":1," worker_1 "}]," node  \
    "}"
#define NOTHING PAGE(0, 0, 0, 0, 0)

static struct audit audit;

/* Reads; what was said comes back, to be freed. */
static char *read_stats(const char *stats, const char **problem) {
    char *said = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&said, &len);
    *problem = audit_read(&audit, span_text(stats), out);
    fclose(out);
    return said;
}

static void check(const char *stats, unsigned wrong, const char *wanted) {
    const char *problem;
    char *said = read_stats(stats, &problem);
    assert_null(problem);
    assert_int_equal(audit.wrong, wrong);
    assert_string_equal(said, wanted);
    free(said);
}

static void check_unreadable(const char *stats) {
    const char *problem;
    free(read_stats(stats, &problem));
    assert_non_null(problem);
}

#define QUEUE(deliveries, acknowledged, held)                                                      \
    "{\"queue\":\"q\",\"deliveries\":" #deliveries ",\"acknowledged\":" #acknowledged              \
    ",\"refused\":1,\"rejected\":2,\"abandoned\":3,\"held\":" #held ",\"under_way\":4}"
#define WITH(queues)                                                                               \
    "{\"workers\":[{" LEDGER(NOTHING, NOTHING) "}]," LEDGER(NOTHING,                               \
                                                            NOTHING) ",\"queues\":" queues "}"

static void test_queues(void **state) {
    (void)state;
    check(WITH("[" QUEUE(20, 5, 5) "," QUEUE(10, 0, 0) "]"), 0, "");
    assert_int_equal(audit.queues, 2);
    assert_int_equal(audit.deliveries, 30);
    check(WITH("[" QUEUE(20, 5, 5) "," QUEUE(21, 5, 5) "]"), 1,
          "queue 1: deliveries 21, but what has become of them is 20\n");
    check(WITH("[]"), 0, "");
    check_unreadable(WITH("[{}]"));
    check_unreadable(WITH("[" QUEUE(-1, 5, 5) "]"));
    check_unreadable(WITH("[" QUEUE(1, "x", 5) "]"));
}

static void test_balanced(void **state) {
    (void)state;
    check(STATS(LEDGER(PAGE(10, 6, 1, 2, 1), PAGE(3, 0, 0, 0, 3)), LEDGER(NOTHING, NOTHING),
                LEDGER(PAGE(10, 6, 1, 2, 1), PAGE(3, 0, 0, 0, 3))),
          0, "");
    assert_int_equal(audit.workers, 2);
    check(STATS(LEDGER(PAGE(18446744073709551615, 18446744073709551614, 1, 0, 0), NOTHING),
                LEDGER(NOTHING, NOTHING),
                LEDGER(PAGE(18446744073709551615, 18446744073709551614, 1, 0, 0), NOTHING)),
          0, "");
}

static void test_off_by_one(void **state) {
    (void)state;
    check(STATS(LEDGER(PAGE(5, 5, 0, 0, 0), NOTHING), LEDGER(PAGE(10, 6, 1, 1, 1), NOTHING),
                LEDGER(PAGE(15, 11, 1, 1, 1), NOTHING)),
          1, "worker 1, default: made 10, but sent 6 + waiting 1 + dropped 2 = 9\n");
    check(STATS(LEDGER(NOTHING, PAGE(0, 1, 0, 0, 0)), LEDGER(NOTHING, NOTHING),
                LEDGER(NOTHING, PAGE(0, 1, 0, 0, 0))),
          1, "worker 0, volatile: made 0, but sent 1 + waiting 0 + dropped 0 = 1\n");
    /* Two workers whose errors hide each other in the total are found all the same. */
    check(STATS(LEDGER(PAGE(5, 4, 0, 0, 0), NOTHING), LEDGER(PAGE(5, 6, 0, 0, 0), NOTHING),
                LEDGER(PAGE(10, 10, 0, 0, 0), NOTHING)),
          2,
          "worker 0, default: made 5, but sent 4 + waiting 0 + dropped 0 = 4\n"
          "worker 1, default: made 5, but sent 6 + waiting 0 + dropped 0 = 6\n");
}

/* 2^63-1 twice and 2 are 0 if they are added up without care. */
static void test_sums_do_not_wrap(void **state) {
    (void)state;
    check(STATS(LEDGER(PAGE(0, 9223372036854775807, 9223372036854775807, 2, 0), NOTHING),
                LEDGER(NOTHING, NOTHING),
                LEDGER(PAGE(0, 9223372036854775807, 9223372036854775807, 2, 0), NOTHING)),
          1,
          "worker 0, default: made 0, but the copies sent, waiting and dropped are more than can "
          "be counted\n");
    check(STATS(LEDGER(PAGE(5, 5, 0, 18446744073709551615, 1), NOTHING), LEDGER(NOTHING, NOTHING),
                LEDGER(PAGE(5, 5, 0, 18446744073709551615, 1), NOTHING)),
          1,
          "worker 0, default: made 5, but the copies sent, waiting and dropped are more than can "
          "be counted\n");
    check(STATS(LEDGER(PAGE(18446744073709551615, 18446744073709551615, 0, 0, 0), NOTHING),
                LEDGER(PAGE(2, 2, 0, 0, 0), NOTHING), LEDGER(PAGE(1, 1, 0, 0, 0), NOTHING)),
          1, "default: the node's total is not the sum of its workers\n");
}

static void test_total_differs(void **state) {
    (void)state;
    check(STATS(LEDGER(PAGE(5, 5, 0, 0, 0), NOTHING), LEDGER(PAGE(2, 1, 0, 0, 1), NOTHING),
                LEDGER(PAGE(7, 6, 0, 1, 0), NOTHING)),
          1, "default: the node's total is not the sum of its workers\n");
}

/* Messages that are to be acknowledged are counted by other words. */
static void test_acknowledged(void **state) {
    (void)state;
    check(STATS(LEDGER(NOTHING, ACKS(10, 4, 3, 2, 1)), LEDGER(NOTHING, ACKS(0, 0, 0, 0, 0)),
                LEDGER(NOTHING, ACKS(10, 4, 3, 2, 1))),
          0, "");
    check(STATS(LEDGER(NOTHING, ACKS(10, 4, 3, 1, 1)), LEDGER(NOTHING, ACKS(0, 0, 0, 0, 0)),
                LEDGER(NOTHING, ACKS(10, 4, 3, 1, 1))),
          1,
          "worker 0, volatile: accepted 10, but acked 4 + pending 3 + expired 1 + dropped 1 = 9\n");
    check(STATS(LEDGER(NOTHING, ACKS(10, 18446744073709551615, 1, 0, 0)),
                LEDGER(NOTHING, ACKS(0, 0, 0, 0, 0)),
                LEDGER(NOTHING, ACKS(10, 18446744073709551615, 1, 0, 0))),
          1,
          "worker 0, volatile: accepted 10, but the messages acked, pending, expired and dropped "
          "are more than can be counted\n");
    /* Of one class there are either messages or copies. */
    check_unreadable(STATS(LEDGER(NOTHING, ACKS(0, 0, 0, 0, 0)), LEDGER(NOTHING, NOTHING),
                           LEDGER(NOTHING, NOTHING)));
    check_unreadable("{\"ledger\":{\"ack\":{\"accepted\":1,\"acked\":1,\"pending\":0,"
                     "\"dropped\":{}}},\"workers\":[]}");
}

static void check_printed(const char *wanted) {
    char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);
    audit_print(&audit, out);
    fclose(out);
    assert_string_equal(printed, wanted);
    free(printed);
}

/* A newer node has more classes and reasons. */
static void test_unknown_words(void **state) {
    static const char stats[] =
        "{\"ledger\":{\"default\":" NOTHING ",\"other\":{\"made\":2,\"sent\":1,\"waiting\":0,"
        "\"dropped\":{\"lost_by_store\":1}}},\"workers\":[{\"ledger\":{\"other\":{\"made\":2,"
        "\"sent\":1,\"waiting\":0,\"dropped\":{\"lost_by_store\":1}},\"default\":" NOTHING "}}]}";
    (void)state;
    check(stats, 0, "");
    check_printed("COPIES           DEFAULT  OTHER\n"
                  "made                   0      2\n"
                  "sent                   0      1\n"
                  "waiting                0      0\n"
                  "dropped                0      1\n"
                  "  lost_by_store        0      1\n"
                  "\n"
                  "balanced: made = sent + waiting + dropped in each of 1 workers\n");
}

/* Copies and messages have tables and words of their own. */
static void test_tables(void **state) {
#define BOTH "\"ledger\":{\"ack\":" ACKS(9, 4, 3, 1, 1) ",\"default\":" PAGE(4, 1, 1, 2, 0) "}"
    (void)state;
    check("{" BOTH ",\"workers\":[{" BOTH "}]}", 0, "");
    check_printed("COPIES     DEFAULT\n"
                  "made             4\n"
                  "sent             1\n"
                  "waiting          1\n"
                  "dropped          2\n"
                  "  expired        2\n"
                  "\n"
                  "MESSAGES     ACK\n"
                  "accepted       9\n"
                  "acked          4\n"
                  "pending        3\n"
                  "expired        1\n"
                  "dropped        1\n"
                  "  withdrawn    1\n"
                  "\n"
                  "balanced: made = sent + waiting + dropped, accepted = acked + pending + expired "
                  "+ dropped in each of 1 workers\n");
    /* Nothing is said of what is not there, nor of what is not so. */
    static const char other[] = "\"ledger\":{\"ack\":" ACKS(1, 0, 0, 0, 0) "}";
    char stats[512];
    snprintf(stats, sizeof(stats), "{%s,\"workers\":[{%s}]}", other, other);
    check(stats, 1,
          "worker 0, ack: accepted 1, but acked 0 + pending 0 + expired 0 + dropped 0 = "
          "0\n");
    check_printed("MESSAGES  ACK\n"
                  "accepted    1\n"
                  "acked       0\n"
                  "pending     0\n"
                  "expired     0\n"
                  "dropped     0\n");
}

static void test_unreadable(void **state) {
    (void)state;
    check_unreadable("{}");
    check_unreadable("{\"ledger\":{},\"workers\":[]}");
    check_unreadable("{" LEDGER(NOTHING, NOTHING) ",\"workers\":[]}");
    check_unreadable("{" LEDGER(NOTHING, NOTHING) ",\"workers\":[{}]}");
    check_unreadable("{" LEDGER(NOTHING, NOTHING) ",\"workers\":[{\"ledger\":null}]}");
    check_unreadable("{" LEDGER(NOTHING, NOTHING) ",\"workers\":7}");
    check_unreadable("{" LEDGER(PAGE(-1, 0, 0, 0, 0), NOTHING) ",\"workers\":[]}");
    static const char *const pages[] = {
        "7",
        "\"made\"",
        "{\"made\":1,\"sent\":1,\"waiting\":0}",
        "{\"made\":1.5,\"sent\":1}",
        "{\"made\":\"1\",\"sent\":1,\"waiting\":0,\"dropped\":{}}",
        "{\"made\":1,\"sent\":1,\"waiting\":0,\"dropped\":{\"\\u001b[2J\":0}}",
        "{\"made\":1,\"sent\":1,\"waiting\":0,\"dropped\":{\"a_word_without_any_end_to_it\":0}}",
        "{\"made\":1,\"sent\":1,\"waiting\":0,\"dropped\":{\"gone\":99999999999999999999999}}"};
    for (unsigned n = 0; n < sizeof(pages) / sizeof(pages[0]); n++) {
        char stats[512];
        snprintf(stats, sizeof(stats),
                 "{\"ledger\":{\"default\":%s},\"workers\":[{\"ledger\":{\"default\":%s}}]}",
                 pages[n], pages[n]);
        check_unreadable(stats);
    }
}

/* More classes and reasons than there is room for are refused, not written over. */
static void test_too_many_words(void **state) {
    char stats[8192];
    (void)state;
    for (unsigned classes = CLASSES_MAX; classes <= CLASSES_MAX + 1; classes++) {
        size_t len = (size_t)snprintf(stats, sizeof(stats), "{\"ledger\":{");
        for (unsigned n = 0; n < classes; n++)
            len += (size_t)snprintf(stats + len, sizeof(stats) - len, "%s\"c%u\":" NOTHING,
                                    n == 0 ? "" : ",", n);
        snprintf(stats + len, sizeof(stats) - len, "},\"workers\":[{\"ledger\":{\"c0\":%s}}]}",
                 NOTHING);
        if (classes <= CLASSES_MAX)
            check(stats, 0, "");
        else
            check_unreadable(stats);
    }
    for (unsigned reasons = REASONS_MAX; reasons <= REASONS_MAX + 1; reasons++) {
        char page[2048];
        size_t len = (size_t)snprintf(page, sizeof(page),
                                      "{\"made\":0,\"sent\":0,\"waiting\":0,\"dropped\":{");
        for (unsigned n = 0; n < reasons; n++)
            len += (size_t)snprintf(page + len, sizeof(page) - len, "%s\"r%u\":0",
                                    n == 0 ? "" : ",", n);
        snprintf(page + len, sizeof(page) - len, "}}");
        snprintf(stats, sizeof(stats),
                 "{\"ledger\":{\"default\":%s},\"workers\":[{\"ledger\":{\"default\":%s}}]}", page,
                 page);
        if (reasons <= REASONS_MAX)
            check(stats, 0, "");
        else
            check_unreadable(stats);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balanced),      cmocka_unit_test(test_queues),
        cmocka_unit_test(test_off_by_one),    cmocka_unit_test(test_sums_do_not_wrap),
        cmocka_unit_test(test_total_differs), cmocka_unit_test(test_acknowledged),
        cmocka_unit_test(test_tables),        cmocka_unit_test(test_unknown_words),
        cmocka_unit_test(test_unreadable),    cmocka_unit_test(test_too_many_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
