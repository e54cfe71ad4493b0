/* What servers publish by the sharded adapter, as it was heard, in JSON and MessagePack; cut off at
 * every byte; what is none. */
#include "ha/adapter/sharded.h"

#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>

static char room[65536], id_room[ADAPTER_ID_BYTES_MAX], text[4096];
static struct sharded_message message;

/* At the end of a block of its own, so that nothing behind it is read unnoticed. */
static const char *alone(struct span said, struct adapter_request *request) {
    static char *at;
    free(at);
    at = malloc(said.len != 0 ? said.len : 1);
    assert_non_null(at);
    if (said.len != 0)
        memcpy(at, said.at, said.len);
    *request = (struct adapter_request){.does = ADAPTER_UNKNOWN};
    const char *wrong = sharded_open(span_of(at, said.len), &message);
    if (wrong != NULL)
        return wrong;
    assert_true(sharded_bytes(&message) <= sizeof(room));
    struct builder packed = builder_over(room, sharded_bytes(&message));
    return sharded_read(&message, id_room, &packed, request);
}

static struct adapter_request read_of(struct span said, enum adapter_does does, bool answered) {
    struct adapter_request request;
    for (size_t len = 0; len < said.len; len++)
        assert_non_null(alone(span_of(said.at, len), &request));
    const char *wrong = alone(said, &request);
    if (wrong != NULL)
        fail_msg("%s", wrong);
    assert_int_equal(request.does, does);
    assert_int_equal(request.is_answered, answered);
    return request;
}

static void is(struct span got, const char *wanted) {
    assert_true(span_equal(got, span_text(wanted)));
}

static void has_data(const struct adapter_event *event, const char *name, const char *json) {
    struct builder out = builder_over(text, sizeof(text));
    is(event->name, name);
    assert_null(adapter_data_write(event, &out));
    is(builder_span(&out), json);
}

static void has_names(struct span names, uint32_t count, const char *first) {
    struct span name;
    assert_true(adapter_name_next(&names, &count, &name));
    is(name, first);
}

static void answer_is(const struct adapter_request *request, const char *answer) {
    const struct adapter_answerer answerer = {SPAN_INIT("me"), SPAN_INIT("/")};
    struct builder out = builder_over(text, ADAPTER_ANSWER_BYTES);
    adapter_answer_begin(request, &answerer, &out);
    adapter_answer_end(request, &out);
    assert_false(out.full);
    is(builder_span(&out), answer);
}

#define SENDER ",\"uid\":\"0123456789abcdef\",\"nsp\":\"/\"}"

static void test_events(void **state) {
    (void)state;
    struct adapter_request request =
        read_of(SPAN("{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"x\",1,\"\\u00e9\"]},"
                     "\"opts\":{\"rooms\":[\"r1\"],\"except\":[\"r2\",\"r3\"],"
                     "\"flags\":{\"volatile\":true}}}" SENDER),
                ADAPTER_BROADCAST, false);
    is(message.uid, "0123456789abcdef");
    is(message.nsp, "/");
    has_data(&request.event, "x", "[1,\"\xC3\xA9\"]");
    assert_int_equal(request.event.room_count, 1);
    has_names(request.event.rooms, 1, "r1");
    assert_int_equal(request.event.except_count, 2);
    has_names(request.event.except, 2, "r2");
    assert_true(request.event.is_volatile);
    /* With acknowledgements. */
    request = read_of(SPAN("{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"x\"]},"
                           "\"requestId\":\"q\",\"opts\":{\"rooms\":[],\"except\":[],"
                           "\"flags\":{\"timeout\":100}}}" SENDER),
                      ADAPTER_BROADCAST, true);
    has_data(&request.event, "x", "null");
    answer_is(&request, "{\"type\":11,\"uid\":\"me\",\"nsp\":\"/\",\"data\":{\"requestId\":\"q\","
                        "\"clientCount\":0}}");
}

/* `to("r").emit("b", <01 02>)` of uid u, and as this node writes it. */
static void test_bytes(void **state) {
    (void)state;
    static const char heard[] = "\x84\xa4type\x03\xa4"
                                "data\x82\xa6packet\x82\xa4type\x02\xa4"
                                "data\x92\xa1"
                                "b\xc4\x02\x01\x02\xa4opts\x83\xa5rooms\x91\xa1r\xa6"
                                "except\x90\xa5"
                                "flags\x80\xa3uid\xa1u\xa3nsp\xa1/";
    struct span bytes;
    struct adapter_request request =
        read_of(span_of(heard, sizeof(heard) - 1), ADAPTER_BROADCAST, false);
    is(message.uid, "u");
    is(request.event.name, "b");
    assert_true(adapter_data_is_bytes(&request.event, &bytes));
    is(bytes, "\x01\x02");
    has_names(request.event.rooms, request.event.room_count, "r");

    static char made[400];
    struct builder out = builder_over(made, sizeof(made));
    sharded_event_begin(&out, SPAN("me"), SPAN("/a"), SPAN("e"));
    msgpack_put_natural(&out, 7);
    sharded_event_nsp(&out, SPAN("/a"));
    adapter_event_rooms(&out, 1);
    msgpack_put_str(&out, SPAN("r"));
    adapter_event_except(&out, 0);
    adapter_event_end(&out, true);
    assert_true(out.len <= ADAPTER_EVENT_BYTES);
    request = read_of(builder_span(&out), ADAPTER_BROADCAST, false);
    is(message.uid, "me");
    is(message.nsp, "/a");
    has_data(&request.event, "e", "7");
    assert_true(request.event.is_volatile);
    has_names(request.event.rooms, request.event.room_count, "r");
}

static void test_requests(void **state) {
    (void)state;
    struct adapter_request request =
        read_of(SPAN("{\"type\":4,\"data\":{\"opts\":{\"rooms\":[\"a\"],\"except\":[]},"
                     "\"rooms\":[\"b\"]}" SENDER),
                ADAPTER_JOIN, false);
    is(request.rooms, "[\"a\"]");
    is(request.joins, "[\"b\"]");
    read_of(SPAN("{\"type\":5,\"data\":{\"opts\":{},\"rooms\":[\"b\"]}" SENDER), ADAPTER_LEAVE,
            false);
    request = read_of(SPAN("{\"type\":6,\"data\":{\"opts\":{\"rooms\":[]},\"close\":true}" SENDER),
                      ADAPTER_DISCONNECT, false);
    assert_true(request.close);
    request = read_of(
        SPAN("{\"type\":7,\"data\":{\"opts\":{\"except\":[\"c\"]},\"requestId\":\"q\"}" SENDER),
        ADAPTER_FETCH, true);
    is(request.except, "[\"c\"]");
    answer_is(&request, "{\"type\":8,\"uid\":\"me\",\"nsp\":\"/\",\"data\":{\"requestId\":\"q\","
                        "\"sockets\":[]}}");
    request = read_of(SPAN("{\"type\":9,\"data\":{\"requestId\":\"q\",\"packet\":[\"e\"]}" SENDER),
                      ADAPTER_SERVER_EMIT, true);
    answer_is(&request, "{\"type\":10,\"uid\":\"me\",\"nsp\":\"/\",\"data\":{\"requestId\":\"q\","
                        "\"packet\":null}}");
    read_of(SPAN("{\"type\":9,\"data\":{\"packet\":[\"e\"]}" SENDER), ADAPTER_SERVER_EMIT, false);
    request = read_of(SPAN("\x84\xa4type\x09\xa3uid\xa1u\xa3nsp\xa1/\xa4"
                           "data\x82\xa9requestId\xa1q\xa6packet\x91\xc4\x01x"),
                      ADAPTER_SERVER_EMIT, true);
    is(request.id, "\"q\"");
    /* Answers to others, and words that somebody lives. */
    static const unsigned char others[] = {1, 2, 8, 10, 11, 12, 13};
    for (unsigned i = 0; i < sizeof(others); i++) {
        char word[80];
        snprintf(word, sizeof(word), "{\"type\":%u,\"uid\":\"u\",\"nsp\":\"/\"}", others[i]);
        read_of(span_text(word), ADAPTER_NOTHING, false);
    }
    read_of(SPAN("{\"type\":14,\"data\":{}" SENDER), ADAPTER_UNKNOWN, false);
    read_of(SPAN("{\"type\":0,\"data\":{}" SENDER), ADAPTER_UNKNOWN, false);
}

static void test_senders(void **state) {
    (void)state;
    char said[400];
    /* Nobody is answered whose name is none, or too long. */
    for (unsigned len = 63; len <= 65; len++) {
        snprintf(said, sizeof(said),
                 "{\"type\":7,\"uid\":\"%0*d\",\"nsp\":\"/\",\"data\":{\"opts\":{},\"requestId\":"
                 "\"q\"}}",
                 (int)len, 0);
        read_of(span_text(said), ADAPTER_FETCH, len <= ADAPTER_UID_MAX);
    }
    read_of(SPAN("{\"type\":7,\"nsp\":\"/\",\"data\":{\"opts\":{},\"requestId\":\"q\"}}"),
            ADAPTER_FETCH, false);
    read_of(SPAN("{\"type\":7,\"uid\":5,\"nsp\":\"/\\u0061\",\"data\":{\"opts\":{}}}"),
            ADAPTER_FETCH, false);
    is(message.nsp, "/a");
    snprintf(said, sizeof(said), "{\"type\":2,\"nsp\":\"/\\u0061%064d\"}", 0);
    read_of(span_text(said), ADAPTER_NOTHING, false);
    assert_int_equal(message.nsp.len, 0);
}

static void test_none(void **state) {
    (void)state;
    static const struct span wrong[] = {
        SPAN_INIT(""),
        SPAN_INIT("{}"),
        SPAN_INIT("[]"),
        SPAN_INIT("{\"type\":3}"),
        SPAN_INIT("{\"type\":3,\"data\":[]}"),
        SPAN_INIT("{\"type\":3,\"data\":{}}"),
        SPAN_INIT("{\"type\":\"3\",\"data\":{}}"),
        SPAN_INIT("{\"type\":-3,\"data\":{}}"),
        SPAN_INIT("{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[]},\"opts\":{}}}"),
        SPAN_INIT("{\"type\":3,\"data\":{\"packet\":{\"type\":0,\"data\":[\"x\"]},\"opts\":{}}}"),
        SPAN_INIT("{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[5]},\"opts\":{}}}"),
        SPAN_INIT("{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"x\"]}}}"),
        SPAN_INIT("{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"x\"]},\"opts\":"
                  "{\"rooms\":\"r\"}}}"),
        SPAN_INIT("{\"type\":4,\"data\":{\"opts\":{}}}"),
        SPAN_INIT("{\"type\":4,\"data\":5}"),
        SPAN_INIT("{\"type\":6,\"data\":{}}"), /* whom it is about is not said */
        SPAN_INIT("{\"type\":6,\"data\":{\"opts\":{\"rooms\":\"all\"}}}"),
        SPAN_INIT("{\"type\":7,\"data\":{\"requestId\":\"q\"}}"),
        SPAN_INIT("\x93\xa1u\x80\x80"),    /* of the other adapter */
        SPAN_INIT("\x81\xa4type\x03\x01"), /* something behind it */
        SPAN_INIT("\x82\xa4type\x06\xa4"
                  "data\x80"), /* not as MessagePack */
        SPAN_INIT("\x82\xa4type\x03\xa4"
                  "data\x90"),
    };
    struct adapter_request request;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (alone(wrong[i], &request) == NULL)
            fail_msg("%.*s", (int)wrong[i].len, wrong[i].at);
    /* Nested as deep as JSON may be. */
    struct builder out = builder_over(text, sizeof(text));
    builder_text(&out, "{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"x\",");
    for (unsigned i = 0; i < 200; i++)
        builder_byte(&out, '[');
    assert_non_null(alone(builder_span(&out), &request));
    for (unsigned i = 0; i < 200; i++)
        builder_byte(&out, ']');
    builder_text(&out, "]},\"opts\":{}}}");
    assert_non_null(alone(builder_span(&out), &request));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),   cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_requests), cmocka_unit_test(test_senders),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
