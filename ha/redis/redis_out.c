/* redis_out.c - messages from this node to Redis, and what it answers; see redis_port.h. */
#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/delivery.h"
#include "core/server.h"
#include "ha/redis/redis_expect.h"

#include <stdio.h>
#include <string.h>

/* A message, until its last copy is answered. */
struct redis_ask {
    struct mail request;
    uint32_t nodes; /* that took it */
    uint16_t due;   /* copies without an answer */
    bool unsure;
    bool unavailable, maybe;     /* some copies were not sent; were, and are not answered */
    struct redis_expect *copies; /* while they are sent: so far, by `sibling` */
};

/* Whatever Redis says, the sessions of this node can be added to it. */
#define NODES_COUNTED_MAX ((uint32_t)INT32_MAX)

void redis_out_init(struct redis_port *redis) {
    pool_init(&redis->asks, sizeof(struct redis_ask));
    pool_init(&redis->expects, sizeof(struct redis_expect));
}

void redis_out_fini(struct redis_port *redis) {
    if (redis->rest != NULL)
        memory_put(&redis->port.account, redis->rest, redis->rest_cap);
    redis->rest = NULL;
    pool_fini(&redis->asks);
    pool_fini(&redis->expects);
}

/* --- expectations ----------------------------------------------------------------------------- */

struct redis_expect *redis_expect_get(struct redis_port *redis, enum redis_expect_kind kind) {
    struct redis_expect *expect = NULL;
    if (!SHORTAGE(!account_take(&redis->port.account, sizeof(*expect)))) {
        expect = pool_get(&redis->expects);
        if (SHORTAGE(expect == NULL))
            account_give(&redis->port.account, sizeof(*expect));
    }
    if (SHORTAGE(expect == NULL))
        return NULL;
    *expect = (struct redis_expect){.kind = (uint8_t)kind, .asked_ns = redis->port.now_ns};
    list_init(&expect->link);
    stats_add(&redis->figures.waiting, 1);
    return expect;
}

void redis_expect_put(struct redis_port *redis, struct redis_expect *expect) {
    list_remove(&expect->link);
    if (expect->name != NULL)
        presence_let(redis->port.server->presence, expect->name);
    pool_put(&redis->expects, expect);
    account_give(&redis->port.account, sizeof(*expect));
    stats_sub(&redis->figures.waiting, 1);
}

static void expect_add(struct redis_shard *shard, struct redis_expect *expect) {
    *shard->last = expect;
    shard->last = &expect->next;
}

static struct redis_expect *expect_take(struct redis_shard *shard) {
    struct redis_expect *expect = shard->first;
    shard->first = expect->next;
    if (shard->first == NULL)
        shard->last = &shard->first;
    expect->next = NULL;
    return expect;
}

bool redis_out_command(struct redis_shard *shard, enum redis_expect_kind kind,
                       const struct span *words, unsigned count) {
    struct redis_expect *expect =
        shard != NULL && shard->up ? redis_expect_get(shard->redis, kind) : NULL;
    if (expect == NULL)
        return false;
    bool sent = link_command(&shard->commands, words, count);
    if (sent)
        expect_add(shard, expect);
    else
        redis_expect_put(shard->redis, expect);
    return sent;
}

bool redis_out_is_silent(const struct redis_shard *shard) {
    return shard->first != NULL && shard->first->asked_ns + SILENT_NS <= shard->redis->port.now_ns;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void ask_end(struct redis_port *redis, struct redis_ask *ask) {
    unsigned flags = ask->unsure ? ANSWER_UNSURE : 0;
    if (ask->unavailable)
        flags = ask->maybe ? ANSWER_UNAVAILABLE | ANSWER_UNSURE : ANSWER_UNAVAILABLE;
    if ((flags & ANSWER_UNAVAILABLE) != 0)
        stats_add(&redis->figures.unavailable, 1);
    port_answer(&redis->port, &ask->request, ask->nodes, flags);
    pool_put(&redis->asks, ask);
    account_give(&redis->port.account, sizeof(*ask));
}

/* One copy is answered. */
static void copy_answered(struct redis_shard *shard, struct redis_ask *ask, uint64_t nodes) {
    ask->nodes +=
        nodes > NODES_COUNTED_MAX - ask->nodes ? NODES_COUNTED_MAX - ask->nodes : (uint32_t)nodes;
    ask->unsure |= shard->redis->port.now_ns < shard->unsure_ns;
    if (--ask->due == 0)
        ask_end(shard->redis, ask);
}

/* Has that copy come back? So many others may have gone out since that nobody knows: then it has,
 * and the answer is not sure. */
static bool own_seen(const struct redis_port *redis, const struct redis_expect *expect) {
    if (redis->copy - expect->copy >= OWN_COPIES) {
        if (expect->ask != NULL)
            expect->ask->unsure = true;
        return true;
    }
    return (redis->own[expect->copy % OWN_COPIES / 64] >> expect->copy % 64 & 1) != 0;
}

/* Is it known without more whether this node was among those that it was sent to? */
static bool is_certain(const struct redis_shard *shard, const struct redis_expect *expect) {
    const struct presence_name *name = expect->name;
    if (expect->subscribers == 0)
        return true;
    if (name == NULL)
        return expect->to_all
                   ? expect->certain && shard->hears_all
                   : expect->begun == presence_begun(shard->redis->port.server->presence);
    return expect->certain && name->commands == expect->commands;
}

static void decide(struct redis_shard *shard, struct redis_expect *expect, bool own) {
    struct redis_port *redis = shard->redis;
    uint64_t nodes = expect->subscribers;
    if (nodes != 0 && own && !FAULT(REDIS_SELF_COUNTED))
        nodes--;
    if (expect->kind == REDIS_EXPECT_COUNT)
        redis_acks_counted(redis, expect, nodes);
    else if (expect->kind == REDIS_EXPECT_HAND)
        redis_acks_handed(redis, expect, nodes);
    else if (expect->kind == REDIS_EXPECT_CALL)
        redis_calls_counted(shard, expect->copy, nodes);
    if (expect->ask != NULL)
        copy_answered(shard, expect->ask, nodes);
    redis_expect_put(redis, expect);
}

static void published(struct redis_shard *shard, struct redis_expect *expect, int64_t subscribers) {
    const struct presence_name *name = expect->name;
    expect->subscribers = subscribers < 0 ? 0 : (uint64_t)subscribers;
    bool certain = is_certain(shard, expect);
    bool own = name == NULL ? expect->to_all : name->subscribed == shard->connection;
    if (shard->redis->cluster != NULL && subscribers <= 0 &&
        (expect->kind == REDIS_EXPECT_PUBLISH || expect->kind == REDIS_EXPECT_CALL)) {
        list_add_tail(&shard->doubted_next, &expect->link);
        return;
    }
    /* No numbered copy comes back of a question or call. What is not certain counts as one's own
     * for the one; for the other as another node's, which does not answer in time: so nobody who
     * has something to say is missed without a word. */
    if (certain || expect->kind == REDIS_EXPECT_COUNT)
        decide(shard, expect, own);
    else if (expect->kind == REDIS_EXPECT_CALL)
        decide(shard, expect, false);
    else
        list_add_tail(&shard->parked_next, &expect->link);
}

static void order(struct redis_shard *shard) {
    if (list_empty(&shard->parked_next) || shard->asks_order || !redis_names_order(shard))
        return;
    list_append(&shard->parked, &shard->parked_next);
}

void redis_out_ordered(struct redis_shard *shard) {
    for (struct list *node; (node = list_pop(&shard->parked)) != NULL;) {
        struct redis_expect *expect = container_of(node, struct redis_expect, link);
        decide(shard, expect, own_seen(shard->redis, expect));
    }
}

void redis_out_role(struct redis_shard *shard) {
    const struct span word = SPAN("ROLE");
    uint64_t now_ns = shard->redis->port.now_ns;
    if (shard->asks_role || (list_empty(&shard->doubted_next) && now_ns < shard->role_ns) ||
        !redis_out_command(shard, REDIS_EXPECT_ROLE, &word, 1))
        return;
    shard->asks_role = true;
    shard->role_ns = now_ns + ROLE_NS;
    list_append(&shard->doubted, &shard->doubted_next);
}

/* What it is by now. Where an ACL forbids ROLE nobody knows, and it counts as a primary. False: it
 * is lost. */
static bool role_told(struct redis_shard *shard, const struct resp_reply *reply) {
    shard->asks_role = false;
    if (reply->type == RESP_ARRAY && reply->item_count != 0 &&
        reply->items[0].type == RESP_STRING && !span_equal(reply->items[0].text, SPAN("master"))) {
        redis_lose(shard, "it has become a replica");
        return false;
    }
    for (struct list *node; (node = list_pop(&shard->doubted)) != NULL;)
        decide(shard, container_of(node, struct redis_expect, link), false);
    return true;
}

static const char *const kind_words[] = {
    [REDIS_EXPECT_PUBLISH] = "PUBLISH", [REDIS_EXPECT_HAND] = "PUBLISH",
    [REDIS_EXPECT_COUNT] = "PUBSUB",    [REDIS_EXPECT_WORD] = "PUBLISH",
    [REDIS_EXPECT_CALL] = "PUBLISH",    [REDIS_EXPECT_PING] = "PING",
};

/* Is it what that command is answered with? */
static bool is_answer(const struct redis_expect *expect, const struct resp_reply *reply) {
    switch ((enum redis_expect_kind)expect->kind) {
    case REDIS_EXPECT_PUBLISH:
    case REDIS_EXPECT_HAND:
    case REDIS_EXPECT_CALL:
        return reply->type == RESP_INTEGER;
    case REDIS_EXPECT_COUNT: /* an ACL may forbid it */
        return reply->type == RESP_ERROR || (reply->type == RESP_ARRAY && reply->item_count == 2 &&
                                             reply->items[1].type == RESP_INTEGER);
    default:
        return reply->type != RESP_ERROR;
    }
}

/* Nobody knows, then, who is elsewhere: it is handed to other nodes to find out. */
static void count_refused(struct redis_shard *shard, struct redis_expect *expect, struct span why) {
    struct redis_port *redis = shard->redis;
    log_event(LOG_WARN, "redis_count_refused", LOG_SPAN("problem", why),
              LOG_STR("meaning", "producers of messages with ack are not told whether a client is "
                                 "connected to another node; it gets them all the same"),
              LOG_STR("remedy", "allow PUBSUB to the Redis user"));
    redis_acks_counted(redis, expect, 1);
    if (expect->ask != NULL)
        copy_answered(shard, expect->ask, 0);
    redis_expect_put(redis, expect);
}

/* The channel is not there: nobody was sent it. */
static void elsewhere(struct redis_shard *shard, struct redis_expect *expect) {
    struct redis_port *redis = shard->redis;
    struct redis_ask *ask = expect->ask;
    if (expect->kind == REDIS_EXPECT_HAND)
        redis->cluster->unhanded = true; /* others say who they have after the next look */
    else if (expect->kind == REDIS_EXPECT_CALL)
        redis_calls_missed(redis, expect->copy);
    else if (expect->kind == REDIS_EXPECT_WORD)
        redis->untold = true;
    if (ask != NULL) {
        ask->unavailable = true;
        if (--ask->due == 0)
            ask_end(redis, ask);
    }
    redis_expect_put(redis, expect);
}

/* The answer to the command that is the first to be answered. False: the connection is lost. */
static bool answered(struct redis_shard *shard, const struct resp_reply *reply) {
    if (shard->first == NULL) {
        redis_lose(shard, "Redis answers what it was not asked");
        return false;
    }
    if (shard->first->kind == REDIS_EXPECT_ROLE) {
        redis_expect_put(shard->redis, expect_take(shard));
        return role_told(shard, reply);
    }
    if (shard->first->kind != REDIS_EXPECT_PING && redis_cluster_moved(shard->redis, reply)) {
        elsewhere(shard, expect_take(shard));
        return true;
    }
    if (!is_answer(shard->first, reply)) {
        char why[160];
        bool error = reply->type == RESP_ERROR;
        snprintf(why, sizeof(why), "Redis answers %s: %.*s", kind_words[shard->first->kind],
                 error ? (int)reply->text.len : 12, error ? reply->text.at : "not as asked");
        redis_lose(shard, why);
        return false;
    }
    struct redis_expect *expect = expect_take(shard);
    if (expect->kind == REDIS_EXPECT_COUNT && reply->type == RESP_ERROR)
        count_refused(shard, expect, reply->text);
    else if (expect->kind == REDIS_EXPECT_COUNT)
        published(shard, expect, reply->items[1].integer);
    else if (expect->kind == REDIS_EXPECT_HAND || expect->kind == REDIS_EXPECT_CALL ||
             expect->ask != NULL)
        published(shard, expect, reply->integer);
    else
        redis_expect_put(shard->redis, expect);
    return true;
}

void redis_out_answers(struct redis_shard *shard) {
    struct resp_reply reply;
    struct endpoint *endpoint = &shard->redis->port.endpoint;
    while (link_next(&shard->commands, &reply, shard->redis->port.now_ns))
        if (!answered(shard, &reply) || endpoint_slice_over(endpoint))
            break;
    if (shard->up)
        order(shard);
    if (shard->up && !list_empty(&shard->doubted_next))
        redis_out_role(shard);
}

void redis_out_lost(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    list_append(&shard->parked, &shard->parked_next);
    list_append(&shard->parked, &shard->doubted);
    list_append(&shard->parked, &shard->doubted_next);
    shard->asks_role = false;
    while (shard->first != NULL)
        list_add_tail(&shard->parked, &expect_take(shard)->link);
    for (struct list *node; (node = list_pop(&shard->parked)) != NULL;) {
        struct redis_expect *expect = container_of(node, struct redis_expect, link);
        struct redis_ask *ask = expect->ask;
        if (ask != NULL) {
            ask->unavailable = ask->maybe = true;
            if (--ask->due == 0)
                ask_end(redis, ask);
        }
        redis_expect_put(redis, expect);
    }
}

/* --- copies ----------------------------------------------------------------------------------- */

bool redis_rest_room(struct redis_port *redis, size_t bytes) {
    if (bytes <= redis->rest_cap)
        return true;
    size_t cap = redis->rest_cap == 0 ? 4096 : redis->rest_cap;
    while (cap < bytes)
        cap *= 2;
    char *more = redis->rest == NULL
                     ? memory_get(&redis->port.account, cap)
                     : memory_grow(&redis->port.account, redis->rest, redis->rest_cap, cap);
    if (SHORTAGE(more == NULL))
        return false;
    redis->rest = more;
    redis->rest_cap = cap;
    return true;
}

/* What is known of this node's own part in what is sent there now. */
static void own_note(struct redis_shard *shard, struct redis_expect *expect,
                     const struct wire_channel *channel) {
    struct presence *presence = shard->redis->port.server->presence;
    expect->to_all = channel->place == WIRE_ALL;
    expect->certain = expect->to_all && shard->hears_all;
    if (!expect->to_all) {
        enum name_kind kind = channel->place == WIRE_ID ? NAME_ID : NAME_GROUP;
        expect->begun = presence_begun(presence);
        expect->name = presence_hold(presence, kind, channel->name, NULL);
    }
    if (expect->name != NULL) {
        expect->commands = expect->name->commands;
        expect->certain = expect->commands == expect->name->confirmed;
    }
}

/* Writes one copy, and gives what is expected for it. NULL: no room or memory. */
static struct redis_expect *copy_send(struct redis_shard *shard, enum redis_expect_kind kind,
                                      struct wire_node *node, const struct wire_channel *channel,
                                      struct span rest) {
    struct redis_port *redis = shard->redis;
    char name[WIRE_CHANNEL_BYTES_MAX], head[WIRE_NODE_BYTES_MAX];
    struct span to = span_of(name, wire_channel_write(redis->prefix, channel, name));
    struct redis_expect *expect = redis_expect_get(redis, kind);
    if (SHORTAGE(expect == NULL))
        return NULL;
    struct builder text = builder_over(head, sizeof(head)), out;
    size_t room = REDIS_COMMAND_BYTES + to.len + WIRE_NODE_BYTES_MAX + rest.len;
    if (SHORTAGE(!link_room(&shard->commands, room, &out))) {
        redis_expect_put(redis, expect);
        return NULL;
    }
    node->copy = redis->copy + 1;
    nodes_number(&redis->nodes, hash64(to), shard->index, redis->port.now_ns, node);
    wire_node_write(node, &text);
    CHECK(!text.full, "a node object is too long");
    size_t length = text.len + rest.len;
    builder_span_add(&out, redis->cluster != NULL ? SPAN("*3\r\n$8\r\nSPUBLISH\r\n$")
                                                  : SPAN("*3\r\n$7\r\nPUBLISH\r\n$"));
    builder_u64(&out, to.len);
    builder_span_add(&out, SPAN("\r\n"));
    builder_span_add(&out, to);
    builder_span_add(&out, SPAN("\r\n$"));
    builder_u64(&out, length);
    builder_span_add(&out, SPAN("\r\n"));
    builder_span_add(&out, builder_span(&text));
    builder_span_add(&out, rest);
    builder_span_add(&out, SPAN("\r\n"));
    link_put(&shard->commands, &out);
    expect->copy = ++redis->copy;
    redis->own[expect->copy % OWN_COPIES / 64] &= ~(UINT64_C(1) << expect->copy % 64);
    own_note(shard, expect, channel);
    expect_add(shard, expect);
    stats_add(&redis->figures.published, 1);
    return expect;
}

/* The ask waits for its answer. */
static void ask_expects(struct redis_ask *ask, struct redis_expect *expect) {
    expect->ask = ask;
    expect->sibling = ask->copies;
    ask->copies = expect;
    ask->due++;
}

/* One copy of a message whose publisher is answered. False: no room or memory. */
static bool ask_send(struct redis_port *redis, struct redis_ask *ask, struct wire_node *node,
                     const struct wire_channel *channel, struct span rest) {
    struct redis_shard *shard = redis_shard_of(redis, channel);
    if (shard == NULL || !redis_shard_works(shard)) {
        ask->unavailable = true;
        return true;
    }
    struct redis_expect *expect = copy_send(shard, REDIS_EXPECT_PUBLISH, node, channel, rest);
    if (SHORTAGE(expect == NULL))
        return false;
    ask_expects(ask, expect);
    return true;
}

/* A new number for the message. */
static struct wire_node node_of(struct redis_port *redis, const struct message *message) {
    struct wire_node node = {.number = ++redis->number, .is_bytes = message->is_bytes};
    memcpy(node.run, redis->port.server->run, WIRE_RUN_BYTES);
    return node;
}

/* What its copies share. False: no memory. */
static bool rest_write(struct redis_port *redis, const struct message *message,
                       const struct message_name *only, struct span *rest) {
    size_t bytes = wire_rest_bytes(message);
    if (SHORTAGE(!redis_rest_room(redis, bytes)))
        return false;
    struct builder out = builder_over(redis->rest, bytes);
    wire_rest_write(message, only, redis->port.now_ns, &out);
    CHECK(!out.full, "a message is longer than it was said to be");
    *rest = builder_span(&out);
    return true;
}

/* Writes all copies. False: some of them found no room. */
static bool copies_send(struct redis_port *redis, struct redis_ask *ask,
                        const struct message *message) {
    struct wire_node node = node_of(redis, message);
    struct span rest;
    if (!rest_write(redis, message, NULL, &rest))
        return false;
    uint32_t count = message_address_count(message);
    if (message->broadcast || count > WIRE_ADDRESSES_MAX)
        return ask_send(redis, ask, &node, &(struct wire_channel){.place = WIRE_ALL}, rest);
    for (uint32_t i = 0; i < count; i++) {
        const struct message_name *name = &message->names[i];
        struct wire_channel channel = {.place = name->kind == NAME_ID ? WIRE_ID : WIRE_GROUP,
                                       .name = message_name_text(message, name)};
        if (!ask_send(redis, ask, &node, &channel, rest))
            return false;
    }
    return true;
}

/* Asks who has the ids of a message that is kept, however many: it is handed to nobody else. */
static bool questions_send(struct redis_port *redis, struct redis_ask *ask,
                           const struct message *message) {
    for (uint32_t i = 0; i < message->to_count; i++) {
        char text[WIRE_CHANNEL_BYTES_MAX];
        struct wire_channel channel = {WIRE_ID, message_name_text(message, &message->names[i])};
        const struct span words[] = {
            SPAN_INIT("PUBSUB"), redis->cluster != NULL ? SPAN("SHARDNUMSUB") : SPAN("NUMSUB"),
            span_of(text, wire_channel_write(redis->prefix, &channel, text))};
        struct redis_shard *shard = redis_shard_of(redis, &channel);
        if (shard == NULL || !redis_shard_works(shard)) {
            ask->unavailable = redis->asks_later = true;
            continue;
        }
        struct redis_expect *expect = redis_expect_get(redis, REDIS_EXPECT_COUNT);
        if (SHORTAGE(expect == NULL))
            return false;
        if (!link_command(&shard->commands, words, 3)) {
            redis_expect_put(redis, expect);
            return false;
        }
        own_note(shard, expect, &channel);
        expect->id_hash = message->names[i].hash;
        ask_expects(ask, expect);
        expect_add(shard, expect);
    }
    return true;
}

static struct redis_ask *ask_get(struct redis_port *redis, const struct mail *request) {
    struct redis_ask *ask = NULL;
    if (!SHORTAGE(!account_take(&redis->port.account, sizeof(*ask)))) {
        ask = pool_get(&redis->asks);
        if (SHORTAGE(ask == NULL))
            account_give(&redis->port.account, sizeof(*ask));
    }
    if (ask != NULL)
        *ask = (struct redis_ask){.request = *request};
    return ask;
}

void redis_out_deliver(struct port *port, struct message *message, const struct mail *request) {
    struct redis_port *redis = redis_of(port);
    struct redis_ask *ask = NULL;
    bool counts = (request->flag & DELIVER_COUNT) != 0;
    if (redis_works(redis))
        ask = ask_get(redis, request);
    if (ask == NULL) {
        redis->asks_later |= counts;
        message_release(&port->endpoint, message);
        stats_add(&redis->figures.unavailable, 1);
        port_answer(port, request, 0, ANSWER_UNAVAILABLE);
        return;
    }
    ask->due = 1; /* until all are written */
    bool all = counts ? questions_send(redis, ask, message) : copies_send(redis, ask, message);
    if (!counts)
        redis_adapter_publish(redis, message, all);
    message_release(&port->endpoint, message);
    if (!all) {
        redis->asks_later |= counts;
        /* What was written goes on, and is answered to nobody. */
        for (struct redis_expect *at = ask->copies; at != NULL; at = at->sibling)
            at->ask = NULL;
        ask->unavailable = true;
        ask->maybe = ask->due != 1;
        ask->due = 1;
    }
    if (--ask->due == 0)
        ask_end(redis, ask);
}

void redis_out_keep(struct redis_port *redis, const struct message *message,
                    const struct message_name *to, bool again) {
    struct wire_channel channel = {WIRE_ID, message_name_text(message, to)};
    struct redis_shard *shard = redis_shard_of(redis, &channel);
    if (shard == NULL || !redis_shard_works(shard))
        return;
    struct wire_node node = node_of(redis, message);
    struct span rest;
    node.keeps = true;
    node.again = again;
    if (!rest_write(redis, message, to, &rest))
        return;
    struct redis_expect *expect = copy_send(shard, REDIS_EXPECT_HAND, &node, &channel, rest);
    if (!SHORTAGE(expect == NULL))
        expect->id_hash = to->hash;
}

/* --- calls ------------------------------------------------------------------------------------ */

bool redis_out_call(struct redis_shard *shard, const struct wire_channel *channel, struct span text,
                    uint64_t number) {
    struct redis_port *redis = shard->redis;
    char name[WIRE_CHANNEL_BYTES_MAX];
    size_t len = wire_channel_write(redis->prefix, channel, name);
    const struct span words[] = {redis_publish_word(shard->redis), span_of(name, len), text};
    struct redis_expect *expect = redis_expect_get(redis, REDIS_EXPECT_CALL);
    if (SHORTAGE(expect == NULL))
        return false;
    if (SHORTAGE(!link_command(&shard->commands, words, 3))) {
        redis_expect_put(redis, expect);
        return false;
    }
    expect->copy = number;
    own_note(shard, expect, channel);
    expect_add(shard, expect);
    return true;
}
