/* admission.h - what a worker takes in when more is pushed than it can serve.
 *
 * A round is what had come when the round began; when that took about all receive buffers it goes
 * on with what comes next, for a quarter more than ADMISSION_ROUND_NS at most. So a round lasts
 * about as long as its requests wait. While every round lasts ADMISSION_ROUND_NS or more for
 * ADMISSION_BEHIND_NS - a burst or a stall of the machine is shorter - the worker falls behind:
 * from then on it takes as many messages in a round as it serves in ADMISSION_ROUND_NS, by what one
 * cost it in the rounds before, and refuses the other requests (503, `overloaded`). So what is
 * taken is delivered soon, and callers hear at once that they must slow down, instead of all of
 * them waiting ever longer. It is over after a round in which none was refused. Messages that cost
 * less than ADMISSION_WORTH_NS are not refused: for hardly less waiting, much less would be taken.
 *
 * Who asks little is not refused because others ask much: of each connection's messages in a round
 * so many are taken as all could have that asked, 1 to ADMISSION_SHARE; up to twice the number in
 * all.
 *
 * What waits in sockets is not seen: with very many connections that have a request each, a request
 * may wait for several rounds.
 *
 * Threads: the worker. Owns: nothing. */
#ifndef RINGPOST_CORE_ADMISSION_H
#define RINGPOST_CORE_ADMISSION_H

#include "core/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define ADMISSION_ROUND_NS (35 * NS_PER_MS)
#define ADMISSION_BEHIND_NS (100 * NS_PER_MS)
/* A round of fewer requests is never too long: one of them may be very large. Also the fewest that
 * are taken in a round. */
#define ADMISSION_REQUESTS_MIN 64
#define ADMISSION_SHARE 8
/* About what it costs to refuse one of many requests that came together; measured: 0.7 to 0.9 us.
 * One that comes alone costs 2.5 us, since receiving it and sending the answer do: that, twice, is
 * what a message must cost for refusals to be worth it. */
#define ADMISSION_REFUSAL_NS 1000
#define ADMISSION_WORTH_NS 5000

struct admission {
    /* The numbers above; tests take others. */
    uint64_t round_ns, behind_ns;
    uint64_t worth_ns; /* a message that costs less is not refused; not 0 */
    uint32_t requests_min;

    uint32_t round; /* its number */
    uint32_t left;  /* completions of the round that are still to be handled */
    uint64_t began_ns;
    uint32_t asked;       /* requests, in this round */
    uint32_t refused;     /* of them */
    uint32_t taken;       /* messages: a batch is one request and many messages */
    uint32_t connections; /* that asked */

    uint64_t long_since_ns; /* since when rounds have been too long; 0: they are not */
    bool behind;
    /* While behind: */
    uint64_t cost_ns; /* of a message, smoothed */
    uint32_t limit;   /* messages to be taken in a round */
    uint32_t share;   /* of a connection */
};

/* Of one connection. Zeroed it is fresh. */
struct admission_share {
    uint32_t round;
    uint32_t taken; /* messages in that round */
};

void admission_init(struct admission *admission);
/* A turn begins, with so many completions waiting; `more`: the kernel has others. */
void admission_turn(struct admission *admission, uint32_t waiting, bool more, uint64_t now_ns);
/* So many of them were handled. */
void admission_handled(struct admission *admission, uint32_t completions);
/* The worker had nothing to do for so long. */
void admission_slept(struct admission *admission, uint64_t slept_ns);
/* A connection asks to push. False: it is refused. */
bool admission_ask(struct admission *admission, struct admission_share *share);
/* A message of that connection was taken. */
void admission_count(struct admission *admission, struct admission_share *share);

#endif
