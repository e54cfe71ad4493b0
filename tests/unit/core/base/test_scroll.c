#include "tests/support/cmocka_first.h"

#include <stdbool.h>
#include <stdlib.h>

static bool no_memory;

static void *realloc_or_not(void *at, size_t bytes) {
    return no_memory ? NULL : realloc(at, bytes);
}
#define realloc realloc_or_not
#include "core/base/scroll.c"
#undef realloc

static void test_grows(void **state) {
    (void)state;
    struct scroll scroll = scroll_empty();
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(scroll_room(&scroll, 20));
        builder_format(&scroll.out, "%019u,", i);
    }
    assert_false(scroll.out.full);
    assert_int_equal(scroll.out.len, 200000);
    assert_memory_equal(scroll.out.at + 199980, "0000000000000009999,", 20);
    size_t len;
    char *text = scroll_take(&scroll, &len);
    assert_int_equal(len, 200000);
    assert_null(scroll.out.at);
    free(text);
    assert_true(scroll_room(&scroll, 1 << 20));
    scroll_free(&scroll);
    assert_null(scroll_take(&scroll, &len));
    assert_int_equal(len, 0);
}

static void test_no_memory(void **state) {
    (void)state;
    struct scroll scroll = scroll_empty();
    assert_true(scroll_room(&scroll, 10));
    builder_text(&scroll.out, "before");
    no_memory = true;
    assert_false(scroll_room(&scroll, 100000));
    no_memory = false;
    assert_true(scroll.failed);
    builder_text(&scroll.out, "x");
    assert_false(scroll_room(&scroll, 1));
    size_t len;
    assert_null(scroll_take(&scroll, &len));
    assert_int_equal(len, 0);
}

static void test_members(void **state) {
    (void)state;
    char room[256];
    struct builder out = builder_over(room, sizeof room - 1);
    builder_byte(&out, '{');
    json_key_text(&out, "a", SPAN("b\"c"));
    json_key_u64(&out, "n", 7);
    json_key(&out, "list");
    builder_byte(&out, '[');
    json_comma(&out);
    builder_byte(&out, '1');
    json_comma(&out);
    builder_text(&out, "2]}");
    room[out.len] = '\0';
    assert_string_equal(room, "{\"a\":\"b\\\"c\",\"n\":7,\"list\":[1,2]}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
