#include "perf/load/bench_sha1.h"

#include <string.h>

#define BLOCK_BYTES 64u
#define LENGTH_BYTES 8u

static uint32_t turned(uint32_t value, unsigned bits) {
    return value << bits | value >> (32 - bits);
}

static void block_add(uint32_t sum[5], const uint8_t *block) {
    uint32_t w[80], a = sum[0], b = sum[1], c = sum[2], d = sum[3], e = sum[4];
    for (unsigned i = 0; i < 16; i++) {
        memcpy(&w[i], block + 4u * i, 4);
        w[i] = __builtin_bswap32(w[i]);
    }
    for (unsigned i = 16; i < 80; i++)
        w[i] = turned(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t mixed = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999u
                         : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1u
                         : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu
                                  : (b ^ c ^ d) + 0xca62c1d6u;
        uint32_t next = turned(a, 5) + mixed + e + w[i];
        e = d;
        d = c;
        c = turned(b, 30);
        b = a;
        a = next;
    }
    sum[0] += a;
    sum[1] += b;
    sum[2] += c;
    sum[3] += d;
    sum[4] += e;
}

void bench_sha1(const uint8_t *text, size_t len, uint8_t out[BENCH_SHA1_BYTES]) {
    uint32_t sum[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    uint8_t blocks[2 * BLOCK_BYTES] = {0};
    size_t bytes = len + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
    uint64_t bits = __builtin_bswap64((uint64_t)len * 8);
    memcpy(blocks, text, len);
    blocks[len] = 0x80;
    memcpy(blocks + bytes - LENGTH_BYTES, &bits, LENGTH_BYTES);
    for (size_t at = 0; at < bytes; at += BLOCK_BYTES)
        block_add(sum, blocks + at);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t word = __builtin_bswap32(sum[i]);
        memcpy(out + 4u * i, &word, 4);
    }
}
