/* peer_guest.c - polls of other nodes' clients, for sessions that live here; see peer_port.h.
 *
 *   came -- go --> worker ... go back -- queue --> written, freed
 *     \-- its client or its connection has gone: cancel --> worker: the session ends --> freed
 *
 * For the worker it is a poll like any other, and this port its front. It is freed when both relays
 * are back and nothing of it is to be written. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/server.h"
#include "ha/peer/peer_port.h"

struct peer_guest {
    struct table_node node; /* while it may be cancelled or released by its number */
    struct list link;       /* in from->guests */
    struct list queue;      /* in from->queue: its answer is to be written */
    struct peer_link *from; /* NULL: the connection has ended */
    uint64_t number;
    bool numbered;     /* it is in the table */
    bool unwanted;     /* nobody is to be answered */
    bool cancel_busy;  /* `cancel` is at the worker */
    bool cancel_later; /* and is to go there once more, to end the session */
    struct poll *poll; /* behind it */
};

#define GUEST_BYTES (sizeof(struct peer_guest) + sizeof(struct poll))
_Static_assert(sizeof(struct peer_guest) % _Alignof(struct poll) == 0, "a poll may follow it");

static uint64_t hash_of(const struct peer_link *link, uint64_t number) {
    return number * UINT64_C(0x9E3779B97F4A7C15) ^ (uint64_t)(uintptr_t)link >> 4;
}

static struct peer_guest *find(const struct peer_link *link, uint64_t number) {
    struct table_node *at = table_first(&link->peers->guests, hash_of(link, number));
    for (; at != NULL; at = table_next(at)) {
        struct peer_guest *guest = container_of(at, struct peer_guest, node);
        if (guest->from == link && guest->number == number)
            return guest;
    }
    return NULL;
}

bool peer_guest_known(const struct peer_link *link, uint64_t number) {
    return find(link, number) != NULL;
}

/* --- memory ----------------------------------------------------------------------------------- */

static struct peer_guest *guest_make(struct peer_link *link, const struct peer_head *head) {
    struct peer_port *peers = link->peers;
    if (SHORTAGE(link->guest_count >= PEER_GUESTS_MAX))
        return NULL;
    struct peer_guest *guest = memory_get(&peers->port.account, GUEST_BYTES);
    if (SHORTAGE(guest == NULL))
        return NULL;
    struct poll *poll = (struct poll *)(guest + 1);
    *guest = (struct peer_guest){.from = link, .number = head->number, .poll = poll};
    *poll = (struct poll){.ask = head->ask, .guest = guest};
    relay_init(&guest->poll->go, peers->port.index);
    relay_init(&guest->poll->cancel, peers->port.index);
    list_init(&guest->poll->link);
    list_init(&guest->queue);
    list_init(&guest->link);
    list_add_tail(&link->guests, &guest->link);
    link->guest_count++;
    stats_add(&peers->figures.guests, 1);
    return guest;
}

static void number_drop(struct peer_port *peers, struct peer_guest *guest) {
    if (guest->numbered)
        table_remove(&peers->guests, &guest->node);
    guest->numbered = false;
}

static void guest_free(struct peer_port *peers, struct peer_guest *guest) {
    number_drop(peers, guest);
    list_remove(&guest->link);
    if (guest->from != NULL)
        guest->from->guest_count--;
    chunk_put(guest->poll->body);
    chunks_put(guest->poll->chunks);
    stats_sub(&peers->figures.guests, 1);
    memory_put(&peers->port.account, guest, GUEST_BYTES);
}

static void end_look(struct peer_port *peers, struct peer_guest *guest) {
    if (guest->poll->away == 0 && !list_linked(&guest->queue))
        guest_free(peers, guest);
}

/* --- to the worker and back ------------------------------------------------------------------- */

/* The client has gone: its session ends. */
static void guest_cancel(struct peer_port *peers, struct peer_guest *guest) {
    guest->unwanted = true;
    if (guest->cancel_busy) {
        guest->cancel_later = true;
        return;
    }
    guest->cancel_busy = true;
    guest->poll->away++;
    relay_pass(&peers->port.endpoint, &guest->poll->cancel, guest->poll->ask.sid.worker,
               poll_cancelled);
}

static void answer_came(struct peer_port *peers, struct peer_guest *guest) {
    guest->poll->away--;
    number_drop(peers, guest);
    if (!guest->unwanted)
        list_add_tail(&guest->from->queue, &guest->queue);
    end_look(peers, guest);
}

static void cancel_came(struct peer_port *peers, struct peer_guest *guest) {
    bool again = guest->cancel_later;
    guest->poll->away--;
    guest->cancel_busy = guest->cancel_later = false;
    if (again)
        guest_cancel(peers, guest);
    end_look(peers, guest);
}

void peer_guest_relay(struct peer_port *peers, struct relay *relay) {
    if (relay->run == poll_back)
        answer_came(peers, container_of(relay, struct poll, go)->guest);
    else
        cancel_came(peers, container_of(relay, struct poll, cancel)->guest);
}

/* --- what comes ------------------------------------------------------------------------------- */

static void say_answer(struct peer_link *link, uint64_t number, enum poll_answer answer,
                       unsigned status) {
    peer_link_say(link, &(struct peer_head){.type = PEER_ANSWER,
                                            .number = number,
                                            .answer = (uint8_t)answer,
                                            .code = answer == POLL_ANSWER_ERROR ? 1 : 0,
                                            .status = (uint16_t)status});
}

/* It goes to its worker. False: there is no room or memory. */
static bool take(struct peer_link *link, const struct peer_head *head, struct chunk *body) {
    struct peer_port *peers = link->peers;
    unsigned worker = head->ask.sid.worker;
    if (SHORTAGE(!relay_room(&peers->port.endpoint, worker)))
        return false;
    struct peer_guest *guest = guest_make(link, head);
    if (SHORTAGE(guest == NULL))
        return false;
    guest->node.hash = hash_of(link, head->number);
    if (SHORTAGE(!table_add(&peers->guests, &guest->node))) {
        guest_free(peers, guest);
        return false;
    }
    guest->numbered = true;
    guest->poll->body = body;
    guest->poll->away = 1;
    relay_pass(&peers->port.endpoint, &guest->poll->go, worker, poll_arrive);
    return true;
}

void peer_guest_came(struct peer_link *link, const struct peer_head *head, struct chunk *body,
                     bool starved, bool large) {
    const struct server *server = link->peers->port.server;
    const struct sid *sid = &head->ask.sid;
    stats_add(&link->peers->figures.came, 1);
    if (!large && (sid->node != sid_node(server->run) || sid->worker >= server->worker_count)) {
        say_answer(link, head->number, POLL_ANSWER_ERROR, 400);
    } else if (large) {
        stats_add(&link->peers->figures.turned, 1);
        say_answer(link, head->number, POLL_ANSWER_NONE, 413);
    } else if (!starved && take(link, head, body)) {
        return;
    } else {
        stats_add(&link->peers->figures.turned, 1);
        say_answer(link, head->number, POLL_ANSWER_STARVED, 503);
    }
    chunk_put(body);
}

void peer_guest_cancel(struct peer_link *link, const struct peer_head *head) {
    const struct server *server = link->peers->port.server;
    const struct sid *sid = &head->ask.sid;
    struct peer_guest *guest = find(link, head->number);
    if (guest == NULL && sid->node == sid_node(server->run) && sid->worker < server->worker_count) {
        /* It was answered, to nobody. Without memory the session ends by its heartbeat. */
        guest = guest_make(link, head);
        if (SHORTAGE(guest == NULL))
            return;
    }
    if (guest != NULL && !guest->unwanted)
        guest_cancel(link->peers, guest);
}

void peer_guest_release(struct peer_link *link, uint64_t number) {
    struct peer_guest *guest = find(link, number);
    if (guest == NULL || guest->cancel_busy || guest->poll->ask.kind != POLL_GET)
        return;
    guest->cancel_busy = true;
    guest->poll->away++;
    relay_pass(&link->peers->port.endpoint, &guest->poll->cancel, guest->poll->ask.sid.worker,
               poll_released);
}

/* --- what is answered ------------------------------------------------------------------------- */

bool peer_guest_write(struct peer_link *link) {
    struct peer_guest *guest = container_of(link->queue.next, struct peer_guest, queue);
    const struct poll *poll = guest->poll;
    if (!link->begun) {
        if (!peer_link_room(link, PEER_OUT_SPARE))
            return false;
        const struct peer_head head = {.type = PEER_ANSWER,
                                       .number = guest->number,
                                       .body_len = poll->chunks == NULL ? 0 : poll->answer_bytes,
                                       .answer = poll->answer,
                                       .code = poll->code,
                                       .status = poll->status};
        peer_link_begin(link, &head, poll->chunks);
    }
    if (!peer_link_rest(link))
        return false;
    chunks_put(guest->poll->chunks);
    guest->poll->chunks = NULL;
    guest->unwanted = true; /* it has its answer */
    list_remove(&guest->queue);
    end_look(link->peers, guest);
    return true;
}

void peer_guests_lost(struct peer_link *link) {
    struct peer_port *peers = link->peers;
    struct list *at;
    link->begun = false;
    link->rest = NULL;
    link->guest_count = 0;
    while ((at = list_pop(&link->guests)) != NULL) {
        struct peer_guest *guest = container_of(at, struct peer_guest, link);
        number_drop(peers, guest);
        list_remove(&guest->queue);
        guest->from = NULL;
        if (!guest->unwanted)
            guest_cancel(peers, guest);
    }
}
