/* nodes.h - the other nodes, as far as this one has heard of them, and what came from each.
 *
 * A node is one run: a process between its start and its end. It is known from the first thing that
 * it says, and forgotten when it has said nothing for NODES_SILENT_NS, or that it leaves.
 *
 * Each message has a number at the node that took it in, and its copies on several channels the
 * same: the first one counts (nodes_first). Numbers are remembered in a window; one that is older
 * than that counts as seen.
 *
 * Each copy has a number on its channel, by epochs; an epoch of a run is of one channel. So who has
 * heard a channel all the time knows how many are missing: when the next copy comes
 * (nodes_missing), or when it is told which was the last (nodes_look). Both tables, of those who
 * count and of those who look, have COUNTS_WAYS places for all channels with the same low bits of
 * their hash; the one that was used longest ago goes first. A channel that loses its place begins a
 * new epoch, or is not looked at until its next copy.
 *
 * Threads: the port's. Owns: the entries, charged to the account. Limits: NODES_MAX nodes,
 * COUNTS_MAX channels of each sort. */
#ifndef RINGPOST_HA_REDIS_NODES_H
#define RINGPOST_HA_REDIS_NODES_H

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/table.h"
#include "core/port.h"
#include "ha/redis/wire.h"

#define NODES_MAX 1024
#define NODES_SILENT_NS (3 * NS_PER_S)
#define NODES_NAME_BYTES_MAX (PORT_NODE_BYTES - 1)
#define NODES_WINDOW 4096 /* numbers */
#define COUNTS_MAX 65536  /* a power of two */
#define COUNTS_WAYS 4     /* likewise */

struct account;

struct node_window {
    uint64_t top; /* the greatest number so far */
    uint64_t seen[NODES_WINDOW / 64];
};

struct peer_node {
    struct table_node node; /* hash: its run */
    struct list link;       /* in nodes->order, the one that was silent for the longest first */
    char run[WIRE_RUN_BYTES];
    char name[NODES_NAME_BYTES_MAX + 1]; /* empty: it has not said it */
    char peer[PORT_PEER_BYTES];          /* where it takes polls of its sessions; empty: nowhere */
    uint64_t heard_ns;
    struct node_window window;
};

/* A channel on which this node sends, by a shard. */
struct count_place {
    uint64_t key; /* 0: free */
    uint64_t count, epoch, sent_ns;
    unsigned shard;
};

/* A channel on which copies of another node come. */
struct look_place {
    uint64_t key; /* of its run and epoch; 0: free */
    uint64_t count;
    uint64_t since; /* changes when this node begins anew to hear the channel */
    uint64_t name;  /* hash of its name (presence.h); 0: `all` */
    uint64_t used;  /* number of the last copy of all that came */
};

struct nodes {
    struct account *account;
    struct table runs;
    struct list order;
    unsigned count;
    struct count_place *counts; /* of copies that this node sends, COUNTS_MAX */
    struct look_place *looks;   /* of copies that come, COUNTS_MAX */
    uint64_t epoch;             /* the last one that was begun */
    uint64_t used;              /* copies that have come */
};

/* False: no memory; nodes_fini may be called. */
bool nodes_init(struct nodes *nodes, struct account *account);
void nodes_fini(struct nodes *nodes);

/* The node of that run, which has been heard now; it is new where its name is empty and nothing was
 * heard of it yet. NULL: no memory, or there are too many. */
struct peer_node *nodes_hear(struct nodes *nodes, const char run[WIRE_RUN_BYTES], uint64_t now_ns);
/* The same, if it is known; else NULL. */
struct peer_node *nodes_find(const struct nodes *nodes, const char run[WIRE_RUN_BYTES]);
/* Forgets it. */
void nodes_leave(struct nodes *nodes, struct peer_node *node);
/* The first that has been silent for too long; NULL: none. */
struct peer_node *nodes_silent(struct nodes *nodes, uint64_t now_ns);
/* Another live run with that name; NULL: none. */
const struct peer_node *nodes_namesake(const struct nodes *nodes, const struct peer_node *node);

/* Is it the first copy of that message? */
bool nodes_first(struct peer_node *node, uint64_t number);
/* Gives the next copy on the channel with that hash its number, by that shard alone. */
void nodes_number(struct nodes *nodes, uint64_t channel, unsigned shard, uint64_t now_ns,
                  struct wire_node *copy);
/* How many copies are missing between the last one and this one, of one run on one channel.
 * `*late`: it was said to be missing before. */
uint64_t nodes_missing(struct nodes *nodes, uint64_t name, uint64_t since,
                       const struct wire_node *copy, bool *late);
/* The place of a run's epoch, where copies of it have come; else NULL. */
struct look_place *nodes_look(struct nodes *nodes, const char run[WIRE_RUN_BYTES], uint64_t epoch);

#endif
