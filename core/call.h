/* call.h - something that an operator asks of every worker, and perhaps of other nodes: presence,
 * members, disconnect, statistics.
 *
 *   call_start -> its part waits on each worker -> run, a slice of each turn -> all parts are there
 *       -> finish, on the owner, a slice of each turn -> freed
 *
 * Each worker runs `run` in its own turns, for as long as their slice lasts, and writes only into
 * its own part. The owner gets `finish` when all parts are there. A worker carries its parts out
 * one after the other, so a call waits for those before it, and none takes more of a turn than all
 * together may.
 *
 * Other nodes. A call that has `nodes` goes to the port as well that knows them
 * (server_parts.herald; without one it is of this node alone). The port sends what `ask` writes,
 * and gathers what they say as one part more, within a time of its own. There, the port is the
 * owner of a call that server_parts.call_of has made of the same text, and sends back what `tell`
 * writes. What nodes tell is lines, each a JSON object that stands for itself, in any order.
 *
 * Whatever is collected is charged before it is made (chain.h): the call itself, the text and
 * blocks of its parts.
 *
 * Threads: made and finished on the owner; `run` on each worker. Owns: its parts. Limits: counts as
 * a request (mailbox.h); CALLS_MAX for each endpoint. */
#ifndef RINGPOST_CORE_CALL_H
#define RINGPOST_CORE_CALL_H

#include "core/chain.h"
#include "core/walk.h"

struct mail;
struct call;

#define CALL_BLOCKS 2

struct call_part {
    struct list link; /* in calls->waiting of the worker */
    struct call *call;
    struct chain text;                 /* what the worker tells */
    struct chunk *blocks[CALL_BLOCKS]; /* and what else it has collected; NULL: none */
    uint64_t count;                    /* whatever the call counts */
    uint64_t more[2];                  /* and what else there is to tell */
    uint8_t namespace;                 /* of its walk, counted from call->namespace */
    bool begun;                        /* its walk has */
    bool failed;                       /* there was no memory */
    bool missing;                      /* of other nodes: not all have told theirs */
};

/* Whom a call is for, beside this node. */
enum call_reach {
    CALL_ID,    /* nodes with sessions of its first name, a client id */
    CALL_GROUP, /* the same of a group */
    CALL_ALL
};

/* How other nodes take part in a call. */
struct call_nodes {
    enum call_reach reach;
    /* Writes what is asked, a JSON object of at most CALL_ASK_BYTES. On the port's thread, while
     * workers run it. */
    void (*ask)(const struct call *call, struct builder *out);
    /* The other side: writes what all parts say here. On the port's thread. */
    void (*tell)(struct endpoint *endpoint, struct call *call, struct chain *out);
};
#define CALL_ASK_BYTES 4096
#define CALL_LINE_BYTES 262144 /* that a line of what is told has at the most */

struct call {
    /* Begins, or goes on with, what it is about on a worker. Looks at slice_over, but gets on by a
     * step each time. True: the part is complete. */
    bool (*run)(struct worker *worker, struct call *call, struct call_part *part);
    /* The same on the owner, after all parts. True: it is answered; the call and its parts are
     * freed. */
    bool (*finish)(struct worker *worker, struct call *call);
    /* For call_walk: one session. False: it need see no more. */
    bool (*visit)(struct worker *worker, struct call_part *part, struct session *session);
    const struct call_nodes *nodes; /* NULL: of this node alone */
    uint16_t owner;
    uint16_t missing;              /* parts; the owner's */
    uint16_t part_count;           /* the workers', then that of other nodes */
    bool wide;                     /* other nodes take part in it, or one of them has asked it */
    uint8_t namespace, namespaces; /* that it is about: so many from that number on */
    bool reserve;                  /* of chunk_get */
    _Atomic bool gone;             /* nobody waits for it: set by the owner, looked at by all */
    void *request;                 /* the owner's own; of another node's, the port's */
    struct chunk *blocks[CALL_BLOCKS]; /* what finish keeps between two turns; NULL: nothing */
    uint64_t argument;
    uint32_t limit;
    char text[256 + 16]; /* names that it is about, laid out by the caller */
    uint16_t text_len[2];
    struct call_part parts[];
};

/* What a worker has to do for calls. */
struct calls {
    struct list waiting; /* parts, the first one is being carried out */
    struct walk walk;    /* of that one */
    uint32_t stamp;      /* of its look at ids, see name->seen */
};

void calls_init(struct calls *calls);
static inline bool calls_busy(const struct calls *calls) {
    return !list_empty(&calls->waiting);
}
/* Carries calls out for as long as the slice lasts. */
void calls_work(struct worker *worker);

/* A call with zeroed parts for all workers, and one for other nodes if it asks them (`nodes` not
 * NULL), there are any, and the caller is a worker. `reserve`: it must go on also when the memory
 * is full. NULL: no memory, or too many calls or requests are under way; counted. */
struct call *call_get(struct endpoint *endpoint, const struct call_nodes *nodes, bool reserve);
/* Sends it to all workers, and the port. False: a mailbox is full; nothing was sent and the call is
 * freed. */
bool call_start(struct endpoint *endpoint, struct call *call);
/* The part of other nodes; NULL: they were not asked. */
static inline struct call_part *call_others(struct call *call, unsigned workers) {
    return call->part_count > workers ? &call->parts[workers] : NULL;
}
/* On a port: the part of other nodes is there; the call is its owner's again. */
void call_part_done(struct endpoint *endpoint, struct call *call);
/* On a port that owns it: all is told. Frees it. */
void call_end(struct endpoint *endpoint, struct call *call);
/* For `run`: shows `visit` every session of a name that is here. True: it has seen them all, or has
 * seen enough, or nobody waits for the call. */
bool call_walk(struct worker *worker, struct call_part *part, enum name_kind kind,
               unsigned namespace, uint64_t hash, struct span text);
void call_on_mail(struct endpoint *endpoint, const struct mail *mail);
void call_on_done_mail(struct endpoint *endpoint, const struct mail *mail);

static inline bool call_is_gone(const struct call *call) {
    return atomic_load_explicit(&call->gone, memory_order_relaxed);
}

#endif
