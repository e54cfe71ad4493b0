/* hash.h - keyed hashes of bytes that strangers chose (SipHash-2-4 by libsodium), and one without a
 * key that is the same on every node (BLAKE2b).
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

#define HASH_KEY_BYTES 16
/* Draws the key, or takes one that is kept with what was hashed before (NULL: draws); once, before
 * any thread starts. */
void hash_init(const uint8_t kept[HASH_KEY_BYTES]);
uint64_t hash64(struct span bytes);
struct hash128 hash128(struct span bytes);
/* Which bytes they are, in any process; needs no hash_init. */
struct hash128 hash_content(struct span bytes);

#endif
