/* redis_adapter.h - this node's seat in a cluster of stock Socket.IO servers that are tied together
 * by @socket.io/redis-adapter (--socketio-redis-key), over the same Redis; ha/adapter/packet.h says
 * what they write.
 *
 *   an event in:   KEY#NSP#* --> redis_adapter.c --> gate --> sessions of this node
 *   a message out: worker --DELIVER--> redis_out.c, and redis_adapter_publish --> KEY#NSP#[ROOM#]
 *   a request:     KEY-request#NSP# --> redis_rooms.c --> call of the workers --> KEY-response#NSP#
 *
 * With the sharded adapter (--socketio-redis-adapter sharded; ha/adapter/sharded.h) all of it goes
 * by SPUBLISH and SSUBSCRIBE: events and requests come on KEY#NSP#, events for a room with members
 * here on KEY#NSP#ROOM#, which is subscribed and given up with the group's own channel. What this
 * node publishes goes to KEY#NSP#, which every server hears whatever its mode. See redis_sharded.c.
 *
 * Rooms are groups, and each Socket.IO session is in one more: its own name (directory.h). Every
 * node of a cluster of ringpost hears the events itself, and delivers to its own sessions; what a
 * node of the same --redis-prefix has published is passed over, since it comes by that cluster's
 * own channels. It is known by its uid.
 *
 * Servers count who has subscribed to the channel of requests, and wait for so many answers: each
 * process subscribes once for each namespace, and answers everything that is answered, if with
 * nothing. Whatever else stands on a channel of events ends a stock server: nothing is published
 * there but events.
 *
 * Threads: the port's; figures any. Owns: struct redis_rooms, charged to the port's account.
 * Limits: ROOMS_CALLS_MAX requests at once, which others wait for as for workers that are behind;
 * ROOMS_ANSWER_BYTES_MAX of an answer. */
#ifndef RINGPOST_HA_REDIS_REDIS_ADAPTER_H
#define RINGPOST_HA_REDIS_REDIS_ADAPTER_H

#include "core/base/span.h"
#include "ha/redis/wire.h"

struct call;
struct config;
struct adapter_event;
struct adapter_request;
struct redis_port;
struct redis_shard;
struct resp_reply;

#define ROOMS_CALLS_MAX 64
#define ROOMS_ANSWER_BYTES_MAX (8 * 1024 * 1024)

/* Why something of a server was not taken. */
#define ADAPTER_REFUSALS(X)                                                                        \
    X(PACKET, "bad_packet")   /* no event as adapters write it */                                  \
    X(MESSAGE, "bad_message") /* its name cannot be one of an event here */                        \
    X(ROOMS, "rooms")         /* too many; a session in as many groups as it may be */             \
    X(TOO_LARGE, "too_large")                                                                      \
    X(REQUEST, "bad_request")                                                                      \
    X(UNKNOWN, "unknown_request")                                                                  \
    X(OVERLOADED, "overloaded") /* no memory or room, or too many at once, for a second */         \
    X(DRAINING, "draining")

enum adapter_refusal {
#define ADAPTER_REFUSAL_ENUM(name, word) ADAPTER_REFUSED_##name,
    ADAPTER_REFUSALS(ADAPTER_REFUSAL_ENUM)
#undef ADAPTER_REFUSAL_ENUM
        ADAPTER_REFUSAL_COUNT
};

#define ADAPTER_FIGURES(X)                                                                         \
    X(published, "published_total", "messages published to servers of Socket.IO")                  \
    X(unpublished, "unpublished_total",                                                            \
      "messages that were not, since Redis was away, or there was no room")                        \
    X(received, "received_total", "events of servers and emitters that were taken")                \
    X(passed, "passed_total", "events of this cluster's own nodes, or for nobody here")            \
    X(requests, "requests_total", "requests of servers")                                           \
    X(cut, "answers_cut_total", "answers to requests that lack what found no room")

struct adapter_figures {
#define ADAPTER_FIGURE_MEMBER(name, metric, help) _Atomic uint64_t name;
    ADAPTER_FIGURES(ADAPTER_FIGURE_MEMBER)
#undef ADAPTER_FIGURE_MEMBER
    _Atomic uint64_t refused[ADAPTER_REFUSAL_COUNT];
};

/* "ringpost-", what tells clusters apart, and the node's run. */
#define ADAPTER_UID_BYTES (9 + 16 + 1 + WIRE_RUN_BYTES)

struct redis_adapter {
    struct span key; /* empty: it is off */
    bool is_sharded; /* the servers have the sharded adapter */
    char *packed;    /* room for an event of theirs */
    size_t packed_cap;
    struct adapter_figures figures;
    char uid[ADAPTER_UID_BYTES]; /* from the first connection on */
    unsigned open;               /* requests that workers carry out */
    size_t answer_bytes_max;     /* ROOMS_ANSWER_BYTES_MAX; tests take another */
};

void redis_adapter_init(struct redis_port *redis, const struct config *config);
static inline bool redis_adapter_is_on(const struct redis_adapter *adapter) {
    return adapter->key.len != 0;
}
/* A connection of the first shard, which alone has the seat, has come up: its channels are to be
 * subscribed; and given up. False: no memory. */
bool redis_adapter_begin(struct redis_shard *shard);
bool redis_adapter_leave(struct redis_shard *shard);
/* A group has come to this node, or gone: where servers publish for one room, that is to be
 * subscribed, or given up. False: no memory or room. */
bool redis_adapter_room(struct redis_shard *shard, struct span group, bool comes);
void redis_adapter_fini(struct redis_port *redis);
/* Is what came by subscription the adapter's? `*taken` false: not now, it is to be tried again; or
 * given up. */
bool redis_adapter_comes(struct redis_port *redis, const struct resp_reply *reply, bool *taken);
bool redis_adapter_given_up(struct redis_port *redis, const struct resp_reply *reply);
/* Publishes a message of this node. `goes`: other nodes get it; otherwise its producer is refused
 * and comes again, so that it only counts as unpublished. */
void redis_adapter_publish(struct redis_port *redis, const struct message *message, bool goes);

/* --- between redis_adapter.c, redis_sharded.c and redis_rooms.c --------------------------------
 */

void redis_adapter_refuse(struct redis_port *redis, enum adapter_refusal refusal,
                          struct span channel, const char *why);
/* May somebody be in that room here? */
bool redis_adapter_is_here(struct redis_port *redis, unsigned namespace, struct span room);
/* Is it the uid of a node of this cluster, whose messages come by its own channels? */
bool redis_adapter_is_own(const struct redis_port *redis, struct span uid);
/* Takes an event that came as a request. False: it is to be tried again. */
bool redis_adapter_asked(struct redis_port *redis, unsigned namespace,
                         const struct adapter_request *request);
/* What came by the sharded adapter. False: it is to be tried again. */
bool redis_sharded_comes(struct redis_port *redis, unsigned namespace, struct span room,
                         struct span channel, struct span text);
/* It is not tried any more. */
void redis_sharded_given_up(struct redis_port *redis, unsigned namespace, struct span text);
/* A request of the other one. False: it is to be tried again. */
bool redis_rooms_asked(struct redis_port *redis, unsigned namespace, struct span text);
/* What was read of a request, or what is wrong with it. False: it is to be tried again. */
bool redis_rooms_request(struct redis_port *redis, unsigned namespace, const char *wrong,
                         const struct adapter_request *request);
/* It is not tried any more: whoever waits is answered with nothing. */
void redis_rooms_given_up(struct redis_port *redis, unsigned namespace, struct span text);
void redis_rooms_let(struct redis_port *redis, unsigned namespace,
                     const struct adapter_request *request);
/* All workers have carried it out. Takes the call over. */
bool redis_rooms_is(const struct call *call);
void redis_rooms_called(struct redis_port *redis, struct call *call);

#endif
