/* amqp_reply.c - answers to whoever named a queue for them: the result of a delivery's message, and
 * later its fate; see amqp_port.h.
 *
 * Any producer of a queue may name any queue there, so answers go to direct reply-to alone
 * (amq.rabbitmq.reply-to...) unless --amqp-replies says more, and never to a queue that is consumed
 * here. */
#include "core/base/shortage.h"
#include "core/config.h"
#include "core/server.h"
#include "ingest/amqp/amqp_port.h"
#include "ingest/gate/fate_text.h"

#define DIRECT "amq.rabbitmq.reply-to"

/* A fate that a producer waits for. */
struct amqp_reply {
    struct list link; /* in amqp->replies */
    struct fate_wait wait;
    struct amqp_port *amqp;
    uint8_t to_len, correlation_len, id_len;
    char texts[]; /* reply_to, correlation_id, message_id */
};

static bool is_allowed(const struct amqp_port *amqp, struct span to) {
    const struct config *config = amqp->config;
    bool allowed = false;
    if (to.len == 0)
        return false;
    for (unsigned i = 0; i < amqp->queue_count; i++)
        if (span_equal(to, span_text(amqp->queues[i].name)))
            return false;
    for (unsigned i = 0; i < config->amqp_reply_count && !allowed; i++) {
        const char *one = config->amqp_replies[i];
        if (strcmp(one, "direct") == 0)
            allowed = span_starts(to, SPAN(DIRECT));
        else if (strcmp(one, "off") != 0)
            allowed = span_starts(to, span_text(one));
    }
    return allowed;
}

/* Where answers to the delivery go. False: nowhere. */
static bool properties_read(const struct amqp_port *amqp, const struct amqp_delivery *delivery,
                            struct amqp_properties *properties) {
    return delivery->bytes != NULL &&
           amqp_properties_read(span_of(delivery->bytes, delivery->header_len), properties) &&
           is_allowed(amqp, properties->reply_to);
}

/* --- results ---------------------------------------------------------------------------------- */

void amqp_reply_result(struct amqp_port *amqp, const struct amqp_delivery *delivery,
                       const struct gate_result *result) {
    struct amqp_properties properties;
    struct builder out;
    if (!properties_read(amqp, delivery, &properties))
        return;
    struct amqp_answer answer = {
        .correlation_id = properties.correlation_id,
        .message_id = properties.message_id.len != 0 ? properties.message_id : result->id,
        .type = SPAN("ringpost.result")};
    struct amqp_letter *letter =
        amqp_out_letter(amqp, NULL, properties.reply_to, &answer, gate_result_bytes(result), &out);
    if (SHORTAGE(letter == NULL))
        return;
    gate_result_write(result, true, &out);
    amqp_out_put(amqp, letter, &out);
}

void amqp_reply_refused(struct amqp_port *amqp, const struct amqp_delivery *delivery,
                        const char *code, const char *text) {
    struct amqp_properties properties;
    struct builder out;
    if (!properties_read(amqp, delivery, &properties))
        return;
    struct amqp_answer answer = {.correlation_id = properties.correlation_id,
                                 .message_id = properties.message_id,
                                 .type = SPAN("ringpost.result")};
    struct amqp_letter *letter =
        amqp_out_letter(amqp, NULL, properties.reply_to, &answer, GATE_RESULT_BYTES_MAX, &out);
    if (SHORTAGE(letter == NULL))
        return;
    builder_format(&out, "{\"status\":400,\"error\":{\"code\":\"%s\",\"message\":", code);
    builder_json(&out, span_text(text));
    builder_text(&out, "}}");
    amqp_out_put(amqp, letter, &out);
}

/* --- fates ------------------------------------------------------------------------------------ */

static size_t reply_bytes(const struct amqp_reply *reply) {
    return sizeof(*reply) + reply->to_len + reply->correlation_len + reply->id_len;
}

static void reply_free(struct amqp_reply *reply) {
    list_remove(&reply->link);
    reply->amqp->reply_count--;
    memory_put(&reply->amqp->port.account, reply, reply_bytes(reply));
}

static void fate_write_to(struct amqp_port *amqp, struct span to, struct amqp_answer answer,
                          const struct fate *fate) {
    struct builder out;
    answer.type = SPAN("ringpost.fate");
    if (answer.message_id.len == 0)
        answer.message_id = fate_id(fate);
    struct amqp_letter *letter =
        amqp_out_letter(amqp, NULL, to, &answer, fate_bytes_max(fate), &out);
    if (SHORTAGE(letter == NULL))
        return;
    fate_write(fate, &out);
    amqp_out_put(amqp, letter, &out);
}

static void on_settled(struct endpoint *endpoint, struct fate_wait *wait) {
    struct amqp_reply *reply = container_of(wait, struct amqp_reply, wait);
    const char *texts = reply->texts;
    struct amqp_answer answer = {
        .correlation_id = span_of(texts + reply->to_len, reply->correlation_len),
        .message_id = span_of(texts + reply->to_len + reply->correlation_len, reply->id_len)};
    fate_write_to(reply->amqp, span_of(texts, reply->to_len), answer, wait->fate);
    fates_wait_end(&endpoint->server->fates, wait);
    reply_free(reply);
}

void amqp_reply_await(struct amqp_port *amqp, const struct amqp_delivery *delivery,
                      struct fate *fate) {
    struct fates *fates = &amqp->port.server->fates;
    struct amqp_properties properties;
    struct amqp_reply *reply = NULL;
    if (fate == NULL || !properties_read(amqp, delivery, &properties))
        return;
    struct amqp_reply sizes = {.to_len = (uint8_t)properties.reply_to.len,
                               .correlation_len = (uint8_t)properties.correlation_id.len,
                               .id_len = (uint8_t)properties.message_id.len};
    if (!SHORTAGE(amqp->reply_count >= REPLIES_WAITING_MAX))
        reply = memory_get(&amqp->port.account, reply_bytes(&sizes));
    if (SHORTAGE(reply == NULL)) {
        stats_add(&amqp->figures.replies_dropped, 1);
        return;
    }
    *reply = sizes;
    reply->amqp = amqp;
    reply->wait.told = on_settled;
    struct builder texts = builder_over(reply->texts, reply_bytes(&sizes) - sizeof(*reply));
    builder_span_add(&texts, properties.reply_to);
    builder_span_add(&texts, properties.correlation_id);
    builder_span_add(&texts, properties.message_id);
    list_init(&reply->wait.link);
    list_init(&reply->link);
    list_add_tail(&amqp->replies, &reply->link);
    amqp->reply_count++;
    fates_hold(fates, fate);
    if (fates_wait(fates, &reply->wait, fate, amqp->port.index))
        return;
    struct amqp_answer answer = {.correlation_id = properties.correlation_id,
                                 .message_id = properties.message_id};
    fate_write_to(amqp, properties.reply_to, answer, fate);
    fates_release(fates, fate);
    reply_free(reply);
}

/* --- outcomes --------------------------------------------------------------------------------- */

static const char *const state_keys[FATE_STATES] = {"pending", "acked", "expired", "dropped"};

void amqp_results_work(struct amqp_port *amqp) {
    struct fates *fates = &amqp->port.server->fates;
    struct fate *fate;
    if (amqp->config->amqp_results == NULL)
        return;
    stats_set(&amqp->figures.results_untold,
              atomic_load_explicit(&fates->feed.untold, memory_order_relaxed));
    /* While letters wait, so do these. */
    while (amqp->out.letter_count < LETTERS_MAX / 2 && !endpoint_slice_over(&amqp->port.endpoint) &&
           (fate = fates_feed_next(fates)) != NULL) {
        struct amqp_answer answer = {
            .message_id = fate_id(fate), .type = SPAN("ringpost.fate"), .is_persistent = true};
        struct builder out;
        struct amqp_letter *letter = amqp_out_letter(amqp, amqp->config->amqp_results,
                                                     span_text(state_keys[fate_state(fate)]),
                                                     &answer, fate_bytes_max(fate), &out);
        if (!SHORTAGE(letter == NULL)) {
            fate_write(fate, &out);
            amqp_out_put(amqp, letter, &out);
        }
        fates_release(fates, fate);
    }
}

void amqp_replies_stop(struct amqp_port *amqp) {
    fates_feed_end(&amqp->port.server->fates);
    while (!list_empty(&amqp->replies)) {
        struct amqp_reply *reply = container_of(amqp->replies.next, struct amqp_reply, link);
        fates_wait_end(&amqp->port.server->fates, &reply->wait);
        reply_free(reply);
    }
}
