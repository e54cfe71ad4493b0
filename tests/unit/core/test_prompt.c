/* The prompt lane on a whole engine of two workers: who gets it, and who is refused by what is late
 * beside it. */
#include "tests/support/fake_http.h"

#include "core/worker.c"

static struct peer *api, *till;

static struct mailbox *box(void) {
    return &fake_server.post.boxes[1];
}

static int setup(void **state) {
    (void)state;
    http_node_open();
    fake_server.workers[0].config = &fake_config;
    api = api_connect();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\"]}\n");
    node_pass(NS_PER_S);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

/* Where the share of the producer at `api` is. */
static uint16_t api_place(void) {
    const struct shares *shares = &fake_server.workers[0].admission.shares;
    for (uint16_t i = 1; i <= shares->used; i++)
        if (shares->at[i].producer != 0 && shares->at[i].producer != 999)
            return i;
    fail_msg("it has no share");
    return 0;
}

/* A new cycle of admission begins (ADMISSION_CYCLE_NS). */
static void cycle(void) {
    node_pass(2 * ADMISSION_CYCLE_NS);
}

/* The status of a request, with worker 1 as late as this. The figures stand until it has its turn,
 * which comes after that of worker 0. */
static unsigned asked(const char *request, uint64_t late_ms, uint64_t prompt_late_ms) {
    atomic_store(&box()->late_ns, late_ms * NS_PER_MS);
    atomic_store(&box()->prompt_late_ns, prompt_late_ms * NS_PER_MS);
    return status_of(ask(api, request));
}

#define LIMIT_MS (4 * LATE_NS / NS_PER_MS)
#define ONE "{\"to\":\"till\"}"

static void test_late_beside_it(void **state) {
    (void)state;
    assert_int_equal(asked(JSON_POST("/v1/messages", ONE), 10 * LIMIT_MS, LIMIT_MS), 202);
    assert_int_equal(asked(JSON_POST("/v1/groups/g", "1"), 10 * LIMIT_MS, 0), 202);
    /* It has asked for a modest number by now. */
    assert_int_equal(asked(JSON_POST("/v1/messages", ONE), LATE_NS / NS_PER_MS + 1, 0), 503);
    assert_int_equal(asked(JSON_POST("/v1/messages", ONE), LATE_NS / NS_PER_MS, LIMIT_MS), 202);
    cycle();
    /* The lane itself is late. */
    assert_int_equal(asked(JSON_POST("/v1/messages", ONE), 0, LIMIT_MS + 1), 503);
    cycle();
    /* A batch is not for that lane, and neither is what is fanned out. */
    assert_int_equal(asked(JSON_POST("/v1/messages", "[" ONE "," ONE "]"), LIMIT_MS + 1, 0), 503);
    assert_int_equal(asked(JSON_POST("/v1/messages", "{\"to\":[\"till\",\"x\"]}"), LIMIT_MS + 1, 0),
                     503);
    cycle();
    assert_int_equal(asked(JSON_POST("/v1/messages", "[" ONE "," ONE "]"), LIMIT_MS, 0), 200);
    assert_int_equal(asked(JSON_POST("/v1/broadcast", "1"), LIMIT_MS + 1, 0), 503);
}

/* Another producer asks for much, so the one at `api` asks for little in all. */
static void test_light_producers(void **state) {
    (void)state;
    struct admission *admission = &fake_server.workers[0].admission;
    for (unsigned i = 0; i < 20; i++) {
        uint16_t place = 0;
        struct share *other = shares_find(&admission->shares, 999, &place, admission->now_ns);
        other->asked += 100;
        other->taken += 100;
        other->units += 100000;
        assert_int_equal(asked(JSON_POST("/v1/messages", ONE), 0, 0), 202);
        cycle();
    }
    assert_true(shares_many(&admission->shares));
    for (unsigned i = 0; i < 4 * ADMISSION_MODEST; i++)
        assert_int_equal(asked(JSON_POST("/v1/messages", ONE), 10 * LIMIT_MS,
                               LATE_TIMES_LIGHT * LATE_NS / NS_PER_MS),
                         202);
    assert_int_equal(asked(JSON_POST("/v1/messages", ONE), 10 * LIMIT_MS,
                           LATE_TIMES_LIGHT * LATE_NS / NS_PER_MS + 1),
                     503);
    /* That presses. */
    assert_int_not_equal(admission->shares.press_ns, 0);
    /* A connection that asks for little, of a producer that does not. */
    uint16_t place = 0;
    cycle();
    struct share *own = &admission->shares.at[api_place()];
    own->light = false;
    shares_find(&admission->shares, 999, &place, admission->now_ns);
    assert_int_equal(
        asked(JSON_POST("/v1/messages", ONE), 0, LATE_TIMES_DIVIDED * LATE_NS / NS_PER_MS), 202);
    assert_int_equal(
        asked(JSON_POST("/v1/messages", ONE), 0, LATE_TIMES_DIVIDED * LATE_NS / NS_PER_MS + 1),
        503);
}

/* The lane of the client's output behind a send that its socket does not take. */
static enum send_lane lane_after(const char *path, const char *body, unsigned status) {
    peer_stall(till, true);
    cycle();
    ask(api, JSON_POST("/v1/messages", "[" ONE "]"));
    cycle();
    assert_int_equal(status_of(ask(api, JSON_POST(path, body))), status);
    struct worker *worker = &fake_server.workers[1];
    const struct connection *connection =
        slot_resolve(worker, 1, worker->slots.blocks[0][1].generation);
    assert_non_null(connection);
    enum send_lane lane = (enum send_lane)connection->lane;
    peer_stall(till, false);
    node_turns();
    assert_int_equal(connection->lane, LANE_BULK);
    return lane;
}

static void test_who_gets_it(void **state) {
    (void)state;
    assert_int_equal(lane_after("/v1/messages", ONE, 202), LANE_PROMPT);
    assert_int_equal(lane_after("/v1/groups/g", "1", 202), LANE_PROMPT);
    assert_int_equal(lane_after("/v1/messages", "[" ONE "," ONE "]", 200), LANE_DIRECT);
    assert_int_equal(lane_after("/v1/broadcast", "1", 202), LANE_BULK);
    /* On its own worker, too. */
    struct peer *other = api;
    api = peer_connect(1, LISTENER_API);
    assert_int_equal(lane_after("/v1/messages", ONE, 202), LANE_PROMPT);
    fake_server.workers[1].admission.modest = 0;
    assert_int_equal(lane_after("/v1/messages", ONE, 202), LANE_DIRECT);
    api = other;
}

/* What worker 1 tells when the first of a lane has waited for 30 ms. */
static void tell_late(enum send_lane lane) {
    struct worker *worker = &fake_server.workers[1];
    struct connection connection = {.slot = 2};
    list_init(&connection.flush_link);
    worker->delivery.late_patience_ns = 0;
    worker->delivery.mail_age_ns = 0;
    outbox_dirty(worker, &connection, lane);
    worker->now_ns += 30 * NS_PER_MS;
    late_tell(worker);
    list_remove(&connection.flush_link);
}

static void test_late_lanes_are_told(void **state) {
    (void)state;
    tell_late(LANE_BULK);
    assert_int_equal(atomic_load(&box()->late_ns), 0);
    assert_int_equal(atomic_load(&box()->prompt_late_ns), 0);
    tell_late(LANE_DIRECT);
    assert_int_equal(atomic_load(&box()->late_ns), 30 * NS_PER_MS);
    assert_int_equal(atomic_load(&box()->prompt_late_ns), 0);
    tell_late(LANE_PROMPT);
    assert_int_equal(atomic_load(&box()->late_ns), 30 * NS_PER_MS);
    assert_int_equal(atomic_load(&box()->prompt_late_ns), 30 * NS_PER_MS);
    struct worker *worker = &fake_server.workers[1];
    lateness_clear(worker);
    assert_int_equal(atomic_load(&box()->prompt_late_ns), 0);
    /* Mail is for every lane. */
    worker->delivery.mail_age_ns = 40 * NS_PER_MS;
    late_tell(worker);
    assert_int_equal(atomic_load(&box()->late_ns), 40 * NS_PER_MS);
    assert_int_equal(atomic_load(&box()->prompt_late_ns), 40 * NS_PER_MS);
    worker->delivery.late_patience_ns = LATE_PATIENCE_NS;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_late_beside_it),
        TEST(test_light_producers),
        TEST(test_who_gets_it),
        TEST(test_late_lanes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
