/* fates.h - what became of each message that is to be acknowledged, and who waits to know.
 *
 *                fates_open         fates_taken         fates_settle, for each address
 *   (not there) -----------> OPEN -------------> PENDING -------------------------> SETTLED
 *                             |                                                        |
 *                             +--> fates_cancel: it was refused    --fate-window is over, or there
 *                                                                  are more than --fate-max
 *                                                                                      v
 *                    forgotten <--------------------------------------------------- RECALLED
 *                      --dedup-window is over, --dedup-max is reached, memory is short, the id
 *                      was taken again, or the node had made it
 *
 * One that is RECALLED is known by its id, so that a repeat of its message is not taken; nobody is
 * told of it.
 *
 * One table for the node, shared by all endpoints, in stripes by the hash of the message id; a
 * stripe has a mutex, a hash table, and queues of its settled fates, and of those that are
 * RECALLED, in the order in which they settled: for messages of producers, and for those that
 * clients sent. A fate knows the id and the addresses of its message as texts, so it outlives it.
 * It stays while anybody holds it, also when it is forgotten: then only who holds it knows it.
 *
 * Message ids are the producers' (scope empty: all API keys together) or a client's own (dedup.h);
 * two scopes may use one id. An id that the node made is not
 * remembered for repeats: whoever gives it pushes another message. Who asks by the id alone is told
 * of the producers' message, else of the youngest.
 *
 * Who waits (fate_wait) is in the fate until all its addresses are settled; the thread that settles
 * the last one moves the waits into the list of their endpoint (`told`) and nudges that one, as
 * dedup.h does; the rules for wakes are the same as there, and stand there.
 *
 * Locks: a stripe's, and one for the told list of each endpoint, which is only taken while a
 * stripe's is held, or alone: so a wait that ends finds itself in one of the two lists or in none,
 * and never on its way. Nothing outside is called under a lock but the account.
 *
 * Times: a fate keeps by the wall clock when its message was accepted, and how long it took from
 * there by the monotonic one; so it never settles before it was accepted, and what is told of it
 * does not change when the clock is set.
 *
 * Exactness: as in dedup.h, below FATE_STRIPES_FROM there is one stripe.
 *
 * Threads: any endpoint, but as each function says. Owns: fates; waits are the callers'. Limits:
 * --fate-max settled fates, for --fate-window; with those that are RECALLED, for --dedup-window,
 * the greater of --fate-max and --dedup-max; of what clients sent at most a quarter, which push out
 * only each other; those that are not settled by the messages that are kept (--ack-backlog,
 * --memory). All are charged to the node's budget: one that is settled takes 160 bytes with an id
 * of 26 bytes and one address of 16, its place in the table included. When memory is short the
 * oldest settled ones give way, first those that are RECALLED. */
#ifndef RINGPOST_CORE_FATES_H
#define RINGPOST_CORE_FATES_H

#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/base/span.h"
#include "core/base/table.h"
#include "core/fate_feed.h"
#include "core/limits.h"
#include "core/memory.h"
#include "core/stats.h"

#include <pthread.h>

struct config;
struct endpoint;
struct fate;
struct fates;
struct message;

#define FATE_WAITED_PLACES 16
#define FATE_STRIPES 16
#define FATE_STRIPES_FROM 65536

/* Of one address, and of a whole message: PENDING while any address is, else the worst, which is
 * the greatest of these. */
enum fate_state { FATE_PENDING, FATE_ACKED, FATE_EXPIRED, FATE_DROPPED, FATE_STATES };

const char *fate_state_word(enum fate_state state);

/* What settled an address; `state` and `reason` are read without the lock by who holds the fate. */
struct fate_address {
    uint8_t len;            /* of the client id */
    _Atomic uint8_t state;  /* enum fate_state */
    _Atomic uint8_t reason; /* enum fate_reason; there before the state is */
    uint8_t noted; /* what the store has noted of it: a word, see fate_word_of; 0: nothing */
};

/* State and reason of an address in one byte. */
static inline unsigned fate_word_of(enum fate_state state, enum fate_reason reason) {
    return (unsigned)state | (unsigned)reason << 4;
}
static inline enum fate_state fate_word_state(unsigned word) {
    return (enum fate_state)(word & 15);
}
static inline enum fate_reason fate_word_reason(unsigned word) {
    return (enum fate_reason)(word >> 4 & 15);
}

/* --- a message ------------------------------------------------------------------------------- */

/* A message is about to be published; sets `message->fate`, so it must not be known to others yet.
 * `scope` as in dedup.h; `content` is what makes a repeat the same (zeros where the node made the
 * id). It is held until fates_cancel or fates_release. False: no memory (counted by the caller). */
bool fates_open(struct fates *fates, struct message *message, struct span scope,
                struct hash128 content, uint64_t accepted_ms);
/* It was refused: there is no such fate, and no hold of the caller's. */
void fates_cancel(struct fates *fates, struct fate *fate);
/* It was taken, and this is what its producer is told; to be called before another may claim its
 * id. An address may have settled before. */
void fates_taken(struct fates *fates, struct fate *fate, enum result_word first,
                 uint32_t recipients, uint64_t now_ns);
/* An address is settled, once. The fate may be gone when this returns, and with the last address
 * its message has none that can be looked at. Any thread. */
void fates_settle(struct fates *fates, struct fate *fate, uint32_t address, enum fate_state state,
                  enum fate_reason reason, uint64_t now_ns);

/* --- a store (store.h) ----------------------------------------------------------------------- */

/* What its record says, of one that is held or not settled. */
struct span fate_scope_of(const struct fate *fate);
struct hash128 fate_content(const struct fate *fate);
uint32_t fate_recipients(const struct fate *fate); /* of its first result */
uint64_t fate_serial(const struct fate *fate);
uint32_t fate_took_ms(const struct fate *fate, uint64_t settled_ns);

/* By the producer's endpoint, whose message is at the store: it waits no longer. False: the message
 * is stored, and the answer is on its way. */
bool fates_give_up(struct fates *fates, struct fate *fate);
/* By the store, which holds it: its message is safe, and its producer will be told so. False: it
 * was given up, and the store is to take it back. */
bool fates_stored(struct fates *fates, struct fate *fate);
/* By the store: its record, of the message or of the fate, is that one now. */
void fates_record(struct fates *fates, struct fate *fate, uint64_t serial, uint32_t recipients,
                  uint64_t record, uint32_t record_bytes);
/* By the store: so many bytes more belong to that record. */
void fates_record_grow(struct fates *fates, struct fate *fate, uint32_t bytes);
uint32_t fate_record_bytes(const struct fate *fate); /* by the store alone */
/* By the store: it has a record that the address is settled, which is not safe yet. True: all
 * addresses are, so the record to be written is of the whole. */
bool fates_note(struct fates *fates, struct fate *fate, uint32_t address, enum fate_state state,
                enum fate_reason reason);
enum fate_record { FATE_RECORD_MESSAGE, FATE_RECORD_ADDRESS, FATE_RECORD_WHOLE };
/* Is a record of that sort still needed, with that serial and sequence? Of several copies only the
 * last is. */
bool fates_need(struct fates *fates, struct span scope, struct span id, uint64_t serial,
                enum fate_record sort, uint64_t record);
/* Of a start: the fate's message id was taken again, for another whose serial is higher. */
bool fates_displaced(struct fates *fates, const struct fate *fate);
/* Bytes of all records that are needed. Any thread. */
uint64_t fates_record_bytes(const struct fates *fates);

/* --- asking ---------------------------------------------------------------------------------- */

/* The one with that id, held until fates_release; NULL: no such fate (or only one that is still
 * OPEN). */
struct fate *fates_find(struct fates *fates, struct span id);
/* One hold more of one that is held, and one less. */
void fates_hold(struct fates *fates, struct fate *fate);
void fates_release(struct fates *fates, struct fate *fate);

/* Of one that is held: */
struct span fate_id(const struct fate *fate);
uint32_t fate_count(const struct fate *fate); /* of its addresses, in the order of the message's */
const struct fate_address *fate_address(const struct fate *fate, uint32_t index);
struct span fate_address_text(const struct fate *fate, uint32_t index);
unsigned fate_namespace(const struct fate *fate);                    /* of its addresses */
uint64_t fate_address_hash(const struct fate *fate, uint32_t index); /* name_hash of it */
enum fate_state fate_state(const struct fate *fate);                 /* of the whole */
/* Why the whole is DROPPED: the greatest reason of its addresses. */
enum fate_reason fate_reason(const struct fate *fate);
uint64_t fate_accepted_ms(const struct fate *fate); /* by the wall clock */
uint64_t fate_settled_ms(const struct fate *fate);  /* the same; 0: it is not settled */
uint64_t fate_settled_ns(const struct fate *fate);  /* monotonic; 0: it is not settled */

/* --- repeats --------------------------------------------------------------------------------- */

enum fate_verdict {
    /* No such id in that scope, or the node made it, or it settled longer ago than
     * --dedup-window. */
    FATE_UNKNOWN,
    FATE_DUPLICATE, /* the same content: `fate` is held, `first` and `recipients` are its result */
    FATE_REUSED     /* other content */
};

struct fate_repeat {
    struct fate *fate; /* DUPLICATE: to be released */
    enum result_word first;
    uint32_t recipients;
};

/* Was a message of that id taken? To be asked by who has claimed the id (dedup.h), so that no other
 * is about to open the same. */
enum fate_verdict fates_repeat(struct fates *fates, struct span scope, struct span id,
                               struct hash128 content, uint64_t now_ns, struct fate_repeat *repeat);

/* --- waiting --------------------------------------------------------------------------------- */

struct fate_wait {
    struct list link;  /* in the fate's waits, or in `told` */
    struct fate *fate; /* held until fates_wait_end */
    uint16_t endpoint; /* whose it is */
    bool named;        /* its addresses are charged, see fate_waited */
    /* For who fetches it by fates_told, to be called: it is settled. */
    void (*told)(struct endpoint *endpoint, struct fate_wait *wait);
};

/* The wait of this endpoint, `told` of which is set, for all addresses of the fate; takes over the
 * caller's hold of it. False: it is settled already; the hold is still the caller's. */
bool fates_wait(struct fates *fates, struct fate_wait *wait, struct fate *fate, unsigned endpoint);
/* It waits no longer, whether it was told or not; lets go of the fate. By its endpoint. */
void fates_wait_end(struct fates *fates, struct fate_wait *wait);
/* Does somebody wait for a message to the client id of that hash? Its sessions are to stay until
 * fates_waits_ended, a counter that wraps, has changed. It takes one look-up, however many wait for
 * however many. True too, while there was no memory to note what some wait for, for an id that may
 * be one of those. */
bool fates_waited(struct fates *fates, uint64_t hash);
uint32_t fates_waits_ended(const struct fates *fates);
/* Does anybody wait for any fate? */
bool fates_any_waited(const struct fates *fates);
/* A wait of this endpoint whose fate is settled, taken out of the list; NULL: no more. It still
 * holds its fate, and is to be ended by fates_wait_end. */
struct fate_wait *fates_told(struct fates *fates, unsigned endpoint);

/* --- the table ------------------------------------------------------------------------------- */

/* Whose messages they are: what clients sent pushes out only what clients sent. */
enum fate_share { FATE_PRODUCERS, FATE_CLIENTS, FATE_SHARES };

static inline enum fate_share fate_share_of(struct span scope) {
    return scope.len == 0 ? FATE_PRODUCERS : FATE_CLIENTS;
}

struct fate_queue {
    struct list fates; /* the oldest first */
    uint32_t count;
};

struct fate_stripe {
    _Alignas(64) pthread_mutex_t lock;
    struct table fates;
    struct fate_queue settled[FATE_SHARES], recalled[FATE_SHARES];
    /* Of both shares together, and with the recalled ones; of clients' at most a quarter of it. */
    uint32_t settled_max, kept_max;
    struct account account;
    _Atomic uint32_t count; /* of all in the table, for who asks without the lock */
};

struct fate_told {
    _Alignas(64) pthread_mutex_t lock;
    struct list waits;
};

/* The addresses that are waited for, of those whose hash belongs here. Each wait has taken the
 * memory for as many entries as it has addresses from its fate's stripe; several may share one. */
struct fate_waited {
    pthread_mutex_t lock;
    struct table entries;       /* a hash, and how many wait for it */
    uint32_t unnamed;           /* addresses that there was no memory for */
    _Atomic uint32_t addresses; /* in all, for who asks without the lock */
};

struct fates {
    struct fate_stripe stripes[FATE_STRIPES];
    struct fate_told told[ENDPOINTS_MAX];
    unsigned stripe_count;
    _Atomic uint32_t relieved; /* the stripe whose turn it is to make memory */
    uint64_t window_ns, dedup_window_ns;
    uint64_t kept_ns;               /* the longer one */
    uint32_t kept_max;              /* that are settled, RECALLED or not */
    _Atomic uint64_t forgotten;     /* that nobody is told of, before their window was over */
    _Atomic uint64_t ids_forgotten; /* the same of their ids */
    _Atomic uint64_t record_bytes;  /* of all their records in the store */
    struct fate_waited waited[FATE_WAITED_PLACES]; /* by the hash of the address */
    _Atomic uint32_t waits_ended;
    struct fate_feed feed;
    void (*nudge)(void *argument, unsigned endpoint);
    void *nudge_argument;
};

/* The limits are the settings'. `nudge` (any thread) makes that endpoint call fates_told soon. */
void fates_init(struct fates *fates, struct budget *budget, const struct config *config,
                void (*nudge)(void *argument, unsigned endpoint), void *argument);
/* So many are about to be opened, at a start. */
void fates_reserve(struct fates *fates, uint64_t count);
/* All messages have been released or settled, nobody holds a fate or waits. Frees what is left,
 * settled or not. */
void fates_fini(struct fates *fates);
/* Forgets what is past its window, at most `count` in each stripe. Returns when it is to be called
 * again at the latest; CLOCK_NEVER: nothing is remembered. */
uint64_t fates_sweep(struct fates *fates, uint64_t now_ns, unsigned count);
/* Memory is short: forgets the oldest settled fates of one stripe, about a grant's worth, and gives
 * their memory back to the node. Returns how many; 0: there were none. */
uint32_t fates_relieve(struct fates *fates, uint64_t now_ns);
/* Fates that are remembered, settled or not. */
uint64_t fates_count(const struct fates *fates);

#endif
