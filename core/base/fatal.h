/* fatal.h - the end of a node from which its environment has taken what it cannot do without, in
 * the middle of its life.
 *
 * Not for bugs (check.h), and not for the start, which says by itself why it failed. What was
 * logged before is written out, then one last line, then the process ends with status 1;
 * at_quick_exit handlers run, nothing else does.
 *
 * Threads: any but the log's. Of several that come, the first one speaks. */
#ifndef RINGPOST_CORE_BASE_FATAL_H
#define RINGPOST_CORE_BASE_FATAL_H

#include "core/base/log.h"

_Noreturn void fatal(const char *event, const struct log_field *fields, size_t count)
    __attribute__((cold));

/* Like log_event, and the fields should say what failed and the remedy. */
#define fatal_event(event, ...)                                                                    \
    do {                                                                                           \
        const struct log_field fatal_fields_[] = {__VA_ARGS__};                                    \
        fatal((event), fatal_fields_, sizeof(fatal_fields_) / sizeof(fatal_fields_[0]));           \
    } while (0)

#endif
