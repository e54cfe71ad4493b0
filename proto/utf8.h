/* utf8.h - is it UTF-8?
 *
 * Strict: no overlong forms, no surrogates, nothing above U+10FFFF. U+0000 is a character like
 * others.
 *
 * Threads: any (pure functions). Never reads past the end it was given. */
#ifndef RINGPOST_PROTO_UTF8_H
#define RINGPOST_PROTO_UTF8_H

#include "core/base/span.h"

/* The length, 1 to 4, of the sequence at the front. 0: it is wrong whatever follows. -1: the text
 * ends inside it, and it is right so far. `at` must be before `end`. */
int utf8_sequence(const char *at, const char *end);

/* Is it UTF-8 throughout? If not, `*bad_offset` is where the first wrong or unfinished sequence
 * begins; it may be NULL. */
bool utf8_valid(struct span text, size_t *bad_offset);

/* The longest front of at most `max` bytes of a valid text that does not cut a sequence. */
struct span utf8_cut(struct span text, size_t max);

/* Writes the character in UTF-8, 1 to 4 bytes; returns how many. `character` is at most U+10FFFF
 * and no surrogate. */
unsigned utf8_put(char *at, uint32_t character);

#endif
