#include "core/port_wait.h"

#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/hub.h"
#include "core/server.h"

/* One publish that was sent to ports, until they have answered or its time is over. */
struct port_wait {
    struct list link; /* in waits->order */
    struct publish *publish;
    uint64_t due_ns;
    uint64_t ports; /* whose answers have not come */
};

/* It stays armed for one that was answered: the time of the next is looked up when it fires. */
static void waits_arm(struct endpoint *endpoint) {
    struct port_waits *waits = &endpoint->port_waits;
    if (!list_empty(&waits->order) && !timer_armed(&waits->timer))
        timer_arm(&endpoint->wheel, &waits->timer,
                  container_of(waits->order.next, struct port_wait, link)->due_ns);
}

static void port_wait_end(struct endpoint *endpoint, struct port_wait *wait) {
    wait->publish->port_wait = NULL;
    list_remove(&wait->link);
    pool_put(&endpoint->port_waits.pool, wait);
    endpoint->port_waits.count--;
}

/* Those whose time is over go on; each has the same time, so the first are the oldest. */
static void on_due(struct endpoint *endpoint, struct timer *timer) {
    (void)timer;
    struct port_waits *waits = &endpoint->port_waits;
    while (!list_empty(&waits->order)) {
        struct port_wait *wait = container_of(waits->order.next, struct port_wait, link);
        if (wait->due_ns > endpoint->now_ns)
            break;
        struct publish *publish = wait->publish;
        unsigned answers = (unsigned)__builtin_popcountll(wait->ports);
        stats_add(&endpoint->stats.ports_late, answers);
        port_wait_end(endpoint, wait);
        hub_give_up(endpoint, publish, answers);
        if (endpoint_slice_over(endpoint))
            break;
    }
    waits_arm(endpoint);
}

void port_waits_init(struct port_waits *waits) {
    *waits = (struct port_waits){.count = 0};
    list_init(&waits->order);
    pool_init(&waits->pool, sizeof(struct port_wait));
    timer_init(&waits->timer, on_due);
}

void port_waits_fini(struct port_waits *waits) {
    CHECK(waits->count == 0, "%u publishes still wait for ports", waits->count);
    pool_fini(&waits->pool);
}

/* What the port has not answered yet of this endpoint's. */
static uint32_t *owed_by(struct endpoint *endpoint, unsigned port) {
    return &endpoint->port_waits.owed[port - endpoint->server->worker_count];
}

/* May the port be sent one more? */
static bool port_has_room(struct endpoint *endpoint, unsigned port) {
    const struct post *post = &endpoint->server->post;
    return !SHORTAGE(*owed_by(endpoint, port) >= post->requests_max / 4) &&
           !SHORTAGE(!post_room(post, endpoint->index, port));
}

static struct port_wait *wait_get(struct endpoint *endpoint) {
    if (SHORTAGE(endpoint->port_waits.count >= endpoint->server->post.requests_max / 2))
        return NULL;
    return pool_get(&endpoint->port_waits.pool);
}

/* Waits for the ports. False: no room or memory for that. */
static bool port_wait_begin(struct endpoint *endpoint, struct publish *publish, uint64_t ports) {
    struct port_wait *wait = wait_get(endpoint);
    if (SHORTAGE(wait == NULL))
        return false;
    *wait = (struct port_wait){
        .publish = publish, .due_ns = endpoint->now_ns + PORT_ANSWER_NS, .ports = ports};
    list_init(&wait->link);
    list_add_tail(&endpoint->port_waits.order, &wait->link);
    endpoint->port_waits.count++;
    publish->port_wait = wait;
    for (uint64_t rest = ports; rest != 0; rest &= rest - 1)
        (*owed_by(endpoint, (unsigned)__builtin_ctzll(rest)))++;
    waits_arm(endpoint);
    return true;
}

uint64_t port_waits_begin(struct endpoint *endpoint, struct publish *publish, uint64_t ports) {
    uint64_t taken = 0;
    for (uint64_t rest = ports; rest != 0; rest &= rest - 1)
        if (port_has_room(endpoint, (unsigned)__builtin_ctzll(rest)))
            taken |= rest & -rest;
    if (taken != 0 && !port_wait_begin(endpoint, publish, taken))
        taken = 0;
    uint64_t passed = ports & ~taken;
    publish->unavailable = passed != 0;
    stats_add(&endpoint->stats.ports_refused, (uint64_t)__builtin_popcountll(passed));
    return taken;
}

bool port_waits_answered(struct endpoint *endpoint, unsigned port, uint64_t token) {
    uint32_t *owed = owed_by(endpoint, port);
    CHECK(*owed > 0, "port %u answers what it was not asked", port);
    if (!FAULT(PORT_CREDIT_KEPT))
        (*owed)--;
    const struct publish *publish = publish_of(endpoint, token);
    struct port_wait *wait = publish != NULL ? publish->port_wait : NULL;
    uint64_t bit = UINT64_C(1) << port;
    if (wait == NULL || (wait->ports & bit) == 0)
        return false;
    wait->ports &= ~bit;
    if (wait->ports == 0)
        port_wait_end(endpoint, wait);
    return true;
}
