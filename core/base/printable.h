/* printable.h - which characters may reach a log or a terminal as they are.
 *
 * Text from a peer may hold what drives a terminal (C0 and C1 controls, DEL), breaks lines (U+2028,
 * U+2029), or makes text read otherwise than it is written (the bidirectional controls). Whoever
 * shows such text writes these characters as escapes, each in its own form; which ones they are is
 * said here only.
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

#endif
