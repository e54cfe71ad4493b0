/* slots.h - where channels are in a Redis Cluster: each belongs to one of 16,384 slots, and each
 * slot to one primary, which `CLUSTER NODES` tells.
 *
 * That is one text, whatever the number of replicas and ranges. (`CLUSTER SLOTS` and `SHARDS` say
 * the same in arrays that are nested deeper, and have more elements, than a reply may have.)
 * Whatever it says is hostile: a map is taken as a whole or not at all.
 *
 * Threads: any (pure functions). Limits: SLOTS_PRIMARIES_MAX primaries. */
#ifndef RINGPOST_HA_REDIS_SLOTS_H
#define RINGPOST_HA_REDIS_SLOTS_H

#include "core/base/span.h"

#include <netinet/in.h>

#define SLOTS 16384
#define SLOTS_PRIMARIES_MAX 128

/* CRC16 as Redis Cluster has it (XMODEM). */
uint16_t slots_crc16(struct span bytes);
/* The slot of a channel: what is between its first `{` and the `}` behind that counts alone, unless
 * it is empty. */
unsigned slots_of(struct span channel);

struct slots_primary {
    char host[INET6_ADDRSTRLEN]; /* an address; empty: that of whoever was asked */
    uint16_t port;
};

struct slots_map {
    uint64_t epoch; /* the greatest that a node has: a map with a smaller one is older */
    unsigned count;
    struct slots_primary primaries[SLOTS_PRIMARIES_MAX];
    uint8_t of[SLOTS]; /* which of them */
};

/* Reads what `CLUSTER NODES` answered. NULL, or a constant that says why it is no map. */
const char *slots_read(struct span text, struct slots_map *map);

#endif
