/* tally.h - counts what waits by walking through it: the outboxes, and what the keeper keeps.
 *
 * The gauges copies_waiting and acks_pending are kept by adding and subtracting. By these alone an
 * entry that is lost from its list would stay counted for ever, and the ledgers (stats.h) would
 * balance. A tally looks at every list, and afterwards the gauges are what it found; what was
 * counted and is not there is missing from the ledger from then on.
 *
 * It takes as many turns as it takes, while messages come and go. Each entry has a side. A tally
 * begins by changing the worker's side, so that all entries are on the other one, `unseen` as many
 * as the gauge says. An entry that is met changes over; one that is settled before that is taken
 * off `unseen`; a new one is on the new side and nobody's concern. What `unseen` is left with at
 * the end was in no list.
 *
 * One outbox is looked at in one go (BACKLOG_MESSAGES_MAX for each of its sessions); all else in
 * slices. What waits in an outbox of a session's own is found where session_type.outbox says.
 *
 * Threads: the worker's. Owns nothing. */
#ifndef RINGPOST_CORE_TALLY_H
#define RINGPOST_CORE_TALLY_H

#include "core/base/list.h"
#include "core/message.h"

struct kept_id;
struct piece;
struct worker;

enum tally_stage { TALLY_NONE, TALLY_CONNECTIONS, TALLY_SESSIONS, TALLY_KEPT };

struct tally {
    uint8_t stage; /* enum tally_stage */
    bool side;     /* of what is new, and of what was met */
    uint32_t at;   /* CONNECTIONS: the slot to be looked at next; SESSIONS: those before it are */
    const struct kept_id *id; /* KEPT: whose messages are looked at; NULL: all were */
    const struct list *kept;  /* of these the next one; the head of its list: no more */
    uint64_t unseen[CLASSES]; /* copies */
    uint64_t acks_unseen;
};

/* Begins one, or goes on for as long as the slice lasts. True: it is over, and the gauges are right
 * at this moment. Whatever was missing is logged. */
bool tally_work(struct worker *worker);
/* The piece is where a tally may have been already. */
void tally_see(struct worker *worker, struct piece *piece);
/* For keeper.c: one is about to be taken out of its id's list; an id goes. */
static inline void tally_pass(struct tally *tally, const struct list *kept) {
    if (tally->kept == kept)
        tally->kept = kept->next;
}
void tally_pass_id(struct worker *worker, const struct kept_id *id);

#endif
