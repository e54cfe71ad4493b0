#include "core/reply.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/piece.h"
#include "core/server.h"
#include "core/slots.h"
#include "core/worker.h"

/* Who does not read is looked for so often, among so many connections at a time; while only the
 * reserve is in use, and not pressed, more seldom. */
#define LOOK_NS (5 * NS_PER_MS)
#define LOOK_SELDOM_NS (100 * NS_PER_MS)
#define LOOK_SLOTS 1024
/* An answer out of the reserve stands at the front, or behind its head. */
#define LOOK_PIECES 4

bool reply_take(struct worker *worker, size_t unsent, size_t bytes, bool *beyond) {
    struct replies *replies = &worker->replies;
    *beyond = SHORTAGE(!account_try(&worker->account, bytes));
    if (!*beyond)
        return true;
    bool is_short = unsent + bytes <= REPLY_SHORT_BYTES;
    uint64_t max = is_short ? replies->beyond_max : replies->beyond_max / 2;
    if (SHORTAGE(replies->beyond_bytes + bytes > max)) {
        stats_add(&worker->stats.memory_refused, 1);
        return false;
    }
    replies->beyond_bytes += bytes;
    return true;
}

void reply_give(struct worker *worker, size_t bytes, bool beyond) {
    if (!beyond) {
        account_give(&worker->account, bytes);
        return;
    }
    CHECK(worker->replies.beyond_bytes >= bytes, "%zu bytes of a reply given back, %llu taken",
          bytes, (unsigned long long)worker->replies.beyond_bytes);
    worker->replies.beyond_bytes -= bytes;
}

void *reply_get(struct worker *worker, size_t unsent, size_t bytes, bool *beyond) {
    if (SHORTAGE(!reply_take(worker, unsent, bytes, beyond)))
        return NULL;
    bool fresh;
    void *at = block_cache_get(&worker->account.blocks, bytes, &fresh);
    if (SHORTAGE(at == NULL))
        reply_give(worker, bytes, *beyond);
    return at;
}

void reply_put(struct worker *worker, void *at, size_t bytes, bool beyond) {
    block_cache_put(&worker->account.blocks, at, bytes);
    reply_give(worker, bytes, beyond);
}

uint32_t replies_unsent(const struct connection *connection) {
    return connection->outbox.reply_bytes;
}

uint32_t replies_unsent_max(const struct worker *worker) {
    if (SHORTAGE(replies_press(&worker->replies)))
        return REPLY_SHORT_BYTES;
    return budget_is_full(worker->account.budget) ? REPLY_FEW_BYTES : REPLY_BYTES_MAX;
}

bool replies_throttle(const struct worker *worker, struct connection *connection) {
    if (SHORTAGE(replies_unsent(connection) > replies_unsent_max(worker)))
        connection->throttled = true;
    return connection->throttled;
}

/* --- who does not read ------------------------------------------------------------------------ */

static bool reserve_presses(const struct worker *worker) {
    const struct quota *reserve = &worker->server->reserve;
    return quota_used(reserve) > reserve->ceiling_bytes / 2;
}

static bool room_is_short(const struct worker *worker) {
    return SHORTAGE(budget_is_full(worker->account.budget)) || replies_press(&worker->replies) ||
           SHORTAGE(reserve_presses(worker));
}

static bool holds_reserve(const struct worker *worker, const struct connection *connection) {
    const struct piece *piece = connection->outbox.first;
    for (unsigned i = 0; piece != NULL && i < LOOK_PIECES; i++, piece = piece->next)
        if (piece->kind == PIECE_CHUNK && piece->chunk->quota == &worker->server->reserve)
            return true;
    return false;
}

/* Has the socket taken nothing for UNREAD_NS? While the worker was away, it may have, unseen; but
 * not for ever. */
static bool is_unread(const struct worker *worker, const struct connection *connection) {
    uint32_t now_ms = (uint32_t)(worker->now_ns / NS_PER_MS);
    uint32_t unread_ms = worker->replies.unread_ms;
    uint32_t waits_ms = now_ms - connection->sending_ms;
    return (connection->ops & OP_SEND) && connection->state != CONNECTION_JOINING &&
           replies_unsent(connection) != 0 &&
           (waits_ms >= SLOW_AT_LAST * unread_ms ||
            (waits_ms >= unread_ms && now_ms - worker->sending.away_ms >= unread_ms));
}

/* Must one that does not read give way for the others' sake? */
static bool must_go(const struct worker *worker, const struct connection *connection) {
    if (replies_press(&worker->replies))
        return true;
    bool much =
        connection->state != CONNECTION_OPEN || replies_unsent(connection) > REPLY_SHORT_BYTES;
    return (much && budget_is_full(worker->account.budget)) ||
           (reserve_presses(worker) && holds_reserve(worker, connection));
}

static void on_look(struct endpoint *endpoint, struct timer *timer) {
    struct worker *worker = worker_of(endpoint);
    struct replies *replies = &worker->replies;
    uint32_t slots = worker->slots.block_count * CONNECTION_BLOCK;
    (void)timer;
    for (uint32_t i = 0; i < LOOK_SLOTS && i < slots; i++) {
        if (!room_is_short(worker))
            return;
        replies->slot = replies->slot + 1 < slots ? replies->slot + 1 : 0;
        struct connection *connection = slot_at(worker, replies->slot);
        if (is_unread(worker, connection) && SHORTAGE(must_go(worker, connection))) {
            stats_add(&worker->stats.unread_closed, 1);
            connection_close(worker, connection, CLOSE_OVERLOADED);
        }
    }
}

void replies_init(struct replies *replies) {
    *replies =
        (struct replies){.beyond_max = REPLIES_BEYOND_BYTES, .unread_ms = UNREAD_NS / NS_PER_MS};
    timer_init(&replies->timer, on_look);
}

void replies_look(struct worker *worker) {
    struct replies *replies = &worker->replies;
    stats_set(&worker->stats.beyond_bytes, replies->beyond_bytes);
    if (timer_armed(&replies->timer))
        return;
    if (room_is_short(worker))
        timer_arm(&worker->wheel, &replies->timer, worker->now_ns + LOOK_NS);
    else if (quota_used(&worker->server->reserve) != 0)
        timer_arm(&worker->wheel, &replies->timer, worker->now_ns + LOOK_SELDOM_NS);
}
