/* store_key.h - the file with the key that goes with a store's directory.
 *
 * Threads: any. */
#ifndef RINGPOST_HA_STORE_STORE_KEY_H
#define RINGPOST_HA_STORE_STORE_KEY_H

#include "core/base/hash.h"

#define STORE_KEY "store.key"
#define STORE_KEY_LOST                                                                             \
    "what is pushed again under an id of before is taken for another message (409 id_reused)"

/* 1: read, 0: there is none, -1: `errno` says what is wrong (EBADMSG: it is damaged). */
int store_key_read(int folder, uint8_t key[HASH_KEY_BYTES]);

#endif
