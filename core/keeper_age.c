/* keeper_age.c - how long the oldest message has waited for its acknowledgement; see keeper.h.
 *
 * Of each id the oldest is the first that was taken. The ids are looked at in rounds, IDS_PER_LOOK
 * every LOOK_NS, so that no turn walks through all of them. */
#include "core/keeper.h"
#include "core/worker.h"

#define LOOK_NS (100 * NS_PER_MS)
#define IDS_PER_LOOK 4096

static const struct kept_id *id_behind(const struct keeper *keeper, const struct kept_id *id) {
    const struct table_node *node = table_walk(&keeper->ids, id == NULL ? NULL : &id->node);
    return node == NULL ? NULL : container_of(node, const struct kept_id, node);
}

static void on_look(struct endpoint *endpoint, struct timer *timer) {
    (void)timer;
    struct worker *worker = worker_of(endpoint);
    struct keeper *keeper = &worker->keeper;
    struct keeper_age *age = &keeper->age;
    keeper_safe_take(worker);
    if (age->next == NULL) {
        age->next = id_behind(keeper, NULL);
        age->oldest_ns = UINT64_MAX;
    }
    for (unsigned i = 0; i < IDS_PER_LOOK && age->next != NULL; i++) {
        const struct kept *first = kept_id_oldest(age->next);
        if (first != NULL && kept_message(first)->accepted_ns < age->oldest_ns)
            age->oldest_ns = kept_message(first)->accepted_ns;
        age->next = id_behind(keeper, age->next);
    }
    bool nothing = keeper->ids.count == 0;
    if (nothing || age->next == NULL)
        stats_set(&worker->stats.acks_oldest_ns,
                  nothing || age->oldest_ns > worker->now_ns ? 0 : worker->now_ns - age->oldest_ns);
    if (!nothing || keeper->safe.unsafe != 0)
        timer_arm(&worker->wheel, &age->timer, worker->now_ns + LOOK_NS);
}

void keeper_age_init(struct keeper_age *age) {
    *age = (struct keeper_age){.next = NULL};
    timer_init(&age->timer, on_look);
}

void keeper_age_look(struct worker *worker) {
    if (!timer_armed(&worker->keeper.age.timer))
        timer_arm(&worker->wheel, &worker->keeper.age.timer, worker->now_ns + LOOK_NS);
}

void keeper_age_pass(struct keeper *keeper, const struct kept_id *id) {
    if (keeper->age.next == id)
        keeper->age.next = id_behind(keeper, id);
}
