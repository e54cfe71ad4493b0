#include "core/backlog.h"

#include "core/worker.h"

static uint32_t now_ms(const struct worker *worker) {
    return (uint32_t)(worker->now_ns / NS_PER_MS) | 1; /* 0 is for: not */
}

/* What the bit fields hold. */
#define MESSAGES_MASK ((UINT32_C(1) << 15) - 1)
#define SINCE_MASK ((UINT32_C(1) << 17) - 1)

_Static_assert(BACKLOG_MESSAGES_MAX <= MESSAGES_MASK, "they can be counted");

static uint32_t tick(const struct worker *worker) {
    return (uint32_t)(worker->now_ns / NS_PER_MS / BACKLOG_TICK_MS);
}

void backlog_add(const struct worker *worker, struct backlog *backlog, uint32_t messages,
                 uint32_t bytes) {
    if (backlog->messages == 0)
        backlog->since = tick(worker) & SINCE_MASK;
    backlog->messages = (backlog->messages + messages) & MESSAGES_MASK;
    backlog->bytes += bytes;
}

void backlog_take(struct backlog *backlog, uint32_t messages, uint32_t bytes) {
    backlog->messages = (backlog->messages - messages) & MESSAGES_MASK;
    backlog->bytes -= bytes;
}

bool backlog_was_empty(const struct worker *worker, const struct backlog *backlog,
                       uint64_t within_ns) {
    uint32_t ticks = (tick(worker) - backlog->since) & SINCE_MASK;
    return backlog->messages == 0 || ticks <= within_ns / NS_PER_MS / BACKLOG_TICK_MS;
}

bool backlog_has_room(const struct backlog *backlog, uint32_t wanted_bytes, uint32_t limit_bytes) {
    return backlog->messages == 0 || ((uint64_t)backlog->bytes + wanted_bytes <= limit_bytes &&
                                      backlog->messages < BACKLOG_MESSAGES_MAX);
}

bool backlog_half_full(const struct worker *worker, const struct backlog *backlog) {
    return backlog->bytes > worker->config->outbox_bytes / 2 ||
           backlog->messages > BACKLOG_MESSAGES_MAX / 2;
}

void backlog_watch(const struct worker *worker, struct backlog *backlog) {
    if (backlog->watch_ms != 0)
        return;
    uint32_t half = worker->config->outbox_bytes / 2;
    uint32_t asked = backlog->bytes < half ? backlog->bytes : half;
    backlog->watch_ms = now_ms(worker);
    /* Of a peer that reads so much in that time, this part has been seen by then (backlog.h). */
    backlog->watch_bytes = (asked + 3) / 4;
}

void backlog_took(const struct worker *worker, struct backlog *backlog, uint32_t bytes) {
    const struct config *config = worker->config;
    uint64_t largest = (uint64_t)config->max_message_bytes + LINE_SLACK_BYTES;
    bool roomy =
        !backlog_half_full(worker, backlog) && backlog->bytes + largest <= config->outbox_bytes;
    backlog->watch_bytes -= bytes < backlog->watch_bytes ? bytes : backlog->watch_bytes;
    if (backlog->watch_bytes == 0 || roomy)
        backlog->watch_ms = 0;
}

void backlog_excuse(const struct worker *worker, struct backlog *backlog, uint32_t ms) {
    if (backlog->watch_ms == 0)
        return;
    uint32_t waits_ms = now_ms(worker) - backlog->watch_ms;
    backlog->watch_ms += ms < waits_ms ? ms : waits_ms;
    backlog->watch_ms |= 1; /* 0 is for: not */
}

bool backlog_is_slow(const struct worker *worker, const struct backlog *backlog) {
    uint32_t since_ms = backlog->watch_ms, slow_ms = SLOW_NS / NS_PER_MS;
    if (since_ms == 0)
        return false;
    uint32_t waits_ms = now_ms(worker) - since_ms + 1;
    /* While the worker had no CPU, sends that the peer took were not seen; but not for ever. */
    return waits_ms >= SLOW_AT_LAST * slow_ms ||
           (waits_ms >= slow_ms && now_ms(worker) - worker->sending.away_ms >= slow_ms);
}
