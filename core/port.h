/* port.h - a thread that is not a worker: it brings messages in from something else (a broker,
 * another node), hands messages out to it, or both.
 *
 *   out: a message for a name that the port holds (holders.h) comes by DELIVER; `deliver` passes it
 *        on, and port_answer tells what became of it
 *   in:  the port publishes as any producer does (gate.h), by its endpoint
 *
 * A port waits for its own descriptors and for mail at once (poll(2)), so that it sleeps only when
 * both are quiet. What it has for workers, and they for it, goes through the same queues as between
 * two workers.
 *
 * A port may be slow, or silent because what it speaks to is gone. Nobody waits for it longer than
 * PORT_ANSWER_NS, and it cannot use up the places that others need to publish: see port_wait.h. Its
 * own thread never waits for anything but `wait`: the node's drain waits for its turns.
 *
 * Memory: a message that it holds is its publisher's, and counts against --memory until it is let
 * go, so a port lets go of it when it has passed it on, and of one whose answer would come too late
 * anyway when it can. What it must keep for longer, it copies into its own account.
 *
 * Life: port_init, server_init, port_open on its thread; `turn` from PHASE_RUNNING on, in which it
 * may publish and hold names (holders_add); `stop` once in PHASE_STOPPED. What still comes behind
 * that is answered for it. One whose thread is in a call then that does not come back is waited for
 * as long as PORT_STOP_NS; then the process ends without it.
 *
 * Threads: its own; port_init before it runs. Owns: its endpoint. The type's own state embeds the
 * port, which is aligned to 64 bytes. Limits: PORTS_MAX of a node. */
#ifndef RINGPOST_CORE_PORT_H
#define RINGPOST_CORE_PORT_H

#include "core/endpoint.h"
#include "core/mailbox.h"

struct call;
struct message;
struct port;
struct relay;

/* Another node, as a port knows it. */
#define PORT_NODE_BYTES 65
#define PORT_PEER_BYTES 56
struct port_node {
    char name[PORT_NODE_BYTES]; /* empty: it has not said it */
    char run[17];
    char peer[PORT_PEER_BYTES]; /* where it takes polls of its sessions; empty: nowhere */
};

/* What has come from one queue of a broker, as it was in one moment: `deliveries` is the sum of all
 * that follow. */
struct port_book {
    const char *queue;
    uint64_t deliveries;
    uint64_t acknowledged, refused, rejected, abandoned;
    uint64_t held, under_way; /* as they were found */
};

/* What a port does. All on its own thread. */
#define PORT_SERVER_BYTES 256
/* A server outside that a port speaks to. */
struct port_server {
    char text[PORT_SERVER_BYTES]; /* where it is, without secrets */
    bool connected;
    uint64_t lost; /* how often its connection was */
};

struct port_type {
    const char *name;   /* at most 10 bytes; of its thread, and in the log */
    size_t stack_bytes; /* of its thread; 0: as any (thread.h) */
    /* Once, after port_open: what must be there before the node runs. It may take long; workers
     * take mail meanwhile. False: `problem` says what is wrong. May be NULL. */
    bool (*open)(struct port *port, char *problem, size_t problem_cap);
    /* A message for it. Takes over a hold (message_release), and calls port_answer at most once,
     * now or later, with a copy of `request`: the more it leaves without, the less it is given. A
     * message may be let go before or after its answer. NULL: it only brings messages in. */
    void (*deliver)(struct port *port, struct message *message, const struct mail *request);
    /* A message that is to be acknowledged, for sessions of one of its ids (`mail->number`) on
     * other nodes: from its keeper, which goes on keeping it. Takes over a hold. NULL: nobody is
     * there. */
    void (*hand)(struct port *port, struct message *message, const struct mail *mail);
    /* A call (call.h) that asks other nodes: what they say goes into the part of others, and
     * call_part_done is called exactly once, soon, now or later. NULL: they are not asked. */
    void (*call)(struct port *port, struct call *call);
    /* A call that the port has started for another node: all parts are there; it tells them, and
     * calls call_end. */
    void (*called)(struct port *port, struct call *call);
    /* A relay (relay.h) has come, or come back; also after `stop`, when it is to go back at once.
     * NULL: none is sent to it. */
    void (*relay)(struct port *port, struct relay *relay);
    /* Once in each turn: reads and writes what its descriptors are ready for, while
     * endpoint_slice_over says no. May be NULL. */
    void (*turn)(struct port *port);
    /* Waits until one of its descriptors or `wake_fd` is ready, for at most `wait_ns` (0: only
     * looks), and clears `wake_fd` with net_wake_clear. It may come back at once where the last
     * turn left something to do. NULL: it has no descriptors. */
    void (*wait)(struct port *port, int wake_fd, uint64_t wait_ns);
    /* The node ends (PHASE_REFUSING): asks whoever sends messages to stop. Called in each turn
     * until it says true, nothing more will come; that must be soon. NULL: there is nothing to ask.
     */
    bool (*refuse)(struct port *port);
    /* All sessions have had their last word (PHASE_CLOSING): called in each turn until it says
     * true, what was to be passed on has left; that must be soon. NULL: there is nothing to wait
     * for. */
    bool (*close)(struct port *port);
    /* Other nodes that it knows, from number `from` on, at most `max`: how many there were. Any
     * thread. NULL: it knows of none. */
    unsigned (*nodes)(struct port *port, unsigned from, struct port_node *nodes, unsigned max);
    /* Servers that it speaks to, as above. NULL: it tells of none. */
    unsigned (*servers)(struct port *port, unsigned from, struct port_server *servers,
                        unsigned max);
    /* The books of queues, as above. NULL: it has none. */
    unsigned (*books)(struct port *port, unsigned from, struct port_book *books, unsigned max);
    /* The node stops: lets go of every message that it still holds, answered or not, of every
     * name, and of calls (call_part_done); perhaps no turn came before, since the start failed. May
     * be NULL. */
    void (*stop)(struct port *port);
};

/* A figure of a port's own, for /metrics and /v1/stats. Any thread reads it. */
struct port_figure {
    const char *metric; /* after "ringpost_"; those of one family stand in a row */
    const char *label;  /* such as `reason="ack"`, of at most 1 KiB; NULL: none */
    const char *kind;   /* "gauge" or "counter" */
    const char *help;
    const _Atomic uint64_t *value;
};

struct port {
    union {
        struct endpoint;
        struct endpoint endpoint;
    };
    const struct port_type *type;
    bool mail_left; /* the last turn left mail behind */
    bool stopped;   /* `stop` was called */
    /* When the turn began that is under way; 0: it waits. Any thread. */
    _Atomic uint64_t turn_ns;
    /* Set before it runs; they live as long as it. */
    const struct port_figure *figures;
    unsigned figure_count;
    /* What /readyz says while it cannot do its work ("redis"); NULL while it can. Any thread reads
     * it. */
    _Atomic(const char *) degraded;
    /* The herald tells other nodes that this port is reached there; empty: it is not. Written
     * before PHASE_RUNNING. */
    char address[PORT_PEER_BYTES];
};

void port_init(struct port *port, const struct port_type *type);
/* Prepares it on its own thread; server_init has set its place. False: no memory. */
bool port_open(struct port *port, struct server *server, unsigned index);
/* One turn; waits for at most `wait_ns` when there is nothing to do. False: the node has stopped.
 */
bool port_turn(struct port *port, uint64_t wait_ns);
/* A HAND has come. */
void port_on_hand(struct endpoint *endpoint, const struct mail *mail);
/* A call has come that other nodes are asked as well; one that this port has started is complete.
 */
void port_on_call(struct endpoint *endpoint, struct call *call);
void port_on_called(struct endpoint *endpoint, struct call *call);
void port_on_relay(struct endpoint *endpoint, struct relay *relay);
/* After all threads have ended. */
void port_fini(struct port *port);

/* Answers a DELIVER: how many took the message, and the flags of an answer (delivery.h). */
void port_answer(struct port *port, const struct mail *request, uint32_t recipients,
                 unsigned flags);
/* Shall messages for everybody come to it? At first they do not. */
void port_hear_broadcasts(struct port *port, bool hears);
/* Shall every message come to it, but those that are kept (keeper.h) and its own? As above. */
void port_hear_everything(struct port *port, bool hears);

#endif
