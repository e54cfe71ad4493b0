/* journal_check_parts.h - what looking at a store and repairing it have in common.
 *
 * Threads: the caller's. */
#ifndef RINGPOST_HA_STORE_JOURNAL_CHECK_PARTS_H
#define RINGPOST_HA_STORE_JOURNAL_CHECK_PARTS_H

#include "ha/store/journal_check.h"
#include "ha/store/store_lock.h"
#include "ha/store/survey.h"

struct check {
    journal_say *say;
    void *argument;
    int folder, lock;
    struct survey survey;
    char *room; /* for a segment */
    size_t room_bytes;
    uint64_t records;
};

/* Locks the store and looks at its files. False: why is in `problem`; nothing is open. */
bool check_open(struct check *check, const char *directory, bool writes,
                struct journal_problem *problem);
void check_close(struct check *check);
/* Reports all of it. False: it is damaged. */
bool check_all(struct check *check);
void check_say(const struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
