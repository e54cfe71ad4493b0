/* Events and requests as servers and emitters of Socket.IO publish them, of all ages; cut off at
 * every byte; what is none. */
#include "ha/adapter/packet.h"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

#define BYTES(literal) span_of(literal, sizeof(literal) - 1)

static char text[4096];

static const char *event_alone(struct span packed, struct adapter_event *event) {
    static char *alone;
    free(alone);
    alone = malloc(packed.len != 0 ? packed.len : 1);
    assert_non_null(alone);
    if (packed.len != 0)
        memcpy(alone, packed.at, packed.len);
    return adapter_event_read(span_of(alone, packed.len), event);
}

static struct adapter_event event_of(struct span packed) {
    struct adapter_event event;
    for (size_t len = 0; len < packed.len; len++)
        assert_non_null(event_alone(span_of(packed.at, len), &event));
    const char *wrong = event_alone(packed, &event);
    if (wrong != NULL)
        fail_msg("%s", wrong);
    return event;
}

static void has_data(const struct adapter_event *event, const char *name, const char *json) {
    struct builder out = builder_over(text, sizeof(text));
    assert_true(span_equal(event->name, span_text(name)));
    assert_null(adapter_data_write(event, &out));
    assert_true(span_equal(builder_span(&out), span_text(json)));
}

/* `io.emit("x", 1)` and `emitter.emit("hi", 1)`, as they were heard. */
static const char from_server[] =
    "\x93\xa6\x41\x62\x43\x31\x32\x33\x83\xa4\x74\x79\x70\x65\x02\xa4\x64\x61\x74\x61\x92\xa1\x78"
    "\x01\xa3\x6e\x73\x70\xa1\x2f\x83\xa5\x72\x6f\x6f\x6d\x73\x90\xa6\x65\x78\x63\x65\x70\x74\x90"
    "\xa5\x66\x6c\x61\x67\x73\x80";
static const char from_emitter[] =
    "\x93\xa7\x65\x6d\x69\x74\x74\x65\x72\x83\xa4\x74\x79\x70\x65\x02\xa4\x64\x61\x74\x61\x92\xa2"
    "\x68\x69\x01\xa3\x6e\x73\x70\xa1\x2f\x83\xa5\x72\x6f\x6f\x6d\x73\x90\xa5\x66\x6c\x61\x67\x73"
    "\x80\xa6\x65\x78\x63\x65\x70\x74\x90";
static const char bytes_to_room[] =
    "\x93\xa7\x65\x6d\x69\x74\x74\x65\x72\x83\xa4\x74\x79\x70\x65\x02\xa4\x64\x61\x74\x61\x92\xa1"
    "\x62\xc4\x02\x01\x02\xa3\x6e\x73\x70\xa1\x2f\x83\xa5\x72\x6f\x6f\x6d\x73\x91\xa2\x72\x31\xa5"
    "\x66\x6c\x61\x67\x73\x80\xa6\x65\x78\x63\x65\x70\x74\x90";

static void test_reads_events(void **state) {
    (void)state;
    struct adapter_event event = event_of(BYTES(from_server));
    assert_true(span_equal(event.uid, SPAN("AbC123")) && span_equal(event.nsp, SPAN("/")));
    assert_int_equal(event.room_count + event.except_count, 0);
    has_data(&event, "x", "1");
    event = event_of(BYTES(from_emitter));
    assert_true(span_equal(event.uid, SPAN("emitter")));
    has_data(&event, "hi", "1");
    struct span bytes, room;
    assert_false(adapter_data_is_bytes(&event, &bytes));
    event = event_of(BYTES(bytes_to_room));
    assert_true(adapter_data_is_bytes(&event, &bytes) && span_equal(bytes, BYTES("\x01\x02")));
    assert_int_equal(event.room_count, 1);
    assert_true(adapter_name_next(&event.rooms, &event.room_count, &room));
    assert_true(span_equal(room, SPAN("r1")));
    assert_false(adapter_name_next(&event.rooms, &event.room_count, &room));
    assert_false(event.is_volatile);
}

static void test_reads_events_of_old_servers(void **state) {
    (void)state;
    /* [packet, {rooms, flags}], of version 0.1; without a namespace, and no arguments */
    struct adapter_event event = event_of(BYTES("\x92\x82\xa4type\x05\xa4"
                                                "data\x91\xa1x\x81\xa5rooms\x93\xa1"
                                                "a\x05\xa1"
                                                "b"));
    assert_int_equal(event.uid.len + event.nsp.len, 0);
    has_data(&event, "x", "null");
    struct span room;
    assert_int_equal(event.room_count, 3);
    assert_true(adapter_name_next(&event.rooms, &event.room_count, &room));
    assert_true(adapter_name_next(&event.rooms, &event.room_count, &room));
    assert_true(span_equal(room, SPAN("b"))); /* a number is nobody's room here */
    assert_false(adapter_name_next(&event.rooms, &event.room_count, &room));
    /* Several arguments; flags; what adapters may add. */
    event = event_of(BYTES("\x93\xa1u\x84\xa4"
                           "data\x94\xa1x\x01\xc0\x80\xa3nsp\xa2/a\xa4type\x02\x01\x02\x83\xa5"
                           "flags\x83\xa8"
                           "compress\xc2\xa8volatile\xc3\xa7timeout\x05\xa5rooms\xc0\xa1z\x90"));
    assert_true(event.is_volatile && span_equal(event.nsp, SPAN("/a")));
    has_data(&event, "x", "[1,null,{}]");
}

static void event_refused(struct span packed) {
    struct adapter_event event;
    assert_non_null(event_alone(packed, &event));
}

static void test_refuses_what_is_no_event(void **state) {
    (void)state;
    event_refused(SPAN("{}"));
    event_refused(BYTES("\x80"));                          /* a map: of another adapter */
    event_refused(BYTES("\x93\xa1u\x81\xa4type\x02\x80")); /* no data */
    event_refused(BYTES("\x92\x81\xa4"
                        "data\x90\x80")); /* without a name */
    event_refused(BYTES("\x92\x81\xa4"
                        "data\x91\x01\x80")); /* that is a string */
    event_refused(BYTES("\x92\x82\xa4"
                        "data\x91\xa1x\xa4type\x03\x80")); /* an acknowledgement */
    event_refused(BYTES("\x92\x81\xa4"
                        "data\x91\xa1x\x80\x00")); /* more behind it */
    event_refused(BYTES("\x92\x81\xa4"
                        "data\x91\xa1x\x81\xa5rooms\xa1x"));
    event_refused(BYTES("\x92\x81\xa4"
                        "data\xdd\xff\xff\xff\xff\xa1x\x80"));
    event_refused(BYTES("\x93\x05\x81\xa4"
                        "data\x91\xa1x\x80"));
}

static void test_writes_events(void **state) {
    (void)state;
    struct builder out = builder_over(text, sizeof(text));
    adapter_event_begin(&out, SPAN("AbC123"), SPAN("x"));
    msgpack_from_json(SPAN("1"), &out);
    adapter_event_nsp(&out, SPAN("/"));
    adapter_event_rooms(&out, 0);
    adapter_event_except(&out, 0);
    adapter_event_end(&out, false);
    assert_true(span_equal(builder_span(&out), BYTES(from_server)));
    out = builder_over(text, sizeof(text));
    adapter_event_begin(&out, SPAN("u"), SPAN("x"));
    msgpack_put_bin(&out, BYTES("\x01"));
    adapter_event_nsp(&out, SPAN("/"));
    adapter_event_rooms(&out, 1);
    msgpack_put_str(&out, SPAN("r"));
    adapter_event_except(&out, 1);
    msgpack_put_str(&out, SPAN("e"));
    adapter_event_end(&out, true);
    struct adapter_event event = event_of(builder_span(&out));
    assert_true(event.is_volatile && event.room_count == 1 && event.except_count == 1);
}

static void channel_is(const char *name, enum adapter_place place, const char *nsp,
                       const char *room) {
    enum adapter_place got;
    struct span namespace, its_room;
    assert_true(adapter_channel_read(SPAN("key"), span_text(name), &got, &namespace, &its_room));
    assert_int_equal(got, place);
    assert_true(span_equal(namespace, span_text(nsp)));
    assert_true(span_equal(its_room, span_text(room)));
    struct builder out = builder_over(text, sizeof(text));
    adapter_channel_write(&out, place, SPAN("key"), namespace, its_room);
    assert_true(span_equal(builder_span(&out), span_text(name)));
}

static void channel_is_none(const char *name) {
    enum adapter_place got;
    struct span namespace, room;
    assert_false(adapter_channel_read(SPAN("key"), span_text(name), &got, &namespace, &room));
}

static void test_channels(void **state) {
    (void)state;
    channel_is("key#/#", ADAPTER_EVENTS, "/", "");
    channel_is("key#/a#r#", ADAPTER_EVENTS, "/a", "r");
    channel_is("key#/#r#1##", ADAPTER_EVENTS, "/", "r#1#");
    channel_is("key-request#/#", ADAPTER_REQUESTS, "/", "");
    channel_is_none("key#/");
    channel_is_none("key#/#r");
    channel_is_none("key#/##");
    channel_is_none("key-request#/#r#");
    channel_is_none("key-response#/#");
    channel_is_none("ke");
    channel_is_none("other#/#");
    struct builder out = builder_over(text, sizeof(text));
    adapter_pattern_write(&out, SPAN("k*y"), SPAN("/[a]?"));
    assert_true(span_equal(builder_span(&out), SPAN("k\\*y#/\\[a\\]\\?#*")));
}

static char id_room[ADAPTER_ID_BYTES_MAX];

static struct adapter_request request_of(struct span asked, enum adapter_does does, bool answered) {
    struct adapter_request request;
    const char *wrong = adapter_request_read(asked, id_room, &request);
    if (wrong != NULL)
        fail_msg("%s", wrong);
    assert_int_equal(request.does, does);
    assert_int_equal(request.is_answered, answered);
    return request;
}

static void answer_is(const struct adapter_request *request, const char *answer) {
    struct builder out = builder_over(text, ADAPTER_ANSWER_BYTES);
    adapter_answer_begin(request, &(struct adapter_answerer){.uid = SPAN("")}, &out);
    adapter_answer_end(request, &out);
    assert_false(out.full);
    assert_true(span_equal(builder_span(&out), span_text(answer)));
}

static void test_reads_requests(void **state) {
    (void)state;
    struct adapter_request request =
        request_of(SPAN("{\"uid\":\"u\",\"requestId\":\"q\",\"type\":0,\"rooms\":[\"r\"]}"),
                   ADAPTER_SOCKETS, true);
    assert_true(span_equal(request.rooms, SPAN("[\"r\"]")));
    answer_is(&request, "{\"requestId\":\"q\",\"sockets\":[]}");
    request = request_of(SPAN("{\"requestId\":\"q\",\"type\":1}"), ADAPTER_ALL_ROOMS, true);
    answer_is(&request, "{\"requestId\":\"q\",\"rooms\":[]}");
    request = request_of(SPAN("{\"type\":2,\"opts\":{\"rooms\":[\"r1\"],\"except\":[\"r2\"]},"
                              "\"rooms\":[\"r9\"]}"),
                         ADAPTER_JOIN, false);
    assert_true(span_equal(request.rooms, SPAN("[\"r1\"]")));
    assert_true(span_equal(request.except, SPAN("[\"r2\"]")));
    assert_true(span_equal(request.joins, SPAN("[\"r9\"]")));
    request =
        request_of(SPAN("{\"type\":4,\"opts\":{},\"close\":true}"), ADAPTER_DISCONNECT, false);
    assert_true(request.close && request.rooms.len == 0);
    request = request_of(SPAN("{\"requestId\":\"q\",\"type\":5,\"opts\":{\"rooms\":[]}}"),
                         ADAPTER_FETCH, true);
    answer_is(&request, "{\"requestId\":\"q\",\"sockets\":[]}");
    request_of(SPAN("{\"type\":6,\"data\":[\"ev\"]}"), ADAPTER_SERVER_EMIT, false);
    request = request_of(SPAN("{\"type\":6,\"requestId\":\"q\",\"data\":[\"ev\"]}"),
                         ADAPTER_SERVER_EMIT, true);
    answer_is(&request, "{\"type\":6,\"requestId\":\"q\",\"data\":null}");
    request_of(SPAN("{\"requestId\":\"q\",\"type\":77}"), ADAPTER_UNKNOWN, false);
    request_of(SPAN("{}"), ADAPTER_UNKNOWN, false);
    request = request_of(BYTES("\x85\xa3uid\xa1u\xa9requestId\xa1q\xa4type\x07\xa6packet\x82\xa4"
                               "data\x91\xa1x\xa3nsp\xa1/\xa4opts\x81\xa5rooms\x91\xa1r"),
                         ADAPTER_BROADCAST, true);
    assert_true(span_equal(request.event.name, SPAN("x")) && request.event.room_count == 1);
    assert_true(span_equal(request.event.uid, SPAN("u")));
    answer_is(&request, "{\"type\":8,\"requestId\":\"q\",\"clientCount\":0}");
}

static void test_reads_requests_of_old_servers(void **state) {
    (void)state;
    struct adapter_request request = request_of(
        SPAN("{\"requestid\":\"q\",\"type\":0,\"rooms\":[\"a\"]}"), ADAPTER_SOCKETS, true);
    assert_true(span_equal(request.rooms, SPAN("[\"a\"]")));
    answer_is(&request, "{\"requestid\":\"q\",\"clients\":[]}");
    request = request_of(SPAN("{\"type\":1,\"requestid\":\"q\",\"sid\":\"s\"}"),
                         ADAPTER_CLIENT_ROOMS, false);
    answer_is(&request, "{\"requestid\":\"q\",\"rooms\":[]}");
    request_of(SPAN("{\"requestid\":\"q\",\"type\":2}"), ADAPTER_ALL_ROOMS, true);
    request = request_of(SPAN("{\"requestid\":\"q\",\"type\":3,\"sid\":\"s\",\"room\":\"r\"}"),
                         ADAPTER_JOIN, false);
    assert_true(span_equal(request.one, SPAN("\"s\"")) && span_equal(request.joins, SPAN("\"r\"")));
    answer_is(&request, "{\"requestid\":\"q\"}");
    /* Version 6.0 has the new numbers and names already. */
    request = request_of(SPAN("{\"requestId\":\"q\",\"type\":2,\"sid\":\"s\",\"room\":\"r\"}"),
                         ADAPTER_JOIN, false);
    assert_true(span_equal(request.one, SPAN("\"s\"")));
    answer_is(&request, "{\"requestId\":\"q\"}");
    request_of(SPAN("{\"requestid\":\"q\",\"type\":4,\"sid\":\"s\",\"room\":\"r\"}"), ADAPTER_LEAVE,
               false);
    request = request_of(SPAN("{\"requestid\":\"q\",\"type\":5,\"data\":[1]}"), ADAPTER_SERVER_EMIT,
                         true);
    answer_is(&request, "{\"requestid\":\"q\",\"data\":null}");
    request_of(SPAN("{\"requestid\":\"q\",\"type\":6,\"sid\":\"s\",\"close\":false}"),
               ADAPTER_DISCONNECT, false);
}

static void test_refuses_requests(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "{",
        "{\"type\":0",
        "{\"type\":2}",
        "{\"type\":2,\"opts\":{}}",
        "{\"type\":2,\"rooms\":[\"a\"]}",
        "{\"type\":3,\"requestId\":\"q\",\"room\":\"a\"}",
        "{\"type\":4}",
        "{\"type\":7,\"requestId\":\"q\"}",
        "{\"requestid\":\"q\",\"type\":3,\"room\":\"a\"}",
        "{\"requestid\":\"q\",\"type\":1}",
        "[1]",
        "\x81",
        "\x81\xa4type\x07",
    };
    struct adapter_request request;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (adapter_request_read(span_text(wrong[i]), id_room, &request) == NULL)
            fail_msg("%s is taken", wrong[i]);
    /* An id that is none, or too long, is as if it were not there. */
    static char long_id[ADAPTER_ID_BYTES_MAX + 100] = "{\"type\":1,\"requestId\":\"";
    memset(long_id + strlen(long_id), 'z', ADAPTER_ID_BYTES_MAX);
    memcpy(long_id + strlen(long_id), "\"}", 3);
    request_of(span_text(long_id), ADAPTER_ALL_ROOMS, false);
    request_of(SPAN("{\"type\":1,\"requestId\":5}"), ADAPTER_ALL_ROOMS, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_events),
        cmocka_unit_test(test_reads_events_of_old_servers),
        cmocka_unit_test(test_refuses_what_is_no_event),
        cmocka_unit_test(test_writes_events),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_reads_requests),
        cmocka_unit_test(test_reads_requests_of_old_servers),
        cmocka_unit_test(test_refuses_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
