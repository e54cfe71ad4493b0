/* Which of what is settled a start keeps: the youngest, in their order. */
#include "tests/support/cmocka_first.h"

#include "ha/store/ended.c"

#include "core/base/rand.h"

#define MAX 25

static struct restored *number(size_t n) {
    return (struct restored *)(n + 1);
}

static void test_the_youngest_stay(void **state) {
    (void)state;
    enum { COUNT = 300 };
    struct ended ended;
    uint64_t times[COUNT];
    assert_true(ended_init(&ended, MAX));
    assert_null(ended_pop(&ended));
    for (size_t i = 0; i < COUNT; i++)
        times[i] = i;
    for (size_t i = COUNT - 1; i > 0; i--) {
        size_t other = (size_t)rand_below((uint32_t)i + 1);
        uint64_t time = times[i];
        times[i] = times[other];
        times[other] = time;
    }
    for (size_t i = 0; i < COUNT; i++) {
        bool over = ended_push(&ended, (struct ended_entry){times[i], number((size_t)times[i])});
        assert_int_equal(over, i >= MAX);
        if (over)
            assert_non_null(ended_pop(&ended));
    }
    assert_int_equal(ended.count, MAX);
    assert_ptr_equal(ended_pop(&ended), number(COUNT - MAX));
    ended_sort(&ended);
    for (size_t i = 0; i < ended.count; i++)
        assert_ptr_equal(ended.heap[i].restored, number(COUNT - MAX + 1 + i));
    ended_fini(&ended);
}

static void test_none_may_stay(void **state) {
    (void)state;
    struct ended ended;
    assert_true(ended_init(&ended, 0));
    assert_true(ended_push(&ended, (struct ended_entry){1, number(1)}));
    assert_ptr_equal(ended_pop(&ended), number(1));
    assert_null(ended_pop(&ended));
    ended_sort(&ended);
    ended_fini(&ended);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_youngest_stay),
        cmocka_unit_test(test_none_may_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
