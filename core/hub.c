#include "core/hub.h"

#include "core/base/check.h"
#include "core/delivery.h"
#include "core/server.h"

static unsigned worker_count(const struct worker *worker) {
    return worker->server->worker_count;
}

static uint64_t self_bit(const struct worker *worker) {
    return UINT64_C(1) << worker->index;
}

static void unicast_mail(struct worker *worker, const struct message *message) {
    if (message_is_unicast(message))
        stats_add(&worker->stats.unicast_mails, 1);
}

/* --- publishes -------------------------------------------------------------------------------- */

struct publish *publish_get(struct worker *worker) {
    if (worker->free_publish == 0 || worker->requests >= worker->server->post.requests_max) {
        stats_add(&worker->stats.requests_refused, 1);
        return NULL;
    }
    struct publish *publish = &worker->publishes[worker->free_publish - 1];
    worker->free_publish = publish->slot;
    uint32_t generation = publish->generation;
    *publish = (struct publish){.slot = (uint32_t)(publish - worker->publishes) + 1,
                                .generation = generation + 1};
    list_init(&publish->link);
    worker->requests++;
    worker->publishing++;
    stats_set(&worker->stats.requests, worker->requests);
    return publish;
}

void publish_put(struct worker *worker, struct publish *publish) {
    uint32_t index = publish->slot;
    CHECK(index == (uint32_t)(publish - worker->publishes) + 1, "a publish is put back twice");
    publish->slot = worker->free_publish;
    publish->generation++;
    worker->free_publish = index;
    worker->requests--;
    worker->publishing--;
    stats_set(&worker->stats.requests, worker->requests);
}

static uint64_t publish_token(const struct publish *publish) {
    return (uint64_t)publish->generation << 32 | publish->slot;
}

static void lane_go_on(struct worker *worker, struct lane *lane);

static void publish_finish(struct worker *worker, struct publish *publish) {
    enum result_word result = RESULT_QUEUED;
    if (publish->refused)
        result = RESULT_OVERLOADED;
    else if (publish->recipients == 0 && publish->class == CLASS_VOLATILE)
        result = RESULT_DROPPED;
    else if (publish->recipients == 0 && publish->only_ids)
        result = publish->found ? RESULT_DROPPED : RESULT_ABSENT;
    /* The lane first: with the last `done` its owner may go, and the lane with it. */
    if (!list_empty(&publish->lane->waiting))
        lane_go_on(worker, publish->lane);
    publish->done(worker, publish, result, publish->recipients);
    publish_put(worker, publish);
}

/* An answer, or this worker's own part, has come. */
static void publish_answered(struct worker *worker, struct publish *publish, uint32_t recipients,
                             uint32_t answers_due, unsigned flags) {
    publish->answers_due = answers_due;
    publish->answers++;
    publish->recipients += recipients;
    publish->refused |= (flags & ANSWER_OVERLOADED) != 0;
    publish->found |= (flags & ANSWER_FOUND) != 0;
    if (publish->answers < answers_due)
        return;
    if (!publish->apart) {
        CHECK(publish->wide ? publish->lane->wide > 0 : publish->lane->narrow > 0);
        if (publish->wide)
            publish->lane->wide--;
        else
            publish->lane->narrow--;
    }
    publish_finish(worker, publish);
}

/* --- the ways --------------------------------------------------------------------------------- */

/* The home that all addresses share; -1: they have several, or it is a broadcast. */
static int common_home(const struct worker *worker, const struct message *message) {
    if (message->broadcast)
        return -1;
    unsigned workers = worker_count(worker);
    uint32_t count = (uint32_t)message->to_count + message->group_count;
    unsigned home = name_home(message->names[0].hash, workers);
    for (uint32_t i = 1; i < count; i++)
        if (name_home(message->names[i].hash, workers) != home)
            return -1;
    return (int)home;
}

/* The workers that hold any of the addresses, all of which this worker is home of. */
static uint64_t holders_of(struct worker *worker, const struct message *message) {
    uint64_t holders = 0;
    for (uint32_t i = 0; i < (uint32_t)message->to_count + message->group_count; i++) {
        const struct message_name *address = &message->names[i];
        struct name *name = directory_find(worker, address->kind, address->hash,
                                           message_name_text(message, address));
        if (name != NULL)
            holders |= name->holders;
    }
    return holders;
}

static bool room_for_all(const struct worker *worker, uint64_t workers) {
    for (uint64_t rest = workers; rest != 0; rest &= rest - 1)
        if (!post_room(&worker->server->post, worker->index, (unsigned)__builtin_ctzll(rest)))
            return false;
    return true;
}

static void send_to_all(struct worker *worker, struct message *message, uint64_t workers,
                        uint16_t from, uint64_t token, uint32_t answers_due) {
    for (uint64_t rest = workers; rest != 0; rest &= rest - 1) {
        unicast_mail(worker, message);
        post_send(worker, (unsigned)__builtin_ctzll(rest),
                  &(struct mail){.kind = MAIL_DELIVER,
                                 .from = from,
                                 .number = answers_due,
                                 .token = token,
                                 .object = message});
    }
}

/* To the workers in the set, this one among them or not. */
static void publish_to(struct worker *worker, struct publish *publish, struct message *message,
                       uint64_t workers) {
    uint64_t others = workers & ~self_bit(worker);
    bool here = (workers & self_bit(worker)) != 0;
    uint32_t due = (uint32_t)__builtin_popcountll(workers);
    if (!room_for_all(worker, others)) {
        stats_add(&worker->stats.mail_refused, 1);
        message_release(worker, message);
        publish_answered(worker, publish, 0, 1, ANSWER_OVERLOADED);
        return;
    }
    if (due == 0) {
        message_release(worker, message);
        publish_answered(worker, publish, 0, 1, 0);
        return;
    }
    publish->answers_due = due;
    if (due > 1)
        message_hold(message, due - 1);
    send_to_all(worker, message, others, (uint16_t)worker->index, publish_token(publish), due);
    if (here)
        deliver(worker, message,
                &(struct mail){.from = (uint16_t)worker->index,
                               .number = due,
                               .token = publish_token(publish)});
}

/* Sends it on its way; the lane allows it. */
static void publish_go(struct worker *worker, struct publish *publish, struct message *message) {
    int home = common_home(worker, message);
    if (!publish->apart) {
        if (publish->wide)
            publish->lane->wide++;
        else
            publish->lane->narrow++;
    }
    if (home < 0) {
        unsigned workers = worker_count(worker);
        publish_to(worker, publish, message,
                   workers == 64 ? UINT64_MAX : (UINT64_C(1) << workers) - 1);
        return;
    }
    if ((unsigned)home == worker->index) {
        publish_to(worker, publish, message, holders_of(worker, message));
        return;
    }
    if (!post_room(&worker->server->post, worker->index, (unsigned)home)) {
        stats_add(&worker->stats.mail_refused, 1);
        message_release(worker, message);
        publish_answered(worker, publish, 0, 1, ANSWER_OVERLOADED);
        return;
    }
    unicast_mail(worker, message);
    post_send(worker, (unsigned)home,
              &(struct mail){.kind = MAIL_PUBLISH,
                             .from = (uint16_t)worker->index,
                             .token = publish_token(publish),
                             .object = message});
}

static bool lane_allows(const struct lane *lane, bool wide) {
    return wide ? lane->narrow == 0 : lane->wide == 0;
}

/* What waits goes, in order, as far as the way is free. */
static void lane_go_on(struct worker *worker, struct lane *lane) {
    if (lane->moving)
        return; /* a publish that was done at once calls us from within */
    lane->moving = true;
    while (!list_empty(&lane->waiting)) {
        struct publish *publish = container_of(lane->waiting.next, struct publish, link);
        if (!lane_allows(lane, publish->wide))
            break;
        list_remove(&publish->link);
        struct message *message = publish->message;
        publish->message = NULL;
        publish_go(worker, publish, message);
    }
    lane->moving = false;
}

void hub_publish(struct worker *worker, struct publish *publish, struct message *message) {
    struct lane *lane = publish->lane;
    publish->class = message->class;
    publish->only_ids = message->to_count != 0 && message->group_count == 0;
    publish->apart = message->broadcast;
    publish->wide = common_home(worker, message) < 0;
    if (message_is_unicast(message))
        stats_add(&worker->stats.unicasts, 1);
    if (publish->apart || (list_empty(&lane->waiting) && lane_allows(lane, publish->wide))) {
        publish_go(worker, publish, message);
        return;
    }
    stats_add(&worker->stats.lane_waits, 1);
    publish->message = message;
    list_add_tail(&lane->waiting, &publish->link);
}

/* --- mails ------------------------------------------------------------------------------------ */

void hub_answer(struct worker *worker, const struct mail *request, uint32_t recipients,
                uint32_t answers_due, unsigned flags, bool unicast) {
    struct mail answer = {.kind = MAIL_ANSWER,
                          .flag = (uint8_t)flags,
                          .from = (uint16_t)worker->index,
                          .number = recipients,
                          .token = request->token,
                          .extra = answers_due};
    if (request->from == worker->index) {
        hub_on_answer(worker, &answer);
        return;
    }
    if (unicast)
        stats_add(&worker->stats.unicast_mails, 1);
    post_send(worker, request->from, &answer);
}

void hub_on_publish(struct worker *worker, const struct mail *mail) {
    struct message *message = mail->object;
    bool unicast = message_is_unicast(message);
    uint64_t holders = holders_of(worker, message);
    uint64_t others = holders & ~self_bit(worker);
    uint32_t due = (uint32_t)__builtin_popcountll(holders);
    if (due == 0 || !room_for_all(worker, others)) {
        if (due != 0)
            stats_add(&worker->stats.mail_refused, 1);
        message_release(worker, message);
        hub_answer(worker, mail, 0, 1, due == 0 ? 0 : ANSWER_OVERLOADED, unicast);
        return;
    }
    if (due > 1)
        message_hold(message, due - 1);
    send_to_all(worker, message, others, mail->from, mail->token, due);
    if (holders & self_bit(worker))
        deliver(worker, message,
                &(struct mail){.from = mail->from, .number = due, .token = mail->token});
}

void hub_on_deliver(struct worker *worker, const struct mail *mail) {
    deliver(worker, mail->object, mail);
}

void hub_on_answer(struct worker *worker, const struct mail *mail) {
    uint32_t slot = (uint32_t)mail->token;
    CHECK(slot >= 1 && slot <= worker->server->post.requests_max, "an answer for publish %u", slot);
    struct publish *publish = &worker->publishes[slot - 1];
    CHECK(publish->slot == slot && publish->generation == mail->token >> 32,
          "an answer for a publish that is over");
    publish_answered(worker, publish, mail->number, (uint32_t)mail->extra, mail->flag);
}
