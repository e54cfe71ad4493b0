#include "core/hub.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/delivery.h"
#include "core/keeper.h"
#include "core/port_wait.h"
#include "core/server.h"
#include "core/store.h"
#include "core/worker.h"

static uint64_t self_bit(const struct endpoint *endpoint) {
    return UINT64_C(1) << endpoint->index;
}

/* --- publishes -------------------------------------------------------------------------------- */

struct publish *publish_get(struct endpoint *endpoint, enum standing standing) {
    uint32_t max = endpoint->server->post.requests_max;
    if (standing == ASKS_MUCH)
        max -= max / REQUESTS_MODEST_PART;
    else if (standing == ASKS_LITTLE_DIVIDED)
        max -= max / REQUESTS_MODEST_PART / 2;
    if (SHORTAGE(endpoint->free_publish == 0) || SHORTAGE(endpoint->requests >= max)) {
        stats_add(&endpoint->stats.requests_refused, 1);
        return NULL;
    }
    struct publish *publish = &endpoint->publishes[endpoint->free_publish - 1];
    endpoint->free_publish = publish->slot;
    uint32_t generation = publish->generation;
    *publish = (struct publish){.slot = (uint32_t)(publish - endpoint->publishes) + 1,
                                .generation = generation + 1};
    endpoint->requests++;
    endpoint->publishing++;
    stats_set(&endpoint->stats.requests, endpoint->requests);
    return publish;
}

void publish_put(struct endpoint *endpoint, struct publish *publish) {
    uint32_t index = publish->slot;
    CHECK(index == (uint32_t)(publish - endpoint->publishes) + 1, "a publish is put back twice");
    publish->slot = endpoint->free_publish;
    publish->generation++;
    endpoint->free_publish = index;
    endpoint->requests--;
    endpoint->publishing--;
    stats_set(&endpoint->stats.requests, endpoint->requests);
}

/* One that is to be acknowledged: its keepers have answered, and know what came of it. */
void hub_decided(struct endpoint *endpoint, struct publish *publish) {
    if (publish->ports_due != 0) {
        publish->decided = true;
        return;
    }
    enum result_word result = publish->refused           ? RESULT_OVERLOADED
                              : publish->unstored        ? RESULT_STORAGE_UNAVAILABLE
                              : publish->recipients == 0 ? RESULT_STORED
                                                         : RESULT_QUEUED;
    publish->done(endpoint, publish, result, result < RESULT_REFUSALS ? publish->recipients : 0);
    publish_put(endpoint, publish);
}

static void publish_finish(struct endpoint *endpoint, struct publish *publish) {
    enum result_word result = RESULT_QUEUED;
    if (publish->kept) {
        if (publish->message == NULL)
            hub_decided(endpoint, publish);
        else if (endpoint->server->parts.store != NULL && !publish->refused &&
                 message_is_stored(publish->message) && !FAULT(STORE_SKIPPED))
            store_put(endpoint, publish);
        else
            keeper_decide(endpoint, publish);
        return;
    }
    bool lost = publish->recipients == 0;
    bool is_volatile = publish->class == CLASS_VOLATILE;
    /* Where some had no memory and others took it, it was taken, and those miss their copies. Where
     * nobody took it, the producer is told that the node was full. A volatile one that was dropped
     * elsewhere is not worth a second try either. */
    bool again = lost && !(is_volatile && publish->found);
    bool full = publish->refused || publish->starved;
    /* A group may be empty everywhere: nobody is told of that either. */
    bool unknown = publish->only_ids && (publish->unavailable || (publish->unsure && !is_volatile));
    if (publish->refused && !again) {
        stats_add(&endpoint->stats.copies[publish->class], publish->missing);
        stats_add(&endpoint->stats.copies_dropped[publish->class][DROP_NO_MEMORY],
                  publish->missing);
    }
    if (again && full)
        result = RESULT_OVERLOADED;
    else if (again && unknown)
        result = RESULT_CLUSTER_UNAVAILABLE;
    else if (lost && is_volatile)
        result = RESULT_DROPPED;
    else if (lost && publish->only_ids)
        result = publish->found ? RESULT_DROPPED : RESULT_ABSENT;
    publish->done(endpoint, publish, result, publish->recipients);
    publish_put(endpoint, publish);
}

/* Ports have said who holds the ids of a kept message elsewhere, or will not say it. */
static void ports_counted(struct endpoint *endpoint, struct publish *publish, unsigned ports,
                          uint32_t holders) {
    publish->ports_due = (uint16_t)(publish->ports_due - ports);
    publish->recipients += holders;
    if (publish->decided && publish->ports_due == 0)
        hub_decided(endpoint, publish);
}

/* An answer, or this worker's own part, has come; `recipients` miss it if it was refused. */
static void publish_answered(struct endpoint *endpoint, struct publish *publish, unsigned from,
                             uint32_t recipients, unsigned flags) {
    bool refused = (flags & ANSWER_OVERLOADED) != 0;
    publish->answers++;
    if (refused)
        publish->keepers &= ~(UINT64_C(1) << from); /* it has nothing to undo */
    if ((flags & ANSWER_BACKLOG_FULL) != 0) {
        uint16_t full = (uint16_t)(recipients + 1);
        if (publish->full == 0 || publish->full > full)
            publish->full = full;
        recipients = 0;
    }
    *(refused ? &publish->missing : &publish->recipients) += recipients;
    publish->refused |= refused;
    publish->found |= (flags & ANSWER_FOUND) != 0;
    publish->starved |= (flags & ANSWER_STARVED) != 0;
    if ((flags & ANSWER_UNAVAILABLE) != 0) {
        publish->unavailable = true;
        publish->maybe |= (flags & ANSWER_UNSURE) != 0;
    } else {
        publish->unsure |= (flags & ANSWER_UNSURE) != 0;
    }
    if (publish->answers == publish->answers_due)
        publish_finish(endpoint, publish);
}

/* --- the way ---------------------------------------------------------------------------------- */

static uint64_t workers_of(const struct endpoint *endpoint) {
    return (UINT64_C(1) << endpoint->server->worker_count) - 1;
}

/* The endpoints that hold any of the addresses, and about how many sessions these have in all. */
static uint64_t holders_of(const struct endpoint *endpoint, const struct message *message,
                           uint32_t *sessions) {
    const struct server *server = endpoint->server;
    uint64_t holders = atomic_load_explicit(&server->everything_set, memory_order_relaxed);
    if (message->broadcast)
        return holders | atomic_load_explicit(&server->broadcast_set, memory_order_relaxed);
    for (uint32_t i = 0; i < message_address_count(message); i++)
        holders |= holders_find(server->holders, message->names[i].hash, sessions);
    return holders;
}

static bool room_for_all(const struct endpoint *endpoint, uint64_t workers) {
    for (uint64_t rest = workers & ~self_bit(endpoint); rest != 0; rest &= rest - 1)
        if (SHORTAGE(!post_room(&endpoint->server->post, endpoint->index,
                                (unsigned)__builtin_ctzll(rest))))
            return false;
    return true;
}

/* Does one of its addresses, or do broadcasts, wait there for a session that takes too little? */
static bool is_held(const struct mailbox *box, const struct message *message) {
    if (message->broadcast)
        return atomic_load_explicit(&box->broadcasts_held_late, memory_order_relaxed);
    if (!atomic_load_explicit(&box->any_held_late, memory_order_relaxed))
        return false;
    for (uint32_t i = 0; i < message_address_count(message); i++) {
        uint64_t place = message->names[i].hash % HELD_LATE_PLACES;
        uint64_t word = atomic_load_explicit(&box->held_late[place / 64], memory_order_relaxed);
        if ((word >> place % 64 & 1) != 0)
            return true;
    }
    return false;
}

/* Are all of them in time with what waits there before it? `many`: it will be fanned out. */
static bool all_in_time(const struct endpoint *endpoint, uint64_t workers,
                        const struct publish *publish, const struct message *message, bool many) {
    static const uint8_t times[] = {1, LATE_TIMES_DIVIDED, LATE_TIMES_LITTLE, LATE_TIMES_LIGHT};
    uint64_t max_ns = endpoint->late_max_ns * times[publish->standing];
    for (uint64_t rest = workers; rest != 0; rest &= rest - 1) {
        struct mailbox *box = &endpoint->server->post.boxes[__builtin_ctzll(rest)];
        _Atomic uint64_t *late_ns = publish->prompt && !many ? &box->prompt_late_ns : &box->late_ns;
        if (atomic_load_explicit(late_ns, memory_order_relaxed) > max_ns ||
            (many && atomic_load_explicit(&box->fanout_late_ns, memory_order_relaxed) > max_ns) ||
            is_held(box, message))
            return false;
    }
    return true;
}

/* What one message will cost each of the workers that get it, in copies; 0: hardly anything. */
struct cost {
    bool broadcast;
    uint32_t each;
};

static struct cost cost_of(const struct message *message, uint64_t holders, uint32_t sessions) {
    uint32_t addresses = message_address_count(message);
    struct cost cost = {.broadcast = message->broadcast};
    if (addresses > 1 || sessions > DIRECT_SESSIONS_MAX)
        cost.each = addresses + sessions / (uint32_t)__builtin_popcountll(holders);
    return cost;
}

static uint32_t cost_for(const struct endpoint *endpoint, const struct cost *cost, unsigned to) {
    if (!cost->broadcast)
        return cost->each;
    return (uint32_t)stats_get(&endpoint->server->workers[to].stats.sessions);
}

static bool room_for_copies(struct endpoint *endpoint, unsigned to, uint32_t copies, bool light) {
    uint64_t sessions = stats_get(&endpoint->server->workers[to].stats.sessions);
    return fanout_reserve(&endpoint->server->post, to, copies, (uint32_t)sessions, light);
}

/* Reserves the copies at all of `workers` (the amounts go to `reserved`) or at none. */
static bool reserve_all(struct endpoint *endpoint, const struct cost *cost, uint64_t workers,
                        bool light, uint32_t reserved[WORKERS_MAX]) {
    for (uint64_t rest = workers; rest != 0; rest &= rest - 1) {
        unsigned to = (unsigned)__builtin_ctzll(rest);
        reserved[to] = cost_for(endpoint, cost, to);
        if (reserved[to] != 0 && SHORTAGE(!room_for_copies(endpoint, to, reserved[to], light))) {
            for (uint64_t taken = workers & ~rest; taken != 0; taken &= taken - 1) {
                unsigned i = (unsigned)__builtin_ctzll(taken);
                fanout_release(&endpoint->server->post, i, reserved[i]);
            }
            return false;
        }
    }
    return true;
}

/* Why the workers cannot take the message: a counter; NULL: they can, and `reserved` is what was
 * reserved at each of them. */
static _Atomic uint64_t *workers_reserve(struct endpoint *endpoint, const struct publish *publish,
                                         const struct message *message, uint64_t workers,
                                         uint32_t sessions, uint32_t reserved[WORKERS_MAX]) {
    if (workers == 0)
        return NULL;
    struct cost cost = cost_of(message, workers, sessions);
    if (SHORTAGE(!room_for_all(endpoint, workers)))
        return &endpoint->stats.mail_refused;
    if (SHORTAGE(
            !all_in_time(endpoint, workers, publish, message, cost.broadcast || cost.each != 0)))
        return &endpoint->stats.late_refused;
    if (SHORTAGE(!reserve_all(endpoint, &cost, workers, publish->standing == ASKS_LITTLE_IN_ALL,
                              reserved)))
        return &endpoint->stats.copies_refused;
    return NULL;
}

/* It goes nowhere. */
static void publish_end(struct endpoint *endpoint, struct publish *publish, struct message *message,
                        unsigned flags) {
    publish->answers_due = 1; /* this endpoint's own */
    message_release(endpoint, message);
    publish_answered(endpoint, publish, endpoint->index, 0, flags);
}

/* Asks who holds the ids elsewhere. */
static void keepers_count(struct endpoint *endpoint, struct publish *publish,
                          struct message *message) {
    uint64_t ports = atomic_load_explicit(&endpoint->server->everything_set, memory_order_relaxed) &
                     ~self_bit(endpoint);
    if (ports == 0 || message->lent)
        return;
    ports = port_waits_begin(endpoint, publish, ports);
    publish->ports_due = (uint16_t)__builtin_popcountll(ports);
    for (uint64_t rest = ports; rest != 0; rest &= rest - 1) {
        message_hold(message, 1);
        post_send(endpoint, (unsigned)__builtin_ctzll(rest),
                  &(struct mail){.kind = MAIL_DELIVER,
                                 .flag = DELIVER_COUNT,
                                 .from = (uint16_t)endpoint->index,
                                 .token = publish_token(publish),
                                 .object = message});
    }
}

/* To all of `keepers`; where they are several, or the store must have it first, each reserves, and
 * hears later what was decided. */
static void keepers_publish(struct endpoint *endpoint, struct publish *publish,
                            struct message *message) {
    uint64_t keepers = keepers_of(endpoint->server, message);
    uint32_t due = (uint32_t)__builtin_popcountll(keepers);
    _Atomic uint64_t *refused = NULL;
    if (SHORTAGE(!room_for_all(endpoint, keepers)))
        refused = &endpoint->stats.mail_refused;
    else if (SHORTAGE(!all_in_time(endpoint, keepers, publish, message, false)))
        refused = &endpoint->stats.late_refused;
    if (refused != NULL) {
        stats_add(refused, 1);
        publish_end(endpoint, publish, message, ANSWER_OVERLOADED);
        return;
    }
    struct mail mail = {.kind = MAIL_DELIVER,
                        .flag = publish->prompt ? DELIVER_PROMPT : 0,
                        .from = (uint16_t)endpoint->index,
                        .token = publish_token(publish),
                        .object = message};
    publish->answers_due = due;
    keepers_count(endpoint, publish, message);
    bool stored = endpoint->server->parts.store != NULL && message_is_stored(message);
    if (stored)
        message->serial =
            atomic_fetch_add_explicit(&endpoint->server->serial, 1, memory_order_relaxed);
    if (due > 1 || stored) {
        mail.flag |= DELIVER_RESERVE;
        publish->keepers = keepers;
        publish->message = message;
        message_hold(message, due);
    }
    for (uint64_t rest = keepers & ~self_bit(endpoint); rest != 0; rest &= rest - 1) {
        if (message_is_unicast(message))
            stats_add(&endpoint->stats.unicast_mails, 1);
        post_send(endpoint, (unsigned)__builtin_ctzll(rest), &mail);
    }
    if (keepers & self_bit(endpoint))
        endpoint->on_deliver(endpoint, &mail);
}

void hub_publish(struct endpoint *endpoint, struct publish *publish, struct message *message) {
    publish->class = message->class;
    publish->kept = message_is_kept(message);
    publish->only_ids = message->to_count != 0 && message->group_count == 0;
    bool unicast = message_is_unicast(message);
    if (unicast)
        stats_add(&endpoint->stats.unicasts, 1);
    if (publish->kept) {
        keepers_publish(endpoint, publish, message);
        return;
    }
    uint32_t sessions = 0, reserved[WORKERS_MAX];
    uint64_t holders = holders_of(endpoint, message, &sessions);
    uint64_t workers = holders & workers_of(endpoint);
    uint64_t ports = holders & ~workers & ~self_bit(endpoint);
    _Atomic uint64_t *refused =
        workers_reserve(endpoint, publish, message, workers, sessions, reserved);
    if (refused != NULL) {
        stats_add(refused, 1);
        publish_end(endpoint, publish, message, ANSWER_OVERLOADED);
        return;
    }
    /* After the workers have said yes: a port that is told has been told. */
    if (ports != 0)
        ports = port_waits_begin(endpoint, publish, ports);
    uint32_t due = (uint32_t)__builtin_popcountll(workers | ports);
    if (due == 0) {
        publish_end(endpoint, publish, message, 0);
        return;
    }
    struct mail mail = {.kind = MAIL_DELIVER,
                        .flag = publish->prompt ? DELIVER_PROMPT : 0,
                        .from = (uint16_t)endpoint->index,
                        .token = publish_token(publish),
                        .object = message};
    publish->answers_due = due;
    if (due > 1)
        message_hold(message, due - 1);
    for (uint64_t rest = (workers | ports) & ~self_bit(endpoint); rest != 0; rest &= rest - 1) {
        unsigned to = (unsigned)__builtin_ctzll(rest);
        bool is_worker = to < endpoint->server->worker_count;
        if (unicast && is_worker)
            stats_add(&endpoint->stats.unicast_mails, 1);
        mail.number = is_worker ? reserved[to] : 0;
        post_send(endpoint, to, &mail);
    }
    if (workers & self_bit(endpoint)) {
        mail.number = reserved[endpoint->index];
        endpoint->on_deliver(endpoint, &mail);
    }
}

/* --- mails ------------------------------------------------------------------------------------ */

void hub_answer(struct endpoint *endpoint, const struct mail *request, uint32_t recipients,
                unsigned flags, bool unicast) {
    struct mail answer = {.kind = MAIL_ANSWER,
                          .flag = (uint8_t)flags,
                          .from = (uint16_t)endpoint->index,
                          .number = recipients,
                          .token = request->token};
    if (request->from == endpoint->index) {
        hub_on_answer(endpoint, &answer);
        return;
    }
    if (unicast)
        stats_add(&endpoint->stats.unicast_mails, 1);
    post_send(endpoint, request->from, &answer);
}

void hub_on_deliver(struct endpoint *endpoint, const struct mail *mail) {
    struct worker *worker = worker_of(endpoint);
    const struct message *message = mail->object;
    if (mail->from != worker->index &&
        worker->now_ns > message->accepted_ns + worker->delivery.mail_age_ns)
        worker->delivery.mail_age_ns = worker->now_ns - message->accepted_ns;
    if (message_is_kept(message))
        keeper_on_deliver(worker, mail);
    else
        deliver(worker, mail->object, mail);
}

struct publish *publish_of(struct endpoint *endpoint, uint64_t token) {
    uint32_t slot = (uint32_t)token;
    CHECK(slot >= 1 && slot <= endpoint->server->post.requests_max, "an answer for publish %u",
          slot);
    struct publish *publish = &endpoint->publishes[slot - 1];
    bool same = publish->generation == token >> 32 || FAULT(PORT_LATE_TAKEN);
    return publish->slot == slot && same ? publish : NULL;
}

void hub_on_answer(struct endpoint *endpoint, const struct mail *mail) {
    if (mail->from >= endpoint->server->worker_count &&
        !port_waits_answered(endpoint, mail->from, mail->token))
        return;
    struct publish *publish = publish_of(endpoint, mail->token);
    CHECK(publish != NULL, "an answer for a publish that is over");
    if (publish->kept && mail->from >= endpoint->server->worker_count) {
        publish->unavailable |= (mail->flag & ANSWER_UNAVAILABLE) != 0;
        ports_counted(endpoint, publish, 1, mail->number);
        return;
    }
    publish_answered(endpoint, publish, mail->from, mail->number, mail->flag);
}

void hub_give_up(struct endpoint *endpoint, struct publish *publish, unsigned answers) {
    publish->unavailable = publish->maybe = true;
    if (publish->kept) {
        ports_counted(endpoint, publish, answers, 0);
        return;
    }
    publish->answers += answers;
    if (publish->answers == publish->answers_due)
        publish_finish(endpoint, publish);
}
