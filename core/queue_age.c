#include "core/queue_age.h"

#include "core/worker.h"

#define ROUND_NS (100 * NS_PER_MS)
#define SLICE_NS (5 * NS_PER_MS)

static void on_slice(struct endpoint *endpoint, struct timer *timer) {
    struct worker *worker = worker_of(endpoint);
    (void)timer;
    struct queue_age *age = &worker->delivery.queue_age;
    for (unsigned i = 0; i < QUEUE_AGE_SESSIONS && age->next < worker->sessions.count; i++) {
        struct session *session = worker->sessions.at[age->next++];
        const struct outbox *outbox = session->type->outbox(session);
        uint64_t oldest_ns = outbox == NULL ? 0 : outbox_age_ns(worker, outbox);
        if (oldest_ns > age->oldest_ns)
            age->oldest_ns = oldest_ns;
    }
    if (age->next < worker->sessions.count) {
        timer_arm(&worker->wheel, &age->timer, worker->now_ns + SLICE_NS);
        return;
    }
    stats_set(&worker->stats.queue_age_ns, age->oldest_ns);
    if (age->oldest_ns != 0)
        timer_arm(&worker->wheel, &age->timer, worker->now_ns + ROUND_NS);
    age->next = 0;
    age->oldest_ns = 0;
}

void queue_age_init(struct queue_age *age) {
    *age = (struct queue_age){.next = 0};
    timer_init(&age->timer, on_slice);
}

void queue_age_look(struct worker *worker) {
    if (!timer_armed(&worker->delivery.queue_age.timer) &&
        stats_get(&worker->stats.outbox_bytes) != 0)
        timer_arm(&worker->wheel, &worker->delivery.queue_age.timer, worker->now_ns + ROUND_NS);
}
