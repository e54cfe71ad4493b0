/* reply.h - the memory of replies that their peers have not taken: answers, control lines.
 *
 * They are charged within --memory. While that is full, each worker has REPLIES_BEYOND_BYTES beyond
 * it for them, whatever the number of connections, so that who reads still gets its answers:
 *
 *   all of it    a connection's first short replies (REPLY_SHORT_BYTES)
 *   half of it   the others
 *   from a quarter on it is pressed: a connection with more than REPLY_SHORT_BYTES unsent is not
 *                read, and peers that have taken nothing for UNREAD_NS are closed (`overloaded`)
 *
 * While the memory is full, those are closed whose unread replies are more than short, or whose
 * connection is ending. What does not fit ends its connection. The answer to a message that was
 * taken always fits: it was charged with the message (gate.c, api_batch.c).
 *
 * The operator's reserve (chain.h) is watched here, too: while more than half of it is in use,
 * peers that have left an answer out of it untouched for UNREAD_NS are closed.
 *
 * Threads: the worker's. Limits: REPLIES_BEYOND_BYTES for each worker. */
#ifndef RINGPOST_CORE_REPLY_H
#define RINGPOST_CORE_REPLY_H

#include "core/limits.h"
#include "core/timer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;
struct connection;

/* worker->replies. */
struct replies {
    uint64_t beyond_bytes; /* of replies, beyond --memory */
    uint64_t beyond_max;   /* REPLIES_BEYOND_BYTES; tests take others, as: */
    uint32_t unread_ms;    /* UNREAD_NS */
    uint32_t slot;         /* to be looked at next, for who does not read */
    struct timer timer;
};

void replies_init(struct replies *replies);
/* Takes so many bytes for a reply to a peer that has `unsent` bytes of replies waiting; what
 * `*beyond` says is handed back with them. False: there is no room, nothing was taken. */
bool reply_take(struct worker *worker, size_t unsent, size_t bytes, bool *beyond);
void reply_give(struct worker *worker, size_t bytes, bool beyond);
/* The same with a block of memory; NULL: no room. */
void *reply_get(struct worker *worker, size_t unsent, size_t bytes, bool *beyond);
void reply_put(struct worker *worker, void *at, size_t bytes, bool beyond);
static inline bool replies_press(const struct replies *replies) {
    return replies->beyond_bytes > replies->beyond_max / 4;
}
/* How many bytes of replies may wait for a peer that is still read. */
uint32_t replies_unsent_max(const struct worker *worker);
/* How many do; messages are none. */
uint32_t replies_unsent(const struct connection *connection);
/* Looks whether so many wait; then it is not read until half of them have left. */
bool replies_throttle(const struct worker *worker, struct connection *connection);
/* Ends the turn: sees that who does not read is looked for, if need be. */
void replies_look(struct worker *worker);

#endif
