/* What a publish may ask of ports, and how long: credit, room, time, and answers that come when
 * nobody waits for them any more. The hub is a fake that notes who goes on. */
#include "tests/support/cmocka_first.h"

#include "core/hub.h"

static struct publish *fake_publish_of(struct endpoint *endpoint, uint64_t token);
static void fake_give_up(struct endpoint *endpoint, struct publish *publish, unsigned answers);

#define publish_of fake_publish_of
#define hub_give_up fake_give_up
#include "core/port_wait.c"

#define PORTS 4
#define SLOTS 64
#define REQUESTS_MAX (SLOTS / 2)
#define CREDIT (REQUESTS_MAX / 4)

static struct server server;
static struct endpoint endpoint; /* the only worker */
static struct publish publishes[REQUESTS_MAX];
static unsigned given_up, answers_given_up;
static struct publish *again; /* one that is published when another has been given up */

static struct publish *fake_publish_of(struct endpoint *at, uint64_t token) {
    assert_ptr_equal(at, &endpoint);
    return token == 0 ? NULL : &publishes[token - 1];
}

static void fake_give_up(struct endpoint *at, struct publish *publish, unsigned answers) {
    assert_ptr_equal(at, &endpoint);
    assert_null(publish->port_wait);
    given_up++;
    answers_given_up += answers;
    if (again != NULL)
        assert_true(port_waits_begin(&endpoint, again, 2) == 0);
    again = NULL;
}

/* The set of a port. */
static uint64_t port(unsigned number) {
    return UINT64_C(2) << number;
}

static int setup(void **state) {
    (void)state;
    post_slots_override = SLOTS;
    memset(&server, 0, sizeof(server));
    memset(&endpoint, 0, sizeof(endpoint));
    memset(publishes, 0, sizeof(publishes));
    given_up = answers_given_up = 0;
    server.worker_count = 1;
    assert_true(post_init(&server.post, 1 + PORTS));
    endpoint.server = &server;
    endpoint.is_worker = true;
    endpoint.now_ns = NS_PER_S;
    endpoint.slice_until_ns = UINT64_MAX;
    wheel_init(&endpoint.wheel, endpoint.now_ns);
    port_waits_init(&endpoint.port_waits);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    post_fini(&server.post);
    post_slots_override = 0;
    return 0;
}

static uint64_t begin(unsigned publish, uint64_t ports) {
    publishes[publish] = (struct publish){.slot = publish + 1};
    return port_waits_begin(&endpoint, &publishes[publish], ports);
}

static bool answered(unsigned number, unsigned publish) {
    return port_waits_answered(&endpoint, 1 + number, publish + 1);
}

static void pass(uint64_t ns) {
    endpoint.now_ns += ns;
    wheel_advance(&endpoint.wheel, &endpoint, endpoint.now_ns);
}

static void over(void) {
    pass(PORT_ANSWER_NS + TIMER_TICK_NS);
    port_waits_fini(&endpoint.port_waits);
}

static void test_answers(void **state) {
    (void)state;
    assert_true(begin(0, port(0) | port(1)) == (port(0) | port(1)));
    assert_false(publishes[0].unavailable);
    assert_non_null(publishes[0].port_wait);
    assert_true(answered(1, 0));
    assert_non_null(publishes[0].port_wait);
    assert_true(answered(0, 0));
    assert_null(publishes[0].port_wait);
    assert_int_equal(endpoint.port_waits.count, 0);
    over();
    assert_int_equal(given_up, 0);
    assert_int_equal(stats_get(&endpoint.stats.ports_late), 0);
}

static void test_time(void **state) {
    (void)state;
    begin(0, port(0) | port(1));
    pass(PORT_ANSWER_NS / 2);
    begin(1, port(0));
    assert_true(answered(1, 0));
    pass(PORT_ANSWER_NS / 2 - TIMER_TICK_NS);
    assert_int_equal(given_up, 0);
    pass(2 * TIMER_TICK_NS);
    assert_int_equal(given_up, 1);
    assert_int_equal(answers_given_up, 1);
    /* It comes after all, for a publish that waits for no port; then for one that is over. */
    assert_false(answered(0, 0));
    assert_true(answered(0, 1));
    begin(2, port(0));
    assert_false(port_waits_answered(&endpoint, 1, 0));
    over();
    assert_int_equal(given_up, 2);
    assert_int_equal(stats_get(&endpoint.stats.ports_late), 2);
}

/* Whoever is told may publish at once, to a port that owes too much still. */
static void test_goes_on(void **state) {
    (void)state;
    for (unsigned i = 0; i < CREDIT; i++)
        assert_true(begin(i, port(0)) == port(0));
    struct publish next = {.slot = 1};
    again = &next;
    over();
    assert_null(again);
    assert_true(next.unavailable);
    assert_int_equal(given_up, CREDIT);
}

static void test_credit(void **state) {
    (void)state;
    for (unsigned i = 0; i < CREDIT; i++)
        assert_true(begin(i, port(0)) == port(0));
    /* That one is passed over, and no other. */
    assert_true(begin(CREDIT, port(0) | port(1)) == port(1));
    assert_true(publishes[CREDIT].unavailable);
    assert_int_equal(stats_get(&endpoint.stats.ports_refused), 1);
    pass(PORT_ANSWER_NS + TIMER_TICK_NS);
    assert_int_equal(given_up, CREDIT + 1);
    /* Time gives no credit back, an answer does, late or not. */
    assert_true(begin(0, port(0)) == 0);
    assert_null(publishes[0].port_wait);
    assert_false(answered(0, 3));
    assert_true(begin(0, port(0)) == port(0));
    assert_true(begin(1, port(0)) == 0);
    over();
}

static void test_half_for_all(void **state) {
    (void)state;
    for (unsigned i = 0; i < REQUESTS_MAX / 2; i++)
        assert_true(begin(i, port(i % 3)) == port(i % 3));
    assert_true(begin(REQUESTS_MAX / 2, port(3) | port(2)) == 0);
    assert_int_equal(stats_get(&endpoint.stats.ports_refused), 2);
    assert_true(answered(0, 0));
    assert_true(begin(0, port(3)) == port(3));
    over();
}

static void test_room(void **state) {
    (void)state;
    while (post_room(&server.post, 0, 1))
        post_send(&endpoint, 1, &(struct mail){.kind = MAIL_RETURN});
    assert_true(begin(0, port(0)) == 0);
    assert_true(publishes[0].unavailable);
    assert_true(begin(1, port(0) | port(2)) == port(2));
    assert_true(answered(2, 1));
    over();
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_answers), ONE(test_time),         ONE(test_goes_on),
        ONE(test_credit),  ONE(test_half_for_all), ONE(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
