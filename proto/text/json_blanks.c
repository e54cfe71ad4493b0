#include "proto/text/json_blanks.h"

#if defined(__SSE2__)
#include <emmintrin.h>

static __m128i load(const char *at) {
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static __m128i either(__m128i bytes, char a, char b) {
    return _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(a)),
                        _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b)));
}

/* A bit for each of the 16 bytes that is a blank, and that is a line break. */
static unsigned blanks_at(const char *at) {
    __m128i bytes = load(at);
    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(either(bytes, ' ', '\t'), either(bytes, '\n', '\r')));
}

/* Most are all set or none, and counting the others takes a table on old processors. */
static unsigned bits_count(unsigned bits) {
    return bits == 0 ? 0 : bits == 0xFFFF ? 16 : (unsigned)__builtin_popcount(bits);
}

static unsigned breaks_at(const char *at) {
    return (unsigned)_mm_movemask_epi8(either(load(at), '\n', '\r'));
}
#endif

static bool is_break(char byte) {
    return byte == '\n' || byte == '\r';
}

const char *json_blanks_end(const char *at, const char *end) {
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        unsigned others = ~blanks_at(at) & 0xFFFF;
        if (others != 0)
            return at + __builtin_ctz(others);
    }
#endif
    while (at != end && json_is_blank(*at))
        at++;
    return at;
}

const char *json_dense_end(struct span text, size_t max_bytes) {
    if (text.len == 0)
        return text.at;
    const char *at = text.at, *end = text.at + text.len;
    size_t dense = 0;
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        unsigned more = 16 - bits_count(blanks_at(at));
        if (dense + more >= max_bytes)
            break;
        dense += more;
    }
#endif
    for (; at != end; at++) {
        dense += !json_is_blank(*at);
        if (dense >= max_bytes)
            break;
    }
    return at;
}

/* To the first line break, or the first byte that is none. */
static const char *run_end(const char *at, const char *end, bool of_breaks) {
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        unsigned stop = breaks_at(at) ^ (of_breaks ? 0xFFFF : 0);
        if (stop != 0)
            return at + __builtin_ctz(stop);
    }
#endif
    while (at != end && is_break(*at) == of_breaks)
        at++;
    return at;
}

void json_compact(struct span text, struct builder *out) {
    if (text.len == 0)
        return;
    const char *at = text.at, *end = text.at + text.len;
    while (at != end) {
        const char *run = run_end(at, end, false);
        builder_bytes(out, at, (size_t)(run - at));
        at = run_end(run, end, true);
    }
}

size_t json_compact_len(struct span text) {
    size_t len = text.len, i = 0;
#if defined(__SSE2__)
    for (; text.len - i >= 16; i += 16)
        len -= bits_count(breaks_at(text.at + i));
#endif
    for (; i < text.len; i++)
        len -= is_break(text.at[i]);
    return len;
}
