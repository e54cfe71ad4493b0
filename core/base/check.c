#include "core/base/check.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*check_hook)(const char *what);

static atomic_flag failing = ATOMIC_FLAG_INIT;
static _Thread_local const char *failing_here; /* what was expected */

static size_t room_used(int printed, size_t room) {
    if (printed < 0)
        return 0;
    return (size_t)printed < room ? (size_t)printed : room - 1;
}

static void print_plain(const char *text) {
    static const char bug[] = "ringpost: bug: ";
    ssize_t written = write(STDERR_FILENO, bug, sizeof(bug) - 1);
    written += write(STDERR_FILENO, text, strlen(text));
    written += write(STDERR_FILENO, "\n", 1);
    (void)written; /* nothing is left to be done about it */
}

_Noreturn void check_fail(const char *file, int line, const char *what, const char *format, ...) {
    char text[1024];
    size_t len = room_used(snprintf(text, sizeof(text), "%s:%d: expected %s", file, line, what),
                           sizeof(text));
    if (*format != '\0') {
        len += room_used(snprintf(text + len, sizeof(text) - len, ": "), sizeof(text) - len);
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text + len, sizeof(text) - len, format, arguments);
        va_end(arguments);
    }
    if (failing_here != NULL) { /* the hook has failed */
        print_plain(failing_here);
        print_plain(text);
        abort();
    }
    failing_here = text;
    if (atomic_flag_test_and_set(&failing)) {
        /* Another thread is dumping; its abort ends this one too. */
        for (;;)
            pause();
    }
    if (check_hook != NULL)
        check_hook(text);
    else
        print_plain(text);
    abort();
}
