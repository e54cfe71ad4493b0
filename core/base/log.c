#include "core/base/log.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log_line.h"
#include "core/base/thread.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define WRITE_BYTES 4096         /* a pipe that polls writable takes as much without blocking */
#define REPORT_NS (1 * NS_PER_S) /* suppressed lines are told at the latest so long after */
#define PATIENCE_STEP_MS 100
#define PATIENCE_STEPS 5 /* that a reader who takes nothing is waited for at the end */

static _Atomic int level_least = LOG_INFO;
static _Atomic int format_now = LOG_LOGFMT;
static _Atomic uint64_t dropped;

/* Lines gather in one half while the thread writes out the other. */
static char halves[2][LOG_BUFFER_BYTES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static unsigned filling; /* which half gathers; this and the next by mutex */
static size_t filling_len;
static bool running;
static struct log_site *silenced; /* sites with suppressed lines; this and the next by mutex */
static uint64_t report_due_ns;
static _Atomic uint64_t unwritten; /* bytes of lines that the thread has still to write out */
static atomic_bool stopping;
static pthread_t thread;

void log_set(enum log_level level, enum log_format format) {
    atomic_store_explicit(&level_least, (int)level, memory_order_relaxed);
    atomic_store_explicit(&format_now, (int)format, memory_order_relaxed);
}

bool log_wants(enum log_level level) {
    return (int)level >= atomic_load_explicit(&level_least, memory_order_relaxed);
}

uint64_t log_dropped(void) {
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

static enum log_format format_get(void) {
    return (enum log_format)atomic_load_explicit(&format_now, memory_order_relaxed);
}

/* Waits until standard error takes bytes; false: the log is stopping and nobody takes them. */
static bool wait_writable(void) {
    struct pollfd wanted = {.fd = STDERR_FILENO, .events = POLLOUT};
    for (int idle = 0; idle < PATIENCE_STEPS;) {
        int ready = poll(&wanted, 1, PATIENCE_STEP_MS);
        if (ready != 0)
            return true; /* writable, or broken: write will tell */
        if (atomic_load(&stopping))
            idle++;
    }
    return false;
}

/* False: they cannot be written any more. */
static bool write_out(const char *at, size_t len) {
    while (len != 0) {
        if (!wait_writable())
            return false;
        ssize_t done = write(STDERR_FILENO, at, len < WRITE_BYTES ? len : WRITE_BYTES);
        if (done < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (done > 0) {
            at += done;
            len -= (size_t)done;
        }
    }
    return true;
}

static uint64_t lines_in(const char *at, size_t len) {
    uint64_t lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += at[i] == '\n';
    return lines;
}

static void drop_report(void) {
    static uint64_t reported;
    uint64_t now = log_dropped();
    if (now == reported)
        return;
    const struct log_field field = LOG_U64("lines", now - reported);
    const struct log_line line = {.format = format_get(),
                                  .level = LOG_WARN,
                                  .event = "log_lines_dropped",
                                  .wall_ms = clock_wall_ms(),
                                  .fields = &field,
                                  .count = 1};
    char text[LOG_LINE_BYTES_MAX];
    if (write_out(text, log_line_write(&line, text)))
        reported = now;
}

static bool line_buffer(const char *text, size_t len) {
    if (len > LOG_BUFFER_BYTES - filling_len)
        return false;
    memcpy(halves[filling] + filling_len, text, len);
    filling_len += len;
    atomic_fetch_add(&unwritten, len);
    return true;
}

/* With the mutex held: says how many lines each site has left out. */
static void suppressed_report(void) {
    while (silenced != NULL) {
        struct log_site *site = silenced;
        silenced = site->next;
        /* From here on it may be listed again. */
        atomic_store_explicit(&site->listed, false, memory_order_relaxed);
        const struct log_line line = {
            .format = format_get(),
            .level = site->level,
            .event = site->event,
            .wall_ms = clock_wall_ms(),
            .suppressed = atomic_exchange_explicit(&site->suppressed, 0, memory_order_relaxed)};
        char text[LOG_LINE_BYTES_MAX];
        size_t len = log_line_write(&line, text);
        if (!running)
            (void)!write(STDERR_FILENO, text, len); /* where else should it be said? */
        else if (!line_buffer(text, len))
            atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    }
}

/* With the mutex held: until there are lines to be written, or the log stops. */
static void lines_wait(void) {
    for (;;) {
        if (silenced != NULL && (clock_ns() >= report_due_ns || atomic_load(&stopping)))
            suppressed_report();
        if (filling_len != 0 || atomic_load(&stopping))
            return;
        if (silenced == NULL) {
            pthread_cond_wait(&filled, &mutex);
            continue;
        }
        /* The system's clock begins later. A time before the machine did is over at once. */
        uint64_t due_ns = report_due_ns > CLOCK_BASE_NS ? report_due_ns - CLOCK_BASE_NS : 0;
        const struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S),
                                     .tv_nsec = (long)(due_ns % NS_PER_S)};
        if (pthread_cond_clockwait(&filled, &mutex, CLOCK_MONOTONIC, &due) == ETIMEDOUT)
            suppressed_report();
    }
}

static void *thread_run(void *unused) {
    (void)unused;
    bool heard = true; /* somebody still takes what is written */
    pthread_mutex_lock(&mutex);
    for (;;) {
        lines_wait();
        if (filling_len == 0)
            break;
        const char *at = halves[filling];
        size_t len = filling_len;
        filling ^= 1;
        filling_len = 0;
        pthread_mutex_unlock(&mutex);
        heard = (heard || !atomic_load(&stopping)) && write_out(at, len);
        if (heard)
            drop_report();
        else
            atomic_fetch_add_explicit(&dropped, lines_in(at, len), memory_order_relaxed);
        atomic_fetch_sub(&unwritten, len);
        pthread_mutex_lock(&mutex);
    }
    running = false; /* from here on lines are written directly */
    suppressed_report();
    pthread_mutex_unlock(&mutex);
    return NULL;
}

bool log_start(void) {
    CHECK(!running, "the log runs already");
    atomic_store(&stopping, false);
    running = true;
    int error = thread_start(&thread, thread_run, NULL);
    if (error != 0) {
        running = false;
        errno = error;
        return false;
    }
    pthread_setname_np(thread, "ringpost-log");
    return true;
}

void log_stop(void) {
    pthread_mutex_lock(&mutex);
    bool was_running = running;
    atomic_store(&stopping, true);
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&mutex);
    if (was_running)
        CHECK(pthread_join(thread, NULL) == 0);
}

/* May this site print now? Threads that meet here at the turn of a second may let a line or two
 * more through. */
static bool site_admit(struct log_site *site) {
    uint64_t second = clock_ns() / NS_PER_S;
    if (atomic_exchange_explicit(&site->second, second, memory_order_relaxed) != second)
        atomic_store_explicit(&site->lines, 0, memory_order_relaxed);
    return atomic_fetch_add_explicit(&site->lines, 1, memory_order_relaxed) < LOG_SITE_BURST;
}

/* Counts a line that is left out, and sees that it is told. */
static void site_suppress(struct log_site *site, enum log_level level, const char *event) {
    atomic_fetch_add_explicit(&site->suppressed, 1, memory_order_relaxed);
    if (atomic_exchange_explicit(&site->listed, true, memory_order_relaxed))
        return;
    pthread_mutex_lock(&mutex);
    site->event = event;
    site->level = level;
    site->next = silenced;
    if (silenced == NULL)
        report_due_ns = clock_ns() + REPORT_NS;
    silenced = site;
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&mutex);
}

void log_write(struct log_site *site, enum log_level level, const char *event,
               const struct log_field *fields, size_t count) {
    if (!site_admit(site)) {
        site_suppress(site, level, event);
        return;
    }
    const struct log_line line = {.format = format_get(),
                                  .level = level,
                                  .event = event,
                                  .wall_ms = clock_wall_ms(),
                                  .fields = fields,
                                  .count = count};
    char text[LOG_LINE_BYTES_MAX];
    size_t len = log_line_write(&line, text);

    pthread_mutex_lock(&mutex);
    bool direct = !running;
    if (direct)
        suppressed_report();
    else if (line_buffer(text, len))
        pthread_cond_signal(&filled);
    else
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    pthread_mutex_unlock(&mutex);
    if (direct)
        (void)!write(STDERR_FILENO, text, len); /* where else should it be said? */
}

void log_from_signal(enum log_level level, const char *event, const struct log_field *fields,
                     size_t count) {
    int kept = errno;
    const struct log_line line = {.format = format_get(),
                                  .level = level,
                                  .event = event,
                                  .wall_ms = clock_wall_ms(),
                                  .fields = fields,
                                  .count = count};
    char text[LOG_LINE_BYTES_MAX];
    size_t len = log_line_write(&line, text);
    struct pollfd wanted = {.fd = STDERR_FILENO, .events = POLLOUT};
    /* Where the sandbox refuses poll, that is worth being said, too. */
    if (poll(&wanted, 1, 0) == 0 || write(STDERR_FILENO, text, len) != (ssize_t)len)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    errno = kept;
}

void log_last(enum log_level level, const char *event, const struct log_field *fields,
              size_t count) {
    enum { LAST_WAITS = 250, LAST_WAIT_NS = 1000000 };
    static char text[LOG_LINE_BYTES_MAX]; /* the stack of a signal handler is small */
    const struct log_line line = {.format = format_get(),
                                  .level = level,
                                  .event = event,
                                  .wall_ms = clock_wall_ms(),
                                  .fields = fields,
                                  .count = count};
    size_t len = log_line_write(&line, text);
    for (int i = 0; i < LAST_WAITS && atomic_load(&unwritten) != 0; i++)
        nanosleep(&(struct timespec){0, LAST_WAIT_NS}, NULL);
    struct pollfd wanted = {.fd = STDERR_FILENO, .events = POLLOUT};
    for (size_t at = 0; at < len && poll(&wanted, 1, LAST_WAITS) > 0;) {
        size_t rest = len - at;
        ssize_t done = write(STDERR_FILENO, text + at, rest < WRITE_BYTES ? rest : WRITE_BYTES);
        if (done <= 0)
            return;
        at += (size_t)done;
    }
}
