/* Fields with names in them: texts, lists, what is left of repeats, and the words of a refusal. */
#include "proto/text/name_field.c"

#include "tests/support/cmocka_first.h"

static const struct name_field field = {{"to", 2}, name_check, false};

static struct json_value value_of(struct span text) {
    struct json_value value;
    struct json_error error;
    assert_true(json_scan(text, &value, &error));
    return value;
}

static void expect_list(struct span text, unsigned max, const char *const *want, unsigned count,
                        const char *want_json) {
    struct json_value value = value_of(text);
    char decoded[64], written[64];
    struct builder texts = builder_over(decoded, sizeof decoded);
    struct builder json = builder_over(written, sizeof written);
    struct span names[8];
    struct name_list list = {names, 0, max};
    struct complaint complaint;
    if (!name_field_list(&field, &value, &texts, &list, &json, &complaint))
        fail_msg("%.*s: %s", SPAN_ARG(text), complaint.text);
    assert_int_equal(list.count, count);
    for (unsigned i = 0; i < count; i++)
        assert_true(span_equal(names[i], span_text(want[i])));
    if (!span_equal(builder_span(&json), span_text(want_json)))
        fail_msg("%.*s", SPAN_ARG(builder_span(&json)));
    /* Without the JSON it is the same list. */
    list.count = 0;
    texts.len = 0;
    assert_true(name_field_list(&field, &value, &texts, &list, NULL, &complaint));
    assert_int_equal(list.count, count);
}

static void reads_lists(void **state) {
    (void)state;
    expect_list(SPAN("[\"a\"]"), 1, (const char *const[]){"a"}, 1, "[\"a\"]");
    expect_list(SPAN("[ \"b\" ,\n\"a\",\"b\",\"\\u0061\" , \"a\" ]"), 2,
                (const char *const[]){"a", "b"}, 2, "[\"b\",\"a\"]");
    expect_list(SPAN("[\"\\u0062\",\"b\",\"\\u0061\\\"\"]"), 2, (const char *const[]){"a\"", "b"},
                2, "[\"\\u0062\",\"\\u0061\\\"\"]");
}

/* A repeat gives its room back, however many there are. */
static void keeps_no_room_for_repeats(void **state) {
    (void)state;
    char decoded[4], text[512];
    struct builder json = builder_over(text, sizeof text);
    for (int i = 0; i < 50; i++)
        builder_text(&json, i == 0 ? "[\"\\u0061\"" : ",\"\\u0061\"");
    builder_text(&json, ",\"b\\u0062\"]");
    struct json_value value = value_of(builder_span(&json));
    struct builder texts = builder_over(decoded, sizeof decoded);
    struct span names[2];
    struct name_list list = {names, 0, 2};
    struct complaint complaint;
    assert_true(name_field_list(&field, &value, &texts, &list, NULL, &complaint));
    assert_int_equal(list.count, 2);
    assert_int_equal(texts.len, 3);
}

static void refuses_lists(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[]", "to must hold 1 to 2 entries"},
        {"[\"a\",\"b\",\"c\"]", "to must hold 1 to 2 entries"},
        {"[\"a\",7]", "to[1] is not a string"},
        {"[[\"a\"]]", "to[0] is not a string"},
        {"[null]", "to[0] is not a string"},
        {"[\"a\",\"a\",\"\"]", "to[2] is empty"},
        {"[\"a\",\"b\\u0000\"]", "to[1] holds U+0000"},
        {"[\"\\udfff\"]", "to[0] holds a lone surrogate"},
        {"[\"\\u0061bcde\"]", "to[0] is too long"},
        {"\"a\"", "to is not a list"},
        {"{}", "to is not a list"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json_value value = value_of(span_text(rows[i].text));
        char decoded[4];
        struct builder texts = builder_over(decoded, sizeof decoded);
        struct span names[2];
        struct name_list list = {names, 0, 2};
        struct complaint complaint;
        assert_false(name_field_list(&field, &value, &texts, &list, NULL, &complaint));
        assert_string_equal(complaint.text, rows[i].says);
        assert_string_equal(complaint.field, "to");
        assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
    }
}

static void reads_a_name_or_a_list(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool may_be_empty;
        unsigned count;
        const char *json, *says; /* NULL: it is right */
    } rows[] = {
        {"\"a\"", false, 1, "", NULL},
        {"[\"a\",\"b\"]", false, 2, "[\"a\",\"b\"]", NULL},
        {"[]", true, 0, "[]", NULL},
        {"[]", false, 0, "", "to must hold 1 to 2 entries"},
        {"[\"a\",\"b\",\"c\"]", true, 2, "", "to must hold at most 2 entries"},
        {"7", false, 0, "", "to is neither a string nor a list of strings"},
        {"\"\"", true, 0, "", "to is empty"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct name_field one = {{"to", 2}, name_check, rows[i].may_be_empty};
        struct json_value value = value_of(span_text(rows[i].text));
        char decoded[8], bytes[64];
        struct builder texts = builder_over(decoded, sizeof decoded);
        struct builder json = builder_over(bytes, sizeof bytes);
        struct span names[2];
        struct name_list list = {names, 0, 2};
        struct complaint complaint;
        bool right = name_field_names(&one, &value, &texts, &list, &json, &complaint);
        assert_int_equal(right, rows[i].says == NULL);
        assert_int_equal(list.count, rows[i].count);
        if (right)
            assert_true(span_equal(builder_span(&json), span_text(rows[i].json)));
        else
            assert_string_equal(complaint.text, rows[i].says);
    }
    /* One more name for a list that is full. */
    struct span names[2] = {SPAN("a"), SPAN("b")};
    struct name_list list = {names, 2, 2};
    struct json_value value = value_of(SPAN("\"c\""));
    char bytes[8];
    struct builder texts = builder_over(bytes, sizeof bytes);
    struct complaint complaint;
    assert_false(name_field_names(&field, &value, &texts, &list, NULL, &complaint));
    assert_string_equal(complaint.text, "to must hold 1 to 2 entries");
}

static void reads_strings(void **state) {
    (void)state;
    char decoded[8];
    struct builder texts = builder_over(decoded, sizeof decoded);
    struct span text;
    struct complaint complaint;
    struct json_value value = value_of(SPAN("\"\\u0061b\""));
    assert_true(name_field_string(&field, &value, &texts, &text, &complaint));
    assert_true(span_equal(text, SPAN("ab")));
    value = value_of(SPAN("\"\\n\""));
    assert_false(name_field_string(&field, &value, &texts, &text, &complaint));
    assert_string_equal(complaint.text, "to holds a control character");
    assert_string_equal(complaint.field, "to");
    value = value_of(SPAN("7"));
    assert_false(name_field_string(&field, &value, &texts, &text, &complaint));
    assert_string_equal(complaint.text, "to is not a string");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lists),
        cmocka_unit_test(keeps_no_room_for_repeats),
        cmocka_unit_test(refuses_lists),
        cmocka_unit_test(reads_strings),
        cmocka_unit_test(reads_a_name_or_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
