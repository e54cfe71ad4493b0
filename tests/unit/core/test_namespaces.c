/* Namespaces by number and by name, and what may be one. */
#include "core/namespaces.c"

#include "tests/support/cmocka_first.h"

static void has_one_at_first(void **state) {
    (void)state;
    unsigned number = 7;
    assert_int_equal(namespaces_count(), 1);
    assert_true(namespace_find(SPAN("/"), &number));
    assert_int_equal(number, NAMESPACE_MAIN);
    assert_false(namespace_find(SPAN("/admin"), &number));
    assert_false(namespace_find(SPAN(""), &number));
}

static void keeps_their_order(void **state) {
    (void)state;
    static const char *const names[] = {"/b", "/", "/a"};
    unsigned number;
    namespaces_set(names, 3);
    assert_int_equal(namespaces_count(), 3);
    assert_true(span_equal(namespace_name(0), SPAN("/")));
    assert_true(namespace_find(SPAN("/b"), &number));
    assert_int_equal(number, 1);
    assert_true(namespace_find(SPAN("/a"), &number));
    assert_int_equal(number, 2);
    assert_true(span_equal(namespace_name(2), SPAN("/a")));
    namespaces_set(NULL, 0);
    assert_int_equal(namespaces_count(), 1);
}

static void knows_what_may_be_one(void **state) {
    (void)state;
    static const char *const good[] = {"/", "/admin", "/a/b", "/A-9_~.:@"};
    static const char *const bad[] = {"", "admin", "/a,b", "/a b", "/a\"", "/\xc3\xa4", "/a?b"};
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(namespace_well_formed(span_text(good[i])));
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(namespace_well_formed(span_text(bad[i])));
    char name[NAMESPACE_BYTES_MAX + 1];
    memset(name, 'a', sizeof name);
    name[0] = '/';
    assert_true(namespace_well_formed(span_of(name, NAMESPACE_BYTES_MAX)));
    assert_false(namespace_well_formed(span_of(name, NAMESPACE_BYTES_MAX + 1)));
    name[1] = '\0';
    assert_false(namespace_well_formed(span_of(name, 2)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_one_at_first),
        cmocka_unit_test(keeps_their_order),
        cmocka_unit_test(knows_what_may_be_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
