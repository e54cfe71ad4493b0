/* redis_names.c - what this node subscribes: a channel for each of its names, one for all, and one
 * of its own; see redis_port.h. */
#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "ha/redis/redis_expect.h"

#include <stdio.h>

/* So many names go into one command at most, and so many commands are written in a turn. */
#define NAMES_AT_ONCE 512
#define COMMANDS_A_TURN 8
/* Names are not looked at while so many bytes wait to be sent. */
#define WAITING_BYTES (1024 * 1024)

static void expect_add(struct redis_shard *shard, struct redis_expect *expect) {
    *shard->last_name = expect;
    shard->last_name = &expect->next;
}

static struct redis_expect *expect_take(struct redis_shard *shard) {
    struct redis_expect *expect = shard->first_name;
    shard->first_name = expect->next;
    if (shard->first_name == NULL)
        shard->last_name = &shard->first_name;
    expect->next = NULL;
    return expect;
}

bool redis_names_order(struct redis_shard *shard) {
    const struct span word = SPAN("PING");
    struct redis_expect *expect = redis_expect_get(shard->redis, REDIS_EXPECT_ORDER);
    if (SHORTAGE(expect == NULL))
        return false;
    if (!link_command(&shard->subscriber, &word, 1)) {
        redis_expect_put(shard->redis, expect);
        return false;
    }
    expect_add(shard, expect);
    shard->asks_order = true;
    return true;
}

/* --- subscribing ----------------------------------------------------------------------------- */

/* One command about several channels. */
struct batch {
    enum redis_expect_kind kind;
    unsigned count;
    struct redis_expect *expects[NAMES_AT_ONCE];
};

static struct span command_word(const struct redis_port *redis, enum redis_expect_kind kind) {
    static const struct span words[] = {
        [REDIS_EXPECT_SUBSCRIBE] = SPAN_INIT("SUBSCRIBE"),
        [REDIS_EXPECT_UNSUBSCRIBE] = SPAN_INIT("UNSUBSCRIBE"),
        [REDIS_EXPECT_PSUBSCRIBE] = SPAN_INIT("PSUBSCRIBE"),
        [REDIS_EXPECT_PUNSUBSCRIBE] = SPAN_INIT("PUNSUBSCRIBE"),
        [REDIS_EXPECT_SSUBSCRIBE] = SPAN_INIT("SSUBSCRIBE"),
        [REDIS_EXPECT_SUNSUBSCRIBE] = SPAN_INIT("SUNSUBSCRIBE"),
    };
    if (redis->cluster == NULL)
        return words[kind];
    return kind == REDIS_EXPECT_SUBSCRIBE ? SPAN("SSUBSCRIBE") : SPAN("SUNSUBSCRIBE");
}

static size_t channel_write(const struct redis_port *redis, const struct presence_name *name,
                            char text[WIRE_CHANNEL_BYTES_MAX]) {
    const struct wire_channel channel = {.place = name->kind == NAME_ID ? WIRE_ID : WIRE_GROUP,
                                         .name = span_of(name->text, name->len)};
    return wire_channel_write(redis->prefix, &channel, text);
}

/* Takes over the hold. False: no memory. */
static bool batch_add(struct redis_port *redis, struct batch *batch, struct presence_name *name) {
    struct redis_expect *expect = redis_expect_get(redis, batch->kind);
    if (SHORTAGE(expect == NULL)) {
        presence_let(redis->port.server->presence, name);
        return false;
    }
    expect->name = name;
    name->commands++;
    batch->expects[batch->count++] = expect;
    return true;
}

/* False: no room. What is expected stays so in any case: the connection ends then. */
static bool batch_send(struct redis_shard *shard, const struct batch *batch) {
    struct builder out;
    if (batch->count == 0)
        return true;
    for (unsigned i = 0; i < batch->count; i++)
        expect_add(shard, batch->expects[i]);
    bool each = shard->redis->cluster != NULL; /* a command has channels of one slot alone */
    size_t bytes = WIRE_CHANNEL_BYTES_MAX + 16 + (each ? REDIS_COMMAND_BYTES : 0);
    if (SHORTAGE(!link_room(&shard->subscriber, REDIS_COMMAND_BYTES + batch->count * bytes, &out)))
        return false;
    struct span word = command_word(shard->redis, batch->kind);
    for (unsigned i = 0; i < batch->count; i++) {
        char text[WIRE_CHANNEL_BYTES_MAX];
        size_t len = channel_write(shard->redis, batch->expects[i]->name, text);
        if (each || i == 0)
            builder_format(&out, "*%u\r\n$%zu\r\n%s\r\n", each ? 2 : batch->count + 1, word.len,
                           word.at);
        builder_format(&out, "$%zu\r\n", len);
        builder_bytes(&out, text, len);
        builder_text(&out, "\r\n");
    }
    link_put(&shard->subscriber, &out);
    return true;
}

/* Where Socket.IO servers publish for one room, groups have channels there as well. */
static bool rooms_send(struct redis_shard *shard, const struct batch *batch) {
    for (unsigned i = 0; i < batch->count; i++) {
        const struct presence_name *name = batch->expects[i]->name;
        if (name->kind == NAME_GROUP && !redis_adapter_room(shard, span_of(name->text, name->len),
                                                            batch->kind == REDIS_EXPECT_SUBSCRIBE))
            return false;
    }
    return true;
}

/* All begins up to that number are known once what was written by now is confirmed. */
static void ready_behind(struct redis_shard *shard, uint64_t begun) {
    if (shard->first_name == NULL || FAULT(READY_EARLY)) {
        shard->ready = begun;
        return;
    }
    container_of(shard->last_name, struct redis_expect, next)->ready = begun;
}

/* It is subscribed all the time. Takes over the hold. */
static void came(struct redis_port *redis, struct presence_name *name) {
    if (name->kind == NAME_ID)
        redis_acks_came(redis, span_of(name->text, name->len));
    presence_let(redis->port.server->presence, name);
}

/* Writes the commands about those of the names that are the shard's. */
static void names_write(struct redis_shard *shard, const struct presence_change *changes,
                        unsigned count) {
    struct batch more = {.kind = REDIS_EXPECT_SUBSCRIBE};
    struct batch less = {.kind = REDIS_EXPECT_UNSUBSCRIBE};
    struct redis_port *redis = shard->redis;
    bool good = true;
    for (unsigned i = 0; i < count; i++) {
        struct presence_name *name = changes[i].name;
        if (name->shard != shard->index)
            continue;
        if (changes[i].news == PRESENCE_CAME)
            came(redis, name);
        else
            good &= batch_add(redis, changes[i].news == PRESENCE_SUBSCRIBE ? &more : &less, name);
    }
    good &= batch_send(shard, &more) && rooms_send(shard, &more);
    good &= batch_send(shard, &less) && rooms_send(shard, &less);
    if (!good)
        redis_lose(shard, "there is no memory for what is to be subscribed");
}

static void names_tell(struct redis_port *redis) {
    uint64_t names = 0;
    for (unsigned i = 0; i < redis->shard_count; i++)
        names += presence_subscribed(redis->port.server->presence, i);
    stats_set(&redis->figures.names, names);
}

/* Too much waits to be sent at one of the shards. */
static bool is_behind(const struct redis_port *redis) {
    for (unsigned i = 0; i < redis->shard_count; i++) {
        const struct link *link = &redis->shards[i]->subscriber;
        if (redis->shards[i]->up && link->out_len - link->out_at > WAITING_BYTES)
            return true;
    }
    return false;
}

void redis_names_work(struct redis_port *redis) {
    struct presence_change changes[NAMES_AT_ONCE];
    redis->names_left = false;
    for (unsigned i = 0; i < COMMANDS_A_TURN && redis->up; i++) {
        uint64_t all = 0;
        if (is_behind(redis))
            return;
        unsigned count = presence_take(redis->port.server->presence, redis->leaves, changes,
                                       NAMES_AT_ONCE, &all);
        for (unsigned j = 0; j < redis->shard_count; j++) {
            struct redis_shard *shard = redis->shards[j];
            if (count != 0 && shard->up)
                names_write(shard, changes, count);
            if (all != 0 && shard->up)
                ready_behind(shard, all);
        }
        if (count != 0)
            names_tell(redis);
        redis->names_left = all == 0;
        if (all != 0)
            return;
    }
}

bool redis_names_busy(const struct redis_port *redis) {
    return redis->names_left;
}

bool redis_names_command(struct redis_shard *shard, enum redis_expect_kind kind, struct span *words,
                         unsigned count) {
    words[0] = command_word(shard->redis, kind);
    for (unsigned i = 1; i < count; i++) {
        struct redis_expect *expect = redis_expect_get(shard->redis, kind);
        if (SHORTAGE(expect == NULL))
            return false;
        expect_add(shard, expect);
    }
    return link_command(&shard->subscriber, words, count);
}

/* --- a connection ---------------------------------------------------------------------------- */

static struct wire_channel own_channel(const struct redis_port *redis) {
    return (struct wire_channel){.place = WIRE_NODE, .name = span_text(redis->port.server->run)};
}

/* False: no memory or room. */
static bool own_command(struct redis_shard *shard, enum redis_expect_kind kind,
                        const struct wire_channel *channels, unsigned count) {
    char texts[2][WIRE_CHANNEL_BYTES_MAX];
    struct span words[3];
    for (unsigned i = 0; i < count; i++)
        words[1 + i] =
            span_of(texts[i], wire_channel_write(shard->redis->prefix, &channels[i], texts[i]));
    return redis_names_command(shard, kind, words, 1 + count);
}

/* In a Cluster each lies somewhere, and is told apart in what comes. */
static bool place_own(struct redis_shard *shard, const struct wire_channel *channel, bool *asked) {
    bool here = redis_shard_home(shard->redis, channel) == shard->index;
    bool asks = here && !*asked;
    *asked = here;
    if (!asks)
        return true;
    if (!own_command(shard, REDIS_EXPECT_SUBSCRIBE, channel, 1))
        return false;
    struct redis_expect *last = container_of(shard->last_name, struct redis_expect, next);
    last->to_all = channel->place == WIRE_ALL;
    last->to_own = channel->place == WIRE_NODE;
    return true;
}

void redis_names_own(struct redis_shard *shard) {
    const struct wire_channel channels[] = {{.place = WIRE_ALL}, own_channel(shard->redis)};
    bool good = true;
    if (shard->redis->leaves)
        return;
    if (shard->redis->cluster != NULL) {
        good = place_own(shard, &channels[0], &shard->all_asked) &&
               place_own(shard, &channels[1], &shard->own_asked);
        shard->hears_all &= shard->all_asked;
    } else {
        good = own_command(shard, REDIS_EXPECT_SUBSCRIBE, channels, 2);
        if (good) /* the last of the two */
            container_of(shard->last_name, struct redis_expect, next)->to_all = true;
    }
    if (!good)
        redis_lose(shard, "there is no memory for what is to be subscribed");
}

/* Does this node keep anything that clients of others may have to be handed? */
static bool keeps_any(const struct server *server) {
    uint64_t pending = 0;
    for (unsigned i = 0; i < server->worker_count; i++)
        pending += stats_get(&server->workers[i].stats.acks_pending);
    return pending != 0;
}

void redis_names_begin(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    redis_names_own(shard);
    if (!shard->up)
        return;
    if (!redis_adapter_begin(shard)) {
        redis_lose(shard, "there is no memory for what is to be subscribed");
        return;
    }
    redis->asks_later |= redis->cluster != NULL && keeps_any(redis->port.server);
    presence_renew(redis->port.server->presence, shard->index, shard->connection);
}

static bool is_kind(const struct resp_reply *reply, const char *word) {
    return reply->type == RESP_ARRAY && reply->item_count >= 1 &&
           reply->items[0].type == RESP_STRING && span_equal(reply->items[0].text, span_text(word));
}

static const char *const confirm_words[] = {
    [REDIS_EXPECT_SUBSCRIBE] = "subscribe",   [REDIS_EXPECT_UNSUBSCRIBE] = "unsubscribe",
    [REDIS_EXPECT_PSUBSCRIBE] = "psubscribe", [REDIS_EXPECT_PUNSUBSCRIBE] = "punsubscribe",
    [REDIS_EXPECT_SSUBSCRIBE] = "ssubscribe", [REDIS_EXPECT_SUNSUBSCRIBE] = "sunsubscribe",
};

/* Is the reply what comes for it? */
static bool is_for(const struct redis_port *redis, const struct resp_reply *reply,
                   const struct redis_expect *expect) {
    char text[WIRE_CHANNEL_BYTES_MAX];
    if (expect->kind == REDIS_EXPECT_ORDER) /* without subscriptions it is answered as anywhere */
        return is_kind(reply, "pong") || reply->type == RESP_STATUS;
    const char *word = confirm_words[expect->kind];
    if (redis->cluster != NULL)
        word = expect->kind == REDIS_EXPECT_SUBSCRIBE ? "ssubscribe" : "sunsubscribe";
    if (!is_kind(reply, word) || reply->item_count != 3 || reply->items[1].type != RESP_STRING)
        return false;
    return expect->name == NULL ||
           span_equal(reply->items[1].text,
                      span_of(text, channel_write(redis, expect->name, text)));
}

static void name_confirmed(struct redis_port *redis, const struct redis_expect *expect) {
    struct presence_name *name = expect->name;
    name->confirmed++;
    if (expect->kind == REDIS_EXPECT_SUBSCRIBE && name->kind == NAME_ID)
        redis_acks_came(redis, span_of(name->text, name->len));
}

/* A server of a Cluster has ended a subscription by itself, since the slot has left it. */
static void ended(struct redis_shard *shard, struct span text) {
    struct redis_port *redis = shard->redis;
    struct wire_channel channel;
    if (!wire_channel_read(redis->prefix, text, &channel))
        return;
    if (channel.place == WIRE_ALL)
        shard->all_asked = shard->hears_all = false;
    else if (channel.place == WIRE_NODE)
        shard->own_asked = false;
    else if (!presence_gone(redis->port.server->presence,
                            channel.place == WIRE_ID ? NAME_ID : NAME_GROUP, channel.name,
                            shard->connection))
        return;
    redis->cluster->unplaced = true;
    stats_add(&redis->figures.moved, 1);
    redis_cluster_want(redis);
}

/* What was to be subscribed, or unsubscribed, is not there. */
static void not_there(struct redis_shard *shard, struct redis_expect *expect) {
    struct redis_port *redis = shard->redis;
    struct presence_name *name = expect->name;
    if (expect->to_all)
        shard->all_asked = false;
    if (expect->to_own)
        shard->own_asked = false;
    if (name != NULL)
        name->confirmed++;
    if (name != NULL && expect->kind == REDIS_EXPECT_SUBSCRIBE)
        presence_gone(redis->port.server->presence, (enum name_kind)name->kind,
                      span_of(name->text, name->len), shard->connection);
    redis->cluster->unplaced |= expect->kind == REDIS_EXPECT_SUBSCRIBE;
    redis_expect_put(redis, expect);
}

/* Something came that confirms nothing, as it may in a Cluster. */
static bool is_apart(struct redis_shard *shard, const struct resp_reply *reply) {
    struct redis_expect *expect = shard->first_name;
    if (shard->redis->cluster == NULL)
        return false;
    if (is_kind(reply, "sunsubscribe") && reply->item_count == 3 &&
        reply->items[1].type == RESP_STRING) {
        ended(shard, reply->items[1].text);
        return true;
    }
    if (expect == NULL || expect->kind == REDIS_EXPECT_ORDER ||
        !redis_cluster_moved(shard->redis, reply))
        return false;
    not_there(shard, expect_take(shard));
    return true;
}

void redis_names_confirmed(struct redis_shard *shard, const struct resp_reply *reply) {
    struct redis_port *redis = shard->redis;
    struct redis_expect *expect = shard->first_name;
    if (expect == NULL || !is_for(redis, reply, expect)) {
        if (is_apart(shard, reply))
            return;
        char why[160];
        bool error = reply->type == RESP_ERROR;
        snprintf(why, sizeof(why), "Redis answers SUBSCRIBE: %.*s",
                 error ? (int)reply->text.len : 12, error ? reply->text.at : "not as asked");
        redis_lose(shard, why);
        return;
    }
    expect_take(shard);
    if (expect->name != NULL)
        name_confirmed(redis, expect);
    if (expect->ready != 0)
        shard->ready = expect->ready;
    if (expect->kind == REDIS_EXPECT_ORDER) {
        shard->asks_order = false;
        redis_out_ordered(shard);
    } else if (expect->to_all) {
        shard->hears_all = true;
        shard->all_ns = shard->quiet_ns = redis->port.now_ns;
        if (keeps_any(redis->port.server))
            redis_out_asks(redis);
    }
    redis_expect_put(redis, expect);
}

void redis_names_lost(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    presence_renew(redis->port.server->presence, shard->index, 0);
    names_tell(redis);
    while (shard->first_name != NULL) {
        struct redis_expect *expect = expect_take(shard);
        if (expect->name != NULL)
            expect->name->confirmed++;
        redis_expect_put(redis, expect);
    }
    shard->hears_all = shard->all_asked = shard->own_asked = shard->asks_order = false;
    shard->ready = 0;
}

static void leave(struct redis_shard *shard) {
    const struct wire_channel to_all = {.place = WIRE_ALL};
    struct redis_port *redis = shard->redis;
    bool has_all = redis->cluster == NULL || shard->all_asked;
    shard->hears_all = false;
    if ((has_all && !own_command(shard, REDIS_EXPECT_UNSUBSCRIBE, &to_all, 1)) ||
        !redis_adapter_leave(shard)) {
        redis_lose(shard, "there is no memory for what is to be unsubscribed");
        return;
    }
    presence_renew(redis->port.server->presence, shard->index, shard->connection);
}

void redis_names_leave(struct redis_port *redis) {
    for (unsigned i = 0; i < redis->shard_count; i++)
        if (redis->shards[i]->up)
            leave(redis->shards[i]);
    redis_names_work(redis);
}

bool redis_names_left(const struct redis_port *redis) {
    for (unsigned i = 0; i < redis->shard_count; i++) {
        const struct redis_shard *shard = redis->shards[i];
        if (shard->up && (shard->first_name != NULL ||
                          presence_subscribed(redis->port.server->presence, i) != 0))
            return false;
    }
    return true;
}
