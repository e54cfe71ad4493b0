/* attend.h - the sessions' side of messages that are to be acknowledged (keeper.h): which sessions
 * take them, and what each has.
 *
 *   NONE --hello with an id--> CAME --ATTEND--> ASKED --ATTENDED--> OPEN
 *
 *   OPEN --no room--> STOPPED --room--> RESUMING --ATTENDED--> OPEN
 *
 * A session that has taken its id asks the keeper of that id (ATTEND). The keeper answers ATTENDED
 * with the serial from which on it hands over, then hands over everything pending from there, the
 * oldest first, then what is new, all through one queue. So an ASKED session passes over what was
 * on its way before, and misses nothing.
 *
 * An answer costs what is pending times the sessions that are there. So all that come in a turn,
 * and while a question of others is under way, have one question, sent when those are answered. The
 * answer to one that was sent before a session came is not for it: a first copy may be on its way
 * behind it, which does not say `redelivered`, while another session has had the message written
 * before this one came. So questions have numbers.
 *
 * An OPEN session has everything up to `taken_serial`. It takes what has a greater serial, and
 * passes over what it has; but a copy that is handed over for the client's silence it takes again,
 * unless something has been waiting in its outbox all the time, where the first copy may still be,
 * or its transport is one whose clients say what they had when they come back
 * (session_type.is_patient, trail.h).
 *
 * One that has no room (--outbox-bytes) for a message is STOPPED: it takes none, or later ones
 * would overtake. When half of its backlog has left it asks the keeper again (RESUMING), from what
 * it has on. So messages over the limit stay with the keeper, and never close a session.
 *
 * Threads: the worker's. Owns: questions that wait. Limits: a question under way is a
 * request (mailbox.h); one that waits takes ASK_BYTES of --memory, a hello without them is refused
 * (`overloaded`). */
#ifndef RINGPOST_CORE_ATTEND_H
#define RINGPOST_CORE_ATTEND_H

#include "core/base/list.h"
#include "core/memory.h"
#include "core/pool.h"
#include "core/session.h"

struct mail;
struct message;

enum ack_verdict {
    ACK_TAKEN,   /* the keeper has it, or will have it */
    ACK_UNKNOWN, /* there is no such session (session_ack.h) */
    ACK_NO_ROOM  /* or no memory; nothing has happened */
};

/* Why a message is handed over (mail.flag of HAND). */
enum {
    HAND_PROMPT = 1,      /* its producer asks for little */
    HAND_REDELIVERED = 2, /* it may have been written before */
    HAND_SILENCE = 4,     /* the client has not acknowledged it in time */
    HAND_SETTLED = 8      /* to a port: it is not to be handed over any more */
};

struct attends {
    struct list waiting; /* questions that found no room, or wait for a moment */
    struct pool pool;
    uint32_t questions; /* the number of the last one for sessions that have come; wraps */
};

void attends_init(struct attends *attends);
/* Drops the questions that wait. */
void attends_fini(struct worker *worker);

/* A session has its id and its welcome. False: no memory; it must not go on. */
bool attend_begin(struct worker *worker, struct session *session);
/* Something of its backlog has left. */
void attend_resume(struct worker *worker, struct session *session);
static inline void attend_look(struct worker *worker, struct session *session) {
    if (session->attend == ATTEND_STOPPED)
        attend_resume(worker, session);
}
/* Asks what waited for room. */
void attends_work(struct worker *worker);
static inline bool attends_wait(const struct attends *attends) {
    return !list_empty(&attends->waiting);
}

/* Its client acknowledges messages; ids that are none are passed over. False: no room to tell the
 * keeper; nothing has happened, come again in the next turn. */
bool attend_acknowledge(struct worker *worker, struct session *session, const struct span *ids,
                        size_t count);

/* The same for one message that was handed to it under an id: the name_hash of that, which it may
 * have given up meanwhile, and the hash64 of the message's. */
bool attend_acknowledge_hash(struct worker *worker, uint64_t id_hash, uint64_t message_hash);
/* The same by the hashes of the client id and of the ids of messages; one of ACK_*. */
enum ack_verdict attend_acknowledge_hashes(struct worker *worker, uint64_t id_hash,
                                           const uint64_t *messages, uint32_t count);
/* Its client has had everything with a serial up to this one. False: no room, as above. A question
 * to the keeper that is asked afterwards is answered after it. */
bool attend_acknowledge_to(struct worker *worker, uint64_t id_hash, uint64_t serial);

/* The keeper's answer (ATTENDED): it hands over everything that is pending with a greater serial.
 */
void attend_answered(struct worker *worker, const struct mail *answer);
void attend_on_attended(struct worker *worker, const struct mail *mail);
/* A message for the sessions of one of its ids (`address`); takes over a hold. */
void attend_hand(struct worker *worker, struct message *message, uint16_t address, uint64_t serial,
                 unsigned flags);
void attend_on_hand(struct worker *worker, const struct mail *mail);

/* Several acknowledgements in one mail. */
struct ack_list {
    uint64_t id_hash;
    uint32_t count;
    uint64_t message_hashes[];
};
static inline size_t ack_list_bytes(uint32_t count) {
    return sizeof(struct ack_list) + count * sizeof(uint64_t);
}

#endif
