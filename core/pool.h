/* pool.h - equal objects, carved from blocks of memory that are the pool's own mappings.
 *
 * A block of which no object is in use goes back to the system, but for POOL_SPARE_BLOCKS: so it
 * comes in small portions, and what a burst took does not stay. It goes at once, which takes some
 * 15 us for 64 KiB of objects, and more where mappings are dear; a pool of which very many objects
 * may come back in one moment is `lazy`, and gives back when pool_trim is called, again and again.
 * Under AddressSanitizer each object is an allocation of its own so that a stale pointer is seen.
 *
 * Threads: its owner's. Owns: the blocks. */
#ifndef RINGPOST_CORE_POOL_H
#define RINGPOST_CORE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_SPARE_BLOCKS 4

struct pool_block;

struct pool {
    size_t object_bytes;
    size_t block_bytes;       /* a power of two; blocks are aligned to it */
    uint32_t block_objects;   /* in one block */
    uint32_t spares;          /* blocks without an object in use */
    struct pool_block *open;  /* some objects in use, and some free */
    struct pool_block *spare; /* none in use */
    uint64_t in_use;
    uint64_t blocks;
    bool lazy;
};

void pool_init(struct pool *pool, size_t object_bytes);
/* Not zeroed; NULL when the system has no memory. */
void *pool_get(struct pool *pool);
void pool_put(struct pool *pool, void *object);
/* Gives one block back, of those that are more than should stay. */
void pool_trim(struct pool *pool);
static inline bool pool_wants_trim(const struct pool *pool) {
    return pool->spares > POOL_SPARE_BLOCKS;
}
/* Every object must be back. */
void pool_fini(struct pool *pool);

#endif
