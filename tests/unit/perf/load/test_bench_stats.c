/* How the load tool reads what a node has counted. */
#include "perf/load/bench_stats.c"

#include "tests/support/cmocka_first.h"

static struct bench_stats stats;

static void totals_and_workers(void **state) {
    (void)state;
    assert_true(stats_parse(
        "{\"node\":\"n\",\"totals\":{\"connections\":9,\"connections_refused\":7,\"unicasts\":30,"
        "\"unicast_mails\":44,\"outbox_bytes\":0},\"workers\":["
        "{\"worker\":0,\"sessions\":5,\"accepted\":8,\"unicasts\":10,\"unicast_mails\":4},"
        "{\"worker\":1,\"sessions\":6,\"accepted\":9,\"unicasts\":20,\"unicast_mails\":40}],"
        "\"redis\":null}",
        &stats));
    assert_int_equal(stats.workers, 2);
    assert_int_equal(stats.unicast_mails, 44);
    assert_int_equal(stats.connections_refused, 7);
    assert_int_equal(stats.unicasts[0], 10);
    assert_int_equal(stats.unicasts[1], 20);
    assert_int_equal(stats.sessions[0], 5);
    assert_int_equal(stats.sessions[1], 6);
    assert_int_equal(stats.accepted[1], 9);
}

static void the_ledger_of_acknowledged_messages(void **state) {
    (void)state;
#define WORKER(n, acked)                                                                           \
    "{\"worker\":" #n ",\"sessions\":5,\"accepted\":8,\"unicasts\":10,\"ledger\":{\"ack\":{"       \
    "\"accepted\":20,\"acked\":" #acked ",\"expired\":2,\"pending\":3,\"dropped\":{"               \
    "\"withdrawn\":5}},\"default\":{\"made\":9}}}"
    assert_true(stats_parse("{\"unicast_mails\":1,\"connections_refused\":0,\"workers\":[" WORKER(
                                0, 10) "," WORKER(1, 11) "],\"ledger\":{\"ack\":{\"accepted\":40,"
                                                         "\"acked\":21}}}",
                            &stats));
#undef WORKER
    assert_int_equal(stats.ack_accepted, 40);
    assert_int_equal(stats.ack_acked, 21);
    assert_int_equal(stats.ack_expired, 4);
    assert_int_equal(stats.ack_pending, 6);
    assert_int_equal(stats.ack_dropped, 10);
}

static void something_else(void **state) {
    (void)state;
    assert_false(stats_parse("", &stats));
    assert_false(stats_parse("{\"unicast_mails\":1,\"connections_refused\":0}", &stats));
    assert_false(stats_parse("{\"unicast_mails\":,\"connections_refused\":0,"
                             "\"workers\":[{\"worker\":0,\"unicasts\":1}]}",
                             &stats));
    assert_false(stats_parse("{\"unicast_mails\":1,\"connections_refused\":0,"
                             "\"workers\":[{\"worker\":0}]}",
                             &stats));
}

static void more_workers_than_there_can_be(void **state) {
    (void)state;
    static char text[8192];
    size_t len = (size_t)snprintf(text, sizeof text,
                                  "{\"unicast_mails\":1,\"connections_refused\":0,\"workers\":[");
    for (unsigned i = 0; i <= BENCH_WORKERS_MAX; i++) {
        char *end = text + len;
        len += (size_t)snprintf(end, sizeof text - len,
                                "{\"worker\":%u,\"sessions\":1,"
                                "\"accepted\":1,\"unicasts\":%u},",
                                i, i);
        if (i == BENCH_WORKERS_MAX - 1)
            assert_true(stats_parse(text, &stats));
    }
    assert_false(stats_parse(text, &stats));
}

static void the_largest_of_a_metric_or_their_sum(void **state) {
    (void)state;
    static const char page[] = "# TYPE turn_seconds gauge\n"
                               "turn_seconds{worker=\"0\"} 0.0021\n"
                               "turn_seconds{worker=\"1\"} 0.0350\n"
                               "turn_seconds_total 9\n"
                               "other 7\n";
    assert_true(metric_fold(page, "turn_seconds", false) == 0.0350);
    assert_true(metric_fold(page, "other", false) == 7);
    assert_true(metric_fold(page, "turn", false) == -1);
    double sum = metric_fold(page, "turn_seconds", true);
    assert_true(sum > 0.0370 && sum < 0.0372);
    assert_true(metric_fold(page, "other", true) == 7);
    assert_true(metric_fold(page, "turn", true) == -1);
    assert_true(metric_fold("", "other", false) == -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_and_workers),
        cmocka_unit_test(the_ledger_of_acknowledged_messages),
        cmocka_unit_test(something_else),
        cmocka_unit_test(the_largest_of_a_metric_or_their_sum),
        cmocka_unit_test(more_workers_than_there_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
