/* utf8.h - is it UTF-8?
 *
 * Strict: no overlong forms, no surrogates, nothing above U+10FFFF. U+0000 is a character like
 * others.
 *
 * Threads: any (pure functions). Never reads past the end it was given. */
#ifndef RINGPOST_PROTO_TEXT_UTF8_H
#define RINGPOST_PROTO_TEXT_UTF8_H

#include "core/base/span.h"

/* Is it a byte that can only continue a sequence? */
static inline bool utf8_is_trail(unsigned char byte) {
    return (byte & 0xC0) == 0x80;
}

/* The length, 1 to 4, of the sequence at the front. 0: it is wrong whatever follows. -1: the text
 * ends inside it, and it is right so far. `at` must be before `end`. */
static inline int utf8_sequence(const char *at, const char *end) {
    const unsigned char *s = (const unsigned char *)at;
    size_t len = (size_t)(end - at);
    unsigned char first = s[0];
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    if (len < 2)
        return -1;
    unsigned char second = s[1];
    if (first < 0xE0)
        return utf8_is_trail(second) ? 2 : 0;

    /* Overlong forms, surrogates and what is too high show in the second byte. */
    unsigned char low = 0x80, high = 0xBF;
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    if (second < low || second > high)
        return 0;
    if (len < 3)
        return -1;
    if (!utf8_is_trail(s[2]))
        return 0;
    if (first < 0xF0)
        return 3;
    if (len < 4)
        return -1;
    return utf8_is_trail(s[3]) ? 4 : 0;
}

/* Is the sequence at the front, which is whole, one of the line breaks that only some languages
 * know: U+0085, U+2028, U+2029? */
static inline bool utf8_is_break(const char *at) {
    const unsigned char *s = (const unsigned char *)at;
    return (s[0] == 0xC2 && s[1] == 0x85) ||
           (s[0] == 0xE2 && s[1] == 0x80 && (s[2] == 0xA8 || s[2] == 0xA9));
}

/* Is it UTF-8 throughout? If not, `*bad_offset` is where the first wrong or unfinished sequence
 * begins; it may be NULL. */
bool utf8_valid(struct span text, size_t *bad_offset);

/* The same for a text that comes in pieces: goes on over `text`. `*state`, which fits into 3 bits,
 * is 0 before the first piece; behind the last one any other value says that the text ends inside a
 * sequence. False: it is wrong whatever follows, and the last byte looked at shows it; `*state` is
 * of no use any more. */
bool utf8_run(uint8_t *state, struct span text);

/* The longest front of at most `max` bytes of a valid text that does not cut a sequence. */
struct span utf8_cut(struct span text, size_t max);

/* Writes the character in UTF-8, 1 to 4 bytes; returns how many. `character` is at most U+10FFFF
 * and no surrogate. */
unsigned utf8_put(char *at, uint32_t character);

#endif
