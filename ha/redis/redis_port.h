/* redis_port.h - the port that ties nodes together by the pub/sub of Redis (wire.h), on one server
 * or several, its shards (redis_shard.h).
 *
 *   a message out: worker --DELIVER--> redis_out.c --PUBLISH--> Redis --count--> ANSWER
 *   a message in:  Redis --message--> redis_in.c --> gate --> hub --> workers
 *   a name:        directory --> presence.h --> redis_names.c --SUBSCRIBE--> Redis --> ready.h
 *   a call:        redis_calls.c; a message with ack: redis_acks.c; what was lost: redis_last.c
 *
 * Out. Every message that is not kept comes here, since another node may hold its names. It goes
 * once to the channel of each address, or, to everybody or more than WIRE_ADDRESSES_MAX addresses,
 * once to `all`. What PUBLISH answers is how many nodes have subscribed, less this one if it has.
 * Whether it had is known, unless a command about the name was under way meanwhile: the two links
 * have no order between them. Then the answer waits for a PING on the subscriber's link, behind
 * which this node's own copy has come back or will not.
 *
 * In. Copies of this node's own messages are passed over; of a message of another node the first
 * copy counts. The gate publishes it to this node's sessions alone: a port never gets its own
 * messages back. While the workers are behind, nothing more is read, for IN_HELD_NS at most.
 *
 * Up and down, each shard by itself. Nobody waits for one that is gone: messages for its channels
 * are answered at once (ANSWER_UNAVAILABLE), and new sessions are let go once it has been gone for
 * DOWN_HOLD_NS. For UNSURE_NS after it has come back nodes are still subscribing, and nobody who is
 * looked for there is called absent.
 *
 * Threads: its own; `figures` any. Owns: its shards, asks and expectations, charged to its account.
 * Limits: answers that it owes, by port_wait.h; bytes that wait, LINK_OUT_BYTES_MAX a link;
 * REDIS_SHARDS_MAX shards; NODES_MAX nodes. */
#ifndef RINGPOST_HA_REDIS_REDIS_PORT_H
#define RINGPOST_HA_REDIS_REDIS_PORT_H

#include "core/mailbox.h"
#include "core/port.h"
#include "core/presence.h"
#include "ha/redis/nodes.h"
#include "ha/redis/redis_adapter.h"
#include "ha/redis/redis_cluster.h"
#include "ha/redis/redis_sentinel.h"
#include "ha/redis/redis_shard.h"
#include "ingest/gate/gate.h"

#include <pthread.h>

struct call;
struct config;
struct envelope;

#define REDIS_SHARDS_MAX PRESENCE_SHARDS_MAX

/* A message that comes in while the workers are behind waits so long, and all behind it. */
#define IN_HELD_NS NS_PER_S
/* Redis has been gone for so long that new sessions do not wait for it. */
#define DOWN_HOLD_NS NS_PER_S
/* Commands without an answer for so long: it counts as gone. */
#define SILENT_NS NS_PER_S
#define UNSURE_NS (5 * NS_PER_S)
#define LIVES_NS NS_PER_S /* between the words that this node lives */
#define ROLE_NS NS_PER_S

/* Copies of this node's own messages that have come back are remembered by their numbers, so many
 * of the last. */
#define OWN_COPIES 65536

/* Why a message from Redis was not taken. */
#define REDIS_REFUSALS(X)                                                                          \
    X(CHANNEL, "channel") /* not one of this node's */                                             \
    X(JSON, "bad_json")                                                                            \
    X(MESSAGE, "bad_message")                                                                      \
    X(TOO_LARGE, "too_large")                                                                      \
    X(ADDRESS, "address") /* it names another address than its channel */                          \
    X(ACK, "ack")                                                                                  \
    X(NODE, "node")             /* an object `node` that no node writes */                         \
    X(OVERLOADED, "overloaded") /* the workers, or the memory */                                   \
    X(DRAINING, "draining")

enum redis_refusal {
#define REDIS_REFUSAL_ENUM(name, word) REDIS_REFUSED_##name,
    REDIS_REFUSALS(REDIS_REFUSAL_ENUM)
#undef REDIS_REFUSAL_ENUM
        REDIS_REFUSAL_COUNT
};
const char *redis_refusal_word(enum redis_refusal refusal);

/* What is told of it, each written by the port alone. */
#define REDIS_FIGURES(X)                                                                           \
    X(connected, "redis_connected", "gauge", "servers of Redis both connections to which are up")  \
    X(shards, "redis_shards", "gauge", "servers of Redis over which channels are spread")          \
    X(maps, "redis_maps_total", "counter", "maps of a Redis Cluster that brought something new")   \
    X(maps_refused, "redis_maps_refused_total", "counter",                                         \
      "maps of a Redis Cluster that were not taken")                                               \
    X(moved, "redis_moved_total", "counter",                                                       \
      "commands and subscriptions that a server of a Redis Cluster said to be elsewhere")          \
    X(nodes, "redis_nodes", "gauge", "other nodes that were heard of within 3 s")                  \
    X(names, "redis_names", "gauge", "client ids and groups that this node has subscribed")        \
    X(waiting, "redis_waiting", "gauge", "commands that Redis has not answered")                   \
    X(waiting_bytes, "redis_waiting_bytes", "gauge", "bytes that wait to be sent to Redis")        \
    X(lost, "redis_lost_total", "counter", "times that the connection to Redis was lost")          \
    X(published, "redis_published_total", "counter", "copies of messages published")               \
    X(received, "redis_received_total", "counter",                                                 \
      "messages of other nodes and programs that were taken")                                      \
    X(own, "redis_own_total", "counter", "copies of this node's messages that came back")          \
    X(repeated, "redis_repeated_total", "counter", "copies of messages that had come already")     \
    X(gone, "redis_gone_total", "counter",                                                         \
      "copies of messages for this node whose last session here had gone meanwhile")               \
    X(missed, "redis_missed_total", "counter",                                                     \
      "copies of messages for this node that never came, by the numbers of those that did")        \
    X(late, "redis_late_total", "counter",                                                         \
      "copies of messages that came after they had counted as missed")                             \
    X(lent, "redis_lent", "gauge",                                                                 \
      "messages with ack that other nodes keep and clients here have")                             \
    X(unavailable, "redis_unavailable_total", "counter",                                           \
      "messages that could not be published, or not be known to be")                               \
    X(calls, "redis_calls_total", "counter", "calls of the API that other nodes were asked")       \
    X(calls_incomplete, "redis_calls_incomplete_total", "counter",                                 \
      "calls of the API that some nodes did not answer in time, or could not be asked")            \
    X(called, "redis_called_total", "counter", "calls of other nodes' API that came here")

struct redis_figures {
#define REDIS_FIGURE_MEMBER(name, metric, kind, help) _Atomic uint64_t name;
    REDIS_FIGURES(REDIS_FIGURE_MEMBER)
#undef REDIS_FIGURE_MEMBER
    _Atomic uint64_t refused[REDIS_REFUSAL_COUNT];
};

/* The nodes that are known, and the shards, for other threads. */
struct redis_known {
    pthread_mutex_t lock;
    unsigned count, server_count;
    struct port_node nodes[NODES_MAX];
    struct port_server servers[REDIS_SHARDS_MAX];
};

#define REDIS_LENT_MAX 1000000
#define CAME_MARKS 256

/* Calls of the API wait so long for other nodes, and so many at once. */
#define CALL_WAIT_NS (500 * NS_PER_MS)
#define REDIS_CALLS_MAX 1024

/* What this node tells others in one go: an array that grows until it is flushed. */
struct redis_word {
    struct wire_channel channel;
    struct builder out;
};

/* A message whose publisher is owed an answer. */
struct redis_ask;
/* A command without its answer. */
struct redis_expect;

struct redis_port {
    struct port port;
    struct redis_sentinel sentinel;
    struct redis_figures figures;
    struct port_figure shown[64]; /* the same, for others */
    struct span prefix;           /* of channels */
    struct redis_shard *shards[REDIS_SHARDS_MAX];
    unsigned shard_count;
    struct redis_cluster *cluster; /* NULL: the servers are plain ones */
    uint64_t begun_ns;
    struct redis_shard *all_by; /* what is for all goes by it; NULL: none is up */
    bool up;                    /* one of them is */
    uint32_t connections;       /* of all; the number of the last */
    bool leaves;                /* the node drains: names are given up */
    uint64_t leaves_ns;         /* since then */
    unsigned first_shard;       /* in this turn */
    bool answers_first;         /* in this turn, before what comes by subscription */
    /* redis_out.c */
    struct pool asks, expects;
    uint64_t number, copy; /* of the last message, and copy */
    char *rest;            /* room for a text */
    size_t rest_cap;
    uint64_t own[OWN_COPIES / 64]; /* the copies that came back, of the last OWN_COPIES */
    /* redis_names.c */
    bool names_left; /* that have changed, and were not looked at */
    /* redis_in.c */
    struct nodes nodes;
    struct redis_known known; /* the same, for other threads */
    struct gate_source source;
    bool held;                      /* a message could not be taken: `in` is tried again */
    uint64_t held_ns;               /* since when */
    struct redis_shard *held_shard; /* by which it came */
    struct resp_reply in;
    enum result_word result; /* of the message that was handed to the gate last */
    bool told_result;        /* it is there */
    bool handing;            /* it is being handed over */
    uint64_t lives_ns;       /* when this node says again that it lives */
    /* redis_acks.c */
    struct pool lent_pool;
    struct list lents;  /* messages that other nodes keep, which wait to be settled */
    char *word_room[2]; /* of: */
    struct redis_word came, acked;
    char acked_run[WIRE_RUN_BYTES]; /* whom `acked` is for */
    bool tells_again;               /* all client ids are to be told, from `told_to` on */
    bool tells_once_more;           /* and then again: somebody asked meanwhile */
    bool untold;                    /* some were not told: nobody was known, or there was no room */
    uint64_t told_to, told_again_ns;
    uint32_t came_taken; /* of the word that is held, so many are told to their keepers */
    uint64_t came_marks[CAME_MARKS]; /* the next copy when it was last said that an id has come, by
                                        its hash */
    /* redis_calls.c */
    struct list calls; /* of this node, the oldest first */
    struct pool call_pool, called_pool;
    uint32_t calls_open, called_open; /* of this node; of others */
    uint64_t call_number;             /* of the last */
    bool asks_later;                  /* who has an id could not be asked: others are to tell all */
    struct redis_adapter adapter;
};

/* Prepares it. The config must outlive it; its URL was checked (redis_url.h). */
void redis_port_init(struct redis_port *redis, const struct config *config);
/* Every shard is; any thread. */
static inline bool redis_is_up(const struct redis_port *redis) {
    uint64_t shards = atomic_load_explicit(&redis->figures.shards, memory_order_relaxed);
    return shards != 0 &&
           atomic_load_explicit(&redis->figures.connected, memory_order_relaxed) == shards;
}

/* --- for the files of redis_*.c --------------------------------------------------------------- */

static inline struct redis_port *redis_of(struct port *port) {
    return (struct redis_port *)(void *)port;
}
/* Some shard is up, and answers. */
static inline bool redis_works(const struct redis_port *redis) {
    for (unsigned i = 0; i < redis->shard_count; i++)
        if (redis_shard_works(redis->shards[i]))
            return true;
    return false;
}

/* redis_out.c */
void redis_out_init(struct redis_port *redis);
void redis_out_deliver(struct port *port, struct message *message, const struct mail *request);
/* Reads the answers to commands. */
void redis_out_answers(struct redis_shard *shard);
/* No answer will come: all that are owed are given. */
void redis_out_lost(struct redis_shard *shard);
/* All that was sent to this node's subscriptions before the PING has come. */
void redis_out_ordered(struct redis_shard *shard);
/* Says on `all` of every shard that this node lives, or leaves; on one, that it wants to be told of
 * all client ids. */
void redis_out_word(struct redis_port *redis, bool lives);
void redis_out_asks(struct redis_port *redis);
/* Asks a node (NULL: all) for the last copies that it has sent within so many ms. */
void redis_out_asks_sent(struct redis_shard *shard, const char *run, uint64_t ms);
/* Publishes a text between nodes. False: no room or memory, or `shard` is NULL or away. */
bool redis_out_text(struct redis_shard *shard, const struct wire_channel *channel,
                    struct span text);
/* Publishes a message that this node keeps, for one of its ids. */
void redis_out_keep(struct redis_port *redis, const struct message *message,
                    const struct message_name *to, bool again);
/* Publishes a call; redis_calls_counted follows, or redis_calls_lost. False: no room or memory. */
bool redis_out_call(struct redis_shard *shard, const struct wire_channel *channel, struct span text,
                    uint64_t number);
/* Publishes any text to any channel of the first shard. False: Redis is away, or there is no room
 * or memory. */
bool redis_out_plain(struct redis_port *redis, struct span channel, struct span text);
/* False: no room. */
bool redis_out_ping(struct redis_shard *shard);
/* Of a Cluster: is it a primary still? Asked once in ROLE_NS, and for those that nobody took: a
 * replica takes messages as well, and does not know who hears them. */
void redis_out_role(struct redis_shard *shard);
/* Has Redis not answered for SILENT_NS? */
bool redis_out_is_silent(const struct redis_shard *shard);
void redis_out_fini(struct redis_port *redis);
/* Room in redis->rest for so many bytes; what was there may be gone. */
bool redis_rest_room(struct redis_port *redis, size_t bytes);

/* redis_names.c */
/* It has come up: all is to be subscribed. */
void redis_names_begin(struct redis_shard *shard);
/* Subscribes `all` and this node's own channel there, where they belong there and are not. */
void redis_names_own(struct redis_shard *shard);
/* Subscribes what has changed. */
void redis_names_work(struct redis_port *redis);
/* Has it more to subscribe at once? */
bool redis_names_busy(const struct redis_port *redis);
/* Sends the PING that answers wait for, unless one is under way. False: no room. */
bool redis_names_order(struct redis_shard *shard);
/* A confirmation, or what else comes on the subscriber's link but messages. */
void redis_names_confirmed(struct redis_shard *shard, const struct resp_reply *reply);
void redis_names_lost(struct redis_shard *shard);
/* The node drains: gives all up but its own channel. */
void redis_names_leave(struct redis_port *redis);
/* No message comes by a name or `all` any more. */
bool redis_names_left(const struct redis_port *redis);

/* redis_acks.c */
struct redis_lent;
bool redis_acks_init(struct redis_port *redis);
void redis_acks_fini(struct redis_port *redis);
size_t redis_lent_bytes(void);
void redis_acks_hand(struct port *port, struct message *message, const struct mail *mail);
/* How many nodes have subscribed to the id; how many have got a copy. */
void redis_acks_counted(struct redis_port *redis, const struct redis_expect *expect,
                        uint64_t nodes);
void redis_acks_handed(struct redis_port *redis, const struct redis_expect *expect, uint64_t nodes);
/* A client id has come to this node, and is subscribed. */
void redis_acks_came(struct redis_port *redis, struct span id);
/* A word of another node about such messages. False: no room to tell the keepers; try again, or
 * give it up. */
bool redis_acks_word(struct redis_port *redis, const struct wire_channel *channel,
                     const struct wire_node *word);
static inline void redis_acks_given_up(struct redis_port *redis) {
    redis->came_taken = 0;
}
/* Can no message be lent to this node any more, for there are REDIS_LENT_MAX? */
bool redis_lent_full(const struct redis_port *redis);
/* Tells the keeper of the id; false: no room. */
bool redis_remote_tell(struct redis_port *redis, uint64_t hash, unsigned flag);
/* For a message that is lent to this node, before the gate has it (NULL: no memory); and what the
 * gate says, which ends it or begins its wait. */
struct redis_lent *redis_lent_get(struct redis_port *redis, const char run[WIRE_RUN_BYTES]);
void redis_lent_result(struct redis_port *redis, struct redis_lent *lent,
                       const struct gate_result *result);
void redis_acks_work(struct redis_port *redis);
/* Has it more to say at once? */
bool redis_acks_busy(const struct redis_port *redis);
void redis_word_flush(struct redis_port *redis, struct redis_word *word);
/* The node drains: nobody waits for clients here any more. */
void redis_acks_leave(struct redis_port *redis);

/* redis_last.c */
/* A word of another node about the last copies. */
void redis_last_word(struct redis_shard *shard, const struct wire_channel *channel,
                     const struct wire_node *word);
/* Asks where need be, and answers. */
void redis_last_work(struct redis_shard *shard);
bool redis_last_busy(const struct redis_shard *shard);
/* When an answer begins; CLOCK_NEVER: nobody has asked. */
uint64_t redis_last_due_ns(const struct redis_shard *shard);
void redis_last_lost(struct redis_shard *shard);

/* redis_calls.c */
void redis_calls_init(struct redis_port *redis);
void redis_calls_fini(struct redis_port *redis);
void redis_calls_ask(struct port *port, struct call *call);
void redis_calls_called(struct port *port, struct call *call);
/* The call has reached nobody. */
void redis_calls_missed(struct redis_port *redis, uint64_t number);
/* So many other nodes have got the call. */
void redis_calls_counted(struct redis_shard *shard, uint64_t number, uint64_t nodes);
/* Another node asks; answers. */
void redis_calls_asked(struct redis_shard *shard, const struct wire_node *node);
void redis_calls_answered(struct redis_port *redis, const struct wire_node *node);
/* Those whose time is over end. */
void redis_calls_work(struct redis_port *redis);
uint64_t redis_calls_due_ns(const struct redis_port *redis);
void redis_calls_lost(struct redis_shard *shard);

/* redis_in.c */
/* Other threads may know how the shards are. */
void redis_in_servers_tell(struct redis_port *redis);
void redis_in_init(struct redis_port *redis);
/* Hands a message to this node's sessions; `node` that it came from is looked at if it is lent.
 * False: the workers are behind, or there is no memory; it is to be tried again. What the gate says
 * at once is in `result`. */
bool redis_gate_take(struct redis_port *redis, const struct envelope *envelope,
                     const struct wire_node *node);
/* Reads what comes by subscription. */
void redis_in_read(struct redis_shard *shard);
void redis_in_lost(struct redis_shard *shard);
/* Nodes that have gone silent. */
void redis_in_nodes(struct redis_port *redis);
/* What other threads are told of. */
unsigned redis_in_servers(struct port *port, unsigned from, struct port_server *servers,
                          unsigned max);
unsigned redis_in_known(struct port *port, unsigned from, struct port_node *nodes, unsigned max);

#endif
