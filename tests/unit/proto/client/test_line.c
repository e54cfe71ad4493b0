/* What clients may say in JSON lines, what is refused with which words, what the ref becomes. */
#include "proto/client/line.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

static struct line_scratch *room;

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

/* One line, read in memory of exactly its size; what is left of it lives until the next one. */
static bool read_line(struct span text, struct client_line *line, struct complaint *complaint) {
    static char *alone;
    free(alone);
    alone = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(alone);
    if (text.len != 0)
        memcpy(alone, text.at, text.len);
    memset(complaint, 0, sizeof *complaint);
    bool right = line_parse(span_of(alone, text.len), room, line, complaint);
    assert_int_equal(right, complaint->code == CODE_NONE);
    return right;
}

static struct client_line take(const char *text) {
    struct client_line line;
    struct complaint complaint;
    if (!read_line(span_text(text), &line, &complaint))
        fail_msg("%s: %s", text, complaint.text);
    return line;
}

static void expect_wrong(const char *text, enum code code, const char *field, const char *says,
                         const char *ref) {
    struct client_line line;
    struct complaint complaint;
    if (read_line(span_text(text), &line, &complaint))
        fail_msg("%s was taken", text);
    if (complaint.code != code || strcmp(complaint.field, field) != 0 ||
        strcmp(complaint.text, says) != 0 || !span_equal(line.ref, span_text(ref)))
        fail_msg("%s: %s, field %s, \"%s\", ref %.*s", text, code_word(complaint.code),
                 complaint.field, complaint.text, SPAN_ARG(line.ref));
}

static void assert_names(const struct client_line *line, const char *first, const char *second) {
    assert_int_equal(line->names.count, second != NULL ? 2 : first != NULL ? 1 : 0);
    if (first != NULL)
        assert_true(span_equal(line->names.at[0], span_text(first)));
    if (second != NULL)
        assert_true(span_equal(line->names.at[1], span_text(second)));
}

static void takes_a_hello(void **state) {
    (void)state;
    struct client_line line =
        take("{\"type\":\"hello\",\"id\":\"till-7\",\"groups\":[\"shop-1\",\"all\",\"all\"],"
             "\"token\":{\"any\":[1]},\"resume\":\"m1\",\"colour\":\"red\",\"colour\":1}");
    assert_int_equal(line.type, CLIENT_LINE_HELLO);
    assert_true(span_equal(line.id, SPAN("till-7")));
    assert_names(&line, "all", "shop-1");
    assert_true(line.resumes && span_equal(line.resume, SPAN("m1")));
    assert_int_equal(line.ref.len, 0);

    line = take(" {\"type\" : \"hello\"} \r");
    assert_int_equal(line.type, CLIENT_LINE_HELLO);
    assert_true(line.id.len == 0 && !line.resumes);
    assert_names(&line, NULL, NULL);

    /* A name that is not even a text is an unknown one. */
    line = take("{\"\\ud800\":1,\"\\u0000\":2,\"type\\u0000\":3,\"type-and-more\\n\":4,"
                "\"type\":\"hello\"}");
    assert_int_equal(line.type, CLIENT_LINE_HELLO);

    line = take("{\"\\u0074ype\":\"h\\u0065llo\",\"\\u0069d\":\"\\u00e4\\\"\\/\","
                "\"groups\":[\"\\u0041\",\"A\",\"b\\\\\"]}");
    assert_true(span_equal(line.id, SPAN("\xC3\xA4\"/")));
    assert_names(&line, "A", "b\\");

    expect_wrong("{\"type\":\"hello\",\"id\":\"\",\"ref\":1}", CODE_BAD_MESSAGE, "id",
                 "id is empty", "1");
    expect_wrong("{\"type\":\"hello\",\"id\":7}", CODE_BAD_MESSAGE, "id", "id is not a string", "");
    expect_wrong("{\"type\":\"hello\",\"groups\":[7]}", CODE_BAD_MESSAGE, "groups",
                 "groups[0] is not a string", "");
    expect_wrong("{\"type\":\"hello\",\"resume\":7}", CODE_BAD_MESSAGE, "resume",
                 "resume is not a string", "");

    /* What cannot have been received cannot be resumed; it is not wrong to ask. */
    static const char *const odd[] = {"\"\"", "\"a b\"", "\"\\u0000\"", "\"\\ud800\""};
    for (size_t i = 0; i < 4; i++) {
        char text[64];
        struct builder out = builder_over(text, sizeof text);
        builder_format(&out, "{\"type\":\"hello\",\"resume\":%s}", odd[i]);
        builder_byte(&out, '\0');
        line = take(text);
        assert_true(line.resumes && line.resume.len == 0);
    }
}

/* `group` and `groups` are the same thing, a name or a list each, and one list together. */
static void takes_groups_by_both_words(void **state) {
    (void)state;
    static const char *const types[] = {"hello", "join", "leave"};
    static const struct {
        const char *fields;
        const char *first, *second;
    } rows[] = {
        {"\"group\":\"a\"", "a", NULL},
        {"\"groups\":\"a\"", "a", NULL},
        {"\"group\":[\"b\",\"a\"]", "a", "b"},
        {"\"group\":\"b\",\"groups\":\"a\"", "a", "b"},
        {"\"groups\":[\"b\"],\"group\":[\"a\",\"b\"]", "a", "b"},
        {"\"groups\":[]", NULL, NULL},
        {"\"group\":[],\"groups\":[\"a\"]", "a", NULL},
        {"\"group\":null,\"groups\":[\"a\"]", "a", NULL},
        {"\"group\":\"a\",\"groups\":null", "a", NULL},
    };
    for (size_t type = 0; type < 3; type++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            char bytes[128];
            struct builder text = builder_over(bytes, sizeof bytes);
            builder_format(&text, "{\"type\":\"%s\",%s}", types[type], rows[i].fields);
            builder_byte(&text, '\0');
            struct client_line line = take(bytes);
            assert_names(&line, rows[i].first, rows[i].second);
        }
    }
    expect_wrong("{\"type\":\"join\",\"group\":7}", CODE_BAD_MESSAGE, "group",
                 "group is neither a string nor a list of strings", "");
    expect_wrong("{\"type\":\"hello\",\"group\":[\"a\",null]}", CODE_BAD_MESSAGE, "group",
                 "group[1] is not a string", "");
    expect_wrong("{\"type\":\"hello\",\"group\":\"\"}", CODE_BAD_MESSAGE, "group", "group is empty",
                 "");
    expect_wrong("{\"type\":\"hello\",\"group\":\"a\",\"group\":\"b\"}", CODE_BAD_MESSAGE, "group",
                 "group is given twice", "");
}

/* 1,000 in all, by whichever word. */
static void bounds_groups_of_both_words(void **state) {
    (void)state;
    static char bytes[16384];
    for (unsigned count = 999; count <= 1000; count++) {
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_text(&text, "{\"type\":\"join\",\"group\":\"x\",\"groups\":[");
        for (unsigned i = 0; i < count; i++)
            builder_format(&text, i == 0 ? "\"%u\"" : ",\"%u\"", i);
        builder_text(&text, "]}");
        builder_byte(&text, '\0');
        if (count == 999)
            assert_int_equal(take(bytes).names.count, 1000);
        else
            expect_wrong(bytes, CODE_BAD_MESSAGE, "groups", "groups must hold at most 1000 entries",
                         "");
    }
}

static void takes_null_for_absent(void **state) {
    (void)state;
    struct client_line line = take("{\"type\":\"hello\",\"id\":null,\"group\":null,\"groups\":null,"
                                   "\"resume\":null,\"ref\":null,\"token\":null}");
    assert_int_equal(line.type, CLIENT_LINE_HELLO);
    assert_true(line.id.len == 0 && line.ref.len == 0 && !line.resumes);
    assert_names(&line, NULL, NULL);
    line = take("{\"type\":\"ack\",\"id\":null,\"ids\":[\"m1\"]}");
    assert_names(&line, "m1", NULL);
    expect_wrong("{\"type\":\"ack\",\"id\":null}", CODE_BAD_MESSAGE, "id", "id or ids is missing",
                 "");
    expect_wrong("{\"type\":\"join\",\"groups\":null,\"ref\":1}", CODE_BAD_MESSAGE, "group",
                 "group or groups is missing", "1");
    expect_wrong("{\"type\":null,\"ref\":\"r\"}", CODE_BAD_MESSAGE, "type", "type is missing",
                 "\"r\"");
    expect_wrong("{\"type\":\"hello\",\"id\":null,\"id\":\"a\"}", CODE_BAD_MESSAGE, "id",
                 "id is given twice", "");
}

static void takes_acks(void **state) {
    (void)state;
    struct client_line line = take("{\"type\":\"ack\",\"id\":\"m1\"}");
    assert_int_equal(line.type, CLIENT_LINE_ACK);
    assert_names(&line, "m1", NULL);
    line = take("{\"type\":\"ack\",\"ids\":[\"m2\",\"m1\",\"m2\"],\"id\":\"m1\"}");
    assert_names(&line, "m1", "m2");
    expect_wrong("{\"type\":\"ack\"}", CODE_BAD_MESSAGE, "id", "id or ids is missing", "");
    expect_wrong("{\"type\":\"ack\",\"ids\":[]}", CODE_BAD_MESSAGE, "ids",
                 "ids must hold 1 to 1000 entries", "");
    expect_wrong("{\"type\":\"ack\",\"ids\":\"m1\"}", CODE_BAD_MESSAGE, "ids", "ids is not a list",
                 "");
    expect_wrong("{\"type\":\"ack\",\"ids\":[\"m1\",2]}", CODE_BAD_MESSAGE, "ids",
                 "ids[1] is not a string", "");
    expect_wrong("{\"type\":\"ack\",\"id\":[\"m1\"]}", CODE_BAD_MESSAGE, "id", "id is not a string",
                 "");
    expect_wrong("{\"type\":\"ack\",\"id\":\"m 1\"}", CODE_BAD_MESSAGE, "id",
                 "id holds a byte that is not visible ASCII", "");
}

static void takes_joins_and_leaves(void **state) {
    (void)state;
    struct client_line line = take("{\"type\":\"join\",\"groups\":[\"g\"],\"ref\":1}");
    assert_int_equal(line.type, CLIENT_LINE_JOIN);
    assert_names(&line, "g", NULL);
    assert_true(span_equal(line.ref, SPAN("1")));
    line = take("{\"ref\":\"\\u0061\",\"groups\":[\"g\",\"h\"],\"type\":\"leave\"}");
    assert_int_equal(line.type, CLIENT_LINE_LEAVE);
    assert_names(&line, "g", "h");
    assert_true(span_equal(line.ref, SPAN("\"\\u0061\"")));
    expect_wrong("{\"type\":\"join\",\"ref\":2}", CODE_BAD_MESSAGE, "group",
                 "group or groups is missing", "2");
    expect_wrong("{\"type\":\"leave\",\"ref\":2}", CODE_BAD_MESSAGE, "group",
                 "group or groups is missing", "2");
    expect_wrong("{\"type\":\"join\",\"groups\":[\"a\",\"\"],\"ref\":\"x\"}", CODE_BAD_MESSAGE,
                 "groups", "groups[1] is empty", "\"x\"");
    expect_wrong("{\"type\":\"join\",\"groups\":[\"a\\u0000\"]}", CODE_BAD_MESSAGE, "groups",
                 "groups[0] holds U+0000", "");
    expect_wrong("{\"type\":\"join\",\"groups\":[\"\\udc00\"]}", CODE_BAD_MESSAGE, "groups",
                 "groups[0] holds a lone surrogate", "");
    expect_wrong("{\"type\":\"join\",\"groups\":[\"a\\n\"]}", CODE_BAD_MESSAGE, "groups",
                 "groups[0] holds a control character", "");
    expect_wrong("{\"type\":\"join\",\"groups\":[\"a\\u2028\"]}", CODE_BAD_MESSAGE, "groups",
                 "groups[0] holds a control character", "");
    expect_wrong("{\"type\":\"join\",\"groups\":{\"g\":1}}", CODE_BAD_MESSAGE, "groups",
                 "groups is neither a string nor a list of strings", "");
}

static void takes_the_short_ones(void **state) {
    (void)state;
    assert_int_equal(take("{\"type\":\"ping\"}").type, CLIENT_LINE_PING);
    assert_int_equal(take("{\"type\":\"pong\",\"id\":7,\"groups\":0}").type, CLIENT_LINE_PONG);
}

/* The whole line is left to whoever reads envelopes, whatever else stands in it. */
static void leaves_a_send_alone(void **state) {
    (void)state;
    struct client_line line = take("{\"type\":\"send\",\"to\":\"a\",\"ref\":3}");
    assert_int_equal(line.type, CLIENT_LINE_SEND);
    assert_true(span_equal(line.fields, SPAN("{\"type\":\"send\",\"to\":\"a\",\"ref\":3}")));
    line = take("{\"ref\":3,\"to\":\"a\",\"type\":\"send\",\"colour\":1} ");
    assert_int_equal(line.type, CLIENT_LINE_SEND);
    assert_true(
        span_equal(line.fields, SPAN("{\"ref\":3,\"to\":\"a\",\"type\":\"send\",\"colour\":1} ")));
    assert_int_equal(take("{\"type\":\"send\"\r").fields.len, 15);
}

static void refuses_unknown_lines(void **state) {
    (void)state;
    const char *none = "type is none of hello, ack, join, leave, send, ping, pong";
    expect_wrong("{}", CODE_BAD_MESSAGE, "type", "type is missing", "");
    expect_wrong("{\"ref\":9}", CODE_BAD_MESSAGE, "type", "type is missing", "9");
    expect_wrong("{\"type\":\"welcome\",\"ref\":9}", CODE_BAD_MESSAGE, "type", none, "9");
    expect_wrong("{\"type\":\"Hello\"}", CODE_BAD_MESSAGE, "type", none, "");
    expect_wrong("{\"type\":\"\"}", CODE_BAD_MESSAGE, "type", none, "");
    expect_wrong("{\"type\":7}", CODE_BAD_MESSAGE, "type", none, "");
    expect_wrong("{\"type\":\"a long word that is no type at all\"}", CODE_BAD_MESSAGE, "type",
                 none, "");
    expect_wrong("{\"type\":\"pin\\u0000\"}", CODE_BAD_MESSAGE, "type", none, "");
    expect_wrong("[]", CODE_BAD_MESSAGE, "", "this is no JSON object", "");
    expect_wrong("\"hello\"", CODE_BAD_MESSAGE, "", "this is no JSON object", "");
    expect_wrong(" 7 ", CODE_BAD_MESSAGE, "", "this is no JSON object", "");
}

static void refuses_repeats_of_what_counts(void **state) {
    (void)state;
    expect_wrong("{\"type\":\"ping\",\"type\":\"ping\"}", CODE_BAD_MESSAGE, "type",
                 "type is given twice", "");
    expect_wrong("{\"type\":\"hello\",\"id\":\"a\",\"\\u0069d\":\"b\",\"ref\":1}", CODE_BAD_MESSAGE,
                 "id", "id is given twice", "1");
    expect_wrong("{\"type\":\"join\",\"groups\":[\"a\"],\"ref\":1,\"ref\":2}", CODE_BAD_MESSAGE,
                 "ref", "ref is given twice", "1");
}

/* A text that is not JSON is that before anything else, and where is told. */
static void prefers_bad_json(void **state) {
    (void)state;
    expect_wrong("", CODE_BAD_JSON, "", "there is no value at byte 0", "");
    expect_wrong("hello", CODE_BAD_JSON, "", "a value is missing at byte 0", "");
    expect_wrong("[1,", CODE_BAD_JSON, "", "the text ends inside an array at byte 3", "");
    expect_wrong("{\"type\":\"ping\"} x", CODE_BAD_JSON, "",
                 "something follows the value at byte 16", "");
    expect_wrong("{\"type\":7,\"ref\":1,\"x\":}", CODE_BAD_JSON, "",
                 "a value is missing at byte 22", "");
    expect_wrong("{\"type\":\"hello\",\"id\":7,\"x\":01}", CODE_BAD_JSON, "",
                 "a number with a leading zero at byte 27", "");
}

static void checks_refs(void **state) {
    (void)state;
    static const struct {
        const char *ref, *wrong; /* NULL: right */
    } rows[] = {
        {"0", NULL},
        {"-1.5e300", NULL},
        {"\"\"", NULL},
        {"\"a b\\n\\\"\"", NULL},
        {"1234567890123456789012345678901234567890123456789012345678901234", NULL},
        {"12345678901234567890123456789012345678901234567890123456789012345",
         "ref is longer than 64 bytes"},
        {"\"1234567890123456789012345678901234567890123456789012345678901234\"", NULL},
        {"\"12345678901234567890123456789012345678901234567890123456789012345\"",
         "ref is longer than 64 bytes"},
        {"\"123456789012345678901234567890123456789012345678901234567890123\\u00e4\"",
         "ref is longer than 64 bytes"},
        {"\"\\ud800\"", "ref holds a lone surrogate"},
        {"\"\\u0000\"", "ref holds U+0000"},
        {"true", "ref is neither a number nor a string"},
        {"[1]", "ref is neither a number nor a string"},
        {"{}", "ref is neither a number nor a string"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char bytes[512];
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_format(&text, "{\"type\":\"ping\",\"ref\":%s}", rows[i].ref);
        builder_byte(&text, '\0');
        if (rows[i].wrong != NULL)
            expect_wrong(bytes, CODE_BAD_MESSAGE, "ref", rows[i].wrong, "");
        else
            assert_true(span_equal(take(bytes).ref, span_text(rows[i].ref)));
    }
    /* 64 bytes, each of them written in six. */
    char bytes[512];
    struct builder text = builder_over(bytes, sizeof bytes);
    builder_text(&text, "{\"type\":\"ping\",\"ref\":\"");
    for (int i = 0; i < 64; i++)
        builder_text(&text, "\\u0041");
    builder_text(&text, "\"}");
    builder_byte(&text, '\0');
    assert_int_equal(take(bytes).ref.len, REF_JSON_BYTES_MAX);
}

/* The longest lists, and one entry more; a repeat is no entry. */
static void holds_the_lists(void **state) {
    (void)state;
    static char bytes[80000];
    for (unsigned count = 1000; count <= 1001; count++) {
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_text(&text, "{\"type\":\"join\",\"ref\":1,\"groups\":[\"g0\",\"g0\"");
        for (unsigned i = 1; i < count; i++)
            builder_format(&text, ",\"g%u\",\"\\u0067%u\"", i, i);
        builder_text(&text, "]}");
        builder_byte(&text, '\0');
        assert_false(text.full);
        if (count == 1000)
            assert_int_equal(take(bytes).names.count, 1000);
        else
            expect_wrong(bytes, CODE_BAD_MESSAGE, "groups", "groups must hold at most 1000 entries",
                         "1");
    }
}

/* `id` and `ids` are one list. */
static void counts_all_acks(void **state) {
    (void)state;
    static char bytes[20000];
    for (unsigned i = 0; i < 2; i++) {
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_format(&text, "{\"type\":\"ack\",\"id\":\"m%u\",\"ids\":[\"m0\"",
                       i == 0 ? 999 : 1000);
        for (unsigned id = 1; id < 1000; id++)
            builder_format(&text, ",\"m%u\"", id);
        builder_text(&text, "]}");
        builder_byte(&text, '\0');
        if (i == 0)
            assert_int_equal(take(bytes).names.count, 1000);
        else
            expect_wrong(bytes, CODE_BAD_MESSAGE, "ids", "ids must hold 1 to 1000 entries", "");
    }
}

/* A thousand names of the greatest length, every byte escaped: the room is enough. */
static void has_room_for_what_is_allowed(void **state) {
    (void)state;
    size_t cap = 1000 * (6 * 128 + 3) + 100;
    char *bytes = malloc(cap);
    assert_non_null(bytes);
    struct builder text = builder_over(bytes, cap);
    builder_text(&text, "{\"type\":\"join\",\"groups\":[");
    for (unsigned i = 0; i < 1000; i++) {
        builder_text(&text, i == 0 ? "\"" : ",\"");
        for (unsigned at = 0; at < 128; at++)
            builder_format(&text, "\\u00%02x", 0x30 + (at < 10 ? i >> at & 1 : 2));
        builder_byte(&text, '"');
    }
    builder_text(&text, "]}");
    assert_false(text.full);
    struct client_line line;
    struct complaint complaint;
    if (!read_line(builder_span(&text), &line, &complaint))
        fail_msg("%s", complaint.text);
    assert_int_equal(line.names.count, 1000);
    assert_int_equal(line.names.at[999].len, 128);
    free(bytes);
}

static void takes_a_hello_without_type(void **state) {
    (void)state;
    struct client_line line;
    struct complaint complaint;
    assert_true(line_parse_hello(SPAN("{\"id\":\"a\",\"ref\":[1]}"), room, &line, &complaint));
    assert_int_equal(line.type, CLIENT_LINE_HELLO);
    assert_true(span_equal(line.id, SPAN("a")));
    assert_int_equal(line.ref.len, 0);
    assert_true(line_parse_hello(SPAN("{\"type\":\"hello\"}"), room, &line, &complaint));
    assert_false(line_parse_hello(SPAN("{\"type\":\"send\"}"), room, &line, &complaint));
    assert_string_equal(complaint.text, "type is not hello");
    assert_false(line_parse_hello(SPAN("{\"type\":7}"), room, &line, &complaint));
    assert_false(line_parse_hello(SPAN("{\"type\":\"send\",}"), room, &line, &complaint));
    assert_int_equal(complaint.code, CODE_BAD_JSON);
    assert_false(line_parse_hello(SPAN(""), room, &line, &complaint));
    assert_int_equal(complaint.code, CODE_BAD_JSON);
}

/* Cut short at every byte a line is broken JSON, and never anything else. */
static void is_never_half_a_line(void **state) {
    (void)state;
    struct span whole =
        SPAN("{\"type\":\"hello\",\"id\":\"t\\u00e4\",\"groups\":[\"a\",\"b\"],\"ref\":1}");
    struct client_line line;
    struct complaint complaint;
    assert_true(read_line(whole, &line, &complaint));
    for (size_t len = 0; len < whole.len; len++) {
        assert_false(read_line(span_of(whole.at, len), &line, &complaint));
        assert_int_equal(complaint.code, CODE_BAD_JSON);
        assert_int_equal(complaint.offset, len);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_hello),
        cmocka_unit_test(takes_groups_by_both_words),
        cmocka_unit_test(bounds_groups_of_both_words),
        cmocka_unit_test(takes_null_for_absent),
        cmocka_unit_test(takes_acks),
        cmocka_unit_test(takes_joins_and_leaves),
        cmocka_unit_test(takes_the_short_ones),
        cmocka_unit_test(leaves_a_send_alone),
        cmocka_unit_test(refuses_unknown_lines),
        cmocka_unit_test(refuses_repeats_of_what_counts),
        cmocka_unit_test(prefers_bad_json),
        cmocka_unit_test(checks_refs),
        cmocka_unit_test(holds_the_lists),
        cmocka_unit_test(counts_all_acks),
        cmocka_unit_test(has_room_for_what_is_allowed),
        cmocka_unit_test(takes_a_hello_without_type),
        cmocka_unit_test(is_never_half_a_line),
    };
    return cmocka_run_group_tests(tests, make_room, drop_room);
}
