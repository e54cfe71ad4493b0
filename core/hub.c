#include "core/hub.h"

#include "core/base/check.h"
#include "core/delivery.h"
#include "core/server.h"

static uint64_t self_bit(const struct worker *worker) {
    return UINT64_C(1) << worker->index;
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

static void publish_finish(struct worker *worker, struct publish *publish) {
    enum result_word result = RESULT_QUEUED;
    if (publish->refused)
        result = RESULT_OVERLOADED;
    else if (publish->recipients == 0 && publish->class == CLASS_VOLATILE)
        result = RESULT_DROPPED;
    else if (publish->recipients == 0 && publish->only_ids)
        result = publish->found ? RESULT_DROPPED : RESULT_ABSENT;
    publish->done(worker, publish, result, publish->recipients);
    publish_put(worker, publish);
}

/* An answer, or this worker's own part, has come. */
static void publish_answered(struct worker *worker, struct publish *publish, uint32_t recipients,
                             unsigned flags) {
    publish->answers++;
    publish->recipients += recipients;
    publish->refused |= (flags & ANSWER_OVERLOADED) != 0;
    publish->found |= (flags & ANSWER_FOUND) != 0;
    if (publish->answers == publish->answers_due)
        publish_finish(worker, publish);
}

/* --- the way ---------------------------------------------------------------------------------- */

/* The workers that hold any of the addresses. */
static uint64_t holders_of(const struct worker *worker, const struct message *message) {
    unsigned workers = worker->server->worker_count;
    if (message->broadcast)
        return workers == 64 ? UINT64_MAX : (UINT64_C(1) << workers) - 1;
    uint64_t holders = 0;
    for (uint32_t i = 0; i < (uint32_t)message->to_count + message->group_count; i++)
        holders |= holders_find(worker->server->holders, message->names[i].hash);
    return holders;
}

static bool room_for_all(const struct worker *worker, uint64_t workers) {
    for (uint64_t rest = workers; rest != 0; rest &= rest - 1)
        if (!post_room(&worker->server->post, worker->index, (unsigned)__builtin_ctzll(rest)))
            return false;
    return true;
}

void hub_publish(struct worker *worker, struct publish *publish, struct message *message) {
    publish->class = message->class;
    publish->only_ids = message->to_count != 0 && message->group_count == 0;
    bool unicast = message_is_unicast(message);
    if (unicast)
        stats_add(&worker->stats.unicasts, 1);
    uint64_t holders = holders_of(worker, message);
    uint64_t others = holders & ~self_bit(worker);
    uint32_t due = (uint32_t)__builtin_popcountll(holders);
    publish->answers_due = 1; /* this worker's own, if the message goes nowhere */
    if (due == 0) {
        message_release(worker, message);
        publish_answered(worker, publish, 0, 0);
        return;
    }
    if (!room_for_all(worker, others)) {
        stats_add(&worker->stats.mail_refused, 1);
        message_release(worker, message);
        publish_answered(worker, publish, 0, ANSWER_OVERLOADED);
        return;
    }
    struct mail mail = {.kind = MAIL_DELIVER,
                        .from = (uint16_t)worker->index,
                        .token = publish_token(publish),
                        .object = message};
    publish->answers_due = due;
    if (due > 1)
        message_hold(message, due - 1);
    for (uint64_t rest = others; rest != 0; rest &= rest - 1) {
        if (unicast)
            stats_add(&worker->stats.unicast_mails, 1);
        post_send(worker, (unsigned)__builtin_ctzll(rest), &mail);
    }
    if (holders & self_bit(worker))
        deliver(worker, message, &mail);
}

/* --- mails ------------------------------------------------------------------------------------ */

void hub_answer(struct worker *worker, const struct mail *request, uint32_t recipients,
                unsigned flags, bool unicast) {
    struct mail answer = {.kind = MAIL_ANSWER,
                          .flag = (uint8_t)flags,
                          .from = (uint16_t)worker->index,
                          .number = recipients,
                          .token = request->token};
    if (request->from == worker->index) {
        hub_on_answer(worker, &answer);
        return;
    }
    if (unicast)
        stats_add(&worker->stats.unicast_mails, 1);
    post_send(worker, request->from, &answer);
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
    publish_answered(worker, publish, mail->number, mail->flag);
}
