/* crash.h - the last log line of a node that dies of a bug: a failed check, or a signal that means
 * one (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT).
 *
 * The line, event `crashed`, has the format of all others, the cause, the thread, and what the
 * thread's flight recorder holds. Then the signal does what it would have done, so a core file is
 * written where the system is set up for it. Everything here may run in a signal handler, on a
 * stack of its own, so the overflow of a stack is told too.
 *
 * Under a sanitizer only SIGABRT is taken: the rest it reports better itself.
 *
 * Threads: any; of several that crash the first one speaks. Owns: one alternate stack a thread. */
#ifndef RINGPOST_CORE_BASE_CRASH_H
#define RINGPOST_CORE_BASE_CRASH_H

#include "core/base/builder.h"

/* Takes the signals and the hook of check.h. `recall` writes what the calling thread did last, the
 * newest first, and may be called in a signal handler. */
void crash_watch(void (*recall)(struct builder *out));
/* Gives the calling thread its stack for it and its name in the line; taken back before it ends. */
void crash_thread_begin(const char *name);
void crash_thread_end(void);

#endif
