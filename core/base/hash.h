/* hash.h - keyed hashes of bytes that strangers chose (SipHash-2-4 by libsodium).
 *
 * The key is drawn at start, so nobody outside can build collisions. Every thread of a process uses
 * the same key: hash(name) mod workers must be the same everywhere. Threads: any after hash_init.
 */
#ifndef RINGPOST_CORE_BASE_HASH_H
#define RINGPOST_CORE_BASE_HASH_H

#include "core/base/span.h"

struct hash128 {
    uint64_t low, high;
};

/* Draws the key; once, before any thread starts. */
void hash_init(void);
uint64_t hash64(struct span bytes);
struct hash128 hash128(struct span bytes);

#endif
