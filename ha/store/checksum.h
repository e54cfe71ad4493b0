/* checksum.h - CRC-32C, the only door to ISA-L.
 *
 * Threads: any (a pure function). */
#ifndef RINGPOST_HA_STORE_CHECKSUM_H
#define RINGPOST_HA_STORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The CRC-32C of `len` bytes, at most 2 GiB - 1, going on from `before`; 0 begins a new one. */
uint32_t checksum(uint32_t before, const void *at, size_t len);

#endif
