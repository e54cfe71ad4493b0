#include "core/store.h"

#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/hub.h"
#include "core/keeper.h"
#include "core/server.h"

#include <time.h>

/* Mail that is on its way, or finds no room, is looked for again after so long. */
#define AGAIN_NS (5 * NS_PER_MS)
/* While the node starts, workers have nothing else to do than to take what is restored. */
#define RESTORE_LOOK_NS (50 * NS_PER_US)
#define RESTORE_WAIT_NS (60 * NS_PER_S)

void store_init(struct store *store, const struct store_type *type,
                const struct port_type *port_type, const char *kind) {
    port_init(&store->port, port_type);
    store->type = type;
    store->kind = kind;
    atomic_init(&store->unavailable, false);
    store->figures = (struct store_figures){0};
    store->untaken = 0;
}

static bool store_hangs(const struct store *store, uint64_t now_ns) {
    uint64_t turn_ns = atomic_load_explicit(&store->port.turn_ns, memory_order_relaxed);
    return turn_ns != 0 && now_ns > turn_ns + STORE_SILENT_NS;
}

bool store_is_available(const struct store *store, uint64_t now_ns) {
    return !store_hangs(store, now_ns) &&
           !atomic_load_explicit(&store->unavailable, memory_order_relaxed);
}

uint64_t store_unsafe(const struct server *server) {
    uint64_t unsafe = 0;
    /* The keepers have let go of what was pending besides. */
    for (unsigned i = 0; i < server->worker_count; i++)
        unsafe += stats_get(&server->workers[i].stats.acks_pending);
    return unsafe;
}

static unsigned store_index(const struct server *server) {
    return server->parts.store->port.index;
}

static struct store *store_of(struct endpoint *endpoint) {
    struct store *store = endpoint->server->parts.store;
    CHECK(store != NULL && &store->port.endpoint == endpoint, "endpoint %u is no store",
          endpoint->index);
    return store;
}

/* --- the producer's endpoint ----------------------------------------------------------------- */

static struct publish *oldest(const struct storing *storing) {
    return list_empty(&storing->order) ? NULL
                                       : container_of(storing->order.next, struct publish, link);
}

static void storing_arm(struct endpoint *endpoint, uint64_t due_ns) {
    struct timer *timer = &endpoint->storing.timer;
    if (!timer_armed(timer))
        timer_arm(&endpoint->wheel, timer, due_ns);
}

static void put_end(struct endpoint *endpoint, struct publish *publish, bool stored) {
    list_remove(&publish->link);
    publish->storing = false;
    publish->unstored = !stored;
    keeper_decide(endpoint, publish);
}

/* Each has the same time, so the first are the oldest. */
static void on_due(struct endpoint *endpoint, struct timer *timer) {
    (void)timer;
    struct fates *fates = &endpoint->server->fates;
    struct publish *publish;
    while ((publish = oldest(&endpoint->storing)) != NULL) {
        if (publish->storing_until_ns > endpoint->now_ns) {
            storing_arm(endpoint, publish->storing_until_ns);
            return;
        }
        if (!fates_give_up(fates, publish->message->fate)) {
            storing_arm(endpoint, endpoint->now_ns + AGAIN_NS); /* the answer is on its way */
            return;
        }
        stats_add(&endpoint->stats.store_late, 1);
        put_end(endpoint, publish, false);
    }
}

void store_give_up(struct endpoint *endpoint) {
    struct list todo, *node;
    list_init(&todo);
    while ((node = list_pop(&endpoint->storing.order)) != NULL)
        list_add_tail(&todo, node);
    while ((node = list_pop(&todo)) != NULL) {
        struct publish *publish = container_of(node, struct publish, link);
        list_add_tail(&endpoint->storing.order, node);
        if (fates_give_up(&endpoint->server->fates, publish->message->fate))
            put_end(endpoint, publish, false);
    }
}

void storing_init(struct storing *storing) {
    *storing = (struct storing){.owed = 0};
    list_init(&storing->order);
    timer_init(&storing->timer, on_due);
}

static bool store_has_room(const struct endpoint *endpoint) {
    const struct post *post = &endpoint->server->post;
    return !store_hangs(endpoint->server->parts.store, endpoint->now_ns) &&
           !SHORTAGE(endpoint->storing.owed >= post->requests_max / 2) &&
           !SHORTAGE(!post_room(post, endpoint->index, store_index(endpoint->server)));
}

void store_put(struct endpoint *endpoint, struct publish *publish) {
    if (!store_has_room(endpoint)) {
        stats_add(&endpoint->stats.store_refused, 1);
        publish->unstored = true;
        keeper_decide(endpoint, publish);
        return;
    }
    struct message *message = publish->message;
    fates_hold(&endpoint->server->fates, message->fate);
    message_hold(message, 1);
    struct mail mail = {.kind = MAIL_PUT,
                        .from = (uint16_t)endpoint->index,
                        .number = publish->recipients,
                        .token = publish_token(publish),
                        .object = message};
    post_send(endpoint, store_index(endpoint->server), &mail);
    endpoint->storing.owed++;
    publish->storing = true;
    publish->storing_until_ns = endpoint->now_ns + STORE_ANSWER_NS;
    list_init(&publish->link);
    list_add_tail(&endpoint->storing.order, &publish->link);
    storing_arm(endpoint, publish->storing_until_ns);
}

void store_on_put_done(struct endpoint *endpoint, const struct mail *mail) {
    CHECK(endpoint->storing.owed > 0, "the store answers what it was not asked");
    endpoint->storing.owed--;
    struct publish *publish = publish_of(endpoint, mail->token);
    if (publish != NULL && publish->storing)
        put_end(endpoint, publish, mail->flag != 0);
}

/* --- a keeper -------------------------------------------------------------------------------- */

bool store_settle(struct endpoint *endpoint, struct message *message, uint16_t address,
                  enum fate_state state, enum fate_reason reason) {
    struct server *server = endpoint->server;
    if (SHORTAGE(!post_room(&server->post, endpoint->index, store_index(server))))
        return false;
    struct mail mail = {.kind = MAIL_SETTLE,
                        .flag = (uint8_t)fate_word_of(state, reason),
                        .from = (uint16_t)endpoint->index,
                        .number = address,
                        .object = message};
    if (FAULT(SETTLE_LOST))
        message_release(endpoint, message);
    else
        post_send(endpoint, store_index(server), &mail);
    return true;
}

/* --- the store ------------------------------------------------------------------------------- */

void store_on_put(struct endpoint *endpoint, const struct mail *mail) {
    struct store *store = store_of(endpoint);
    if (!store->port.stopped) {
        store->type->put(store, mail);
        return;
    }
    store_drop_put(endpoint, mail);
    store_answer(store, mail, false);
}

void store_drop_put(struct endpoint *endpoint, const struct mail *mail) {
    struct message *message = mail->object;
    fates_release(&endpoint->server->fates, message->fate);
    message_release(endpoint, message);
}

void store_on_settle(struct endpoint *endpoint, const struct mail *mail) {
    struct store *store = store_of(endpoint);
    struct message *message = mail->object;
    if (store->port.stopped)
        message_release(endpoint, message); /* it is pending again when the node starts */
    else
        store->type->settle(store, message, mail->number, fate_word_state(mail->flag),
                            fate_word_reason(mail->flag));
}

void store_answer(struct store *store, const struct mail *request, bool stored) {
    struct mail answer = {.kind = MAIL_PUT_DONE,
                          .flag = stored,
                          .from = (uint16_t)store->port.index,
                          .token = request->token};
    post_send(&store->port.endpoint, request->from, &answer);
}

void store_settled(struct store *store, struct fate *fate, uint32_t address, enum fate_state state,
                   enum fate_reason reason, uint64_t settled_ns) {
    struct server *server = store->port.server;
    keeper_tell_safe(server, fate, address, state, reason);
    fates_settle(&server->fates, fate, address, state, reason, settled_ns);
}

/* --- a start --------------------------------------------------------------------------------- */

/* Wakes the workers, and gives them time. False: it has lasted too long, or one has ended. */
static bool restore_wait(struct store *store, uint64_t since_ns) {
    struct server *server = store->port.server;
    post_wake_all(&store->port.endpoint);
    nanosleep(&(struct timespec){0, RESTORE_LOOK_NS}, NULL);
    for (unsigned i = 0; i < server->worker_count; i++)
        if (atomic_load_explicit(&server->workers[i].phase, memory_order_acquire) == PHASE_STOPPED)
            return false;
    return clock_ns() - since_ns < RESTORE_WAIT_NS;
}

void store_restoring(struct store *store, uint64_t count) {
    uint64_t each = count / store->port.server->worker_count;
    store->restoring = each < UINT32_MAX ? (uint32_t)each : UINT32_MAX;
}

bool store_restore(struct store *store, struct message *message) {
    struct server *server = store->port.server;
    uint64_t keepers = keepers_of(server, message), since_ns = 0;
    struct mail mail = {.kind = MAIL_RESTORE,
                        .from = (uint16_t)store->port.index,
                        .object = message,
                        .number = store->restoring};
    for (; keepers != 0; keepers &= keepers - 1) {
        unsigned to = (unsigned)__builtin_ctzll(keepers);
        while (SHORTAGE(!post_room(&server->post, store->port.index, to))) {
            if (since_ns == 0)
                since_ns = clock_ns();
            if (!restore_wait(store, since_ns)) {
                message_release(&store->port.endpoint, message);
                return false;
            }
        }
        message_hold(message, 1);
        post_send(&store->port.endpoint, to, &mail);
    }
    message_release(&store->port.endpoint, message);
    return true;
}

bool store_restored(struct store *store) {
    const struct post *post = &store->port.server->post;
    uint64_t since_ns = clock_ns();
    for (unsigned i = 0; i < store->port.server->worker_count; i++)
        while (queue_count(&post->boxes[i].from[store->port.index]) != 0)
            if (!restore_wait(store, since_ns))
                return false;
    return true;
}
