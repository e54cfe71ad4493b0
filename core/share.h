/* share.h - how a worker's room is divided among producers, and inside a producer's share among its
 * connections.
 *
 * A producer is whoever has a number of its own: an API key, a client id, or without these a source
 * address (gate.h). A worker keeps a share for each producer that asked within SHARE_IDLE_NS, and
 * counts in units what it takes of it: copies, and requests and messages by their weight in copies.
 * Units only divide; whether there is too much to do is told by time alone (admission.h). What a
 * producer was refused counts as if it had been taken, so who is refused much does not look small.
 *
 * The fair part is the largest amount that all shares could have of half of what the worker serves:
 * who asks for less leaves the rest to the others (max-min). A share that asks for less than the
 * fair part is light: it asks for little in all, however many connections it comes by. Light shares
 * together have at most half of what is served, so taking all that they ask for is never an
 * overload of its own, and a worker that falls behind gets back.
 *
 * What a share that is not light asks for is divided among its connections: while light producers
 * have been refused, or would be next (shares_press), the cycle of its connections (admission.h) is
 * as long as it takes until what all of them may ask for as connections that ask for little is no
 * more than the fair part. It is SHARE_CYCLE_MAX_NS at the most, so one that asks for less than
 * that keeps its place whatever the others do.
 *
 * With one producer nobody is light, and cycles have their usual length.
 *
 * Threads: the worker; workers do not look at each other's shares, each divides what it serves.
 * Owns: the shares, within itself. Limits: SHARES_MAX producers; those beyond them have one share
 * together (counted in `merged`). Nothing is allocated. */
#ifndef RINGPOST_CORE_SHARE_H
#define RINGPOST_CORE_SHARE_H

#include "core/base/clock.h"
#include "core/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* A request, and a message in it, cost about as much as so many copies of a fan-out: compare the
 * rows `unicast` and `group` of `./dev bench`. */
#define SHARE_REQUEST_UNITS 16
#define SHARE_MESSAGE_UNITS 16
/* The longest cycle of a connection; the usual one is ADMISSION_CYCLE_NS. */
#define SHARE_CYCLE_MAX_NS (1 * NS_PER_S)
/* A producer that has not asked for so long leaves. */
#define SHARE_IDLE_NS (1 * NS_PER_S)
/* The cycles of a share that is not light are long until nobody pressed for so long. */
#define SHARE_PRESS_NS (1 * NS_PER_S)

struct share {
    uint64_t producer; /* 0: the share of those that have none */
    uint64_t asked_ns; /* when it asked last; 0: nobody has it */
    uint64_t cycle_ns; /* of its connections */
    double demand;     /* units that it asks for in a cycle, */
    double served;     /* that it gets, */
    double requests;   /* and the requests in those; all smoothed */
    uint32_t asked;    /* requests, since the parts were determined; */
    uint32_t taken;    /* of those */
    uint32_t units;    /* likewise */
    uint32_t counted;  /* connections that have asked since `epoch` began, */
    uint32_t before;   /* and in the one before */
    uint16_t next;     /* place of the next one in the bucket, or free; 0: none */
    bool light;
};

struct shares {
    uint32_t max;      /* producers; SHARES_MAX; tests take others */
    uint32_t count;    /* producers now, one more for the share of those that have none */
    uint32_t epoch;    /* of counting connections; they last a second */
    uint32_t cycles;   /* of this epoch, so far */
    uint64_t since_ns; /* when the parts were determined */
    uint64_t press_ns; /* 0: nobody has pressed */
    uint64_t merged;   /* requests of producers that found no place */
    double fair;       /* units in a cycle */
    uint16_t free;     /* place; 0: none */
    uint16_t used;     /* places that have been in use: 1 to this */
    uint16_t buckets[SHARES_MAX];
    struct share at[SHARES_MAX + 1]; /* place 0: of those that have none */
};

void shares_init(struct shares *shares);
/* A turn begins: determines the parts when it is time. */
void shares_turn(struct shares *shares, uint64_t now_ns);
/* The share of a producer that asks, which gets one if it has none. `*place`: where it was found
 * last; 0 at first. */
struct share *shares_find(struct shares *shares, uint64_t producer, uint16_t *place,
                          uint64_t now_ns);
/* A message of the producer that had this place was published; so many copies were made. */
void shares_published(struct shares *shares, uint16_t place, uint32_t copies);
/* A message was refused although its connection asks for little. */
void shares_press(struct shares *shares, uint64_t now_ns);

/* Is there more than one producer? */
static inline bool shares_many(const struct shares *shares) {
    return shares->count > 1;
}
/* Does its producer ask for little in all, and has not asked for more since the parts were
 * determined? */
static inline bool share_is_light(const struct shares *shares, const struct share *share) {
    return shares_many(shares) && share->light && share->units < shares->fair;
}

#endif
