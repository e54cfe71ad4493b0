/* hub.h - from a sealed message to the sessions that it addresses, wherever they are.
 *
 * The endpoint that takes a message in finds the endpoints that hold any of its addresses
 * (holders.h), and mails it to each of them (DELIVER). A worker finds its own sessions; so a
 * session that is addressed in several ways is looked at once, in one moment, and gets the message
 * once. A port passes it on to whatever it speaks to. Each holder answers (ANSWER), and with the
 * last answer the producer has its own. No message goes back to the port that brought it.
 *
 * Order. Messages of one producer and one address must arrive in the order accepted: they go from
 * one endpoint to another through one queue, which keeps it.
 *
 * Nothing is taken in part: room in every queue concerned is looked for before anything is pushed,
 * copies are reserved where many are to be made (fanout.h), and no holder may be late (LATE_NS):
 * for what takes the prompt lane there (outbox.h), not with that lane, whatever waits beside it.
 *
 * A port that cannot take the message keeps nobody else from getting it (port_wait.h). Where nobody
 * here got it either, and its producer asked for client ids alone, that is CLUSTER_UNAVAILABLE:
 * whether somebody elsewhere would have is not known.
 *
 * A message that is to be acknowledged goes to the keepers of its ids instead (keeper.h), whoever
 * holds them, and where the node has a store (store.h), then to that. Ports are only asked how many
 * hold its ids elsewhere (DELIVER_COUNT): its producer is told that, and nothing else waits for it.
 *
 * Threads: the producer's endpoint for publish and answers. Owns: struct publish. Limits:
 * requests_max of mailbox.h for everything in flight. */
#ifndef RINGPOST_CORE_HUB_H
#define RINGPOST_CORE_HUB_H

#include "core/admission.h"
#include "core/base/list.h"
#include "core/message.h"
#include "core/stats.h"

struct endpoint;
struct worker;
struct mail;
struct publish;

/* The outcome: RESULT_QUEUED, STORED, ABSENT, DROPPED, OVERLOADED, CLUSTER_UNAVAILABLE,
 * STORAGE_UNAVAILABLE. */
typedef void publish_done(struct endpoint *endpoint, struct publish *publish,
                          enum result_word result, uint32_t recipients);

/* A message on its way, from the endpoint that took it in; it lives until `done` has returned. */
struct publish {
    uint32_t slot; /* in endpoint->publishes, from 1; while free: the next free one */
    uint32_t generation;
    publish_done *done;
    uint32_t answers_due;
    uint32_t answers;
    uint16_t ports_due; /* kept: answers of ports that only count (DELIVER_COUNT) */
    bool decided;       /* kept: but for these it is over */
    uint32_t recipients;
    uint32_t missing; /* sessions of workers that had no memory for it */
    uint8_t class;    /* of the message */
    bool kept;        /* by the keepers of its ids */
    bool only_ids;    /* addressed to client ids alone */
    bool found;       /* an answer knew of a session */
    bool refused;     /* an answer was: overloaded; or it went nowhere for want of room */
    bool starved;     /* copies were dropped for want of memory */
    uint8_t standing; /* enum standing, of its producer; set before hub_publish, as is: */
    bool prompt;      /* it asks for little, and this is all of it, not one of a batch */
    bool unavailable; /* a port could not take it, or did not answer in time (port_wait.h) */
    bool maybe;       /* then: it had been handed over, so others may have got it all the same */
    bool unsure;      /* a port does not know yet who holds what */
    struct port_wait *port_wait; /* NULL: it waits for no port */
    /* Of one to be acknowledged (keeper.h): a hold, and the keepers, where it has several; which of
     * them have taken it, or are still to be told what was decided. */
    struct message *message;
    uint64_t keepers;
    struct list link;          /* in endpoint->storing.order, or endpoint->undecided */
    bool storing;              /* its message is at the store (store.h) */
    bool unstored;             /* which could not take it */
    uint16_t full;             /* from 1: the first of its ids whose backlog is full; 0: none is */
    uint64_t storing_until_ns; /* then it is given up */
    /* The producer's own: */
    void *producer;
    void *request;
    uint32_t index;
};

/* A publish to fill in (done, producer's members); NULL: too many in flight (counted). For
 * producers that ask for little a part of requests_max is kept. */
struct publish *publish_get(struct endpoint *endpoint, enum standing standing);
/* Gives back one that was not published. */
void publish_put(struct endpoint *endpoint, struct publish *publish);
/* Sends the sealed message on its way; takes over the caller's hold. `done` is called exactly once,
 * now or later. */
void hub_publish(struct endpoint *endpoint, struct publish *publish, struct message *message);

/* What names the publish in a mail, and the publish that it names; NULL: it is over. */
static inline uint64_t publish_token(const struct publish *publish) {
    return (uint64_t)publish->generation << 32 | publish->slot;
}
struct publish *publish_of(struct endpoint *endpoint, uint64_t token);
/* All keepers of its message know that it was taken, or not (keeper_decide). */
void hub_decided(struct endpoint *endpoint, struct publish *publish);
/* So many answers of ports will not come. */
void hub_give_up(struct endpoint *endpoint, struct publish *publish, unsigned answers);

/* Answers a DELIVER that came as a mail, or from this worker itself (`from` is its own index). */
void hub_answer(struct endpoint *endpoint, const struct mail *request, uint32_t recipients,
                unsigned flags, bool unicast);

/* on_deliver of a worker. */
void hub_on_deliver(struct endpoint *endpoint, const struct mail *mail);
void hub_on_answer(struct endpoint *endpoint, const struct mail *mail);

#endif
