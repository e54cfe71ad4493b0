#include "tests/support/cmocka_first.h"

#include <stdbool.h>
#include <stdlib.h>

static bool no_memory;

static void *realloc_or_not(void *at, size_t bytes) {
    return no_memory ? NULL : realloc(at, bytes);
}
#define realloc realloc_or_not
#include "core/base/strbuf.c"
#undef realloc

static void test_grows(void **state) {
    (void)state;
    struct strbuf strbuf = strbuf_empty();
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(strbuf_room(&strbuf, 20));
        builder_format(&strbuf.out, "%019u,", i);
    }
    assert_false(strbuf.out.full);
    assert_int_equal(strbuf.out.len, 200000);
    assert_memory_equal(strbuf.out.at + 199980, "0000000000000009999,", 20);
    size_t len;
    char *text = strbuf_take(&strbuf, &len);
    assert_int_equal(len, 200000);
    assert_null(strbuf.out.at);
    free(text);
    assert_true(strbuf_room(&strbuf, 1 << 20));
    strbuf_free(&strbuf);
    assert_null(strbuf_take(&strbuf, &len));
    assert_int_equal(len, 0);
}

static void test_no_memory(void **state) {
    (void)state;
    struct strbuf strbuf = strbuf_empty();
    assert_true(strbuf_room(&strbuf, 10));
    builder_text(&strbuf.out, "before");
    no_memory = true;
    assert_false(strbuf_room(&strbuf, 100000));
    no_memory = false;
    assert_true(strbuf.failed);
    builder_text(&strbuf.out, "x");
    assert_false(strbuf_room(&strbuf, 1));
    size_t len;
    assert_null(strbuf_take(&strbuf, &len));
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
