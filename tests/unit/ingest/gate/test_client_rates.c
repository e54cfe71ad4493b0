/* A client id has one rate, through whatever it sends; the table is bounded and lenient. */
#include "tests/support/cmocka_first.h"

#include "ingest/gate/client_rates.c"

#include "core/base/clock.h"

#include <stdio.h>

static struct client_rates rates;
static uint64_t retry_ns;

static bool take(const char *client, double per_second, uint64_t now_ns) {
    return client_rates_take(&rates, span_text(client), per_second, now_ns, &retry_ns);
}

static void test_one_rate_for_an_id(void **state) {
    (void)state;
    client_rates_init(&rates);
    unsigned passed = 0;
    for (unsigned i = 0; i < 400; i++)
        passed += take("ctill", 10, NS_PER_S);
    assert_int_equal(passed, 10);
    assert_true(retry_ns > 0 && retry_ns <= NS_PER_S / 10);
    assert_true(take("cother", 10, NS_PER_S));
    assert_false(take("ctill", 10, NS_PER_S));
    assert_true(take("ctill", 10, 2 * NS_PER_S));
    for (unsigned i = 0; i < 100; i++)
        assert_true(take("cfree", 0, NS_PER_S));
    client_rates_fini(&rates);
}

/* More clients than places: nobody is refused for that, and a place that is free again is used. */
static void test_a_full_table(void **state) {
    (void)state;
    char client[16];
    client_rates_init(&rates);
    for (unsigned i = 0; i < 2 * CLIENT_RATES; i++) {
        snprintf(client, sizeof client, "c%u", i);
        assert_true(take(client, 1, NS_PER_S));
    }
    unsigned limited = 0;
    for (unsigned i = 0; i < 2 * CLIENT_RATES; i++) {
        snprintf(client, sizeof client, "c%u", i);
        limited += !take(client, 1, NS_PER_S);
    }
    assert_true(limited > 0 && limited <= CLIENT_RATES);
    client_rates_fini(&rates);
}

int main(void) {
    hash_init(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_rate_for_an_id),
        cmocka_unit_test(test_a_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
