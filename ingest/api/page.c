#include "ingest/api/page.h"

#include "core/base/check.h"

#include <string.h>

int name_order(struct span a, struct span b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.at, b.at, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

size_t page_bytes(uint32_t max) {
    return sizeof(struct page) + max * (sizeof(uint16_t) + sizeof(struct page_name));
}

struct page *page_over(void *memory, uint32_t max) {
    CHECK(max != 0 && max <= PAGE_NAMES_MAX, "a page of %u names", max);
    struct page *page = memory;
    uint16_t *order = (uint16_t *)(void *)(page + 1);
    *page = (struct page){
        .max = max, .order = order, .names = (struct page_name *)(void *)(order + max)};
    return page;
}

struct span page_name(const struct page *page, uint32_t index) {
    const struct page_name *name = &page->names[page->order[index]];
    return span_of(name->text, name->len);
}

static bool is_behind(const struct page *page, uint32_t a, uint32_t b) {
    return name_order(page_name(page, a), page_name(page, b)) > 0;
}

static void swap(struct page *page, uint32_t a, uint32_t b) {
    uint16_t moved = page->order[a];
    page->order[a] = page->order[b];
    page->order[b] = moved;
}

/* Lets the root of a heap of so many sink to its place. */
static void sink(struct page *page, uint32_t count) {
    for (uint32_t at = 0;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && is_behind(page, child + 1, child))
            child++;
        if (!is_behind(page, child, at))
            return;
        swap(page, at, child);
        at = child;
    }
}

static void rise(struct page *page, uint32_t at) {
    while (at != 0 && is_behind(page, at, (at - 1) / 2)) {
        swap(page, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void copy_to(struct page *page, uint32_t place, struct span name) {
    page->names[place].len = (uint8_t)name.len;
    memcpy(page->names[place].text, name.at, name.len);
}

void page_offer(struct page *page, struct span name) {
    if (page->count < page->max) {
        copy_to(page, page->count, name);
        page->order[page->count] = (uint16_t)page->count;
        rise(page, page->count++);
    } else if (name_order(name, page_name(page, 0)) < 0) {
        copy_to(page, page->order[0], name);
        sink(page, page->count);
    }
}

void page_sort(struct page *page) {
    for (uint32_t left = page->count; left > 1; left--) {
        swap(page, 0, left - 1);
        sink(page, left - 1);
    }
}
