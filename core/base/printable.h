/* printable.h - which characters may reach a log or a terminal as they are.
 *
 * Text from a peer may hold what drives a terminal (C0 and C1 controls, DEL), breaks lines (U+2028,
 * U+2029), or makes text read otherwise than it is written: the bidirectional controls, and the
 * other format characters (category Cf of Unicode) that nobody sees, such as the byte order mark,
 * the zero width space and the tags, which hide text in text and make two names look like one.
 * Whoever shows such text writes these characters as escapes; which ones they are is said here
 * only.
 *
 * Shown as they are: U+200C and U+200D, without which Persian, the scripts of India and many emoji
 * are written wrong; format characters that have a glyph of their own (signs before Arabic, Syriac
 * and Kaithi numbers) or lay out hieroglyphs; and variation selectors, which are marks (Mn).
 *
 * Threads: any (pure functions). Owns nothing. */
#ifndef RINGPOST_CORE_BASE_PRINTABLE_H
#define RINGPOST_CORE_BASE_PRINTABLE_H

#include "core/base/span.h"

/* Bytes of the UTF-8 sequence at the front of `text`, which must not be empty; `point` is the
 * character. 0: it is no UTF-8 (also overlong forms, surrogates, above U+10FFFF, cut short). */
size_t printable_next(struct span text, uint32_t *point);

/* May the character be shown as it is? */
bool printable(uint32_t point);

/* An escape, or two of them, without a NUL. */
#define PRINTABLE_ESCAPE_MAX 12

/* Takes the first character off `text`, which must not be empty, and gives what is shown for it:
 * itself, or in `escape` one of \x1b (bytes that are no UTF-8, too), \u202e and \U000e0041. */
struct span printable_take(struct span *text, char escape[PRINTABLE_ESCAPE_MAX]);

/* The character as a JSON string may hold it: \u202e, or the two halves of a surrogate pair. */
struct span printable_json_escape(uint32_t point, char escape[PRINTABLE_ESCAPE_MAX]);

#endif
