/* peer_port.h - the port by which nodes answer Engine.IO polls of each other's sessions.
 *
 *   front: worker --poll->go--> peer_away.c ==POLL==> peer_guest.c --poll->go--> worker: its home
 *          worker <--poll->go-- peer_away.c <=ANSWER= peer_guest.c <--poll->go-- worker
 *
 * A poll whose sid names another node comes here as to the worker of its session, and waits for as
 * long as that takes (engine_poll.h). The port calls the other node, if it has not yet, and tells
 * it the poll (peer_wire.h). The port there is the front of a poll of the same kind: at home
 * nothing differs from one that came by another worker. All polls for a node go over one
 * connection.
 *
 * Who is where. The port that knows other nodes (server_parts.herald) tells this node's address to
 * them, and knows theirs (port_type.nodes). What is told there is believed of nobody: who is called
 * proves first that it knows the secret, and that it is at that address; only then is anything said
 * of polls. A node that is heard of no more is kept while there is a connection to it, and while
 * the herald itself hears nothing, and for some seconds more.
 *
 * Nodes are told apart by two bytes of a sid. If two others have the same, they are asked one after
 * the other: who does not have the session says so. One that has this node's own is not asked, and
 * the log says so once.
 *
 * The end of a poll. Whoever cannot be asked, goes, or does not answer, is answered for: the client
 * is told that its session is unknown, and begins anew, as it does when its node has died. Where a
 * connection ends, the home ends the sessions whose polls waited there, as if their clients had
 * hung up. When this node drains, all GETs that wait elsewhere are released.
 *
 * Threads: its own; `figures` any. Owns: connections, what is known of nodes, polls of others, all
 * charged to its account; bodies to server->answers (chain.h). Limits: below; a poll beyond them is
 * answered 503. */
#ifndef RINGPOST_HA_PEER_PEER_PORT_H
#define RINGPOST_HA_PEER_PEER_PORT_H

#include "core/base/table.h"
#include "core/port.h"
#include "core/timer.h"
#include "ha/peer/peer_wire.h"

struct chunk;
struct peer_guest;
struct peer_link;
struct peer_port;

#define PEER_HOSTS_MAX 1024   /* other nodes */
#define PEER_CALLED_MAX 1024  /* connections of theirs */
#define PEER_STRANGERS_MAX 64 /* that have not proved anything */
#define PEER_LINKS_MAX (PEER_HOSTS_MAX + PEER_CALLED_MAX + PEER_STRANGERS_MAX)
#define PEER_FDS (PEER_LINKS_MAX + 2)
#define PEER_AWAY_MAX 65536 /* polls at one node */
#define PEER_AWAY_ALL_MAX 262144
#define PEER_GUESTS_MAX 65536 /* polls of one connection */
#define PEER_IN_BYTES (64 * 1024)
#define PEER_OUT_BYTES (64 * 1024)
#define PEER_OUT_SPARE 4096 /* of these, for what is not about a poll that waits */

#define PEER_SHAKE_NS (5 * NS_PER_S) /* from the beginning of a connection to its proof */
#define PEER_PING_NS NS_PER_S        /* it said nothing for so long: it says so */
#define PEER_SILENT_NS (5 * NS_PER_S)
#define PEER_IDLE_NS (60 * NS_PER_S)  /* a call without a poll */
#define PEER_SLACK_NS (10 * NS_PER_S) /* an answer may be later than both heartbeats */
#define PEER_RETRY_MIN_NS (100 * NS_PER_MS)
#define PEER_RETRY_MAX_NS (5 * NS_PER_S)
#define PEER_CLOSE_NS NS_PER_S /* at the end: for what is to leave yet */

/* Why a poll was not answered by its node. */
#define PEER_FAILURES(X)                                                                           \
    X(UNKNOWN, "unknown_node")  /* nobody has been heard of */                                     \
    X(UNSET, "no_peer")         /* that node has no --peer */                                      \
    X(UNREACHED, "unreachable") /* it could not be called just now */                              \
    X(LOST, "lost")             /* the connection ended meanwhile */                               \
    X(LATE, "timeout")                                                                             \
    X(FULL, "overloaded") /* a limit, or no memory */                                              \
    X(DRAINING, "draining")

/* Why a connection of somebody was refused, or given up. */
#define PEER_REFUSALS(X)                                                                           \
    X(HELLO, "not_a_peer") /* it said something else, or was of another version */                 \
    X(PROOF, "wrong_secret")                                                                       \
    X(SLOW, "timeout")                                                                             \
    X(ENDED, "ended") /* before it had proved anything */                                          \
    X(MANY, "too_many")                                                                            \
    X(FRAME, "bad_frame")

enum peer_failure {
#define PEER_FAILURE_ENUM(name, word) PEER_FAILED_##name,
    PEER_FAILURES(PEER_FAILURE_ENUM)
#undef PEER_FAILURE_ENUM
        PEER_FAILURE_COUNT
};
enum peer_refusal {
#define PEER_REFUSAL_ENUM(name, word) PEER_REFUSED_##name,
    PEER_REFUSALS(PEER_REFUSAL_ENUM)
#undef PEER_REFUSAL_ENUM
        PEER_REFUSAL_COUNT
};

/* Each is written by the port alone. */
#define PEER_FIGURES(X)                                                                            \
    X(nodes, "peer_nodes", "gauge", "other nodes that polls can be passed on to")                  \
    X(calls, "peer_calls", "gauge", "connections that this node made to others, and has")          \
    X(called, "peer_called", "gauge", "connections of other nodes to this one")                    \
    X(away, "peer_polls_away", "gauge", "polls that are at other nodes")                           \
    X(passed, "peer_polls_total", "counter", "polls that were passed on to other nodes")           \
    X(answered, "peer_answered_total", "counter", "of these, that were answered there")            \
    X(guests, "peer_guests", "gauge", "polls of other nodes' clients that are here")               \
    X(came, "peer_guests_total", "counter", "polls that came from other nodes")                    \
    X(turned, "peer_guests_refused_total", "counter",                                              \
      "of these, refused for want of room or memory, or too large")                                \
    X(lost, "peer_lost_total", "counter", "connections to and from other nodes that were lost")

struct peer_figures {
#define PEER_FIGURE_MEMBER(name, metric, kind, help) _Atomic uint64_t name;
    PEER_FIGURES(PEER_FIGURE_MEMBER)
#undef PEER_FIGURE_MEMBER
    _Atomic uint64_t failed[PEER_FAILURE_COUNT];
    _Atomic uint64_t refused[PEER_REFUSAL_COUNT];
};

/* Another node. */
struct peer_host {
    struct list link; /* in peers->hosts */
    char run[PEER_RUN_BYTES + 1];
    char name[PORT_NODE_BYTES];
    char address[PORT_PEER_BYTES]; /* empty: it has none */
    uint16_t node;                 /* of its sids */
    bool listed;                   /* the herald knows of it */
    uint64_t listed_ns;            /* when it did last, or might have */
    bool told;                     /* the log knows that it cannot be reached */
    uint64_t told_ns;
    struct peer_link *call; /* NULL: there is none */
    unsigned tries;
    uint64_t retry_ns; /* it is not called before */
    uint32_t away;     /* polls there */
};

enum peer_state {
    PEER_CONNECTING, /* caller */
    PEER_HELLOED,    /* caller: waits for the challenge */
    PEER_STRANGER,   /* called: waits for the hello */
    PEER_CHALLENGED, /* called: waits for the proof */
    PEER_UP,
    PEER_GONE /* to be freed at the end of the turn */
};

struct peer_link {
    struct list link; /* in peers->links */
    struct peer_port *peers;
    int fd;
    uint8_t state;          /* enum peer_state */
    bool in_ready;          /* it can be read */
    bool out_full;          /* the socket takes no more */
    struct peer_host *host; /* of a caller; NULL: it was called */
    struct peer_side mine, theirs;
    uint64_t begun_ns, heard_ns, said_ns;
    uint64_t used_ns; /* when the last poll of a call was away */
    uint8_t shake[PEER_CHALLENGE_BYTES];
    uint32_t shake_len;
    char *in, *out; /* once it is up */
    uint32_t in_at, in_len, out_len;
    uint32_t later_len; /* of heads behind `out` that follow the body which is being written */
    /* The frame that is being read. */
    struct peer_reader reader;
    struct peer_head head;
    struct chunk *body; /* NULL: it has none, or that is not kept */
    bool skips;         /* it is not kept for want of memory, or is too large */
    bool large;
    /* What is to be written: polls of a caller, guests of a called, the oldest first. */
    struct list queue;
    const struct chunk *rest; /* of the body of the first, from rest_at on */
    uint32_t rest_at;
    bool begun;         /* the head of the first is written, and not all of its body */
    struct list guests; /* of a called: all of its polls */
    uint32_t guest_count;
};

struct peer_port {
    struct port port;
    struct peer_figures figures;
    struct port_figure shown[32];
    uint8_t key[PROOF_KEY_BYTES];
    bool looks; /* by time, at the end of this turn */
    int listen_fd;
    bool called;        /* somebody is to be accepted */
    bool held;          /* no descriptors: nothing is accepted until the next tick */
    bool leaves;        /* the node drains */
    uint64_t closes_ns; /* since when it waits for what is to leave yet; 0: it does not */
    struct timer tick;
    uint64_t listed_ns; /* when the nodes were asked for last */
    struct list hosts, links;
    unsigned host_count, link_count, strangers;
    uint64_t refusal_told_ns;
    bool twice_told;
    /* peer_away.c */
    struct table away; /* by number */
    struct list order; /* the oldest first */
    uint64_t number;   /* of the last */
    /* peer_guest.c */
    struct table guests; /* by number and link */
    struct pollfd *fds;  /* PEER_FDS of them */
};

/* Prepares it. The config must outlive it. */
void peer_port_init(struct peer_port *peers, const struct config *config);

/* --- for the files of peer_*.c ---------------------------------------------------------------- */

static inline struct peer_port *peers_of(struct port *port) {
    return (struct peer_port *)(void *)port;
}
/* peer_hosts.c */
/* The next node of these two bytes behind `after` (NULL: the first); NULL: none is left. */
struct peer_host *peer_host_next(struct peer_port *peers, uint16_t node,
                                 const struct peer_host *after);
/* Looks at what the herald knows now, unless it did just now. */
void peer_hosts_look(struct peer_port *peers, bool again);
void peer_hosts_free(struct peer_port *peers);
/* It was called in vain, or the connection ended. */
void peer_host_lost(struct peer_port *peers, struct peer_host *host, bool was_up, const char *why);
/* It cannot be reached. */
void peer_host_tell(struct peer_port *peers, struct peer_host *host, const char *why);

/* peer_link.c */
/* Calls the node. False: it cannot be called now. */
bool peer_call(struct peer_port *peers, struct peer_host *host);
/* Takes what has come to the listener. */
void peer_accept(struct peer_port *peers);
/* Reads and writes what there is. */
void peer_link_work(struct peer_link *link);
void peer_link_look(struct peer_link *link); /* by time */
/* It ends; `why` is told. Its polls are failed. */
void peer_link_lose(struct peer_link *link, const char *why);
/* Frees those that are gone. */
void peer_links_sweep(struct peer_port *peers);
short peer_link_events(const struct peer_link *link);
/* A head, for which there is room (peer_link_room); behind the body that is being written. */
void peer_link_say(struct peer_link *link, const struct peer_head *head);
/* Is there room for a head, beside what is spare? */
static inline bool peer_link_room(const struct peer_link *link, uint32_t spare) {
    return link->begun ? PEER_OUT_SPARE - link->later_len >= PEER_HEAD_BYTES
                       : PEER_OUT_BYTES - link->out_len >= PEER_HEAD_BYTES + spare;
}
/* Begins a frame with that body (NULL: it has none), for which there is room with all that is
 * spare; link->begun until all of it is written. */
void peer_link_begin(struct peer_link *link, const struct peer_head *head,
                     const struct chunk *body);
/* Writes as much as there is room for of the body. False: it is not all. */
bool peer_link_rest(struct peer_link *link);

/* peer_away.c */
void peer_away_init(struct peer_port *peers);
void peer_away_relay(struct peer_port *peers, struct relay *relay);
/* Writes the first of link->queue. False: there was no room for all of it. */
bool peer_away_write(struct peer_link *link);
/* Is the answer to that number waited for? */
bool peer_away_wants(const struct peer_link *link, uint64_t number);
/* An ANSWER has come; takes `body` over. `starved`: it had one, for which there was no memory. */
void peer_away_answered(struct peer_link *link, const struct peer_head *head, struct chunk *body,
                        bool starved);
/* The connection to a node is lost, or was not to be had: its polls fail. */
void peer_away_lost(struct peer_link *link, enum peer_failure why);
/* Those that were not answered in time. */
void peer_away_look(struct peer_port *peers);
/* All GETs are to be answered now. */
void peer_away_release(struct peer_port *peers);
void peer_away_stop(struct peer_port *peers);

/* peer_guest.c */
void peer_guest_relay(struct peer_port *peers, struct relay *relay);
/* A POLL has come; takes `body` over. `starved`: as above; `large`: it is too large. */
void peer_guest_came(struct peer_link *link, const struct peer_head *head, struct chunk *body,
                     bool starved, bool large);
void peer_guest_cancel(struct peer_link *link, const struct peer_head *head);
void peer_guest_release(struct peer_link *link, uint64_t number);
bool peer_guest_write(struct peer_link *link);
/* Is a number in use? */
bool peer_guest_known(const struct peer_link *link, uint64_t number);
void peer_guests_lost(struct peer_link *link);

#endif
