/* The publish gate over a fake hub that answers when the test says so: refusals leave nothing
 * behind, results come exactly once, repeats wait for the first. Messages, envelopes and the table
 * are real. */
#include "tests/support/cmocka_first.h"

#include "tests/support/fake_hub.h"

/* --- results -------------------------------------------------------------------------------------
 */

static void test_results(void **state) {
    (void)state;
    static const struct {
        enum result_word state;
        unsigned status;
        const char *json;
    } cases[] = {
        {RESULT_QUEUED, 202,
         "{\"status\":202,\"id\":\"a\\\"b\",\"state\":\"queued\",\"recipients\":5}"},
        {RESULT_ABSENT, 404,
         "{\"status\":404,\"id\":\"a\\\"b\",\"state\":\"absent\",\"recipients\":5}"},
        {RESULT_DROPPED, 202,
         "{\"status\":202,\"id\":\"a\\\"b\",\"state\":\"dropped\",\"recipients\":5}"},
        {RESULT_OVERLOADED, 503,
         "{\"status\":503,\"error\":{\"code\":\"overloaded\",\"message\":\"the node's queues or "
         "its memory are "
         "full; "
         "nothing was taken, try again\"}}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        publish(0, "{\"to\":\"x\",\"id\":\"a\\\"b\",\"data\":{\"n\":\n1}}", 0);
        assert_int_equal(told_times[0], 0);
        assert_int_equal(producers[0].connection.publishes, 1);
        assert_true(span_equal(message_payload(messages[0]), SPAN("{\"n\":1}")));
        answer(0, cases[i].state, 5);
        expect(0, cases[i].state, cases[i].status);
        assert_string_equal(told[0].json, cases[i].json);
        assert_string_equal(told[0].id, "a\"b");
        assert_int_equal(stats_get(&workers[0].stats.results[CLASS_DEFAULT][cases[i].state]), 1);
        assert_int_equal(told[0].retry_after_s, cases[i].status == 503);
        finish();
    }
    /* An id that the node made comes back. */
    begin();
    publish(0, "{\"to\":\"x\",\"volatile\":true}", 0);
    answer(0, RESULT_DROPPED, 0);
    assert_int_equal(strlen(told[0].id), MESSAGE_ID_MADE_BYTES);
    assert_int_equal(stats_get(&workers[0].stats.results[CLASS_VOLATILE][RESULT_DROPPED]), 1);
    finish();
}

static void test_refusals_leave_no_trace(void **state) {
    (void)state;
    static const char json[] = "{\"to\":\"x\",\"id\":\"m\",\"data\":1}";
    begin();
    atomic_store(&server.phase, PHASE_REFUSING);
    publish(0, json, 0);
    expect(0, RESULT_DRAINING, 503);
    assert_string_equal(told[0].id, "m");
    atomic_store(&server.phase, PHASE_RUNNING);
    publishes_max = 0;
    publish(0, json, 1);
    expect(1, RESULT_OVERLOADED, 503);
    publishes_max = PUBLISHES;
    server.budget.ceiling_bytes = 0;
    publish(0, json, 2);
    expect(2, RESULT_OVERLOADED, 503);
    server.budget.ceiling_bytes = 1 << 24;
    /* The hub has no room. */
    publish(0, json, 3);
    answer(0, RESULT_OVERLOADED, 0);
    expect(3, RESULT_OVERLOADED, 503);
    publish(0, json, 4);
    answer(0, RESULT_ABSENT, 0);
    /* After all that the id is free, for other content too. */
    publish(0, "{\"to\":\"y\",\"id\":\"m\",\"data\":1}", 5);
    answer(0, RESULT_QUEUED, 1);
    expect(5, RESULT_QUEUED, 202);
    finish();
}

/* Room for messages, but none to remember an id. */
static void test_no_memory_for_the_id(void **state) {
    (void)state;
    begin();
    publish(0, "{\"to\":\"x\",\"data\":1}", 0);
    answer(0, RESULT_QUEUED, 1);
    /* The worker keeps what it was granted. */
    assert_true(workers[0].account.granted_bytes > 0);
    server.budget.ceiling_bytes = 0;
    publish(0, "{\"to\":\"x\",\"id\":\"m\",\"data\":1}", 1);
    expect(1, RESULT_OVERLOADED, 503);
    assert_int_equal(under_way_count, 0);
    finish();
}

static void test_rate(void **state) {
    (void)state;
    begin_with(1 << 24, 4);
    uint32_t index = 0;
    for (; index < 4; index++) {
        publish(0, "{\"to\":\"x\"}", index);
        answer(0, RESULT_QUEUED, 1);
    }
    publish(0, "{\"to\":\"x\"}", index);
    expect(index, RESULT_RATE_LIMITED, 429);
    assert_int_equal(told[index].retry_after_s, 1);
    index++;
    /* Another has a rate of its own. */
    publish(1, "{\"to\":\"x\"}", index);
    answer(1, RESULT_QUEUED, 1);
    expect(index++, RESULT_QUEUED, 202);
    workers[0].now_ns += NS_PER_S / 4;
    publish(0, "{\"to\":\"x\"}", index);
    answer(0, RESULT_QUEUED, 1);
    expect(index++, RESULT_QUEUED, 202);
    publish(0, "{\"to\":\"x\"}", index);
    expect(index, RESULT_RATE_LIMITED, 429);
    finish();
}

static void test_behind(void **state) {
    (void)state;
    begin_with(1 << 24, 1);
    struct worker *worker = &workers[0];
    struct gate_source *source = &producers[0].source;
    admission_init(&worker->admission);
    worker->admission.now_ns = worker->now_ns;
    worker->admission.patience_ns = 0;
    worker->admission.time_ns = 1;
    /* It asks for little. */
    source->intake = (struct intake){.taken = ADMISSION_MODEST - 1, .cycle_ns = worker->now_ns};
    assert_true(gate_admit(worker, source));
    assert_int_equal(source->standing, ASKS_LITTLE);
    publish(0, "{\"to\":\"x\"}", 0);
    answer(0, RESULT_QUEUED, 1);
    /* What it sends is read late. */
    source->intake.late_ns = NS_PER_S;
    assert_false(gate_admit(worker, source));
    assert_int_equal(stats_get(&worker->stats.behind_refused), 1);
    /* Another, whose socket is read in time. */
    struct gate_source another;
    gate_source_init(&another, &producers[0].connection, on_done, NULL);
    assert_true(gate_admit(worker, &another));
    /* A node that is going says that instead. */
    atomic_store(&server.phase, PHASE_REFUSING);
    assert_true(gate_admit(worker, source));
    assert_int_equal(stats_get(&worker->stats.behind_refused), 1);
    finish();
}

/* Two producers at one worker: the one that asks for little in all is taken in where another is
 * refused, whatever its connection asks for, and what it is refused presses on the other. */
static void test_two_producers(void **state) {
    (void)state;
    begin();
    struct worker *worker = &workers[0];
    struct shares *shares = &worker->admission.shares;
    struct gate_source *light = &producers[0].source, heavy = {.producer = 2};
    admission_init(&worker->admission);
    light->producer = 1;
    worker->admission.patience_ns = 0;
    for (unsigned i = 1; i <= 50; i++) {
        admission_turn(&worker->admission, worker->now_ns + i * ADMISSION_CYCLE_NS);
        for (unsigned j = 0; j < 100; j++)
            assert_true(gate_admit(worker, &heavy));
        assert_true(gate_admit(worker, light));
    }
    admission_turn(&worker->admission, worker->now_ns + 51 * ADMISSION_CYCLE_NS);
    atomic_store(&boxes[0].late_ns, LATE_NS + 1);
    for (unsigned j = 0; j < ADMISSION_MODEST; j++) {
        assert_true(gate_admit(worker, &heavy));
        assert_int_equal(heavy.standing, ASKS_LITTLE_DIVIDED);
    }
    assert_false(gate_admit(worker, &heavy));
    light->intake.late_ns = NS_PER_S;
    for (unsigned j = 0; j < 3 * ADMISSION_MODEST; j++) {
        assert_true(gate_admit(worker, light));
        assert_int_equal(light->standing, ASKS_LITTLE_IN_ALL);
    }
    /* Copies count, as soon as they are known. */
    uint32_t units = shares->at[light->intake.place].units;
    publish(0, "{\"to\":\"x\"}", 0);
    assert_int_equal(under_way[0]->standing, ASKS_LITTLE_IN_ALL);
    assert_true(under_way[0]->prompt);
    answer(0, RESULT_QUEUED, 7);
    assert_int_equal(shares->at[light->intake.place].units, units + SHARE_MESSAGE_UNITS + 7);
    assert_int_equal(shares->press_ns, 0);
    publish(0, "{\"to\":\"x\"}", 1);
    answer(0, RESULT_OVERLOADED, 0);
    assert_int_equal(shares->press_ns, worker->now_ns);
    shares->press_ns = 0;
    publishes_max = 0;
    publish(0, "{\"to\":\"x\"}", 2);
    expect(2, RESULT_OVERLOADED, 503);
    assert_int_equal(shares->press_ns, worker->now_ns);
    finish();
    atomic_store(&boxes[0].late_ns, 0);
}

static void test_rate_over_time(void **state) {
    (void)state;
    static const double rates[] = {0.1, 1, 3, 1000, 1e6};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct gate_rate rate = {0};
        uint64_t now_ns = 5 * NS_PER_S, retry_ns = 0, passed = 0;
        double burst = rates[i] < 1 ? 1 : rates[i];
        while (gate_rate_take(&rate, rates[i], now_ns, &retry_ns))
            passed++;
        assert_true((double)passed >= burst * 0.999 && (double)passed <= burst * 1.001 + 0.01);
        assert_true(retry_ns > 0 && (double)retry_ns <= 1e9 / rates[i] + 1);
        now_ns += retry_ns;
        assert_false(gate_rate_take(&rate, rates[i], now_ns - 1, &retry_ns));
        assert_int_equal(retry_ns, 1);
        assert_true(gate_rate_take(&rate, rates[i], now_ns, &retry_ns));
        /* However long nothing came, no more than a burst passes. */
        passed = 0;
        now_ns += 1000 * NS_PER_S;
        while (gate_rate_take(&rate, rates[i], now_ns, &retry_ns))
            passed++;
        assert_true((double)passed <= burst * 1.001 + 0.01);
    }
    struct gate_rate rate = {0};
    uint64_t retry_ns;
    for (int i = 0; i < 1000; i++)
        assert_true(gate_rate_take(&rate, 0, 1, &retry_ns));
}

/* --- ids -----------------------------------------------------------------------------------------
 */

static void test_duplicate(void **state) {
    (void)state;
    begin();
    publish(0, "{\"to\":[\"x\",\"y\"],\"id\":\"m\",\"data\":[1,\n2]}", 0);
    answer(0, RESULT_QUEUED, 2);
    publish(1, "{\"data\":[1,2],\"id\":\"m\",\"to\":[\"y\",\"x\",\"y\"],\"ttl\":5}", 1);
    expect(1, RESULT_DUPLICATE, 200);
    assert_string_equal(told[1].json,
                        "{\"status\":200,\"id\":\"m\",\"state\":\"duplicate\",\"recipients\":0,"
                        "\"first\":{\"id\":\"m\",\"state\":\"queued\",\"recipients\":2}}");
    publish(1, "{\"data\":[1, 2],\"id\":\"m\",\"to\":[\"y\",\"x\"]}", 2);
    expect(2, RESULT_ID_REUSED, 409);
    assert_string_equal(
        told[2].json, "{\"status\":409,\"error\":{\"code\":\"id_reused\",\"message\":\"this id was "
                      "used for another message not long ago\",\"field\":\"id\"}}");
    publish(1, "{\"data\":[1,2],\"id\":\"m\",\"to\":[\"y\",\"x\"],\"volatile\":true}", 3);
    expect(3, RESULT_ID_REUSED, 409);
    finish();
}

static void test_repeat_waits_for_the_first(void **state) {
    (void)state;
    static const char json[] = "{\"to\":\"x\",\"id\":\"m\",\"data\":1}";
    begin();
    publish(0, json, 0);
    publish(1, json, 1);
    publish(0, json, 2);
    publish(1, "{\"to\":\"x\",\"id\":\"m\",\"data\":2}", 3);
    assert_int_equal(under_way_count, 1);
    assert_int_equal(producers[1].connection.publishes, 2);
    answer(0, RESULT_QUEUED, 7);
    expect(0, RESULT_QUEUED, 202);
    assert_int_equal(told_times[1] + told_times[2] + told_times[3], 0);
    assert_int_equal(wakes, 2);
    assert_true(atomic_load(&workers[0].nudged) && atomic_load(&workers[1].nudged));
    gate_on_nudged(&workers[1].endpoint);
    expect(1, RESULT_DUPLICATE, 200);
    assert_int_equal(told[1].first_recipients, 7);
    expect(3, RESULT_ID_REUSED, 409);
    gate_on_nudged(&workers[0].endpoint);
    expect(2, RESULT_DUPLICATE, 200);
    finish();
}

static void test_a_waiter_takes_the_place(void **state) {
    (void)state;
    static const char json[] = "{\"to\":\"x\",\"id\":\"m\",\"data\":1}";
    begin();
    publish(0, json, 0);
    publish(1, json, 1);
    publish(0, json, 2);
    answer(0, RESULT_OVERLOADED, 0);
    expect(0, RESULT_OVERLOADED, 503);
    assert_int_equal(under_way_count, 0);
    /* It was accepted before the drain began. */
    atomic_store(&server.phase, PHASE_REFUSING);
    gate_on_nudged(&workers[1].endpoint);
    assert_int_equal(under_way_count, 1);
    gate_on_nudged(&workers[0].endpoint);
    assert_int_equal(told_times[2], 0);
    answer(1, RESULT_QUEUED, 3);
    expect(1, RESULT_QUEUED, 202);
    gate_on_nudged(&workers[0].endpoint);
    expect(2, RESULT_DUPLICATE, 200);
    assert_int_equal(told[2].first_recipients, 3);
    finish();
}

static void test_ids_are_swept(void **state) {
    (void)state;
    begin();
    publish(0, "{\"to\":\"x\",\"id\":\"m\",\"data\":1}", 0);
    answer(0, RESULT_ABSENT, 0);
    assert_int_equal(workers[0].wheel.armed, 0);
    for (uint32_t i = 0; i < 10; i++) {
        char json[64];
        snprintf(json, sizeof(json), "{\"to\":\"x\",\"id\":\"m%u\"}", i);
        publish(0, json, i + 1);
        answer(0, RESULT_QUEUED, 1);
        workers[0].now_ns += NS_PER_S;
        wheel_advance(&workers[0].wheel, &workers[0].endpoint, workers[0].now_ns);
    }
    assert_int_equal(dedup_count(&gate.dedup), 10);
    assert_int_equal(workers[0].wheel.armed, 1);
    while (workers[0].wheel.armed != 0) {
        assert_true(workers[0].now_ns < 1200 * NS_PER_S);
        workers[0].now_ns += NS_PER_S;
        wheel_advance(&workers[0].wheel, &workers[0].endpoint, workers[0].now_ns);
    }
    assert_int_equal(dedup_count(&gate.dedup), 0);
    finish();
}

/* --- the rest ------------------------------------------------------------------------------------
 */

static void test_bad(void **state) {
    (void)state;
    struct complaint complaint;
    struct gate_result result;
    char text[GATE_RESULT_BYTES_MAX];
    complaint_make(&complaint, CODE_BAD_MESSAGE, SPAN("ttl"), "ttl is %d", 0);
    gate_result_bad(&result, &complaint);
    struct builder out = builder_over(text, sizeof(text));
    gate_result_write(&result, false, &out);
    assert_true(span_equal(builder_span(&out),
                           SPAN("{\"error\":{\"code\":\"bad_message\",\"message\":\"ttl is 0\","
                                "\"field\":\"ttl\"}}")));
    assert_int_equal(result.status, 400);
    memset(&complaint, 0, sizeof(complaint));
    complaint.code = CODE_BAD_JSON;
    complaint.offset = 17;
    memset(complaint.text, '\x01', sizeof(complaint.text) - 1); /* the longest when escaped */
    memset(complaint.field, '\x01', sizeof(complaint.field) - 1);
    gate_result_bad(&result, &complaint);
    out = builder_over(text, sizeof(text));
    gate_result_write(&result, true, &out);
    assert_false(out.full);
    assert_non_null(memmem(text, out.len, ",\"offset\":17}", 13));
}

int main(void) {
    hash_init(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_refusals_leave_no_trace),
        cmocka_unit_test(test_no_memory_for_the_id),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_behind),
        cmocka_unit_test(test_two_producers),
        cmocka_unit_test(test_rate_over_time),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_repeat_waits_for_the_first),
        cmocka_unit_test(test_a_waiter_takes_the_place),
        cmocka_unit_test(test_ids_are_swept),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
