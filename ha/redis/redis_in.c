/* redis_in.c - messages from other nodes and programs; see redis_port.h. */
#include "core/base/fault.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/presence.h"
#include "core/server.h"
#include "ha/redis/redis_port.h"
#include "ingest/gate/envelope.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"

#include <stdio.h>

static const char *const refusal_words[REDIS_REFUSAL_COUNT] = {
#define REDIS_REFUSAL_WORD(name, word) [REDIS_REFUSED_##name] = (word),
    REDIS_REFUSALS(REDIS_REFUSAL_WORD)
#undef REDIS_REFUSAL_WORD
};

const char *redis_refusal_word(enum redis_refusal refusal) {
    return refusal_words[refusal];
}

static void refuse(struct redis_port *redis, enum redis_refusal refusal, struct span channel,
                   const char *why) {
    stats_add(&redis->figures.refused[refusal], 1);
    log_event(LOG_INFO, "redis_message_refused", LOG_STR("reason", redis_refusal_word(refusal)),
              LOG_SPAN("channel", channel), LOG_STR("problem", why));
}

/* --- the gate -------------------------------------------------------------------------------- */

static void on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                      uint32_t index, const struct gate_result *result) {
    struct redis_port *redis = container_of(source, struct redis_port, source);
    (void)endpoint, (void)index;
    if (request != NULL)
        redis_lent_result(redis, request, result);
    redis->result = result->state;
    redis->told_result = true;
    if (!redis->handing && result->state == RESULT_OVERLOADED)
        stats_add(&redis->figures.refused[REDIS_REFUSED_OVERLOADED], 1);
}

void redis_in_init(struct redis_port *redis) {
    pthread_mutex_init(&redis->known.lock, NULL);
    gate_source_init(&redis->source, NULL, on_result, NULL);
    redis->source.standing = ASKS_MUCH;
}

bool redis_gate_take(struct redis_port *redis, const struct envelope *envelope,
                     const struct wire_node *node) {
    char scope[2 * WIRE_RUN_BYTES + 1];
    struct gate_request request = {
        .source = &redis->source, .envelope = envelope, .from_node = true};
    if (envelope->parts.lent) {
        /* A copy for another id of the same message is another message here; so are two of the same
         * id there, which came from different clients. */
        uint64_t which = name_hash(NAME_ID, envelope->parts.namespace, envelope->to.at[0]) ^
                         hash64(envelope->data) ^ 3 * hash64(envelope->parts.event);
        snprintf(scope, sizeof(scope), "%.16s%016llx", node->run, (unsigned long long)which);
        request.scope = span_text(scope);
        request.waits = true;
        request.request = redis_lent_get(redis, node->run);
        if (SHORTAGE(request.request == NULL))
            return false;
    }
    redis->told_result = false;
    redis->handing = true;
    gate_publish(&redis->port.endpoint, &request);
    redis->handing = false;
    return !redis->told_result || redis->result != RESULT_OVERLOADED;
}

/* --- what a message says --------------------------------------------------------------------- */

/* The address that the channel stands for, where the message names none. False: it names another.
 */
static bool address_take(struct envelope *envelope, const struct wire_channel *channel,
                         struct complaint *complaint) {
    struct message_parts *parts = &envelope->parts;
    unsigned to = envelope->to.count, groups = envelope->groups.count;
    bool broadcast = envelope_has_broadcast(envelope);
    switch (channel->place) {
    case WIRE_ID:
        if (to == 0)
            return groups == 0 && !broadcast &&
                   envelope_set(envelope, SPAN("to"), channel->name, complaint);
        return to == 1 && groups == 0 && !broadcast &&
               span_equal(envelope->to.at[0], channel->name);
    case WIRE_GROUP:
        if (groups == 0)
            return to == 0 && !broadcast &&
                   envelope_set(envelope, SPAN("group"), channel->name, complaint);
        return groups == 1 && to == 0 && !broadcast &&
               span_equal(envelope->groups.at[0], channel->name);
    default:
        if (!broadcast)
            envelope_set_broadcast(envelope);
        return to + groups == 0 && parts->broadcast;
    }
}

/* A copy of a node's message that was not there yet. False: it is passed over, or refused. */
static bool copy_is_new(struct redis_port *redis, const struct wire_channel *channel,
                        struct span text, const struct wire_node *node) {
    uint64_t since = 0, which = 0;
    struct presence *presence = redis->port.server->presence;
    struct peer_node *from = nodes_hear(&redis->nodes, node->run, redis->port.now_ns);
    if (SHORTAGE(from == NULL)) {
        refuse(redis, REDIS_REFUSED_OVERLOADED, text, "its node cannot be remembered");
        return false;
    }
    if (channel->place != WIRE_ALL) {
        enum name_kind kind = channel->place == WIRE_ID ? NAME_ID : NAME_GROUP;
        struct presence_name *name = presence_hold(presence, kind, channel->name, &since);
        if (name == NULL) {
            stats_add(&redis->figures.gone, 1);
            return false;
        }
        which = name->node.hash;
        presence_let(presence, name);
    }
    bool late;
    uint64_t missing = nodes_missing(&redis->nodes, which, since, node, &late);
    if (late)
        stats_add(&redis->figures.late, 1);
    if (missing != 0) {
        stats_add(&redis->figures.missed, missing);
        log_event(LOG_WARN, "redis_missed", LOG_U64("messages", missing), LOG_SPAN("channel", text),
                  LOG_STR("node", from->name),
                  LOG_STR("meaning", "copies that another node published never came here, most "
                                     "likely while this node had no connection to Redis"));
    }
    if (!nodes_first(from, node->number) && !FAULT(REDIS_COPY_TWICE)) {
        stats_add(&redis->figures.repeated, 1);
        return false;
    }
    return true;
}

/* `data` of bytes came as base64. False: it is none, or there is no memory to decode it. */
static bool bytes_take(struct redis_port *redis, struct envelope *envelope,
                       struct complaint *complaint, bool *starved) {
    struct span data = envelope->data;
    if (data.len < 2 || data.at[0] != '"')
        return false;
    *starved = SHORTAGE(!redis_rest_room(redis, data.len));
    if (*starved)
        return false;
    struct builder out = builder_over(redis->rest, redis->rest_cap);
    return base64_decode(span_of(data.at + 1, data.len - 2), &out) == NULL &&
           envelope_set_data(envelope, PAYLOAD_BYTES, builder_span(&out),
                             redis->port.config->max_message_bytes, complaint);
}

static enum redis_refusal refusal_of(const struct complaint *complaint) {
    switch (complaint->code) {
    case CODE_BAD_JSON:
        return REDIS_REFUSED_JSON;
    case CODE_TOO_LARGE:
        return REDIS_REFUSED_TOO_LARGE;
    default:
        return REDIS_REFUSED_MESSAGE;
    }
}

/* --- messages -------------------------------------------------------------------------------- */

/* Other threads may know it, too. */
static void known_tell(struct redis_port *redis) {
    struct redis_known *known = &redis->known;
    const struct list *order = &redis->nodes.order;
    pthread_mutex_lock(&known->lock);
    known->count = 0;
    for (const struct list *at = order->next; at != order; at = at->next) {
        const struct peer_node *node = container_of(at, const struct peer_node, link);
        struct port_node *shown = &known->nodes[known->count++];
        memcpy(shown->name, node->name, sizeof(shown->name));
        memcpy(shown->run, node->run, WIRE_RUN_BYTES);
        shown->run[WIRE_RUN_BYTES] = '\0';
        memcpy(shown->peer, node->peer, sizeof(shown->peer));
    }
    pthread_mutex_unlock(&known->lock);
    stats_set(&redis->figures.nodes, redis->nodes.count);
}

unsigned redis_in_known(struct port *port, unsigned from, struct port_node *nodes, unsigned max) {
    struct redis_known *known = &redis_of(port)->known;
    unsigned count = 0;
    pthread_mutex_lock(&known->lock);
    for (; count < max && from + count < known->count; count++)
        nodes[count] = known->nodes[from + count];
    pthread_mutex_unlock(&known->lock);
    return count;
}

void redis_in_servers_tell(struct redis_port *redis) {
    struct redis_known *known = &redis->known;
    pthread_mutex_lock(&known->lock);
    known->server_count = redis->shard_count;
    for (unsigned i = 0; i < redis->shard_count; i++) {
        const struct redis_shard *shard = redis->shards[i];
        struct port_server *shown = &known->servers[i];
        snprintf(shown->text, sizeof(shown->text), "%s", shard->server.text);
        shown->connected = shard->up;
        shown->lost = shard->connections - shard->up;
    }
    pthread_mutex_unlock(&known->lock);
}

unsigned redis_in_servers(struct port *port, unsigned from, struct port_server *servers,
                          unsigned max) {
    struct redis_known *known = &redis_of(port)->known;
    unsigned count = 0;
    pthread_mutex_lock(&known->lock);
    for (; count < max && from + count < known->server_count; count++)
        servers[count] = known->servers[from + count];
    pthread_mutex_unlock(&known->lock);
    return count;
}

/* A word of a node that is no message. */
static void word_take(struct redis_port *redis, const struct wire_node *word) {
    struct peer_node *node = nodes_hear(&redis->nodes, word->run, redis->port.now_ns);
    if (SHORTAGE(node == NULL))
        return;
    if (!word->lives) {
        log_event(LOG_INFO, "redis_node_left", LOG_STR("node", node->name));
        nodes_leave(&redis->nodes, node);
        known_tell(redis);
        return;
    }
    if (node->name[0] != '\0' || word->name.len > NODES_NAME_BYTES_MAX)
        return;
    memcpy(node->name, word->name.at, word->name.len);
    if (word->peer.len != 0 && word->peer.len < PORT_PEER_BYTES)
        memcpy(node->peer, word->peer.at, word->peer.len);
    known_tell(redis);
    redis->lives_ns = redis->port.now_ns; /* it has come just now, and is to know of this one */
    log_event(LOG_INFO, "redis_node_found", LOG_STR("node", node->name));
    if (span_equal(word->name, span_text(redis->port.config->node)) ||
        nodes_namesake(&redis->nodes, node) != NULL)
        log_event(LOG_ERROR, "redis_node_name_twice", LOG_STR("node", node->name),
                  LOG_STR("meaning", "two nodes of this name are alive: whoever reads logs, "
                                     "presence or statistics cannot tell them apart"),
                  LOG_STR("remedy", "give each node a --node of its own"));
}

/* False: it could not be taken now, and is to be tried again. */
static bool message_take(struct redis_shard *shard, struct span text, struct span channel_text) {
    struct redis_port *redis = shard->redis;
    struct endpoint *endpoint = &redis->port.endpoint;
    struct envelope envelope;
    struct complaint complaint = {.code = CODE_BAD_MESSAGE};
    struct wire_channel channel;
    struct wire_node node = {.number = 0};
    if (!wire_channel_read(redis->prefix, channel_text, &channel)) {
        refuse(redis, REDIS_REFUSED_CHANNEL, channel_text, "no node listens to it");
        return true;
    }
    if (!envelope_parse(&envelope, gate_of(endpoint)->contexts[endpoint->index].room, ENVELOPE_NODE,
                        text, endpoint->config->max_message_bytes, &complaint)) {
        refuse(redis, refusal_of(&complaint), channel_text, complaint.text);
        return true;
    }
    bool from_node = envelope.node.len != 0;
    if (from_node && !wire_node_read(envelope.node, &node)) {
        refuse(redis, REDIS_REFUSED_NODE, channel_text, "its object node is not one");
        return true;
    }
    if (from_node && node.number == 0 && !envelope_is_node_alone(&envelope)) {
        refuse(redis, REDIS_REFUSED_NODE, channel_text, "its object node has no number");
        return true;
    }
    if (from_node && node.number == 0) {
        if (node.call != 0)
            redis_calls_asked(shard, &node);
        if (node.answer != 0 && channel.place == WIRE_NODE)
            redis_calls_answered(redis, &node);
        if (node.name.len != 0)
            word_take(redis, &node);
        if (!redis->held)
            redis_last_word(shard, &channel, &node);
        return redis_acks_word(redis, &channel, &node);
    }
    if (channel.place == WIRE_NODE) {
        refuse(redis, REDIS_REFUSED_CHANNEL, channel_text, "only nodes write to each other there");
        return true;
    }
    if (from_node && !redis->held && !copy_is_new(redis, &channel, channel_text, &node))
        return true;
    bool kept = envelope.parts.class == CLASS_ACK;
    bool lent = kept && from_node && node.keeps && channel.place == WIRE_ID &&
                envelope.to.count == 1 && span_equal(envelope.to.at[0], channel.name);
    envelope.parts.lent = lent;
    envelope.parts.again = lent && node.again;
    envelope.parts.lender = lent ? hash64(span_of(node.run, WIRE_RUN_BYTES)) : 0;
    if (lent && SHORTAGE(redis_lent_full(redis))) {
        /* Nobody else waits for that: it is lent again, and there may be room then. */
        refuse(redis, REDIS_REFUSED_OVERLOADED, channel_text, "too many are lent to this node");
        return true;
    }
    if (kept && !lent) {
        refuse(redis, REDIS_REFUSED_ACK, channel_text,
               "nobody could be told what became of it: push it over HTTP");
        return true;
    }
    if (!from_node && !address_take(&envelope, &channel, &complaint)) {
        refuse(redis, REDIS_REFUSED_ADDRESS, channel_text, "it names another address");
        return true;
    }
    bool starved = false;
    if ((node.is_bytes && !bytes_take(redis, &envelope, &complaint, &starved)) ||
        !envelope_finish(&envelope, &complaint)) {
        if (starved)
            return false;
        refuse(redis, REDIS_REFUSED_MESSAGE, channel_text,
               complaint.text[0] != '\0' ? complaint.text : "its bytes are not base64");
        return true;
    }
    if (!redis_gate_take(redis, &envelope, &node))
        return false;
    if (redis->told_result && redis->result == RESULT_DRAINING)
        refuse(redis, REDIS_REFUSED_DRAINING, channel_text, "this node is going");
    else
        stats_add(&redis->figures.received, 1);
    return true;
}

/* A reply that is a message: its channel and text. */
static bool is_message(const struct redis_port *redis, const struct resp_reply *reply,
                       struct span *channel, struct span *text) {
    if (reply->type != RESP_ARRAY || reply->item_count != 3 || reply->count != 3)
        return false;
    const struct resp_item *items = reply->items;
    if (items[0].type != RESP_STRING || items[1].type != RESP_STRING ||
        (items[2].type != RESP_STRING && items[2].type != RESP_LONG) ||
        !span_equal(items[0].text, redis->cluster != NULL ? SPAN("smessage") : SPAN("message")))
        return false;
    *channel = items[1].text;
    *text = items[2].text;
    return true;
}

/* The reply in redis->in. False: it is to be tried again. */
static bool take(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    struct span channel, text;
    uint64_t copy;
    bool taken;
    if (redis_adapter_comes(redis, &redis->in, &taken))
        return taken;
    if (!is_message(redis, &redis->in, &channel, &text)) {
        redis_names_confirmed(shard, &redis->in);
        return true;
    }
    if (redis->in.items[2].type == RESP_LONG) {
        refuse(redis, REDIS_REFUSED_TOO_LARGE, channel, "it is longer than any message");
        return true;
    }
    if (wire_is_own(text, redis->port.server->run, &copy)) {
        stats_add(&redis->figures.own, 1);
        if (copy != 0 && copy <= redis->copy && redis->copy - copy < OWN_COPIES)
            redis->own[copy % OWN_COPIES / 64] |= UINT64_C(1) << copy % 64;
        return true;
    }
    return message_take(shard, text, channel);
}

static void held_refuse(struct redis_port *redis, const char *why) {
    refuse(redis, REDIS_REFUSED_OVERLOADED, redis->in.items[1].text, why);
}

/* Tries again what could not be taken. False: it has to wait longer. */
static bool held_take(struct redis_port *redis) {
    if (!redis->held)
        return true;
    if (!take(redis->held_shard)) {
        if (redis->port.now_ns - redis->held_ns < IN_HELD_NS)
            return false;
        if (!redis_adapter_given_up(redis, &redis->in))
            held_refuse(redis, "this node has been behind for a second");
        redis_acks_given_up(redis);
    }
    redis->held = false;
    return true;
}

void redis_in_read(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    bool is_held = redis->held && (redis->held_shard != shard || !held_take(redis));
    if (is_held) { /* whatever shard it came by: workers are behind for all */
        link_bide(&shard->subscriber, redis->port.now_ns);
        return;
    }
    while (link_next(&shard->subscriber, &redis->in, redis->port.now_ns)) {
        if (!take(shard)) {
            redis->held = true;
            redis->held_ns = redis->port.now_ns;
            redis->held_shard = shard;
            return;
        }
        if (endpoint_slice_over(&redis->port.endpoint))
            return;
    }
}

void redis_in_lost(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    if (!redis->held || redis->held_shard != shard)
        return;
    held_refuse(redis, "this node was behind, and Redis was lost before it had room");
    redis->held = false;
    redis_acks_given_up(redis);
}

/* What others have said by it may have come, and wait to be read; or it is at Redis, which says
 * nothing to anybody, or whose connections are only coming back. */
static bool is_behind(struct redis_shard *shard) {
    const struct link *link = &shard->subscriber;
    uint64_t now_ns = shard->redis->port.now_ns;
    if (link->asked_ns != 0 && now_ns - link->asked_ns >= LINK_ASK_NS)
        shard->quiet_ns = now_ns;
    return link->input.len != 0 || link->in_ready || now_ns - shard->quiet_ns < NODES_SILENT_NS;
}

void redis_in_nodes(struct redis_port *redis) {
    struct peer_node *node;
    bool hears = false, changed = false;
    for (unsigned i = 0; i < redis->shard_count; i++)
        if (redis->shards[i]->up && (redis->cluster == NULL || redis->shards[i]->hears_all))
            hears |= !is_behind(redis->shards[i]);
    /* Who is forgotten too early is told twice what has come in part. */
    bool waits = redis->held || (redis->up && !hears);
    while (!waits && (node = nodes_silent(&redis->nodes, redis->port.now_ns)) != NULL) {
        if (redis->up) /* otherwise it is this node that hears nothing: redis_lost */
            log_event(
                LOG_WARN, "redis_node_silent", LOG_STR("node", node->name),
                LOG_STR("meaning", "it has said nothing for 3 s: it has ended, or has lost Redis"));
        nodes_leave(&redis->nodes, node);
        changed = true;
    }
    if (changed)
        known_tell(redis);
}
