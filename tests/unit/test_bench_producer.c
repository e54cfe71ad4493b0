/* Which connection sends which message to whom, and when. */
#include "main/bench_producer.c"

#include "tests/support/cmocka_first.h"

#define CONNECTIONS 4u
#define ADDRESSES 30u

static struct bench_producer list[CONNECTIONS];
static struct bench_share share = {.addresses = ADDRESSES};
static struct bench_producers producers;
static uint32_t sent[ADDRESSES];

static void fresh(uint64_t messages) {
    memset(list, 0, sizeof list);
    memset(sent, 0, sizeof sent);
    producers = (struct bench_producers){
        .share = &share, .list = list, .lanes = CONNECTIONS, .options.connections = CONNECTIONS};
    producers.push = (struct bench_push){.rate = 1000, .messages = messages, .end_ns = UINT64_MAX};
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        list[i].number = list[i].lane = i;
        producer_walk(&list[i], (ADDRESSES - i + CONNECTIONS - 1) / CONNECTIONS);
    }
}

/* Sends everything, and checks that message n is due at the n-th millisecond. */
static void run(uint64_t messages) {
    uint64_t due = 0;
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        for (uint64_t n = 0; producer_has_more(&producers, &list[i]); n = ++list[i].next) {
            assert_int_equal(message_due_ns(&producers, &list[i], n) % NS_PER_MS, 0);
            due += message_due_ns(&producers, &list[i], n) / NS_PER_MS;
            sent[producer_address(&producers, &list[i], n)]++;
        }
    assert_int_equal(due, messages * (messages - 1) / 2);
}

static void all_addresses_in_turn(void **state) {
    (void)state;
    fresh(ADDRESSES);
    run(ADDRESSES);
    for (uint32_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(sent[i], 1);
}

static void only_what_was_assigned(void **state) {
    (void)state;
    static const uint32_t one[] = {7}, three[] = {2, 29, 11};
    fresh(12);
    bench_producers_assign(&producers, 0, NULL, 0);
    bench_producers_assign(&producers, 1, one, 1);
    bench_producers_assign(&producers, 2, NULL, 0);
    bench_producers_assign(&producers, 3, three, 3);
    assert_int_equal(producers.lanes, 2);
    run(12);
    for (uint32_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(sent[i], i == 7 ? 6 : i == 2 || i == 29 || i == 11 ? 2 : 0);
}

static void a_silent_connection_has_nothing_due(void **state) {
    (void)state;
    fresh(12);
    bench_producers_assign(&producers, 1, NULL, 0);
    assert_false(producer_has_more(&producers, &list[1]));
    assert_int_equal(producer_due(&producers, &list[1], UINT64_MAX - 1), 0);
    producers.push.rate = 0; /* closed-loop */
    assert_int_equal(producer_due(&producers, &list[1], 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_addresses_in_turn),
        cmocka_unit_test(only_what_was_assigned),
        cmocka_unit_test(a_silent_connection_has_nothing_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
