/* redis_calls.c - calls (core/call.h) that other nodes take part in.
 *
 *   here, who asks                              Redis           there
 *
 *   worker --CALL--> redis_calls_ask --PUBLISH `call`-->  redis_calls_asked --> call of its workers
 *   how many are asked      <--subscribers--<                         |
 *   worker <--CALL_DONE--  redis_calls_answered  <--`answer`--  redis_calls_called
 *
 * A call about a client id or a group goes to its channel, so that nodes which have no session of
 * it are not troubled, and what PUBLISH answers says how many will say something. A call for all
 * nodes goes to `all`, and is for those that have been heard of. It waits for CALL_WAIT_NS; where
 * somebody is missing then, or may be (Redis was away a moment ago), its part says so.
 *
 * Threads: the port's. Owns: struct redis_call and redis_called, charged to its account. Limits:
 * REDIS_CALLS_MAX of this node, CALLED_MAX of others. */
#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/call.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "ha/redis/redis_expect.h"
#include "proto/text/json.h"

#include <string.h>

#define CALLED_MAX 256
/* Lines are sent in texts of about so many bytes. */
#define PIECE_BYTES 32768
/* `{"node":{"run":"...","answer":...,"more":true,"says":[]}}` */
#define AROUND_BYTES 160
/* By then every node has said that it lives. */
#define HEARD_ALL_NS (2 * LIVES_NS)

/* A call of this node, until nobody is waited for any more. */
struct redis_call {
    struct list link; /* in redis->calls, the oldest first */
    struct call *call;
    const struct redis_shard *shard; /* by which others are asked */
    uint64_t number;
    uint64_t until_ns;
    uint64_t wanted; /* nodes that will say something; once it is counted */
    uint64_t had;    /* that have */
    bool counted;
    bool missing;
};

/* A call of another node. */
struct redis_called {
    struct redis_shard *shard; /* by which it came: who asks hears it there, unless in a Cluster */
    char run[WIRE_RUN_BYTES];
    uint64_t number;
};

void redis_calls_init(struct redis_port *redis) {
    list_init(&redis->calls);
    pool_init(&redis->call_pool, sizeof(struct redis_call));
    pool_init(&redis->called_pool, sizeof(struct redis_called));
}

static void *charged_get(struct redis_port *redis, struct pool *pool) {
    void *object = NULL;
    if (!SHORTAGE(!account_take(&redis->port.account, pool->object_bytes))) {
        object = pool_get(pool);
        if (SHORTAGE(object == NULL))
            account_give(&redis->port.account, pool->object_bytes);
    }
    return object;
}

static void charged_put(struct redis_port *redis, struct pool *pool, void *object) {
    pool_put(pool, object);
    account_give(&redis->port.account, pool->object_bytes);
}

/* --- here ------------------------------------------------------------------------------------- */

static struct call_part *part_of(const struct redis_port *redis, struct call *call) {
    return call_others(call, redis->port.server->worker_count);
}

static void not_asked(struct redis_port *redis, struct call *call) {
    stats_add(&redis->figures.calls_incomplete, 1);
    part_of(redis, call)->missing = true;
    call_part_done(&redis->port.endpoint, call);
}

static void end(struct redis_port *redis, struct redis_call *asked, bool missing) {
    struct call *call = asked->call;
    if ((missing || asked->missing) && !FAULT(CALL_COMPLETE)) {
        stats_add(&redis->figures.calls_incomplete, 1);
        part_of(redis, call)->missing = true;
    }
    list_remove(&asked->link);
    redis->calls_open--;
    charged_put(redis, &redis->call_pool, asked);
    call_part_done(&redis->port.endpoint, call);
}

static struct redis_call *find(struct redis_port *redis, uint64_t number) {
    for (struct list *at = redis->calls.next; at != &redis->calls; at = at->next) {
        struct redis_call *asked = container_of(at, struct redis_call, link);
        if (asked->number == number)
            return asked;
    }
    return NULL;
}

static struct wire_channel channel_of(const struct call *call) {
    static const enum wire_place places[] = {
        [CALL_ID] = WIRE_ID, [CALL_GROUP] = WIRE_GROUP, [CALL_ALL] = WIRE_ALL};
    enum call_reach reach = call->nodes->reach;
    return (struct wire_channel){
        .place = places[reach],
        .name = reach == CALL_ALL ? SPAN("") : span_of(call->text, call->text_len[0])};
}

void redis_calls_ask(struct port *port, struct call *call) {
    struct redis_port *redis = redis_of(port);
    struct redis_call *asked = NULL;
    char text[CALL_ASK_BYTES + AROUND_BYTES];
    struct builder out = builder_over(text, sizeof(text));
    struct wire_channel channel = channel_of(call);
    struct redis_shard *shard = redis_shard_of(redis, &channel);
    if (shard != NULL && redis_shard_works(shard) && !redis->leaves &&
        !SHORTAGE(redis->calls_open >= REDIS_CALLS_MAX))
        asked = charged_get(redis, &redis->call_pool);
    if (asked == NULL) {
        not_asked(redis, call);
        return;
    }
    *asked = (struct redis_call){.call = call,
                                 .shard = shard,
                                 .number = ++redis->call_number,
                                 .until_ns = port->now_ns + CALL_WAIT_NS,
                                 .missing = port->now_ns < shard->unsure_ns};
    wire_call_begin(port->server->run, asked->number, &out);
    call->nodes->ask(call, &out);
    builder_text(&out, "}}");
    CHECK(!out.full, "what a call asks is too long");
    list_add_tail(&redis->calls, &asked->link);
    redis->calls_open++;
    if (redis_out_call(shard, &channel, builder_span(&out), asked->number))
        stats_add(&redis->figures.calls, 1);
    else
        end(redis, asked, true);
}

static void look(struct redis_port *redis, struct redis_call *asked) {
    if (asked->counted && asked->had >= asked->wanted)
        end(redis, asked, false);
}

/* By now every node has said that it lives, by some shard. */
static bool has_heard_all(const struct redis_port *redis) {
    for (unsigned i = 0; i < redis->shard_count; i++) {
        const struct redis_shard *shard = redis->shards[i];
        if (shard->hears_all && redis->port.now_ns - shard->all_ns >= HEARD_ALL_NS)
            return true;
    }
    return false;
}

void redis_calls_counted(struct redis_shard *shard, uint64_t number, uint64_t nodes) {
    struct redis_port *redis = shard->redis;
    struct redis_call *asked = find(redis, number);
    if (asked == NULL)
        return;
    uint64_t known = redis->nodes.count;
    bool heard_all = has_heard_all(redis);
    if (asked->call->nodes->reach == CALL_ALL)
        asked->wanted = heard_all || known > nodes ? known : nodes;
    else /* a program may have subscribed, which says nothing */
        asked->wanted = heard_all && known < nodes ? known : nodes;
    asked->counted = true;
    look(redis, asked);
}

/* Puts what a node says behind what others have said. */
static void says_take(struct redis_port *redis, struct call_part *part, struct span says) {
    struct json_cursor cursor;
    struct json_value value;
    struct chunk *chunk = NULL;
    if (says.len == 0 || part->failed)
        return;
    chunk = chunk_get(&redis->port.endpoint, says.len, part->call->reserve);
    part->failed = SHORTAGE(chunk == NULL);
    if (chunk == NULL)
        return;
    struct builder out = builder_over(chunk->text, chunk->cap);
    /* Each is one byte shorter than with the comma or bracket behind it. */
    if (json_open(&cursor, says) == JSON_ARRAY)
        while (json_array_next(&cursor, &value)) {
            if (value.kind != JSON_OBJECT)
                continue;
            builder_span_add(&out, value.raw);
            builder_byte(&out, '\n');
        }
    chunk->len = (uint32_t)out.len;
    chain_add(&part->text, chunk);
}

void redis_calls_answered(struct redis_port *redis, const struct wire_node *node) {
    struct redis_call *asked = find(redis, node->answer);
    if (asked == NULL)
        return; /* it came too late */
    asked->missing |= node->failed;
    says_take(redis, part_of(redis, asked->call), node->says);
    if (node->more)
        return;
    asked->had++;
    look(redis, asked);
}

uint64_t redis_calls_due_ns(const struct redis_port *redis) {
    if (list_empty(&redis->calls))
        return UINT64_MAX;
    return container_of(redis->calls.next, const struct redis_call, link)->until_ns;
}

void redis_calls_work(struct redis_port *redis) {
    while (redis_calls_due_ns(redis) <= redis->port.now_ns)
        end(redis, container_of(redis->calls.next, struct redis_call, link), true);
}

void redis_calls_missed(struct redis_port *redis, uint64_t number) {
    struct redis_call *asked = find(redis, number);
    if (asked != NULL)
        end(redis, asked, true);
}

void redis_calls_lost(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    for (struct list *at = redis->calls.next, *next; at != &redis->calls; at = next) {
        struct redis_call *asked = container_of(at, struct redis_call, link);
        next = at->next;
        if (asked->shard == shard)
            end(redis, asked, true);
    }
}

/* --- there ------------------------------------------------------------------------------------ */

/* False: no room. */
static bool piece_send(struct redis_port *redis, const struct redis_called *to, struct span lines,
                       char *room, const char *flag) {
    struct builder out = builder_over(room, lines.len + AROUND_BYTES);
    wire_answer_begin(redis->port.server->run, to->number, &out);
    builder_text(&out, flag);
    builder_text(&out, ",\"says\":[");
    char *at = out.at + out.len;
    builder_span_add(&out, lines);
    const char *end = out.at + out.len;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL)
        *at = at + 1 == end ? ' ' : ',';
    builder_text(&out, "]}}");
    CHECK(!out.full, "an answer is too long");
    struct wire_channel channel = {WIRE_NODE, span_of(to->run, WIRE_RUN_BYTES)};
    struct redis_shard *shard =
        redis->cluster == NULL ? to->shard : redis_shard_of(redis, &channel);
    return redis_out_text(shard, &channel, builder_span(&out));
}

static void failed_send(struct redis_port *redis, const struct redis_called *to) {
    char room[AROUND_BYTES];
    (void)piece_send(redis, to, SPAN(""), room, ",\"failed\":true");
}

/* Up to the end of the last line that is within PIECE_BYTES, or of the first one. */
static size_t piece_len(struct span lines) {
    if (lines.len <= PIECE_BYTES)
        return lines.len;
    const char *end = memrchr(lines.at, '\n', PIECE_BYTES);
    if (end == NULL)
        end = memchr(lines.at, '\n', lines.len);
    return end == NULL ? lines.len : (size_t)(end - lines.at) + 1;
}

static void lines_send(struct redis_port *redis, const struct redis_called *to,
                       struct chain *chain) {
    /* A short answer must not take for good what the longest line would. */
    size_t len = chain_bytes(chain), piece_max = CALL_LINE_BYTES + PIECE_BYTES;
    size_t room = len + (len < piece_max ? len : piece_max) + AROUND_BYTES;
    if (chain->failed || SHORTAGE(!redis_rest_room(redis, room))) {
        failed_send(redis, to);
        return;
    }
    struct builder all = builder_over(redis->rest, len);
    struct chunk *first = chain_take(chain);
    for (const struct chunk *chunk = first; chunk != NULL; chunk = chunk->next)
        builder_bytes(&all, chunk->text, chunk->len);
    chunks_put(first);
    struct span lines = builder_span(&all);
    bool more = true;
    while (more) {
        size_t piece = piece_len(lines);
        more = piece != lines.len;
        if (!piece_send(redis, to, span_of(lines.at, piece), redis->rest + len,
                        more ? ",\"more\":true" : ""))
            return; /* who asks does without it once its time is over */
        lines = span_of(lines.at + piece, lines.len - piece);
    }
}

void redis_calls_called(struct port *port, struct call *call) {
    struct redis_port *redis = redis_of(port);
    struct redis_called *to = call->request;
    struct chain chain = chain_empty(&port->endpoint, call->reserve);
    if (to->shard->up) {
        call->nodes->tell(&port->endpoint, call, &chain);
        lines_send(redis, to, &chain);
        chain_free(&chain);
    }
    charged_put(redis, &redis->called_pool, to);
    redis->called_open--;
    call_end(&port->endpoint, call);
}

void redis_calls_asked(struct redis_shard *shard, const struct wire_node *node) {
    struct redis_port *redis = shard->redis;
    struct redis_called to = {.shard = shard, .number = node->call};
    memcpy(to.run, node->run, sizeof(to.run));
    stats_add(&redis->figures.called, 1);
    struct redis_called *called = NULL;
    struct call *call = NULL;
    if (!redis->leaves && !SHORTAGE(redis->called_open >= CALLED_MAX))
        called = charged_get(redis, &redis->called_pool);
    if (called != NULL)
        call = redis->port.server->parts.call_of(&redis->port.endpoint, node->does);
    if (call != NULL) {
        *called = to;
        call->request = called;
        redis->called_open++;
        if (!SHORTAGE(!call_start(&redis->port.endpoint, call)))
            return;
        redis->called_open--;
    }
    if (called != NULL)
        charged_put(redis, &redis->called_pool, called);
    failed_send(redis, &to);
}

void redis_calls_fini(struct redis_port *redis) {
    CHECK(list_empty(&redis->calls), "a call of this node is under way");
    CHECK(redis->called_open == 0, "a call of another node is under way");
    pool_fini(&redis->call_pool);
    pool_fini(&redis->called_pool);
}
