/* builder.h - writes text into memory of a fixed size that the caller owns.
 *
 * A builder never writes past its end: what does not fit sets `full` and is left out whole, and so
 * is everything after it, so one look at `full` at the end is enough. It never allocates.
 *
 * Threads: the caller's. Limits: `cap`. */
#ifndef RINGPOST_CORE_BASE_BUILDER_H
#define RINGPOST_CORE_BASE_BUILDER_H

#include "core/base/span.h"

struct builder {
    char *at;
    size_t len; /* bytes written so far */
    size_t cap; /* bytes there is room for */
    bool full;  /* something did not fit and was left out */
};

static inline struct builder builder_over(void *at, size_t cap) {
    return (struct builder){(char *)at, 0, cap, false};
}

static inline struct span builder_span(const struct builder *b) {
    return span_of(b->at, b->len);
}

static inline void builder_bytes(struct builder *b, const void *at, size_t len) {
    if (b->full || len > b->cap - b->len) {
        b->full = true;
        return;
    }
    if (len != 0)
        memcpy(b->at + b->len, at, len);
    b->len += len;
}

static inline void builder_span_add(struct builder *b, struct span s) {
    builder_bytes(b, s.at, s.len);
}

static inline void builder_text(struct builder *b, const char *text) {
    builder_bytes(b, text, strlen(text));
}

static inline void builder_byte(struct builder *b, char byte) {
    builder_bytes(b, &byte, 1);
}

/* Decimal. */
void builder_u64(struct builder *b, uint64_t value);
/* printf into the builder; for cold paths. Wants room for one byte more than the text has. */
void builder_format(struct builder *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The bytes as a JSON string with its quotes: `"`, `\`, bytes below 0x20 and the line breaks that
 * only some languages know (U+0085, U+2028, U+2029) are escaped, so that it is one line for every
 * reader; the rest is copied as it is (the caller knows that it is UTF-8). */
void builder_json(struct builder *b, struct span text);
/* The same, but U+0085, U+2028 and U+2029 are copied too: for a payload, of which frames escape
 * them where they must. */
void builder_json_payload(struct builder *b, struct span text);
/* Room that either needs at the most for `len` bytes. */
static inline size_t builder_json_max(size_t len) {
    return 2 + 6 * len;
}

#endif
