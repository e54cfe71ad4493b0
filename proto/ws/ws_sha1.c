/* ws_sha1.c - see ws_sha1.h. */
#include "proto/ws/ws_sha1.h"

#include "core/base/check.h"

/* What the library was built with; it must come before its other headers. */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/sha.h>

_Static_assert(WC_SHA_DIGEST_SIZE == WS_SHA1_BYTES, "160 bits");

void ws_sha1(struct span bytes, unsigned char digest[WS_SHA1_BYTES]) {
    wc_Sha sha;
    /* In software none of them has anything that could be short. */
    CHECK(wc_InitSha(&sha) == 0);
    CHECK(wc_ShaUpdate(&sha, (const byte *)bytes.at, (word32)bytes.len) == 0);
    CHECK(wc_ShaFinal(&sha, digest) == 0);
    wc_ShaFree(&sha);
}
