/* Memory can be refused, and what is out is counted. */
#include <stdlib.h>

static unsigned refuse_after = ~0u; /* allocations that still succeed */
static long out;

static void *calloc_counted(size_t count, size_t size) {
    if (refuse_after == 0)
        return NULL;
    refuse_after--;
    out++;
    return calloc(count, size);
}

static void *realloc_counted(void *at, size_t size) {
    if (refuse_after == 0)
        return NULL;
    refuse_after--;
    out += at == NULL;
    return realloc(at, size);
}

static void free_counted(void *at) {
    out -= at != NULL;
    free(at);
}

#define calloc calloc_counted
#define realloc realloc_counted
#define free free_counted
#include "core/base/table.c"
#undef calloc
#undef realloc
#undef free

#include "tests/support/cmocka_first.h"

#define NODES 4000

struct item {
    struct table_node node;
    bool present;
    unsigned visits;
};

static struct item items[NODES];

static uint64_t seed = 1;

static uint64_t draw(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void items_reset(void) {
    for (size_t i = 0; i < NODES; i++)
        items[i] = (struct item){.node.hash = draw()};
}

static bool found(const struct table *table, const struct item *item) {
    struct table_node *node = table_first(table, item->node.hash);
    while (node != NULL && node != &item->node)
        node = table_next(node);
    return node != NULL;
}

/* Everything that is true of a table at rest. */
static void verify(const struct table *table) {
    uint32_t count = 0, present = 0;
    for (uint32_t i = 0; i < table->buckets; i++) {
        const struct table_node *last = NULL;
        for (const struct table_node *node = *bucket_at(table, i); node; node = node->next) {
            assert_int_equal(index_of(table, node->hash), i);
            if (last != NULL)
                assert_false(hash_before(node->hash, last->hash));
            last = node;
            count++;
        }
    }
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(found(table, &items[i]), items[i].present);
        present += items[i].present;
    }
    assert_int_equal(count, table->count);
    assert_int_equal(count, present);
}

static void test_against_a_model(void **state) {
    (void)state;
    struct table table;
    table_init(&table);
    items_reset();
    assert_null(table_first(&table, 1));
    assert_null(table_walk(&table, NULL));
    /* Swells and ebbs, so that every round of doubling is crossed both ways. */
    for (unsigned step = 0; step < 40000; step++) {
        struct item *item = &items[draw() % NODES];
        bool swell = (step / 5000) % 2 == 0;
        if (!item->present && (swell || draw() % 8 == 0)) {
            assert_true(table_add(&table, &item->node));
            item->present = true;
        } else if (item->present && (!swell || draw() % 8 == 0)) {
            table_remove(&table, &item->node);
            item->present = false;
        }
        if (step % 2500 == 0)
            verify(&table);
    }
    verify(&table);
    for (size_t i = 0; i < NODES; i++)
        if (items[i].present)
            table_remove(&table, &items[i].node);
    assert_int_equal(table.count, 0);
    assert_int_equal(table.buckets, 1);
    table_fini(&table);
    assert_int_equal(out, 0);
}

static void test_grows_and_gives_back(void **state) {
    (void)state;
    struct table table;
    table_init(&table);
    items_reset();
    for (size_t i = 0; i < NODES; i++) {
        assert_true(table_add(&table, &items[i].node));
        assert_int_equal(table.buckets, i + 1 > 1 ? i + 1 : 1);
    }
    long most = out;
    for (size_t i = 0; i < NODES; i++)
        table_remove(&table, &items[i].node);
    assert_true(out < most);
    assert_true(out <= 3); /* the directory, the first segment, one to spare */
    table_fini(&table);
    assert_int_equal(out, 0);
    table_fini(&table);
}

static void test_equal_hashes(void **state) {
    (void)state;
    struct table table;
    struct item same[5];
    table_init(&table);
    items_reset();
    for (size_t i = 0; i < 500; i++)
        assert_true(table_add(&table, &items[i].node));
    for (size_t i = 0; i < 5; i++) {
        same[i] = (struct item){.node.hash = 42};
        assert_true(table_add(&table, &same[i].node));
    }
    for (size_t i = 500; i < NODES; i++)
        assert_true(table_add(&table, &items[i].node));
    unsigned seen = 0;
    for (struct table_node *node = table_first(&table, 42); node; node = table_next(node)) {
        assert_true(node->hash == 42);
        seen++;
    }
    assert_int_equal(seen, 5);
    table_remove(&table, &same[2].node);
    assert_false(found(&table, &same[2]));
    assert_true(found(&table, &same[4]));
    table_fini(&table);
}

/* With every number of buckets: each node once. */
static void test_walk_meets_each_once(void **state) {
    (void)state;
    struct table table;
    table_init(&table);
    items_reset();
    for (size_t count = 0; count < 600; count++) {
        size_t met = 0;
        for (struct table_node *node = table_walk(&table, NULL); node;
             node = table_walk(&table, node)) {
            container_of(node, struct item, node)->visits++;
            met++;
        }
        assert_int_equal(met, count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(items[i].visits, count - i);
        assert_true(table_add(&table, &items[count].node));
    }
    table_fini(&table);
}

/* Removing what was just met shrinks the table under the walk; what stays is still met once. */
static void test_walk_while_removing(void **state) {
    (void)state;
    for (unsigned keep = 1; keep <= 64; keep *= 4) {
        struct table table;
        table_init(&table);
        items_reset();
        for (size_t i = 0; i < NODES; i++)
            assert_true(table_add(&table, &items[i].node));
        struct table_node *node = table_walk(&table, NULL);
        while (node != NULL) {
            struct item *item = container_of(node, struct item, node);
            item->visits++;
            item->present = draw() % keep == 0;
            node = table_walk(&table, node);
            if (!item->present)
                table_remove(&table, &item->node);
        }
        for (size_t i = 0; i < NODES; i++)
            assert_int_equal(items[i].visits, 1);
        verify(&table);
        table_fini(&table);
    }
}

static void test_reserved(void **state) {
    (void)state;
    struct table table;
    items_reset();
    table_init(&table);
    table_reserve(&table, 0);
    assert_int_equal(table.buckets, 0);
    table_reserve(&table, NODES);
    assert_int_equal(table.buckets, NODES);
    long before = out;
    for (size_t i = 0; i < NODES; i++)
        assert_true(table_add(&table, &items[i].node));
    assert_int_equal(out, before);
    table_reserve(&table, 2 * NODES); /* it is not empty */
    assert_int_equal(table.buckets, NODES);
    for (size_t i = 0; i < NODES; i++)
        assert_ptr_equal(table_first(&table, items[i].node.hash), &items[i].node);
    for (size_t i = 0; i < NODES; i++)
        table_remove(&table, &items[i].node);
    assert_int_equal(table.buckets, 1);
    /* As many as there is memory for. */
    refuse_after = 2;
    table_reserve(&table, UINT64_MAX);
    refuse_after = ~0u;
    assert_in_range(table.buckets, 1, 3 * SEGMENT_BUCKETS);
    assert_true(table_add(&table, &items[0].node));
    table_fini(&table);
    assert_int_equal(out, 0);
}

static void test_without_memory(void **state) {
    (void)state;
    struct table table;
    table_init(&table);
    items_reset();
    refuse_after = 0;
    assert_false(table_add(&table, &items[0].node));
    assert_int_equal(table.count, 0);
    refuse_after = 2; /* the directory and one segment */
    for (size_t i = 0; i < NODES; i++) {
        assert_true(table_add(&table, &items[i].node));
        items[i].present = true;
    }
    assert_int_equal(table.buckets, SEGMENT_BUCKETS);
    verify(&table);
    refuse_after = ~0u;
    table_fini(&table);
    assert_int_equal(out, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_grows_and_gives_back),
        cmocka_unit_test(test_equal_hashes),
        cmocka_unit_test(test_walk_meets_each_once),
        cmocka_unit_test(test_walk_while_removing),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
