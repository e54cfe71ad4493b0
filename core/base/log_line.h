/* log_line.h - one event as one line of text, logfmt or JSON.
 *
 * A pure function: no clock, no descriptor, no allocation, no call into the C library that a signal
 * handler may not make. Whatever bytes the values hold, the line
 * is printable, is valid UTF-8, and stays one line: what printable.h forbids (control characters,
 * what breaks lines or turns the writing direction) is escaped, bytes that are no UTF-8 become
 * U+FFFD. Threads: any. */
#ifndef RINGPOST_CORE_BASE_LOG_LINE_H
#define RINGPOST_CORE_BASE_LOG_LINE_H

#include "core/base/builder.h"
#include "core/base/log.h"

#define LOG_LINE_BYTES_MAX 8192
#define LOG_VALUE_BYTES_MAX 256

struct log_line {
    enum log_format format;
    enum log_level level;
    const char *event;
    uint64_t wall_ms;
    uint32_t suppressed; /* lines of this site that were left out; 0: no field */
    const struct log_field *fields;
    size_t count;
};

/* Writes the line with its line break into memory of LOG_LINE_BYTES_MAX bytes and returns its
 * length. Fields that do not fit any more are left out, and `truncated=true` says so. */
size_t log_line_write(const struct log_line *line, char *at);

#endif
