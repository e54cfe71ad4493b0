/* wall_text.h - a moment as people and programs read it: 2026-01-31T09:05:00.123Z.
 *
 * Threads: any (a pure function). */
#ifndef RINGPOST_CORE_BASE_WALL_TEXT_H
#define RINGPOST_CORE_BASE_WALL_TEXT_H

#include <stdint.h>

#define WALL_TEXT_BYTES 32 /* with the NUL */

/* Milliseconds since 1970 in RFC 3339, UTC; years up to 9999. */
void wall_text(uint64_t wall_ms, char text[WALL_TEXT_BYTES]);

#endif
