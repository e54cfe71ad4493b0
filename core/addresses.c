#include "core/addresses.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/base/table.h"

#include <pthread.h>
#include <stdlib.h>

struct address {
    struct table_node node;
    uint8_t bytes[16];
    uint32_t connections;
};

struct addresses {
    pthread_mutex_t mutex;
    struct table table;
    uint32_t connections_max;
};

struct addresses *addresses_new(uint32_t connections_max) {
    struct addresses *addresses = calloc(1, sizeof(*addresses));
    if (addresses == NULL)
        return NULL;
    pthread_mutex_init(&addresses->mutex, NULL);
    table_init(&addresses->table);
    addresses->connections_max = connections_max;
    return addresses;
}

void addresses_free(struct addresses *addresses) {
    CHECK(addresses->table.count == 0, "%u addresses still have connections",
          addresses->table.count);
    table_fini(&addresses->table);
    pthread_mutex_destroy(&addresses->mutex);
    free(addresses);
}

static struct address *address_find(struct addresses *addresses, const struct peer_address *peer,
                                    uint64_t hash) {
    struct table_node *node = table_first(&addresses->table, hash);
    for (; node != NULL; node = table_next(node)) {
        struct address *address = container_of(node, struct address, node);
        if (memcmp(address->bytes, peer->bytes, sizeof(address->bytes)) == 0)
            return address;
    }
    return NULL;
}

static struct address *address_add(struct addresses *addresses, const struct peer_address *peer,
                                   uint64_t hash) {
    struct address *address = calloc(1, sizeof(*address));
    if (SHORTAGE(address == NULL))
        return NULL;
    address->node.hash = hash;
    memcpy(address->bytes, peer->bytes, sizeof(address->bytes));
    if (SHORTAGE(!table_add(&addresses->table, &address->node))) {
        free(address);
        return NULL;
    }
    return address;
}

enum addresses_verdict addresses_enter(struct addresses *addresses,
                                       const struct peer_address *peer) {
    uint64_t hash = hash64(span_of(peer->bytes, sizeof(peer->bytes)));
    enum addresses_verdict verdict = ADDRESSES_DONE;
    pthread_mutex_lock(&addresses->mutex);
    struct address *address = address_find(addresses, peer, hash);
    if (address == NULL)
        address = address_add(addresses, peer, hash);
    if (SHORTAGE(address == NULL))
        verdict = ADDRESSES_NO_MEMORY;
    else if (SHORTAGE(address->connections >= addresses->connections_max))
        verdict = ADDRESSES_FULL;
    else
        address->connections++;
    pthread_mutex_unlock(&addresses->mutex);
    return verdict;
}

void addresses_leave(struct addresses *addresses, const struct peer_address *peer) {
    uint64_t hash = hash64(span_of(peer->bytes, sizeof(peer->bytes)));
    pthread_mutex_lock(&addresses->mutex);
    struct address *address = address_find(addresses, peer, hash);
    CHECK(address != NULL && address->connections > 0, "an address left that had not come");
    if (--address->connections == 0) {
        table_remove(&addresses->table, &address->node);
        free(address);
    }
    pthread_mutex_unlock(&addresses->mutex);
}
