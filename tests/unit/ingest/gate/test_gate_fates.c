/* Messages that are to be acknowledged, at the gate: their fates are there before the hub has them,
 * and their ids are known for as long as it takes. */
#include "tests/support/cmocka_first.h"

#include "tests/support/fake_hub.h"

#define PAY "{\"to\":\"till\",\"id\":\"m\",\"ack\":true,\"data\":1}"
#define OTHER "{\"to\":\"till\",\"id\":\"m\",\"ack\":true,\"data\":2}"

static struct fates *const fates = &server.fates;

/* A keeper settles an address of the oldest that is under way, or of the fate that was found. */
static void settle(struct fate *fate, uint32_t address, enum fate_state state) {
    fates_settle(fates, fate, address, state,
                 state == FATE_DROPPED ? FATE_REASON_WITHDRAWN : FATE_REASON_NONE,
                 workers[0].now_ns);
}

static struct fate *fate_of(const char *id) {
    struct fate *fate = fates_find(fates, span_text(id));
    if (fate != NULL)
        fates_release(fates, fate);
    return fate;
}

static void later(uint64_t ns) {
    for (unsigned i = 0; i < WORKERS; i++)
        workers[i].now_ns += ns;
}

static uint64_t counted(enum result_word state) {
    uint64_t count = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        count += stats_get(&workers[i].stats.results[CLASS_ACK][state]);
    return count;
}

static void test_taken(void **state) {
    (void)state;
    begin();
    publish(0, PAY, 0);
    assert_non_null(messages[0]->fate);
    assert_null(fate_of("m")); /* not yet */
    answer(0, RESULT_QUEUED, 2);
    expect(0, RESULT_QUEUED, 202);
    assert_string_equal(told[0].json,
                        "{\"status\":202,\"id\":\"m\",\"state\":\"queued\",\"recipients\":2}");
    assert_true(told[0].has_fate);
    assert_int_equal(counted(RESULT_QUEUED), 1);
    assert_non_null(fate_of("m"));
    /* An id that the node made. */
    publish(0, "{\"to\":\"till\",\"ack\":true}", 1);
    answer(0, RESULT_STORED, 0);
    expect(1, RESULT_STORED, 202);
    assert_non_null(fate_of(told[1].id));
    assert_int_equal(fates_count(fates), 2);
    finish();
}

/* It is not remembered: whoever gives it pushes another message. */
static void test_an_id_that_the_node_made(void **state) {
    (void)state;
    char json[2][200];
    begin();
    publish(0, "{\"to\":\"till\",\"ack\":true,\"data\":1}", 0);
    answer(0, RESULT_STORED, 0);
    for (unsigned i = 0; i < 2; i++)
        snprintf(json[i], sizeof json[i], "{\"to\":\"till\",\"id\":\"%s\",%s\"data\":1}",
                 told[0].id, i == 0 ? "" : "\"ack\":true,");
    struct fate *made = fate_of(told[0].id);
    publish(0, json[0], 1); /* of another class */
    answer(0, RESULT_ABSENT, 0);
    expect(1, RESULT_ABSENT, 404);
    publish(0, json[1], 2);
    answer(0, RESULT_QUEUED, 1);
    expect(2, RESULT_QUEUED, 202);
    assert_ptr_not_equal(fate_of(told[0].id), made);
    /* From now on it is one that a producer gave. */
    publish(0, json[1], 3);
    expect(3, RESULT_DUPLICATE, 200);
    publish(0, json[0], 4);
    expect(4, RESULT_ID_REUSED, 409);
    assert_int_equal(fates_count(fates), 2);
    finish();
}

static void test_refused_leaves_no_trace(void **state) {
    (void)state;
    begin();
    publish(0, PAY, 0);
    answer(0, RESULT_OVERLOADED, 0);
    expect(0, RESULT_OVERLOADED, 503);
    assert_false(told[0].has_fate);
    assert_int_equal(fates_count(fates), 0);
    publish(0, "{\"to\":\"till\",\"ack\":true}", 1);
    answer(0, RESULT_OVERLOADED, 0);
    assert_int_equal(fates_count(fates), 0);
    /* The id is free, for others too. */
    publish(0, OTHER, 2);
    answer(0, RESULT_QUEUED, 1);
    expect(2, RESULT_QUEUED, 202);
    finish();
}

/* Room for messages and ids, but none for a fate. */
static void test_no_memory_for_the_fate(void **state) {
    (void)state;
    begin();
    publish(0, "{\"to\":\"x\",\"id\":\"a\",\"data\":1}", 0);
    publish(0, "{\"to\":\"x\",\"id\":\"b\",\"data\":1}", 1);
    answer(0, RESULT_QUEUED, 1);
    answer(0, RESULT_QUEUED, 1);
    server.budget.ceiling_bytes = 0;
    publish(0, PAY, 2);
    expect(2, RESULT_OVERLOADED, 503);
    assert_int_equal(under_way_count, 0);
    assert_int_equal(stats_get(&workers[0].stats.memory_refused), 1);
    assert_int_equal(fates_count(fates), 0);
    /* What was remembered gave way first, in vain; the refused id is free. */
    assert_int_equal(dedup_count(&gate.dedup), 0);
    server.budget.ceiling_bytes = 1 << 24;
    publish(0, PAY, 3);
    answer(0, RESULT_QUEUED, 1);
    expect(3, RESULT_QUEUED, 202);
    finish();
}

static void test_duplicates_tell_the_fate(void **state) {
    (void)state;
    begin();
    publish(0, PAY, 0);
    answer(0, RESULT_STORED, 0);
    publish(1, PAY, 1);
    expect(1, RESULT_DUPLICATE, 200);
    assert_string_equal(told[1].json,
                        "{\"status\":200,\"id\":\"m\",\"state\":\"duplicate\",\"recipients\":0,"
                        "\"first\":{\"id\":\"m\",\"state\":\"stored\",\"recipients\":0},"
                        "\"now\":\"pending\"}");
    /* It is not settled when the window of the table is over. */
    later(200 * NS_PER_S);
    publish(1, PAY, 2);
    expect(2, RESULT_DUPLICATE, 200);
    publish(1, OTHER, 3);
    expect(3, RESULT_ID_REUSED, 409);
    /* Nor may another class have it, or one who waited for the first. */
    publish(1, "{\"to\":\"till\",\"id\":\"m\",\"data\":1}", 4);
    expect(4, RESULT_ID_REUSED, 409);
    assert_int_equal(dedup_count(&gate.dedup), 0);
    settle(fate_of("m"), 0, FATE_EXPIRED);
    later(99 * NS_PER_S);
    publish(0, PAY, 5);
    expect(5, RESULT_DUPLICATE, 200);
    assert_non_null(strstr(told[5].json, "\"first\":{\"id\":\"m\",\"state\":\"stored\","));
    assert_non_null(strstr(told[5].json, "\"now\":\"expired\""));
    later(1 * NS_PER_S);
    publish(0, "{\"to\":\"till\",\"id\":\"m\",\"data\":1}", 6);
    answer(0, RESULT_QUEUED, 1);
    expect(6, RESULT_QUEUED, 202);
    /* And the other way round. */
    publish(0, PAY, 7);
    expect(7, RESULT_ID_REUSED, 409);
    assert_non_null(fate_of("m"));
    finish();
}

static void test_scopes_apart(void **state) {
    (void)state;
    begin();
    publish(0, PAY, 0);
    answer(0, RESULT_QUEUED, 1);
    publish_as(0, "ctill", PAY, false, 1);
    answer(0, RESULT_QUEUED, 1);
    later(200 * NS_PER_S);
    publish_as(0, "ctill", PAY, false, 2);
    expect(2, RESULT_DUPLICATE, 200);
    publish_as(0, "csafe", PAY, false, 3);
    answer(0, RESULT_QUEUED, 1);
    expect(3, RESULT_QUEUED, 202);
    assert_int_equal(fates_count(fates), 3);
    finish();
}

/* Those that waited hear of it; the one that takes the place of the first has a fate of its own. */
static void test_repeats_that_waited(void **state) {
    (void)state;
    begin();
    publish(0, PAY, 0);
    publish(1, PAY, 1);
    publish(1, OTHER, 2);
    assert_int_equal(fates_count(fates), 1);
    answer(0, RESULT_OVERLOADED, 0);
    gate_on_nudged(&workers[1].endpoint);
    assert_int_equal(under_way_count, 1);
    assert_int_equal(fates_count(fates), 1);
    settle(messages[0]->fate, 0, FATE_ACKED); /* before it is told */
    answer(1, RESULT_QUEUED, 1);
    expect(1, RESULT_QUEUED, 202);
    gate_on_nudged(&workers[1].endpoint);
    expect(2, RESULT_ID_REUSED, 409);
    publish(0, PAY, 3);
    expect(3, RESULT_DUPLICATE, 200);
    assert_non_null(strstr(told[3].json, "\"now\":\"acked\""));
    finish();
}

/* The window of the table was over, and two repeats come while a third looks: all hear the fate. */
static void test_promoted_ones_ask_too(void **state) {
    (void)state;
    begin();
    publish(0, "{\"to\":\"x\",\"id\":\"m\",\"data\":1}", 0);
    publish(1, PAY, 1); /* waits */
    /* Another node's, or a store's: it is there when the first is refused. */
    struct message *message = messages[0];
    struct fate *fate;
    struct hash128 content = {7, 7};
    assert_true(fates_open(fates, message, SPAN(""), content, 1));
    fate = message->fate;
    fates_taken(fates, fate, RESULT_QUEUED, 1, workers[0].now_ns);
    fates_release(fates, fate);
    message->fate = NULL;
    answer(0, RESULT_OVERLOADED, 0);
    gate_on_nudged(&workers[1].endpoint);
    assert_int_equal(under_way_count, 0);
    expect(1, RESULT_ID_REUSED, 409);
    finish();
}

static void test_several_addresses(void **state) {
    (void)state;
    begin();
    publish(0, "{\"to\":[\"b\",\"a\"],\"id\":\"m\",\"ack\":true}", 0);
    answer(0, RESULT_QUEUED, 1);
    assert_string_equal(told[0].json,
                        "{\"status\":202,\"id\":\"m\",\"state\":\"queued\",\"recipients\":1,"
                        "\"to\":{\"a\":\"pending\",\"b\":\"pending\"}}");
    settle(fate_of("m"), 0, FATE_ACKED);
    publish(0, "{\"to\":[\"a\",\"b\"],\"id\":\"m\",\"ack\":true}", 1);
    assert_string_equal(told[1].json,
                        "{\"status\":200,\"id\":\"m\",\"state\":\"duplicate\",\"recipients\":0,"
                        "\"first\":{\"id\":\"m\",\"state\":\"queued\",\"recipients\":1},"
                        "\"now\":\"pending\",\"to\":{\"a\":\"acked\",\"b\":\"pending\"}}");
    settle(fate_of("m"), 1, FATE_DROPPED);
    publish(0, "{\"to\":[\"a\",\"b\"],\"id\":\"m\",\"ack\":true}", 2);
    assert_non_null(strstr(told[2].json, "\"now\":\"dropped\",\"reason\":\"withdrawn\","
                                         "\"to\":{\"a\":\"acked\",\"b\":\"dropped\"}}"));
    finish();
}

/* Its answer has room: that much is charged before it is taken. */
static void test_room_for_a_long_answer(void **state) {
    (void)state;
    static char json[100000];
    begin_with(1 << 26, 0);
    struct builder out = builder_over(json, sizeof json - 1);
    builder_text(&out, "{\"ack\":true,\"to\":[");
    for (unsigned i = 0; i < ADDRESSES_PER_MESSAGE_MAX; i++)
        builder_format(&out, "%s\"till-number-%u\"", i == 0 ? "" : ",", i);
    builder_text(&out, "]}");
    json[out.len] = '\0';
    assert_false(out.full);
    struct envelope envelope;
    struct complaint complaint;
    assert_true(envelope_parse(&envelope, gate.contexts[0].room, ENVELOPE_MESSAGE, span_text(json),
                               1000, &complaint));
    uint64_t before = workers[0].account.used_bytes;
    struct pending_publish *pending =
        pending_get(&workers[0].endpoint,
                    &(struct gate_request){.source = &producers[0].source, .envelope = &envelope});
    assert_non_null(pending);
    assert_true(workers[0].account.used_bytes - before > 60000);
    pending_put(&workers[0].endpoint, pending);
    assert_int_equal(workers[0].account.used_bytes, before);
    finish();
}

/* --- waiting --------------------------------------------------------------------------------- */

static unsigned wait_told;

static void on_told(struct endpoint *endpoint, struct fate_wait *wait) {
    assert_int_equal(endpoint->index, 1);
    assert_int_equal(fate_state(wait->fate), FATE_ACKED);
    fates_wait_end(fates, wait);
    wait_told++;
}

static void test_who_waits_is_told(void **state) {
    (void)state;
    begin();
    publish_as(0, "", PAY, true, 0);
    answer(0, RESULT_QUEUED, 1);
    expect(0, RESULT_QUEUED, 202);
    /* Whoever waits counts it. */
    assert_int_equal(counted(RESULT_QUEUED), 0);
    publish_as(0, "", PAY, true, 1);
    assert_int_equal(counted(RESULT_DUPLICATE), 1);
    publish_as(0, "", OTHER, true, 2);
    assert_int_equal(counted(RESULT_ID_REUSED), 1);
    struct fate_wait wait = {.told = on_told};
    struct fate *fate = fate_of("m");
    fates_hold(fates, fate);
    assert_true(fates_wait(fates, &wait, fate, 1));
    settle(fate, 0, FATE_ACKED);
    assert_true(atomic_load(&workers[1].nudged));
    gate_on_nudged(&workers[1].endpoint);
    assert_int_equal(wait_told, 1);
    finish();
}

static void test_results_of_fates(void **state) {
    (void)state;
    static const struct {
        enum fate_state fate;
        enum result_word state;
        unsigned status;
        const char *json;
    } cases[] = {
        {FATE_PENDING, RESULT_PENDING, 202, ",\"state\":\"pending\",\"recipients\":0}"},
        {FATE_ACKED, RESULT_ACKED, 200,
         ",\"state\":\"acked\",\"recipients\":0,\"latency_ms\":1.250}"},
        {FATE_EXPIRED, RESULT_EXPIRED, 410, ",\"state\":\"expired\",\"recipients\":0}"},
        {FATE_DROPPED, RESULT_DROPPED, 202,
         ",\"state\":\"dropped\",\"recipients\":0,\"reason\":\"withdrawn\"}"},
    };
    begin();
    for (unsigned i = 0; i < 4; i++) {
        publish(0, "{\"to\":\"till\",\"ack\":true}", i);
        answer(0, RESULT_QUEUED, 1);
        struct fate *fate = fates_find(fates, span_text(told[i].id));
        if (cases[i].fate != FATE_PENDING)
            settle(fate, 0, cases[i].fate);
        struct gate_result result = gate_result_of_fate(fate);
        assert_int_equal(result.state, cases[i].state);
        assert_int_equal(result.status, cases[i].status);
        result.latency_ns = 1250000;
        char json[GATE_RESULT_BYTES_MAX];
        struct builder out = builder_over(json, sizeof json - 1);
        gate_result_write(&result, false, &out);
        json[out.len] = '\0';
        assert_non_null(strstr(json, cases[i].json));
        fates_release(fates, fate);
    }
    finish();
}

/* --- what is forgotten ----------------------------------------------------------------------- */

static void pass(unsigned worker, uint64_t ns) {
    later(ns);
    wheel_advance(&workers[worker].wheel, &workers[worker].endpoint, workers[worker].now_ns);
}

static void test_sweep(void **state) {
    (void)state;
    begin();
    publish(0, PAY, 0);
    answer(0, RESULT_QUEUED, 1);
    /* The window of the table is the shorter one, and it is kept though a fate is there. */
    pass(0, 102 * NS_PER_S);
    assert_int_equal(dedup_count(&gate.dedup), 0);
    pass(0, 5000 * NS_PER_S);
    assert_int_equal(fates_count(fates), 1);
    settle(fate_of("m"), 0, FATE_ACKED);
    for (unsigned i = 0; i < 30; i++) {
        pass(0, 100 * NS_PER_S);
        assert_int_equal(fates_count(fates), i < 9 ? 1 : fates_count(fates));
    }
    assert_int_equal(fates_count(fates), 0);
    finish();
}

/* Nobody is told of it any more, and a repeat is one until it has been settled for the window of
 * the table. */
static void test_repeats_after_the_fate(void **state) {
    (void)state;
    begin();
    fates->window_ns = 10 * NS_PER_S;
    publish(0, PAY, 0);
    answer(0, RESULT_STORED, 0);
    pass(0, 90 * NS_PER_S);
    settle(fate_of("m"), 0, FATE_ACKED);
    for (unsigned i = 0; i < 9; i++)
        pass(0, 10 * NS_PER_S);
    assert_int_equal(dedup_count(&gate.dedup), 0);
    assert_null(fate_of("m"));
    publish(0, PAY, 1);
    expect(1, RESULT_DUPLICATE, 200);
    assert_non_null(strstr(told[1].json, "\"now\":\"acked\""));
    publish(0, OTHER, 2);
    expect(2, RESULT_ID_REUSED, 409);
    later(10 * NS_PER_S);
    publish(0, PAY, 3);
    answer(0, RESULT_QUEUED, 1);
    expect(3, RESULT_QUEUED, 202);
    settle(fate_of("m"), 0, FATE_ACKED);
    for (unsigned i = 0; i < 12; i++)
        pass(0, 10 * NS_PER_S);
    assert_int_equal(fates_count(fates), 0);
    finish();
}

/* A message that wants memory gets that of what is settled, after that of ids. */
static void test_memory_of_fates(void **state) {
    (void)state;
    begin();
    publish(0, PAY, 0);
    answer(0, RESULT_QUEUED, 1);
    settle(fate_of("m"), 0, FATE_ACKED);
    assert_true(on_memory_short(&gate, &workers[0].account)); /* the id */
    assert_int_equal(dedup_count(&gate.dedup), 0);
    assert_int_equal(fates_count(fates), 1);
    assert_true(on_memory_short(&gate, &workers[0].account));
    assert_int_equal(fates_count(fates), 0);
    assert_int_equal(atomic_load(&fates->forgotten), 1);
    assert_false(on_memory_short(&gate, &workers[0].account));
    finish();
}

int main(void) {
    hash_init(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_an_id_that_the_node_made),
        cmocka_unit_test(test_refused_leaves_no_trace),
        cmocka_unit_test(test_no_memory_for_the_fate),
        cmocka_unit_test(test_duplicates_tell_the_fate),
        cmocka_unit_test(test_scopes_apart),
        cmocka_unit_test(test_repeats_that_waited),
        cmocka_unit_test(test_promoted_ones_ask_too),
        cmocka_unit_test(test_several_addresses),
        cmocka_unit_test(test_room_for_a_long_answer),
        cmocka_unit_test(test_who_waits_is_told),
        cmocka_unit_test(test_results_of_fates),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_repeats_after_the_fate),
        cmocka_unit_test(test_memory_of_fates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
