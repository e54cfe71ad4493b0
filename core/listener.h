/* listener.h - a listening socket of a worker, one of a SO_REUSEPORT group.
 *
 * A multishot accept is armed while the node takes connections. After one that failed for want of
 * descriptors it is armed again a little later; the clients wait in the backlog.
 *
 * Threads: the worker. Owns: nothing; the descriptor is the server's. */
#ifndef RINGPOST_CORE_LISTENER_H
#define RINGPOST_CORE_LISTENER_H

#include "core/balance.h"
#include "core/config.h"
#include "core/timer.h"

struct completion;
struct worker;

struct listener {
    enum listener_kind kind;
    int fd; /* -1: closed */
    bool armed;
    bool closing;       /* accepts no more */
    uint32_t index;     /* in config.listeners */
    struct timer retry; /* accept failed for want of descriptors */
    const struct protocol *protocol;
};

/* The listening sockets of a worker. */
struct listeners {
    struct listener at[LISTENERS_MAX];
    unsigned count;
    struct balance balance; /* of what they accept */
};

/* The next one, with its place in config.listeners. */
void listener_init(struct worker *worker, uint32_t index, int fd);
void listener_arm(struct worker *worker, struct listener *listener);
/* Accepts no more; its last completion is still to come. */
void listener_stop(struct worker *worker, struct listener *listener);
/* Have all of them ended; those of `api`, too? */
bool listeners_stopped(const struct worker *worker, bool api);
/* Called by the loop. */
void listener_on_accept(struct worker *worker, const struct completion *completion);

#endif
