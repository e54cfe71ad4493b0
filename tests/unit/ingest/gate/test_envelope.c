/* What a message may say, however it is said, and with which words it is refused. */
#include "ingest/gate/envelope.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

#define MAX 100 /* bytes of data */

static struct envelope_scratch *room;

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

/* Read in memory of exactly its size, which lives until the next one. */
static bool read_text(struct span text, enum envelope_form form, struct envelope *envelope,
                      struct complaint *complaint) {
    static char *alone;
    free(alone);
    alone = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(alone);
    if (text.len != 0)
        memcpy(alone, text.at, text.len);
    memset(complaint, 0, sizeof *complaint);
    bool right = envelope_parse(envelope, room, form, span_of(alone, text.len), MAX, complaint);
    assert_int_equal(right, complaint->code == CODE_NONE);
    return right;
}

static struct envelope take_form(enum envelope_form form, const char *text) {
    struct envelope envelope;
    struct complaint complaint;
    if (!read_text(span_text(text), form, &envelope, &complaint))
        fail_msg("%s: %s", text, complaint.text);
    return envelope;
}

static struct envelope take(const char *text) {
    return take_form(ENVELOPE_MESSAGE, text);
}

static void expect_wrong_form(enum envelope_form form, const char *text, enum code code,
                              const char *field, const char *says) {
    struct envelope envelope;
    struct complaint complaint;
    if (read_text(span_text(text), form, &envelope, &complaint))
        fail_msg("%s was taken", text);
    if (complaint.code != code || strcmp(complaint.field, field) != 0 ||
        strcmp(complaint.text, says) != 0)
        fail_msg("%.200s: %s, field \"%s\", \"%s\"", text, code_word(complaint.code),
                 complaint.field, complaint.text);
}

/* BAD_MESSAGE about one field. */
static void expect_wrong(const char *text, const char *field, const char *says) {
    expect_wrong_form(ENVELOPE_MESSAGE, text, CODE_BAD_MESSAGE, field, says);
}

static void assert_span(struct span span, const char *want) {
    if (!span_equal(span, span_text(want)))
        fail_msg("\"%.*s\" instead of \"%s\"", SPAN_ARG(span), want);
}

static void assert_list(const struct span *names, unsigned count, const char *want) {
    char joined[256];
    struct builder out = builder_over(joined, sizeof joined);
    for (unsigned i = 0; i < count; i++) {
        if (i != 0)
            builder_byte(&out, ' ');
        builder_span_add(&out, names[i]);
    }
    assert_span(builder_span(&out), want);
}

static void takes_the_least(void **state) {
    (void)state;
    struct envelope envelope = take("{\"to\":\"till-7\"}");
    const struct message_parts *parts = &envelope.parts;
    assert_list(parts->to, parts->to_count, "till-7");
    assert_span(parts->event, "message");
    assert_span(envelope.data, "null");
    assert_int_equal(envelope.kind, PAYLOAD_JSON);
    assert_int_equal(parts->payload_max, 4);
    assert_int_equal(parts->ttl_ns, 60 * NS_PER_S);
    assert_int_equal(parts->id.len, 0);
    assert_int_equal(parts->group_json.len, 0);
    assert_true(parts->group_count == 0 && parts->except_count == 0);
    assert_false(parts->broadcast || parts->class != CLASS_DEFAULT || parts->is_bytes);
}

static void takes_every_field(void **state) {
    (void)state;
    struct envelope envelope =
        take(" {\"id\":\"m1\",\"to\":[\"b\",\"a\",\"b\"],\"group\":[\"y\" ,\n\"\\u0078\",\"y\"],"
             "\"except\":\"z\",\"event\":\"pay\\u006dent\",\"data\":{\"a\" : 12.50},"
             "\"volatile\":true,\"ack\":false,\"ttl\":0.5,\"namespace\":\"\\/\"} ");
    const struct message_parts *parts = &envelope.parts;
    assert_span(parts->id, "m1");
    assert_list(parts->to, parts->to_count, "a b");
    assert_list(parts->groups, parts->group_count, "x y");
    assert_list(parts->except, parts->except_count, "z");
    assert_span(parts->group_json, "[\"y\",\"\\u0078\"]");
    assert_span(parts->event, "payment");
    assert_span(envelope.data, "{\"a\" : 12.50}");
    assert_int_equal(parts->payload_max, envelope.data.len);
    assert_true(parts->class == CLASS_VOLATILE && !parts->broadcast);
    assert_int_equal(parts->ttl_ns, 500000000);

    envelope = take("{\"broadcast\":true,\"\\u0064ata\":[],\"except\":[\"a\",\"b\"]}");
    assert_true(envelope.parts.broadcast);
    assert_list(envelope.parts.except, envelope.parts.except_count, "a b");
    assert_span(envelope.data, "[]");

    envelope = take("{\"group\":\"\\u0067\\\"\",\"volatile\":false}");
    assert_span(envelope.parts.group_json, "\"\\u0067\\\"\"");
    assert_list(envelope.parts.groups, envelope.parts.group_count, "g\"");
    envelope = take("{\"group\":[\"g\"]}");
    assert_span(envelope.parts.group_json, "[\"g\"]");
}

static void refuses_wrong_types(void **state) {
    (void)state;
    static const char *const values[] = {"null", "true", "false", "7",        "\"s\"",
                                         "[]",   "{}",   "[7]",   "[[\"a\"]]"};
    static const struct {
        const char *field;
        const char *right; /* the values, by their index, that may stand there */
    } fields[] = {{"id", "04"},       {"to", "4"},        {"group", "04"},     {"except", "04"},
                  {"event", "04"},    {"ttl", "03"},      {"volatile", "012"}, {"ack", "012"},
                  {"namespace", "0"}, {"broadcast", "02"}};
    for (size_t field = 0; field < sizeof fields / sizeof fields[0]; field++) {
        for (int value = 0; value < 9; value++) {
            char bytes[128];
            struct builder text = builder_over(bytes, sizeof bytes);
            bool addressed = strcmp(fields[field].field, "to") == 0;
            builder_format(&text, "{%s\"%s\":%s}", addressed ? "" : "\"to\":\"a\",",
                           fields[field].field, values[value]);
            struct envelope envelope;
            struct complaint complaint;
            bool right = read_text(builder_span(&text), ENVELOPE_MESSAGE, &envelope, &complaint);
            if (right != (strchr(fields[field].right, '0' + value) != NULL))
                fail_msg("%.*s: %d", SPAN_ARG(builder_span(&text)), right);
            if (!right) {
                assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
                assert_string_equal(complaint.field, fields[field].field);
                assert_true(
                    strncmp(complaint.text, fields[field].field, strlen(fields[field].field)) == 0);
            }
        }
    }
}

/* The same message as one without the fields, also for who compares two of them. */
static void takes_null_and_false_for_absent(void **state) {
    (void)state;
    hash_init(NULL);
    struct envelope envelope = take("{\"to\":\"a\",\"data\":null}");
    struct hash128 plain = envelope_digest(&envelope, SPAN("null"));
    envelope = take("{\"id\":null,\"to\":\"a\",\"group\":null,\"broadcast\":false,\"except\":null,"
                    "\"event\":null,\"data\":null,\"volatile\":null,\"ack\":null,\"ttl\":null,"
                    "\"namespace\":null}");
    struct hash128 nulls = envelope_digest(&envelope, SPAN("null"));
    assert_memory_equal(&plain, &nulls, sizeof plain);
    assert_true(envelope.parts.id.len == 0 && envelope.parts.group_json.len == 0);
    assert_span(envelope.parts.event, "message");
    assert_int_equal(envelope.parts.ttl_ns, TTL_DEFAULT_NS);
    envelope = take("{\"to\":null,\"broadcast\":true,\"volatile\":false,\"ack\":false}");
    assert_true(envelope.parts.broadcast && envelope.parts.class == CLASS_DEFAULT);
    expect_wrong_form(ENVELOPE_COUNTED, "{\"to\":\"a\",\"data\":null}", CODE_BAD_MESSAGE, "data",
                      "data belongs behind the line, not into it");
}

static void says_what_is_wrong(void **state) {
    (void)state;
    expect_wrong("{}", "to", "to or group or broadcast must be there");
    expect_wrong("{\"except\":\"a\"}", "to", "to or group or broadcast must be there");
    expect_wrong("{\"to\":\"a\",\"broadcast\":true}", "broadcast",
                 "broadcast does not go with to or group");
    expect_wrong("{\"broadcast\":true,\"group\":\"a\"}", "broadcast",
                 "broadcast does not go with to or group");
    expect_wrong("{\"broadcast\":false}", "to", "to or group or broadcast must be there");
    expect_wrong("{\"broadcast\":null}", "to", "to or group or broadcast must be there");
    expect_wrong("{\"broadcast\":1}", "broadcast", "broadcast is neither true nor false");
    expect_wrong("{\"to\":null,\"group\":null}", "to", "to or group or broadcast must be there");
    expect_wrong("{\"to\":\"a\",\"id\":null,\"id\":\"x\"}", "id", "id is given twice");
    expect_wrong("{\"to\":[\"a\",null]}", "to", "to[1] is not a string");
    expect_wrong("{\"to\":\"a\",\"ack\":1}", "ack", "ack is neither true nor false");
    expect_wrong("{\"to\":\"a\",\"tll\":5}", "tll", "unknown field \"tll\"");
    expect_wrong("{\"to\":\"a\",\"To\":5}", "To", "unknown field \"To\"");
    expect_wrong("{\"to\":\"a\",\"\":5}", "", "unknown field \"\"");
    expect_wrong("{\"to\":\"a\",\"a\\nb\":5}", "a\\nb", "unknown field \"a\\nb\"");
    expect_wrong("{\"to\":\"a\",\"\\ud800\":5}", "\\ud800", "unknown field \"\\ud800\"");
    expect_wrong("{\"to\":\"a\",\"type\":\"send\"}", "type", "unknown field \"type\"");
    expect_wrong("{\"to\":\"a\",\"ref\":1}", "ref", "unknown field \"ref\"");
    expect_wrong("{\"to\":\"a\",\"node\":{}}", "node", "unknown field \"node\"");
    expect_wrong("{\"to\":\"a\",\"to\":\"b\"}", "to", "to is given twice");
    expect_wrong("{\"to\":\"a\",\"data\":1,\"d\\u0061ta\":1}", "data", "data is given twice");
    expect_wrong("{\"to\":\"a\",\"namespace\":\"/admin\"}", "namespace",
                 "namespace is unknown; see --namespaces");
    expect_wrong("{\"to\":[]}", "to", "to must hold 1 to 1000 entries");
    expect_wrong("{\"to\":[\"a\",5]}", "to", "to[1] is not a string");
    expect_wrong("{\"to\":[\"a\",\"b\",\"\"]}", "to", "to[2] is empty");
    expect_wrong("{\"to\":\"\"}", "to", "to is empty");
    expect_wrong("{\"to\":\"a\\u0000\"}", "to", "to holds U+0000");
    expect_wrong("{\"group\":[\"\\udc00x\"]}", "group", "group[0] holds a lone surrogate");
    expect_wrong("{\"except\":\"a\\u0085\"}", "except", "except holds a control character");
    expect_wrong("{\"event\":\"connect\"}", "event", "event is a reserved word");
    expect_wrong("{\"event\":\"c\\u006fnnect\"}", "event", "event is a reserved word");
    expect_wrong("{\"id\":\"a b\"}", "id", "id holds a byte that is not visible ASCII");
    expect_wrong("{\"id\":\"\\u00e4\"}", "id", "id holds a byte that is not visible ASCII");
    expect_wrong("{\"ttl\":\"5\"}", "ttl", "ttl is not a number");
    expect_wrong("[]", "", "a message must be a JSON object");
    expect_wrong("\"x\"", "", "a message must be a JSON object");
    expect_wrong("null", "", "a message must be a JSON object");
}

static void bounds_the_ttl(void **state) {
    (void)state;
    static const struct {
        const char *ttl;
        uint64_t ns; /* 0: refused */
    } rows[] = {
        {"0", 0},
        {"-1", 0},
        {"0.0", 0},
        {"-0", 0},
        {"604800", 604800000000000},
        {"604800.000", 604800000000000},
        {"604800.000001", 0},
        {"604800.0000000000001", 0},
        {"604801", 0},
        {"1e9", 0},
        {"1e300", 0},
        {"0.001", 1000000},
        {"1e-300", 1},
        {"6048e2", 604800000000000},
        {"60", 60000000000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char bytes[64];
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_format(&text, "{\"to\":\"a\",\"ttl\":%s}", rows[i].ttl);
        builder_byte(&text, '\0');
        if (rows[i].ns == 0)
            expect_wrong(bytes, "ttl", "ttl must be above 0 and at most 604800 seconds");
        else
            assert_int_equal(take(bytes).parts.ttl_ns, rows[i].ns);
        /* In a query likewise. */
        struct envelope envelope;
        struct complaint complaint;
        envelope_init(&envelope, room);
        bool right = envelope_set(&envelope, SPAN("ttl"), span_text(rows[i].ttl), &complaint);
        assert_int_equal(right, rows[i].ns != 0);
        if (right)
            assert_int_equal(envelope.parts.ttl_ns, rows[i].ns);
    }
}

/* No JSON is no message, whatever was wrong before that. */
static void prefers_bad_json(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } rows[] = {
        {"", 0},
        {"{", 1},
        {"{\"to\":\"a\"", 9},
        {"{\"to\":\"a\",}", 10},
        {"{\"colour\":1,\"to\":\"a\" x}", 21},
        {"{\"to\":7,\"data\":tru}", 18},
        {"{\"to\":\"a\",\"ttl\":-1,\"data\":[1}", 28},
        {"[1,]", 3},
        {"{\"to\":\"\t\"}", 7},
        {"{\"to\":\"\xFF\"}", 7},
        {"{\"to\":\"a\"}{\"to\":\"b\"}", 10},
        {"\xEF\xBB\xBF{\"to\":\"a\"}", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct envelope envelope;
        struct complaint complaint;
        assert_false(read_text(span_text(rows[i].text), ENVELOPE_MESSAGE, &envelope, &complaint));
        if (complaint.code != CODE_BAD_JSON || complaint.offset != rows[i].offset)
            fail_msg("%s: %s at %zu", rows[i].text, complaint.text, complaint.offset);
        assert_string_equal(complaint.field, "");
    }
}

static void is_never_half_a_message(void **state) {
    (void)state;
    struct span whole =
        SPAN("{\"id\":\"m1\",\"to\":[\"a\",\"\\u0062\"],\"group\":\"g\",\"ttl\":1.5,"
             "\"data\":{\"x\":[true,null,\"\xC3\xA4\"]}}");
    struct envelope envelope;
    struct complaint complaint;
    assert_true(read_text(whole, ENVELOPE_MESSAGE, &envelope, &complaint));
    for (size_t len = 0; len < whole.len; len++) {
        assert_false(read_text(span_of(whole.at, len), ENVELOPE_MESSAGE, &envelope, &complaint));
        assert_int_equal(complaint.code, CODE_BAD_JSON);
        assert_int_equal(complaint.offset, len);
    }
}

/* The depth counts from the text's own beginning: data has 63 left. */
static void holds_the_depth(void **state) {
    (void)state;
    for (int depth = 63; depth <= 64; depth++) {
        char bytes[256];
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_text(&text, "{\"to\":\"a\",\"data\":");
        for (int i = 0; i < depth; i++)
            builder_byte(&text, '[');
        for (int i = 0; i < depth; i++)
            builder_byte(&text, ']');
        builder_byte(&text, '}');
        struct envelope envelope;
        struct complaint complaint;
        /* Too long for the limit of this test, but that is found later. */
        envelope_init(&envelope, room);
        bool right = envelope_parse(&envelope, room, ENVELOPE_MESSAGE, builder_span(&text), 1000,
                                    &complaint);
        assert_int_equal(right, depth == 63);
        if (!right)
            assert_int_equal(complaint.code, CODE_BAD_JSON);
    }
}

static void bounds_the_data(void **state) {
    (void)state;
    for (unsigned len = MAX; len <= MAX + 1; len++) {
        char bytes[256];
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_format(&text, "{\"to\":\"a\",\"data\":\"%0*u\"}", (int)len - 2, 0);
        builder_byte(&text, '\0');
        if (len == MAX)
            assert_int_equal(take(bytes).data.len, MAX);
        else
            expect_wrong_form(ENVELOPE_MESSAGE, bytes, CODE_TOO_LARGE, "data",
                              "data is longer than 100 bytes");
        /* Line breaks do not count, other blanks do. */
        text = builder_over(bytes, sizeof bytes);
        builder_format(&text, "{\"to\":\"a\",\"data\":[\r\n\n%0*u]}", (int)len - 2, 0);
        builder_byte(&text, '\0');
        char *digits = strstr(bytes, "00");
        digits[0] = '7';
        if (len == MAX)
            assert_int_equal(take(bytes).data.len, MAX + 3);
        else
            expect_wrong_form(ENVELOPE_MESSAGE, bytes, CODE_TOO_LARGE, "data",
                              "data is longer than 100 bytes");
    }
}

static void reads_lines_of_clients(void **state) {
    (void)state;
    struct envelope envelope =
        take_form(ENVELOPE_LINE, "{\"type\":\"send\",\"to\":\"a\",\"data\":1,\"ref\":\"r\\n\"}");
    assert_span(envelope.ref, "\"r\\n\"");
    assert_span(envelope.data, "1");
    envelope = take_form(ENVELOPE_LINE, "{\"to\":\"a\",\"type\":\"send\"}");
    assert_int_equal(envelope.ref.len, 0);
    envelope = take_form(ENVELOPE_LINE, "{\"type\":\"send\",\"to\":\"a\",\"ref\":null}");
    assert_int_equal(envelope.ref.len, 0);
    expect_wrong_form(ENVELOPE_LINE, "{\"type\":\"send\",\"type\":\"send\",\"to\":\"a\"}",
                      CODE_BAD_MESSAGE, "type", "type is given twice");
    expect_wrong_form(ENVELOPE_LINE, "{\"type\":\"send\",\"to\":\"a\",\"groups\":[\"a\"]}",
                      CODE_BAD_MESSAGE, "groups", "unknown field \"groups\"");
    /* The ref is echoed wherever it stands. */
    static const char *const texts[] = {
        "{\"type\":\"send\",\"ref\":3,\"to\":7}",
        "{\"type\":\"send\",\"to\":7,\"ref\":3}",
        "{\"type\":\"send\",\"ref\":3}",
    };
    for (size_t i = 0; i < 3; i++) {
        struct complaint complaint;
        assert_false(read_text(span_text(texts[i]), ENVELOPE_LINE, &envelope, &complaint));
        assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
        assert_span(envelope.ref, "3");
        assert_false(read_text(span_text(texts[i]), ENVELOPE_MESSAGE, &envelope, &complaint));
        assert_int_equal(envelope.ref.len, 0);
    }
}

static void reads_the_fields_of_counted_sends(void **state) {
    (void)state;
    struct envelope envelope = take_form(ENVELOPE_COUNTED, "{\"to\":\"a\",\"ttl\":1}");
    struct complaint complaint;
    assert_true(envelope_set_data(&envelope, PAYLOAD_JSON, SPAN(" [1] "), MAX, &complaint));
    assert_span(envelope.data, "[1]");
    assert_int_equal(envelope.parts.payload_max, 3);
    expect_wrong_form(ENVELOPE_COUNTED, "{\"to\":\"a\",\"data\":1}", CODE_BAD_MESSAGE, "data",
                      "data belongs behind the line, not into it");
    expect_wrong_form(ENVELOPE_COUNTED, "{\"to\":\"a\",\"ref\":1}", CODE_BAD_MESSAGE, "ref",
                      "unknown field \"ref\"");
    expect_wrong_form(ENVELOPE_COUNTED, "{\"to\":\"a\",\"type\":\"send\"}", CODE_BAD_MESSAGE,
                      "type", "unknown field \"type\"");
}

/* A thousand entries, each of them twice, and one more; the longest names with every byte escaped.
 */
static void has_room_for_what_is_allowed(void **state) {
    (void)state;
    static const char *const fields[] = {"to", "group", "except"};
    size_t cap = 3 * 2 * 1001 * (6 * 128 + 3) + 100;
    char *bytes = malloc(cap);
    assert_non_null(bytes);
    for (unsigned count = 1000; count <= 1001; count++) {
        struct builder text = builder_over(bytes, cap);
        builder_byte(&text, '{');
        for (size_t field = 0; field < 3; field++) {
            builder_format(&text, "%s\"%s\":[", field == 0 ? "" : ",", fields[field]);
            for (unsigned i = 0; i < 2 * count; i++) {
                builder_text(&text, i == 0 ? "\"" : ",\"");
                for (unsigned at = 0; at < 128; at++)
                    builder_format(&text, "\\u00%02x", 0x30 + (at < 11 ? i / 2 >> at & 1 : 2));
                builder_byte(&text, '"');
            }
            builder_byte(&text, ']');
        }
        builder_byte(&text, '}');
        assert_false(text.full);
        struct envelope envelope;
        struct complaint complaint;
        bool right = read_text(builder_span(&text), ENVELOPE_MESSAGE, &envelope, &complaint);
        if (count == 1001) {
            assert_false(right);
            assert_string_equal(complaint.text, "to must hold 1 to 1000 entries");
            continue;
        }
        if (!right)
            fail_msg("%s", complaint.text);
        assert_int_equal(envelope.parts.to_count, 1000);
        assert_int_equal(envelope.parts.group_count, 1000);
        assert_int_equal(envelope.parts.except_count, 1000);
        assert_int_equal(envelope.parts.group_json.len, 1000 * (6 * 128 + 3) + 1);
        struct json_error error;
        assert_true(json_scan(envelope.parts.group_json, NULL, &error));
        for (unsigned i = 0; i < 1000; i++)
            assert_int_equal(envelope.parts.to[i].len, 128);
    }
    free(bytes);
}

static struct envelope from_query(const char *const fields[][2], size_t count,
                                  struct complaint *complaint, bool *right) {
    struct envelope envelope;
    memset(complaint, 0, sizeof *complaint);
    envelope_init(&envelope, room);
    *right = true;
    for (size_t i = 0; i < count && *right; i++)
        *right =
            envelope_set(&envelope, span_text(fields[i][0]), span_text(fields[i][1]), complaint);
    *right = *right && envelope_finish(&envelope, complaint);
    return envelope;
}

static void takes_queries(void **state) {
    (void)state;
    static const char *const all[][2] = {
        {"to", "till 7"},  {"event", "payment"}, {"id", "m1"},   {"ttl", "1.5e1"},
        {"volatile", "1"}, {"ack", "0"},         {"group", "b"}, {"except", "x"},
        {"except", "w"},   {"group", "a\""},     {"group", "b"}, {"namespace", "/"},
    };
    struct complaint complaint;
    bool right;
    struct envelope envelope = from_query(all, 12, &complaint, &right);
    if (!right)
        fail_msg("%s", complaint.text);
    const struct message_parts *parts = &envelope.parts;
    assert_list(parts->to, parts->to_count, "till 7");
    assert_list(parts->groups, parts->group_count, "a\" b");
    assert_list(parts->except, parts->except_count, "w x");
    assert_span(parts->group_json, "[\"a\\\"\",\"b\"]");
    assert_span(parts->event, "payment");
    assert_span(parts->id, "m1");
    assert_int_equal(parts->class, CLASS_VOLATILE);
    assert_int_equal(parts->ttl_ns, 15000000000);

    static const char *const one[][2] = {{"group", "\xC3\xA4\""}, {"volatile", "false"}};
    envelope = from_query(one, 2, &complaint, &right);
    assert_true(right && envelope.parts.class == CLASS_DEFAULT);
    assert_span(envelope.parts.group_json, "\"\xC3\xA4\\\"\"");

    envelope_init(&envelope, room);
    envelope_set_broadcast(&envelope);
    assert_true(envelope_finish(&envelope, &complaint) && envelope.parts.broadcast);
}

static void refuses_queries(void **state) {
    (void)state;
    static const struct {
        const char *name, *value, *field, *says;
    } rows[] = {
        {"colour", "red", "colour", "unknown field \"colour\""},
        {"data", "1", "data", "unknown field \"data\""},
        {"broadcast", "1", "broadcast", "unknown field \"broadcast\""},
        {"groups", "a", "groups", "unknown field \"groups\""},
        {"ref", "1", "ref", "unknown field \"ref\""},
        {"type", "send", "type", "unknown field \"type\""},
        {"", "", "", "unknown field \"\""},
        {"to", "b", "to", "to is given twice"},
        {"event", "", "event", "event is empty"},
        {"event", "newListener", "event", "event is a reserved word"},
        {"id", "a b", "id", "id holds a byte that is not visible ASCII"},
        {"group", "a\nb", "group", "group holds a control character"},
        {"except", "", "except", "except is empty"},
        {"volatile", "yes", "volatile", "volatile is none of 1, 0, true, false"},
        {"volatile", "", "volatile", "volatile is none of 1, 0, true, false"},
        {"volatile", "True", "volatile", "volatile is none of 1, 0, true, false"},
        {"ack", "2", "ack", "ack is none of 1, 0, true, false"},
        {"ttl", "", "ttl", "ttl is not a number"},
        {"ttl", " 5", "ttl", "ttl is not a number"},
        {"ttl", "5s", "ttl", "ttl is not a number"},
        {"ttl", ".5", "ttl", "ttl is not a number"},
        {"ttl", "\"5\"", "ttl", "ttl is not a number"},
        {"ttl", "0", "ttl", "ttl must be above 0 and at most 604800 seconds"},
        {"namespace", "/x", "namespace", "namespace is unknown; see --namespaces"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const fields[][2] = {{"to", "a"}, {rows[i].name, rows[i].value}};
        struct complaint complaint;
        bool right;
        from_query(fields, 2, &complaint, &right);
        if (right || complaint.code != CODE_BAD_MESSAGE ||
            strcmp(complaint.field, rows[i].field) != 0 ||
            strcmp(complaint.text, rows[i].says) != 0)
            fail_msg("%s=%s: \"%s\", field %s", rows[i].name, rows[i].value, complaint.text,
                     complaint.field);
    }
    static const char *const once[] = {"id", "event", "ttl", "volatile", "ack", "namespace"};
    static const char *const values[] = {"1", "1", "1", "1", "0", "/"};
    for (size_t i = 0; i < 6; i++) {
        const char *const fields[][2] = {{once[i], values[i]}, {once[i], values[i]}};
        struct complaint complaint;
        bool right;
        from_query(fields, 2, &complaint, &right);
        assert_false(right);
        assert_string_equal(complaint.field, once[i]);
        assert_non_null(strstr(complaint.text, " is given twice"));
    }
    struct complaint complaint;
    bool right;
    from_query(NULL, 0, &complaint, &right);
    assert_false(right);
    struct envelope envelope;
    envelope_init(&envelope, room);
    static char names[1001][4];
    for (unsigned i = 0; i <= 1000; i++) {
        struct builder out = builder_over(names[i], 4);
        builder_u64(&out, i);
        assert_int_equal(envelope_set(&envelope, SPAN("except"), builder_span(&out), &complaint),
                         i < 1000);
    }
    assert_string_equal(complaint.text, "except must hold 1 to 1000 entries");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_least),
        cmocka_unit_test(takes_every_field),
        cmocka_unit_test(refuses_wrong_types),
        cmocka_unit_test(takes_null_and_false_for_absent),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(bounds_the_ttl),
        cmocka_unit_test(prefers_bad_json),
        cmocka_unit_test(is_never_half_a_message),
        cmocka_unit_test(holds_the_depth),
        cmocka_unit_test(bounds_the_data),
        cmocka_unit_test(reads_lines_of_clients),
        cmocka_unit_test(reads_the_fields_of_counted_sends),
        cmocka_unit_test(has_room_for_what_is_allowed),
        cmocka_unit_test(takes_queries),
        cmocka_unit_test(refuses_queries),
    };
    return cmocka_run_group_tests(tests, make_room, drop_room);
}
