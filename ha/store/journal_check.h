/* journal_check.h - looks at a store that nobody has open, and saves what is whole of a damaged
 * one: `ringpost store check` and `ringpost store repair`.
 *
 * Threads: the caller's. Owns nothing. */
#ifndef RINGPOST_HA_STORE_JOURNAL_CHECK_H
#define RINGPOST_HA_STORE_JOURNAL_CHECK_H

#include "ha/store/journal.h"

enum journal_verdict {
    JOURNAL_SOUND,   /* a start would work; perhaps it cuts off a torn end */
    JOURNAL_DAMAGED, /* a start would be refused */
    JOURNAL_UNKNOWN  /* it could not be looked at, or not be repaired: why is in the problem */
};

/* One line of the report, without a line break. */
typedef void journal_say(void *argument, const char *line);

/* Reads everything and changes nothing: reports each segment, its records by kind, a torn end, and
 * whatever is damaged. */
enum journal_verdict journal_check(const char *directory, journal_say *say, void *argument,
                                   struct journal_problem *problem);

/* Makes a store that can be opened, of all records that are whole, before and behind what is
 * damaged, in their order with new sequences; and reports what is lost. Of each segment that is
 * damaged a copy stays beside it, NAME.damaged. A sound store is left as it is. Needs room for a
 * copy of all records. Until it is done the old segments are what counts, so it may be interrupted
 * and run again. JOURNAL_SOUND: it can be opened now. */
enum journal_verdict journal_repair(const char *directory, journal_say *say, void *argument,
                                    struct journal_problem *problem);

#endif
