/* admission.h - how many requests to push a worker takes in when more come than it can serve.
 *
 * A round is what had come when the round began: completions that were gathered and not handled.
 * The requests of one round waited together, so their number is the length of the worker's queue.
 * While it stays at ADMISSION_ROUND_MAX or more for ADMISSION_BEHIND_NS - a burst or a stall of the
 * machine is shorter - the worker is behind: it takes that many in each round and refuses the rest
 * (503, `overloaded`), which costs a small part of serving them. So what is taken is delivered
 * soon, and callers hear at once that they must slow down, instead of all of them waiting ever
 * longer. It ends with a round of less than half that many.
 *
 * Who asks little is not refused because others ask much: ADMISSION_SHARE requests of a connection
 * in a round are taken, up to twice as many in all.
 *
 * A batch is one request; its messages are bounded by --max-body. Threads: the worker. Owns:
 * nothing. */
#ifndef RINGPOST_CORE_ADMISSION_H
#define RINGPOST_CORE_ADMISSION_H

#include "core/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define ADMISSION_ROUND_MAX 4096
#define ADMISSION_BEHIND_NS (100 * NS_PER_MS)
#define ADMISSION_SHARE 8

struct admission {
    uint32_t round_max; /* ADMISSION_ROUND_MAX; tests take less */
    uint32_t round;     /* its number */
    uint32_t left;      /* completions of the round that are still to be handled */
    uint32_t taken, refused;
    uint64_t long_since_ns; /* since when rounds have been too long; 0: they are not */
    bool behind;
};

/* Of one connection. Zeroed it is fresh. */
struct admission_share {
    uint32_t round;
    uint32_t taken; /* in that round */
};

void admission_init(struct admission *admission);
/* A turn begins, with so many completions waiting. */
void admission_turn(struct admission *admission, uint32_t waiting, uint64_t now_ns);
/* So many of them were handled. */
void admission_handled(struct admission *admission, uint32_t completions);
/* A connection asks to push. False: it is refused. */
bool admission_take(struct admission *admission, struct admission_share *share);

#endif
