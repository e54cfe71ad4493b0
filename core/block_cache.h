/* block_cache.h - blocks of a few sizes, from memory that can be given back piece by piece.
 *
 * Messages and their frames come and go in the hundreds of thousands a second, of a lifetime that
 * nobody knows. Blocks are carved from regions of REGION_BYTES that are mapped for this alone, each
 * for one size. A region without a block in use is idle, and is reused for any size;
 * block_cache_trim gives some idle ones back to the system, which takes a few microseconds each.
 * (The C library would have to walk through its whole heap to give back as much: 8.8 ms in a turn
 * were measured, 290 ms on a fragmented heap of 800 MB.)
 *
 * Sizes are powers of two from BLOCK_BYTES_MIN on; larger blocks come from the system each time.
 * Under AddressSanitizer every block does, so that a stale pointer is seen.
 *
 * Threads: its worker. Owns: the regions. Zeroed it is empty. */
#ifndef RINGPOST_CORE_BLOCK_CACHE_H
#define RINGPOST_CORE_BLOCK_CACHE_H

#include "core/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_BYTES_MIN 256
#define BLOCK_SIZES 8
#define REGION_BYTES (256 * 1024)
/* Idle regions that stay, and how many more are given back by one trim. */
#define REGIONS_IDLE 1
#define REGIONS_PER_TRIM 8
#define BLOCK_CACHE_TRIM_NS (20 * NS_PER_MS)

struct region;

struct block_cache {
    struct region *open[BLOCK_SIZES]; /* with a free block; the first is taken from */
    struct region *idle;              /* without a block in use */
    uint32_t idle_count;
    uint32_t regions; /* in all */
};

/* What a block for so many bytes really takes. */
size_t block_bytes(size_t bytes);
/* `bytes` as block_bytes gave it. NULL: the system has no memory. */
void *block_cache_get(struct block_cache *cache, size_t bytes);
void block_cache_put(struct block_cache *cache, void *block, size_t bytes);
/* Are there more idle regions than should stay? Then block_cache_trim gives some back, and is to be
 * called again after BLOCK_CACHE_TRIM_NS. */
static inline bool block_cache_wants_trim(const struct block_cache *cache) {
    return cache->idle_count > REGIONS_IDLE;
}
void block_cache_trim(struct block_cache *cache);
/* Gives everything back; every block must have been put back. */
void block_cache_fini(struct block_cache *cache);

#endif
