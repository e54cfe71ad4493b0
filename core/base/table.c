#include "core/base/table.h"

#include "core/base/check.h"
#include "core/base/shortage.h"

#include <stdlib.h>

#define SEGMENT_BUCKETS (UINT32_C(1) << TABLE_SEGMENT_BITS)
#define SEGMENT_MASK (SEGMENT_BUCKETS - 1)
#define BUCKETS_MAX ((uint32_t)TABLE_SEGMENTS_MAX << TABLE_SEGMENT_BITS)
#define SEGMENTS_AT_FIRST 4

/* Buckets are numbered 0 to buckets - 1. `mask` is 2^k - 1; of the numbers that it allows, those
 * from `half` on that are not made yet are still kept in the bucket without their highest bit. */

/* a stands before b when, at the lowest bit where they differ, it has the 0. */
static bool hash_before(uint64_t a, uint64_t b) {
    uint64_t differ = a ^ b;
    return (b & differ & (0 - differ)) != 0;
}

static uint32_t half_of(const struct table *table) {
    return (table->mask >> 1) + 1;
}

static struct table_node **bucket_at(const struct table *table, uint32_t index) {
    return &table->segments[index >> TABLE_SEGMENT_BITS][index & SEGMENT_MASK];
}

static uint32_t index_of(const struct table *table, uint64_t hash) {
    uint32_t index = (uint32_t)hash & table->mask;
    return index < table->buckets ? index : index & (table->mask >> 1);
}

void table_init(struct table *table) {
    *table = (struct table){.mask = 1};
}

void table_fini(struct table *table) {
    for (uint32_t i = 0; i < table->segments_cap; i++)
        free(table->segments[i]);
    free(table->segments);
    table_init(table);
}

/* Makes sure that there is memory for a bucket. */
static bool segment_have(struct table *table, uint32_t bucket) {
    uint32_t segment = bucket >> TABLE_SEGMENT_BITS;
    if (segment >= table->segments_cap) {
        uint32_t cap = table->segments_cap != 0 ? table->segments_cap * 2 : SEGMENTS_AT_FIRST;
        void *grown = realloc(table->segments, cap * sizeof(table->segments[0]));
        if (SHORTAGE(grown == NULL))
            return false;
        table->segments = grown;
        for (uint32_t i = table->segments_cap; i < cap; i++)
            table->segments[i] = NULL;
        table->segments_cap = cap;
    }
    if (table->segments[segment] == NULL)
        table->segments[segment] = calloc(SEGMENT_BUCKETS, sizeof(struct table_node *));
    return table->segments[segment] != NULL;
}

/* One bucket more: the tail of its lower half's list. Without memory lists just get longer. */
static void grow(struct table *table) {
    uint32_t bucket = table->buckets;
    if (SHORTAGE(bucket == BUCKETS_MAX) || SHORTAGE(!segment_have(table, bucket)))
        return;
    if (bucket > table->mask)
        table->mask = table->mask * 2 + 1;
    struct table_node **cut = bucket_at(table, bucket - half_of(table));
    while (*cut != NULL && ((uint32_t)(*cut)->hash & table->mask) != bucket)
        cut = &(*cut)->next;
    *bucket_at(table, bucket) = *cut;
    *cut = NULL;
    table->buckets++;
}

/* The last bucket becomes the tail of its lower half's list again. */
static void shrink(struct table *table) {
    uint32_t bucket = table->buckets - 1;
    if (bucket < half_of(table))
        table->mask >>= 1;
    struct table_node **tail = bucket_at(table, bucket - half_of(table));
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = *bucket_at(table, bucket);
    *bucket_at(table, bucket) = NULL;
    table->buckets--;
    /* One empty segment is kept, so that nothing is freed and made again at its edge. */
    uint32_t spare = (bucket >> TABLE_SEGMENT_BITS) + 1;
    if (spare < table->segments_cap && table->segments[spare] != NULL) {
        free(table->segments[spare]);
        table->segments[spare] = NULL;
    }
}

/* False: no memory. */
static bool begin(struct table *table) {
    if (table->buckets == 0 && SHORTAGE(!segment_have(table, 0)))
        return false;
    if (table->buckets == 0)
        table->buckets = 1;
    return true;
}

void table_reserve(struct table *table, uint64_t count) {
    if (table->count != 0 || count == 0 || !begin(table))
        return;
    for (uint32_t before = 0; table->buckets < count && table->buckets != before;) {
        before = table->buckets;
        grow(table);
    }
}

void table_prefetch(const struct table *table, uint64_t hash) {
    if (table->buckets != 0)
        __builtin_prefetch(bucket_at(table, index_of(table, hash)));
}

bool table_add(struct table *table, struct table_node *node) {
    if (!begin(table))
        return false;
    CHECK(table->count != UINT32_MAX);
    if (table->count >= table->buckets)
        grow(table);
    struct table_node **link = bucket_at(table, index_of(table, node->hash));
    while (*link != NULL && hash_before((*link)->hash, node->hash))
        link = &(*link)->next;
    node->next = *link;
    *link = node;
    table->count++;
    return true;
}

void table_remove(struct table *table, struct table_node *node) {
    CHECK(table->count != 0);
    struct table_node **link = bucket_at(table, index_of(table, node->hash));
    while (*link != node) {
        CHECK(*link != NULL, "a node that is not in the table");
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    table->count--;
    /* Two at a time, so that the buckets are gone when the nodes are. */
    for (int i = 0; i < 2 && table->buckets > 1 && table->count < table->buckets / 2; i++)
        shrink(table);
}

struct table_node *table_first(const struct table *table, uint64_t hash) {
    if (table->count == 0)
        return NULL;
    struct table_node *node = *bucket_at(table, index_of(table, hash));
    while (node != NULL && hash_before(node->hash, hash))
        node = node->next;
    return node != NULL && node->hash == hash ? node : NULL;
}

struct table_node *table_next(const struct table_node *node) {
    return node->next != NULL && node->next->hash == node->hash ? node->next : NULL;
}

/* The bucket behind this one in the order of hashes read from the lowest bit up: the index plus
 * one, counted from its highest bit down. False: it was the last. */
static bool index_step(const struct table *table, uint32_t *index) {
    uint32_t half = half_of(table);
    bool split = (*index & (half - 1)) + half < table->buckets;
    for (uint32_t bit = split ? half : half >> 1; bit != 0; bit >>= 1) {
        *index ^= bit;
        if ((*index & bit) != 0)
            return true;
    }
    return false;
}

struct table_node *table_walk(const struct table *table, const struct table_node *node) {
    if (table->count == 0)
        return NULL;
    uint32_t index = 0;
    if (node != NULL) {
        if (node->next != NULL)
            return node->next;
        index = index_of(table, node->hash);
        if (!index_step(table, &index))
            return NULL;
    }
    for (;;) {
        struct table_node *first = *bucket_at(table, index);
        if (first != NULL)
            return first;
        if (!index_step(table, &index))
            return NULL;
    }
}
