#include "tests/support/cmocka_first.h"

#include "proto/http/query.c"

static struct complaint complaint;
static struct query_field fields[3];

static bool read_query(const char *query) {
    static char room[4096];
    struct builder texts = builder_over(room, sizeof room);
    fields[0] = (struct query_field){.name = "a"};
    fields[1] = (struct query_field){.name = "b c"};
    fields[2] = (struct query_field){.name = "d"};
    memset(&complaint, 0, sizeof complaint);
    return query_read(span_text(query), &texts, fields, 3, &complaint);
}

static void assert_field(unsigned index, const char *wanted) {
    assert_int_equal(fields[index].given, wanted != NULL);
    if (wanted != NULL)
        assert_true(span_equal(fields[index].value, span_text(wanted)));
}

static void test_read(void **state) {
    (void)state;
    assert_true(read_query(""));
    assert_field(0, NULL);
    assert_true(read_query("a=1"));
    assert_field(0, "1");
    assert_field(1, NULL);
    assert_true(read_query("&&d&b+c=x%26y+z%3D=&&a=%61%2B"));
    assert_field(0, "a+");
    assert_field(1, "x&y z==");
    assert_field(2, "");
}

static void test_refusals(void **state) {
    (void)state;
    const struct {
        const char *query, *field, *text;
    } cases[] = {
        {"e=1", "e", "parameter \"e\" is not known here"},
        {"a=1&a=2", "a", "parameter \"a\" is given twice"},
        {"A=1", "A", "parameter \"A\" is not known here"},
        {"=1", "", "parameter \"\" is not known here"},
        {"a=%zz", "a", "parameter \"a\" holds a bad escape"},
        {"%zz=1", "", "the name of a parameter holds a bad escape"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(read_query(cases[i].query));
        assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
        assert_string_equal(complaint.field, cases[i].field);
        assert_string_equal(complaint.text, cases[i].text);
    }
    assert_false(read_query("a=%ff"));
    assert_false(read_query("d&d"));
}

static struct query_field field(const char *value) {
    return (struct query_field){.name = "x", .given = true, .value = span_text(value)};
}

static void test_values(void **state) {
    (void)state;
    struct query_field one;
    bool truth;
    const char *const good[] = {"1", "true", "0", "false"};
    for (unsigned i = 0; i < 4; i++) {
        one = field(good[i]);
        assert_true(query_bool(&one, &truth, &complaint));
        assert_int_equal(truth, i < 2);
    }
    const char *const bad[] = {"", "yes", "TRUE", "2", "on"};
    for (unsigned i = 0; i < 5; i++) {
        one = field(bad[i]);
        assert_false(query_bool(&one, &truth, &complaint));
    }
    uint64_t number;
    one = field("7");
    assert_true(query_u64(&one, 7, 7, &number, &complaint));
    assert_int_equal(number, 7);
    assert_false(query_u64(&one, 8, 9, &number, &complaint));
    assert_string_equal(complaint.text, "parameter \"x\" is not a whole number from 8 to 9");
    const char *const no_numbers[] = {"",   "x",  "-1", "1.0", "1e1",
                                      "01", " 1", "1 ", "+1",  "18446744073709551616"};
    for (unsigned i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        one = field(no_numbers[i]);
        assert_false(query_u64(&one, 0, UINT64_MAX, &number, &complaint));
    }
    one = field("1.5");
    assert_true(query_seconds(&one, 60, &number, &complaint));
    assert_true(number == 1500 * NS_PER_MS);
    one = field("0");
    assert_true(query_seconds(&one, 60, &number, &complaint));
    one = field("60.1");
    assert_false(query_seconds(&one, 60, &number, &complaint));
    one = field("-0.5");
    assert_false(query_seconds(&one, 60, &number, &complaint));
    unsigned namespace;
    one = field("/");
    assert_true(query_namespace(&one, &namespace, &complaint));
    one.given = false;
    assert_true(query_namespace(&one, &namespace, &complaint));
    one = field("");
    assert_false(query_namespace(&one, &namespace, &complaint));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
