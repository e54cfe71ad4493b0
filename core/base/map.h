/* map.h - memory from the system, for who carves it up (pool.h, block_cache.h).
 *
 * Threads: any. Owns: nothing; munmap gives it back. */
#ifndef RINGPOST_CORE_BASE_MAP_H
#define RINGPOST_CORE_BASE_MAP_H

#include <stddef.h>

#define MAP_PAGE_BYTES 4096

/* As many whole pages as hold so much. */
static inline size_t map_round(size_t bytes) {
    return (bytes + MAP_PAGE_BYTES - 1) / MAP_PAGE_BYTES * MAP_PAGE_BYTES;
}
/* Zeros; `bytes` are whole pages. NULL: the system has none. */
void *map_pages(size_t bytes);
/* The same, from a multiple of `bytes` on, which is a power of two. */
void *map_aligned(size_t bytes);

#endif
