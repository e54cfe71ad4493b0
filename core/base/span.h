/* span.h - a run of bytes that somebody else owns.
 *
 * A span never owns, never ends in NUL, may be empty; `at` may be NULL only when `len` is 0. It
 * dies with the memory it points into. Threads: any (a value). */
#ifndef RINGPOST_CORE_BASE_SPAN_H
#define RINGPOST_CORE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *at;
    size_t len;
};

/* A string literal as a span, without its NUL. */
#define SPAN(literal) ((struct span)SPAN_INIT(literal))
/* The same where an initialiser must be constant: a static array of spans. */
#define SPAN_INIT(literal)                                                                         \
    { "" literal, sizeof(literal) - 1 }
/* For printf("%.*s", SPAN_ARG(s)). */
#define SPAN_ARG(s) (int)(s).len, (s).at

static inline struct span span_of(const void *at, size_t len) {
    return (struct span){(const char *)at, len};
}

static inline struct span span_text(const char *text) {
    return (struct span){text, strlen(text)};
}

static inline bool span_equal(struct span a, struct span b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* ASCII letters compare without case; for header names and the like. */
static inline bool span_equal_nocase(struct span a, struct span b) {
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        unsigned char x = (unsigned char)a.at[i], y = (unsigned char)b.at[i];
        x = (x >= 'A' && x <= 'Z') ? (unsigned char)(x | 0x20) : x;
        y = (y >= 'A' && y <= 'Z') ? (unsigned char)(y | 0x20) : y;
        if (x != y)
            return false;
    }
    return true;
}

static inline bool span_starts(struct span s, struct span prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.at, prefix.at, prefix.len) == 0);
}

/* The rest after `count` bytes; `count` must not exceed the length. */
static inline struct span span_skip(struct span s, size_t count) {
    return (struct span){s.at + count, s.len - count};
}

#endif
