/* Which message a delivery is, in each of the three forms, and with which words it is refused. */
#include "ingest/amqp/amqp_form.c"

#include "ingest/amqp/amqp_wire.c"
#include "tests/support/amqp_writer.h"
#include "tests/support/cmocka_first.h"

#include <stdlib.h>

#define MAX 200 /* bytes of data */

static struct envelope_scratch *room;
static char header_bytes[4096], rewritten_bytes[4096], table_bytes[4096];
static struct builder table;
static struct amqp_properties properties;
static struct complaint complaint;

static int make_room(void **state) {
    (void)state;
    room = malloc(sizeof *room);
    return room == NULL;
}

static int drop_room(void **state) {
    (void)state;
    free(room);
    return 0;
}

static int fresh(void **state) {
    (void)state;
    table = builder_over(table_bytes, sizeof table_bytes);
    return 0;
}

/* Read in memory of exactly its size, which lives until the next one. */
static bool read_all(struct amqp_said said, const char *body, struct envelope *envelope) {
    static char *alone[2];
    struct builder header = builder_over(header_bytes, sizeof header_bytes);
    if (table.len != 0) {
        said.headers = builder_span(&table);
        said.has_headers = true;
    }
    amqp_said_write(&header, &said);
    free(alone[0]);
    free(alone[1]);
    alone[0] = malloc(header.len);
    alone[1] = malloc(strlen(body) + 1);
    assert_non_null(alone[0]);
    assert_non_null(alone[1]);
    memcpy(alone[0], header.at, header.len);
    memcpy(alone[1], body, strlen(body));
    struct amqp_content content = {span_of(alone[0], header.len), span_of(alone[1], strlen(body))};
    struct builder rewritten = builder_over(rewritten_bytes, strlen(body));
    memset(&complaint, 0, sizeof complaint);
    bool good = amqp_form_read(envelope, room, &content, &rewritten, MAX, &properties, &complaint);
    assert_int_equal(good, complaint.code == CODE_NONE);
    return good;
}

static struct envelope take(struct amqp_said said, const char *body) {
    struct envelope envelope;
    if (!read_all(said, body, &envelope))
        fail_msg("%s: %s %s", body, code_word(complaint.code), complaint.text);
    return envelope;
}

static void refuse_as(struct amqp_said said, const char *body, enum code code, const char *field,
                      const char *says) {
    struct envelope envelope;
    if (read_all(said, body, &envelope))
        fail_msg("%s was taken", body);
    if (complaint.code != code || strcmp(complaint.field, field) != 0 ||
        strcmp(complaint.text, says) != 0)
        fail_msg("%s: %s, field \"%s\", \"%s\"", body, code_word(complaint.code), complaint.field,
                 complaint.text);
}

static void assert_span(struct span span, const char *want) {
    if (!span_equal(span, span_text(want)))
        fail_msg("\"%.*s\" instead of \"%s\"", SPAN_ARG(span), want);
}

static void assert_names(const struct name_list *list, const char *want) {
    char joined[256];
    struct builder out = builder_over(joined, sizeof joined);
    for (unsigned i = 0; i < list->count; i++) {
        if (i != 0)
            builder_byte(&out, ' ');
        builder_span_add(&out, list->at[i]);
    }
    assert_span(builder_span(&out), want);
}

static void assert_data(const struct envelope *envelope, const char *want) {
    char bytes[1024];
    struct builder out = builder_over(bytes, envelope->parts.payload_max);
    envelope_payload(envelope, &out);
    assert_false(out.full);
    assert_span(builder_span(&out), want);
}

#define SAID(...) ((struct amqp_said){__VA_ARGS__})
#define NOTHING ((struct amqp_said){.type = NULL})

/* --- a message object ------------------------------------------------------------------------- */

static void object_is_a_message(void **state) {
    (void)state;
    struct envelope envelope =
        take(NOTHING, "{\"to\":\"till-7\",\"event\":\"pay\",\"data\":{\"a\":1},\"ttl\":5}");
    assert_names(&envelope.to, "till-7");
    assert_span(envelope.parts.event, "pay");
    assert_int_equal(envelope.parts.ttl_ns, 5 * NS_PER_S);
    assert_data(&envelope, "{\"a\":1}");
    envelope = take(NOTHING, "{\"to\":\"a\",\"ack\":true}");
    assert_span(envelope.parts.event, "message");
    assert_int_equal(envelope.parts.ttl_ns, TTL_ACK_DEFAULT_NS);
    assert_int_equal(envelope.parts.class, CLASS_ACK);
}

static void object_takes_properties_where_it_has_none(void **state) {
    (void)state;
    struct amqp_said said = {.message_id = "m1", .expiration = "1500", .type = "pay"};
    struct envelope envelope = take(said, "{\"to\":\"a\"}");
    assert_span(envelope.parts.id, "m1");
    assert_span(envelope.parts.event, "pay");
    assert_int_equal(envelope.parts.ttl_ns, 1500 * NS_PER_MS);
    envelope = take(said, "{\"to\":\"a\",\"id\":\"m1\",\"event\":\"x\",\"ttl\":9}");
    assert_span(envelope.parts.id, "m1");
    assert_span(envelope.parts.event, "x");
    assert_int_equal(envelope.parts.ttl_ns, 9 * NS_PER_S);
    envelope = take(said, "{\"to\":\"a\",\"id\":null,\"event\":null,\"ttl\":null}");
    assert_span(envelope.parts.id, "m1");
    assert_span(envelope.parts.event, "pay");
    assert_int_equal(envelope.parts.ttl_ns, 1500 * NS_PER_MS);
    envelope = take(SAID(.message_id = "", .expiration = "", .type = ""), "{\"to\":\"a\"}");
    assert_int_equal(envelope.parts.id.len, 0);
    assert_span(envelope.parts.event, "message");
}

static void expiration_has_bounds(void **state) {
    (void)state;
    struct envelope envelope = take(SAID(.expiration = "0"), "{\"to\":\"a\"}");
    assert_int_equal(envelope.parts.ttl_ns, NS_PER_MS);
    envelope = take(SAID(.expiration = "604800001"), "{\"to\":\"a\"}");
    assert_int_equal(envelope.parts.ttl_ns, TTL_NS_MAX);
    envelope = take(SAID(.expiration = "99999999999999999999999999"), "{\"to\":\"a\"}");
    assert_int_equal(envelope.parts.ttl_ns, TTL_NS_MAX);
    refuse_as(SAID(.expiration = "soon"), "{\"to\":\"a\"}", CODE_BAD_MESSAGE, "expiration",
              "expiration is no number of milliseconds");
    refuse_as(SAID(.expiration = "1.5"), "{\"to\":\"a\"}", CODE_BAD_MESSAGE, "expiration",
              "expiration is no number of milliseconds");
    refuse_as(SAID(.expiration = "-1"), "{\"to\":\"a\",\"ttl\":1}", CODE_BAD_MESSAGE, "expiration",
              "expiration is no number of milliseconds");
}

static void object_is_refused(void **state) {
    (void)state;
    refuse_as(NOTHING, "no", CODE_BAD_JSON, "",
              "a word that is none of true, false, null at byte 1");
    assert_int_equal(complaint.offset, 1);
    refuse_as(NOTHING, "[]", CODE_BAD_MESSAGE, "", "a message must be a JSON object");
    refuse_as(NOTHING, "", CODE_BAD_JSON, "", "there is no value at byte 0");
    refuse_as(NOTHING, "{\"to\":\"a\",\"ttll\":1}", CODE_BAD_MESSAGE, "ttll",
              "unknown field \"ttll\"");
    refuse_as(NOTHING, "{}", CODE_BAD_MESSAGE, "to", "to or group or broadcast must be there");
    refuse_as(SAID(.message_id = "m2"), "{\"to\":\"a\",\"id\":\"m1\"}", CODE_BAD_MESSAGE,
              "message_id", "message_id is not the id of the message");
    refuse_as(SAID(.message_id = "m 2"), "{\"to\":\"a\"}", CODE_BAD_MESSAGE, "message_id",
              "message_id holds a byte that is not visible ASCII");
    refuse_as(
        SAID(.message_id = "12345678901234567890123456789012345678901234567890123456789012345"),
        "{\"to\":\"a\"}", CODE_BAD_MESSAGE, "message_id", "message_id is longer than 64 bytes");
    refuse_as(SAID(.type = "connect"), "{\"to\":\"a\"}", CODE_BAD_MESSAGE, "type",
              "type is a reserved word");
    char large[2 * MAX];
    snprintf(large, sizeof large, "{\"to\":\"a\",\"data\":\"%0*d\"}", MAX, 0);
    refuse_as(NOTHING, large, CODE_TOO_LARGE, "data", "data is longer than 200 bytes");
}

/* --- encodings -------------------------------------------------------------------------------- */

static void encodings(void **state) {
    (void)state;
    static const char *const none[] = {"utf-8", "UTF-8", "us-ascii", "Identity", ""};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        take(SAID(.content_encoding = none[i]), "{\"to\":\"a\"}");
    refuse_as(SAID(.content_encoding = "gzip"), "{\"to\":\"a\"}", CODE_UNSUPPORTED_MEDIA_TYPE,
              "content_encoding", "the body is under a content_encoding; send it as it is");
    /* The type says nothing of an object. */
    take(SAID(.content_type = "application/octet-stream"), "{\"to\":\"a\"}");
}

/* --- by headers ------------------------------------------------------------------------------- */

static void headers_are_fields(void **state) {
    (void)state;
    char inside[64];
    struct builder list = builder_over(inside, sizeof inside);
    amqp_string_put(&list, NULL, "b");
    amqp_string_put(&list, NULL, "a");
    amqp_string_put(&list, NULL, "b");
    amqp_nested_put(&table, "to", 'A', &list);
    amqp_string_put(&table, "event", "pay");
    amqp_fixed_put(&table, "ack", 't', 1, 1);
    amqp_fixed_put(&table, "ttl", 'I', 7, 4);
    amqp_string_put(&table, "id", "m1");
    amqp_nested_put(&table, "x-death", 'F', &list);
    struct envelope envelope = take(SAID(.content_type = "application/json"), " {\"a\" : 1}");
    assert_names(&envelope.to, "a b");
    assert_span(envelope.parts.event, "pay");
    assert_span(envelope.parts.id, "m1");
    assert_int_equal(envelope.parts.class, CLASS_ACK);
    assert_int_equal(envelope.parts.ttl_ns, 7 * NS_PER_S);
    assert_data(&envelope, "{\"a\" : 1}");
}

static void headers_body_by_type(void **state) {
    (void)state;
    amqp_string_put(&table, "group", "g");
    struct envelope envelope = take(SAID(.content_type = "text/plain"), "1");
    assert_data(&envelope, "\"1\"");
    assert_span(envelope.parts.group_json, "\"g\"");
    envelope = take(NOTHING, "1");
    assert_data(&envelope, "1");
    envelope = take(NOTHING, "one");
    assert_data(&envelope, "\"one\"");
    envelope = take(SAID(.content_type = "application/octet-stream"), "1");
    assert_true(envelope.parts.is_bytes);
    envelope = take(SAID(.content_type = "application/x-ndjson"), "1");
    assert_true(envelope.parts.is_bytes);
    refuse_as(SAID(.content_type = "application/json"), "one", CODE_BAD_JSON, "",
              "a value is missing at byte 0");
    refuse_as(SAID(.content_type = "text/plain; charset=utf-16"), "one",
              CODE_UNSUPPORTED_MEDIA_TYPE, "content_type",
              "the charset of content_type is not UTF-8, and the body is not ASCII; send UTF-8");
    take(SAID(.content_type = "application/octet-stream; charset=utf-16"), "one");
    envelope = take(SAID(.type = "pay"), "1");
    assert_span(envelope.parts.event, "pay");
}

static void headers_choose_the_form(void **state) {
    (void)state;
    amqp_fixed_put(&table, "to", 'V', 0, 0);
    amqp_fixed_put(&table, "broadcast", 't', 0, 1);
    amqp_string_put(&table, "broadcast", "false");
    struct envelope envelope = take(NOTHING, "{\"to\":\"a\"}");
    assert_names(&envelope.to, "a");
    amqp_string_put(&table, "broadcast", "1");
    envelope = take(NOTHING, "{\"to\":\"a\"}");
    assert_true(envelope.parts.broadcast);
    assert_data(&envelope, "{\"to\":\"a\"}");
}

static void headers_of_every_type(void **state) {
    (void)state;
    static const struct {
        char kind;
        unsigned bytes;
    } numbers[] = {{'t', 1}, {'b', 1}, {'B', 1}, {'s', 2}, {'u', 2}, {'I', 4}, {'i', 4},
                   {'l', 8}, {'L', 8}, {'f', 4}, {'d', 8}, {'D', 5}, {'T', 8}};
    static const char *const names[] = {"to", "group", "except", "event", "namespace", "id"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            char says[64];
            fresh(NULL);
            amqp_fixed_put(&table, names[n], numbers[i].kind, 1, numbers[i].bytes);
            amqp_string_put(&table, "to", "a");
            snprintf(says, sizeof says, "%s is not a string", names[n]);
            refuse_as(NOTHING, "1", CODE_BAD_MESSAGE, names[n], says);
        }
        fresh(NULL);
        amqp_fixed_put(&table, names[n], 'V', 0, 0);
        amqp_string_put(&table, "to", "a");
        take(NOTHING, "1");
    }
    fresh(NULL);
    amqp_string_put(&table, "to", "a");
    amqp_fixed_put(&table, "ack", 'I', 1, 4);
    refuse_as(NOTHING, "1", CODE_BAD_MESSAGE, "ack",
              "ack is neither a boolean nor one of 1, 0, true, false");
    fresh(NULL);
    amqp_string_put(&table, "broadcast", "yes");
    refuse_as(NOTHING, "1", CODE_BAD_MESSAGE, "broadcast",
              "broadcast is none of 1, 0, true, false");
    fresh(NULL);
    struct builder empty = builder_over(NULL, 0);
    amqp_nested_put(&table, "to", 'A', &empty);
    refuse_as(NOTHING, "1", CODE_BAD_MESSAGE, "to", "to must hold 1 to 1000 entries");
}

static void headers_ttl(void **state) {
    (void)state;
    static const struct {
        char kind;
        uint64_t value;
        unsigned bytes;
        uint64_t ns;
    } good[] = {
        {'b', 5, 1, 5 * NS_PER_S},
        {'B', 200, 1, 200 * NS_PER_S},
        {'s', 300, 2, 300 * NS_PER_S},
        {'l', 600, 8, 600 * NS_PER_S},
        {'f', 0x3fc00000, 4, 1500 * NS_PER_MS},
        {'d', 0x3ff8000000000000, 8, 1500 * NS_PER_MS},
        {'D', UINT64_C(1) << 32 | 15, 5, 1500 * NS_PER_MS},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        fresh(NULL);
        amqp_string_put(&table, "to", "a");
        amqp_fixed_put(&table, "ttl", good[i].kind, good[i].value, good[i].bytes);
        struct envelope envelope = take(SAID(.expiration = "7"), "1");
        assert_int_equal(envelope.parts.ttl_ns, good[i].ns);
    }
    static const char *const texts[] = {"1.5", "15e-1"};
    for (size_t i = 0; i < 2; i++) {
        fresh(NULL);
        amqp_string_put(&table, "to", "a");
        amqp_string_put(&table, "ttl", texts[i]);
        struct envelope envelope = take(NOTHING, "1");
        assert_int_equal(envelope.parts.ttl_ns, 1500 * NS_PER_MS);
    }
    static const struct {
        char kind;
        uint64_t value;
        unsigned bytes;
        const char *says;
    } bad[] = {
        {'b', 0xff, 1, "ttl must be above 0 and at most 604800 seconds"},
        {'I', 0, 4, "ttl must be above 0 and at most 604800 seconds"},
        {'f', 0x7f800000, 4, "ttl is not a number"},
        {'d', 0x7ff8000000000000, 8, "ttl is not a number"},
        {'T', 5, 8, "ttl is not a number"},
        {'t', 1, 1, "ttl is not a number"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fresh(NULL);
        amqp_string_put(&table, "to", "a");
        amqp_fixed_put(&table, "ttl", bad[i].kind, bad[i].value, bad[i].bytes);
        refuse_as(NOTHING, "1", CODE_BAD_MESSAGE, "ttl", bad[i].says);
    }
}

/* However deep a table is, it costs nothing. */
static void headers_nested(void **state) {
    (void)state;
    static char inside[2][4096];
    struct builder deep = builder_over(inside[0], sizeof inside[0]);
    for (unsigned depth = 0; depth < 100; depth++) {
        struct builder more = builder_over(inside[(depth + 1) % 2], sizeof inside[0]);
        amqp_nested_put(&more, depth == 99 ? "x" : NULL, 'A', &deep);
        deep = more;
    }
    amqp_string_put(&table, "to", "a");
    builder_span_add(&table, builder_span(&deep));
    take(NOTHING, "1");
}

static void headers_broken(void **state) {
    (void)state;
    amqp_string_put(&table, "to", "a");
    size_t whole = table.len;
    amqp_string_put(&table, "event", "pay");
    for (size_t len = whole + 1; len < whole + 14; len++) {
        table.len = len;
        refuse_as(NOTHING, "1", CODE_BAD_MESSAGE, "headers", "headers are a table that is broken");
    }
    table.len = whole;
    amqp_fixed_put(&table, "event", 'z', 0, 0);
    refuse_as(NOTHING, "1", CODE_BAD_MESSAGE, "headers", "headers are a table that is broken");
}

static void properties_broken(void **state) {
    (void)state;
    struct builder header = builder_over(header_bytes, sizeof header_bytes);
    amqp_string_put(&table, "to", "a");
    struct amqp_said said = {.content_type = "text/plain",
                             .message_id = "m",
                             .type = "t",
                             .headers = builder_span(&table),
                             .has_headers = true,
                             .is_persistent = true,
                             .correlation_id = "c",
                             .reply_to = "r"};
    amqp_said_write(&header, &said);
    assert_true(amqp_properties_read(builder_span(&header), &properties));
    assert_span(properties.correlation_id, "c");
    assert_span(properties.reply_to, "r");
    assert_span(properties.type, "t");
    for (size_t len = 0; len < header.len; len++) {
        char *alone = malloc(len + 1);
        assert_non_null(alone);
        memcpy(alone, header.at, len);
        assert_false(amqp_properties_read(span_of(alone, len), &properties));
        free(alone);
    }
    header.at[1] = 1; /* more flags, which there are not */
    assert_false(amqp_properties_read(builder_span(&header), &properties));
    struct envelope envelope;
    struct builder rewritten = builder_over(rewritten_bytes, sizeof rewritten_bytes);
    struct amqp_content content = {builder_span(&header), SPAN("{}")};
    assert_false(
        amqp_form_read(&envelope, room, &content, &rewritten, MAX, &properties, &complaint));
    assert_string_equal(complaint.text, "properties cannot be read");
}

/* --- the old form ----------------------------------------------------------------------------- */

static void old_form_is_taken(void **state) {
    (void)state;
    const char *body = " {\"socketSessionId\":\"till-7\",\"socketGroupFlag\":\"\","
                       "\"isVolatile\":false,\"data\":\"{\\\"a\\\":[1,2]}\"} ";
    struct envelope envelope = take(SAID(.type = "pay", .message_id = "m1"), body);
    assert_names(&envelope.to, "till-7");
    assert_int_equal(envelope.groups.count, 0);
    assert_int_equal(envelope.parts.class, CLASS_DEFAULT);
    assert_span(envelope.parts.event, "message");
    assert_span(envelope.parts.id, "m1");
    assert_data(&envelope, "{\"socketSessionId\":\"till-7\",\"socketGroupFlag\":\"\","
                           "\"isVolatile\":false,\"data\":{\"a\":[1,2]}}");
}

static void old_form_volatile(void **state) {
    (void)state;
    static const char *const volatiles[] = {"", ",\"isVolatile\":true", ",\"isVolatile\":null",
                                            ",\"isVolatile\":0", ",\"isVolatile\":\"false\""};
    char body[128];
    for (size_t i = 0; i < sizeof volatiles / sizeof volatiles[0]; i++) {
        snprintf(body, sizeof body, "{\"socketSessionId\":\"a\"%s}", volatiles[i]);
        struct envelope envelope = take(NOTHING, body);
        assert_int_equal(envelope.parts.class, CLASS_VOLATILE);
    }
    struct envelope envelope =
        take(NOTHING, "{\"socketSessionId\":\"a\",\"isVolatile\":true,\"isVolatile\":false}");
    assert_int_equal(envelope.parts.class, CLASS_DEFAULT);
}

static void old_form_addresses(void **state) {
    (void)state;
    struct envelope envelope =
        take(NOTHING, "{\"socketSessionId\":[\"b\",\"a\",\"\"],\"socketGroupFlag\":[\"g\",\"h\"]}");
    assert_names(&envelope.to, "a b");
    assert_names(&envelope.groups, "g h");
    envelope = take(NOTHING, "{\"socketSessionId\":null,\"socketGroupFlag\":\"g\",\"to\":null,"
                             "\"broadcast\":false}");
    assert_names(&envelope.groups, "g");
    envelope = take(NOTHING, "{\"socketSessionId\":\"a\",\"\\u0073ocketSessionId\":\"b\"}");
    assert_names(&envelope.to, "b");
    refuse_as(NOTHING, "{\"socketSessionId\":\"\"}", CODE_BAD_MESSAGE, "socketSessionId",
              "socketSessionId or socketGroupFlag must name somebody");
    refuse_as(NOTHING, "{\"socketSessionId\":7}", CODE_BAD_MESSAGE, "socketSessionId",
              "socketSessionId is not a string");
    refuse_as(NOTHING, "{\"socketGroupFlag\":[\"a\",{}]}", CODE_BAD_MESSAGE, "socketGroupFlag",
              "socketGroupFlag is not a string");
    refuse_as(NOTHING, "{\"socketGroupFlag\":\"g\",\"to\":\"a\"}", CODE_BAD_MESSAGE,
              "socketGroupFlag", "unknown field \"socketGroupFlag\"");
    refuse_as(NOTHING, "{\"socketGroupFlag\":\"g\",}", CODE_BAD_JSON, "",
              "a name in quotes is missing at byte 23");
}

static void old_form_data(void **state) {
    (void)state;
    static const struct {
        const char *written, *delivered;
    } values[] = {
        {"\"\"", "\"\""},
        {"\"no\"", "\"no\""},
        {"\"5\"", "5"},
        {"\"\\\"x\\\"\"", "\"x\""},
        {"\"\\ud800\"", "\"\\ud800\""},
        {"\"\\u0000\"", "\"\\u0000\""},
        {"{\"a\":\"1\"}", "{\"a\":\"1\"}"},
        {"null", "null"},
        {"\"1\",\"data\":\"2\"", "\"1\",\"data\":2"},
    };
    char body[128], delivered[128];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        snprintf(body, sizeof body, "{\"data\":%s,\"socketSessionId\":\"a\"}", values[i].written);
        snprintf(delivered, sizeof delivered, "{\"data\":%s,\"socketSessionId\":\"a\"}",
                 values[i].delivered);
        struct envelope envelope = take(NOTHING, body);
        assert_data(&envelope, delivered);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(object_is_a_message, fresh),
        cmocka_unit_test_setup(object_takes_properties_where_it_has_none, fresh),
        cmocka_unit_test_setup(expiration_has_bounds, fresh),
        cmocka_unit_test_setup(object_is_refused, fresh),
        cmocka_unit_test_setup(encodings, fresh),
        cmocka_unit_test_setup(headers_are_fields, fresh),
        cmocka_unit_test_setup(headers_body_by_type, fresh),
        cmocka_unit_test_setup(headers_choose_the_form, fresh),
        cmocka_unit_test_setup(headers_of_every_type, fresh),
        cmocka_unit_test_setup(headers_ttl, fresh),
        cmocka_unit_test_setup(headers_nested, fresh),
        cmocka_unit_test_setup(headers_broken, fresh),
        cmocka_unit_test_setup(properties_broken, fresh),
        cmocka_unit_test_setup(old_form_is_taken, fresh),
        cmocka_unit_test_setup(old_form_volatile, fresh),
        cmocka_unit_test_setup(old_form_addresses, fresh),
        cmocka_unit_test_setup(old_form_data, fresh),
    };
    return cmocka_run_group_tests(tests, make_room, drop_room);
}
