/* Ports on a whole engine of two workers: toys that answer at once, late, never, or that they are
 * unavailable, beside sessions and alone. */
#include "tests/support/fake_http.h"

#include "core/port_wait.h"
#include "tests/toys/toy_port.h"

static struct toy_port first, second;
static struct peer *api, *till;

#define HELD "{\"to\":\"held\"}"

static int setup(void **state) {
    (void)state;
    toy_init(&first);
    toy_init(&second);
    fake_ports[0] = &first.port;
    fake_ports[1] = &second.port;
    post_slots_override = 64;
    http_node_open();
    toy_hold(&first, NAME_ID, "held");
    toy_hold(&first, NAME_GROUP, "g");
    api = api_connect();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\"]}\n");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    post_slots_override = 0;
    return 0;
}

static uint64_t counted(size_t member) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < fake_server.post.endpoints; i++) {
        const char *stats = (const char *)&fake_server.endpoints[i]->stats;
        sum += stats_get((const _Atomic uint64_t *)(const void *)(stats + member));
    }
    return sum;
}
#define COUNTED(member) counted(offsetof(struct stats, member))

/* What the API answers in the time that there is for ports. */
static const char *pushed(const char *body) {
    static char *heard;
    free(peer_heard(api));
    peer_say(api, JSON_POST("/v1/messages", body));
    node_pass(PORT_ANSWER_NS + 200 * NS_PER_MS);
    free(heard);
    heard = peer_heard(api);
    return heard;
}

static unsigned messages_of(struct peer *peer) {
    return times(peer->out, "\"type\":\"message\"");
}

/* The result of what the port published, told so often. */
static uint64_t told(const struct toy_port *toy, enum result_word result) {
    return stats_get(&toy->port.stats.results[CLASS_DEFAULT][result]);
}

/* The drain, to its end. */
static void stop(void) {
    for (unsigned i = 0; i < 1000 && !server_step(&fake_server); i++) {
        fake_now_ns += 20 * NS_PER_MS;
        node_settle();
    }
    assert_int_equal(server_phase(&fake_server), PHASE_STOPPED);
}

static uint32_t owed(unsigned worker, const struct toy_port *toy) {
    return fake_server.workers[worker].port_waits.owed[toy->port.index - fake_server.worker_count];
}

static void test_beside_sessions(void **state) {
    (void)state;
    const char *answer = ask(api, JSON_POST("/v1/messages", HELD));
    assert_int_equal(status_of(answer), 202);
    assert_non_null(strstr(answer, "\"state\":\"queued\",\"recipients\":1"));
    answer = ask(api, JSON_POST("/v1/messages", "{\"group\":\"g\"}"));
    assert_non_null(strstr(answer, "\"state\":\"queued\",\"recipients\":2"));
    assert_int_equal(first.took, 2);
    assert_int_equal(messages_of(till), 1);
    /* Nobody holds that one. */
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/messages", "{\"to\":\"x\"}"))), 404);
    assert_int_equal(COUNTED(ports_refused) + COUNTED(ports_late), 0);
    assert_int_equal(owed(0, &first), 0);
}

static void test_late_in_time(void **state) {
    (void)state;
    first.way = TOY_LATE;
    first.delay_ns = 300 * NS_PER_MS;
    assert_string_equal(ask(api, JSON_POST("/v1/messages", HELD)), "");
    node_pass(200 * NS_PER_MS);
    assert_int_equal(api->out_len, 0);
    node_pass(200 * NS_PER_MS);
    assert_int_equal(status_of(api->out), 202);
    assert_int_equal(COUNTED(ports_late), 0);
}

static void test_late_after_the_deadline(void **state) {
    (void)state;
    first.way = TOY_LATE;
    first.delay_ns = 3 * NS_PER_S;
    assert_error(pushed(HELD), 503, "cluster_unavailable");
    assert_int_equal(COUNTED(ports_late), 1);
    assert_int_equal(owed(0, &first), 1);
    /* The publish that has its slot now is another one, which the late answer is not for. */
    node_pass(NS_PER_S);
    assert_string_equal(ask(api, JSON_POST("/v1/messages", HELD)), "");
    node_pass(900 * NS_PER_MS);
    assert_int_equal(first.took, 1);
    assert_int_equal(owed(0, &first), 1);
    assert_int_equal(api->out_len, 0);
    node_pass(300 * NS_PER_MS);
    assert_int_equal(status_of(api->out), 503);
    assert_int_equal(COUNTED(ports_late), 2);
}

/* Its credit ends, and then it costs nothing; whoever publishes to others does not notice. */
static void test_silent(void **state) {
    (void)state;
    uint32_t credit = fake_server.post.requests_max / 4;
    first.way = TOY_SILENT;
    struct peer *others[12];
    assert_true(credit < 12);
    for (unsigned i = 0; i < 12; i++) {
        others[i] = api_connect();
        peer_say(others[i], JSON_POST("/v1/messages", "{\"to\":\"held\"}"));
        bool refused = others[i]->out_len != 0;
        assert_int_equal(refused, i >= credit);
    }
    assert_int_equal(owed(0, &first), credit);
    assert_int_equal(COUNTED(ports_refused), 12 - credit);
    assert_int_equal(COUNTED(requests_refused), 0);
    assert_int_equal(fake_server.workers[0].requests, credit);
    /* Sessions of the same group get it at once; the port is passed over. */
    const char *answer = ask(api, JSON_POST("/v1/messages", "{\"group\":\"g\"}"));
    assert_non_null(strstr(answer, "\"state\":\"queued\",\"recipients\":1"));
    assert_int_equal(messages_of(till), 1);
    node_pass(PORT_ANSWER_NS + 200 * NS_PER_MS);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(status_of(others[i]->out), 503);
    assert_int_equal(fake_server.workers[0].requests, 0);
    assert_int_equal(owed(0, &first), credit);
    assert_int_equal(COUNTED(ports_late), credit);
    /* Without credit nobody waits any more. */
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/messages", HELD))), 503);
}

static void test_unavailable(void **state) {
    (void)state;
    first.way = TOY_UNAVAILABLE;
    assert_error(ask(api, JSON_POST("/v1/messages", HELD)), 503, "cluster_unavailable");
    const char *answer = ask(api, JSON_POST("/v1/messages", "{\"group\":\"g\"}"));
    assert_non_null(strstr(answer, "\"state\":\"queued\",\"recipients\":1"));
    /* Another port takes it. */
    toy_hold(&second, NAME_ID, "held");
    answer = ask(api, JSON_POST("/v1/messages", HELD));
    assert_non_null(strstr(answer, "\"state\":\"queued\",\"recipients\":1"));
    assert_int_equal(second.took, 1);
}

static void test_from_a_port(void **state) {
    (void)state;
    toy_hold(&second, NAME_GROUP, "g");
    toy_publish(&first, "{\"group\":\"g\",\"data\":\"from first\"}");
    node_settle();
    assert_int_equal(messages_of(till), 1);
    assert_non_null(strstr(till->out, "from first"));
    assert_int_equal(first.took, 0);
    assert_int_equal(second.took, 1);
    assert_int_equal(told(&first, RESULT_QUEUED), 1);
    /* To itself alone it is to nobody. */
    toy_publish(&first, HELD);
    node_settle();
    assert_int_equal(told(&first, RESULT_ABSENT), 1);
    assert_int_equal(first.took, 0);
    /* Its messages are its own memory, and come home. */
    node_pass(NS_PER_S);
    assert_int_equal(first.port.account.used_bytes, 0);
    /* Those of ids that wait for each other, too. */
    toy_publish(&first, "{\"group\":\"g\",\"id\":\"m\"}");
    toy_publish(&second, "{\"group\":\"g\",\"id\":\"m\"}");
    node_settle();
    assert_int_equal(told(&first, RESULT_QUEUED) + told(&second, RESULT_QUEUED), 2);
    assert_int_equal(told(&first, RESULT_DUPLICATE) + told(&second, RESULT_DUPLICATE), 1);
    assert_int_equal(messages_of(till), 2);
}

static void test_a_rate_of_its_own(void **state) {
    (void)state;
    static struct gate_rate rate;
    rate = (struct gate_rate){0};
    first.source.rate = &rate;
    fake_config.rate_limit = 2;
    for (unsigned i = 0; i < 3; i++)
        toy_publish(&first, "{\"to\":\"till\"}");
    toy_publish(&second, "{\"to\":\"till\"}");
    node_settle();
    assert_int_equal(told(&first, RESULT_QUEUED), 2);
    assert_int_equal(told(&first, RESULT_RATE_LIMITED), 1);
    assert_int_equal(told(&second, RESULT_QUEUED), 1);
}

static void test_broadcasts(void **state) {
    (void)state;
    const char *everybody = "{\"broadcast\":true}";
    ask(api, JSON_POST("/v1/messages", everybody));
    assert_int_equal(first.took + second.took, 0);
    port_hear_broadcasts(&first.port, true);
    const char *answer = ask(api, JSON_POST("/v1/messages", everybody));
    assert_non_null(strstr(answer, "\"recipients\":2"));
    assert_int_equal(first.took, 1);
    toy_publish(&first, everybody);
    toy_publish(&second, everybody);
    node_settle();
    assert_int_equal(first.took, 2);
    assert_int_equal(second.took, 0);
    assert_int_equal(messages_of(till), 4);
    port_hear_broadcasts(&first.port, false);
    ask(api, JSON_POST("/v1/messages", everybody));
    assert_int_equal(first.took, 2);
}

/* One that dies is silent from then on, wherever that is. */
static void test_dies(void **state) {
    (void)state;
    first.steps = 3;
    assert_int_equal(status_of(pushed(HELD)), 202);
    assert_int_equal(status_of(pushed(HELD)), 202);
    assert_int_equal(status_of(pushed(HELD)), 503);
    assert_true(first.dead);
    assert_int_equal(status_of(pushed(HELD)), 503);
    assert_int_equal(owed(0, &first), 2);
}

/* The node drains, with messages at a silent port: whoever waits for it is told in time. */
static void test_drain_while_silent(void **state) {
    (void)state;
    first.way = TOY_SILENT;
    assert_string_equal(ask(api, JSON_POST("/v1/messages", HELD)), "");
    toy_hold(&second, NAME_ID, "other");
    second.way = TOY_SILENT;
    toy_publish(&first, "{\"to\":\"other\"}");
    server_drain(&fake_server);
    node_pass(PORT_ANSWER_NS + 100 * NS_PER_MS);
    assert_int_equal(status_of(api->out), 503);
    assert_int_equal(told(&first, RESULT_CLUSTER_UNAVAILABLE), 1);
    assert_true(server_through(&fake_server, PHASE_REFUSING));
    assert_false(list_empty(&first.kept));
    stop();
    assert_true(list_empty(&first.kept) && list_empty(&second.kept));
}

/* Mail for a port whose turns have ended: nothing is left of it. */
static void test_mail_behind_the_end(void **state) {
    (void)state;
    first.way = TOY_SILENT;
    first.port.type = &(const struct port_type){.name = "deaf"};
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/messages", HELD))), 503);
    holders_remove(fake_server.holders, first.names[0], first.port.index);
    holders_remove(fake_server.holders, first.names[1], first.port.index);
    server_drain(&fake_server);
    stop();
    struct endpoint *worker = &fake_server.workers[0].endpoint;
    struct message *message = message_open(worker, &(struct message_parts){.payload_max = 10});
    message_seal(message, 0);
    post_send(worker, first.port.index, &(struct mail){.kind = MAIL_DELIVER, .object = message});
}

/* What the ports count is in the totals of the node, and in no row of a worker. */
static void test_totals(void **state) {
    (void)state;
    toy_publish(&first, "{\"group\":\"g\"}");
    node_settle();
    const char *stats = ask(api, GET("/v1/stats"));
    assert_non_null(strstr(stats, "\"accepted\":1,"));
    const char *metrics = ask(api, GET("/metrics"));
    assert_non_null(
        strstr(metrics, "ringpost_messages_total{class=\"default\",result=\"queued\"} 1\n"));
    assert_non_null(strstr(metrics, "ringpost_ports_late_total{worker=\"1\"} 0\n"));
    assert_null(strstr(metrics, "{worker=\"2\"}"));
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_beside_sessions),
        ONE(test_late_in_time),
        ONE(test_late_after_the_deadline),
        ONE(test_silent),
        ONE(test_unavailable),
        ONE(test_from_a_port),
        ONE(test_a_rate_of_its_own),
        ONE(test_broadcasts),
        ONE(test_dies),
        ONE(test_drain_while_silent),
        ONE(test_mail_behind_the_end),
        ONE(test_totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
