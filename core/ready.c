#include "core/ready.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/presence.h"
#include "core/server.h"

struct held {
    struct list link;
    struct table_node node; /* hash: of the session */
    struct session *session;
    uint64_t begun; /* its names are among the begins up to this number */
    uint64_t due_ns;
};

static uint64_t place_of(const struct session *session) {
    uint64_t at = (uintptr_t)session / 8;
    return (at ^ at >> 17) * UINT64_C(0x9E3779B97F4A7C15);
}

static void session_hold(struct worker *worker, struct session *session, bool holds) {
    if (session->type->hold != NULL) {
        session->type->hold(worker, session, holds);
        return;
    }
    struct outbox *outbox = session->type->outbox(session);
    struct connection *connection = outbox != NULL ? connection_of_outbox(outbox) : NULL;
    if (connection != NULL)
        connection_hold(worker, connection, holds);
}

static void held_free(struct worker *worker, struct held *held) {
    list_remove(&held->link);
    table_remove(&worker->readies.places, &held->node);
    held->session->held = false;
    pool_put(&worker->readies.pool, held);
    account_give(&worker->account, sizeof(*held));
}

static void look_at(struct worker *worker, bool by_time) {
    uint64_t ready = presence_ready(worker->server->presence);
    struct readies *readies = &worker->readies;
    while (!list_empty(&readies->order)) {
        struct held *held = container_of(readies->order.next, struct held, link);
        if (held->begun > ready && !(by_time && held->due_ns <= worker->now_ns))
            break;
        struct session *session = held->session;
        held_free(worker, held);
        session_hold(worker, session, false);
        if (slice_over(worker))
            break;
    }
    if (list_empty(&readies->order))
        return;
    const struct held *first = container_of(readies->order.next, struct held, link);
    if (!timer_armed(&readies->timer))
        timer_arm(&worker->wheel, &readies->timer, first->due_ns);
    presence_watch(worker->server->presence, worker->index);
    if (presence_ready(worker->server->presence) >= first->begun) /* since it was looked at */
        server_nudge_endpoint(worker->server, worker->index);
}

static void on_due(struct endpoint *endpoint, struct timer *timer) {
    (void)timer;
    look_at(worker_of(endpoint), true);
}

void readies_init(struct readies *readies) {
    list_init(&readies->order);
    table_init(&readies->places);
    pool_init(&readies->pool, sizeof(struct held));
    timer_init(&readies->timer, on_due);
}

void readies_fini(struct readies *readies) {
    CHECK(list_empty(&readies->order), "sessions are still held");
    table_fini(&readies->places);
    pool_fini(&readies->pool);
}

static struct held *held_get(struct worker *worker) {
    if (SHORTAGE(!account_take(&worker->account, sizeof(struct held))))
        return NULL;
    struct held *held = pool_get(&worker->readies.pool);
    if (SHORTAGE(held == NULL))
        account_give(&worker->account, sizeof(*held));
    return held;
}

void ready_begin(struct worker *worker, struct session *session) {
    struct presence *presence = worker->server->presence;
    if (presence == NULL || session->held || !session_is_open(session))
        return;
    uint64_t begun = presence_begun(presence);
    if (begun <= presence_ready(presence))
        return;
    struct held *held = held_get(worker);
    if (SHORTAGE(held == NULL))
        return;
    *held = (struct held){.node.hash = place_of(session),
                          .session = session,
                          .begun = begun,
                          .due_ns = worker->now_ns + READY_NS};
    if (SHORTAGE(!table_add(&worker->readies.places, &held->node))) {
        pool_put(&worker->readies.pool, held);
        account_give(&worker->account, sizeof(*held));
        return;
    }
    list_init(&held->link);
    list_add_tail(&worker->readies.order, &held->link);
    session->held = true;
    session_hold(worker, session, true);
    look_at(worker, false);
}

void ready_end(struct worker *worker, struct session *session) {
    if (!session->held)
        return;
    struct table_node *node = table_first(&worker->readies.places, place_of(session));
    while (container_of(node, struct held, node)->session != session)
        node = table_next(node);
    held_free(worker, container_of(node, struct held, node));
    session_hold(worker, session, false);
}

void readies_look(struct worker *worker) {
    if (worker->server->presence != NULL && !list_empty(&worker->readies.order))
        look_at(worker, false);
}
