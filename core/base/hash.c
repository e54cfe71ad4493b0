#include "core/base/hash.h"

#include "core/base/check.h"
#include "core/base/rand.h"

#include <sodium.h>
#include <string.h>

_Static_assert(crypto_shorthash_siphash24_BYTES == sizeof(uint64_t), "64 bits");
_Static_assert(crypto_shorthash_siphashx24_BYTES == sizeof(struct hash128), "128 bits");
_Static_assert(crypto_shorthash_siphash24_KEYBYTES == crypto_shorthash_siphashx24_KEYBYTES,
               "one key serves both");

_Static_assert(sizeof(struct hash128) >= crypto_generichash_BYTES_MIN, "128 bits are enough");
_Static_assert(HASH_KEY_BYTES == crypto_shorthash_siphash24_KEYBYTES, "the length of the key");

static unsigned char key[crypto_shorthash_siphash24_KEYBYTES];
static bool key_drawn;

void hash_init(const uint8_t kept[HASH_KEY_BYTES]) {
    if (kept != NULL)
        memcpy(key, kept, sizeof(key));
    else
        rand_fill(key, sizeof(key));
    key_drawn = true;
}

uint64_t hash64(struct span bytes) {
    CHECK(key_drawn);
    uint64_t hash;
    crypto_shorthash_siphash24((unsigned char *)&hash, (const unsigned char *)bytes.at, bytes.len,
                               key);
    return hash;
}

struct hash128 hash128(struct span bytes) {
    CHECK(key_drawn);
    struct hash128 hash;
    crypto_shorthash_siphashx24((unsigned char *)&hash, (const unsigned char *)bytes.at, bytes.len,
                                key);
    return hash;
}

struct hash128 hash_content(struct span bytes) {
    struct hash128 hash;
    int result = crypto_generichash((unsigned char *)&hash, sizeof(hash),
                                    (const unsigned char *)bytes.at, bytes.len, NULL, 0);
    CHECK(result == 0, "libsodium does not hash");
    return hash;
}

_Static_assert(PROOF_KEY_BYTES >= crypto_generichash_KEYBYTES_MIN, "a key is long enough");

void proof_key(struct span secret, uint8_t made[PROOF_KEY_BYTES]) {
    int result = crypto_generichash(made, PROOF_KEY_BYTES, (const unsigned char *)secret.at,
                                    secret.len, NULL, 0);
    CHECK(result == 0, "libsodium does not hash");
}

void proof_make(const uint8_t with[PROOF_KEY_BYTES], struct span bytes, uint8_t made[PROOF_BYTES]) {
    int result = crypto_generichash(made, PROOF_BYTES, (const unsigned char *)bytes.at, bytes.len,
                                    with, PROOF_KEY_BYTES);
    CHECK(result == 0, "libsodium does not hash");
}

bool proof_same(const uint8_t a[PROOF_BYTES], const uint8_t b[PROOF_BYTES]) {
    return sodium_memcmp(a, b, PROOF_BYTES) == 0;
}
