/* What a ref may be, and where it stands in an object. */
#include "proto/text/ref.c"

#include "tests/support/cmocka_first.h"

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
         "is longer than 64 bytes"},
        {"\"1234567890123456789012345678901234567890123456789012345678901234\"", NULL},
        {"\"12345678901234567890123456789012345678901234567890123456789012345\"",
         "is longer than 64 bytes"},
        {"\"123456789012345678901234567890123456789012345678901234567890123\\u00e4\"",
         "is longer than 64 bytes"},
        {"\"\\ud800\"", "holds a lone surrogate"},
        {"\"\\u0000\"", "holds U+0000"},
        {"true", "is neither a number nor a string"},
        {"[1]", "is neither a number nor a string"},
        {"{}", "is neither a number nor a string"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char bytes[512];
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_format(&text, "{\"type\":\"ping\",\"ref\":%s}", rows[i].ref);
        struct json_value value;
        assert_true(json_scan(span_text(rows[i].ref), &value, &(struct json_error){0}));
        struct span found = ref_find(builder_span(&text));
        if (rows[i].wrong != NULL) {
            assert_string_equal(ref_check(&value), rows[i].wrong);
            assert_int_equal(found.len, 0);
        } else {
            assert_null(ref_check(&value));
            assert_true(span_equal(found, span_text(rows[i].ref)));
        }
    }
}

static void finds_refs(void **state) {
    (void)state;
    assert_true(span_equal(ref_find(SPAN("{\"a\":1,\"\\u0072ef\":7}")), SPAN("7")));
    assert_int_equal(ref_find(SPAN("{\"a\":{\"ref\":1}}")).len, 0);
    assert_int_equal(ref_find(SPAN("{\"a\":x,\"ref\":1}")).len, 0);
    assert_int_equal(ref_find(SPAN("{\"reff\":1,\"re\":2,\"\\u0072eference\":3}")).len, 0);
    assert_int_equal(ref_find(SPAN("[1]")).len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_refs),
        cmocka_unit_test(finds_refs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
