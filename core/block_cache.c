#include "core/block_cache.h"

#include "core/base/check.h"
#include "core/base/map.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096
#define UNITS_MAX 64
#define UNITS_MIN 8 /* or 7, behind the head */
#define REGION_BYTES_MIN (256 * 1024)
/* Beyond four pages there are four sizes in each doubling. */
#define STEPS 4
/* Smaller than a page: as many blocks as a page has room for, each the larger for it. The number of
 * such a size counts from PARTS_MAX blocks a page down to two. */
#define PARTS_ALIGN 16
#define PARTS_MAX (PAGE_BYTES / BLOCK_BYTES_MIN)
#define PARTS_BYTES_MAX (PAGE_BYTES / 2)
#define PAGE_SIZES (PARTS_MAX - 1) /* numbers of those smaller than a page */
#define LARGE_FROM (PAGE_SIZES + 4)
#define LARGE_BITS 14

_Static_assert(LARGE_BITS == 14 && PAGE_BYTES == 1 << 12, "four pages");
_Static_assert(PARTS_ALIGN % _Alignof(max_align_t) == 0, "every block is aligned");
_Static_assert(PARTS_MAX <= 64, "the blocks of a page are the bits of a word");

/* At the start of each region, which is aligned to its length: a block finds its region by its
 * address. The units begin behind the page of the head. */
struct region {
    struct region *next, *prev; /* in the list of its size */
    struct region *warm_next;   /* in the list of those that may have warm units */
    /* Bits of units: free with memory, free without, some of their blocks free. */
    uint64_t warm, cold, part;
    uint64_t units;
    uint32_t block_bytes, unit_bytes;
    uint8_t size; /* the number of the size */
    bool in_warm; /* it is in that list */
    /* The free blocks of a unit that has several; all of them unless it is in `part` or full. */
    uint64_t free[UNITS_MAX];
};

_Static_assert(sizeof(struct region) <= PAGE_BYTES, "the head is a page");

static bool is_own(void) {
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    return true;
#endif
}

/* --- sizes ------------------------------------------------------------------------------------ */

static unsigned bits_of(size_t number) {
    return 64 - (unsigned)__builtin_clzl(number);
}

/* Which of the steps behind a power of two; `bytes` is more than that, and at most twice as much.
 */
static unsigned step_of(size_t bytes, unsigned bits) {
    size_t base = (size_t)1 << bits;
    return bits * STEPS + (unsigned)((bytes - base - 1) / (base / STEPS));
}

static size_t step_bytes(unsigned step) {
    size_t base = (size_t)1 << step / STEPS;
    return base + base / STEPS * (step % STEPS + 1);
}

static unsigned size_of(size_t bytes) {
    if (bytes <= BLOCK_BYTES_MIN)
        return 0;
    if (bytes <= PARTS_BYTES_MAX) {
        unsigned aligned = ((unsigned)bytes + PARTS_ALIGN - 1) & ~(PARTS_ALIGN - 1U);
        return PARTS_MAX - PAGE_BYTES / aligned;
    }
    unsigned bits = bits_of(bytes - 1) - 1;
    if (bits < LARGE_BITS)
        return PAGE_SIZES - 1 + (unsigned)((bytes + PAGE_BYTES - 1) / PAGE_BYTES);
    return LARGE_FROM + step_of(bytes, bits) - LARGE_BITS * STEPS;
}

static size_t size_bytes(unsigned size) {
    if (size < PAGE_SIZES)
        return PAGE_BYTES / (PARTS_MAX - size) & ~(PARTS_ALIGN - (size_t)1);
    if (size < LARGE_FROM)
        return (size_t)(size - PAGE_SIZES + 1) * PAGE_BYTES;
    return step_bytes(LARGE_BITS * STEPS + size - LARGE_FROM);
}

static size_t unit_bytes_of(unsigned size) {
    return size < PAGE_SIZES ? PAGE_BYTES : size_bytes(size);
}

static size_t region_bytes(unsigned size) {
    size_t bytes = UNITS_MIN * unit_bytes_of(size);
    return bytes <= REGION_BYTES_MIN ? REGION_BYTES_MIN : (size_t)1 << bits_of(bytes - 1);
}

/* Larger ones are mappings of whole pages. */
static size_t mapping_bytes(size_t bytes) {
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* --- regions ---------------------------------------------------------------------------------- */

static struct region *region_map(size_t bytes) {
    void *at = map_aligned(bytes);
    /* A huge page would take memory of units that are not in use. Kernels without them refuse. */
    if (at != NULL)
        (void)madvise(at, bytes, MADV_NOHUGEPAGE);
    return at;
}

static struct region *region_of(void *block, unsigned size) {
    return (struct region *)(void *)((char *)block - ((uintptr_t)block & (region_bytes(size) - 1)));
}

static char *unit_at(struct region *region, unsigned unit) {
    return (char *)region + PAGE_BYTES + (size_t)unit * region->unit_bytes;
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

static bool is_full(const struct region *region) {
    return (region->warm | region->cold | region->part) == 0;
}

static bool is_empty(const struct region *region) {
    return (region->warm | region->cold) == region->units;
}

static uint64_t low_bits(unsigned count) {
    return count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static uint64_t warm_bytes_of(const struct region *region) {
    return (uint64_t)__builtin_popcountll(region->warm) * region->unit_bytes;
}

/* All blocks of a unit. */
static uint64_t unit_blocks(const struct region *region) {
    return low_bits(region->unit_bytes / region->block_bytes);
}

/* One more region for blocks of that size. NULL: the system has no memory. */
static struct region *region_open(struct block_cache *cache, unsigned size) {
    size_t bytes = region_bytes(size), unit = unit_bytes_of(size);
    struct region *region = region_map(bytes);
    if (region == NULL)
        return NULL;
    size_t count = (bytes - PAGE_BYTES) / unit;
    uint64_t units = low_bits(count < UNITS_MAX ? (unsigned)count : UNITS_MAX);
    *region = (struct region){.units = units,
                              .cold = units,
                              .block_bytes = (uint32_t)size_bytes(size),
                              .unit_bytes = (uint32_t)unit,
                              .size = (uint8_t)size};
    for (unsigned i = 0; i < UNITS_MAX; i++)
        region->free[i] = unit_blocks(region);
    open_add(cache, region);
    cache->regions++;
    cache->resident_bytes += PAGE_BYTES;
    return region;
}

static void region_close(struct block_cache *cache, struct region *region) {
    uint64_t warm = warm_bytes_of(region);
    size_t bytes = region_bytes(region->size);
    cache->warm_bytes -= warm;
    cache->resident_bytes -= PAGE_BYTES + warm;
    cache->regions--;
    open_remove(cache, region);
    /* A process may have so many mappings, and this may take one out of the middle of another. */
    if (munmap(region, bytes) != 0)
        (void)madvise(region, bytes, MADV_DONTNEED);
}

/* --- warm memory ------------------------------------------------------------------------------ */

static void warm_add(struct block_cache *cache, struct region *region, unsigned unit) {
    region->warm |= UINT64_C(1) << unit;
    cache->warm_bytes += region->unit_bytes;
    if (region->in_warm)
        return;
    region->in_warm = true;
    region->warm_next = NULL;
    if (cache->warm_first == NULL)
        cache->warm_first = region;
    else
        cache->warm_last->warm_next = region;
    cache->warm_last = region;
}

static void warm_take(struct block_cache *cache, struct region *region, unsigned unit) {
    region->warm &= ~(UINT64_C(1) << unit);
    cache->warm_bytes -= region->unit_bytes;
    if (cache->warm_bytes < cache->warm_least)
        cache->warm_least = cache->warm_bytes;
}

static struct region *warm_pop(struct block_cache *cache) {
    struct region *region = cache->warm_first;
    cache->warm_first = region->warm_next;
    region->in_warm = false;
    return region;
}

/* Units that stand side by side lose their memory, up to so many bytes, or one of them. */
static void units_cool(struct block_cache *cache, struct region *region, uint64_t bytes) {
    unsigned first = (unsigned)__builtin_ctzll(region->warm), count = 0;
    uint64_t wanted = (bytes + region->unit_bytes - 1) / region->unit_bytes;
    while (count < wanted && first + count < UNITS_MAX && (region->warm >> (first + count) & 1)) {
        warm_take(cache, region, first + count);
        region->cold |= UINT64_C(1) << (first + count++);
    }
    size_t cooled = (size_t)count * region->unit_bytes;
    (void)madvise(unit_at(region, first), cooled, MADV_DONTNEED);
    cache->resident_bytes -= cooled;
}

static uint64_t beyond(uint64_t bytes, uint64_t max) {
    return bytes > max ? bytes - max : 0;
}

uint64_t block_cache_release(struct block_cache *cache, uint64_t bytes) {
    uint64_t before = cache->warm_bytes;
    uint64_t until = cache->warm_bytes > bytes ? cache->warm_bytes - bytes : 0;
    if (until < cache->warm_max)
        until = cache->warm_max;
    while (cache->warm_bytes > until) {
        struct region *region = cache->warm_first;
        bool all = is_empty(region) && warm_bytes_of(region) <= cache->warm_bytes - until;
        if (region->warm != 0 && !all)
            units_cool(cache, region, cache->warm_bytes - until);
        if (region->warm != 0 && !all)
            continue;
        warm_pop(cache);
        if (is_empty(region))
            region_close(cache, region);
    }
    if (cache->warm_bytes < cache->warm_least)
        cache->warm_least = cache->warm_bytes;
    uint64_t released = before - cache->warm_bytes;
    cache->unused_bytes = beyond(cache->unused_bytes, released);
    return released;
}

uint64_t block_cache_due(struct block_cache *cache, bool urgent) {
    uint64_t bytes = beyond(cache->warm_bytes, cache->warm_max);
    if (++cache->looks >= LOOKS_UNUSED) {
        cache->unused_bytes = beyond(cache->warm_least, cache->warm_max);
        cache->warm_least = cache->warm_bytes;
        cache->looks = 0;
    }
    if (!urgent && bytes > cache->unused_bytes)
        bytes = cache->unused_bytes;
    return bytes < TRIM_BYTES ? bytes : TRIM_BYTES;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* A unit without a block in use, one that is warm before others. */
static unsigned unit_take(struct block_cache *cache, struct region *region, bool *fresh) {
    *fresh = region->warm == 0;
    unsigned unit = (unsigned)__builtin_ctzll(*fresh ? region->cold : region->warm);
    if (*fresh) {
        region->cold &= ~(UINT64_C(1) << unit);
        cache->resident_bytes += region->unit_bytes;
    } else {
        warm_take(cache, region, unit);
    }
    return unit;
}

static char *region_get(struct block_cache *cache, struct region *region, bool *fresh) {
    *fresh = false;
    unsigned unit = region->part != 0 ? (unsigned)__builtin_ctzll(region->part)
                                      : unit_take(cache, region, fresh);
    unsigned block = (unsigned)__builtin_ctzll(region->free[unit]);
    region->free[unit] &= region->free[unit] - 1;
    if (region->free[unit] != 0)
        region->part |= UINT64_C(1) << unit;
    else
        region->part &= ~(UINT64_C(1) << unit);
    if (is_full(region))
        open_remove(cache, region);
    return unit_at(region, unit) + (size_t)block * region->block_bytes;
}

static void *mapping_get(struct block_cache *cache, size_t bytes) {
    void *at = map_pages(mapping_bytes(bytes));
    if (at != NULL)
        cache->resident_bytes += mapping_bytes(bytes);
    return at;
}

void *block_cache_get(struct block_cache *cache, size_t bytes, bool *fresh) {
    *fresh = true;
    if (!is_own())
        return malloc(bytes + (bytes == 0));
    char *at;
    if (bytes > BLOCK_BYTES_MAX) {
        at = mapping_get(cache, bytes);
    } else {
        unsigned size = size_of(bytes);
        struct region *region = cache->open[size];
        if (region == NULL)
            region = region_open(cache, size);
        at = region == NULL ? NULL : region_get(cache, region, fresh);
    }
    if (at != NULL)
        cache->used_bytes += bytes;
    return at;
}

/* Where a block is in its region. */
struct place {
    struct region *region;
    unsigned unit, block;
};

static struct place place_of(void *at, size_t bytes) {
    unsigned size = size_of(bytes);
    struct region *region = region_of(at, size);
    CHECK(region->size == size, "a block of another size is put back");
    uint32_t offset = (uint32_t)((char *)at - (char *)region) - PAGE_BYTES;
    if (size >= PAGE_SIZES)
        return (struct place){region, offset / region->unit_bytes, 0};
    return (struct place){region, offset / PAGE_BYTES, offset % PAGE_BYTES / region->block_bytes};
}

static void region_put(struct block_cache *cache, const struct place *place) {
    struct region *region = place->region;
    uint64_t unit = UINT64_C(1) << place->unit, block = UINT64_C(1) << place->block;
    CHECK((region->free[place->unit] & block) == 0, "a block is put back twice");
    bool was_full = is_full(region);
    region->free[place->unit] |= block;
    if (region->free[place->unit] != unit_blocks(region)) {
        region->part |= unit;
        if (was_full)
            open_add(cache, region);
        return;
    }
    region->part &= ~unit;
    warm_add(cache, region, place->unit);
    /* What was used last is used next. */
    if (cache->open[region->size] == region)
        return;
    if (!was_full)
        open_remove(cache, region);
    open_add(cache, region);
}

void block_cache_put(struct block_cache *cache, void *block, size_t bytes) {
    if (!is_own()) {
        CHECK(malloc_usable_size(block) == bytes + (bytes == 0),
              "a block of another size is put back");
        free(block);
        return;
    }
    cache->used_bytes -= bytes;
    if (bytes > BLOCK_BYTES_MAX) {
        munmap(block, mapping_bytes(bytes));
        cache->resident_bytes -= mapping_bytes(bytes);
        return;
    }
    struct place place = place_of(block, bytes);
    region_put(cache, &place);
}

void block_cache_unget(struct block_cache *cache, void *block, size_t bytes, bool fresh) {
    block_cache_put(cache, block, bytes);
    if (!is_own() || !fresh || bytes > BLOCK_BYTES_MAX)
        return;
    struct place place = place_of(block, bytes);
    warm_take(cache, place.region, place.unit);
    place.region->cold |= UINT64_C(1) << place.unit;
    cache->resident_bytes -= place.region->unit_bytes;
}

static void *mapping_grow(struct block_cache *cache, void *block, size_t bytes, size_t more_bytes) {
    size_t old = mapping_bytes(bytes), larger = mapping_bytes(more_bytes);
    void *at = old == larger ? block : mremap(block, old, larger, MREMAP_MAYMOVE);
    if (at == MAP_FAILED)
        return NULL;
    cache->resident_bytes += larger - old;
    cache->used_bytes += more_bytes - bytes;
    return at;
}

void *block_cache_grow(struct block_cache *cache, void *block, size_t bytes, size_t more_bytes) {
    if (!is_own())
        return realloc(block, more_bytes);
    if (bytes > BLOCK_BYTES_MAX)
        return mapping_grow(cache, block, bytes, more_bytes);
    if (more_bytes <= BLOCK_BYTES_MAX && size_of(bytes) == size_of(more_bytes)) {
        cache->used_bytes += more_bytes - bytes;
        return block;
    }
    bool fresh;
    void *at = block_cache_get(cache, more_bytes, &fresh);
    if (at == NULL)
        return NULL;
    memcpy(at, block, bytes);
    block_cache_put(cache, block, bytes);
    return at;
}

void block_cache_fini(struct block_cache *cache) {
    CHECK(cache->used_bytes == 0, "%llu bytes of blocks are still in use",
          (unsigned long long)cache->used_bytes);
    for (unsigned i = 0; i < BLOCK_SIZES; i++)
        while (cache->open[i] != NULL)
            region_close(cache, cache->open[i]);
    cache->warm_first = cache->warm_last = NULL;
}
