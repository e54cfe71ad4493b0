/* redis_adapter.c - events of Socket.IO servers and emitters to this node's sessions, and messages
 * of this node to them; see redis_adapter.h. */
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "ha/adapter/sharded.h"
#include "ha/redis/redis_expect.h"
#include "ingest/gate/envelope.h"
#include "proto/text/hex.h"

#include <stdio.h>

static const char *const refusal_words[ADAPTER_REFUSAL_COUNT] = {
#define ADAPTER_REFUSAL_WORD(name, word) [ADAPTER_REFUSED_##name] = (word),
    ADAPTER_REFUSALS(ADAPTER_REFUSAL_WORD)
#undef ADAPTER_REFUSAL_WORD
};

void redis_adapter_refuse(struct redis_port *redis, enum adapter_refusal refusal,
                          struct span channel, const char *why) {
    stats_add(&redis->adapter.figures.refused[refusal], 1);
    log_event(LOG_INFO, "socketio_adapter_refused", LOG_STR("reason", refusal_words[refusal]),
              LOG_SPAN("channel", channel), LOG_STR("problem", why));
}

void redis_adapter_init(struct redis_port *redis, const struct config *config) {
    redis->adapter.answer_bytes_max = ROOMS_ANSWER_BYTES_MAX;
    if (config->socketio_redis_key != NULL)
        redis->adapter.key = span_text(config->socketio_redis_key);
    redis->adapter.is_sharded =
        config->socketio_redis_key != NULL && config->socketio_adapter == ADAPTER_SHARDED;
}

void redis_adapter_fini(struct redis_port *redis) {
    struct redis_adapter *adapter = &redis->adapter;
    if (adapter->packed != NULL)
        memory_put(&redis->port.account, adapter->packed, adapter->packed_cap);
    adapter->packed = NULL;
    adapter->packed_cap = 0;
}

/* Nodes whose messages come by this cluster's own channels begin with the same. */
#define UID_CLUSTER_BYTES ((size_t)(ADAPTER_UID_BYTES - WIRE_RUN_BYTES))

static void uid_make(struct redis_port *redis) {
    char uid[ADAPTER_UID_BYTES + 1];
    snprintf(uid, sizeof(uid), "ringpost-%016llx-%.16s",
             (unsigned long long)hash_content(redis->prefix).low, redis->port.server->run);
    memcpy(redis->adapter.uid, uid, ADAPTER_UID_BYTES);
}

/* --- what is subscribed ----------------------------------------------------------------------- */

/* One command about all requests, and one about all events. */
static bool command(struct redis_shard *shard, enum redis_expect_kind kind) {
    const struct redis_port *redis = shard->redis;
    char texts[NAMESPACES_MAX][2 * ADAPTER_CHANNEL_BYTES_MAX];
    struct span words[1 + NAMESPACES_MAX];
    bool patterns = kind == REDIS_EXPECT_PSUBSCRIBE || kind == REDIS_EXPECT_PUNSUBSCRIBE;
    enum adapter_place place = redis->adapter.is_sharded ? ADAPTER_EVENTS : ADAPTER_REQUESTS;
    unsigned count = namespaces_count();
    for (unsigned i = 0; i < count; i++) {
        struct builder out = builder_over(texts[i], sizeof(texts[i]));
        if (patterns)
            adapter_pattern_write(&out, redis->adapter.key, namespace_name(i));
        else
            adapter_channel_write(&out, place, redis->adapter.key, namespace_name(i), SPAN(""));
        words[1 + i] = builder_span(&out);
    }
    return redis_names_command(shard, kind, words, 1 + count);
}

static bool has_seat(const struct redis_shard *shard) {
    return redis_adapter_is_on(&shard->redis->adapter) && shard->index == 0;
}

bool redis_adapter_begin(struct redis_shard *shard) {
    if (!has_seat(shard))
        return true;
    uid_make(shard->redis);
    if (shard->redis->adapter.is_sharded)
        return command(shard, REDIS_EXPECT_SSUBSCRIBE);
    return command(shard, REDIS_EXPECT_PSUBSCRIBE) && command(shard, REDIS_EXPECT_SUBSCRIBE);
}

bool redis_adapter_leave(struct redis_shard *shard) {
    if (!has_seat(shard))
        return true;
    if (shard->redis->adapter.is_sharded)
        return command(shard, REDIS_EXPECT_SUNSUBSCRIBE);
    return command(shard, REDIS_EXPECT_UNSUBSCRIBE) && command(shard, REDIS_EXPECT_PUNSUBSCRIBE);
}

bool redis_adapter_room(struct redis_shard *shard, struct span group, bool comes) {
    const struct redis_port *redis = shard->redis;
    char texts[NAMESPACES_MAX][ADAPTER_CHANNEL_BYTES_MAX];
    struct span words[1 + NAMESPACES_MAX];
    unsigned count = namespaces_count();
    if (!has_seat(shard) || !redis->adapter.is_sharded)
        return true;
    for (unsigned i = 0; i < count; i++) {
        struct builder out = builder_over(texts[i], sizeof(texts[i]));
        adapter_channel_write(&out, ADAPTER_EVENTS, redis->adapter.key, namespace_name(i), group);
        words[1 + i] = builder_span(&out);
    }
    return redis_names_command(shard, comes ? REDIS_EXPECT_SSUBSCRIBE : REDIS_EXPECT_SUNSUBSCRIBE,
                               words, 1 + count);
}

/* --- events in -------------------------------------------------------------------------------- */

bool redis_adapter_is_here(struct redis_port *redis, unsigned namespace, struct span room) {
    return name_check(room) == NULL &&
           (name_is_held(&redis->port.endpoint, NAME_GROUP, namespace, room) ||
            (name_may_be_own(room) &&
             name_is_held(&redis->port.endpoint, NAME_OWN, namespace, room)));
}

/* Emitters of Socket.IO 1 and 2 publish an event to several rooms once to each: the copy on the
 * channel of the first that is here counts. */
static bool is_the_copy(struct redis_port *redis, unsigned namespace,
                        const struct adapter_event *event, struct span room) {
    struct span rooms = event->rooms, name;
    uint32_t left = event->room_count;
    if (room.len == 0 || left <= 1)
        return true;
    while (adapter_name_next(&rooms, &left, &name))
        if (redis_adapter_is_here(redis, namespace, name))
            return span_equal(name, room);
    return false;
}

enum event_end { EVENT_TAKEN, EVENT_PASSED, EVENT_REFUSED, EVENT_LATER };

struct event_fault {
    enum adapter_refusal refusal;
    struct complaint complaint;
};

/* Its rooms, and whom it leaves out. Names that nobody here can have are left out themselves.
 * False: there are too many. */
static bool names_set(struct envelope *envelope, struct span field, struct span names,
                      uint32_t count, struct complaint *complaint) {
    struct span name;
    while (adapter_name_next(&names, &count, &name))
        if (name_check(name) == NULL && !envelope_set(envelope, field, name, complaint))
            return false;
    return true;
}

static enum event_end fault(struct event_fault *fault, enum adapter_refusal refusal,
                            const char *why) {
    fault->refusal = refusal;
    if (why != NULL)
        complaint_make(&fault->complaint, CODE_BAD_MESSAGE, SPAN(""), "%s", why);
    return EVENT_REFUSED;
}

static enum event_end data_set(struct redis_port *redis, struct envelope *envelope,
                               const struct adapter_event *event, struct event_fault *wrong) {
    size_t max = redis->port.config->max_message_bytes;
    struct span bytes;
    struct complaint *complaint = &wrong->complaint;
    if (adapter_data_is_bytes(event, &bytes))
        return envelope_set_data(envelope, PAYLOAD_BYTES, bytes, max, complaint)
                   ? EVENT_TAKEN
                   : fault(wrong, ADAPTER_REFUSED_TOO_LARGE, NULL);
    if (SHORTAGE(!redis_rest_room(redis, max + 1)))
        return EVENT_LATER;
    struct builder json = builder_over(redis->rest, max + 1);
    const char *why = adapter_data_write(event, &json);
    if (why != NULL)
        return fault(wrong, ADAPTER_REFUSED_PACKET, why);
    if (json.full)
        return fault(wrong, ADAPTER_REFUSED_TOO_LARGE,
                     "its arguments are longer than --max-message");
    if (envelope_set_data(envelope, PAYLOAD_JSON, builder_span(&json), max, complaint))
        return EVENT_TAKEN;
    return fault(wrong,
                 complaint->code == CODE_TOO_LARGE ? ADAPTER_REFUSED_TOO_LARGE
                                                   : ADAPTER_REFUSED_PACKET,
                 NULL);
}

static enum event_end event_take(struct redis_port *redis, unsigned namespace,
                                 const struct adapter_event *event, struct event_fault *wrong) {
    struct endpoint *endpoint = &redis->port.endpoint;
    struct complaint *complaint = &wrong->complaint;
    struct envelope envelope;
    envelope_init(&envelope, gate_of(endpoint)->contexts[endpoint->index].room);
    struct span nsp = namespace_name(namespace);
    if (!span_equal(event->nsp.len == 0 ? SPAN("/") : event->nsp, nsp))
        return EVENT_PASSED;
    if (!envelope_set(&envelope, SPAN("event"), event->name, complaint) ||
        !envelope_set(&envelope, SPAN("namespace"), nsp, complaint) ||
        (event->is_volatile && !envelope_set(&envelope, SPAN("volatile"), SPAN("true"), complaint)))
        return fault(wrong, ADAPTER_REFUSED_MESSAGE, NULL);
    if (!names_set(&envelope, SPAN("group"), event->rooms, event->room_count, complaint) ||
        !names_set(&envelope, SPAN("except"), event->except, event->except_count, complaint))
        return fault(wrong, ADAPTER_REFUSED_ROOMS, NULL);
    if (event->room_count == 0)
        envelope_set_broadcast(&envelope);
    else if (envelope.groups.count == 0)
        return EVENT_PASSED;
    envelope.parts.rooms = true;
    enum event_end end = data_set(redis, &envelope, event, wrong);
    if (end != EVENT_TAKEN)
        return end;
    if (!envelope_finish(&envelope, complaint))
        return fault(wrong, ADAPTER_REFUSED_MESSAGE, NULL);
    if (!redis_gate_take(redis, &envelope, NULL))
        return EVENT_LATER;
    if (redis->told_result && redis->result == RESULT_DRAINING)
        return fault(wrong, ADAPTER_REFUSED_DRAINING, "this node is going");
    return EVENT_TAKEN;
}

/* False: it is to be tried again. */
static bool event_end(struct redis_port *redis, enum event_end end, struct span channel,
                      const struct event_fault *wrong) {
    if (end == EVENT_TAKEN)
        stats_add(&redis->adapter.figures.received, 1);
    else if (end == EVENT_PASSED)
        stats_add(&redis->adapter.figures.passed, 1);
    else if (end == EVENT_REFUSED)
        redis_adapter_refuse(redis, wrong->refusal, channel, wrong->complaint.text);
    return end != EVENT_LATER;
}

bool redis_adapter_is_own(const struct redis_port *redis, struct span uid) {
    return uid.len == ADAPTER_UID_BYTES &&
           memcmp(uid.at, redis->adapter.uid, UID_CLUSTER_BYTES) == 0;
}

static bool event_comes(struct redis_port *redis, unsigned namespace, struct span room,
                        struct span channel, struct span text) {
    struct adapter_event event;
    struct event_fault wrong;
    enum event_end end = EVENT_PASSED;
    const char *why = NULL;
    if (room.len == 0 || redis_adapter_is_here(redis, namespace, room))
        why = adapter_event_read(text, &event);
    else
        return event_end(redis, end, channel, NULL);
    bool own = why == NULL && redis_adapter_is_own(redis, event.uid);
    if (why != NULL)
        end = fault(&wrong, ADAPTER_REFUSED_PACKET, why);
    else if (!own && is_the_copy(redis, namespace, &event, room))
        end = event_take(redis, namespace, &event, &wrong);
    return event_end(redis, end, channel, &wrong);
}

bool redis_adapter_asked(struct redis_port *redis, unsigned namespace,
                         const struct adapter_request *request) {
    struct event_fault wrong;
    enum event_end end = event_take(redis, namespace, &request->event, &wrong);
    return event_end(redis, end, SPAN("of requests"), &wrong);
}

/* --- what comes ------------------------------------------------------------------------------- */

/* What came by a subscription of the adapter. */
struct heard {
    struct span channel, text;
    bool is_long;    /* longer than any message; `text` is empty */
    bool is_strange; /* nobody publishes there */
    enum adapter_place place;
    unsigned namespace;
    struct span room;
};

/* As what it has to come. */
static struct span heard_word(const struct redis_port *redis, bool pattern) {
    if (redis->adapter.is_sharded)
        return SPAN("smessage");
    return pattern ? SPAN("pmessage") : SPAN("message");
}

/* False: it is not the adapter's. By its patterns, and sharded, nothing else comes. */
static bool heard_of(const struct redis_port *redis, const struct resp_reply *reply,
                     struct heard *heard) {
    bool sharded = redis->adapter.is_sharded;
    bool pattern = reply->item_count == 4 && !sharded, alone = pattern || sharded;
    const struct resp_item *items = reply->items + pattern;
    struct span nsp;
    if (!redis_adapter_is_on(&redis->adapter) || reply->type != RESP_ARRAY ||
        reply->count != reply->item_count || (reply->item_count != 3 && !pattern) ||
        reply->items[0].type != RESP_STRING || items[1].type != RESP_STRING ||
        (items[2].type != RESP_STRING && items[2].type != RESP_LONG) ||
        !span_equal(reply->items[0].text, heard_word(redis, pattern)))
        return false;
    heard->channel = items[1].text;
    heard->is_long = items[2].type == RESP_LONG;
    heard->text = heard->is_long ? SPAN("") : items[2].text;
    bool known = adapter_channel_read(redis->adapter.key, heard->channel, &heard->place, &nsp,
                                      &heard->room) &&
                 namespace_find(nsp, &heard->namespace) &&
                 (heard->place == ADAPTER_EVENTS) == alone;
    heard->is_strange = !known;
    return known || alone;
}

bool redis_adapter_comes(struct redis_port *redis, const struct resp_reply *reply, bool *taken) {
    struct heard heard;
    *taken = true;
    if (!heard_of(redis, reply, &heard))
        return false;
    if (heard.is_strange)
        redis_adapter_refuse(redis, ADAPTER_REFUSED_PACKET, heard.channel,
                             "servers do not publish there");
    else if (heard.is_long)
        redis_adapter_refuse(redis, ADAPTER_REFUSED_TOO_LARGE, heard.channel,
                             "it is longer than any message");
    else if (redis->adapter.is_sharded)
        *taken = redis_sharded_comes(redis, heard.namespace, heard.room, heard.channel, heard.text);
    else if (heard.place == ADAPTER_EVENTS)
        *taken = event_comes(redis, heard.namespace, heard.room, heard.channel, heard.text);
    else
        *taken = redis_rooms_asked(redis, heard.namespace, heard.text);
    return true;
}

bool redis_adapter_given_up(struct redis_port *redis, const struct resp_reply *reply) {
    struct heard heard;
    if (!heard_of(redis, reply, &heard))
        return false;
    redis_adapter_refuse(redis, ADAPTER_REFUSED_OVERLOADED, heard.channel,
                         "this node has been behind for a second");
    if (!heard.is_strange && redis->adapter.is_sharded)
        redis_sharded_given_up(redis, heard.namespace, heard.text);
    else if (!heard.is_strange && heard.place == ADAPTER_REQUESTS)
        redis_rooms_given_up(redis, heard.namespace, heard.text);
    return true;
}

/* --- messages out ----------------------------------------------------------------------------- */

static size_t message_bytes(const struct message *message) {
    size_t names = 0, count = message_address_count(message) + (size_t)message->except_count;
    for (size_t i = 0; i < count; i++)
        names += message->names[i].len + MSGPACK_HEAD_BYTES;
    names += (size_t)ADAPTER_EVENT_BYTES + ADAPTER_UID_BYTES + 2 * NAMESPACE_BYTES_MAX;
    return names + message->event_len + msgpack_json_bytes(message->payload_len);
}

static void message_write(struct redis_port *redis, const struct message *message,
                          struct builder *out) {
    uint32_t rooms = message_address_count(message);
    struct span uid = span_of(redis->adapter.uid, ADAPTER_UID_BYTES);
    struct span nsp = namespace_name(message->namespace);
    if (redis->adapter.is_sharded)
        sharded_event_begin(out, uid, nsp, message_event(message));
    else
        adapter_event_begin(out, uid, message_event(message));
    if (message->is_bytes)
        msgpack_put_bin(out, message_payload(message));
    else
        msgpack_from_json(message_payload(message), out);
    if (redis->adapter.is_sharded)
        sharded_event_nsp(out, nsp);
    else
        adapter_event_nsp(out, nsp);
    adapter_event_rooms(out, rooms);
    for (uint32_t i = 0; i < rooms; i++)
        msgpack_put_str(out, message_name_text(message, &message->names[i]));
    adapter_event_except(out, message->except_count);
    for (uint32_t i = 0; i < message->except_count; i++)
        msgpack_put_str(out, message_name_text(message, &message_except(message)[i]));
    adapter_event_end(out, message->class == CLASS_VOLATILE);
}

static bool message_publish(struct redis_port *redis, const struct message *message) {
    char name[ADAPTER_CHANNEL_BYTES_MAX];
    size_t bytes = message_bytes(message);
    if (!redis_shard_works(redis->shards[0]) || SHORTAGE(!redis_rest_room(redis, bytes)))
        return false;
    struct builder text = builder_over(redis->rest, bytes);
    struct builder channel = builder_over(name, sizeof(name));
    bool one = message_address_count(message) == 1 && !redis->adapter.is_sharded;
    struct span room = one ? message_name_text(message, &message->names[0]) : SPAN("");
    message_write(redis, message, &text);
    CHECK(!text.full, "an event is longer than it was said to be");
    adapter_channel_write(&channel, ADAPTER_EVENTS, redis->adapter.key,
                          namespace_name(message->namespace), room);
    return redis_out_plain(redis, builder_span(&channel), builder_span(&text));
}

void redis_adapter_publish(struct redis_port *redis, const struct message *message, bool goes) {
    struct adapter_figures *figures = &redis->adapter.figures;
    if (!redis_adapter_is_on(&redis->adapter) || message->class == CLASS_ACK)
        return;
    bool published = goes && message_publish(redis, message);
    stats_add(published ? &figures->published : &figures->unpublished, 1);
}
