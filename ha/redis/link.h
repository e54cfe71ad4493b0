/* link.h - one connection to a Redis server: how it comes up, what waits to be sent, how it is
 * lost.
 *
 *   DOWN --time--> CONNECTING --> GREETING --every answer has come--> UP
 *    ^                 |              |                                |
 *    +-----------------+--------------+------ link_lose ---------------+
 *
 * GREETING: AUTH, SELECT, CLIENT SETNAME, ROLE, PING, all sent at once. A wrong password, a replica
 * (whose PUBLISH reaches nobody else) and a Sentinel lose the link again; what an ACL keeps from us
 * of CLIENT and ROLE is done without.
 *
 * A link that is lost is tried again within LINK_RETRY_FIRST_NS: until then other nodes take its
 * clients for absent. The next waits are LINK_RETRY_MIN_NS, doubled each time, less up to a half by
 * chance. Where nobody lets it in they end at LINK_RETRY_MAX_NS: nodes that come back to the same
 * Redis shall do so while UNSURE_NS lasts (redis_port.h). One that is let in and sent away waits up
 * to LINK_AWAY_MAX_NS, since each time all names are subscribed. It begins anew once the link has
 * been UP for LINK_GOOD_NS. A host's addresses are tried one behind the other before it waits.
 * None is tried while the server has none.
 *
 * One that says nothing for LINK_ASK_NS is asked to (PING), and is lost when it does not answer
 * that in LINK_ANSWER_NS. What lies in the socket is read first: this node may have stood still.
 *
 * Threads: the port's. Owns: its socket, and memory charged to the account. Limits: what waits to
 * be sent is LINK_OUT_BYTES_MAX, in a buffer of at most twice that; a reply `reply_bytes_max`. */
#ifndef RINGPOST_HA_REDIS_LINK_H
#define RINGPOST_HA_REDIS_LINK_H

#include "core/base/clock.h"
#include "ha/redis/redis_socket.h"
#include "ha/redis/redis_url.h"
#include "ha/redis/resp.h"

#define LINK_OUT_BYTES_MAX (16 * 1024 * 1024)
#define LINK_IN_BYTES (64 * 1024)
#define LINK_RETRY_FIRST_NS (50 * NS_PER_MS)
#define LINK_RETRY_MIN_NS (200 * NS_PER_MS)
#define LINK_RETRY_MAX_NS (2 * NS_PER_S)
#define LINK_AWAY_MAX_NS (10 * NS_PER_S)
#define LINK_GOOD_NS (10 * NS_PER_S)
#define LINK_CONNECT_NS (3 * NS_PER_S) /* up to UP */
#define LINK_ASK_NS NS_PER_S           /* without a byte: PING */
#define LINK_ANSWER_NS (4 * NS_PER_S)
#define LINK_SILENT_NS (LINK_ASK_NS + LINK_ANSWER_NS)

struct account;

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_GREETING, LINK_UP };

/* Whom to connect to, for all links of a port. */
struct redis_server {
    struct redis_url url;
    char text[256];  /* for people: without the password */
    char client[80]; /* of CLIENT SETNAME */
    bool any_role;   /* a replica will do */
    struct port_address addresses[REDIS_ADDRESSES_MAX];
    unsigned address_count; /* 0: nobody has said where it is (redis_sentinel.h) */
};

struct link {
    const char *name; /* for the log */
    const struct redis_server *server;
    struct account *account;
    enum link_state state;
    int fd;               /* -1: none */
    uint32_t connections; /* how often it came UP */
    unsigned tries;       /* of all addresses, since it was UP last for so long that it counts */
    unsigned address;     /* of the server's: the one that is tried next, or was last */
    unsigned failed;      /* so many of them, since it waited last */
    unsigned answers_due; /* GREETING */
    bool was_up;          /* DOWN: it had come UP before */
    uint64_t begun_ns;    /* the try that is under way */
    uint64_t retry_ns;    /* DOWN: when to try again */
    uint64_t up_ns;       /* the beginning of UP */
    uint64_t ask_ns;      /* UP: when it is to be asked to say something */
    uint64_t asked_ns;    /* when it was; 0: something has come since */
    char *out;            /* what waits to be sent: from out_at to out_len */
    size_t out_at, out_len, out_cap;
    char *in; /* LINK_IN_BYTES; received, not read: `input` */
    struct span input;
    struct resp_reader reader;
    bool in_ready, out_ready; /* as poll said */
    char why[160];            /* it was lost: what is wrong, for the log */
};

/* False: no memory. */
bool link_init(struct link *link, const char *name, const struct redis_server *server,
               struct account *account, size_t reply_bytes_max);
void link_fini(struct link *link);

/* Once a turn: connects, greets, notices silence. True: it has come UP just now. */
bool link_step(struct link *link, uint64_t now_ns);
/* It has said nothing for so long that it is to be asked: the caller sends PING, and says whether
 * there was room for that (link_asked). */
bool link_wants_ping(const struct link *link, uint64_t now_ns);
void link_asked(struct link *link, uint64_t now_ns, bool sent);
/* Sends what waits, as far as the socket takes it. */
void link_send(struct link *link, uint64_t now_ns);
/* The next reply of one that is UP. False: there is none at the moment, or the link was lost. */
bool link_next(struct link *link, struct resp_reply *reply, uint64_t now_ns);
/* There is news of the server: one that could not come up is tried now. (One that was sent away is
 * not, or two of which each is sent away in turn would hurry each other for ever.) */
static inline void link_hurry(struct link *link, uint64_t now_ns) {
    if (link->state == LINK_DOWN && !link->was_up)
        link->retry_ns = now_ns;
}
/* The server is another one: it is tried now, as if there had been none. It is DOWN. */
static inline void link_anew(struct link *link, uint64_t now_ns) {
    link->address = link->failed = link->tries = 0;
    link->was_up = false;
    link->retry_ns = now_ns;
}
/* Its silence says nothing now: nobody asks it, or nobody listens. */
void link_bide(struct link *link, uint64_t now_ns);
/* It is given up, and tried again later. `why` is a sentence. */
void link_lose(struct link *link, uint64_t now_ns, const char *why);

/* Room for a command of so many bytes, to be written into `out`, then link_put. False: too much
 * waits, or no memory. Only while UP. */
bool link_room(struct link *link, size_t bytes, struct builder *out);
void link_put(struct link *link, const struct builder *out);
/* One command; false as above. */
bool link_command(struct link *link, const struct span *words, unsigned count);

/* How long to wait before a try that comes behind so many others. */
uint64_t link_retry_wait_ns(unsigned tries, uint64_t max_ns);

/* What it waits for, for poll(2), and how long it may. */
struct pollfd link_poll(const struct link *link);
void link_polled(struct link *link, short revents);
uint64_t link_due_ns(const struct link *link);

static inline bool link_is_up(const struct link *link) {
    return link->state == LINK_UP;
}

#endif
