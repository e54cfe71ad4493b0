#include "ha/store/ended.h"

#include "core/base/map.h"

#include <stdlib.h>
#include <sys/mman.h>

bool ended_init(struct ended *ended, size_t max) {
    *ended = (struct ended){.bytes = map_round((max + 1) * sizeof(struct ended_entry)), .max = max};
    ended->heap = map_pages(ended->bytes);
    return ended->heap != NULL;
}

void ended_fini(struct ended *ended) {
    if (ended->heap != NULL)
        munmap(ended->heap, ended->bytes);
}

bool ended_push(struct ended *ended, struct ended_entry entry) {
    struct ended_entry *heap = ended->heap;
    size_t at = ended->count++;
    for (; at != 0 && heap[(at - 1) / 2].at_ns > entry.at_ns; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
    return ended->count > ended->max;
}

struct restored *ended_pop(struct ended *ended) {
    if (ended->count == 0)
        return NULL;
    struct ended_entry *heap = ended->heap;
    struct restored *oldest = heap[0].restored;
    struct ended_entry moved = heap[--ended->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < ended->count && heap[child + 1].at_ns < heap[child].at_ns)
            child++;
        if (child >= ended->count || heap[child].at_ns >= moved.at_ns)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
    return oldest;
}

static int by_time(const void *a, const void *b) {
    const struct ended_entry *first = a, *second = b;
    return (first->at_ns > second->at_ns) - (first->at_ns < second->at_ns);
}

void ended_sort(struct ended *ended) {
    qsort(ended->heap, ended->count, sizeof(*ended->heap), by_time);
}
