/* How many accepts a listener has armed: all of them, again once in a turn, few while a worker
 * comes late to what was said, one after a failure, none in the end. */
#include "tests/support/cmocka_first.h"

#include "tests/support/fake_engine.h"

#include "core/base/hash.h"
#include "tests/toys/toy_protocol.h"

#define WORKERS 2

static struct config config;

static void nothing(struct server *server) {
    (void)server;
}

static void node_begin(bool proxies) {
    static const struct server_parts parts = {
        .protocols = {&toy_protocol, &toy_protocol, &toy_protocol},
    };
    hash_init(NULL);
    log_set(LOG_ERROR, LOG_LOGFMT);
    config = (struct config){.workers = WORKERS, .proxy_count = proxies};
    /* A network that nobody here comes from. */
    config.proxies[0].prefix_bits = 128;
    fake_gathered = true;
    node_open(&config, &parts, nothing);
}

static unsigned armed(unsigned worker, enum listener_kind kind) {
    const struct ring *ring = &fake_rings[worker];
    unsigned count = 0;
    for (unsigned i = 0; i < ring->accepts; i++)
        count += ring->accept_tags[i] != 0 && tag_slot(ring->accept_tags[i]) == (uint32_t)kind + 1;
    return count;
}

/* Accepts end, all with an error; how many more are armed after a turn? */
static void accepts_end(unsigned worker, enum listener_kind kind, unsigned count, int error) {
    for (unsigned i = 0; i < count; i++) {
        uint64_t tag = accept_take(&fake_rings[worker], kind);
        assert_int_not_equal(tag, 0);
        complete(&fake_rings[worker], (struct completion){.tag = tag, .result = -error});
    }
}

static uint64_t put_off(unsigned worker) {
    return stats_get(&fake_server.workers[worker].stats.accepts_put_off);
}

static void turns_after(uint64_t ns) {
    fake_now_ns += ns;
    node_turns();
}

/* What has come waits for the workers, as long as not all was gathered. */
static void pile_up(void) {
    fake_gathered = false;
    node_turns();
    turns_after(ACCEPT_LATE_NS);
    turns_after(0);
}

static void test_once_in_a_turn(void **state) {
    (void)state;
    node_begin(false);
    for (unsigned worker = 0; worker < WORKERS; worker++)
        for (unsigned kind = 0; kind < LISTENER_KINDS; kind++)
            assert_int_equal(armed(worker, (enum listener_kind)kind), ACCEPTS_MAX);
    accepts_end(0, LISTENER_WEB, ACCEPTS_MAX, ECONNABORTED);
    assert_int_equal(armed(0, LISTENER_WEB), 0);
    node_turns();
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX);
    accepts_end(0, LISTENER_WEB, 1, ECONNABORTED);
    node_turns();
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX);
    assert_int_equal(put_off(0), 0);
    node_close(nothing);
    for (unsigned worker = 0; worker < WORKERS; worker++)
        for (unsigned kind = 0; kind < LISTENER_KINDS; kind++)
            assert_int_equal(armed(worker, (enum listener_kind)kind), 0);
}

static void test_few_while_input_piles_up(void **state) {
    (void)state;
    node_begin(false);
    pile_up();
    /* Those that are armed stay. */
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX);
    assert_int_equal(put_off(0), 0);
    accepts_end(0, LISTENER_WEB, ACCEPTS_MAX - ACCEPTS_LATE, ECONNABORTED);
    turns_after(ACCEPT_PAUSE_NS);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_LATE);
    assert_int_equal(put_off(0), 1);
    /* From one time to the next there is a pause, however short the turns are. */
    accepts_end(0, LISTENER_WEB, ACCEPTS_LATE, ECONNABORTED);
    turns_after(0);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_LATE);
    accepts_end(0, LISTENER_WEB, ACCEPTS_LATE, ECONNABORTED);
    turns_after(ACCEPT_PAUSE_NS - 1);
    assert_int_equal(armed(0, LISTENER_WEB), 0);
    /* Nobody else pays for it: not another listener, not another worker. */
    accepts_end(0, LISTENER_API, ACCEPTS_MAX, ECONNABORTED);
    accepts_end(1, LISTENER_WEB, ACCEPTS_MAX, ECONNABORTED);
    fake_server.workers[1].reading.heard_ns = fake_now_ns;
    turns_after(0);
    assert_int_equal(armed(0, LISTENER_WEB), 0);
    assert_int_equal(armed(0, LISTENER_API), ACCEPTS_LATE_API);
    assert_int_equal(armed(1, LISTENER_WEB), ACCEPTS_MAX);
    turns_after(1);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_LATE);
    fake_gathered = true;
    turns_after(0);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX);
    assert_int_equal(armed(0, LISTENER_API), ACCEPTS_MAX);
    node_close(nothing);
}

/* Where connections are handed over, the others hold back as well, and longer. */
static void test_few_while_it_piles_up_elsewhere(void **state) {
    (void)state;
    node_begin(true);
    pile_up();
    fake_server.workers[0].reading.heard_ns = fake_now_ns;
    turns_after(0);
    assert_false(fake_server.workers[0].reading.piles);
    assert_true(fake_server.workers[1].reading.piles);
    accepts_end(0, LISTENER_WEB, ACCEPTS_MAX, ECONNABORTED);
    fake_server.workers[0].reading.heard_ns = fake_now_ns;
    turns_after(0);
    uint64_t pause_ns = WORKERS * ACCEPT_PAUSE_NS;
    assert_in_range(put_off(0), 1, 2);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_LATE);
    accepts_end(0, LISTENER_WEB, ACCEPTS_LATE, ECONNABORTED);
    turns_after(pause_ns - 1);
    assert_int_equal(armed(0, LISTENER_WEB), 0);
    turns_after(1);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_LATE);
    fake_gathered = true;
    turns_after(0);
    turns_after(0);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX);
    node_close(nothing);
}

#define RETRY_NS (100 * NS_PER_MS)

static void test_one_after_a_failure(void **state) {
    (void)state;
    node_begin(false);
    const struct stats *stats = &fake_server.workers[0].stats;
    accepts_end(0, LISTENER_WEB, 3, EMFILE);
    node_settle();
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX - 3);
    assert_int_equal(stats_get(&stats->accept_errors), 3);
    node_pass(RETRY_NS + TIMER_TICK_NS);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX - 2);
    /* All of them fail; then one is tried, again and again. */
    accepts_end(0, LISTENER_WEB, ACCEPTS_MAX - 2, ENFILE);
    node_settle();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(armed(0, LISTENER_WEB), 0);
        node_pass(RETRY_NS + TIMER_TICK_NS);
        assert_int_equal(armed(0, LISTENER_WEB), 1);
        accepts_end(0, LISTENER_WEB, 1, i == 0 ? ENOMEM : EMFILE);
        node_settle();
    }
    /* One whose peer had gone had a descriptor. */
    node_pass(RETRY_NS + TIMER_TICK_NS);
    accepts_end(0, LISTENER_WEB, 1, ECONNABORTED);
    node_settle();
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX);
    accepts_end(0, LISTENER_WEB, 1, EMFILE);
    node_settle();
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX - 1);
    /* A connection says that there are some again. */
    struct peer *peer = peer_connect(0, LISTENER_WEB);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX);
    peer_say(peer, "x\n");
    assert_string_equal(peer->out, "=x\n");
    node_pass(2 * RETRY_NS);
    assert_int_equal(armed(0, LISTENER_WEB), ACCEPTS_MAX);
    /* The end, while one waits for its next try. */
    accepts_end(0, LISTENER_WEB, 1, EMFILE);
    node_settle();
    node_close(nothing);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_in_a_turn),
        cmocka_unit_test(test_few_while_input_piles_up),
        cmocka_unit_test(test_few_while_it_piles_up_elsewhere),
        cmocka_unit_test(test_one_after_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
