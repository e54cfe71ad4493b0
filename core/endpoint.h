/* endpoint.h - what a thread needs to publish messages, to answer and to be answered.
 *
 * Two sorts of threads have it: workers (worker.h), which hold connections and sessions, and ports
 * (port.h), which speak to something else that messages come from or go to. Each begins with it:
 *
 *     union {
 *         struct endpoint;          its members as the worker's own: worker->now_ns
 *         struct endpoint endpoint; and the whole: hub_publish(&worker->endpoint, ...)
 *     };
 *
 * The hub, the gate, messages and mailboxes take an endpoint and do not know which sort it is. Sets
 * of endpoints are 64-bit words by `index`: workers come first, ports after them (limits.h).
 *
 * Threads: its own, but for `stats` and the atomics. Owns: the memory of the messages that it takes
 * in, and its publishes (hub.h). */
#ifndef RINGPOST_CORE_ENDPOINT_H
#define RINGPOST_CORE_ENDPOINT_H

#include "core/base/check.h"
#include "core/memory.h"
#include "core/pool.h"
#include "core/recorder.h"
#include "core/relay.h"
#include "core/stats.h"
#include "core/timer.h"

struct mail;
struct publish;
struct server;
struct worker;

/* Messages of an endpoint that sleeps are kept for so long before it is woken to take them home. */
#define HOMEBOUND_NS (20 * NS_PER_MS)

/* The publishes of an endpoint that wait for ports (port_wait.h). */
struct port_waits {
    struct list order; /* of struct port_wait, the oldest first */
    struct pool pool;
    struct timer timer; /* armed while there are any, and perhaps a while longer */
    uint32_t count;
    uint32_t owed[PORTS_MAX]; /* messages that a port has not answered yet, late or not */
};

/* The publishes of an endpoint whose messages are at the store (store.h). */
struct storing {
    struct list order;  /* the oldest first */
    struct timer timer; /* armed while there are any, and perhaps a while longer */
    uint32_t owed;      /* messages without an answer, given up or not */
};

struct endpoint {
    _Alignas(64) unsigned index; /* an endpoint shares no cache line with another */
    bool is_worker;
    struct server *server;
    const struct config *config; /* of this turn; nothing keeps what it points to for the next */
    uint64_t now_ns;             /* of this turn */
    uint64_t now_wall_ms;        /* of this turn */
    uint64_t slice_ns;           /* what each kind of work gets in a turn: WORK_SLICE_NS */
    uint64_t slice_until_ns;
    uint64_t late_max_ns; /* LATE_NS; tests take others */
    uint64_t looked_ns;   /* when endpoint_slice_over looked at the clock last */
    struct stats stats;
    struct account account;
    struct wheel wheel;

    /* A DELIVER has come: takes over the mail's hold of the message, and answers with hub_answer
     * exactly once (a port at most once), now or later. Set when the endpoint is opened. */
    void (*on_deliver)(struct endpoint *endpoint, const struct mail *mail);
    /* Something outside the engine has an answer for this endpoint: set it, then net_wake its
     * mailbox. on_nudged of server_parts is called in the next turn. */
    _Atomic bool nudged;

    struct publish *publishes; /* post.requests_max of them */
    uint32_t free_publish;     /* index + 1; 0: none */
    uint32_t requests;         /* publishes and calls in flight */
    uint32_t publishing;       /* of those, publishes */
    uint32_t calling;          /* and calls (call.h) */
    struct port_waits port_waits;
    struct storing storing;
    struct list undecided; /* publishes whose keepers have not all been told (keeper.h) */
    struct relays relays;  /* relay.h */

    uint64_t message_serial; /* random at start; the changing part of the ids that the node makes */
    struct timer trim;       /* armed while blocks of the account have memory to give back */
    struct message *homebound[ENDPOINTS_MAX]; /* messages of other endpoints, let go */
    uint64_t homebound_set;
    uint64_t homebound_ns; /* when the first of them was let go */
    uint64_t wake_set;     /* endpoints that were sent something in this turn */

    _Atomic(const struct config *) config_taken; /* as `config`, for server_config_settled */
    _Atomic uint32_t phase; /* enum server_phase that this endpoint is through with */
    struct recorder recorder;
};

/* Prepares it: the tables, the clocks, the config of now. The caller sets on_deliver. False: no
 * memory; endpoint_fini frees what is there. */
bool endpoint_open(struct endpoint *endpoint, struct server *server, unsigned index);
/* After all threads have ended: the messages of mail that nobody took any more go home, and those
 * that were let go in the last turns. */
void endpoints_collect(struct server *server);
/* After endpoints_collect. */
void endpoint_fini(struct endpoint *endpoint);

/* --- parts of a turn -------------------------------------------------------------------------- */

/* Reads the clocks, and takes a new config. */
void endpoint_turn_begin(struct endpoint *endpoint);
/* Calls on_nudged of server_parts where there is something for it. */
void endpoint_nudges_take(struct endpoint *endpoint);
/* Sends the messages home that were let go, and gives memory back. */
void endpoint_messages_return(struct endpoint *endpoint);
/* How much of `wait_ns` it may sleep: until the next timer, or `next_ns`, and not long with
 * messages of others. */
uint64_t endpoint_wait_ns(const struct endpoint *endpoint, uint64_t wait_ns, uint64_t next_ns);
/* Is the slice of time of this kind of work over? */
static inline bool endpoint_slice_over(struct endpoint *endpoint) {
    endpoint->looked_ns = clock_ns();
    return endpoint->looked_ns >= endpoint->slice_until_ns;
}
/* The worker that the endpoint is the beginning of; it must be one. */
static inline struct worker *worker_of(struct endpoint *endpoint) {
    CHECK(endpoint->is_worker, "endpoint %u is no worker", endpoint->index);
    return (struct worker *)(void *)endpoint;
}

#endif
