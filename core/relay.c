#include "core/relay.h"

#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"

void relays_init(struct relays *relays) {
    *relays = (struct relays){.away = 0};
    list_init(&relays->waiting);
}

bool relay_room(struct worker *worker, unsigned to) {
    if (to == worker->index || (list_empty(&worker->relays.waiting) &&
                                !SHORTAGE(!post_room(&worker->server->post, worker->index, to))))
        return true;
    stats_add(&worker->stats.relays_refused, 1);
    return false;
}

/* There is room. */
static void mail_it(struct worker *worker, struct relay *relay) {
    post_send(&worker->endpoint, relay->to,
              &(struct mail){.kind = MAIL_RELAY, .from = (uint16_t)worker->index, .object = relay});
}

void relay_send(struct worker *worker, struct relay *relay, unsigned to,
                void (*run)(struct worker *worker, struct relay *relay)) {
    relay->run = run;
    relay->to = (uint16_t)to;
    if (to == worker->index) {
        run(worker, relay);
        return;
    }
    if (relay->owner == worker->index) {
        worker->relays.away++;
        stats_add(&worker->stats.relays, 1);
    }
    if (relays_wait(&worker->relays) ||
        SHORTAGE(!post_room(&worker->server->post, worker->index, to)))
        list_add_tail(&worker->relays.waiting, &relay->link);
    else
        mail_it(worker, relay);
}

void relay_on_mail(struct worker *worker, const struct mail *mail) {
    struct relay *relay = mail->object;
    worker->relays.away -= relay->owner == worker->index;
    relay->run(worker, relay);
}

void relays_work(struct worker *worker) {
    struct list todo, *node;
    uint64_t full = 0; /* workers: what is behind must not overtake */
    list_init(&todo);
    list_append(&todo, &worker->relays.waiting);
    while ((node = list_pop(&todo)) != NULL) {
        struct relay *relay = container_of(node, struct relay, link);
        bool room = (full & UINT64_C(1) << relay->to) == 0 &&
                    !SHORTAGE(!post_room(&worker->server->post, worker->index, relay->to));
        if (room) {
            mail_it(worker, relay);
        } else {
            full |= UINT64_C(1) << relay->to;
            list_add_tail(&worker->relays.waiting, node);
        }
    }
}
