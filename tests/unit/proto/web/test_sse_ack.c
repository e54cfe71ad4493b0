#include "tests/support/cmocka_first.h"

#include "proto/web/sse_ack.c"

#include <stdio.h>

static struct line_scratch room;
static struct sse_ack ack;
static struct complaint complaint;

static bool parse(const char *body) {
    memset(&complaint, 0, sizeof complaint);
    return sse_ack_parse(span_text(body), &room, &ack, &complaint);
}

static void test_good(void **state) {
    (void)state;
    assert_true(parse("{\"session\":\"0-1-2\",\"ids\":[\"b\",\"a\",\"b\"]}"));
    assert_true(span_equal(ack.session, SPAN("0-1-2")));
    assert_int_equal(ack.ids.count, 2);
    assert_true(span_equal(ack.ids.at[0], SPAN("a")));
    assert_true(
        parse(" {\"x\":[1],\"\\u0069ds\":[\"\\u0061\"],\"session\":\"\\u0030-\\u2028\"} \n"));
    assert_true(span_equal(ack.session, SPAN("0-\xE2\x80\xA8")));
    assert_true(span_equal(ack.ids.at[0], SPAN("a")));
    assert_true(parse("{\"session\":\"\",\"ids\":[\"a\"]}"));
    assert_int_equal(ack.session.len, 0);
}

static void test_bad(void **state) {
    (void)state;
    static const struct {
        const char *body, *field;
        enum code code;
    } cases[] = {
        {"", "", CODE_BAD_JSON},
        {"{\"session\":\"0-1-2\",\"ids\":[\"a\"]", "", CODE_BAD_JSON},
        {"{\"session\":\"0-1-2\",\"ids\":[\"a\"]}}", "", CODE_BAD_JSON},
        {"{\"session\":\"\xff\",\"ids\":[\"a\"]}", "", CODE_BAD_JSON},
        {"[]", "", CODE_BAD_MESSAGE},
        {"\"x\"", "", CODE_BAD_MESSAGE},
        {"{}", "session", CODE_BAD_MESSAGE},
        {"{\"ids\":[\"a\"]}", "session", CODE_BAD_MESSAGE},
        {"{\"session\":null,\"ids\":[\"a\"]}", "session", CODE_BAD_MESSAGE},
        {"{\"session\":1,\"ids\":[\"a\"]}", "session", CODE_BAD_MESSAGE},
        {"{\"session\":\"s\"}", "ids", CODE_BAD_MESSAGE},
        {"{\"session\":\"s\",\"ids\":{}}", "ids", CODE_BAD_MESSAGE},
        {"{\"session\":\"s\",\"ids\":[]}", "ids", CODE_BAD_MESSAGE},
        {"{\"session\":\"s\",\"ids\":[\"\"]}", "ids", CODE_BAD_MESSAGE},
        {"{\"session\":\"s\",\"ids\":[\"a b\"]}", "ids", CODE_BAD_MESSAGE},
        {"{\"session\":\"s\",\"ids\":[\"a\",[\"b\"]]}", "ids", CODE_BAD_MESSAGE},
        {"{\"session\":\"s\",\"ids\":[\"a\"],\"session\":\"s\"}", "session", CODE_BAD_MESSAGE},
        {"{\"ids\":[\"a\"],\"session\":\"s\",\"i\\u0064s\":[\"a\"]}", "ids", CODE_BAD_MESSAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(parse(cases[i].body));
        assert_int_equal(complaint.code, cases[i].code);
        assert_string_equal(complaint.field, cases[i].field);
        assert_true(complaint.text[0] != '\0');
    }
}

static void test_limits(void **state) {
    (void)state;
    static char body[200000];
    for (unsigned count = LINE_NAMES_MAX; count <= LINE_NAMES_MAX + 1; count++) {
        size_t len = (size_t)snprintf(body, sizeof body, "{\"session\":\"s\",\"ids\":[");
        for (unsigned i = 0; i < count; i++)
            len += (size_t)snprintf(body + len, sizeof body - len, "%s\"\\u0061%063u\"",
                                    i == 0 ? "" : ",", i);
        snprintf(body + len, sizeof body - len, "]}");
        assert_int_equal(parse(body), count == LINE_NAMES_MAX);
    }
    assert_string_equal(complaint.field, "ids");
    /* An id that needs more room than there is. */
    size_t len = (size_t)snprintf(body, sizeof body, "{\"session\":\"s\",\"ids\":[\"\\u0061");
    memset(body + len, 'x', sizeof body - len - 4);
    memcpy(body + sizeof body - 4, "\"]}", 4);
    assert_false(parse(body));
    assert_string_equal(complaint.field, "ids");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
