/* sharded.h - what servers of a Socket.IO cluster publish to each other by the sharded adapter
 * (createShardedAdapter of @socket.io/redis-adapter 8.2 and later), by SPUBLISH:
 *
 *   KEY#NSP#         everything that all servers are to hear, events and requests
 *   KEY#NSP#ROOM#    events for one room, in the servers' mode `dynamic`, which they have unless
 *                    they say another; never for rooms of 20 characters, as ids of sockets have
 *   KEY#NSP#UID#     what is answered to the server with that uid
 *
 *   {"type": 3, "uid": "...", "nsp": "/", "data": {...}}       JSON; where it holds bytes the same
 *                                                              in MessagePack
 *
 * Reading is in two steps, so that what is not for this node costs little: the first finds out what
 * it is and who it is from, the second reads `data`. An event in JSON is turned into MessagePack,
 * whose reader is packet.h's.
 *
 * Threads: any (pure functions). Owns nothing: spans point into the text, or the rooms. Limits:
 * those of what is read; a uid of ADAPTER_UID_MAX bytes, others are not answered. */
#ifndef RINGPOST_HA_ADAPTER_SHARDED_H
#define RINGPOST_HA_ADAPTER_SHARDED_H

#include "ha/adapter/packet.h"

/* The numbers of what is said. */
enum sharded_type {
    SHARDED_FIRST = 1, /* a word that a server lives, as is 2 */
    SHARDED_BROADCAST = 3,
    SHARDED_JOIN,
    SHARDED_LEAVE,
    SHARDED_DISCONNECT,
    SHARDED_FETCH,
    SHARDED_SOCKETS, /* answers FETCH */
    SHARDED_SERVER_EMIT,
    SHARDED_SERVER_EMIT_ANSWER,
    SHARDED_CLIENT_COUNT, /* answers BROADCAST */
    SHARDED_ACK,          /* the same */
    SHARDED_CLOSE         /* a server ends */
};

struct sharded_message {
    uint64_t type;
    struct span uid; /* of its sender; empty: none that can be answered */
    struct span nsp; /* empty: none that can be one here */
    struct span data;
    bool is_json;
    char nsp_room[NAMESPACE_BYTES_MAX];
};

/* NULL, or a constant that says what is wrong. The message must stay where it is. */
const char *sharded_open(struct span text, struct sharded_message *message);
/* Room that sharded_read needs. */
static inline size_t sharded_bytes(const struct sharded_message *message) {
    bool turned = message->is_json && message->type == SHARDED_BROADCAST;
    return turned ? msgpack_json_bytes(message->data.len) : 0;
}
/* Reads `data`. NULL, or what is wrong; the id is there if it could be made out. `id` holds one in
 * MessagePack, `packed` the event. */
const char *sharded_read(const struct sharded_message *message, char id[ADAPTER_ID_BYTES_MAX],
                         struct builder *packed, struct adapter_request *request);

/* An event, instead of adapter_event_begin and adapter_event_nsp. */
void sharded_event_begin(struct builder *out, struct span uid, struct span nsp, struct span name);
void sharded_event_nsp(struct builder *out, struct span nsp);

#endif
