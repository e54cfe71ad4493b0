/* page.h - the first so many of names that come in any order: a page of a list that nobody sorts.
 *
 * A heap keeps the first `max` names; one that is behind all of them costs a comparison, another a
 * few more and a copy, so a page of a group with a million members needs no room for them and no
 * time for all at once. Names are copied: who has them may go.
 *
 * Threads: one at a time. Owns nothing: the caller brings page_bytes of memory. */
#ifndef RINGPOST_INGEST_API_PAGE_H
#define RINGPOST_INGEST_API_PAGE_H

#include "core/base/span.h"
#include "core/limits.h"

#include <stdint.h>

#define PAGE_NAMES_MAX 65535

struct page {
    uint32_t max, count;
    uint16_t *order; /* places in `names`: the last name first, then a heap; sorted by page_sort */
    struct page_name {
        uint8_t len;
        char text[NAME_BYTES_MAX];
    } * names;
};

/* By their bytes, a shorter one before those that begin with it. */
int name_order(struct span a, struct span b);

size_t page_bytes(uint32_t max);
/* An empty page in page_bytes(max) of memory that is aligned as malloc's is. */
struct page *page_over(void *memory, uint32_t max);
/* A name that was not offered before. */
void page_offer(struct page *page, struct span name);
/* No more names. From then on page_name gives the first, the second... A thousand take some 0.2 ms.
 */
void page_sort(struct page *page);
struct span page_name(const struct page *page, uint32_t index);

#endif
