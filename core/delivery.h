/* delivery.h - from a message that has come to this worker to the outboxes of its sessions.
 *
 * Broadcasts are put off to the end of the turn, up to BROADCASTS_MAX of them: then every session
 * is visited once and takes them all as one piece (sheaf.h). Anything else that is delivered
 * meanwhile lets them go first, so a session still gets everything in the order in which it came to
 * this worker.
 *
 * Every message that is handed over here is answered once (hub_answer): with how many sessions took
 * it.
 *
 * Threads: the worker. Owns: of each broadcast that is put off, a parcel. Limits: BROADCASTS_MAX
 * and SHEAF_BYTES_MAX of payload, then those that wait go first. */
#ifndef RINGPOST_CORE_DELIVERY_H
#define RINGPOST_CORE_DELIVERY_H

#include "core/queue.h"
#include "core/sheaf.h"

/* Answer flags (mail.flag). */
enum {
    ANSWER_OVERLOADED = 1, /* there was no room; nobody got it from here */
    ANSWER_FOUND = 2       /* at least one session was addressed, whatever became of its copy */
};

#define BROADCASTS_MAX SHEAF_PARTS_MAX

/* A broadcast that waits for the end of the turn. */
struct broadcast {
    struct parcel *parcel; /* one ref */
    struct mail request;   /* what is to be answered */
};

struct broadcasts {
    struct broadcast waiting[BROADCASTS_MAX];
    uint32_t count;
    uint32_t payload_bytes;
};

/* Hands the message to every session here that it addresses, now or at the end of the turn, and
 * answers `request` (from, token, number: answers due). Takes over one hold. */
void deliver(struct worker *worker, struct message *message, const struct mail *request);
/* Lets the broadcasts go that were put off. */
void deliver_broadcasts(struct worker *worker);

#endif
