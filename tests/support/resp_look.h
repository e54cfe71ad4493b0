/* resp_look.h - a reply of Redis (ha/redis/resp.h) against the bytes that it was read from: RESP
 * has one way to write each, but for what is not there, so they must be the same. */
#ifndef RINGPOST_TESTS_SUPPORT_RESP_LOOK_H
#define RINGPOST_TESTS_SUPPORT_RESP_LOOK_H

#include "core/base/check.h"
#include "ha/redis/resp.h"

#include <stdio.h>
#include <stdlib.h>

static inline void resp_look_bytes(struct span *wire, struct span want) {
    CHECK(span_starts(*wire, want));
    *wire = span_skip(*wire, want.len);
}

static inline void resp_look_number(struct span *wire, char type, long long number) {
    char line[32];
    int len = snprintf(line, sizeof line, "%c%lld\r\n", type, number);
    resp_look_bytes(wire, span_of(line, (size_t)len));
}

/* A string that was not kept: any bytes. */
static inline void resp_look_long(struct span *wire) {
    char *end;
    CHECK(span_starts(*wire, SPAN("$")));
    struct span head = span_of(wire->at, wire->len < 22 ? wire->len : 22);
    CHECK(memmem(head.at, head.len, "\r\n", 2) != NULL);
    unsigned long long len = strtoull(wire->at + 1, &end, 10);
    size_t bytes = (size_t)(end - wire->at) + 2 + len + 2;
    CHECK(bytes <= wire->len);
    *wire = span_skip(*wire, bytes);
}

static inline void resp_look_item(struct span *wire, const struct resp_item *item) {
    switch (item->type) {
    case RESP_STATUS:
    case RESP_ERROR:
        CHECK(item->text.len <= RESP_LINE_BYTES_MAX);
        resp_look_bytes(wire, item->type == RESP_STATUS ? SPAN("+") : SPAN("-"));
        resp_look_bytes(wire, item->text);
        resp_look_bytes(wire, SPAN("\r\n"));
        return;
    case RESP_INTEGER:
        resp_look_number(wire, ':', item->integer);
        return;
    case RESP_STRING:
        resp_look_number(wire, '$', (long long)item->text.len);
        resp_look_bytes(wire, item->text);
        resp_look_bytes(wire, SPAN("\r\n"));
        return;
    case RESP_LONG:
        CHECK(item->text.len == 0);
        resp_look_long(wire);
        return;
    case RESP_NIL:
        CHECK(item->text.len == 0);
        resp_look_number(wire, wire->len != 0 && wire->at[0] == '*' ? '*' : '$', -1);
        return;
    case RESP_ARRAY:
        resp_look_number(wire, '*', item->count);
        return;
    }
    CHECK(false, "an item of type %d", (int)item->type);
}

/* Returns how many bytes at the front of `wire` the reply is. */
static inline size_t resp_look(const struct resp_reply *reply, struct span wire) {
    CHECK(reply->item_count <= RESP_ITEMS_MAX);
    CHECK(reply->depth == 0 && (reply->type == RESP_ARRAY || reply->item_count == 0));
    struct span rest = wire;
    unsigned open[RESP_DEPTH_MAX] = {0}; /* elements of each array that are still to come */
    unsigned depth = 0;
    resp_look_item(&rest, &reply->item);
    if (reply->type == RESP_ARRAY)
        open[depth++] = reply->count;
    for (unsigned i = 0; i < reply->item_count; i++) {
        while (depth != 0 && open[depth - 1] == 0)
            depth--;
        const struct resp_item *item = &reply->items[i];
        CHECK(depth != 0 && item->depth == depth);
        open[depth - 1]--;
        resp_look_item(&rest, item);
        if (item->type == RESP_ARRAY) {
            CHECK(depth < RESP_DEPTH_MAX);
            open[depth++] = item->count;
        }
    }
    for (unsigned i = 0; i < depth; i++)
        CHECK(open[i] == 0);
    return wire.len - rest.len;
}

#endif
