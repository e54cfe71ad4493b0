/* rand.h - the only place where randomness is read, so that tests can own it (they link another
 * rand.c). Threads: any. */
#ifndef RINGPOST_CORE_BASE_RAND_H
#define RINGPOST_CORE_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Unpredictable bytes (getrandom by way of libsodium). */
void rand_fill(void *at, size_t len);
uint64_t rand_u64(void);
/* Uniform in [0, bound); bound at least 1. */
uint64_t rand_below(uint64_t bound);

#endif
