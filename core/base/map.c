#include "core/base/map.h"

#include <stdint.h>
#include <sys/mman.h>

void *map_pages(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void *map_aligned(size_t bytes) {
    char *at = map_pages(bytes); /* it stands at the last one more often than not */
    if (at == NULL || ((uintptr_t)at & (bytes - 1)) == 0)
        return at;
    munmap(at, bytes);
    at = map_pages(2 * bytes);
    if (at == NULL)
        return NULL;
    size_t before = (bytes - ((uintptr_t)at & (bytes - 1))) & (bytes - 1);
    if (before != 0)
        munmap(at, before);
    munmap(at + before + bytes, bytes - before);
    return at + before;
}
