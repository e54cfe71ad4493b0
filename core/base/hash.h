/* hash.h - keyed hashes of bytes that strangers chose (SipHash-2-4 by libsodium), one without a
 * key that is the same on every node (BLAKE2b), and proofs that somebody knows a secret (the same,
 * with a key).
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

#define PROOF_BYTES 32
#define PROOF_KEY_BYTES 32
/* The key that a secret of any length stands for. */
void proof_key(struct span secret, uint8_t made[PROOF_KEY_BYTES]);
/* What only who has the key can say of these bytes; needs no hash_init. */
void proof_make(const uint8_t with[PROOF_KEY_BYTES], struct span bytes, uint8_t made[PROOF_BYTES]);
/* In constant time. */
bool proof_same(const uint8_t a[PROOF_BYTES], const uint8_t b[PROOF_BYTES]);

#endif
