/* trouble.h - what went wrong with the files of a store, in a sentence with what to do about it.
 *
 * Threads: any. */
#ifndef RINGPOST_HA_STORE_TROUBLE_H
#define RINGPOST_HA_STORE_TROUBLE_H

#include "ha/store/journal.h"

void trouble_set(struct journal_problem *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "DIRECTORY: cannot WHAT: REASON; REMEDY" for a failed system call. */
void trouble_errno(struct journal_problem *problem, const char *directory, const char *what,
                   int error);
const char *trouble_remedy(int error);
/* Such a failure in words; ENOENT behind an open file or directory means that it was removed. */
const char *trouble_reason(int error);

/* For paths in sentences, which could be longer than these. */
#define TROUBLE_PATH_MAX 300

#endif
