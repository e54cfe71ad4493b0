/* trail.h - what was written to a session, in which order, for a client that comes back and says
 * which message it had last: that one is settled, and every message to be acknowledged that was
 * written before it on that session.
 *
 *   live: session_type.trail --session_close--> ended, kept for --dedup-window --> forgotten
 *
 * An entry is the hash of a message's id and the serial that the session had taken by then: since a
 * session gets all that is pending in the keeper's order (attend.h), one number says which of them
 * were written before. The keeper settles up to it (attend_acknowledge_to). Only transports whose
 * clients come back in this way have trails. One begins with the first message that is to be
 * acknowledged, and ends early when all of those were acknowledged by name; so who has none, or
 * acknowledges, costs no memory.
 *
 * A trail stays with the worker that has, or had, the session. The stream that its client lost may
 * be alive still, on any worker, and no other knows what was written to it; so who comes back asks
 * all workers (call.h), and only if some trail may be its own (trails_may_have). If several have
 * the id (tabs share a client id), what is settled is what was written before it on all of them: a
 * message that comes once more is better than one that never comes. For the same reason the oldest
 * of two entries of one id counts.
 *
 * Threads: the worker's; trails_may_have: any. Owns: entries. Limits: TRAIL_IDS_MAX ids of a
 * session, and of all ended ones of a client id here; TRAILS_SHARE of --memory for all workers.
 * Beyond that the oldest are forgotten, ended ones first, and so is what there is no memory for
 * (counted in trails_forgotten): a client that names one of these gets its messages again. */
#ifndef RINGPOST_CORE_TRAIL_H
#define RINGPOST_CORE_TRAIL_H

#include "core/base/table.h"
#include "core/message.h"
#include "core/pool.h"
#include "core/session.h"
#include "core/timer.h"

struct frame_batch;
struct server;

#define TRAIL_IDS_MAX 1024

struct trail_entry {
    uint64_t message; /* hash64 of its id */
    uint64_t serial;  /* TRAIL_OPEN: it is to be acknowledged, and was not */
};
#define TRAIL_OPEN (UINT64_C(1) << 63)

/* Zeroed it is empty. */
struct trail {
    struct trail_entry *at; /* a ring */
    uint16_t cap, first, count;
    uint32_t open; /* messages that were not acknowledged by name; also such as have left it */
};

/* Those of a worker whose sessions have ended, and what all of its trails take. */
struct trails {
    struct table ended; /* by the hash of the client id */
    struct list order;  /* the same, the oldest first */
    struct timer timer; /* of the first */
    struct pool pool;
    uint64_t bytes;
};

void trails_init(struct trails *trails);
/* None is left. */
void trails_fini(struct trails *trails);
/* The node ends: lets go of the ended ones, for as long as the slice lasts. */
void trails_drop(struct worker *worker);
static inline bool trails_ended_empty(const struct trails *trails) {
    return list_empty(&trails->order);
}
/* What the trails of one worker may take. */
uint64_t trails_bytes_max(const struct worker *worker);

/* A message was queued for the session, whose taken_serial counts it in. */
void trail_add(struct worker *worker, struct session *session, const struct message *message);
static inline void trail_note(struct worker *worker, struct session *session,
                              const struct message *message) {
    if (session->type->trail != NULL)
        trail_add(worker, session, message);
}
/* The same for all messages of a batch. */
void trail_note_batch(struct worker *worker, struct session *session,
                      const struct frame_batch *batch);
/* Its client has acknowledged these. */
void trail_acknowledged(struct worker *worker, struct session *session, const uint64_t *messages,
                        uint32_t count);
/* For session_close. */
void trail_end(struct worker *worker, struct session *session);

/* Was the message written? Then `*serial` is what the session had taken by then. */
bool trail_find(const struct trail *trail, uint64_t message, uint64_t *serial);
/* The same for all trails here of sessions of that id that have ended: the least serial. */
bool trails_find_ended(const struct worker *worker, uint64_t id_hash, uint64_t message,
                       uint64_t *serial);
/* May some worker have a trail of that id? False: none has. */
bool trails_may_have(const struct server *server, uint64_t id_hash);

#endif
