#include "core/block_cache.h"

#include "core/base/check.h"

#include <stdlib.h>
#include <sys/mman.h>

/* At the start of each region, which is aligned to its size: a block finds its region by its
 * address. */
struct region {
    struct region *next, *prev; /* in the list of its size, or of the idle ones (next only) */
    void *free;                 /* blocks that were put back, linked through their first word */
    uint32_t used;
    uint32_t fresh; /* blocks that were never taken begin with this one */
    uint32_t count;
    uint32_t size; /* the number of the size */
};

/* The blocks begin behind the header, at a multiple of the smallest size. */
#define HEADER_BYTES BLOCK_BYTES_MIN

_Static_assert(sizeof(struct region) <= HEADER_BYTES, "blocks begin behind the header");

/* BLOCK_SIZES: larger than any. */
static unsigned size_of(size_t bytes) {
    unsigned size = 0;
    while (size < BLOCK_SIZES && (size_t)BLOCK_BYTES_MIN << size < bytes)
        size++;
    return size;
}

static bool is_own(unsigned size) {
#ifdef __SANITIZE_ADDRESS__
    (void)size;
    return false;
#else
    return size < BLOCK_SIZES;
#endif
}

size_t block_bytes(size_t bytes) {
    unsigned size = size_of(bytes);
    return size < BLOCK_SIZES ? (size_t)BLOCK_BYTES_MIN << size : bytes;
}

/* --- regions ---------------------------------------------------------------------------------- */

/* Mapped twice as large, then what is around the aligned part is given back. */
static struct region *region_map(void) {
    char *at =
        mmap(NULL, 2 * REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t before = (REGION_BYTES - (uintptr_t)at % REGION_BYTES) % REGION_BYTES;
    if (before != 0)
        munmap(at, before);
    munmap(at + before + REGION_BYTES, REGION_BYTES - before);
    return (struct region *)(void *)(at + before);
}

static struct region *region_of(void *block) {
    return (struct region *)(void *)((char *)block - (uintptr_t)block % REGION_BYTES);
}

static void open_add(struct block_cache *cache, struct region *region) {
    struct region *first = cache->open[region->size];
    region->prev = NULL;
    region->next = first;
    if (first != NULL)
        first->prev = region;
    cache->open[region->size] = region;
}

static void open_remove(struct block_cache *cache, struct region *region) {
    if (region->prev != NULL)
        region->prev->next = region->next;
    else
        cache->open[region->size] = region->next;
    if (region->next != NULL)
        region->next->prev = region->prev;
}

static void idle_add(struct block_cache *cache, struct region *region) {
    region->next = cache->idle;
    cache->idle = region;
    cache->idle_count++;
}

static struct region *idle_take(struct block_cache *cache) {
    struct region *region = cache->idle;
    cache->idle = region->next;
    cache->idle_count--;
    return region;
}

/* One more region for blocks of that size. NULL: the system has no memory. */
static struct region *region_open(struct block_cache *cache, unsigned size) {
    struct region *region;
    if (cache->idle != NULL) {
        region = idle_take(cache);
    } else {
        region = region_map();
        if (region == NULL)
            return NULL;
        cache->regions++;
    }
    size_t block = (size_t)BLOCK_BYTES_MIN << size;
    *region =
        (struct region){.size = size, .count = (uint32_t)((REGION_BYTES - HEADER_BYTES) / block)};
    open_add(cache, region);
    return region;
}

static bool is_full(const struct region *region) {
    return region->used == region->count;
}

/* --- blocks ----------------------------------------------------------------------------------- */

void *block_cache_get(struct block_cache *cache, size_t bytes) {
    unsigned size = size_of(bytes);
    if (!is_own(size))
        return malloc(bytes);
    struct region *region = cache->open[size];
    if (region == NULL)
        region = region_open(cache, size);
    if (region == NULL)
        return NULL;
    void *block = region->free;
    if (block != NULL)
        region->free = *(void **)block;
    else
        block = (char *)region + HEADER_BYTES + ((size_t)BLOCK_BYTES_MIN << size) * region->fresh++;
    region->used++;
    if (is_full(region))
        open_remove(cache, region);
    return block;
}

void block_cache_put(struct block_cache *cache, void *block, size_t bytes) {
    unsigned size = size_of(bytes);
    if (!is_own(size)) {
        free(block);
        return;
    }
    struct region *region = region_of(block);
    CHECK(region->size == size && region->used > 0, "a block of another size is put back");
    if (is_full(region))
        open_add(cache, region);
    *(void **)block = region->free;
    region->free = block;
    if (--region->used == 0) {
        open_remove(cache, region);
        idle_add(cache, region);
    }
}

void block_cache_trim(struct block_cache *cache) {
    for (unsigned i = 0; i < REGIONS_PER_TRIM && block_cache_wants_trim(cache); i++) {
        munmap(idle_take(cache), REGION_BYTES);
        cache->regions--;
    }
}

void block_cache_fini(struct block_cache *cache) {
    CHECK(cache->regions == cache->idle_count, "blocks of %u regions are still in use",
          cache->regions - cache->idle_count);
    while (cache->idle != NULL)
        munmap(idle_take(cache), REGION_BYTES);
    cache->regions = 0;
}
