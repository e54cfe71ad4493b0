/* server.h - the node: its workers, what they share, and the way it starts and ends.
 *
 *   STARTING -> RUNNING -> REFUSING -> GOODBYE -> CLOSING -> STOPPED
 *
 * REFUSING: client listeners stop accepting, publishes are refused (503 draining), what is under
 * way arrives. GOODBYE: nothing can arrive any more; each session gets its goodbye and is closed
 * when its outbox is empty. CLOSING: no session is left or the time is over; producers' last
 * answers leave, and whoever comes to `api` is answered, but not waited for. Then all ends. A phase
 * begins when every worker and port is through with the one before. Ports are part of the node from
 * RUNNING on, until STOPPED.
 *
 * Threads: the main thread, and each worker and port for what server_phase says. */
#ifndef RINGPOST_CORE_SERVER_H
#define RINGPOST_CORE_SERVER_H

#include "core/fates.h"
#include "core/holders.h"
#include "core/port.h"
#include "core/presence.h"
#include "core/quota.h"
#include "core/store.h"
#include "core/worker.h"

#include <pthread.h>
#include <semaphore.h>

enum server_phase {
    PHASE_STARTING,
    PHASE_RUNNING,
    PHASE_REFUSING,
    PHASE_GOODBYE,
    PHASE_CLOSING,
    PHASE_STOPPED
};

struct client_gate;
struct start;

/* What the composition root puts into the engine, which looks at nothing else beyond its room. */
struct server_parts {
    const struct protocol *protocols[LISTENER_KINDS];
    struct encoding *encodings[ENCODINGS_MAX]; /* all that sessions may have; then NULL */
    const struct client_gate *client_gate; /* proto/client/client.h; NULL: clients may not send */
    /* Something outside the engine has an answer for this endpoint (endpoint.h); NULL: nobody
     * listens. */
    void (*on_nudged)(struct endpoint *endpoint);
    struct port *ports[PORTS_MAX]; /* after port_init; the caller's, until server_fini */
    unsigned port_count;
    struct store *store; /* one of the ports (store.h); NULL: what is kept ends with the process */
    struct port *herald; /* one of the ports, which tells other hosts of names (presence.h); NULL:
                            there are no other hosts */
    struct port *peers; /* one of the ports, which passes polls on to the nodes where their sessions
                           live; NULL: there is none */
    /* A call that another node asks for (call.h), in the words of its call_nodes, on a port's
     * thread: ready for call_start. NULL: it is none, or there is no room. */
    struct call *(*call_of)(struct endpoint *endpoint, struct span asked);
};

struct server {
    _Atomic(const struct config *) config; /* replaced by server_config_set */
    char run[17];                          /* 16 hex digits, new at every start */
    uint64_t started_ns, started_wall_ms;
    _Atomic uint64_t id_offset_ms; /* what is added to the monotonic time in ids that the node
                                      makes; grows with the wall clock, never goes back with it */
    struct server_parts parts;
    struct worker *workers;
    unsigned worker_count;
    struct endpoint *endpoints[ENDPOINTS_MAX]; /* the workers, then the ports: post.endpoints */
    _Atomic uint64_t broadcast_set;  /* endpoints that messages for everybody go to (port.h) */
    _Atomic uint64_t everything_set; /* ports that hear of every message that is not kept */
    struct post post;
    struct budget budget;
    struct quota answers, reserve; /* of calls: within --memory, and beyond it (chain.h) */
    struct ring_settings ring_settings;
    int listen_fds[LISTENERS_MAX][WORKERS_MAX];
    char listen_text[LISTENERS_MAX][64]; /* the addresses they really have */
    bool steered[LISTENERS_MAX];         /* by the kernel; otherwise in user space if steer is ip */
    void *ingest; /* shared state of the ingest room, set by the composition root */
    _Atomic uint32_t phase;
    _Atomic uint64_t phase_since_ns;
    _Atomic uint32_t connections; /* of the whole node, for --max-connections */
    _Atomic uint64_t piles_set;   /* workers whose input piles up (reading.h) */
    uint64_t drain_since_ns;
    pthread_t *threads;
    struct start *starts; /* what each thread is given */
    unsigned thread_count;
    sem_t opened;                /* once by each thread when it has opened, or could not */
    struct addresses *addresses; /* for --max-per-address; NULL: off */
    struct holders *holders;     /* which endpoints hold a name */
    struct presence *presence;   /* which names are held, for other hosts; NULL: there are none */
    struct fates fates;          /* of messages that are to be acknowledged */
    _Atomic uint64_t serial;     /* of the next message for the store */
    _Atomic uint32_t trailed[TRAIL_PLACES]; /* trails (trail.h) by the hash of their client id */
};

/* What one worker takes outside --memory before its first connection: its ring and receive buffers,
 * its queues, its tables. Slots come to it. */
uint64_t server_fixed_bytes(const struct server *server);
/* Lays out what is shared and binds the listeners; nothing runs yet. False: `problem` says what is
 * wrong and how to mend it. */
bool server_init(struct server *server, const struct config *config,
                 const struct server_parts *parts, char *problem, size_t problem_cap);
/* Starts the threads of workers and ports, and returns when all are there. Not used by the
 * simulation. */
bool server_start(struct server *server, char *problem, size_t problem_cap);
/* Begins to drain; harmless when it has begun. */
void server_drain(struct server *server);
/* Moves on to the next phase when the threads are ready for it; true when STOPPED. Called again and
 * again by the main thread while draining. */
bool server_step(struct server *server);
/* Are all workers and ports through with the phase? Any thread. */
bool server_through(const struct server *server, enum server_phase phase);
/* Waits for the threads to end, once STOPPED. */
void server_join(struct server *server);
/* Frees what server_init made; no thread runs any more. */
void server_fini(struct server *server);
/* Publishes another config, and wakes all threads to take it. The main thread, or the simulation.
 */
void server_config_set(struct server *server, const struct config *config);
/* Have all threads taken the config that holds now? Then none looks at an older one any more, and
 * it may be freed. By whoever calls server_config_set. */
bool server_config_settled(const struct server *server);
/* Wakes all threads to look at the phase and the config. Any thread. */
void server_nudge(struct server *server);
/* Makes one endpoint call on_nudged soon; `argument` is the struct server. Any thread. */
void server_nudge_endpoint(void *argument, unsigned index);

static inline enum server_phase server_phase(const struct server *server) {
    return (enum server_phase)atomic_load_explicit(&server->phase, memory_order_acquire);
}
static inline const struct config *server_config(const struct server *server) {
    return atomic_load_explicit(&server->config, memory_order_acquire);
}

/* A worker's input begins to pile up, or does so no more; and: is there any? A worker. */
static inline void server_piles_set(struct server *server, unsigned worker, bool piles) {
    uint64_t bit = UINT64_C(1) << worker;
    if (piles)
        atomic_fetch_or_explicit(&server->piles_set, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&server->piles_set, ~bit, memory_order_relaxed);
}
static inline bool server_any_piles(const struct server *server) {
    return atomic_load_explicit(&server->piles_set, memory_order_relaxed) != 0;
}

#endif
