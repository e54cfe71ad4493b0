/* A page of names that come in any order, and the count of those that come more than once. */
#include "tests/support/cmocka_first.h"

#include "ingest/api/distinct.c"
#include "ingest/api/page.c"

#include <stdio.h>
#include <stdlib.h>

static uint32_t random_state = 12345;

static uint32_t roll(void) {
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

static int by_name(const void *a, const void *b) {
    return name_order(*(const struct span *)a, *(const struct span *)b);
}

static void test_order(void **state) {
    (void)state;
    assert_true(name_order(SPAN("a"), SPAN("b")) < 0);
    assert_true(name_order(SPAN("ab"), SPAN("a")) > 0);
    assert_true(name_order(SPAN("\xc3\xa4"), SPAN("z")) > 0);
    assert_int_equal(name_order(SPAN("x"), SPAN("x")), 0);
    assert_true(name_order(SPAN("x"), SPAN("")) > 0);
}

/* Whatever comes in whatever order, the page has the first ones. */
static void test_pages(void **state) {
    (void)state;
    enum { COUNT = 500 };
    static char texts[COUNT][8];
    static struct span all[COUNT];
    unsigned count = 0;
    while (count < COUNT) {
        all[count].at = texts[count];
        all[count].len = (size_t)snprintf(texts[count], 8, "%u", roll() % 1000000);
        bool known = false;
        for (unsigned i = 0; i < count; i++)
            known |= span_equal(all[i], all[count]);
        count += !known;
    }
    const uint32_t sizes[] = {1, 2, 3, 20, 100, COUNT, COUNT + 5};
    for (unsigned n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        void *memory = malloc(page_bytes(sizes[n]));
        struct page *page = page_over(memory, sizes[n]);
        for (unsigned i = 0; i < COUNT; i++) {
            struct span swapped = all[i];
            unsigned other = roll() % COUNT;
            all[i] = all[other];
            all[other] = swapped;
        }
        for (unsigned i = 0; i < COUNT; i++)
            page_offer(page, all[i]);
        page_sort(page);
        qsort(all, COUNT, sizeof *all, by_name);
        assert_int_equal(page->count, sizes[n] < COUNT ? sizes[n] : COUNT);
        for (unsigned i = 0; i < page->count; i++)
            assert_true(span_equal(page_name(page, i), all[i]));
        free(memory);
    }
}

static void test_longest_names(void **state) {
    (void)state;
    static char text[NAME_BYTES_MAX];
    memset(text, 'x', sizeof text);
    void *memory = malloc(page_bytes(2));
    struct page *page = page_over(memory, 2);
    page_offer(page, span_of(text, sizeof text));
    page_offer(page, span_of(text, sizeof text - 1));
    page_sort(page);
    assert_int_equal(page_name(page, 0).len, NAME_BYTES_MAX - 1);
    assert_int_equal(page_name(page, 1).len, NAME_BYTES_MAX);
    free(memory);
}

static void test_distinct(void **state) {
    (void)state;
    const uint64_t sizes[] = {1, 16, 1000, 20000};
    for (unsigned n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        void *memory = malloc(distinct_bytes(sizes[n]));
        memset(memory, 0xee, distinct_bytes(sizes[n]));
        struct distinct *distinct = distinct_over(memory, sizes[n]);
        while (!distinct_clear(distinct))
            ;
        for (uint64_t i = 0; i < sizes[n]; i++)
            (void)distinct_add(distinct, i / 2 * UINT64_C(0x100000000000));
        assert_int_equal(distinct->count, (sizes[n] + 1) / 2);
        free(memory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_longest_names),
        cmocka_unit_test(test_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
