#include "core/block_cache.h"

#include <stdbool.h>
#include <stdlib.h>

/* BLOCK_SIZES: larger than any. */
static unsigned size_of(size_t bytes) {
    unsigned size = 0;
    while (size < BLOCK_SIZES && (size_t)BLOCK_BYTES_MIN << size < bytes)
        size++;
    return size;
}

static bool is_kept(const struct block_cache *cache, unsigned size) {
#ifdef __SANITIZE_ADDRESS__
    (void)cache, (void)size;
    return false;
#else
    return size < BLOCK_SIZES &&
           cache->count[size] < BLOCK_CACHE_BYTES_MAX / ((size_t)BLOCK_BYTES_MIN << size);
#endif
}

static void *take(struct block_cache *cache, unsigned size) {
    void *block = cache->first[size];
    cache->first[size] = *(void **)block;
    cache->kept--;
    if (--cache->count[size] < cache->unused[size])
        cache->unused[size] = cache->count[size];
    return block;
}

size_t block_bytes(size_t bytes) {
    unsigned size = size_of(bytes);
    return size < BLOCK_SIZES ? (size_t)BLOCK_BYTES_MIN << size : bytes;
}

void *block_cache_get(struct block_cache *cache, size_t bytes) {
    unsigned size = size_of(bytes);
    if (size < BLOCK_SIZES && cache->first[size] != NULL)
        return take(cache, size);
    return malloc(bytes);
}

void block_cache_put(struct block_cache *cache, void *block, size_t bytes) {
    unsigned size = size_of(bytes);
    if (!is_kept(cache, size)) {
        free(block);
        return;
    }
    *(void **)block = cache->first[size];
    cache->first[size] = block;
    cache->count[size]++;
    cache->kept++;
}

void block_cache_trim(struct block_cache *cache) {
    for (unsigned size = 0; size < BLOCK_SIZES; size++) {
        for (uint32_t left = cache->unused[size]; left != 0; left--)
            free(take(cache, size));
        cache->unused[size] = cache->count[size];
    }
}

void block_cache_fini(struct block_cache *cache) {
    for (unsigned size = 0; size < BLOCK_SIZES; size++)
        while (cache->first[size] != NULL)
            free(take(cache, size));
}
