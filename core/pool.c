#include "core/pool.h"

#include "core/base/check.h"
#include "core/base/map.h"
#include "core/base/shortage.h"

#include <stdlib.h>
#include <sys/mman.h>

#define POOL_BLOCK_BYTES (64 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(RINGPOST_PLAIN_POOLS)
#define PLAIN_POOLS 1
#else
#define PLAIN_POOLS 0
#endif

struct pool_block {
    struct pool_block *next, *before; /* in `open`; `spare` uses next only */
    void *free;                       /* objects that came back, linked through the first word */
    uint32_t in_use;
    uint32_t begun; /* objects from here on were never used */
};

#define BLOCK_HEAD_BYTES                                                                           \
    ((sizeof(struct pool_block) + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) *             \
     _Alignof(max_align_t))

void pool_init(struct pool *pool, size_t object_bytes) {
    size_t align = _Alignof(max_align_t);
    if (object_bytes < sizeof(void *))
        object_bytes = sizeof(void *);
    *pool = (struct pool){.object_bytes = (object_bytes + align - 1) / align * align,
                          .block_bytes = POOL_BLOCK_BYTES};
    while (pool->block_bytes < BLOCK_HEAD_BYTES + pool->object_bytes)
        pool->block_bytes *= 2;
    pool->block_objects = (uint32_t)((pool->block_bytes - BLOCK_HEAD_BYTES) / pool->object_bytes);
}

static void *link_get(void *at) {
    return *(void **)at;
}

static void link_set(void *at, void *next) {
    *(void **)at = next;
}

static struct pool_block *block_of(const struct pool *pool, void *object) {
    return (struct pool_block *)((char *)object - ((uintptr_t)object & (pool->block_bytes - 1)));
}

static void open_add(struct pool *pool, struct pool_block *block) {
    block->before = NULL;
    block->next = pool->open;
    if (pool->open != NULL)
        pool->open->before = block;
    pool->open = block;
}

static void open_remove(struct pool *pool, struct pool_block *block) {
    if (block->before != NULL)
        block->before->next = block->next;
    else
        pool->open = block->next;
    if (block->next != NULL)
        block->next->before = block->before;
}

static bool pool_grow(struct pool *pool) {
    struct pool_block *block = pool->spare;
    if (block != NULL) {
        pool->spare = block->next;
        pool->spares--;
    } else {
        block = (struct pool_block *)(void *)map_aligned(pool->block_bytes);
        if (block == NULL)
            return false;
        pool->blocks++;
    }
    block->free = NULL;
    block->in_use = block->begun = 0;
    open_add(pool, block);
    return true;
}

static bool block_is_full(const struct pool *pool, const struct pool_block *block) {
    return block->in_use == pool->block_objects;
}

void *pool_get(struct pool *pool) {
    void *object;
    if (PLAIN_POOLS) {
        object = malloc(pool->object_bytes);
        if (SHORTAGE(object == NULL))
            return NULL;
    } else {
        if (pool->open == NULL && !pool_grow(pool))
            return NULL;
        struct pool_block *block = pool->open;
        object = block->free;
        if (object != NULL)
            block->free = link_get(object);
        else
            object = (char *)block + BLOCK_HEAD_BYTES + block->begun++ * pool->object_bytes;
        block->in_use++;
        if (block_is_full(pool, block))
            open_remove(pool, block);
    }
    pool->in_use++;
    return object;
}

static void block_give(struct pool *pool, struct pool_block *block) {
    open_remove(pool, block);
    block->next = pool->spare;
    pool->spare = block;
    pool->spares++;
    if (!pool->lazy)
        pool_trim(pool);
}

void pool_trim(struct pool *pool) {
    if (!pool_wants_trim(pool))
        return;
    struct pool_block *block = pool->spare;
    pool->spare = block->next;
    pool->spares--;
    munmap(block, pool->block_bytes);
    pool->blocks--;
}

void pool_put(struct pool *pool, void *object) {
    CHECK(pool->in_use > 0, "more objects came back than were taken");
    pool->in_use--;
    if (PLAIN_POOLS) {
        free(object);
        return;
    }
    struct pool_block *block = block_of(pool, object);
    if (block_is_full(pool, block))
        open_add(pool, block);
    link_set(object, block->free);
    block->free = object;
    if (--block->in_use == 0)
        block_give(pool, block);
}

void pool_fini(struct pool *pool) {
    CHECK(pool->in_use == 0, "%llu objects of %zu bytes are still in use",
          (unsigned long long)pool->in_use, pool->object_bytes);
    while (pool->spare != NULL) {
        struct pool_block *next = pool->spare->next;
        munmap(pool->spare, pool->block_bytes);
        pool->spare = next;
    }
    pool->spares = 0;
    pool->blocks = 0;
}
