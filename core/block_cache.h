/* block_cache.h - blocks of any size, from memory that goes back to the system piece by piece.
 *
 * Messages, kept input, bodies: blocks come and go in the hundreds of thousands a second, of a
 * lifetime that nobody knows, and a hostile peer chooses both. They are carved from regions, each a
 * mapping for blocks of one size. A region has up to 64 units, each of one block, or a page of
 * smaller ones; what is free is known by bits in the region's head, so a unit without a block in
 * use can be given back to the system whatever its neighbours do: a few blocks that stay keep their
 * own pages and no more. (The C library would have to walk through its whole heap to give back as
 * much, and one block at its end keeps all of it: 8.8 ms in a turn were measured, 290 ms on a
 * fragmented heap of 800 MB.)
 *
 * A unit is warm when it is free but still has its memory. Page faults are dear, so `warm_max`
 * bytes stay; of the rest, what was not used for a while is given back, in steps. A region goes
 * when nothing of it is in use or warm.
 *
 * There are sizes from BLOCK_BYTES_MIN to BLOCK_BYTES_MAX: below a page those that fill one with
 * two blocks, three, and so on; one to four pages; then four in each doubling. Larger blocks are
 * mappings of their own. Under AddressSanitizer every block is an allocation of its own, so that a
 * stale pointer is seen.
 *
 * Threads: its owner's. Owns: the regions. Zeroed it is empty, and keeps nothing warm. */
#ifndef RINGPOST_CORE_BLOCK_CACHE_H
#define RINGPOST_CORE_BLOCK_CACHE_H

#include "core/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_BYTES_MIN 64
#define BLOCK_BYTES_MAX (7 * 512 * 1024)
#define BLOCK_SIZES 98 /* numbers of sizes; those of some numbers are never asked for */
/* What is free and has its memory stays up to this, in each cache. */
#define WARM_BYTES_MAX (8 * 1024 * 1024)
/* So much of the rest is given back at a time, in steps between which the clock is read; the next
 * is due after this time, or sooner if that was not all for want of time, or if others wait for
 * memory at the ceiling. A step is more than the 33 pages whose translations Linux takes out one by
 * one, which took a virtual machine 1 ms for 32 pages, and 0.2 ms for a region of 112. */
#define TRIM_BYTES (2 * 1024 * 1024)
#define TRIM_STEP_BYTES (512 * 1024)
#define TRIM_NS (10 * NS_PER_MS)
#define TRIM_SOON_NS (2 * NS_PER_MS)
/* What was not used for so many looks is not needed. */
#define LOOKS_UNUSED 16

struct region;

struct block_cache {
    struct region *open[BLOCK_SIZES];      /* with a free block; the first is taken from */
    struct region *warm_first, *warm_last; /* those that may have warm units */
    uint64_t resident_bytes;               /* memory of the system's that it may have in use */
    uint64_t used_bytes;                   /* of blocks that are out, as they were asked for */
    uint64_t warm_bytes;                   /* in warm units */
    uint64_t warm_max;                     /* as many of them stay */
    uint64_t warm_least;                   /* fewest since looks were counted from 0 */
    uint64_t unused_bytes;                 /* to be given back: nobody needed them */
    uint32_t looks;
    uint32_t regions;
};

/* How much memory of the system's there is beyond the blocks that are out, and beyond what may stay
 * warm: for all of it the owner has to answer. */
static inline uint64_t block_cache_kept(const struct block_cache *cache) {
    uint64_t stays = cache->warm_bytes < cache->warm_max ? cache->warm_bytes : cache->warm_max;
    return cache->resident_bytes - cache->used_bytes - stays;
}
/* NULL: the system has no memory. With `*fresh` it was not warm (see block_cache_unget). */
void *block_cache_get(struct block_cache *cache, size_t bytes, bool *fresh);
/* `bytes` as they were asked for. */
void block_cache_put(struct block_cache *cache, void *block, size_t bytes);
/* Puts back what was got just now, and was not written to. */
void block_cache_unget(struct block_cache *cache, void *block, size_t bytes, bool fresh);
/* A larger block with what was in the old one, which is gone; beyond BLOCK_BYTES_MAX the kernel
 * moves it page by page instead of copying it. NULL: the system has no memory; the old one stays.
 */
void *block_cache_grow(struct block_cache *cache, void *block, size_t bytes, size_t more_bytes);
/* Gives back at least so much of what is warm, whole units, as far as there is more than may stay.
 * Returns how much. */
uint64_t block_cache_release(struct block_cache *cache, uint64_t bytes);
static inline bool block_cache_wants_trim(const struct block_cache *cache) {
    return cache->warm_bytes > cache->warm_max;
}
/* How much of it is to be given back now: asked every TRIM_NS while block_cache_wants_trim says so.
 * `urgent`: whether it is needed or not. */
uint64_t block_cache_due(struct block_cache *cache, bool urgent);
/* Gives everything back; every block must have been put back. */
void block_cache_fini(struct block_cache *cache);

#endif
