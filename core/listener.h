/* listener.h - a listening socket of a worker, one of a SO_REUSEPORT group.
 *
 * While the node takes connections, ACCEPTS_MAX accepts are armed, each for one of them, and those
 * that are through are armed again once in a turn. So however many connect at once, a turn takes
 * only so many of them, and whoever was there before is read in between; the others wait in the
 * backlog, and when that is full, the kernel makes their peers try again.
 *
 * Where what has come piles up all the same (ACCEPT_LATE_NS), a listener takes ACCEPTS_LATE at most
 * in every ACCEPT_PAUSE_NS: new connections get on, and so do the old ones. Each listener has its
 * own, so a storm on one does not keep anybody out of another. Where connections are handed over to
 * other workers, it counts when any of them is late, and the pause is longer: all workers may hand
 * over to that one.
 *
 * After an accept that failed for want of descriptors one at a time is armed, a little later, until
 * one is through.
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
    int fd;             /* -1: closed */
    bool open;          /* takes connections */
    bool failed;        /* its last accept, for want of descriptors */
    uint32_t armed;     /* its accepts that are armed: a bit each */
    uint32_t index;     /* in config.listeners */
    uint64_t armed_ns;  /* when any was armed last */
    struct timer retry; /* after one that failed */
    const struct protocol *protocol;
};

/* The listening sockets of a worker. */
struct listeners {
    struct listener at[LISTENERS_MAX];
    unsigned count;
    bool put_off;           /* accepts, in the last turn */
    struct balance balance; /* of what they accept */
};

/* The next one, with its place in config.listeners. */
void listener_init(struct worker *worker, uint32_t index, int fd);
/* Takes connections from the next listeners_work on. */
void listener_start(struct listener *listener);
/* Accepts no more; its last completions are still to come. */
void listener_stop(struct worker *worker, struct listener *listener);
/* Have all of them ended; those of `api`, too? */
bool listeners_stopped(const struct worker *worker, bool api);
/* Called by the loop, once in a turn: arms what is to be armed. */
void listeners_work(struct worker *worker);
void listener_on_accept(struct worker *worker, const struct completion *completion);

#endif
