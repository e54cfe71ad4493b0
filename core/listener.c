#include "core/listener.h"

#include "core/arrival.h"
#include "core/base/check.h"
#include "core/server.h"
#include "core/tag.h"
#include "core/worker.h"

#include <errno.h>
#include <string.h>

/* After an accept that failed for want of descriptors: the next attempt. */
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)

void listener_arm(struct worker *worker, struct listener *listener) {
    if (listener->armed || listener->fd < 0)
        return;
    listener->armed = true;
    ring_accept(worker->ring,
                tag_make(TAG_ACCEPT, 0, (uint32_t)(listener - worker->listeners.at) + 1),
                listener->fd);
}

static void listener_retry(struct endpoint *endpoint, struct timer *timer) {
    struct worker *worker = worker_of(endpoint);
    struct listener *listener = container_of(timer, struct listener, retry);
    if (!listener->closing)
        listener_arm(worker, listener);
}

void listener_init(struct worker *worker, uint32_t index, int fd) {
    struct listener *listener = &worker->listeners.at[worker->listeners.count++];
    listener->kind = worker->config->listeners[index].kind;
    listener->fd = fd;
    listener->index = index;
    listener->protocol = worker->server->parts.protocols[listener->kind];
    timer_init(&listener->retry, listener_retry);
}

void listener_stop(struct worker *worker, struct listener *listener) {
    listener->closing = true;
    timer_disarm(&worker->wheel, &listener->retry);
    if (listener->armed)
        ring_cancel(worker->ring, tag_make(TAG_CANCEL, 0, 0),
                    tag_make(TAG_ACCEPT, 0, (uint32_t)(listener - worker->listeners.at) + 1));
}

void listener_on_accept(struct worker *worker, const struct completion *completion) {
    uint32_t slot = tag_slot(completion->tag);
    CHECK(slot >= 1 && slot <= worker->listeners.count);
    struct listener *listener = &worker->listeners.at[slot - 1];
    if (!completion->more)
        listener->armed = false;
    if (completion->result >= 0) {
        connection_arrive(worker, listener, completion->result);
    } else if (completion->result != -ECANCELED) {
        stats_add(&worker->stats.accept_errors, 1);
        bool descriptors = completion->result == -EMFILE || completion->result == -ENFILE;
        bool peers_fault = completion->result == -ECONNABORTED || completion->result == -EPERM;
        log_event(LOG_WARN, "accept_failed", LOG_STR("error", strerror(-completion->result)),
                  LOG_U64("worker", worker->index),
                  LOG_STR("remedy", descriptors ? "raise LimitNOFILE, or lower --max-connections"
                                                : "none needed if it was the peer's doing"));
        if (!peers_fault) {
            /* The client stays in the backlog; let some others go first. */
            if (!listener->armed && !listener->closing)
                timer_arm(&worker->wheel, &listener->retry, worker->now_ns + ACCEPT_RETRY_NS);
            return;
        }
    }
    if (!listener->armed && !listener->closing)
        listener_arm(worker, listener);
}

bool listeners_stopped(const struct worker *worker, bool api) {
    for (unsigned i = 0; i < worker->listeners.count; i++)
        if (worker->listeners.at[i].armed && (api || worker->listeners.at[i].kind != LISTENER_API))
            return false;
    return true;
}
