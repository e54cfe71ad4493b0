/* block_cache.h - blocks of a few sizes that are kept for reuse as long as they are in use.
 *
 * Messages and their forms come and go in the hundreds of thousands a second, from hand to hand
 * within one worker, so what is put back is kept, at most BLOCK_CACHE_BYTES_MAX of each size. What
 * lay unused for a whole BLOCK_CACHE_TRIM_NS is given back to the system: a burst does not stay in
 * the node's memory.
 *
 * Sizes are powers of two from BLOCK_BYTES_MIN on; larger blocks come from the system each time.
 * Under AddressSanitizer nothing is kept, so that a stale pointer is seen.
 *
 * Threads: its worker. Owns: the blocks that nobody has. */
#ifndef RINGPOST_CORE_BLOCK_CACHE_H
#define RINGPOST_CORE_BLOCK_CACHE_H

#include "core/base/clock.h"

#include <stddef.h>
#include <stdint.h>

#define BLOCK_BYTES_MIN 256
#define BLOCK_SIZES 8
#define BLOCK_CACHE_BYTES_MAX (2 * 1024 * 1024)
#define BLOCK_CACHE_TRIM_NS (500 * NS_PER_MS)

struct block_cache {
    void *first[BLOCK_SIZES]; /* linked through the first word */
    uint32_t count[BLOCK_SIZES];
    uint32_t unused[BLOCK_SIZES]; /* the fewest there were since the last trim */
    uint32_t kept;                /* of all sizes */
};

/* What a block for so many bytes really takes. */
size_t block_bytes(size_t bytes);
/* `bytes` as block_bytes gave it. NULL: the system has no memory. */
void *block_cache_get(struct block_cache *cache, size_t bytes);
void block_cache_put(struct block_cache *cache, void *block, size_t bytes);
/* Frees what lay unused since the last call; to be called every BLOCK_CACHE_TRIM_NS while there is
 * something kept. */
void block_cache_trim(struct block_cache *cache);
/* Frees everything. */
void block_cache_fini(struct block_cache *cache);

#endif
