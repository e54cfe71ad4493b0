/* The scanner: the grammar by tables and against a second implementation, every truncation, every
 * byte at every place of a string, the depth, and that a walk with a cursor says the same as a
 * scan. */
#include "proto/text/json.c"

#include "tests/support/cmocka_first.h"
#include "tests/support/json_reference.h"

#include <stdlib.h>

/* A span in a table. */
#define TEXT(literal)                                                                              \
    { literal, sizeof(literal) - 1 }

static const struct span valid[] = {
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT(" \t\r\n null \t\r\n "),
    TEXT("0"),
    TEXT("-0"),
    TEXT("7"),
    TEXT("10"),
    TEXT("-12.5e+3"),
    TEXT("0.000"),
    TEXT("1E9"),
    TEXT("1e-0"),
    TEXT("123456789012345678901234567890.12345678901234567890E+1234567890"),
    TEXT("\"\""),
    TEXT("\"a\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\u0000\\uABcd\""),
    TEXT("\"\\ud800\""),
    TEXT("\"\\udc00\\ud800\""),
    TEXT("\"\\ud83d\\ude00\""),
    TEXT("\"\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""),
    TEXT("\"a string that is longer than one step of the scanner, twice even\""),
    TEXT("\"15 bytes+quotes\""),
    TEXT("\"umlauts at a border: \xC3\xA4\xC3\xB6\xC3\xBC and on\""),
    TEXT("[]"),
    TEXT("[ ]"),
    TEXT("{}"),
    TEXT("{ }"),
    TEXT("[[],{},[{}]]"),
    TEXT("[1,2 , 3\n,\t4]"),
    TEXT("{\"a\":1}"),
    TEXT("{\"\":{\"\":[]}}"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT(" { \"a\" : [ true , false , null ] , \"b\" : { \"c\" : \"d\" } } "),
    TEXT("{\"id\":\"m1\",\"to\":[\"till-7\",\"till-8\"],\"event\":\"payment\",\"ttl\":0.5,"
         "\"data\":{\"amount\":12.50,\"items\":[{\"n\":1},{\"n\":2}],\"text\":\"\\u00e4 "
         "\xC3\xA4\"}}"),
};

struct wrong {
    struct span text;
    size_t offset;
    const char *reason;
};

static const struct wrong wrongs[] = {
    {TEXT("\xEF\xBB\xBF{}"), 0, "a byte order mark"},
    {TEXT("nul"), 3, "the text ends inside a word"},
    {TEXT("nil"), 1, "a word that is none of true, false, null"},
    {TEXT("nullx"), 4, "something follows the value"},
    {TEXT("True"), 0, "a value is missing"},
    {TEXT("NaN"), 0, "a value is missing"},
    {TEXT("[Infinity]"), 1, "a value is missing"},
    {TEXT("1 2"), 2, "something follows the value"},
    {TEXT("{} x"), 3, "something follows the value"},
    {TEXT("[]]"), 2, "something follows the value"},
    {TEXT("null\0"), 4, "something follows the value"},
    {TEXT("\0"), 0, "a value is missing"},
    {TEXT("\xA0"), 0, "a value is missing"},
    {TEXT("\fnull"), 0, "a value is missing"},
    {TEXT("/**/1"), 0, "a value is missing"},
    {TEXT("'a'"), 0, "a value is missing"},
    {TEXT("+1"), 0, "a value is missing"},
    {TEXT(".5"), 0, "a value is missing"},
    {TEXT("-"), 1, "the text ends inside a number"},
    {TEXT("-x"), 1, "a number lacks a digit"},
    {TEXT("01"), 0, "a number with a leading zero"},
    {TEXT("-00"), 1, "a number with a leading zero"},
    {TEXT("[1.]"), 3, "a number lacks a digit"},
    {TEXT("1."), 2, "the text ends inside a number"},
    {TEXT("1.e3"), 2, "a number lacks a digit"},
    {TEXT("[1e]"), 3, "a number lacks a digit"},
    {TEXT("1e+"), 3, "the text ends inside a number"},
    {TEXT("1e1.5"), 3, "something follows the value"},
    {TEXT("0x1"), 1, "something follows the value"},
    {TEXT("1_000"), 1, "something follows the value"},
    {TEXT("\"a"), 2, "the text ends inside a string"},
    {TEXT("\"a\\"), 3, "the text ends inside an escape"},
    {TEXT("\"a\\u12"), 6, "the text ends inside an escape"},
    {TEXT("\"a\\x\""), 2, "an escape that does not exist"},
    {TEXT("\"\\U0041\""), 1, "an escape that does not exist"},
    {TEXT("\"\\u00g0\""), 1, "\\u without four hex digits"},
    {TEXT("\"\\u123\""), 1, "\\u without four hex digits"},
    {TEXT("\"a\nb\""), 2, "a control character that is not escaped"},
    {TEXT("\"a\tb\""), 2, "a control character that is not escaped"},
    {TEXT("\"\0\""), 1, "a control character that is not escaped"},
    {TEXT("\"0123456789abcdef\x1F\""), 17, "a control character that is not escaped"},
    {TEXT("\"\x80\""), 1, "bad UTF-8"},
    {TEXT("\"\xC0\x80\""), 1, "bad UTF-8"},
    {TEXT("\"\xE0\x9F\xBF\""), 1, "bad UTF-8"},
    {TEXT("\"x\xED\xA0\x80\""), 2, "bad UTF-8"},
    {TEXT("\"\xF4\x90\x80\x80\""), 1, "bad UTF-8"},
    {TEXT("\"\xC3\""), 1, "bad UTF-8"},
    {TEXT("\"\xC3"), 2, "the text ends inside a character"},
    {TEXT("\"\xF0\x9F\x98"), 4, "the text ends inside a character"},
    {TEXT("["), 1, "the text ends inside an array"},
    {TEXT("[1"), 2, "the text ends inside an array"},
    {TEXT("[1,"), 3, "the text ends inside an array"},
    {TEXT("[,1]"), 1, "a value is missing"},
    {TEXT("[1,]"), 3, "a value is missing"},
    {TEXT("[1 2]"), 3, "',' or ']' is missing"},
    {TEXT("[1}"), 2, "',' or ']' is missing"},
    {TEXT("[1:2]"), 2, "',' or ']' is missing"},
    {TEXT("{"), 1, "the text ends inside an object"},
    {TEXT("{\"a\""), 4, "the text ends inside an object"},
    {TEXT("{\"a\":"), 5, "the text ends inside an object"},
    {TEXT("{\"a\":1"), 6, "the text ends inside an object"},
    {TEXT("{\"a\":1,"), 7, "the text ends inside an object"},
    {TEXT("{\"a\"}"), 4, "':' is missing"},
    {TEXT("{\"a\" 1}"), 5, "':' is missing"},
    {TEXT("{\"a\",1}"), 4, "':' is missing"},
    {TEXT("{\"a\":}"), 5, "a value is missing"},
    {TEXT("{\"a\":1,}"), 7, "a name in quotes is missing"},
    {TEXT("{,}"), 1, "a name in quotes is missing"},
    {TEXT("{a:1}"), 1, "a name in quotes is missing"},
    {TEXT("{1:1}"), 1, "a name in quotes is missing"},
    {TEXT("{\"a\":1]"), 6, "',' or '}' is missing"},
    {TEXT("{\"a\":1 \"b\":2}"), 7, "',' or '}' is missing"},
    {TEXT("{\"a\":[{\"b\":[1,{\"c\" 2}]}]}"), 19, "':' is missing"},
    {TEXT("{}{}"), 2, "something follows the value"},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* A copy in memory of exactly its size, so that one byte too far is seen. */
static struct span alone(struct span text) {
    char *at = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(at);
    if (text.len != 0)
        memcpy(at, text.at, text.len);
    return span_of(at, text.len);
}

/* Walks arrays and objects member by member, however deep: right if every text is. */
static bool walk(struct span text, struct json_error *error) {
    struct json_cursor cursor;
    struct json_value key, value;
    enum json_kind kind = json_open(&cursor, text);
    if (kind == JSON_OBJECT || kind == JSON_ARRAY) {
        while (kind == JSON_OBJECT ? json_object_next(&cursor, &key, &value)
                                   : json_array_next(&cursor, &value)) {
            struct json_error inner;
            assert_true(value.raw.at > text.at);
            assert_int_equal(json_offset(&cursor, &value), value.raw.at - text.at);
            if (kind == JSON_OBJECT)
                assert_true(json_scan(key.raw, NULL, &inner) && key.kind == JSON_STRING);
            assert_true(walk(value.raw, &inner));
        }
        *error = cursor.error;
        /* Once at the end, always at the end. */
        assert_false(kind == JSON_OBJECT ? json_object_next(&cursor, &key, &value)
                                         : json_array_next(&cursor, &value));
        assert_ptr_equal(cursor.error.text, error->text);
        return error->text == NULL;
    }
    return json_scan(text, NULL, error);
}

/* Scan, walk and the reference agree; returns what they say. */
static bool look(struct span text, struct json_error *error) {
    struct span copy = alone(text);
    struct json_error scanned = {NULL, 0, false}, walked = {NULL, 0, false};
    struct json_value value = {span_of(NULL, 0), JSON_NONE, false, 0};
    bool right = json_scan(copy, &value, &scanned);
    if (right != json_reference_valid(copy.at, copy.len))
        fail_msg("%.*s: scan says %d", SPAN_ARG(text), right);
    assert_int_equal(walk(copy, &walked), right);
    if (right) {
        assert_null(scanned.text);
        struct json_error again;
        assert_true(json_scan(value.raw, NULL, &again));
        assert_int_equal(value.kind, kind_of(value.raw.at[0]));
    } else {
        assert_non_null(scanned.text);
        assert_string_equal(scanned.text, walked.text);
        assert_int_equal(scanned.offset, walked.offset);
        assert_int_equal(scanned.truncated, walked.truncated);
        assert_true(scanned.truncated ? scanned.offset == text.len : scanned.offset < text.len);
    }
    free((char *)copy.at);
    *error = scanned;
    return right;
}

static void takes_what_is_right(void **state) {
    (void)state;
    struct json_error error;
    for (size_t i = 0; i < COUNT(valid); i++)
        if (!look(valid[i], &error))
            fail_msg("%.*s: %s at %zu", SPAN_ARG(valid[i]), error.text, error.offset);
}

static void says_what_is_wrong_and_where(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        struct json_error error;
        if (look(wrongs[i].text, &error))
            fail_msg("%.*s was taken", SPAN_ARG(wrongs[i].text));
        assert_string_equal(error.text, wrongs[i].reason);
        assert_int_equal(error.offset, wrongs[i].offset);
        assert_int_equal(error.truncated, strncmp(error.text, "the text ends", 13) == 0);
    }
}

static void knows_an_empty_text(void **state) {
    (void)state;
    struct json_error error;
    assert_false(look(SPAN(""), &error));
    assert_string_equal(error.text, "there is no value");
    assert_true(error.truncated && error.offset == 0);
    assert_false(look(SPAN(" \n "), &error));
    assert_true(error.truncated && error.offset == 3);
    assert_false(json_scan(span_of(NULL, 0), NULL, &error));
    struct json_cursor cursor;
    assert_int_equal(json_open(&cursor, span_of(NULL, 0)), JSON_NONE);
}

/* Whatever is cut off a right text is what is missing. */
static void tells_truncated_from_wrong(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        for (size_t len = 0; len < valid[i].len; len++) {
            struct json_error error;
            if (!look(span_of(valid[i].at, len), &error))
                assert_true(error.truncated);
        }
    }
}

/* Each byte of right texts replaced by each other byte, left out, and doubled. */
static void agrees_with_the_reference_on_mutations(void **state) {
    (void)state;
    char bytes[512];
    struct json_error error;
    for (size_t i = 0; i < COUNT(valid); i++) {
        struct span text = valid[i];
        for (size_t at = 0; at < text.len; at++) {
            memcpy(bytes, text.at, text.len);
            for (int byte = 0; byte < 256; byte++) {
                bytes[at] = (char)byte;
                look(span_of(bytes, text.len), &error);
            }
            memcpy(bytes + at, text.at + at + 1, text.len - at - 1);
            look(span_of(bytes, text.len - 1), &error);
            memcpy(bytes + at, text.at + at, 1);
            memcpy(bytes + at + 1, text.at + at, text.len - at);
            look(span_of(bytes, text.len + 1), &error);
        }
    }
}

/* Every byte at every place of strings up to three steps long. */
static void stops_at_every_byte_that_matters(void **state) {
    (void)state;
    char bytes[64];
    for (size_t len = 1; len < 52; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                memset(bytes, 'x', sizeof bytes);
                bytes[0] = bytes[len + 1] = '"';
                bytes[1 + at] = (char)byte;
                struct json_error error;
                bool right = json_scan(span_of(bytes, len + 2), NULL, &error);
                bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
                bool escape = byte == '\\' && at + 1 < len && bytes[2 + at] == 'x';
                assert_int_equal(right, plain);
                if (byte == '"')
                    assert_int_equal(error.offset, at + 2);
                else if (!plain && (byte != '\\' || escape))
                    assert_int_equal(error.offset, at + 1);
            }
        }
    }
}

/* `depth` arrays and objects in each other, opened in turn by the bytes of `open`. */
static struct span nest(char *room, size_t cap, size_t depth, const char *open, const char *inside,
                        const char *close) {
    struct builder out = builder_over(room, cap);
    for (size_t i = 0; i < depth; i++) {
        builder_byte(&out, open[i % strlen(open)]);
        if (open[i % strlen(open)] == '{')
            builder_text(&out, "\"k\":");
    }
    builder_text(&out, inside);
    for (size_t i = depth; i-- > 0;)
        builder_byte(&out, close[i % strlen(close)]);
    assert_false(out.full);
    return builder_span(&out);
}

static void holds_the_depth(void **state) {
    (void)state;
    static const struct {
        const char *open, *close;
        size_t offset;
    } kinds[] = {{"[", "]", 64}, {"{", "}", 320}, {"[{", "]}", 192}, {"{[[", "}]]", 152}};
    char text[2048];
    struct json_error error;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        assert_true(look(nest(text, sizeof text, 63, kinds[i].open, "{}", kinds[i].close), &error));
        assert_true(look(nest(text, sizeof text, 64, kinds[i].open, "1", kinds[i].close), &error));
        assert_false(look(nest(text, sizeof text, 65, kinds[i].open, "1", kinds[i].close), &error));
        assert_string_equal(error.text, "nested deeper than 64");
        assert_int_equal(error.offset, kinds[i].offset);
        assert_false(error.truncated);
        assert_false(
            look(nest(text, sizeof text, 64, kinds[i].open, "[]", kinds[i].close), &error));
    }
    /* What is closed does not count. */
    char wide[3 * 200 + 2] = "[";
    for (size_t i = 0; i < 200; i++)
        memcpy(wide + 1 + 3 * i, i == 199 ? "{}]" : "{},", 3);
    assert_true(look(span_of(wide, sizeof wide - 1), &error));
}

/* The elements of an array of texts that stand alone have the whole depth to themselves. */
static void holds_the_depth_of_what_stands_alone(void **state) {
    (void)state;
    char text[512];
    struct json_cursor cursor;
    struct json_value value;
    struct span deep = nest(text, sizeof text, 65, "[", "1", "]");
    assert_int_equal(json_open_apart(&cursor, deep), JSON_ARRAY);
    assert_true(json_array_next(&cursor, &value));
    assert_int_equal(value.raw.len, 129);
    assert_false(json_array_next(&cursor, &value));
    assert_null(cursor.error.text);
    json_open_apart(&cursor, nest(text, sizeof text, 66, "[", "1", "]"));
    assert_false(json_array_next(&cursor, &value));
    assert_string_equal(cursor.error.text, "nested deeper than 64");
    assert_int_equal(cursor.error.offset, 65);
    json_open(&cursor, deep);
    assert_false(json_array_next(&cursor, &value));
    assert_int_equal(cursor.error.offset, 64);
}

static void hands_out_members(void **state) {
    (void)state;
    struct span text = SPAN(" {\"a\" : 1 , \"b\\u0063\":[ 1, 2 ],\"\":\"x\\ny\" ,\"t\":true} ");
    static const struct {
        const char *key, *value;
        enum json_kind kind;
        bool key_escaped, escaped;
    } members[] = {
        {"\"a\"", "1", JSON_NUMBER, false, false},
        {"\"b\\u0063\"", "[ 1, 2 ]", JSON_ARRAY, true, false},
        {"\"\"", "\"x\\ny\"", JSON_STRING, false, true},
        {"\"t\"", "true", JSON_TRUE, false, false},
    };
    struct json_cursor cursor;
    struct json_value key, value;
    assert_int_equal(json_open(&cursor, text), JSON_OBJECT);
    for (size_t i = 0; i < COUNT(members); i++) {
        assert_true(json_object_next(&cursor, &key, &value));
        assert_true(span_equal(key.raw, span_text(members[i].key)));
        assert_true(span_equal(value.raw, span_text(members[i].value)));
        assert_int_equal(value.kind, members[i].kind);
        assert_int_equal(key.escaped, members[i].key_escaped);
        assert_int_equal(value.escaped, members[i].escaped);
    }
    assert_false(json_object_next(&cursor, &key, &value));
    assert_null(cursor.error.text);
}

/* What comes before the fault is handed out, and the fault is told with its place in the whole
 * text. */
static void walks_as_far_as_it_is_right(void **state) {
    (void)state;
    struct json_cursor cursor;
    struct json_value key, value;
    assert_int_equal(json_open(&cursor, SPAN("{\"a\":1,\"b\":[1,x],\"c\":2}")), JSON_OBJECT);
    assert_true(json_object_next(&cursor, &key, &value));
    assert_false(json_object_next(&cursor, &key, &value));
    assert_int_equal(cursor.error.offset, 14);
    assert_false(json_object_next(&cursor, &key, &value));
    assert_int_equal(cursor.error.offset, 14);
}

static void finds_a_member(void **state) {
    (void)state;
    struct json_value value;
    struct span object = SPAN("{\"a\":1,\"bb\":{\"c\":2},\"a\":3}");
    assert_true(json_find(object, "a", &value));
    assert_true(span_equal(value.raw, SPAN("1")));
    assert_true(json_find(object, "bb", &value));
    assert_int_equal(value.kind, JSON_OBJECT);
    assert_false(json_find(object, "c", &value));
    assert_false(json_find(SPAN("[1]"), "a", &value));
    assert_false(json_find(SPAN("{}"), "a", &value));
}

/* In windows of every size: what is told is what the whole walk tells, and only what fills the
 * window is too long. */
static void a_walk_in_windows(struct span text, size_t max_bytes) {
    struct json_cursor whole, cut;
    struct json_value expected, value;
    bool over = false, more = true;
    json_open(&whole, text);
    json_open(&cut, text);
    while (more && !over) {
        const char *before = whole.at;
        more = json_array_next(&whole, &expected);
        bool there = json_array_next_within(&cut, max_bytes, &value, &over);
        const char *after = whole.error.text != NULL ? text.at + whole.error.offset : whole.at;
        if (over) {
            size_t dense = 0;
            for (const char *at = before; at != after; at++)
                dense += !json_is_blank(*at);
            assert_true(dense + 1 >= max_bytes);
            assert_null(cut.error.text);
            assert_false(json_array_next(&cut, &value));
            return;
        }
        assert_int_equal(there, more);
        assert_string_equal(cut.error.text == NULL ? "" : cut.error.text,
                            whole.error.text == NULL ? "" : whole.error.text);
        assert_int_equal(cut.error.offset, whole.error.offset);
        if (there)
            assert_true(span_equal(value.raw, expected.raw));
    }
}

/* The members of an object are told by the same windows, with the name of the one that is over. */
static void walks_an_object_in_windows(void **state) {
    (void)state;
    struct span text = SPAN("{\"a\":1, \"bc\" :  [2,3] ,\"d\":\"0123456789\"}");
    for (size_t max = JSON_WINDOW_BYTES_MIN; max <= text.len + 1; max++) {
        struct json_cursor whole, cut;
        struct json_value key, value, cut_key, cut_value;
        bool over = false, more = true;
        json_open(&whole, text);
        json_open(&cut, text);
        while (more && !over) {
            more = json_object_next(&whole, &key, &value);
            bool there = json_object_next_within(&cut, max, &cut_key, &cut_value, &over);
            if (over) {
                assert_null(cut.error.text);
                if (cut_key.kind != JSON_NONE)
                    assert_true(span_equal(cut_key.raw, key.raw));
                assert_false(json_object_next(&cut, &key, &value));
            } else {
                assert_int_equal(there, more);
                assert_true(!there || span_equal(cut_value.raw, value.raw));
                assert_true(!there || span_equal(cut_key.raw, key.raw));
            }
        }
        /* The last member has the most; the window has it, and the byte behind it. */
        size_t most = strlen(",\"d\":\"0123456789\"");
        assert_int_equal(over, max <= most + 1);
    }
}

static void walks_in_windows(void **state) {
    (void)state;
    static const char *const texts[] = {
        "[1, 22 ,[3,\"x\"]  , {\"a\":[]},\n 123456 ]  ",
        "[]",
        " [ ]                ",
        "[1,2",
        "[1,2]                   x",
        "[\"abc",
        "[1,,2]",
        "[true,nul]",
        "[\"\xF0\x9F\x98\x80\",-1.5e3]",
        "[1,                    22,[\"0123456789abcdefghijklmnopqrstuvwxyz\"]        ]      ",
        "[{\"0123456789abcdefghi\":              \"jklmnopqrst\"},123456789012345678901234]",
        "[12345678901234567890"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (size_t max = JSON_WINDOW_BYTES_MIN; max <= strlen(texts[i]) + 1; max++)
            a_walk_in_windows(span_text(texts[i]), max);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_in_windows),
        cmocka_unit_test(walks_an_object_in_windows),
        cmocka_unit_test(takes_what_is_right),
        cmocka_unit_test(says_what_is_wrong_and_where),
        cmocka_unit_test(knows_an_empty_text),
        cmocka_unit_test(tells_truncated_from_wrong),
        cmocka_unit_test(agrees_with_the_reference_on_mutations),
        cmocka_unit_test(stops_at_every_byte_that_matters),
        cmocka_unit_test(holds_the_depth),
        cmocka_unit_test(holds_the_depth_of_what_stands_alone),
        cmocka_unit_test(hands_out_members),
        cmocka_unit_test(walks_as_far_as_it_is_right),
        cmocka_unit_test(finds_a_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
