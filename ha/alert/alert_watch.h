/* alert_watch.h - when there is something to tell: what is lost for longer than --alert-after, and
 * what is back.
 *
 * A subject is something that the node has to do without at times: Redis, the store, memory below
 * its ceiling. Whoever looks says of each whether it is there. One that is lost is told once, when
 * it has been lost for `after`; times in which it was there for less than `steady` count as lost,
 * so that one that flaps is told as one loss and not as many. It is back when it has been there for
 * `steady`, and that is told if the loss was.
 *
 * No more than ALERTS_PER_HOUR notices leave in any hour. Further ones are counted, and when there
 * is room again one notice (a digest) says how many there were, and what is lost at that moment: so
 * the last word of a spell is never missing.
 *
 * Threads: one. Owns: nothing; words are constants. Units: ns of the monotonic clock, ms of the
 * wall's. */
#ifndef RINGPOST_HA_ALERT_ALERT_WATCH_H
#define RINGPOST_HA_ALERT_ALERT_WATCH_H

#include "core/base/clock.h"
#include "core/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define ALERTS_PER_HOUR 12
#define ALERT_HOUR_NS (3600 * NS_PER_S)
#define ALERT_STEADY_NS (3 * NS_PER_S) /* or `after`, if that is less */

/* Each port, and then: */
#define ALERT_SUBJECT_STORE PORTS_MAX
#define ALERT_SUBJECT_MEMORY (PORTS_MAX + 1)
#define ALERT_SUBJECTS (PORTS_MAX + 2)

enum alert_state { ALERT_LOST, ALERT_BACK, ALERT_DIGEST, ALERT_TEST };

struct alert_notice {
    enum alert_state state;
    const char *what;       /* "redis"; of a digest and a test the word for it */
    uint64_t since_wall_ms; /* it was lost then; of a digest, the first that it stands for */
    uint64_t at_wall_ms;    /* what is told happened: lost for so long, or back */
    uint64_t lasted_ms;     /* it was lost for so long, so far */
    uint32_t times;         /* so often within that */
    uint32_t suppressed;    /* of a digest: so many notices were not sent */
    unsigned lost_count;    /* of a digest: what is lost now */
    const char *lost[ALERT_SUBJECTS];
};

struct alert_subject {
    const char *what;
    bool is_lost;     /* when it was seen last */
    uint64_t lost_ns; /* since then, with times that were not steady; 0: it is not */
    uint64_t lost_wall_ms;
    uint64_t there_ns; /* it is there again since then; 0: it is not */
    uint64_t there_wall_ms;
    uint32_t times;
    bool told;
};

struct alert_watch {
    uint64_t after_ns, steady_ns;
    struct alert_subject subjects[ALERT_SUBJECTS];
    uint64_t left_ns[ALERTS_PER_HOUR]; /* when notices left, round and round */
    uint64_t left_count;
    uint32_t suppressed;         /* since the last digest */
    uint64_t suppressed_wall_ms; /* the first of them */
    uint64_t suppressed_total;
};

void alert_watch_init(struct alert_watch *watch, uint64_t after_ns);
/* `number` is of a subject; `what` is a word while it is lost, NULL while it is there. */
void alert_watch_see(struct alert_watch *watch, unsigned number, const char *what, uint64_t now_ns,
                     uint64_t wall_ms);
/* What is to be told now, one after the other; false: nothing more. */
bool alert_watch_next(struct alert_watch *watch, struct alert_notice *notice, uint64_t now_ns,
                      uint64_t wall_ms);

#endif
