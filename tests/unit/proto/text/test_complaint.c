/* What is too long for a complaint is cut between characters. */
#include "proto/text/complaint.c"

#include "tests/support/cmocka_first.h"

static void says_what_it_was_told(void **state) {
    (void)state;
    struct complaint complaint;
    complaint_make(&complaint, CODE_BAD_MESSAGE, SPAN("ttl"), "ttl is %d", 5);
    assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
    assert_string_equal(complaint.field, "ttl");
    assert_string_equal(complaint.text, "ttl is 5");
    complaint_make(&complaint, CODE_TOO_LARGE, span_of(NULL, 0), "too long");
    assert_string_equal(complaint.field, "");
    struct json_error error = {"a value is missing", 17, false};
    complaint_json(&complaint, &error);
    assert_int_equal(complaint.code, CODE_BAD_JSON);
    assert_int_equal(complaint.offset, 17);
    assert_string_equal(complaint.text, "a value is missing at byte 17");
    assert_string_equal(complaint.field, "");
}

static void cuts_between_characters(void **state) {
    (void)state;
    char text[401];
    for (size_t shift = 0; shift < 3; shift++) {
        size_t len = 0;
        for (; len < shift; len++)
            text[len] = 'x';
        for (; len + 3 < sizeof text; len += 3)
            memcpy(text + len, "\xE2\x82\xAC", 3);
        text[len] = '\0';
        for (size_t cut = 0; cut <= len; cut++) {
            if (cut < len && ((unsigned char)text[cut] & 0xC0) == 0x80)
                continue;
            struct complaint complaint;
            complaint_make(&complaint, CODE_BAD_MESSAGE, span_of(text, cut), "%.*s", (int)cut,
                           text);
            size_t text_len = strlen(complaint.text), field_len = strlen(complaint.field);
            assert_true(utf8_valid(span_text(complaint.text), NULL));
            assert_true(utf8_valid(span_text(complaint.field), NULL));
            assert_true(text_len < sizeof complaint.text && field_len < sizeof complaint.field);
            assert_true(text_len == cut || text_len + 3 >= sizeof complaint.text);
            assert_true(field_len == cut || field_len + 3 >= sizeof complaint.field);
            assert_memory_equal(complaint.text, text, text_len);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_it_was_told),
        cmocka_unit_test(cuts_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
