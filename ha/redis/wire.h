/* wire.h - how nodes write to each other in Redis: channels, and messages on them.
 *
 * Channels begin with --redis-prefix: `id:<client id>`, `group:<group>`, `all`. A message is the
 * JSON object that any producer may publish there, and between nodes it begins with an object
 * `node`:
 *
 *   {"node":{"run":"<16
 * hex>","n":7,"p":9,...},"id":"m1","to":["till-7"],"event":"payment","ttl":59.2, "data":{...}}
 *
 *   run  of the node that took the message in; new at every start
 *   n    number of the message there, from 1: copies of it on several channels have the same
 *   p    number of this copy: of PUBLISH commands that carry messages
 *   s,e  number of this copy on its channel, and the epoch of that count (nodes.h)
 *   bytes  true: `data` is base64 of bytes
 *   keeps  true: a message that is to be acknowledged, which that node keeps; it goes to the
 *          channels of its ids one by one, each copy to that id alone. `again`: true if it may have
 *          been written to a client before
 *
 * A node's own copies come back to it; they are known by their first bytes, and nothing else of
 * them is read.
 *
 * An object with `node` alone is a word between nodes, on `all`. A node says every second that it
 * lives, under which name, and at its end that it leaves:
 *
 *   {"node":{"run":"<16 hex>","name":"node-a","lives":true}}
 *   {"node":{"run":"<16 hex>","name":"node-a","lives":true,"peer":"192.0.2.7:7010"}}
 *
 * the second where it takes polls of its sessions from others (ha/peer), at that address.
 *
 * It tells on `all` which client ids have come to it, so that who keeps something for them hands it
 * over; and, where it keeps something and has just come itself, that it wants to be told of all:
 *
 *   {"node":{"run":"<16 hex>","came":["till-7","till-8"]}}
 *   {"node":{"run":"<16 hex>","name":"node-a","lives":true,"asks":true}}
 *
 * And on the channel of the node that keeps them, which messages were acknowledged, by which client
 * id; with the namespace, unless that is `/`:
 *
 *   {"node":{"run":"<16 hex>","acked":[["m1","till-7"],["m2","till-8","/admin"]]}}
 *
 * It asks the others for a call (core/call.h), and each answers on the channel of the node that
 * asks, in one text or several:
 *
 *   {"node":{"run":"<16 hex>","call":7,"does":{"what":"client","id":"till-7"}}}
 *   {"node":{"run":"<16 hex>","answer":7,"more":true,"says":[{...},{...}]}}
 *   {"node":{"run":"<16 hex>","answer":7,"says":[]}}
 *
 * with `failed`: true where a node could not say it.
 *
 * A node whose connection was lost asks the others, on `all`, which copies were the last that they
 * have sent within so many milliseconds, and so do they ask it. Answers have epochs and numbers:
 *
 *   {"node":{"run":"<16 hex>","name":"node-a","lives":true,"asks_sent":6200}}
 *   {"node":{"run":"<16 hex>","sent":[[4,17],[9,1]]}}
 *
 * Who keeps a message says on the channel of the client id that it is settled, if others have it
 * for clients of theirs: `settled`, of the same form as `acked`.
 *
 * Threads: any (pure functions). Owns nothing. Limits: a message as the gate has them. */
#ifndef RINGPOST_HA_REDIS_WIRE_H
#define RINGPOST_HA_REDIS_WIRE_H

#include "core/message.h"

#define WIRE_PREFIX_BYTES_MAX 64
#define WIRE_CHANNEL_BYTES_MAX (WIRE_PREFIX_BYTES_MAX + 8 + NAME_BYTES_MAX)
#define WIRE_RUN_BYTES 16
/* A message to more addresses goes once to `all`. */
#define WIRE_ADDRESSES_MAX 16

enum wire_place { WIRE_ID, WIRE_GROUP, WIRE_ALL, WIRE_NODE, WIRE_PLACES };

/* Where a message came, or goes. */
struct wire_channel {
    enum wire_place place;
    struct span name; /* of an id, a group, a run; empty for `all` */
};

/* Writes the channel's name; returns its length. */
size_t wire_channel_write(struct span prefix, const struct wire_channel *channel,
                          char text[WIRE_CHANNEL_BYTES_MAX]);
/* False: it is none of these. */
bool wire_channel_read(struct span prefix, struct span text, struct wire_channel *channel);

/* What stands in `node`. */
struct wire_node {
    char run[WIRE_RUN_BYTES];
    uint64_t number, copy; /* n, p */
    uint64_t count, epoch; /* s, e */
    bool is_bytes, keeps, again;
    /* Of words: */
    struct span name; /* of a node */
    struct span peer; /* where it takes polls of its sessions; empty: nowhere */
    bool lives, asks;
    struct span came, acked, settled; /* the arrays as they came; empty: none */
    struct span sent;
    uint64_t asks_sent;    /* ms; 0: it does not */
    uint64_t call, answer; /* numbers of calls, from 1 */
    bool more, failed;
    struct span does, says; /* the object, the array */
};

/* The beginning of a message: its object `node`, and the comma behind it. At most so many bytes. */
#define WIRE_NODE_BYTES_MAX 256
void wire_node_write(const struct wire_node *node, struct builder *out);
/* A whole word. */
void wire_word_write(const struct wire_node *node, struct builder *out);
/* The beginning of a call, up to the object that says what it does, behind which two brackets
 * follow; and of an answer. */
void wire_call_begin(const char run[WIRE_RUN_BYTES], uint64_t number, struct builder *out);
void wire_answer_begin(const char run[WIRE_RUN_BYTES], uint64_t number, struct builder *out);
/* What follows: the message's own fields, the same on every channel, and the end of the object. At
 * most wire_rest_bytes. `only`: the one address that it is for, of one that is kept; else NULL. */
size_t wire_rest_bytes(const struct message *message);
void wire_rest_write(const struct message *message, const struct message_name *only,
                     uint64_t now_ns, struct builder *out);

/* Is it a copy of that run's own message? `*copy` is its number. */
bool wire_is_own(struct span text, const char run[WIRE_RUN_BYTES], uint64_t *copy);
/* Reads the object. False: it is not such a one. */
bool wire_node_read(struct span object, struct wire_node *node);

#endif
