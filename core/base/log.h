/* log.h - one event, one line, to standard error: logfmt or JSON.
 *
 *   log_event(LOG_WARN, "session_closed", LOG_STR("reason", why), LOG_U64("outbox_bytes", n));
 *   -> time=2026-01-01T00:00:00.000Z level=warn event=session_closed reason=too_slow outbox_bytes=9
 *
 * The name of the event is stable (operators grep for it); a field `remedy` says what to do. Each
 * call site prints at most LOG_SITE_BURST lines a second; how many it left out is said within a
 * second, in a line of its own: `event=session_closed suppressed=9`. Values are escaped whatever
 * bytes they hold, and cut at 256 bytes.
 *
 * A log line never makes a worker wait: lines go into a buffer of LOG_BUFFER_BYTES that one thread
 * writes out; when it is full, lines are dropped and counted (log_dropped). Before log_start and
 * after log_stop lines are written directly.
 *
 * Threads: any. Keys and tokens must never be handed to it. */
#ifndef RINGPOST_CORE_BASE_LOG_H
#define RINGPOST_CORE_BASE_LOG_H

#include "core/base/span.h"

#include <stdatomic.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

#define LOG_SITE_BURST 10
#define LOG_BUFFER_BYTES (256 * 1024)

struct log_field {
    const char *name;
    enum { LOG_FIELD_SPAN, LOG_FIELD_U64, LOG_FIELD_I64, LOG_FIELD_LONG } kind;
    struct span text;
    uint64_t number;
};

#define LOG_SPAN(n, s) ((struct log_field){.name = (n), .kind = LOG_FIELD_SPAN, .text = (s)})
#define LOG_STR(n, s) LOG_SPAN(n, span_text(s))
#define LOG_U64(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_U64, .number = (v)})
#define LOG_I64(n, v)                                                                              \
    ((struct log_field){.name = (n), .kind = LOG_FIELD_I64, .number = (uint64_t)(int64_t)(v)})

/* Not cut at 256 bytes. */
#define LOG_LONG(n, s) ((struct log_field){.name = (n), .kind = LOG_FIELD_LONG, .text = (s)})

struct log_site {
    _Atomic uint64_t second; /* the second that `lines` counts */
    _Atomic uint32_t lines;
    _Atomic uint32_t suppressed;
    /* While some are suppressed and that was not said yet: */
    atomic_bool listed;
    struct log_site *next;
    const char *event;
    enum log_level level;
};

/* Level and format may be changed at any time (reload). */
void log_set(enum log_level level, enum log_format format);
bool log_wants(enum log_level level);
/* Starts the writing thread; false with errno when it cannot
 * (thread_problem). */
bool log_start(void);
/* Writes what is buffered and joins the thread. Harmless when it was not started. When nobody takes
 * the lines from standard error, it gives up after half a second. */
void log_stop(void);
/* Lines lost because the buffer was full, since the start. The log says so itself in an event
 * `log_lines_dropped` as soon as there is room again. */
uint64_t log_dropped(void);

/* The last line of a process that ends from where it stands: waits a moment for the lines before
 * it, then writes this one. May be called in a signal handler, on one thread. */
void log_last(enum log_level level, const char *event, const struct log_field *fields,
              size_t count);

void log_write(struct log_site *site, enum log_level level, const char *event,
               const struct log_field *fields, size_t count);
/* The same for a signal handler: takes no lock, allocates nothing, keeps errno. The line goes
 * straight to standard error, which need not be behind the lines that wait; where nobody takes it
 * at once it is lost and counted. Nothing limits how often. */
void log_from_signal(enum log_level level, const char *event, const struct log_field *fields,
                     size_t count);

#define log_event(level, event, ...)                                                               \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        if (log_wants(level)) {                                                                    \
            /* The first one only keeps the array from being empty. */                             \
            const struct log_field log_fields_[] = {{.name = NULL}, __VA_ARGS__};                  \
            log_write(&log_site_, (level), (event), log_fields_ + 1,                               \
                      sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                           \
        }                                                                                          \
    } while (0)

#endif
