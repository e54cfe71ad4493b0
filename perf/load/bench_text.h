/* bench_text.h - text that others wrote, for people to read.
 *
 * What a node says may drive a terminal or read otherwise than it is written, and the load tool
 * shows it where something went wrong. It goes through here first, as the command line and paths
 * do: what core/base/printable.h forbids, and bytes that are no UTF-8, become visible escapes.
 *
 * Threads: any. Owns: nothing. */
#ifndef RINGPOST_PERF_LOAD_BENCH_TEXT_H
#define RINGPOST_PERF_LOAD_BENCH_TEXT_H

#include "core/base/span.h"

#define BENCH_COMPLAINT_BYTES 1024u

/* Writes the text made harmless with a NUL, up to the last character that fits. A line end, or
 * several, at its end are left out. `cap` is not 0. */
void bench_text_write(char *out, size_t cap, struct span text);

/* printf to standard error, as a line that begins with "ringpost bench: "; all of it is made
 * harmless, and cut after BENCH_COMPLAINT_BYTES. */
void bench_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
