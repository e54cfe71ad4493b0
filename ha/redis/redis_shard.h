/* redis_shard.h - one server of Redis, a plain one or a primary of a Cluster: its two links, what
 * they owe, and what is subscribed there; see redis_port.h.
 *
 * Each channel of an id or a group belongs to one shard, by the channel's name (spread.h). `all`,
 * and the channel of this node, are subscribed on every shard. What goes to everybody, or to
 * another node, is published on one of them, the same until it is lost, so that it keeps its order;
 * that a node lives is said on all. In a Cluster it is otherwise: see redis_cluster.h.
 *
 * Up and down. Both links belong together: when one is lost, so is the other, what was published
 * there and not answered is unavailable and perhaps delivered, and the shard's names are to be
 * subscribed again. Other shards go on.
 *
 * Threads: the port's. Owns: its links, and what is expected of them, charged to the port's
 * account. */
#ifndef RINGPOST_HA_REDIS_REDIS_SHARD_H
#define RINGPOST_HA_REDIS_REDIS_SHARD_H

#include "core/base/list.h"
#include "ha/redis/link.h"
#include "ha/redis/wire.h"

struct redis_expect;
struct redis_port;

/* Others that ask which copies were the last that this node has sent by a shard (redis_last.c). */
struct redis_last {
    bool asked;               /* the others were, by this connection, */
    uint64_t asked_ns;        /* then, */
    uint64_t from_ns;         /* about what was lost since then */
    bool answers, again;      /* they are answered, and once more */
    bool to_all;              /* several have asked */
    char run[WIRE_RUN_BYTES]; /* else who has */
    uint64_t since_ns;        /* what was sent since then */
    uint64_t begins_ns;       /* not before that */
    uint32_t at;              /* the next place of `counts` */
};

struct redis_shard {
    struct redis_port *redis;
    unsigned index; /* in redis->shards */
    struct redis_server server;
    uint64_t spread; /* what it scores by (spread.h) */
    struct link commands, subscriber;
    bool is_idle;         /* of a Cluster: it has no slots */
    bool up;              /* both are */
    uint32_t connections; /* how often it came up */
    uint32_t connection;  /* the number of the one that is, of all shards' */
    uint64_t down_ns;     /* since when it is not */
    uint64_t unsure_ns;   /* until then nobody is called absent */
    bool told;            /* the log knows that it is down */
    uint64_t told_ns;     /* when it was told last */
    uint64_t quiet_ns;    /* when it said nothing last, or has just come up */
    /* redis_out.c */
    struct redis_expect *first, **last; /* of the commands link, in their order */
    struct list parked;                 /* that wait for the PING that is under way */
    struct list parked_next;            /* and that came behind it */
    struct list doubted; /* in a Cluster: that nobody took, and that wait for what ROLE says */
    struct list doubted_next;
    bool asks_role;
    uint64_t role_ns; /* when it is asked the next time */
    /* redis_names.c */
    struct redis_expect *first_name, **last_name; /* of the subscriber's link */
    bool all_asked, own_asked;                    /* `all`, and the node's own channel, are to be */
    bool hears_all;                               /* `all` is confirmed */
    uint64_t all_ns;                              /* since when */
    bool asks_order;                              /* a PING is under way */
    uint64_t ready;                               /* begins that are known by it to all */
    struct redis_last last_sent;
};

/* One more, which is idle. NULL: no memory. */
struct redis_shard *redis_shard_add(struct redis_port *redis);
/* It is that server from now on, at its only address; NULL: none, it is idle. True: that is new. */
bool redis_shard_seat(struct redis_shard *shard, const struct redis_url *url,
                      const struct port_address *address);
/* One more, of a plain server, or of the one that Sentinels name (server_follow). False: no memory,
 * or `problem` says why it cannot be reached by its name. */
bool redis_shard_open(struct redis_port *redis, const struct redis_url *url, char *problem,
                      size_t problem_cap);
/* There are others, or other channels belong to them. */
void redis_shards_changed(struct redis_port *redis);
/* Neither link may owe anything. */
void redis_shard_free(struct redis_shard *shard);
/* Once a turn: connects, comes up, goes down, and says so. */
void redis_shard_look(struct redis_shard *shard);
/* A link may be lost by whatever is done with it; then both are. True: it is up. */
bool redis_shard_is_up(struct redis_shard *shard);
/* Both links are given up. */
void redis_lose(struct redis_shard *shard, const char *why);
/* It is up, and answers. */
bool redis_shard_works(const struct redis_shard *shard);
/* Begins that others know of by it; UINT64_MAX: it is not waited for. */
uint64_t redis_shard_ready(const struct redis_shard *shard);
/* When it is to be looked at although nothing has come. */
uint64_t redis_shard_due_ns(const struct redis_shard *shard);
/* Bytes that wait to be sent there. */
size_t redis_shard_waiting(const struct redis_shard *shard);

/* The shard that a channel of an id or a group belongs to, up or not. */
unsigned redis_shard_home(const struct redis_port *redis, const struct wire_channel *channel);
/* Where what goes to the channel is published now. NULL: nowhere, its shard is away. */
struct redis_shard *redis_shard_of(const struct redis_port *redis,
                                   const struct wire_channel *channel);

#endif
