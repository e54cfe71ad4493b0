/* ready.h - sessions whose peers hear nothing until other hosts know where they are.
 *
 * With a port that tells other hosts (presence.h), a client that has its welcome may take it that
 * whoever pushes now reaches it, from whichever host. So what is written to a new session, from its
 * welcome on, stays in its outbox until its names are known there: it is held. Messages queue
 * behind the welcome meanwhile, and none is missed. After READY_NS at the latest the session is let
 * go all the same, and at once while the port says that nobody waits (presence_ready).
 *
 * Threads: the worker's. Owns: one struct for each session that is held, charged to the worker.
 * Limits: memory; a session that finds none is not held. */
#ifndef RINGPOST_CORE_READY_H
#define RINGPOST_CORE_READY_H

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/table.h"
#include "core/pool.h"
#include "core/timer.h"

struct endpoint;
struct session;
struct worker;

#define READY_NS NS_PER_S

struct readies {
    struct list order;   /* struct held, the oldest first */
    struct table places; /* the same, by session */
    struct pool pool;
    struct timer timer; /* armed while there are any, and perhaps a while longer */
};

void readies_init(struct readies *readies);
/* None may be left. */
void readies_fini(struct readies *readies);
/* The session has its names and its welcome is written: holds it, if it has to wait, unless the
 * welcome found no memory and that was its end. */
void ready_begin(struct worker *worker, struct session *session);
/* It ends. */
void ready_end(struct worker *worker, struct session *session);
/* Lets those go that are ready by now. */
void readies_look(struct worker *worker);

#endif
