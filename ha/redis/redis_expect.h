/* redis_expect.h - what the port has asked Redis, and was not answered yet; for the files of
 * redis_*.c alone.
 *
 * Redis answers commands of one connection in their order, so there is one queue for each link of a
 * shard.
 *
 * Threads: the port's. Owns: a hold on the name. */
#ifndef RINGPOST_HA_REDIS_REDIS_EXPECT_H
#define RINGPOST_HA_REDIS_REDIS_EXPECT_H

#include "core/presence.h"
#include "ha/redis/redis_port.h"

/* What a command takes beside its words. */
#define REDIS_COMMAND_BYTES 128

enum redis_expect_kind {
    REDIS_EXPECT_PUBLISH, /* a copy of a message */
    REDIS_EXPECT_HAND,    /* the same of one that is kept */
    REDIS_EXPECT_COUNT,   /* PUBSUB NUMSUB for one that is kept */
    REDIS_EXPECT_CALL,    /* PUBLISH of a call; `copy` is its number */
    REDIS_EXPECT_WORD,
    REDIS_EXPECT_PING,
    REDIS_EXPECT_ROLE,
    REDIS_EXPECT_SUBSCRIBE, /* all from here on: by the subscriber link */
    REDIS_EXPECT_UNSUBSCRIBE,
    REDIS_EXPECT_PSUBSCRIBE,
    REDIS_EXPECT_PUNSUBSCRIBE,
    REDIS_EXPECT_SSUBSCRIBE, /* of the sharded adapter, at a plain server */
    REDIS_EXPECT_SUNSUBSCRIBE,
    REDIS_EXPECT_ORDER /* PING there */
};

struct redis_expect {
    struct redis_expect *next;
    struct redis_expect *sibling; /* the copy of the same message before this one; redis_out.c */
    struct list link;             /* in shard->parked */
    struct redis_ask *ask;        /* of a copy; NULL: nobody is told */
    struct presence_name *name;   /* NULL: none of this node's, or `all` */
    uint64_t asked_ns;
    uint64_t copy;        /* its number */
    uint64_t id_hash;     /* HAND, COUNT: of the client id */
    uint64_t subscribers; /* as answered */
    uint64_t ready;       /* begins that are known to all once this is confirmed; 0: no more */
    uint64_t begun;       /* presence_begun, when it was sent */
    uint32_t commands;    /* of the name, then */
    uint8_t kind;         /* enum redis_expect_kind */
    bool to_all;          /* `all` alone, or behind the node's own channel */
    bool to_own;          /* this node's own channel alone */
    bool certain;         /* then this node's part in it was known */
};

/* NULL: no memory. */
struct redis_expect *redis_expect_get(struct redis_port *redis, enum redis_expect_kind kind);
void redis_expect_put(struct redis_port *redis, struct redis_expect *expect);
/* PUBLISH, as the servers have it. */
static inline struct span redis_publish_word(const struct redis_port *redis) {
    return redis->cluster != NULL ? SPAN("SPUBLISH") : SPAN("PUBLISH");
}
/* Sends a command by the commands link. False: the shard is NULL or away, or there is no room. */
bool redis_out_command(struct redis_shard *shard, enum redis_expect_kind kind,
                       const struct span *words, unsigned count);
/* Sends a command about the channels words[1..count) by the subscriber's link, and waits for what
 * confirms each. False: no memory or room; the connection is to be given up. */
bool redis_names_command(struct redis_shard *shard, enum redis_expect_kind kind, struct span *words,
                         unsigned count);

#endif
