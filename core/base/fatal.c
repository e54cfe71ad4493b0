#include "core/base/fatal.h"

#include <stdlib.h>
#include <unistd.h>

void fatal(const char *event, const struct log_field *fields, size_t count) {
    static atomic_flag ending = ATOMIC_FLAG_INIT;
    static struct log_site site;
    if (atomic_flag_test_and_set(&ending)) {
        /* The other one's exit ends this thread too. */
        for (;;)
            pause();
    }
    log_write(&site, LOG_ERROR, event, fields, count);
    log_stop();
    quick_exit(1);
}
