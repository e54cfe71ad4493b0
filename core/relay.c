#include "core/relay.h"

#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"

void relays_init(struct relays *relays) {
    *relays = (struct relays){.away = 0};
    list_init(&relays->waiting);
}

bool relay_room(struct endpoint *endpoint, unsigned to) {
    if (to == endpoint->index ||
        (list_empty(&endpoint->relays.waiting) &&
         !SHORTAGE(!post_room(&endpoint->server->post, endpoint->index, to))))
        return true;
    stats_add(&endpoint->stats.relays_refused, 1);
    return false;
}

/* There is room. */
static void mail_it(struct endpoint *endpoint, struct relay *relay) {
    post_send(
        endpoint, relay->to,
        &(struct mail){.kind = MAIL_RELAY, .from = (uint16_t)endpoint->index, .object = relay});
}

void relay_send(struct worker *worker, struct relay *relay, unsigned to,
                void (*run)(struct worker *worker, struct relay *relay)) {
    if (to != worker->index) {
        relay_pass(&worker->endpoint, relay, to, run);
        return;
    }
    relay->run = run;
    relay->to = (uint16_t)to;
    run(worker, relay);
}

void relay_pass(struct endpoint *endpoint, struct relay *relay, unsigned to,
                void (*run)(struct worker *worker, struct relay *relay)) {
    CHECK(to != endpoint->index);
    relay->run = run;
    relay->to = (uint16_t)to;
    if (relay->owner == endpoint->index) {
        endpoint->relays.away++;
        stats_add(&endpoint->stats.relays, 1);
    }
    if (relays_wait(&endpoint->relays) ||
        SHORTAGE(!post_room(&endpoint->server->post, endpoint->index, to)))
        list_add_tail(&endpoint->relays.waiting, &relay->link);
    else
        mail_it(endpoint, relay);
}

void relay_on_mail(struct endpoint *endpoint, const struct mail *mail) {
    struct relay *relay = mail->object;
    endpoint->relays.away -= relay->owner == endpoint->index;
    if (endpoint->is_worker)
        relay->run(worker_of(endpoint), relay);
    else
        port_on_relay(endpoint, relay);
}

void relays_work(struct endpoint *endpoint) {
    struct list todo, *node;
    uint64_t full = 0; /* endpoints: what is behind must not overtake */
    list_init(&todo);
    list_append(&todo, &endpoint->relays.waiting);
    while ((node = list_pop(&todo)) != NULL) {
        struct relay *relay = container_of(node, struct relay, link);
        bool room = (full & UINT64_C(1) << relay->to) == 0 &&
                    !SHORTAGE(!post_room(&endpoint->server->post, endpoint->index, relay->to));
        if (room) {
            mail_it(endpoint, relay);
        } else {
            full |= UINT64_C(1) << relay->to;
            list_add_tail(&endpoint->relays.waiting, node);
        }
    }
}
