/* delivery.h - from a message that has come to this worker to the outboxes of its sessions.
 *
 * A message for one id or group with few sessions here is delivered at once, past the messages on
 * their way to many sessions (fanout.h), unless one of those has the same address. Everything else
 * joins them.
 *
 * Every message that is handed over here is answered once (hub_answer): with how many sessions took
 * it.
 *
 * Threads: the worker. Owns: nothing. */
#ifndef RINGPOST_CORE_DELIVERY_H
#define RINGPOST_CORE_DELIVERY_H

#include "core/outbox.h"
#include "core/pool.h"
#include "core/queue.h"
#include "core/queue_age.h"

struct message;
struct session;

/* Whether what a worker delivers is late. */
struct lateness {
    uint64_t since_ns; /* 0: it is in time */
    uint64_t seen_ns;  /* when it was late last */
    bool lasts;        /* it is no burst */
};

/* What a worker knows of its deliveries. */
struct delivery {
    struct pool parcels;
    uint64_t late_ns, late_patience_ns; /* LATE_NS, LATE_PATIENCE_NS; tests take others */
    uint64_t held_late_ns;              /* HELD_LATE_NS; as these */
    struct lateness late, prompt_late, fanout_late;
    bool excepts_rooms;   /* what is excepted now is groups and sessions' own names */
    uint64_t mail_age_ns; /* of the oldest message that came by mail in this turn */
    struct queue_age queue_age;
};

/* Flags of a request (mail.flag of DELIVER). */
enum {
    DELIVER_PROMPT = 1,  /* its producer asks for little: what is delivered at once has that lane */
    DELIVER_RESERVE = 2, /* to one of several keepers: it only reserves a place (keeper.h) */
    DELIVER_COUNT = 4    /* to a port: it only says how many hold the ids elsewhere */
};

/* Answer flags (mail.flag). */
enum {
    /* There was no memory, and nobody got it from here: `number` is how many miss it. */
    ANSWER_OVERLOADED = 1,
    ANSWER_FOUND = 2,       /* at least one session was addressed, whatever became of its copy */
    ANSWER_STARVED = 4,     /* a copy was made and dropped, since there was no memory to keep it */
    ANSWER_UNAVAILABLE = 8, /* a port cannot reach what it speaks to: nobody knows who missed it */
    /* With UNAVAILABLE: some may have got it; without: nobody else is known of yet. */
    ANSWER_UNSURE = 32,
    /* With OVERLOADED, of a keeper: a client id has as much as it may have; `number`: which. */
    ANSWER_BACKLOG_FULL = 16
};

/* Hands the message to every session here that it addresses, now or later, and answers `request`
 * (from, token; number: what fanout_reserve was asked for, to be given back; flag). Takes over one
 * hold. */
void deliver(struct worker *worker, struct message *message, const struct mail *request);

/* Puts one copy into the outbox of a session; one that is too slow is closed. */
enum outbox_verdict delivery_push(struct worker *worker, struct session *session,
                                  struct outbox *outbox, struct parcel *parcel,
                                  enum send_lane lane);
/* Marks the names that the message leaves out, for the time of a piece of its delivery, or takes
 * the marks away: one look a session at its id (of rooms: at its groups), however many are left
 * out. */
void delivery_except(struct worker *worker, const struct message *message, bool excepted);
/* The same for so many groups and sessions' own names in a namespace, whose texts begin at `texts`.
 */
void delivery_except_rooms(struct worker *worker, unsigned namespace,
                           const struct message_name *names, uint32_t count, const char *texts,
                           bool excepted);
/* Is the session left out, by marks at its rooms? delivery_leaves_out of worker.h asks where need
 * be.
 */
bool delivery_rooms_leave_out(const struct session *session);

#endif
