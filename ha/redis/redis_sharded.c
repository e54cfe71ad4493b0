/* redis_sharded.c - what servers with the sharded adapter publish; see redis_adapter.h. */
#include "core/base/shortage.h"
#include "core/namespaces.h"
#include "ha/adapter/sharded.h"
#include "ha/redis/redis_port.h"

/* Room for an event. False: no memory. */
static bool packed_room(struct redis_port *redis, size_t bytes) {
    struct redis_adapter *adapter = &redis->adapter;
    if (bytes <= adapter->packed_cap)
        return true;
    size_t cap = adapter->packed_cap == 0 ? 4096 : adapter->packed_cap;
    while (cap < bytes)
        cap *= 2;
    char *more = adapter->packed == NULL
                     ? memory_get(&redis->port.account, cap)
                     : memory_grow(&redis->port.account, adapter->packed, adapter->packed_cap, cap);
    if (SHORTAGE(more == NULL))
        return false;
    adapter->packed = more;
    adapter->packed_cap = cap;
    return true;
}

static bool pass(struct redis_port *redis) {
    stats_add(&redis->adapter.figures.passed, 1);
    return true;
}

bool redis_sharded_comes(struct redis_port *redis, unsigned namespace, struct span room,
                         struct span channel, struct span text) {
    char id[ADAPTER_ID_BYTES_MAX];
    struct sharded_message message;
    struct adapter_request request;
    if (room.len != 0 && !redis_adapter_is_here(redis, namespace, room))
        return pass(redis);
    const char *wrong = sharded_open(text, &message);
    if (wrong != NULL) {
        redis_adapter_refuse(redis, ADAPTER_REFUSED_PACKET, channel, wrong);
        return true;
    }
    if (redis_adapter_is_own(redis, message.uid) ||
        !span_equal(message.nsp, namespace_name(namespace)))
        return pass(redis);
    size_t bytes = sharded_bytes(&message);
    if (SHORTAGE(!packed_room(redis, bytes)))
        return false;
    struct builder packed = builder_over(redis->adapter.packed, bytes);
    wrong = sharded_read(&message, id, &packed, &request);
    if (request.does == ADAPTER_NOTHING)
        return pass(redis);
    if (request.does != ADAPTER_BROADCAST || request.is_answered)
        return redis_rooms_request(redis, namespace, wrong, &request);
    if (wrong == NULL)
        return redis_adapter_asked(redis, namespace, &request);
    redis_adapter_refuse(redis, ADAPTER_REFUSED_PACKET, channel, wrong);
    return true;
}

void redis_sharded_given_up(struct redis_port *redis, unsigned namespace, struct span text) {
    char id[ADAPTER_ID_BYTES_MAX];
    struct sharded_message message;
    struct adapter_request request;
    if (sharded_open(text, &message) != NULL || !packed_room(redis, sharded_bytes(&message)))
        return;
    struct builder packed = builder_over(redis->adapter.packed, sharded_bytes(&message));
    sharded_read(&message, id, &packed, &request);
    if (request.is_answered)
        redis_rooms_let(redis, namespace, &request);
}
