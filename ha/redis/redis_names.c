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

void redis_names_init(struct redis_port *redis) {
    redis->last_name = &redis->first_name;
}

static void expect_add(struct redis_port *redis, struct redis_expect *expect) {
    *redis->last_name = expect;
    redis->last_name = &expect->next;
}

static struct redis_expect *expect_take(struct redis_port *redis) {
    struct redis_expect *expect = redis->first_name;
    redis->first_name = expect->next;
    if (redis->first_name == NULL)
        redis->last_name = &redis->first_name;
    expect->next = NULL;
    return expect;
}

bool redis_names_order(struct redis_port *redis) {
    const struct span word = SPAN("PING");
    struct redis_expect *expect = redis_expect_get(redis, REDIS_EXPECT_ORDER);
    if (SHORTAGE(expect == NULL))
        return false;
    if (!link_command(&redis->subscriber, &word, 1)) {
        redis_expect_put(redis, expect);
        return false;
    }
    expect_add(redis, expect);
    redis->asks_order = true;
    return true;
}

/* --- subscribing ----------------------------------------------------------------------------- */

/* One command about several channels. */
struct batch {
    enum redis_expect_kind kind;
    unsigned count;
    struct redis_expect *expects[NAMES_AT_ONCE];
};

static const struct span command_words[] = {
    [REDIS_EXPECT_SUBSCRIBE] = SPAN_INIT("SUBSCRIBE"),
    [REDIS_EXPECT_UNSUBSCRIBE] = SPAN_INIT("UNSUBSCRIBE"),
    [REDIS_EXPECT_PSUBSCRIBE] = SPAN_INIT("PSUBSCRIBE"),
    [REDIS_EXPECT_PUNSUBSCRIBE] = SPAN_INIT("PUNSUBSCRIBE"),
};

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
static bool batch_send(struct redis_port *redis, const struct batch *batch) {
    struct builder out;
    if (batch->count == 0)
        return true;
    for (unsigned i = 0; i < batch->count; i++)
        expect_add(redis, batch->expects[i]);
    size_t room = REDIS_COMMAND_BYTES + batch->count * (WIRE_CHANNEL_BYTES_MAX + 16);
    if (SHORTAGE(!link_room(&redis->subscriber, room, &out)))
        return false;
    struct span word = command_words[batch->kind];
    builder_format(&out, "*%u\r\n$%zu\r\n%s\r\n", batch->count + 1, word.len, word.at);
    for (unsigned i = 0; i < batch->count; i++) {
        char text[WIRE_CHANNEL_BYTES_MAX];
        size_t len = channel_write(redis, batch->expects[i]->name, text);
        builder_format(&out, "$%zu\r\n", len);
        builder_bytes(&out, text, len);
        builder_text(&out, "\r\n");
    }
    link_put(&redis->subscriber, &out);
    return true;
}

/* All begins up to that number are known once what was written by now is confirmed. */
static void ready_behind(struct redis_port *redis, uint64_t begun) {
    if (begun == 0)
        return;
    if (redis->first_name == NULL || FAULT(READY_EARLY)) {
        redis->ready = begun;
        return;
    }
    container_of(redis->last_name, struct redis_expect, next)->ready = begun;
}

/* It is subscribed all the time. Takes over the hold. */
static void came(struct redis_port *redis, struct presence_name *name) {
    if (name->kind == NAME_ID)
        redis_acks_came(redis, span_of(name->text, name->len));
    presence_let(redis->port.server->presence, name);
}

void redis_names_work(struct redis_port *redis) {
    struct presence_change changes[NAMES_AT_ONCE];
    for (unsigned i = 0; i < COMMANDS_A_TURN; i++) {
        struct batch more = {.kind = REDIS_EXPECT_SUBSCRIBE};
        struct batch less = {.kind = REDIS_EXPECT_UNSUBSCRIBE};
        uint64_t all = 0;
        bool good = true;
        if (redis->subscriber.out_len - redis->subscriber.out_at > WAITING_BYTES)
            return;
        unsigned count = presence_take(redis->port.server->presence, redis->leaves, changes,
                                       NAMES_AT_ONCE, &all);
        for (unsigned j = 0; j < count; j++) {
            struct presence_name *name = changes[j].name;
            if (changes[j].news == PRESENCE_CAME)
                came(redis, name);
            else
                good &=
                    batch_add(redis, changes[j].news == PRESENCE_SUBSCRIBE ? &more : &less, name);
        }
        good &= batch_send(redis, &more);
        good &= batch_send(redis, &less);
        if (!good) {
            redis_lose(redis, "there is no memory for what is to be subscribed");
            return;
        }
        redis->names += more.count;
        redis->names -= less.count;
        redis_figure(&redis->figures.names, redis->names);
        ready_behind(redis, all);
        if (all != 0 || count == 0)
            return;
    }
}

bool redis_names_command(struct redis_port *redis, enum redis_expect_kind kind, struct span *words,
                         unsigned count) {
    words[0] = command_words[kind];
    for (unsigned i = 1; i < count; i++) {
        struct redis_expect *expect = redis_expect_get(redis, kind);
        if (SHORTAGE(expect == NULL))
            return false;
        expect_add(redis, expect);
    }
    return link_command(&redis->subscriber, words, count);
}

/* --- a connection ---------------------------------------------------------------------------- */

void redis_names_begin(struct redis_port *redis) {
    char all[WIRE_CHANNEL_BYTES_MAX], own[WIRE_CHANNEL_BYTES_MAX];
    const struct wire_channel to_all = {.place = WIRE_ALL};
    const struct wire_channel to_own = {.place = WIRE_NODE,
                                        .name = span_text(redis->port.server->run)};
    const struct span words[] = {
        command_words[REDIS_EXPECT_SUBSCRIBE],
        span_of(all, wire_channel_write(redis->prefix, &to_all, all)),
        span_of(own, wire_channel_write(redis->prefix, &to_own, own)),
    };
    struct redis_expect *first = redis_expect_get(redis, REDIS_EXPECT_SUBSCRIBE);
    struct redis_expect *second = redis_expect_get(redis, REDIS_EXPECT_SUBSCRIBE);
    if (first != NULL)
        expect_add(redis, first);
    if (second != NULL)
        expect_add(redis, second);
    if (first == NULL || second == NULL || !link_command(&redis->subscriber, words, 3)) {
        redis_lose(redis, "there is no memory for what is to be subscribed");
        return;
    }
    second->to_all = true; /* the last of the two */
    if (!redis_adapter_begin(redis)) {
        redis_lose(redis, "there is no memory for what is to be subscribed");
        return;
    }
    redis->names = 0;
    presence_renew(redis->port.server->presence, redis->connections);
}

static bool is_kind(const struct resp_reply *reply, const char *word) {
    return reply->type == RESP_ARRAY && reply->item_count >= 1 &&
           reply->items[0].type == RESP_STRING && span_equal(reply->items[0].text, span_text(word));
}

static const char *const confirm_words[] = {
    [REDIS_EXPECT_SUBSCRIBE] = "subscribe",
    [REDIS_EXPECT_UNSUBSCRIBE] = "unsubscribe",
    [REDIS_EXPECT_PSUBSCRIBE] = "psubscribe",
    [REDIS_EXPECT_PUNSUBSCRIBE] = "punsubscribe",
};

/* Is the reply what comes for it? */
static bool is_for(const struct redis_port *redis, const struct resp_reply *reply,
                   const struct redis_expect *expect) {
    char text[WIRE_CHANNEL_BYTES_MAX];
    if (expect->kind == REDIS_EXPECT_ORDER) /* without subscriptions it is answered as anywhere */
        return is_kind(reply, "pong") || reply->type == RESP_STATUS;
    if (!is_kind(reply, confirm_words[expect->kind]) || reply->item_count != 3 ||
        reply->items[1].type != RESP_STRING)
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

/* Does this node keep anything that clients of others may have to be handed? */
static bool keeps_any(const struct server *server) {
    uint64_t pending = 0;
    for (unsigned i = 0; i < server->worker_count; i++)
        pending += stats_get(&server->workers[i].stats.acks_pending);
    return pending != 0;
}

void redis_names_confirmed(struct redis_port *redis, const struct resp_reply *reply) {
    struct redis_expect *expect = redis->first_name;
    if (expect == NULL || !is_for(redis, reply, expect)) {
        char why[160];
        bool error = reply->type == RESP_ERROR;
        snprintf(why, sizeof(why), "Redis answers SUBSCRIBE: %.*s",
                 error ? (int)reply->text.len : 12, error ? reply->text.at : "not as asked");
        redis_lose(redis, why);
        return;
    }
    expect_take(redis);
    if (expect->name != NULL)
        name_confirmed(redis, expect);
    if (expect->ready != 0)
        redis->ready = expect->ready;
    if (expect->kind == REDIS_EXPECT_ORDER) {
        redis->asks_order = false;
        redis_out_ordered(redis);
    } else if (expect->to_all) {
        redis->hears_all = true;
        if (keeps_any(redis->port.server))
            redis_out_asks(redis);
    }
    redis_expect_put(redis, expect);
}

void redis_names_lost(struct redis_port *redis) {
    presence_renew(redis->port.server->presence, 0);
    while (redis->first_name != NULL) {
        struct redis_expect *expect = expect_take(redis);
        if (expect->name != NULL)
            expect->name->confirmed++;
        redis_expect_put(redis, expect);
    }
    redis->hears_all = redis->asks_order = false;
    redis->ready = 0;
}

void redis_names_leave(struct redis_port *redis) {
    struct redis_expect *expect = redis_expect_get(redis, REDIS_EXPECT_UNSUBSCRIBE);
    char all[WIRE_CHANNEL_BYTES_MAX];
    const struct wire_channel to_all = {.place = WIRE_ALL};
    const struct span words[] = {command_words[REDIS_EXPECT_UNSUBSCRIBE],
                                 span_of(all, wire_channel_write(redis->prefix, &to_all, all))};
    redis->hears_all = false;
    if (expect != NULL)
        expect_add(redis, expect);
    if (expect == NULL || !link_command(&redis->subscriber, words, 2) ||
        !redis_adapter_leave(redis)) {
        redis_lose(redis, "there is no memory for what is to be unsubscribed");
        return;
    }
    presence_renew(redis->port.server->presence, redis->connections);
    redis_names_work(redis);
}

bool redis_names_left(const struct redis_port *redis) {
    return !redis->up || (redis->names == 0 && redis->first_name == NULL);
}
