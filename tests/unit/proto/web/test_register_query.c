#include "tests/support/cmocka_first.h"

#include "proto/web/register_query.c"

#include <stdio.h>

static struct register_query query;
static struct complaint complaint;

static bool read_query(const char *text) {
    static char room[65536];
    size_t len = strlen(text);
    assert_true(len <= sizeof room);
    struct builder texts = builder_over(room, len);
    memset(&complaint, 0, sizeof complaint);
    memset(&query, 0xee, sizeof query);
    return register_query_read(span_of(text, len), &texts, &query, &complaint);
}

static void assert_groups(const char *const *wanted, unsigned count) {
    assert_int_equal(query.groups.count, count);
    for (unsigned i = 0; i < count; i++)
        assert_true(span_equal(query.groups.at[i], span_text(wanted[i])));
}

static void test_none(void **state) {
    (void)state;
    static const char *const texts[] = {"", "&&", "token=", "token"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(read_query(texts[i]));
        assert_int_equal(query.id.len, 0);
        assert_int_equal(query.has_token, i >= 2);
        assert_groups(NULL, 0);
        assert_false(register_query_names(&query));
    }
    memset(&query, 0xee, sizeof query);
    assert_true(register_query_read(span_of(NULL, 0), NULL, &query, &complaint));
    assert_false(register_query_names(&query));
}

static void test_names(void **state) {
    (void)state;
    static const char *const groups[] = {"a,b", "b c", "c", "\xc3\xa9"};
    assert_true(read_query("group=c&id=till%2F7+x&groups=a,b&groups=b+c&group=%C3%A9&group=c&"
                           "token=s%26t"));
    assert_true(span_equal(query.id, SPAN("till/7 x")));
    assert_true(query.has_token);
    assert_groups(groups, 4);
    assert_true(register_query_names(&query));
    assert_true(read_query("group=c"));
    assert_true(register_query_names(&query));
    assert_int_equal(query.id.len, 0);
    assert_true(read_query("%69d=x"));
    assert_true(span_equal(query.id, SPAN("x")));
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *query, *field, *text;
    } cases[] = {
        {"ids=1", "ids", "parameter \"ids\" is not known here"},
        {"id=a&ID=b", "ID", "parameter \"ID\" is not known here"},
        {"=1", "", "parameter \"\" is not known here"},
        {"id=a&id=a", "id", "parameter \"id\" is given twice"},
        {"token=a&group=a&token=b", "token", "parameter \"token\" is given twice"},
        {"token=&token=", "token", "parameter \"token\" is given twice"},
        {"id=", "id", "parameter \"id\" is empty"},
        {"id", "id", "parameter \"id\" is empty"},
        {"group=a&groups=", "groups", "parameter \"groups\" is empty"},
        {"group=a%0ab", "group", "parameter \"group\" holds a control character"},
        {"id=%e2%80%a8", "id", NULL},
        {"id=%c2%85", "id", NULL},
        {"id=%00", "id", NULL},
        {"id=%ff", "id", NULL},
        {"id=a%2", "id", "parameter \"id\" holds a bad escape"},
        {"group=%zz", "group", "parameter \"group\" holds a bad escape"},
        {"%zz=1", "", "the name of a parameter holds a bad escape"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(read_query(cases[i].query));
        assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
        assert_string_equal(complaint.field, cases[i].field);
        if (cases[i].text != NULL)
            assert_string_equal(complaint.text, cases[i].text);
    }
}

static void test_limits(void **state) {
    (void)state;
    char text[4096] = "id=";
    size_t len = 3;
    memset(text + len, 'x', NAME_BYTES_MAX);
    assert_true(read_query(text));
    text[len + NAME_BYTES_MAX] = 'x';
    assert_false(read_query(text));
    assert_string_equal(complaint.text, "parameter \"id\" is longer than 128 bytes");
    len = 0;
    for (unsigned i = 0; i < GROUPS_PER_SESSION_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "group=%%67%u&group=g%u&", i, i);
    assert_true(read_query(text));
    assert_int_equal(query.groups.count, GROUPS_PER_SESSION_MAX);
    snprintf(text + len, sizeof text - len, "groups=one");
    assert_false(read_query(text));
    assert_string_equal(complaint.text, "parameter \"groups\" names more than 64 groups");
    assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_none), cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
