/* dedup.h - the idempotency table: which message ids were taken, and what became of them.
 *
 * Only ids that the producer gave come here. One table for the node, shared by all endpoints, in
 * stripes; a stripe has a mutex, a hash table and a queue of its entries in the order of their
 * claims.
 *
 *                   claim                     settle: taken
 *   (not there) -----------------> UNDECIDED -----------------> TAKEN --> forgotten: the window is
 *        ^                         |   ^   |                              over, or the table full
 *        | settle: not taken,      |   |   | claim: a repeat waits in it
 *        +--- nobody waits --------+   +---+ settle: not taken, one waits: it is the new first
 *
 * An entry holds no id: it is known by a keyed hash of 128 bits over scope and id, as its content
 * is.
 *
 * A claim belongs to the endpoint that made it, but while it waits, when the entry has it. When the
 * first is settled, the settling endpoint takes the waiting claims out of the entry, writes into
 * each what it has come to, puts it into the list of its endpoint (`told`) and nudges that one,
 * which fetches it in a turn of its own.
 *
 * Locks: a stripe's, and one for the told list of each endpoint; nobody ever holds two, so they
 * have no order. Nothing outside is called under a lock but the pool and the account, and it is
 * held for a bounded time, but for the waiters of one id. What another thread may see of a claim:
 * from claim (under the stripe's lock) to settle (under the same) it is the entry's; then only the
 * settling thread has it, until it is in the told list (under that lock), from which its owner
 * takes it (under that lock). So each hand-over is ordered by a mutex.
 *
 * No wake is lost: the list is filled before the nudge, the nudge sets `nudged` before it wakes,
 * and the engine clears `nudged` before it calls on_nudged, which empties the list; whoever fills
 * it later sets `nudged` again. No claim waits for ever: the entry it waits in is undecided, so
 * some claim is its first, and the gate settles each first exactly once, because the hub answers
 * each publish exactly once and no publish waits for a claim.
 *
 * Exactness: below DEDUP_STRIPES_FROM entries there is one stripe, and the oldest of all is
 * forgotten first; above, the oldest of its stripe. When memory is short, ids are forgotten in the
 * same order before a message is refused.
 *
 * Threads: any endpoint. Owns: entries; claims are the callers'. Limits: dedup_max taken entries,
 * undecided ones by the publishes in flight; the bytes are counted in the node's budget. Never
 * called for messages whose id the node made. */
#ifndef RINGPOST_INGEST_GATE_DEDUP_H
#define RINGPOST_INGEST_GATE_DEDUP_H

#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/base/table.h"
#include "core/limits.h"
#include "core/memory.h"
#include "core/pool.h"
#include "core/stats.h"

#include <pthread.h>

#define DEDUP_STRIPES 16
#define DEDUP_STRIPES_FROM 65536

/* Scopes: all API keys together (empty); a client id ("c" and the id); one session without an id
 * ("s", the node's run and the session's text). */
#define DEDUP_SCOPE_BYTES_MAX (1 + NAME_BYTES_MAX)

/* Ids of API keys and ids of clients: what clients send pushes out only what clients sent. */
enum dedup_share { DEDUP_PRODUCERS, DEDUP_CLIENTS, DEDUP_SHARES };

struct dedup_entry;

/* What a claim has come to. */
enum dedup_verdict {
    DEDUP_NEW,       /* it is the first: publish, then dedup_settle */
    DEDUP_PROMOTED,  /* the same, after it waited */
    DEDUP_DUPLICATE, /* the id was taken by the same content; the claim holds the first result */
    DEDUP_REUSED,    /* the id was taken by other content */
    DEDUP_WAIT,      /* the first is undecided: the claim comes back by dedup_told */
    DEDUP_NO_MEMORY  /* no room to remember it */
};

/* One message with an id of its producer's, while it is not decided. */
struct dedup_claim {
    struct list link;          /* among the entry's waiters, or in `told` */
    struct dedup_entry *entry; /* while it is the first, or waits */
    struct hash128 content;
    uint16_t endpoint;         /* whose it is */
    uint8_t verdict;           /* enum dedup_verdict */
    uint8_t first_state;       /* DUPLICATE: enum result_word */
    uint32_t first_recipients; /* DUPLICATE */
    uint32_t forgotten;        /* entries that gave way to it before the end of their window */
};

struct dedup_stripe {
    _Alignas(64) pthread_mutex_t lock;
    struct table entries;
    struct list order[DEDUP_SHARES]; /* by claim, the oldest first */
    struct pool pool;
    struct account account;
    uint32_t taken[DEDUP_SHARES];
    uint32_t taken_max; /* of both together; of clients' at most a quarter of it */
};

struct dedup_told {
    _Alignas(64) pthread_mutex_t lock;
    struct list claims;
};

struct dedup {
    struct dedup_stripe stripes[DEDUP_STRIPES];
    struct dedup_told told[ENDPOINTS_MAX];
    unsigned stripe_count;
    _Atomic uint32_t relieved; /* the stripe whose turn it is to make memory */
    uint64_t window_ns;
    void (*nudge)(void *argument, unsigned endpoint);
    void *nudge_argument;
};

/* `entries_max` 0 remembers nothing (repeats of undecided ones still wait). `nudge` (any thread)
 * makes that endpoint call dedup_told soon. */
void dedup_init(struct dedup *dedup, struct budget *budget, uint32_t entries_max,
                uint64_t window_ns, void (*nudge)(void *argument, unsigned endpoint),
                void *argument);
/* No claim may be out. */
void dedup_fini(struct dedup *dedup);

/* Claims an id for a message; `claim` must stay where it is until it is settled (NEW, PROMOTED) or
 * told. */
enum dedup_verdict dedup_claim(struct dedup *dedup, unsigned endpoint, struct dedup_claim *claim,
                               struct span scope, struct span id, struct hash128 content,
                               uint64_t now_ns);
/* The first is decided; `took`: the id is occupied from now on and repeats get this result.
 * Returns how many entries were forgotten before the end of their window. */
uint32_t dedup_settle(struct dedup *dedup, struct dedup_claim *claim, bool took,
                      enum result_word state, uint32_t recipients, uint64_t now_ns);
/* A claim of this endpoint that waited and is decided (PROMOTED, DUPLICATE or REUSED); NULL: no
 * more. */
struct dedup_claim *dedup_told(struct dedup *dedup, unsigned endpoint);

/* Forgets what is past its window, at most `entries` in each stripe. Returns when it is to be
 * called again at the latest; CLOCK_NEVER: nothing is remembered. */
uint64_t dedup_sweep(struct dedup *dedup, uint64_t now_ns, unsigned entries);

/* Memory is short: forgets the oldest ids of one stripe, those of clients only if it is for a
 * client, and gives their memory back to the node. Returns how many; 0: there were none. */
uint32_t dedup_relieve(struct dedup *dedup, bool for_client);

/* Ids that are remembered now. */
uint64_t dedup_count(struct dedup *dedup);

#endif
