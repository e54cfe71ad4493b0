/* CRC-32C by ISA-L, which chooses the processor's instructions for it at run time. */
#include "ha/store/checksum.h"

#include "core/base/check.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t checksum(uint32_t before, const void *at, size_t len) {
    CHECK(len <= INT_MAX);
    /* It reads only; the library's parameter lacks a const. */
    return ~crc32_iscsi((unsigned char *)(uintptr_t)at, (int)len, ~before);
}
