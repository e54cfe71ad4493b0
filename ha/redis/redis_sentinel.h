/* redis_sentinel.h - Sentinels, who say which server of Redis is the first of its replicas
 * (--redis redis+sentinel://), and are followed when they name another.
 *
 *   DOWN --time--> CONNECTING --> ASKED --an address--> KNOWS --SENTINEL_ASK_NS--> ASKED
 *    ^                 |            |                     |
 *    +-----------------+------------+---- the next one ---+
 *
 * One of them is connected to at a time, and asked SENTINEL GET-MASTER-ADDR-BY-NAME: every
 * SENTINEL_ASK_NS, and every SENTINEL_HURRY_NS while the server does not answer. One that cannot
 * be reached, says nothing for SENTINEL_WAIT_NS, closes, does not know the name, or says what is no
 * address and port, is lost, and the next one is tried at once, in the order of the URL. When all
 * were lost in a row they are tried again after as long as a link waits that nobody lets in
 * (link.h). Meanwhile the server is where it was: without Sentinels a node works, but follows
 * nobody.
 *
 * Believed is what one of them says. Whether the server is a replica is seen from its ROLE as links
 * come up: an address that is one still, or already, loses the link, so Sentinels are asked again
 * soon. An address must be one in numbers: the port's thread can look up no names.
 *
 * A Sentinel that asks for a password is given user and password of the URL.
 *
 * Threads: the port's; `figures` any. Owns: its socket, and memory
 * charged to the account. Limits: REDIS_URL_SENTINELS_MAX Sentinels with REDIS_ADDRESSES_MAX
 * addresses each; SENTINEL_REPLY_BYTES_MAX of a reply. */
#ifndef RINGPOST_HA_REDIS_REDIS_SENTINEL_H
#define RINGPOST_HA_REDIS_REDIS_SENTINEL_H

#include "ha/redis/link.h"

#define SENTINEL_ASK_NS NS_PER_S
#define SENTINEL_HURRY_NS (200 * NS_PER_MS)
#define SENTINEL_WAIT_NS NS_PER_S        /* up to being connected, and for each answer */
#define SENTINEL_TELL_NS (60 * NS_PER_S) /* between lines of the log, while all are lost */
#define SENTINEL_REPLY_BYTES_MAX 4096
#define SENTINEL_ADDRESSES_MAX (REDIS_URL_SENTINELS_MAX * REDIS_ADDRESSES_MAX)

#define SENTINEL_FIGURES(X)                                                                        \
    X(connected, "redis_sentinel_connected", "gauge",                                              \
      "1 while a Sentinel says where the server of Redis is")                                      \
    X(lost, "redis_sentinels_lost_total", "counter",                                               \
      "times that a Sentinel could not be asked, or had no answer")                                \
    X(failovers, "redis_failovers_total", "counter",                                               \
      "times that a Sentinel named another server, which was followed")

struct sentinel_figures {
#define SENTINEL_FIGURE_MEMBER(name, metric, kind, help) _Atomic uint64_t name;
    SENTINEL_FIGURES(SENTINEL_FIGURE_MEMBER)
#undef SENTINEL_FIGURE_MEMBER
};

enum sentinel_state { SENTINEL_DOWN, SENTINEL_CONNECTING, SENTINEL_ASKED, SENTINEL_KNOWS };

/* One address of a Sentinel. */
struct sentinel_address {
    struct port_address address;
    const struct url_place *place; /* as the URL has it */
};

struct redis_sentinel {
    struct redis_server *server; /* that they name; NULL: there are no Sentinels */
    struct span name;            /* of it, as they have it */
    struct sentinel_figures figures;
    struct sentinel_address addresses[SENTINEL_ADDRESSES_MAX];
    unsigned address_count;
    unsigned at; /* the one that is tried next, or was last */
    enum sentinel_state state;
    int fd; /* -1: none */
    struct resp_reader reader;
    short ready;    /* what poll said of it */
    bool auth_sent; /* on this connection */
    bool auth_due;  /* what comes next answers that */
    bool hurries;   /* the server did not answer, in the last step */
    bool answered;  /* on this connection, since: */
    uint64_t known_ns;
    uint64_t asked_ns; /* the last question, or the beginning of the connection */
    uint64_t retry_ns; /* DOWN: when the next one is tried */
    uint64_t moved_ns; /* the server was another one last */
    unsigned failed;   /* in a row, since all were waited for last */
    unsigned tries;    /* rounds of all of them, since one was good */
    bool tells;        /* the log hears of who is lost in this round */
    bool told;         /* it has, since one answered */
    uint64_t told_ns;
};

/* There are none until redis_sentinel_open. */
void redis_sentinel_init(struct redis_sentinel *sentinel);
static inline bool redis_sentinel_is_on(const struct redis_sentinel *sentinel) {
    return sentinel->server != NULL;
}
/* At the start: looks up the addresses of those that `server->url` names; both must stay where they
 * are. Those that have none are left out, with a line of the log. False: none has one, or there is
 * no memory; `problem` says so. */
bool redis_sentinel_open(struct redis_sentinel *sentinel, struct redis_server *server,
                         struct account *account, uint64_t now_ns, char *problem,
                         size_t problem_cap);
void redis_sentinel_fini(struct redis_sentinel *sentinel);

/* Once a turn: `works` says whether the server answers. True: they have named another server,
 * or the first, which is in `server` now: its links are to be lost, and begun anew (link_anew). */
bool redis_sentinel_step(struct redis_sentinel *sentinel, bool works, uint64_t now_ns);
/* What it waits for, for poll(2), and how long it may. */
struct pollfd redis_sentinel_poll(const struct redis_sentinel *sentinel);
void redis_sentinel_polled(struct redis_sentinel *sentinel, short revents);
uint64_t redis_sentinel_due_ns(const struct redis_sentinel *sentinel);

#endif
