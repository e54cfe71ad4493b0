/* admission.h - what a worker takes in when more is pushed than can be served.
 *
 * The signal is time. Of each connection that brings messages it is known how long bytes wait in
 * its socket before they are read (struct intake): while the kernel says that more is there, the
 * worker asks how much, and looks when the last of it has been read. No message is assumed to cost
 * anything.
 *
 * A request that waited longer than ADMISSION_LATE_NS comes late. When requests have come late for
 * ADMISSION_PATIENCE_NS - a burst, or a CPU that was away, is over before - more is pushed than is
 * served. Then a part is refused (503, `overloaded`), which costs less than serving it, so that
 * what is taken is delivered soon, and producers hear at once that they must slow down. But
 * refusing costs time, too: a worker gives it ADMISSION_SHARE_PERCENT of its time, and what remains
 * late is taken all the same. So however dear refusals are, the rest of the time goes into
 * messages.
 *
 * Who asks for little is not refused because others ask for much. That has two levels:
 *
 * - Producers. Where there are several, each has a share (share.h). What a producer asks for that
 *   stays below the fair part is taken, by whatever connections it comes, and however late.
 * - Connections. Of each connection whose socket is read in time, ADMISSION_MODEST requests in a
 *   cycle are taken, so that a lone connection keeps its place beside a flood with the same key. A
 *   cycle is ADMISSION_CYCLE_NS; where a producer asks for more than its part and others were
 *   refused for it, it is longer, so that all its connections together get no more by this than
 *   the producer's part.
 *
 * With one producer there is the second level alone. A port (port.h) takes in on a thread of its
 * own and is its only producer.
 *
 * What a worker is given to deliver is bounded by others: fanout.h, and LATE_NS in hub.c.
 *
 * Threads: the worker. Owns: nothing. */
#ifndef RINGPOST_CORE_ADMISSION_H
#define RINGPOST_CORE_ADMISSION_H

#include "core/base/clock.h"
#include "core/limits.h"
#include "core/share.h"

#include <stdbool.h>
#include <stdint.h>

#define ADMISSION_LATE_NS (20 * NS_PER_MS)
#define ADMISSION_PATIENCE_NS (100 * NS_PER_MS)
/* Without a late one for so long it begins anew, unless the worker sheds load. */
#define ADMISSION_GAP_NS (20 * NS_PER_MS)
#define ADMISSION_SHARE_PERCENT 33
/* Time for refusals that a worker without any may save up. */
#define ADMISSION_SAVED_NS (4 * NS_PER_MS)
#define ADMISSION_CYCLE_NS (40 * NS_PER_MS)
#define ADMISSION_MODEST 2
/* The worker sheds load until it has refused nothing for so long. */
#define ADMISSION_OVER_NS (100 * NS_PER_MS)
/* A socket is asked at most so often. */
#define INTAKE_ASK_NS (5 * NS_PER_MS)

/* How little a request's producer asks for: who comes first where room is short (hub.h). */
enum standing {
    ASKS_MUCH,
    ASKS_LITTLE_DIVIDED, /* the connection asks for little; its producer, one of several, does not
                          */
    ASKS_LITTLE,         /* the connection does, and there is no other producer */
    ASKS_LITTLE_IN_ALL   /* the producer does, beside others */
};

struct admission {
    /* The numbers above; tests take others. */
    uint64_t late_ns, lag_ns, patience_ns;
    uint32_t share_percent;
    uint32_t modest; /* requests */

    uint64_t now_ns;     /* of the last turn */
    int64_t time_ns;     /* for refusals; below 0: more was spent than there was */
    uint64_t since_ns;   /* since when requests have come late, */
    uint64_t seen_ns;    /* and when the last one did */
    uint64_t refused_ns; /* when something was refused last */
    bool shedding;       /* it refuses a part */
    struct shares shares;
};

/* How long input waits in the socket of one connection. Zeroed it is fresh. */
struct intake {
    uint64_t asked_ns; /* when the bytes that `ahead` counts were there; 0: nothing is looked for */
    uint64_t next_ns;  /* it is not asked before */
    uint64_t late_ns;  /* what was found last */
    uint64_t cycle_ns; /* the beginning of the cycle that `taken` counts */
    uint32_t ahead;    /* bytes that were there and have not been read yet */
    uint32_t taken;    /* requests */
    uint32_t epoch;    /* of the share's, that the connection was last counted in */
    uint16_t place;    /* of its producer's share */
    bool light;        /* its producer asked for little in all */
};

void admission_init(struct admission *admission);
/* A turn begins. */
void admission_turn(struct admission *admission, uint64_t now_ns);
/* A connection asks to push, for the producer with that number (0: none). `lag_ns`: how late the
 * worker itself is with what it delivers, which may be LATE_NS, as for other workers. False: it is
 * to be refused, and admission_refused is called with the time that took. */
bool admission_ask(struct admission *admission, struct intake *intake, uint64_t producer,
                   uint64_t lag_ns, enum standing *standing);
void admission_refused(struct admission *admission, uint64_t cost_ns);

/* Has its connection asked for so much that it is read, and answered, behind others? `ahead`:
 * requests that are about to come. */
static inline bool intake_asks_much(const struct intake *intake, const struct admission *admission,
                                    uint32_t ahead) {
    return !intake->light && intake->taken + ahead > admission->modest;
}
/* Bytes of the connection were read; `more`: the kernel says that others are there. */
void intake_received(struct intake *intake, uint32_t bytes, bool more, uint64_t now_ns);
/* Should the socket be asked how many? The answer goes to intake_told. */
bool intake_asks(const struct intake *intake, bool more, uint64_t now_ns);
void intake_told(struct intake *intake, uint32_t bytes, uint64_t now_ns);
/* How long the bytes that are being read have waited, as far as is known. */
uint64_t intake_late_ns(const struct intake *intake, uint64_t now_ns);

#endif
