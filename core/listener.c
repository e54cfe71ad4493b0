#include "core/listener.h"

#include "core/arrival.h"
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/tag.h"
#include "core/worker.h"

#include <errno.h>
#include <string.h>

/* After an accept that failed for want of descriptors: the next attempt. */
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)

static uint64_t tag_of(const struct worker *worker, const struct listener *listener,
                       unsigned number) {
    return tag_make(TAG_ACCEPT, number, (uint32_t)(listener - worker->listeners.at) + 1);
}

static unsigned armed_count(const struct listener *listener) {
    return (unsigned)__builtin_popcount(listener->armed);
}

/* Until so many are armed. */
static void listener_arm(struct worker *worker, struct listener *listener, unsigned wanted) {
    for (unsigned i = 0; armed_count(listener) < wanted; i++) {
        if (listener->armed & UINT32_C(1) << i)
            continue;
        listener->armed |= UINT32_C(1) << i;
        ring_accept(worker->ring, tag_of(worker, listener, i), listener->fd);
    }
    listener->armed_ns = worker->now_ns;
}

/* For the one that failed: nobody wakes those that are armed for the client that it left. */
static void listener_retry(struct endpoint *endpoint, struct timer *timer) {
    struct worker *worker = worker_of(endpoint);
    struct listener *listener = container_of(timer, struct listener, retry);
    listener_arm(worker, listener, armed_count(listener) + 1);
}

/* May what it accepts belong to another worker? */
static bool hands_over(const struct worker *worker, const struct listener *listener) {
    return worker->config->proxy_count != 0 ||
           (worker->config->steer == STEER_IP && !worker->server->steered[listener->index]);
}

/* How long it waits after it has armed some; 0: it need not. */
static uint64_t pause_ns(const struct worker *worker, const struct listener *listener) {
    if (SHORTAGE(worker->reading.piles))
        return ACCEPT_PAUSE_NS;
    if (SHORTAGE(hands_over(worker, listener) && server_any_piles(worker->server)))
        return ACCEPT_PAUSE_NS * worker->server->worker_count;
    return 0;
}

void listeners_work(struct worker *worker) {
    worker->listeners.put_off = false;
    for (unsigned i = 0; i < worker->listeners.count; i++) {
        struct listener *listener = &worker->listeners.at[i];
        if (!listener->open || listener->failed || armed_count(listener) == ACCEPTS_MAX)
            continue;
        uint64_t pause = pause_ns(worker, listener);
        if (pause == 0) {
            listener_arm(worker, listener, ACCEPTS_MAX);
            continue;
        }
        stats_add(&worker->stats.accepts_put_off, 1);
        worker->listeners.put_off = true;
        unsigned few = listener->kind == LISTENER_API ? ACCEPTS_LATE_API : ACCEPTS_LATE;
        if (armed_count(listener) < few && worker->now_ns - listener->armed_ns >= pause)
            listener_arm(worker, listener, few);
    }
}

void listener_init(struct worker *worker, uint32_t index, int fd) {
    struct listener *listener = &worker->listeners.at[worker->listeners.count++];
    listener->kind = worker->config->listeners[index].kind;
    listener->fd = fd;
    listener->index = index;
    listener->protocol = worker->server->parts.protocols[listener->kind];
    timer_init(&listener->retry, listener_retry);
}

void listener_start(struct listener *listener) {
    listener->open = listener->fd >= 0;
}

void listener_stop(struct worker *worker, struct listener *listener) {
    listener->open = false;
    timer_disarm(&worker->wheel, &listener->retry);
    for (unsigned i = 0; i < ACCEPTS_MAX; i++)
        if (listener->armed & UINT32_C(1) << i)
            ring_cancel(worker->ring, tag_make(TAG_CANCEL, 0, 0), tag_of(worker, listener, i));
}

/* Says so once, although others of the armed ones may fail as well. */
static void accept_failed(struct worker *worker, struct listener *listener, int error) {
    stats_add(&worker->stats.accept_errors, 1);
    bool descriptors = error == EMFILE || error == ENFILE;
    bool peers_fault = error == ECONNABORTED || error == EPERM;
    if (!timer_armed(&listener->retry))
        log_event(LOG_WARN, "accept_failed", LOG_STR("error", strerror(error)),
                  LOG_U64("worker", worker->index),
                  LOG_STR("remedy", descriptors ? "raise LimitNOFILE, or lower --max-connections"
                                                : "none needed if it was the peer's doing"));
    listener->failed = !peers_fault || timer_armed(&listener->retry);
    /* The client stays in the backlog; let some others go first. */
    if (listener->failed && listener->open && !timer_armed(&listener->retry))
        timer_arm(&worker->wheel, &listener->retry, worker->now_ns + ACCEPT_RETRY_NS);
}

void listener_on_accept(struct worker *worker, const struct completion *completion) {
    uint32_t slot = tag_slot(completion->tag);
    CHECK(slot >= 1 && slot <= worker->listeners.count);
    struct listener *listener = &worker->listeners.at[slot - 1];
    listener->armed &= ~(UINT32_C(1) << tag_generation(completion->tag));
    if (completion->result >= 0) {
        /* The next turn goes on with all of them. */
        listener->failed = false;
        timer_disarm(&worker->wheel, &listener->retry);
        connection_arrive(worker, listener, completion->result);
    } else if (completion->result != -ECANCELED) {
        accept_failed(worker, listener, -completion->result);
    }
}

bool listeners_stopped(const struct worker *worker, bool api) {
    for (unsigned i = 0; i < worker->listeners.count; i++)
        if (worker->listeners.at[i].armed != 0 &&
            (api || worker->listeners.at[i].kind != LISTENER_API))
            return false;
    return true;
}
