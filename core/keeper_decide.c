/* keeper_decide.c - the producer's endpoint tells the keepers of a message whether it was taken;
 * see keeper.h. */
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/hub.h"
#include "core/keeper.h"
#include "core/server.h"

/* Tells the keepers that have room. */
static void decision_tell(struct endpoint *endpoint, struct publish *publish) {
    struct mail mail = {.kind = MAIL_DECIDE,
                        .flag = !publish->refused && (!publish->unstored || FAULT(UNSTORED_TAKEN)),
                        .from = (uint16_t)endpoint->index,
                        .object = publish->message};
    for (uint64_t rest = publish->keepers; rest != 0; rest &= rest - 1) {
        unsigned to = (unsigned)__builtin_ctzll(rest);
        if (to != endpoint->index &&
            SHORTAGE(!post_room(&endpoint->server->post, endpoint->index, to)))
            continue;
        publish->keepers &= ~(UINT64_C(1) << to);
        if (FAULT(DECISION_LOST))
            continue;
        message_hold(publish->message, 1);
        if (to == endpoint->index)
            keeper_on_decide(worker_of(endpoint), &mail);
        else
            post_send(endpoint, to, &mail);
    }
}

void keeper_decide(struct endpoint *endpoint, struct publish *publish) {
    decision_tell(endpoint, publish);
    if (publish->keepers != 0) {
        list_init(&publish->link);
        list_add_tail(&endpoint->undecided, &publish->link);
        return;
    }
    struct message *message = publish->message;
    hub_decided(endpoint, publish);
    message_release(endpoint, message);
}

void keeper_decisions_work(struct endpoint *endpoint) {
    struct list todo, *node;
    list_init(&todo);
    while ((node = list_pop(&endpoint->undecided)) != NULL)
        list_add_tail(&todo, node);
    while ((node = list_pop(&todo)) != NULL)
        keeper_decide(endpoint, container_of(node, struct publish, link));
}
