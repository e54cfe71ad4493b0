/* What the port publishes, over a broker that is none: refused deliveries, answers, and how little
 * of it is lost when the broker takes nothing. */
#include "tests/support/fake_amqp.h"

#define DIRECT "amq.rabbitmq.reply-to.x"
#define TO_TILL "{\"to\":\"till\"}"

static struct peer *till;

static int setup(void **state) {
    (void)state;
    fake_config.amqp_refused = "dead";
    fake_config.ack_backlog = 1;
    fake_config.amqp_replies[fake_config.amqp_reply_count++] = "direct";
    fake_config.amqp_replies[fake_config.amqp_reply_count++] = "answers.";
    amqp_node_open();
    amqp_settle();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\"]}\n");
    assert_string_equal(amqp_published(), "open 1\nconfirm 1\n");
    (void)amqp_heard();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    amqp_balance(0);
    amqp_node_close();
    return 0;
}

static void gives_said(const struct amqp_said *said, const char *body) {
    amqp_gives_said(1, said, body);
    amqp_settle();
}

static void gives(const char *body) {
    amqp_gives(1, body);
    amqp_settle();
}

static void out_says(enum door_event_kind kind, uint64_t tag, const char *text) {
    fake_door_say(
        amqp_out_door(),
        (struct door_event){.kind = kind, .channel = 1, .tag = tag, .text = span_text(text)});
    amqp_settle();
}

/* A header of the letter that was published last, as text. */
static const char *header(const char *name) {
    static char text[256];
    struct amqp_properties properties;
    struct amqp_value value;
    struct fake_door *door = amqp_out_door();
    assert_true(amqp_properties_read(span_of(door->header, door->header_len), &properties));
    if (!amqp_table_find(properties.headers, span_text(name), &value))
        return NULL;
    if (value.kind == AMQP_STRING)
        snprintf(text, sizeof(text), "%.*s", SPAN_ARG(value.bytes));
    else if (!amqp_number_text(&value, text))
        snprintf(text, sizeof(text), "%c", (char)value.kind);
    return text;
}

static void refused_leaves_before_it_is_acknowledged(void **state) {
    (void)state;
    char bytes[128];
    struct builder table = builder_over(bytes, sizeof(bytes));
    amqp_string_put(&table, "mine", "yes");
    amqp_string_put(&table, "x-ringpost-code", "old");
    const struct amqp_said said = {.content_type = "text/plain",
                                   .message_id = "m1",
                                   .headers = builder_span(&table),
                                   .has_headers = true};
    gives_said(&said, "no JSON");
    assert_string_equal(amqp_published(), "publish 1 dead/q no JSON\n");
    assert_string_equal(amqp_heard(), "");
    assert_string_equal(header("x-ringpost-code"), "bad_json");
    assert_string_equal(header("x-ringpost-text"),
                        "a word that is none of true, false, null at byte 1");
    assert_string_equal(header("x-ringpost-offset"), "1");
    assert_string_equal(header("x-ringpost-queue"), "q");
    assert_string_equal(header("x-ringpost-time"), "T");
    assert_null(header("x-ringpost-field"));
    assert_string_equal(header("mine"), "yes");
    assert_int_equal(QUEUE_FIGURE(0, under_way), 1);
    out_says(DOOR_ACK, 1, "");
    assert_string_equal(amqp_heard(), "ack 1 1 all\n");
    assert_int_equal(SETTLED(0, REFUSED), 1);
    gives("{\"to\":\"till\",\"ttll\":1}");
    assert_string_equal(header("x-ringpost-field"), "ttll");
    assert_null(header("x-ringpost-offset"));
    out_says(DOOR_ACK, 2, "");
    assert_int_equal(SETTLED(0, REFUSED), 2);
}

static void refused_that_goes_nowhere_stays(void **state) {
    (void)state;
    gives("no");
    gives("nor this");
    assert_string_equal(amqp_published(), "publish 1 dead/q no\n");
    out_says(DOOR_RETURN, 0, "dead");
    out_says(DOOR_ACK, 1, "");
    assert_string_equal(amqp_heard(), "");
    assert_string_equal(atomic_load(&amqp.port.degraded), "amqp");
    amqp_pass(200 * NS_PER_MS);
    assert_string_equal(amqp_published(), "publish 1 dead/q no\n");
    out_says(DOOR_NACK, 2, "");
    amqp_pass(400 * NS_PER_MS);
    assert_string_equal(amqp_published(), "publish 1 dead/q no\n");
    out_says(DOOR_ACK, 3, "");
    assert_null(atomic_load(&amqp.port.degraded));
    assert_string_equal(amqp_published(), "publish 1 dead/q nor this\n");
    assert_string_equal(amqp_heard(), "ack 1 1 all\n");
    fake_door_say(amqp_out_door(), (struct door_event){.kind = DOOR_CHANNEL_LOST,
                                                       .channel = 1,
                                                       .code = 404,
                                                       .text = SPAN("NOT_FOUND")});
    amqp_settle();
    assert_string_equal(atomic_load(&amqp.port.degraded), "amqp");
    amqp_pass(200 * NS_PER_MS);
    assert_non_null(strstr(amqp_published(), "open 1\nconfirm 1\n"));
    amqp_pass(200 * NS_PER_MS);
    out_says(DOOR_ACK, 1, "");
    assert_int_equal(SETTLED(0, REFUSED), 2);
}

static void refused_is_abandoned_with_its_channel(void **state) {
    (void)state;
    gives("no");
    fake_door_lose(amqp_door(), "it is gone");
    amqp_settle();
    assert_int_equal(SETTLED(0, ABANDONED), 1);
    out_says(DOOR_ACK, 1, "");
    amqp_tags[1] = 0;
    amqp_pass(200 * NS_PER_MS);
    (void)amqp_heard();
    (void)amqp_published();
    gives("no");
    assert_string_equal(amqp_published(), "publish 1 dead/q no\n");
    out_says(DOOR_ACK, 2, "");
    assert_string_equal(amqp_heard(), "ack 1 1 all\n");
}

static void refused_waits_while_the_broker_is_in_alarm(void **state) {
    (void)state;
    out_says(DOOR_BLOCKED, 0, "low on memory");
    gives("no");
    assert_string_equal(amqp_published(), "");
    assert_string_equal(atomic_load(&amqp.port.degraded), "amqp");
    gives(TO_TILL);
    amqp_pass(60 * NS_PER_MS);
    assert_string_equal(amqp_heard(), "ack 1 2\n");
    out_says(DOOR_UNBLOCKED, 0, "");
    assert_string_equal(amqp_published(), "publish 1 dead/q no\n");
}

static void refused_headers_that_are_too_long_are_left_out(void **state) {
    (void)state;
    char bytes[1000], text[800];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct builder table = builder_over(bytes, sizeof(bytes));
    amqp_string_put(&table, "mine", text);
    const struct amqp_said said = {.headers = builder_span(&table), .has_headers = true};
    amqp_out_door()->header_max = 800;
    gives_said(&said, "no");
    assert_null(header("mine"));
    assert_string_equal(header("x-ringpost-code"), "bad_json");
}

static void results_are_replied(void **state) {
    (void)state;
    struct amqp_said said = {.reply_to = DIRECT, .correlation_id = "c1", .message_id = "m1"};
    gives_said(&said, "{\"to\":\"till\"}");
    assert_string_equal(amqp_published(),
                        "publish 1 /" DIRECT
                        " {\"status\":202,\"id\":\"m1\",\"state\":\"queued\",\"recipients\":1}\n");
    struct amqp_properties properties;
    struct fake_door *door = amqp_out_door();
    assert_true(amqp_properties_read(span_of(door->header, door->header_len), &properties));
    assert_true(span_equal(properties.correlation_id, SPAN("c1")));
    assert_true(span_equal(properties.message_id, SPAN("m1")));
    assert_true(span_equal(properties.type, SPAN("ringpost.result")));
    assert_true(span_equal(properties.content_type, SPAN("application/json")));
    said.reply_to = "answers.7";
    said.message_id = NULL;
    gives_said(&said, "{\"to\":\"nobody\",\"id\":\"m2\"}");
    assert_non_null(strstr(amqp_published(), "/answers.7 {\"status\":404,\"id\":\"m2\""));
    gives_said(&said, "no");
    assert_non_null(strstr(amqp_published(), "{\"status\":400,\"error\":{\"code\":\"bad_json\""));
    static const char *const not_allowed[] = {"q", "other", "amq.gen-x", "answer"};
    out_says(DOOR_ACK, 3, "");
    for (size_t i = 0; i < 4; i++) {
        said.reply_to = not_allowed[i];
        gives_said(&said, TO_TILL);
        assert_null(strstr(amqp_published(), not_allowed[i]));
    }
    out_says(DOOR_RETURN, 0, "");
    out_says(DOOR_ACK, 2, "");
    assert_int_equal(amqp_figure_of(&amqp.figures.replies_untaken), 1);
}

static void fates_follow_results(void **state) {
    (void)state;
    struct amqp_said said = {.reply_to = DIRECT, .correlation_id = "c1"};
    gives_said(&said, "{\"to\":\"till\",\"ack\":true,\"id\":\"m1\"}");
    assert_non_null(strstr(amqp_published(), "\"state\":\"queued\""));
    peer_say(till, "{\"type\":\"ack\",\"id\":\"m1\"}\n");
    amqp_settle();
    const char *published = amqp_published();
    assert_non_null(strstr(published, "\"id\":\"m1\""));
    assert_non_null(strstr(published, "\"state\":\"acked\""));
    gives_said(&said, "{\"to\":\"till\",\"ack\":true,\"id\":\"m1\"}");
    published = amqp_published();
    assert_non_null(strstr(published, "\"state\":\"duplicate\""));
    assert_int_equal(times(published, "publish"), 2);
    /* One that nobody acknowledges is waited for until the end. */
    gives_said(&said, "{\"to\":\"till\",\"ack\":true,\"id\":\"m2\"}");
    assert_int_equal(amqp.reply_count, 1);
}

static void nothing_is_replied_while_it_is_held(void **state) {
    (void)state;
    struct amqp_said said = {.reply_to = DIRECT, .message_id = "m2"};
    gives("{\"to\":\"away\",\"ack\":true}");
    (void)amqp_published();
    gives_said(&said, "{\"to\":\"away\",\"ack\":true,\"ttl\":1}");
    assert_string_equal(amqp_published(), "");
    amqp_pass(1100 * NS_PER_MS);
    assert_non_null(strstr(amqp_published(), "{\"status\":410,"));
}

static void replies_have_a_bound(void **state) {
    (void)state;
    struct amqp_said said = {.reply_to = DIRECT};
    out_says(DOOR_BLOCKED, 0, "low on disk");
    for (unsigned i = 0; i < LETTERS_MAX + 10; i++) {
        amqp_kept_len = 0;
        amqp_gives_said(1, &said, TO_TILL);
        amqp_settle();
        amqp_door()->heard[0] = '\0';
        free(peer_heard(till));
    }
    assert_int_equal(amqp.out.letter_count, LETTERS_MAX);
    assert_int_equal(amqp_figure_of(&amqp.figures.replies_dropped), 10);
    assert_int_equal(SETTLED(0, ACKNOWLEDGED), LETTERS_MAX + 10);
}

static void outcomes_are_published(void **state) {
    (void)state;
    fake_config.amqp_results = "books";
    fake_config.amqp_refused = NULL;
    amqp_node_open();
    amqp_settle();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    struct peer *api = api_connect();
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"ack\":true,\"id\":\"m1\"}"));
    ask(api, JSON_POST("/v1/messages", TO_TILL));
    (void)amqp_published();
    peer_say(till, "{\"type\":\"ack\",\"id\":\"m1\"}\n");
    amqp_settle();
    const char *published = amqp_published();
    assert_non_null(strstr(published, "publish 1 books/acked {\"id\":\"m1\",\"state\":\"acked\""));
    assert_int_equal(times(published, "publish"), 1);
    /* What was not confirmed is published again. */
    fake_door_lose(amqp_out_door(), "it is gone");
    amqp_settle();
    amqp_pass(200 * NS_PER_MS);
    assert_non_null(strstr(amqp_published(), "publish 1 books/acked {\"id\":\"m1\""));
    out_says(DOOR_ACK, 1, "");
    assert_int_equal(amqp_figure_of(&amqp.figures.results), 1);
}

static int bare(void **state) {
    (void)state;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refused_leaves_before_it_is_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_that_goes_nowhere_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_is_abandoned_with_its_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_waits_while_the_broker_is_in_alarm, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(refused_headers_that_are_too_long_are_left_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(results_are_replied, setup, teardown),
        cmocka_unit_test_setup_teardown(fates_follow_results, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_replied_while_it_is_held, setup, teardown),
        cmocka_unit_test_setup_teardown(replies_have_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(outcomes_are_published, bare, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
