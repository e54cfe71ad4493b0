/* A node that consumes queues of a broker that is none: how queues come up and are lost, what a
 * delivery becomes, in which order, and what the broker is told. */
#include "tests/support/fake_amqp.h"

static struct peer *till;

static void open_with(uint32_t backlog, unsigned queues) {
    static const char *const names[] = {"q", "r"};
    fake_config.ack_backlog = backlog;
    for (unsigned i = 0; i < queues; i++)
        fake_config.amqp_queues[fake_config.amqp_queue_count++] = names[i];
    amqp_node_open();
    amqp_settle();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\"]}\n");
}

static int setup(void **state) {
    (void)state;
    open_with(1, 1);
    (void)amqp_heard();
    return 0;
}

static int bare(void **state) {
    (void)state;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    amqp_balance(0);
    amqp_node_close();
    return 0;
}

static void gives(const char *body) {
    amqp_gives(1, body);
    amqp_settle();
}

#define TO_TILL "{\"to\":\"till\"}"
#define TO_AWAY "{\"to\":\"away\",\"ack\":true}"

/* --- queues ----------------------------------------------------------------------------------- */

static void comes_up(void **state) {
    (void)state;
    open_with(1, 2);
    assert_string_equal(amqp_heard(), "open 1\nopen 2\ndeclare 1 q - 0\ndeclare 2 r - 0\n"
                                      "qos 1 4\nqos 2 4\nconsume 1 q\nconsume 2 r\n");
    assert_int_equal(QUEUE_FIGURE(0, consuming), 1);
    assert_int_equal(amqp_figure_of(&amqp.figures.connected), 1);
    assert_null(atomic_load(&amqp.port.degraded));
}

static void declares(void **state) {
    (void)state;
    fake_config.amqp_declare = AMQP_DECLARE_QUORUM;
    fake_config.amqp_queue_ttl_ns = 600 * NS_PER_S;
    open_with(1, 1);
    assert_non_null(strstr(amqp_heard(), "declare 1 q quorum 600000\n"));
}

static void tries_addresses_in_turn(void **state) {
    (void)state;
    fake_config.amqp[fake_config.amqp_count++] = "amqp://two";
    fake_config.amqp[fake_config.amqp_count++] = "amqp://one";
    fake_broker_gone = true;
    amqp_node_open();
    amqp_settle();
    assert_string_equal(amqp_door()->opened, "two.0 two.1 one.0 ");
    amqp_pass(200 * NS_PER_MS);
    assert_string_equal(amqp_door()->opened, "two.0 two.1 one.0 two.0 two.1 one.0 ");
    assert_string_equal(atomic_load(&amqp.port.degraded), "amqp");
    fake_broker_gone = false;
    amqp_pass(400 * NS_PER_MS);
    assert_int_equal(QUEUE_FIGURE(0, consuming), 1);
}

static void waits_no_longer_than_ten_seconds(void **state) {
    (void)state;
    fake_broker_gone = true;
    amqp_node_open();
    amqp_pass(60 * NS_PER_S);
    amqp_door()->opened[0] = '\0';
    amqp_pass(60 * NS_PER_S);
    unsigned tries = times(amqp_door()->opened, "broker");
    assert_in_range(tries, 6, 12);
}

static void who_does_not_greet_is_left(void **state) {
    (void)state;
    fake_broker_silent = true;
    amqp_node_open();
    amqp_pass(4900 * NS_PER_MS);
    assert_string_equal(amqp_door()->opened, "broker.0 ");
    amqp_pass(400 * NS_PER_MS);
    assert_string_equal(amqp_door()->opened, "broker.0 broker.0 ");
}

static void who_does_not_answer_is_left(void **state) {
    (void)state;
    fake_broker_mute = true;
    amqp_node_open();
    amqp_pass(9900 * NS_PER_MS);
    assert_string_equal(amqp_door()->opened, "broker.0 ");
    fake_broker_mute = false;
    amqp_pass(400 * NS_PER_MS);
    assert_string_equal(amqp_door()->opened, "broker.0 broker.0 ");
    assert_int_equal(QUEUE_FIGURE(0, consuming), 1);
}

static void a_queue_that_is_missing_is_looked_up_again(void **state) {
    (void)state;
    open_with(1, 2);
    (void)amqp_heard();
    fake_door_say(amqp_door(), (struct door_event){.kind = DOOR_CHANNEL_LOST,
                                                   .channel = 2,
                                                   .code = 404,
                                                   .text = SPAN("NOT_FOUND")});
    amqp_settle();
    assert_int_equal(QUEUE_FIGURE(1, consuming), 0);
    assert_string_equal(atomic_load(&amqp.port.degraded), "amqp");
    gives(TO_TILL);
    assert_int_equal(messages_got(till), 1);
    amqp_pass(200 * NS_PER_MS);
    assert_int_equal(QUEUE_FIGURE(1, consuming), 1);
    assert_null(atomic_load(&amqp.port.degraded));
}

static void a_cancelled_queue_is_consumed_again(void **state) {
    (void)state;
    gives(TO_AWAY);
    gives(TO_AWAY);
    fake_door_say(amqp_door(), (struct door_event){.kind = DOOR_CANCELLED, .channel = 1});
    /* What was on its way belongs to nobody. */
    amqp_gives(1, TO_TILL);
    amqp_settle();
    assert_int_equal(messages_got(till), 0);
    amqp_tags[1] = 0;
    amqp_pass(200 * NS_PER_MS);
    assert_int_equal(QUEUE_FIGURE(0, consuming), 1);
    gives(TO_TILL);
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(SETTLED(0, ABANDONED), 1);
}

/* --- what a broker never does ----------------------------------------------------------------- */

static void expect_left(void) {
    amqp_door()->opened[0] = '\0';
    amqp_settle();
    assert_int_equal(amqp_figure_of(&amqp.figures.connected), 0);
    amqp_tags[1] = 0;
    amqp.consumer.tries = 0;
    amqp_pass(200 * NS_PER_MS);
    assert_string_equal(amqp_door()->opened, "broker.0 ");
    (void)amqp_heard();
    gives(TO_TILL);
    assert_int_equal(messages_got(till), 1);
    assert_string_equal(amqp_heard(), "ack 1 1 all\n");
}

static void strange_frames(void **state) {
    (void)state;
    const struct amqp_said nothing = {.type = NULL};
    amqp_frame(1, DOOR_BODY, SPAN("x"), 0);
    expect_left();
    amqp_frame(1, DOOR_HEADER, SPAN("xx"), 1);
    expect_left();
    amqp_begins(1, &nothing, 2);
    amqp_frame(1, DOOR_BODY, SPAN("xxx"), 0);
    expect_left();
    amqp_begins(1, &nothing, 2);
    amqp_begins(1, &nothing, 2);
    expect_left();
    amqp_begins(1, &nothing, 2);
    amqp_frame(1, DOOR_HEADER, SPAN("xx"), 1);
    expect_left();
    amqp_tags[1] = 7;
    amqp_gives(1, TO_TILL);
    expect_left();
    fake_door_say(amqp_door(), (struct door_event){.kind = DOOR_CONSUMES, .channel = 1});
    expect_left();
    /* What is on no channel of a queue is passed over. */
    amqp_frame(9, DOOR_BODY, SPAN("xx"), 1);
    amqp_frame(0, DOOR_HEADER, SPAN("xx"), 1);
    gives(TO_TILL);
    assert_int_equal(messages_got(till), 1);
}

/* --- deliveries ------------------------------------------------------------------------------- */

static void a_run_is_acknowledged_at_once(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        amqp_gives(1, TO_TILL);
    amqp_settle();
    assert_int_equal(messages_got(till), 3);
    const char *heard = amqp_heard();
    assert_non_null(strstr(heard, "ack 1 3 all\n"));
    assert_int_equal(SETTLED(0, ACKNOWLEDGED), 3);
}

static void a_body_comes_in_pieces(void **state) {
    (void)state;
    const struct amqp_said nothing = {.type = NULL};
    amqp_begins(1, &nothing, strlen(TO_TILL));
    for (const char *at = TO_TILL; *at != '\0'; at++)
        amqp_frame(1, DOOR_BODY, span_of(at, 1), 0);
    amqp_settle();
    assert_int_equal(messages_got(till), 1);
}

static void who_straggles_holds_up_nobody_for_long(void **state) {
    (void)state;
    gives(TO_AWAY);
    gives(TO_AWAY); /* its backlog is full */
    gives(TO_TILL);
    gives(TO_TILL);
    assert_string_equal(amqp_heard(), "ack 1 1 all\n");
    assert_int_equal(QUEUE_FIGURE(0, held), 1);
    amqp_pass(STRAGGLE_NS - 10 * NS_PER_MS);
    assert_string_equal(amqp_heard(), "");
    amqp_pass(20 * NS_PER_MS);
    assert_string_equal(amqp_heard(), "ack 1 3\nack 1 4\n");
    struct peer *away = peer_connect(0, LISTENER_TCP);
    peer_say(away, "{\"type\":\"hello\",\"id\":\"away\"}\n");
    for (unsigned i = 0; i < 2; i++) {
        const char *id = strstr(strstr(away->out, "\"type\":\"message\""), "\"id\":\"");
        char ack[128];
        assert_non_null(id);
        snprintf(ack, sizeof(ack), "{\"type\":\"ack\",\"id\":\"%.26s\"}\n", id + 6);
        free(peer_heard(away));
        peer_say(away, ack);
        amqp_pass(2 * NS_PER_S);
    }
    assert_string_equal(amqp_heard(), "ack 1 2 all\n");
}

static void what_is_refused_is_rejected(void **state) {
    (void)state;
    amqp_gives(1, TO_TILL);
    amqp_gives(1, "no JSON");
    amqp_gives(1, "");
    amqp_gives(1, TO_TILL);
    amqp_settle();
    assert_string_equal(amqp_heard(), "reject 1 2\nreject 1 3\nack 1 4 all\n");
    assert_int_equal(SETTLED(0, REJECTED), 2);
    assert_int_equal(SETTLED(0, ACKNOWLEDGED), 2);
}

static void what_is_too_long_is_never_kept(void **state) {
    (void)state;
    const struct amqp_said nothing = {.type = NULL};
    amqp_begins(1, &nothing, (uint64_t)fake_config.max_body_bytes + 1);
    amqp_settle();
    assert_string_equal(amqp_heard(), "reject 1 1\n");
    for (uint64_t left = fake_config.max_body_bytes + 1; left != 0;) {
        static char piece[65536];
        size_t len = left < sizeof(piece) ? left : sizeof(piece);
        amqp_kept_len = 0;
        amqp_frame(1, DOOR_BODY, span_of(piece, len), 0);
        left -= len;
        amqp_settle();
    }
    assert_int_equal(amqp.bytes, 0);
    gives(TO_TILL);
    assert_int_equal(messages_got(till), 1);
    assert_string_equal(amqp_heard(), "ack 1 2 all\n");
}

static void what_never_finds_room_stops_no_queue(void **state) {
    (void)state;
    static char body[3001];
    const struct amqp_said nothing = {.type = NULL};
    uint64_t *ceiling = &amqp.port.server->budget.ceiling_bytes, before = *ceiling;
    *ceiling = (sizeof(body) - 1) * UINT64_C(3);
    amqp_begins(1, &nothing, sizeof(body));
    *ceiling = before;
    amqp_frame(1, DOOR_BODY, span_of(body, sizeof(body)), 0);
    amqp_settle();
    assert_string_equal(amqp_heard(), "reject 1 1\n");
    gives(TO_TILL);
    assert_int_equal(messages_got(till), 1);
}

static void poison_is_refused(void **state) {
    (void)state;
    char bytes[64];
    for (unsigned count = POISON_COUNT - 1; count <= POISON_COUNT; count++) {
        struct builder table = builder_over(bytes, sizeof(bytes));
        amqp_fixed_put(&table, "x-delivery-count", 'l', count, 8);
        const struct amqp_said said = {.headers = builder_span(&table), .has_headers = true};
        amqp_gives_said(1, &said, TO_TILL);
        amqp_settle();
    }
    assert_int_equal(messages_got(till), 1);
    assert_string_equal(amqp_heard(), "ack 1 1 all\nreject 1 2\n");
}

static void nothing_is_read_beyond_the_share(void **state) {
    (void)state;
    amqp.share_bytes = 40;
    gives(TO_AWAY);
    gives(TO_AWAY); /* it is held, and takes the whole share */
    amqp_gives(1, TO_TILL);
    amqp.share_bytes = 80; /* half of which may be held */
    amqp_settle();
    assert_int_equal(messages_got(till), 1);
    amqp.share_bytes = 40;
    amqp_gives(1, TO_TILL);
    amqp_settle();
    /* The oldest that is held gives way. */
    assert_int_equal(SETTLED(0, REJECTED), 1);
    amqp_pass(20 * NS_PER_MS);
    assert_int_equal(messages_got(till), 1);
}

static void who_has_no_memory_still_has_a_pulse(void **state) {
    (void)state;
    const struct amqp_said nothing = {.type = NULL};
    amqp_begins(1, &nothing, strlen(TO_TILL));
    amqp.share_bytes = strlen(TO_TILL); /* one alone may take more than all of it */
    amqp.bytes += 20;
    amqp_pass(9 * NS_PER_S);
    assert_int_equal(amqp_figure_of(&amqp.figures.stalled), 1);
    assert_in_range(amqp_door()->beats, 2, 4);
    amqp.bytes -= 20;
    amqp_frame(1, DOOR_BODY, SPAN(TO_TILL), 0);
    amqp_pass(20 * NS_PER_MS);
    assert_int_equal(messages_got(till), 1);
}

static void a_connection_that_takes_nothing_is_told_later(void **state) {
    (void)state;
    amqp_door()->full = true;
    amqp_gives(1, TO_TILL);
    amqp_gives(1, "no");
    amqp_settle();
    assert_int_equal(messages_got(till), 1);
    assert_string_equal(amqp_heard(), "");
    assert_int_equal(QUEUE_FIGURE(0, under_way), 2);
    amqp_door()->full = false;
    amqp_pass(NS_PER_S);
    assert_string_equal(amqp_heard(), "reject 1 2\nack 1 1 all\n");
}

static void a_lost_connection_gives_again(void **state) {
    (void)state;
    gives(TO_AWAY);
    gives(TO_AWAY);
    amqp_begins(1, &(struct amqp_said){.type = NULL}, 10);
    amqp_settle();
    fake_door_lose(amqp_door(), "it is gone");
    amqp_settle();
    assert_int_equal(SETTLED(0, ABANDONED), 2);
    assert_int_equal(amqp.bytes, 0);
    amqp_balance(0);
    amqp_tags[1] = 0;
    amqp_pass(200 * NS_PER_MS);
    (void)amqp_heard();
    gives(TO_TILL);
    assert_int_equal(messages_got(till), 1);
    assert_string_equal(amqp_heard(), "ack 1 1 all\n");
}

/* --- held ------------------------------------------------------------------------------------- */

static void held_too_long(void **state) {
    (void)state;
    gives(TO_AWAY);
    gives(TO_AWAY);
    gives("{\"to\":\"away\",\"ack\":true,\"ttl\":2}");
    amqp_pass(1900 * NS_PER_MS);
    assert_int_equal(QUEUE_FIGURE(0, held), 2);
    amqp_pass(200 * NS_PER_MS);
    assert_int_equal(QUEUE_FIGURE(0, held), 1);
    amqp_pass(57 * NS_PER_S);
    assert_int_equal(QUEUE_FIGURE(0, held), 1);
    amqp_pass(2 * NS_PER_S);
    assert_int_equal(QUEUE_FIGURE(0, held), 0);
    assert_int_equal(SETTLED(0, REJECTED), 2);
}

static void half_of_the_window_is_held_at_the_most(void **state) {
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        gives(TO_AWAY);
    assert_int_equal(QUEUE_FIGURE(0, held), 2);
    assert_string_equal(amqp_heard(), "ack 1 1 all\nreject 1 2\n");
}

static void nothing_passes_who_is_held(void **state) {
    (void)state;
    fake_config.amqp_prefetch = 8;
    open_with(1, 1);
    gives(TO_AWAY);
    gives("{\"to\":\"away\",\"ack\":true,\"ttl\":1}");
    gives("{\"to\":[\"till\",\"away\"],\"data\":1}");
    gives("{\"to\":\"till\",\"data\":2}");
    gives("{\"group\":\"g\"}");
    assert_int_equal(messages_got(till), 1);
    assert_int_equal(QUEUE_FIGURE(0, held), 3);
    amqp_pass(1100 * NS_PER_MS);
    const char *first = strstr(till->out, "\"data\":1"), *second = strstr(till->out, "\"data\":2");
    assert_true(first != NULL && second != NULL && first < second);
    assert_int_equal(messages_got(till), 2);
    assert_int_equal(SETTLED(0, REJECTED), 1);
}

/* --- acked ------------------------------------------------------------------------------------ */

static void acked_is_settled_by_the_client(void **state) {
    (void)state;
    fake_config.amqp_settle = AMQP_SETTLE_ACKED;
    open_with(10, 1);
    (void)amqp_heard();
    amqp_gives(1, "{\"to\":\"till\",\"ack\":true,\"id\":\"m1\",\"ttl\":5000}");
    amqp_gives(1, "{\"to\":\"till\",\"ack\":true,\"id\":\"m1\"}");
    amqp_gives(1, "{\"to\":\"away\",\"ack\":true,\"id\":\"m2\",\"ttl\":1}");
    amqp_gives(1, TO_TILL);
    amqp_settle();
    assert_int_equal(messages_got(till), 2);
    amqp_pass(60 * NS_PER_MS);
    assert_string_equal(amqp_heard(), "ack 1 4\n");
    assert_int_equal(amqp_figure_of(&amqp.figures.cut), 1);
    peer_say(till, "{\"type\":\"ack\",\"id\":\"m1\"}\n");
    amqp_settle();
    assert_string_equal(amqp_heard(), "ack 1 2 all\n");
    amqp_pass(NS_PER_S);
    assert_string_equal(amqp_heard(), "ack 1 3 all\n");
}

static void acked_and_lost(void **state) {
    (void)state;
    fake_config.amqp_settle = AMQP_SETTLE_ACKED;
    open_with(10, 1);
    gives("{\"to\":\"till\",\"ack\":true,\"id\":\"m1\"}");
    fake_door_lose(amqp_door(), "it is gone");
    amqp_settle();
    assert_int_equal(SETTLED(0, ABANDONED), 1);
    amqp_tags[1] = 0;
    amqp_pass(200 * NS_PER_MS);
    (void)amqp_heard();
    gives("{\"to\":\"till\",\"ack\":true,\"id\":\"m1\"}");
    assert_int_equal(messages_got(till), 1);
    assert_string_equal(amqp_heard(), "");
    peer_say(till, "{\"type\":\"ack\",\"id\":\"m1\"}\n");
    amqp_settle();
    assert_string_equal(amqp_heard(), "ack 1 1 all\n");
}

/* --- the end ---------------------------------------------------------------------------------- */

static void a_drain_cancels_first(void **state) {
    (void)state;
    gives(TO_AWAY);
    gives(TO_AWAY);
    (void)amqp_heard();
    server_drain(&fake_server);
    amqp_gives(1, TO_TILL); /* it was on its way */
    for (unsigned i = 0; i < 1000 && !server_step(&fake_server); i++) {
        fake_now_ns += 20 * NS_PER_MS;
        amqp_settle();
    }
    assert_int_equal(server_phase(&fake_server), PHASE_STOPPED);
    assert_string_equal(amqp_heard(), "cancel 1\nleave\n");
    assert_int_equal(SETTLED(0, ABANDONED), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_up, bare, teardown),
        cmocka_unit_test_setup_teardown(declares, bare, teardown),
        cmocka_unit_test_setup_teardown(tries_addresses_in_turn, bare, teardown),
        cmocka_unit_test_setup_teardown(waits_no_longer_than_ten_seconds, bare, teardown),
        cmocka_unit_test_setup_teardown(who_does_not_greet_is_left, bare, teardown),
        cmocka_unit_test_setup_teardown(who_does_not_answer_is_left, bare, teardown),
        cmocka_unit_test_setup_teardown(a_queue_that_is_missing_is_looked_up_again, bare, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_queue_is_consumed_again, setup, teardown),
        cmocka_unit_test_setup_teardown(strange_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_is_acknowledged_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_comes_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(who_straggles_holds_up_nobody_for_long, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_is_rejected, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_long_is_never_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_never_finds_room_stops_no_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(poison_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_read_beyond_the_share, setup, teardown),
        cmocka_unit_test_setup_teardown(who_has_no_memory_still_has_a_pulse, setup, teardown),
        cmocka_unit_test_setup_teardown(a_connection_that_takes_nothing_is_told_later, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_lost_connection_gives_again, setup, teardown),
        cmocka_unit_test_setup_teardown(held_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(half_of_the_window_is_held_at_the_most, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_passes_who_is_held, bare, teardown),
        cmocka_unit_test_setup_teardown(acked_is_settled_by_the_client, bare, teardown),
        cmocka_unit_test_setup_teardown(acked_and_lost, bare, teardown),
        cmocka_unit_test_setup_teardown(a_drain_cancels_first, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
