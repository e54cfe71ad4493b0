/* bench_sha1.h - SHA-1 of a short text, which a WebSocket handshake is checked with.
 *
 * By itself, so that an answer is not checked by the code that may have made it. It protects
 * nothing.
 *
 * Pure functions over bytes. Threads: any. */
#ifndef RINGPOST_PERF_LOAD_BENCH_SHA1_H
#define RINGPOST_PERF_LOAD_BENCH_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_SHA1_BYTES 20u
#define BENCH_SHA1_TEXT_MAX 119u /* two blocks with their end */

/* `len` is at most BENCH_SHA1_TEXT_MAX. */
void bench_sha1(const uint8_t *text, size_t len, uint8_t out[BENCH_SHA1_BYTES]);

#endif
