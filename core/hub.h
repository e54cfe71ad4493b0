/* hub.h - from a sealed message to the sessions that it addresses, wherever they are.
 *
 * One address with one home (a client id, a group), or several that share a home, go the short way:
 * PUBLISH to the home, DELIVER to each holder, ANSWER to the producer. A broadcast, and addresses
 * of several homes, go the wide way: DELIVER to every worker, which finds its own sessions; so a
 * session that is addressed in several ways is looked at once, in one moment, and gets the message
 * once.
 *
 * Order. Messages of one producer and one address must arrive in the order accepted. Each way keeps
 * order by itself, since queues do; the two ways do not keep it between each other. So a producer
 * has a lane: while a message is under way on one way, one that needs the other way waits in the
 * lane, and so do all behind it. Broadcasts have an address of their own and never wait.
 *
 * Nothing is taken in part: room in every queue concerned is looked for before anything is pushed.
 *
 * Threads: the producer's worker for publish and answers. Owns: struct publish. Limits:
 * requests_max of mailbox.h for everything in flight or waiting in lanes. */
#ifndef RINGPOST_CORE_HUB_H
#define RINGPOST_CORE_HUB_H

#include "core/base/list.h"
#include "core/message.h"
#include "core/stats.h"

struct worker;
struct mail;
struct publish;

/* The order of one producer; embedded in it, zeroed at its start by lane_init. It must not be freed
 * before all its publishes are done. */
struct lane {
    struct list waiting;   /* publishes held back */
    uint32_t narrow, wide; /* under way on each way */
    bool moving;           /* what waited is being sent right now */
};

static inline void lane_init(struct lane *lane) {
    list_init(&lane->waiting);
    lane->narrow = lane->wide = 0;
    lane->moving = false;
}

/* The outcome: RESULT_QUEUED, ABSENT, DROPPED, OVERLOADED. */
typedef void publish_done(struct worker *worker, struct publish *publish, enum result_word result,
                          uint32_t recipients);

/* A message on its way, from the worker that took it in; it lives until `done` has returned. */
struct publish {
    struct list link; /* in lane->waiting */
    uint32_t slot;    /* in worker->publishes, from 1; while free: the next free one */
    uint32_t generation;
    struct message *message; /* one hold while it waits */
    struct lane *lane;
    publish_done *done;
    uint32_t answers_due; /* 0: the first answer says how many */
    uint32_t answers;
    uint32_t recipients;
    uint8_t class; /* of the message */
    bool wide;     /* goes the wide way */
    bool apart;    /* a broadcast: the lane does not hold it back */
    bool only_ids; /* addressed to client ids alone */
    bool found;    /* an answer knew of a session */
    bool refused;  /* an answer was: overloaded */
    /* The producer's own: */
    void *producer;
    void *request;
    uint32_t index;
    void *claim; /* of the idempotency table; NULL: none */
};

/* A publish to fill in (lane, done, producer's members); NULL: too many in flight (counted). */
struct publish *publish_get(struct worker *worker);
/* Gives back one that was not published. */
void publish_put(struct worker *worker, struct publish *publish);
/* Sends the sealed message on its way; takes over the caller's hold. `done` is called exactly once,
 * now or later. */
void hub_publish(struct worker *worker, struct publish *publish, struct message *message);

/* Answers a request that came as a mail, or from this worker itself (`from` is its own index). */
void hub_answer(struct worker *worker, const struct mail *request, uint32_t recipients,
                uint32_t answers_due, unsigned flags, bool unicast);

void hub_on_publish(struct worker *worker, const struct mail *mail);
void hub_on_deliver(struct worker *worker, const struct mail *mail);
void hub_on_answer(struct worker *worker, const struct mail *mail);

#endif
