/* relay.h - work of a protocol that is carried out on another worker, or by a port, where the thing
 * is that it concerns: it goes there, and comes back when it is done, which may be much later.
 *
 *   owner: relay_init, relay_room?, relay_send(to) ---- RELAY ----> there: relay->run
 *   owner: relay->run <---- RELAY ---- there, now or later: relay_send(owner)
 *
 * The relay is embedded in what the work is about, and is wherever it was sent last: nobody else
 * touches it, nor what it stands for. It is no request that an answer is awaited for (mailbox.h):
 * what finds no room in the mailbox waits in a list, behind what waits there already, and any
 * number may be away for any time. Whoever begins something looks for room first, and refuses.
 *
 * To its own worker it goes at once: `run` is called before relay_send returns. So one code path
 * serves what is here and what is elsewhere.
 *
 * A port gets it by port_type.relay instead, where `run` says which of its protocol's steps it is,
 * and sends it by relay_pass; a port may also be the owner.
 *
 * Threads: an endpoint's own functions; `run` on the worker that the relay arrives at. Owns:
 * nothing. Limits: those of what it is embedded in. The end of the node waits until all are back.
 */
#ifndef RINGPOST_CORE_RELAY_H
#define RINGPOST_CORE_RELAY_H

#include "core/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct mail;
struct relay;
struct worker;

struct relay {
    struct list link; /* in relays->waiting */
    void (*run)(struct worker *worker, struct relay *relay);
    uint16_t owner, to; /* endpoints */
};

struct relays {
    struct list waiting; /* for room in a mailbox, the oldest first */
    uint32_t away;       /* of this endpoint, with others */
};

void relays_init(struct relays *relays);
static inline void relay_init(struct relay *relay, unsigned owner) {
    list_init(&relay->link);
    relay->owner = (uint16_t)owner;
}
/* Is there room for one more to that endpoint? False is counted. */
bool relay_room(struct endpoint *endpoint, unsigned to);
/* Goes there; `run` says what is done with it. The relay may be gone when this returns. */
void relay_send(struct worker *worker, struct relay *relay, unsigned to,
                void (*run)(struct worker *worker, struct relay *relay));
/* The same from any endpoint, and to another one. */
void relay_pass(struct endpoint *endpoint, struct relay *relay, unsigned to,
                void (*run)(struct worker *worker, struct relay *relay));
void relay_on_mail(struct endpoint *endpoint, const struct mail *mail);
/* Sends what waited for room. */
void relays_work(struct endpoint *endpoint);
static inline bool relays_wait(const struct relays *relays) {
    return !list_empty(&relays->waiting);
}

#endif
