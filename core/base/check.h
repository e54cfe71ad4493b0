/* check.h - the alarm for our own bugs.
 *
 * A broken invariant is a bug in ringpost, never a peer's fault: print what was expected and where,
 * let the flight recorder speak, abort. Checks are always compiled in; they cost a predictable
 * branch. Never use a check for anything that input or the environment can cause.
 *
 * Threads: any. Owns: one process-wide hook. */
#ifndef RINGPOST_CORE_BASE_CHECK_H
#define RINGPOST_CORE_BASE_CHECK_H

/* Called once, on the failing thread, before abort: prints what was expected, and whatever helps.
 * Must not allocate. NULL: what was expected is printed plainly. */
extern void (*check_hook)(const char *what);

_Noreturn void check_fail(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            check_fail(__FILE__, __LINE__, #condition, "" __VA_ARGS__);                            \
    } while (0)

/* The enclosing structure of a member that is embedded in it. */
#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))

#endif
