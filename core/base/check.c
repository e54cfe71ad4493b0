#include "core/base/check.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void (*check_hook)(void);

static atomic_flag failing = ATOMIC_FLAG_INIT;
static _Thread_local bool failing_here;

static size_t room_used(int printed, size_t room) {
    if (printed < 0)
        return 0;
    return (size_t)printed < room ? (size_t)printed : room - 1;
}

_Noreturn void check_fail(const char *file, int line, const char *what, const char *format, ...) {
    char text[1024];
    size_t len = room_used(
        snprintf(text, sizeof(text), "ringpost: bug: %s:%d: expected %s", file, line, what),
        sizeof(text));
    if (*format != '\0') {
        len += room_used(snprintf(text + len, sizeof(text) - len, ": "), sizeof(text) - len);
        va_list arguments;
        va_start(arguments, format);
        len += room_used(vsnprintf(text + len, sizeof(text) - len, format, arguments),
                         sizeof(text) - len);
        va_end(arguments);
    }
    text[len++] = '\n'; /* over the NUL */
    ssize_t written = write(STDERR_FILENO, text, len);
    (void)written; /* nothing is left to be done about it */

    if (failing_here) /* a check failed in the hook */
        abort();
    failing_here = true;
    if (atomic_flag_test_and_set(&failing)) {
        /* Another thread is dumping; its abort ends this one too. */
        for (;;)
            pause();
    }
    if (check_hook != NULL)
        check_hook();
    abort();
}
