#include "core/keeper.h"

#include "core/attend.h"
#include "core/base/check.h"
#include "core/base/fatal.h"
#include "core/base/fault.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/delivery.h"
#include "core/keeper_parts.h"
#include "core/server.h"
#include "core/store.h"
#include "core/worker.h"

/* What found no room in a mailbox by a timer of its own is tried again after so long. */
#define ROOM_AGAIN_NS (5 * NS_PER_MS)

/* For so many sessions one message is handed over without a look at the clock. */
#define SESSIONS_FEW 16

/* An id, and its bucket in the table. */
#define ID_BYTES (sizeof(struct kept_id) + sizeof(void *))

static void on_due(struct endpoint *endpoint, struct timed *timed);

void keeper_init(struct keeper *keeper, uint64_t now_ns) {
    *keeper = (struct keeper){.serial = 0};
    wheel_init_same(&keeper->wheel, now_ns, on_due);
    table_init(&keeper->ids);
    table_init(&keeper->kept);
    pool_init(&keeper->id_pool, sizeof(struct kept_id));
    list_init(&keeper->blocked);
    list_init(&keeper->settling);
    keeper_age_init(&keeper->age);
}

void keeper_fini(struct keeper *keeper) {
    CHECK(keeper->ids.count == 0 && keeper->kept.count == 0, "%u messages are still kept",
          keeper->kept.count);
    table_fini(&keeper->ids);
    table_fini(&keeper->kept);
    pool_fini(&keeper->id_pool);
}

unsigned keeper_of(const struct server *server, uint64_t hash) {
    /* The tables look at the low bits, the stripes of others at the highest. */
    return (unsigned)((hash >> 24) % server->worker_count);
}

uint64_t keepers_of(const struct server *server, const struct message *message) {
    uint64_t keepers = 0;
    for (uint16_t i = 0; i < message->to_count; i++)
        keepers |= UINT64_C(1) << keeper_of(server, message->names[i].hash);
    return keepers;
}

/* --- ids ------------------------------------------------------------------------------------- */

struct kept_id *kept_id_find(const struct keeper *keeper, uint64_t hash) {
    struct table_node *node = table_first(&keeper->ids, hash);
    return node == NULL ? NULL : container_of(node, struct kept_id, node);
}

const struct kept_id *keeper_find(const struct worker *worker, uint64_t hash) {
    return kept_id_find(&worker->keeper, hash);
}

/* The id, made if need be; NULL: no memory. `restored`: within the ceiling or not, the store looks
 * at that when it is through. */
static struct kept_id *id_get(struct worker *worker, uint64_t hash, bool restored) {
    struct keeper *keeper = &worker->keeper;
    struct kept_id *id = kept_id_find(keeper, hash);
    if (id != NULL)
        return id;
    if (restored)
        account_force(&worker->account, ID_BYTES);
    else if (SHORTAGE(!account_take(&worker->account, ID_BYTES)))
        return NULL;
    id = pool_get(&keeper->id_pool);
    if (SHORTAGE(id == NULL)) {
        account_give(&worker->account, ID_BYTES);
        return NULL;
    }
    *id = (struct kept_id){.node.hash = hash,
                           .remote = keeper_is_remote(worker, hash) ? REMOTE_ONE : REMOTE_NONE};
    list_init(&id->all);
    list_init(&id->blocked);
    if (SHORTAGE(!table_add(&keeper->ids, &id->node))) {
        pool_put(&keeper->id_pool, id);
        account_give(&worker->account, ID_BYTES);
        return NULL;
    }
    return id;
}

static void id_put_if_empty(struct worker *worker, struct kept_id *id) {
    if (id->count != 0)
        return;
    list_remove(&id->blocked);
    keeper_age_pass(&worker->keeper, id);
    tally_pass_id(worker, id);
    table_remove(&worker->keeper.ids, &id->node);
    pool_put(&worker->keeper.id_pool, id);
    account_give(&worker->account, ID_BYTES);
}

/* --- handing over ---------------------------------------------------------------------------- */

/* Which workers have sessions of the id. (A port that holds it gets what is not acknowledged.) */
uint64_t keeper_workers_with(const struct worker *worker, uint64_t hash, uint32_t *sessions) {
    uint64_t workers = (UINT64_C(1) << worker->server->worker_count) - 1;
    return holders_find(worker->server->holders, hash, sessions) & workers;
}

static bool room_for_all(const struct worker *worker, uint64_t workers) {
    for (uint64_t rest = workers & ~(UINT64_C(1) << worker->index); rest != 0; rest &= rest - 1)
        if (SHORTAGE(
                !post_room(&worker->server->post, worker->index, (unsigned)__builtin_ctzll(rest))))
            return false;
    return true;
}

static void hand_to(struct worker *worker, struct kept *kept, uint64_t workers, unsigned flags) {
    struct message *message = kept_message(kept);
    struct mail mail = {.kind = MAIL_HAND,
                        .flag = (uint8_t)flags,
                        .from = (uint16_t)worker->index,
                        .number = kept->address,
                        .token = kept->serial,
                        .object = message};
    message_hold(message, (uint32_t)__builtin_popcountll(workers));
    for (uint64_t rest = workers; rest != 0; rest &= rest - 1) {
        unsigned to = (unsigned)__builtin_ctzll(rest);
        kept->sent_away |= to >= worker->server->worker_count;
        if (to != worker->index)
            post_send(&worker->endpoint, to, &mail);
    }
    if (workers >> worker->index & 1)
        attend_hand(worker, message, kept->address, kept->serial, flags);
}

/* Both timers of a kept message are one: it fires when the first of the two is over. */
static void kept_arm(struct worker *worker, struct kept *kept, uint64_t wake_ns) {
    uint64_t expires_ns = kept_message(kept)->expires_ns;
    timed_arm(&worker->keeper.wheel, &kept->timed, wake_ns < expires_ns ? wake_ns : expires_ns);
}

static unsigned hand_flags(const struct kept *kept) {
    bool again = kept->written && !FAULT(REDELIVERED_UNMARKED);
    return (kept->prompt ? HAND_PROMPT : 0) | (again ? HAND_REDELIVERED : 0);
}

static void id_block(struct worker *worker, struct kept_id *id) {
    if (!list_linked(&id->blocked))
        list_add_tail(&worker->keeper.blocked, &id->blocked);
}

/* Hands over what waits, as far as the window and the mailboxes have room, and the slice lasts:
 * each is a copy for every session of the id. */
void kept_id_go_on(struct worker *worker, struct kept_id *id) {
    unsigned handed = 0;
    while (!id->stands && id->next != NULL && id->next->state == KEPT_WAITING &&
           (id->handed < worker->config->ack_window || FAULT(WINDOW_IGNORED))) {
        struct kept *kept = id->next;
        uint32_t sessions = 0;
        uint64_t workers = keeper_workers_with(worker, id->node.hash, &sessions);
        bool full;
        uint64_t herald = keeper_herald_for(worker, kept, &full);
        if ((workers | herald) == 0 && !full) {
            if (kept_message(kept)->lent) /* it must not hold up what other nodes could be handed */
                kept_arm(worker, kept, worker->now_ns);
            return;
        }
        if ((handed != 0 || sessions > SESSIONS_FEW) && slice_over(worker)) {
            worker->keeper.cut = true;
            id_block(worker, id);
            return;
        }
        if ((workers == 0 && full) || SHORTAGE(!room_for_all(worker, workers))) {
            id_block(worker, id);
            return;
        }
        unsigned flags = hand_flags(kept);
        kept->state = KEPT_HANDED;
        kept->written = true;
        id->handed++;
        id->next = kept_next(id, kept);
        kept_arm(worker, kept, worker->now_ns + worker->config->ack_silence_ns);
        hand_to(worker, kept, workers | herald, flags);
        handed++;
    }
}

/* What was handed over behind `serial` waits again. */
void kept_id_rewind(struct worker *worker, struct kept_id *id, uint64_t serial) {
    struct list *at = id->next == NULL ? id->all.prev : id->next->order.prev;
    for (; at != &id->all && kept_of(at)->serial > serial; at = at->prev) {
        struct kept *kept = kept_of(at);
        CHECK(kept->state == KEPT_HANDED, "state %u among those handed over", kept->state);
        kept->state = KEPT_WAITING;
        id->handed--;
        id->next = kept;
        kept_arm(worker, kept, CLOCK_NEVER);
    }
}

/* Tells the store of what was settled while it had no room. False: it has none still. */
static bool settling_work(struct worker *worker) {
    struct list *node;
    while ((node = list_pop(&worker->keeper.settling)) != NULL) {
        struct kept *kept = kept_of(node);
        /* The message, and what is kept of it within, is the store's when this says yes. */
        if (!store_settle(&worker->endpoint, kept_message(kept), kept->address,
                          fate_word_state(kept->outcome), fate_word_reason(kept->outcome))) {
            list_add_head(&worker->keeper.settling, node);
            return false;
        }
    }
    return true;
}

void keeper_work(struct worker *worker) {
    struct list todo, *node;
    (void)settling_work(worker);
    worker->keeper.cut = false;
    list_init(&todo);
    while ((node = list_pop(&worker->keeper.blocked)) != NULL)
        list_add_tail(&todo, node);
    while ((node = list_pop(&todo)) != NULL) {
        kept_id_go_on(worker, container_of(node, struct kept_id, blocked));
        if (slice_over(worker))
            break;
    }
    worker->keeper.cut |= !list_empty(&todo);
    while ((node = list_pop(&todo)) != NULL)
        list_add_tail(&worker->keeper.blocked, node);
}

/* --- keeping --------------------------------------------------------------------------------- */

/* Takes it out of everything, but for the hold of its message. */
static void kept_remove(struct worker *worker, struct kept *kept) {
    struct kept_id *id = kept->id;
    timed_disarm(&worker->keeper.wheel, &kept->timed);
    table_remove(&worker->keeper.kept, &kept->node);
    if (id->next == kept)
        id->next = kept_next(id, kept);
    tally_pass(&worker->tally, &kept->order);
    list_remove(&kept->order);
    id->count--;
    id->lent -= kept_message(kept)->lent;
    id->handed -= kept->state == KEPT_HANDED;
    id->reserved -= kept->state == KEPT_RESERVED;
    if (kept->state != KEPT_RESERVED)
        keeper_unpend(worker, kept);
    kept->state = KEPT_NONE;
}

/* Its fate is decided. What waited behind it may go on. */
void kept_settle(struct worker *worker, struct kept *kept, enum fate_state state,
                 enum fate_reason reason) {
    struct kept_id *id = kept->id;
    struct message *message = kept_message(kept);
    uint16_t address = kept->address;
    keeper_tell_settled(worker, kept);
    kept_remove(worker, kept);
    if (worker->server->parts.store != NULL && message_is_stored(message) &&
        !FAULT(SETTLED_EARLY)) {
        kept->state = KEPT_SETTLING;
        kept->outcome = (uint8_t)fate_word_of(state, reason);
        list_init(&kept->order);
        list_add_tail(&worker->keeper.settling, &kept->order);
        keeper_unsafe(worker);
        (void)settling_work(worker);
    } else {
        keeper_settled(worker, state, reason);
        fates_settle(&worker->server->fates, message->fate, address, state, reason, worker->now_ns);
        message_release(&worker->endpoint, message);
    }
    if (id->count != 0)
        kept_id_go_on(worker, id);
    id_put_if_empty(worker, id);
}

static void on_due(struct endpoint *endpoint, struct timed *timed) {
    struct worker *worker = worker_of(endpoint);
    struct kept *kept = container_of(timed, struct kept, timed);
    if (worker->now_ns >= kept_message(kept)->expires_ns) {
        /* One that is not decided yet is held by its publish, which is soon. */
        if (kept->state == KEPT_RESERVED)
            timed_arm(&worker->keeper.wheel, timed, worker->now_ns + ROOM_AGAIN_NS);
        else
            kept_settle(worker, kept, FATE_EXPIRED, FATE_REASON_NONE);
        return;
    }
    if (kept->state != KEPT_HANDED) {
        kept_arm(worker, kept, CLOCK_NEVER);
        keeper_lent_look(worker, kept);
        return;
    }
    uint32_t sessions = 0;
    uint64_t workers = keeper_workers_with(worker, kept_id_hash(kept), &sessions);
    bool full;
    uint64_t herald = keeper_herald_for(worker, kept, &full);
    if ((workers | herald) == 0 && !full) {
        /* Nobody is there: all of it is handed over again when somebody comes. */
        kept_id_rewind(worker, kept->id, 0);
        keeper_lent_drop(worker, kept->id, UINT64_MAX);
    } else if ((workers == 0 && full) || SHORTAGE(!room_for_all(worker, workers))) {
        kept_arm(worker, kept, worker->now_ns + ROOM_AGAIN_NS);
    } else {
        kept_arm(worker, kept, worker->now_ns + worker->config->ack_silence_ns);
        if (!FAULT(SILENCE_LOST))
            hand_to(worker, kept, workers | herald, hand_flags(kept) | HAND_SILENCE);
    }
}

/* Every id of the message that is kept here, in turn. */
static uint16_t own_next(const struct worker *worker, const struct message *message, uint16_t i) {
    while (i < message->to_count &&
           keeper_of(worker->server, message->names[i].hash) != worker->index)
        i++;
    return i;
}

/* Lets go of the addresses before `end`, as if they had never been kept. */
static void message_unkeep(struct worker *worker, struct message *message, uint16_t end) {
    for (uint16_t i = own_next(worker, message, 0); i < end; i = own_next(worker, message, i + 1)) {
        struct kept *kept = message_kept(message, i);
        struct kept_id *id = kept->id;
        if (kept->state == KEPT_NONE)
            continue;
        kept_remove(worker, kept);
        message_release(&worker->endpoint, message);
        if (id->count != 0)
            kept_id_go_on(worker, id);
        id_put_if_empty(worker, id);
    }
}

/* Its id has as many as it may have. */
static bool backlog_full(struct worker *worker, const struct kept_id *id) {
    if (!SHORTAGE(id->count >= worker->config->ack_backlog))
        return false;
    stats_add(&worker->stats.acks_backlog_refused, 1);
    return true;
}

/* `restored`: however many there are. False: no memory, or `*full`: its id has no room. */
static bool address_keep(struct worker *worker, struct message *message, uint16_t address,
                         bool prompt, bool restored, bool *full) {
    struct keeper *keeper = &worker->keeper;
    struct kept_id *id = id_get(worker, message->names[address].hash, restored);
    if (SHORTAGE(id == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return false;
    }
    struct kept *kept = message_kept(message, address);
    *full = !restored && backlog_full(worker, id);
    *kept = (struct kept){
        .node.hash = kept_hash(id->node.hash, hash64(message_id(message))),
        .id = id,
        .serial = ++keeper->serial & KEPT_SERIAL_MASK,
        .address = address & KEPT_ADDRESS_MASK,
        .prompt = prompt,
        .written = message->again,
    };
    if (*full || SHORTAGE(!table_add(&keeper->kept, &kept->node))) {
        id_put_if_empty(worker, id);
        return false;
    }
    message_hold(message, 1);
    kept->state = KEPT_RESERVED;
    list_init(&kept->order);
    timed_init(&kept->timed);
    list_add_tail(&id->all, &kept->order);
    id->count++;
    id->reserved++;
    id->lent += message->lent;
    if (id->next == NULL)
        id->next = kept;
    kept_arm(worker, kept, CLOCK_NEVER);
    return true;
}

/* All of its addresses that are kept here, or none; then `*flags` and `*number` of the answer say
 * why. */
static bool message_keep(struct worker *worker, struct message *message, bool prompt,
                         unsigned *flags, uint32_t *number) {
    bool full = false;
    for (uint16_t i = own_next(worker, message, 0); i < message->to_count;
         i = own_next(worker, message, i + 1)) {
        if (!address_keep(worker, message, i, prompt, false, &full)) {
            message_unkeep(worker, message, i);
            *flags |= full ? ANSWER_BACKLOG_FULL : 0;
            *number = full ? i : 0;
            return false;
        }
    }
    return true;
}

/* They were reserved, and are taken now. */
static void message_take(struct worker *worker, struct message *message) {
    for (uint16_t i = own_next(worker, message, 0); i < message->to_count;
         i = own_next(worker, message, i + 1)) {
        struct kept *kept = message_kept(message, i);
        if (kept->state == KEPT_NONE)
            continue; /* the node has ended */
        CHECK(kept->state == KEPT_RESERVED, "a message in state %u is taken", kept->state);
        keeper_pend(worker, kept);
        if (FAULT(KEPT_LOST)) {
            kept_remove(worker, kept);
            message_release(&worker->endpoint, message);
            id_put_if_empty(worker, kept->id);
        } else if (kept->withdrawn) {
            kept_settle(worker, kept, FATE_DROPPED, FATE_REASON_WITHDRAWN);
        } else {
            kept_id_go_on(worker, kept->id);
            keeper_lent_look(worker, kept);
        }
    }
    keeper_age_look(worker);
}

/* How many sessions its ids that are kept here have. */
static uint32_t sessions_of(const struct worker *worker, const struct message *message) {
    uint32_t sessions = 0;
    for (uint16_t i = own_next(worker, message, 0); i < message->to_count;
         i = own_next(worker, message, i + 1))
        holders_find(worker->server->holders, message->names[i].hash, &sessions);
    return sessions;
}

void keeper_on_deliver(struct worker *worker, const struct mail *mail) {
    struct message *message = mail->object;
    uint32_t sessions = 0;
    unsigned flags = ANSWER_OVERLOADED;
    /* What comes so late is not let go any more by keeper_drop. */
    bool late = server_phase(worker->server) >= PHASE_STOPPED;
    if (!late &&
        message_keep(worker, message, (mail->flag & DELIVER_PROMPT) != 0, &flags, &sessions)) {
        sessions = sessions_of(worker, message);
        flags = ANSWER_FOUND;
        if ((mail->flag & DELIVER_RESERVE) == 0)
            message_take(worker, message);
    }
    bool unicast = message_is_unicast(message);
    message_release(&worker->endpoint, message);
    hub_answer(&worker->endpoint, mail, sessions, flags, unicast);
}

void keeper_on_decide(struct worker *worker, const struct mail *mail) {
    struct message *message = mail->object;
    if (mail->flag != 0)
        message_take(worker, message);
    else
        message_unkeep(worker, message, message->to_count);
    message_release(&worker->endpoint, message);
}

/* Before the node runs. What memory the system has not is a start that fails. */
void keeper_on_restore(struct worker *worker, const struct mail *mail) {
    struct message *message = mail->object;
    bool full;
    table_reserve(&worker->keeper.kept, mail->number);
    for (uint16_t i = own_next(worker, message, 0); i < message->to_count;
         i = own_next(worker, message, i + 1)) {
        if (fate_address(message->fate, i)->noted != 0)
            continue;
        if (!address_keep(worker, message, i, false, true, &full))
            fatal_event("store_not_restored",
                        LOG_STR("reason", "no memory for a message that is pending"),
                        LOG_STR("remedy", "give the machine (or container) more of it, or raise "
                                          "the limit of the process, and start the node again"));
        struct kept *kept = message_kept(message, i);
        kept->written = true; /* it may have been */
        keeper_pend(worker, kept);
    }
    keeper_age_look(worker);
    message_release(&worker->endpoint, message);
}

/* --- sessions that come ----------------------------------------------------------------------- */

void keeper_on_attend(struct worker *worker, const struct mail *mail) {
    bool fresh = mail->flag != 0;
    struct kept_id *id = kept_id_find(&worker->keeper, mail->token);
    uint64_t serial = mail_value(mail); /* fresh: when it came */
    if (fresh && id != NULL && id->lent != 0) {
        /* It is the first that is back: whoever keeps them is told that it has come, and lends them
         * again. What came since was lent for that. */
        uint32_t sessions = 0;
        keeper_workers_with(worker, mail->token, &sessions);
        if (sessions <= 1)
            keeper_lent_drop(worker, id, serial);
        id = kept_id_find(&worker->keeper, mail->token);
    }
    if (fresh)
        serial = id == NULL ? worker->keeper.serial : kept_of(id->all.next)->serial - 1;
    struct mail answer = {.kind = MAIL_ATTENDED,
                          .flag = mail->flag,
                          .from = (uint16_t)worker->index,
                          .number = mail->number,
                          .token = mail->token,
                          .object = mail_object(serial)};
    if (mail->from == worker->index)
        attend_answered(worker, &answer);
    else
        post_send(&worker->endpoint, mail->from, &answer);
    if (id == NULL)
        return;
    kept_id_rewind(worker, id, serial);
    kept_id_go_on(worker, id);
}

/* --- the end --------------------------------------------------------------------------------- */

bool keeper_drop(struct worker *worker) {
    struct keeper *keeper = &worker->keeper;
    /* The store will not know: these are pending again when the node starts. */
    for (struct list *node; (node = list_pop(&keeper->settling)) != NULL;)
        message_release(&worker->endpoint, kept_message(kept_of(node)));
    while (keeper->kept.count != 0) {
        /* On from the last one: a walk from the start would pass all that is empty by now. */
        struct table_node *node = table_walk(&keeper->kept, &keeper->drop_at);
        if (node == NULL)
            node = table_walk(&keeper->kept, NULL);
        keeper->drop_at.hash = node->hash;
        struct kept *kept = container_of(node, struct kept, node);
        struct kept_id *id = kept->id;
        struct message *message = kept_message(kept);
        keeper->dropped += !message->lent;
        kept_remove(worker, kept);
        message_release(&worker->endpoint, message);
        id_put_if_empty(worker, id);
        if (slice_over(worker))
            break;
    }
    return keeper->kept.count == 0;
}
