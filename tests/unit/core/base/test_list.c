#include "core/base/list.h"

#include "core/base/check.h"
#include "tests/support/cmocka_first.h"

struct thing {
    int number;
    struct list link;
};

static int pop_number(struct list *head) {
    struct list *node = list_pop(head);
    return node != NULL ? container_of(node, struct thing, link)->number : -1;
}

static void test_first_in_first_out(void **state) {
    (void)state;
    struct list head;
    struct thing things[3];
    list_init(&head);
    assert_true(list_empty(&head));
    assert_int_equal(pop_number(&head), -1);
    for (int i = 0; i < 3; i++) {
        things[i].number = i;
        list_init(&things[i].link);
        assert_false(list_linked(&things[i].link));
        list_add_tail(&head, &things[i].link);
        assert_true(list_linked(&things[i].link));
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(pop_number(&head), i);
    assert_true(list_empty(&head));
    assert_false(list_linked(&things[1].link));
}

static void test_unlinking_twice_is_harmless(void **state) {
    (void)state;
    struct list head;
    struct thing things[3];
    list_init(&head);
    for (int i = 0; i < 3; i++) {
        things[i].number = i;
        list_add_tail(&head, &things[i].link);
    }
    list_remove(&things[1].link);
    list_remove(&things[1].link);
    assert_int_equal(pop_number(&head), 0);
    assert_int_equal(pop_number(&head), 2);
    assert_int_equal(pop_number(&head), -1);
}

static void test_a_list_goes_to_the_end_of_another(void **state) {
    (void)state;
    struct list head, more;
    struct thing things[4];
    list_init(&head);
    list_init(&more);
    list_append(&head, &more);
    assert_true(list_empty(&head));
    for (int i = 0; i < 4; i++) {
        things[i].number = i;
        list_add_tail(i < 2 ? &more : &head, &things[i].link);
    }
    list_append(&head, &more);
    assert_true(list_empty(&more));
    list_append(&more, &head);
    assert_true(list_empty(&head));
    assert_int_equal(pop_number(&more), 2);
    list_remove(&things[0].link);
    assert_int_equal(pop_number(&more), 3);
    assert_int_equal(pop_number(&more), 1);
    assert_int_equal(pop_number(&more), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out),
        cmocka_unit_test(test_unlinking_twice_is_harmless),
        cmocka_unit_test(test_a_list_goes_to_the_end_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
