/* redis_cluster.h - the port's place in a Redis Cluster: each primary is a shard, and a channel
 * belongs to the shard that has its slot (slots.h).
 *
 * Which one that is says a map, which any node of the Cluster tells. It is asked for by a link of
 * its own, at the start, every CLUSTER_LOOK_NS, and when something says that it has changed: MOVED
 * and the like, a subscription that a server has ended, a shard that is lost or silent. Looks are
 * CLUSTER_WAIT_MIN_NS apart, and more and more up to CLUSTER_WAIT_MAX_NS while they bring nothing
 * new: a Cluster whose nodes contradict each other is not asked faster than that, and what it did
 * not take is tried again once after each look.
 *
 * With another map channels that have moved are subscribed at their new place. A primary that took
 * over from another one takes its seat: the shard stays, and connects to another server. For
 * UNSURE_NS others may not be there yet, and nobody is called absent.
 *
 * `all` and the channel of this node are channels like any other and lie on one shard each. While
 * that of `all` is lost, messages for everybody are unavailable, and nodes remember who was there.
 *
 * Limits: SLOTS_PRIMARIES_MAX shards. A map beyond that, with gaps, or with nonsense is refused,
 * counted and logged, and the one before stays; so is one that is older than what is known, unless
 * CLUSTER_OLDER_MAX looks in a row bring no other.
 *
 * Threads: the port's. Owns: the link, charged to the port's account. */
#ifndef RINGPOST_HA_REDIS_REDIS_CLUSTER_H
#define RINGPOST_HA_REDIS_REDIS_CLUSTER_H

#include "ha/redis/redis_shard.h"
#include "ha/redis/slots.h"

#define CLUSTER_LOOK_NS (30 * NS_PER_S)
#define CLUSTER_WAIT_MIN_NS (200 * NS_PER_MS)
#define CLUSTER_WAIT_MAX_NS (2 * NS_PER_S)
#define CLUSTER_ANSWER_NS NS_PER_S /* then another node is asked */
#define CLUSTER_OLDER_MAX 5
#define CLUSTER_SEEDS_MAX 64 /* addresses */

struct redis_cluster {
    struct redis_port *redis;
    struct redis_url url; /* the user and password for all its nodes */
    char text[256];       /* for people */
    struct port_address seeds[CLUSTER_SEEDS_MAX];
    unsigned seed_count;
    struct redis_server asked; /* of whom the map is asked now */
    struct link link;
    unsigned next;      /* whom to ask next */
    unsigned answers;   /* that have come */
    bool looks;         /* it is asked */
    bool wants;         /* it is to be */
    uint64_t begun_ns;  /* the look that is under way */
    uint64_t next_ns;   /* not before that */
    uint64_t looked_ns; /* the last one that brought a map */
    unsigned fruitless; /* looks in a row that brought nothing new */
    unsigned failed;    /* nodes in a row that did not answer */
    unsigned older;     /* maps in a row that were older */
    bool unplaced;      /* channels are subscribed nowhere until another look */
    bool unhanded;      /* messages with ack found nobody for the same reason */
    bool has_map;
    bool is_old; /* it has no sharded pub/sub */
    uint64_t epoch;
    uint8_t of[SLOTS];    /* shards */
    struct slots_map map; /* room for the one that has come */
    uint64_t told_ns;     /* when the log was told that there is no map, or a bad one; 0: never */
    char why[160];        /* why there is none */
};

/* Looks its nodes up, and waits for the first map, for CLUSTER_ANSWER_NS at most. False: `problem`
 * says why it cannot be used, or there is no memory. */
bool redis_cluster_open(struct redis_port *redis, struct span text, char *problem,
                        size_t problem_cap);
void redis_cluster_free(struct redis_port *redis);
/* Once a turn. */
void redis_cluster_work(struct redis_port *redis);
uint64_t redis_cluster_due_ns(const struct redis_port *redis);
/* The map is to be looked at. */
void redis_cluster_want(struct redis_port *redis);
/* Is it an error that says that the channel is elsewhere, or nowhere for now? Then the map is
 * looked at. */
bool redis_cluster_moved(struct redis_port *redis, const struct resp_reply *reply);

#endif
