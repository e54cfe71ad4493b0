#include "core/wait.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/server.h"

void waits_init(struct waits *waits) {
    *waits = (struct waits){.max = WAITS_MAX, .concern_max = WAIT_CONCERNS_MAX};
    list_init(&waits->untold);
    list_init(&waits->told);
    for (unsigned i = 0; i < WAIT_BUCKETS; i++)
        list_init(&waits->concerned[i]);
}

/* --- one wait --------------------------------------------------------------------------------- */

static void on_due(struct endpoint *endpoint, struct timer *timer) {
    struct wait *wait = container_of(timer, struct wait, timer);
    wait_end(worker_of(endpoint), wait);
    wait->type->on_deadline(worker_of(endpoint), wait);
}

bool wait_begin(struct worker *worker, struct wait *wait, const struct wait_type *type,
                uint64_t due_ns) {
    struct waits *waits = &worker->waits;
    if (server_phase(worker->server) >= PHASE_CLOSING)
        return false;
    if (SHORTAGE(waits->count >= waits->max)) {
        stats_add(&worker->stats.waits_refused, 1);
        return false;
    }
    wait->type = type;
    list_init(&wait->link);
    timer_init(&wait->timer, on_due);
    timer_arm(&worker->wheel, &wait->timer, due_ns);
    list_add_tail(&waits->untold, &wait->link);
    waits->count++;
    stats_set(&worker->stats.waits, waits->count);
    return true;
}

void wait_end(struct worker *worker, struct wait *wait) {
    struct waits *waits = &worker->waits;
    CHECK(list_linked(&wait->link), "a wait ends twice");
    list_remove(&wait->link);
    timer_disarm(&worker->wheel, &wait->timer);
    waits->count--;
    stats_set(&worker->stats.waits, waits->count);
}

/* --- whom it concerns ------------------------------------------------------------------------- */

bool wait_concern_begin(struct worker *worker, struct wait_concern *concern,
                        const struct connection *connection) {
    struct waits *waits = &worker->waits;
    if (SHORTAGE(waits->concern_count >= waits->concern_max)) {
        stats_add(&worker->stats.waits_refused, 1);
        return false;
    }
    concern->connection = connection_handle(worker, connection);
    list_init(&concern->link);
    list_add_tail(&waits->concerned[connection->slot % WAIT_BUCKETS], &concern->link);
    waits->concern_count++;
    return true;
}

void wait_concern_end(struct worker *worker, struct wait_concern *concern) {
    struct waits *waits = &worker->waits;
    CHECK(list_linked(&concern->link), "a concern ends twice");
    list_remove(&concern->link);
    waits->concern_count--;
    waits->goodbye_again |= server_phase(worker->server) >= PHASE_GOODBYE;
}

bool wait_concerns(struct worker *worker, const struct connection *connection) {
    struct waits *waits = &worker->waits;
    if (connection->state == CONNECTION_OPEN && connection->protocol->is_waited != NULL &&
        connection->protocol->is_waited(worker, connection)) {
        waits->passed_over = true;
        return true;
    }
    if (waits->concern_count == 0)
        return false;
    const struct list *bucket = &waits->concerned[connection->slot % WAIT_BUCKETS];
    for (const struct list *at = bucket->next; at != bucket; at = at->next) {
        const struct wait_concern *concern = container_of(at, struct wait_concern, link);
        if (concern->connection.slot == connection->slot &&
            concern->connection.generation == connection->generation)
            return true;
    }
    return false;
}

/* --- the drain -------------------------------------------------------------------------------- */

/* Has a wait ended since some were passed over? */
static bool passed_over_ended(const struct worker *worker) {
    const struct waits *waits = &worker->waits;
    return waits->passed_over && waits->ended != fates_waits_ended(&worker->server->fates);
}

/* By the phase that the worker is in, as the sweep through its connections goes by it. */
bool waits_busy(const struct worker *worker) {
    const struct waits *waits = &worker->waits;
    uint32_t phase = worker->loop.phase_entered;
    return (phase >= PHASE_REFUSING && !list_empty(&waits->untold)) ||
           (phase >= PHASE_CLOSING && waits->count != 0) ||
           (phase == PHASE_GOODBYE && (waits->goodbye_again || passed_over_ended(worker)));
}

static void drain_tell(struct worker *worker, struct wait *wait) {
    list_remove(&wait->link);
    list_add_tail(&worker->waits.told, &wait->link);
    if (!FAULT(WAIT_FORGOTTEN))
        wait->type->on_drain(worker, wait);
}

static void drain_over(struct worker *worker, struct wait *wait) {
    wait_end(worker, wait);
    if (!FAULT(WAIT_FORGOTTEN))
        wait->type->on_deadline(worker, wait);
}

void waits_work(struct worker *worker) {
    struct waits *waits = &worker->waits;
    bool over = worker->loop.phase_entered >= PHASE_CLOSING;
    while (!list_empty(&waits->untold) || (over && !list_empty(&waits->told))) {
        struct list *first = list_empty(&waits->untold) ? waits->told.next : waits->untold.next;
        struct wait *wait = container_of(first, struct wait, link);
        if (over)
            drain_over(worker, wait);
        else
            drain_tell(worker, wait);
        if (slice_over(worker))
            break;
    }
    /* One walk at a time: what it passed over since is looked at by the next. */
    if (passed_over_ended(worker)) {
        waits->passed_over = false;
        waits->goodbye_again = true;
    }
    if (waits->goodbye_again && worker->loop.phase_entered == PHASE_GOODBYE &&
        !sweep_busy(&worker->slots.sweep)) {
        waits->goodbye_again = false;
        waits->ended = fates_waits_ended(&worker->server->fates);
        sweep_begin(worker, PHASE_GOODBYE);
    }
}
