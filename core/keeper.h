/* keeper.h - messages that are to be acknowledged: one worker keeps what a client id has not
 * acknowledged yet, and hands it to the sessions of that id wherever they are.
 *
 *   producer's endpoint      keeper of the id         workers with sessions of the id (attend.h)
 *
 *   hub_publish --DELIVER--> kept, in order --HAND--> outboxes, encoded once for each protocol
 *               <--ANSWER--                 <--ACK--  the client has it: settled (fates.h)
 *                                           <-ATTEND- a session has come, or has room again
 *                                           -ATTENDED->
 *
 * The keeper of an id is worker_of_name: the hash of the name, modulo the workers. Every message of
 * the class to that id passes it, whoever holds the sessions, so there is one order. What it keeps
 * of a message with several ids is one `struct kept` for each id of its own; these lie within the
 * message's block (message_kept), so that keeping takes no memory that could be short.
 *
 * Of each id:  handed, the oldest first ... | waiting ...
 * At most --ack-window are handed over and not acknowledged. Those that wait follow as room comes;
 * where no worker holds the id nothing is handed over. A handed one that is not acknowledged within
 * --ack-silence is handed over again. When a session comes all that is handed counts as waiting
 * again and goes out from the oldest on; sessions that have it already pass it over (attend.h). A
 * copy that may have been written before says `redelivered`.
 *
 * Where there are other nodes, the port to them (server_parts.herald) is one more that holds an id,
 * as long as it says so (REMOTE): it gets what is handed over, and passes it on. There a message is
 * kept by the keeper of that node as long as it has sessions of the id: it is lent (message.h). It
 * goes to no store there, and to no third node; when it is acknowledged there, the port brings that
 * here, as the word of a client.
 *
 * A kept message is settled once: acknowledged, expired (its ttl), or withdrawn.
 *
 * Where the node has a store (store.h), what is settled here is told to that, and the fate is
 * settled when it is safe there. Until the keeper knows so, it counts as pending (keeper_safe.c).
 *
 * A message whose ids have several keepers is taken by all or by none, and where there is a store,
 * when that has it: DELIVER only reserves (DELIVER_RESERVE) there; what is reserved holds up what
 * is behind it; when all keepers have answered, and the store, the producer's endpoint sends each
 * of them the decision (DECIDE). It waits for room if a mailbox is full (keeper_decisions_work);
 * the publish lasts until then.
 *
 * Bounds: --ack-backlog for an id, else the message is refused (`overloaded`); --memory. HAND waits
 * for room in the mailbox, or for time, with its id in `blocked`. The cost of a turn is what is due
 * in it, in slices.
 *
 * The end of the node: what is kept then is let go with PHASE_STOPPED (keeper_drop), uncounted: its
 * fate is still open.
 *
 * Threads: as each function says; the rest is the worker's own. Owns: a hold of each message for
 * each of its kept; ids that have any. */
#ifndef RINGPOST_CORE_KEEPER_H
#define RINGPOST_CORE_KEEPER_H

#include "core/base/table.h"
#include "core/endpoint.h"
#include "core/fates.h"
#include "core/hub.h"
#include "core/memory.h"
#include "core/pool.h"
#include "core/timer.h"

struct kept_id;
struct mail;
struct message;
struct server;
struct worker;

enum kept_state {
    KEPT_NONE,     /* not kept (any more) */
    KEPT_RESERVED, /* its message is not decided yet */
    KEPT_WAITING,
    KEPT_HANDED,
    KEPT_SETTLING /* not kept any more; the store does not know yet (store.h) */
};

/* What the keeper of an address has of the message, in front of which it stands (kept_message).
 * Members stand so that no room is lost between them: there may be millions of these. */
struct kept {
    struct table_node node; /* in keeper->kept: hash of message id and client id */
    struct list order;      /* in kept_id->all; SETTLING: in keeper->settling */
    struct timed timed;     /* its ttl; while it is handed the silence, if that is over sooner */
    union {
        struct kept_id *id;
        uint8_t outcome; /* SETTLING: fate_word_of */
    };
    uint64_t serial : 45;  /* its place in the order of all that this worker keeps */
    uint64_t address : 10; /* of message->names */
    uint64_t state : 3;    /* enum kept_state */
    bool prompt : 1;       /* its producer asks for little */
    bool written : 1;      /* it was handed over before */
    bool withdrawn : 1;    /* while it was reserved */
    bool side : 1;         /* tally.h; while it is WAITING or HANDED */
    bool sent_away : 1;    /* it was handed to other nodes */
    bool remote_acked : 1; /* while it settles: by a client of another node */
};

/* A worker that keeps a million messages a second comes to the last one after a year. */
#define KEPT_SERIAL_MASK ((UINT64_C(1) << 45) - 1)
#define KEPT_ADDRESS_MASK ((UINT64_C(1) << 10) - 1)
_Static_assert(ADDRESSES_PER_MESSAGE_MAX <= KEPT_ADDRESS_MASK, "every address has its number");
_Static_assert(KEPT_SETTLING < 8, "a state has three bits");

/* A client id for which something is kept. */
struct kept_id {
    struct table_node node; /* in keeper->ids: hash of the name */
    struct list all;        /* struct kept, in the order accepted: the handed ones, then others */
    struct list blocked;    /* in keeper->blocked: some mailbox has no room for a HAND */
    struct kept *next;      /* the first that is not handed; NULL: all are */
    uint32_t count, handed;
    uint32_t reserved; /* of `count`: not taken yet, so nobody is told of them */
    uint32_t lent;     /* of `count`: other nodes keep them */
    uint8_t remote;    /* REMOTE_*: are sessions of it on other nodes, as far as is known? */
    bool stands;       /* nothing is handed over for a moment */
};

/* The oldest message of all ids, looked for some ids at a time; see keeper_age.c. */
struct keeper_age {
    struct timer timer;
    const struct kept_id *next; /* to be looked at; NULL: a round is to begin */
    uint64_t oldest_ns;         /* when the oldest of the round was accepted */
};

/* What is settled and not known to be safe yet. Words are those of fate_word_of. */
#define KEEPER_WORDS 64
struct keeper_safe {
    _Alignas(64) _Atomic uint64_t safe[KEEPER_WORDS]; /* written by the store's thread alone */
    uint64_t counted[KEEPER_WORDS];                   /* of those, in the worker's stats */
    uint64_t unsafe;                                  /* in acks_pending, and not kept any more */
};

/* Ids that nothing was kept for when the port said that other nodes have them: it may overtake the
 * message that it was asked about. */
#define KEEPER_REMOTES 256
#define KEEPER_REMOTES_NS (2 * NS_PER_S)
struct keeper_remote {
    uint64_t hash, said_ns;
    uint64_t shared_ns; /* when another took the place of one that was said lately; 0: never */
};

struct keeper {
    struct keeper_safe safe;
    struct keeper_age age;
    struct wheel wheel; /* of struct kept */
    struct table ids, kept;
    struct pool id_pool;
    struct list blocked;  /* ids that have something to hand over when there is room, or time */
    struct list settling; /* what the store is to be told of when there is room */
    struct keeper_remote remotes[KEEPER_REMOTES]; /* by hash */
    bool cut;                  /* `blocked` has some for which there was no time */
    uint64_t serial;           /* of the last that was kept */
    uint32_t dropped;          /* by keeper_drop */
    struct table_node drop_at; /* of the last of these, the hash alone */
};

void keeper_init(struct keeper *keeper, uint64_t now_ns);
void keeper_fini(struct keeper *keeper);

/* Which worker keeps what is for the client id with that name_hash. Any thread. */
unsigned keeper_of(const struct server *server, uint64_t hash);
/* All keepers of a message's ids, as a set of endpoints. Any thread. */
uint64_t keepers_of(const struct server *server, const struct message *message);

/* --- the producer's endpoint ----------------------------------------------------------------- */

/* The publish's answers are there, and it has several keepers: it ends when all of them know
 * whether its message was taken. Called by the hub, which is called back by hub_decided. */
void keeper_decide(struct endpoint *endpoint, struct publish *publish);
/* Goes on with decisions that found no room. */
void keeper_decisions_work(struct endpoint *endpoint);
static inline bool keeper_decisions_wait(const struct endpoint *endpoint) {
    return !list_empty(&endpoint->undecided);
}

/* --- the keeper ------------------------------------------------------------------------------ */

/* A DELIVER of such a message has come; takes over its hold, and answers. */
void keeper_on_deliver(struct worker *worker, const struct mail *mail);
void keeper_on_decide(struct worker *worker, const struct mail *mail);
/* The store has had it since before the start: it is kept, whatever the backlog. What is settled is
 * passed over. */
void keeper_on_restore(struct worker *worker, const struct mail *mail);
/* A client acknowledges, perhaps on another node (`from_port`): the hash of its id, and hash64 of
 * the message's. Unknown ones are counted and forgotten. */
void keeper_acknowledge(struct worker *worker, uint64_t id_hash, uint64_t message_hash,
                        bool from_port);
/* A client has had everything that was handed over with a serial up to this one: the first 1,024 of
 * them are settled. */
void keeper_acknowledge_to(struct worker *worker, uint64_t id_hash, uint64_t serial);
void keeper_on_ack(struct worker *worker, const struct mail *mail);
/* Frees one whose mail came after the last turn. */
void keeper_drop_ack(struct worker *worker, const struct mail *mail);
void keeper_on_attend(struct worker *worker, const struct mail *mail);
/* Hands over what waited for room, for as long as the slice lasts. */
void keeper_work(struct worker *worker);
static inline bool keeper_is_cut(const struct keeper *keeper) {
    return keeper->cut;
}
static inline bool keeper_busy(const struct keeper *keeper) {
    return !list_empty(&keeper->blocked) || !list_empty(&keeper->settling);
}
/* Lets go of what is kept, for as long as the slice lasts. True: nothing is. */
bool keeper_drop(struct worker *worker);

/* The message of which it is a part. */
static inline struct message *kept_message(const struct kept *kept) {
    return (struct message *)(uintptr_t)(kept + kept->address + 1);
}
/* What is kept for a client id here, for whoever tells it; NULL: nothing, or this is not its
 * keeper. */
const struct kept_id *keeper_find(const struct worker *worker, uint64_t hash);
/* What is kept here of the message with that id for it, whoever's message it is; NULL: nothing. */
const struct kept *keeper_find_message(const struct worker *worker, uint64_t hash,
                                       struct span message_id);
/* How many wait for its acknowledgement: what is only reserved does not yet, what the store is to
 * settle does not any more. */
static inline uint32_t kept_id_pending(const struct kept_id *id) {
    return id == NULL ? 0 : id->count - id->reserved;
}
/* The oldest of them, and the one behind `kept`, which may be reserved; NULL: there is none. */
const struct kept *kept_id_oldest(const struct kept_id *id);
const struct kept *kept_id_behind(const struct kept_id *id, const struct kept *kept);
/* For keeper.c: something is kept now; an id goes. */
void keeper_age_init(struct keeper_age *age);
void keeper_age_look(struct worker *worker);
void keeper_age_pass(struct keeper *keeper, const struct kept_id *id);
/* For keeper.c: one is WAITING from now on, and so is to be acknowledged; it is not any more. */
void keeper_pend(struct worker *worker, struct kept *kept);
void keeper_unpend(struct worker *worker, const struct kept *kept);
/* One more is settled: known to be safe, or to be made so by the store. */
void keeper_settled(struct worker *worker, enum fate_state state, enum fate_reason reason);
void keeper_unsafe(struct worker *worker);
/* The store's thread: it is safe; to be called before others can see so. */
void keeper_tell_safe(struct server *server, const struct fate *fate, uint32_t address,
                      enum fate_state state, enum fate_reason reason);
/* Counts what is safe by now as settled. */
void keeper_safe_take(struct worker *worker);
/* One other node, or several, have sessions of an id, or none has; to one they have just come. Or:
 * a message that is lent to this node was settled by who keeps it (value: hash64 of its id; number:
 * the lower half of message->serial). */
enum { REMOTE_NONE, REMOTE_ONE, REMOTE_MANY, REMOTE_FRESH, REMOTE_SETTLED };
void keeper_on_remote(struct worker *worker, const struct mail *mail);
/* Takes back every address of the message that is kept here: settled as withdrawn. */
void keeper_withdraw(struct worker *worker, struct span message_id, const struct fate *fate);

#endif
