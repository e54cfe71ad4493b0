/* amqp_delivery.c - the life of one delivery, from its first frame to what the gate says of it; see
 * amqp_port.h.
 *
 *   COMING --whole--> AT_GATE --taken--> DONE --basic.ack-->
 *                      ^   |  --can never be taken--> BAD --basic.reject-->
 *                      |   +--503--> HELD --for too long--> BAD
 *                      +-- tried again --+
 *                          +--settle acked--> PENDING --its fate is settled--> DONE
 */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "ingest/amqp/amqp_port.h"

#define ROOM_BYTES_MIN 4096
#define POISON_TEXT "it has come again and again (x-delivery-count)"

/* --- memory ----------------------------------------------------------------------------------- */

static struct account *account_of(struct amqp_port *amqp) {
    return &amqp->port.account;
}

static void bytes_free(struct amqp_port *amqp, struct amqp_delivery *delivery) {
    size_t bytes = delivery->header_len + delivery->body_len;
    if (delivery->bytes == NULL)
        return;
    memory_put(account_of(amqp), delivery->bytes, bytes);
    delivery->bytes = NULL;
    amqp->bytes -= bytes;
    stats_set(&amqp->figures.bytes, amqp->bytes);
}

bool amqp_delivery_begin(struct amqp_port *amqp, struct amqp_queue *queue, uint64_t tag,
                         bool redelivered) {
    struct amqp_delivery *delivery = NULL;
    if (!SHORTAGE(!account_take(account_of(amqp), sizeof(*delivery)))) {
        delivery = pool_get(&amqp->delivery_pool);
        if (SHORTAGE(delivery == NULL))
            account_give(account_of(amqp), sizeof(*delivery));
    }
    if (delivery == NULL)
        return false;
    *delivery = (struct amqp_delivery){.amqp = amqp,
                                       .queue = queue,
                                       .tag = tag,
                                       .came_ns = amqp->port.now_ns,
                                       .state = DELIVERY_COMING,
                                       .redelivered = redelivered,
                                       .held.serial = ++amqp->serial};
    list_init(&delivery->done);
    list_init(&delivery->held.link);
    list_add_tail(&queue->order, &delivery->order);
    queue->coming = delivery;
    stats_add(&queue->figures.deliveries, 1);
    stats_add(&queue->figures.redelivered, redelivered);
    stats_add(&queue->figures.under_way, 1);
    return true;
}

bool amqp_delivery_header(struct amqp_port *amqp, struct amqp_delivery *delivery,
                          struct span header, uint64_t body_len) {
    size_t bytes = header.len + (size_t)body_len;
    /* One alone always has its place in the share. */
    if (SHORTAGE(amqp->bytes != 0 && amqp->bytes + bytes > amqp->share_bytes))
        return false;
    delivery->bytes = memory_get(account_of(amqp), bytes);
    if (SHORTAGE(delivery->bytes == NULL))
        return false;
    memcpy(delivery->bytes, header.at, header.len);
    delivery->header_len = header.len;
    delivery->body_len = (size_t)body_len;
    amqp->bytes += bytes;
    stats_set(&amqp->figures.bytes, amqp->bytes);
    return true;
}

void amqp_delivery_free(struct amqp_port *amqp, struct amqp_delivery *delivery) {
    bytes_free(amqp, delivery);
    if (delivery->refused.complaint != NULL)
        memory_put(account_of(amqp), delivery->refused.complaint, sizeof(struct complaint));
    pool_put(&amqp->delivery_pool, delivery);
    account_give(account_of(amqp), sizeof(*delivery));
}

/* --- the end ---------------------------------------------------------------------------------- */

/* It is held no longer. */
static void held_end(struct amqp_port *amqp, struct amqp_delivery *delivery) {
    if (!list_linked(&delivery->held.link))
        return;
    list_remove(&delivery->held.link);
    held_set_remove(&amqp->held, &delivery->held);
    amqp->held_bytes -= delivery->header_len + delivery->body_len;
    if (delivery->queue != NULL) {
        delivery->queue->held_count--;
        stats_set(&delivery->queue->figures.held, delivery->queue->held_count);
        stats_add(&delivery->queue->figures.under_way, 1);
        delivery->queue->held_due_ns = 0; /* who waited behind it may be tried */
    }
}

void amqp_delivery_done(struct amqp_port *amqp, struct amqp_delivery *delivery, bool good) {
    held_end(amqp, delivery);
    bytes_free(amqp, delivery);
    delivery->state = good ? DELIVERY_DONE : DELIVERY_BAD;
    delivery->settled_ns = amqp->port.now_ns;
    list_add_tail(&delivery->queue->done, &delivery->done);
}

/* It can never be taken: to --amqp-refused, or back to the queue's own dead letters. `complaint`
 * may lack its code where `code` is a word of our own. */
static void refuse(struct amqp_port *amqp, struct amqp_delivery *delivery, const char *code,
                   const struct complaint *complaint) {
    log_event(LOG_DEBUG, "amqp_delivery_refused", LOG_STR("queue", delivery->queue->name),
              LOG_STR("code", code), LOG_STR("problem", complaint->text));
    if (amqp->config->amqp_refused == NULL) {
        amqp_delivery_done(amqp, delivery, false);
        return;
    }
    held_end(amqp, delivery);
    delivery->refused = (struct amqp_refused){.code = code, .wall_ms = amqp->port.now_wall_ms};
    delivery->refused.complaint = memory_get(account_of(amqp), sizeof(*complaint));
    if (!SHORTAGE(delivery->refused.complaint == NULL))
        *delivery->refused.complaint = *complaint;
    amqp_out_leave(amqp, delivery);
}

/* The same with a text, and whoever asked is told. */
static void refuse_with(struct amqp_port *amqp, struct amqp_delivery *delivery,
                        enum result_word state, const char *text) {
    struct complaint complaint = {.code = CODE_NONE};
    struct gate_result result = gate_result_of(state);
    complaint_make(&complaint, result.code, SPAN(""), "%s", text);
    amqp_reply_result(amqp, delivery, &result);
    refuse(amqp, delivery, state == RESULT_EXPIRED ? "expired" : code_word(result.code),
           &complaint);
}

void amqp_delivery_left(struct amqp_port *amqp, struct amqp_delivery *delivery, bool good) {
    list_remove(&delivery->done);
    amqp_delivery_done(amqp, delivery, good);
}

void amqp_delivery_abandon(struct amqp_port *amqp, struct amqp_delivery *delivery) {
    struct amqp_queue *queue = delivery->queue;
    bool at_gate = delivery->state == DELIVERY_AT_GATE;
    if (delivery->state == DELIVERY_PENDING)
        fates_wait_end(&amqp->port.server->fates, &delivery->wait);
    held_end(amqp, delivery);
    if (delivery->state == DELIVERY_LEAVING)
        amqp_out_forget(amqp, delivery);
    list_remove(&delivery->done);
    list_remove(&delivery->order);
    delivery->queue = NULL;
    stats_sub(&queue->figures.under_way, 1);
    stats_add(&queue->figures.settled[AMQP_ABANDONED], 1);
    if (at_gate) /* the gate's answer frees it */
        bytes_free(amqp, delivery);
    else
        amqp_delivery_free(amqp, delivery);
}

/* --- the message ------------------------------------------------------------------------------ */

static struct envelope_scratch *room_of(const struct amqp_port *amqp) {
    return gate_of(&amqp->port.endpoint)->contexts[amqp->port.index].room;
}

/* Room for a body in which a string becomes what it says. False: no memory. */
static bool room_for(struct amqp_port *amqp, size_t bytes) {
    if (bytes <= amqp->room_cap)
        return true;
    size_t cap = bytes < ROOM_BYTES_MIN ? ROOM_BYTES_MIN : bytes;
    if (amqp->room != NULL)
        memory_put(account_of(amqp), amqp->room, amqp->room_cap);
    amqp->room_cap = 0;
    amqp->room = memory_get(account_of(amqp), cap);
    if (SHORTAGE(amqp->room == NULL))
        return false;
    amqp->room_cap = cap;
    return true;
}

static bool form_read(struct amqp_port *amqp, const struct amqp_delivery *delivery,
                      struct envelope *envelope, struct amqp_properties *properties,
                      struct complaint *complaint) {
    const char *bytes = delivery->bytes;
    struct amqp_content content = {span_of(bytes, delivery->header_len),
                                   span_of(bytes + delivery->header_len, delivery->body_len)};
    struct builder rewritten = builder_over(amqp->room, amqp->room_cap);
    return amqp_form_read(envelope, room_of(amqp), &content, &rewritten,
                          amqp->port.config->max_message_bytes, properties, complaint);
}

/* How often it was given out before, as a quorum queue says. */
static uint64_t given_before(const struct amqp_properties *properties) {
    struct amqp_value value;
    uint64_t count;
    return amqp_table_find(properties->headers, SPAN("x-delivery-count"), &value) &&
                   amqp_number_u64(&value, &count)
               ? count
               : 0;
}

/* Waits from now on until it may be tried, behind older ones for any of its addresses. False: no
 * memory to note them. */
static bool hold(struct amqp_port *amqp, struct amqp_delivery *delivery,
                 const struct envelope *envelope) {
    struct held *held = &delivery->held;
    struct amqp_queue *queue = delivery->queue;
    uint64_t ttl_ns = envelope->parts.ttl_ns, hold_ns = amqp->config->amqp_hold_ns;
    struct list *before = queue->held.prev;
    if (SHORTAGE(!held_set_add(&amqp->held, held, &envelope->parts)))
        return false;
    held->ttl_ends = ttl_ns < hold_ns;
    held->until_ns = delivery->came_ns + (held->ttl_ends ? ttl_ns : hold_ns);
    while (before != &queue->held && container_of(before, struct held, link)->serial > held->serial)
        before = before->prev;
    list_add_head(before, &held->link);
    amqp->held_bytes += delivery->header_len + delivery->body_len;
    stats_set(&queue->figures.held, ++queue->held_count);
    stats_sub(&queue->figures.under_way, 1);
    delivery->state = DELIVERY_HELD;
    queue->held_due_ns = 0;
    return true;
}

/* It is held, and was refused with that just now. */
static void hold_on(struct amqp_port *amqp, struct amqp_delivery *delivery, enum code code) {
    struct held *held = &delivery->held;
    delivery->state = DELIVERY_HELD;
    delivery->queue->held_due_ns = 0;
    held->code = code;
    held->retry_ns =
        amqp->port.now_ns + amqp_link_wait_ns(held->tries++, HELD_RETRY_MIN_NS, HELD_RETRY_MAX_NS);
}

/* It has waited long enough. */
static void hold_over(struct amqp_port *amqp, struct amqp_delivery *delivery, bool ttl_over) {
    enum code code = delivery->held.code == CODE_NONE ? CODE_OVERLOADED : delivery->held.code;
    if (ttl_over)
        refuse_with(amqp, delivery, RESULT_EXPIRED, "its ttl ended while it was held");
    else
        refuse_with(amqp, delivery, result_find(code_word(code)),
                    "it was held for as long as it may be");
}

/* What is left of its ttl. Of one that is to be acknowledged, and whose delivery waits for that, no
 * more than a broker waits. */
static void ttl_cut(struct amqp_port *amqp, const struct amqp_delivery *delivery,
                    struct envelope *envelope) {
    uint64_t waited_ns = amqp->port.now_ns - delivery->came_ns, *ttl_ns = &envelope->parts.ttl_ns;
    if (amqp->settle_acked && delivery->is_ack && *ttl_ns > ACKED_TTL_NS_MAX) {
        *ttl_ns = ACKED_TTL_NS_MAX;
        stats_add(&amqp->figures.cut, 1);
        log_event(LOG_INFO, "amqp_ttl_cut", LOG_STR("queue", delivery->queue->name),
                  LOG_STR("meaning", "with --amqp-settle acked a message with ack waits for 1500 s "
                                     "at most, since a broker does not wait much longer"));
    }
    *ttl_ns = waited_ns < *ttl_ns ? *ttl_ns - waited_ns : 1;
}

/* Hands it to the gate, which answers once, perhaps before this returns. */
static void try(struct amqp_port *amqp, struct amqp_delivery *delivery) {
    struct envelope envelope;
    struct amqp_properties properties;
    struct complaint complaint;
    struct gate_request request = {
        .source = &amqp->source, .envelope = &envelope, .request = delivery};
    bool first = delivery->state == DELIVERY_COMING;
    if (SHORTAGE(!room_for(amqp, delivery->body_len))) {
        /* Nothing of it is known, so nothing may pass it: that is the last answer. */
        refuse_with(amqp, delivery, RESULT_OVERLOADED, "no memory to read it");
        return;
    }
    if (!form_read(amqp, delivery, &envelope, &properties, &complaint)) {
        struct gate_result result;
        gate_result_bad(&result, &complaint);
        amqp_reply_result(amqp, delivery, &result);
        refuse(amqp, delivery, code_word(complaint.code), &complaint);
        return;
    }
    if (given_before(&properties) >= POISON_COUNT) {
        complaint_make(&complaint, CODE_NONE, SPAN(""), POISON_TEXT);
        amqp_reply_refused(amqp, delivery, "poison", POISON_TEXT);
        refuse(amqp, delivery, "poison", &complaint);
        return;
    }
    delivery->is_ack = envelope.parts.class == CLASS_ACK;
    if (first && held_set_has(&amqp->held, &envelope.parts)) {
        if (!hold(amqp, delivery, &envelope))
            refuse_with(amqp, delivery, RESULT_OVERLOADED, "no memory to hold it");
        return;
    }
    ttl_cut(amqp, delivery, &envelope);
    envelope.parts.again = delivery->redelivered && delivery->is_ack;
    envelope.parts.unstored = amqp->settle_acked && delivery->is_ack;
    delivery->state = DELIVERY_AT_GATE;
    amqp->at_gate++;
    gate_publish(&amqp->port.endpoint, &request);
}

void amqp_delivery_take(struct amqp_port *amqp, struct amqp_delivery *delivery) {
    try(amqp, delivery);
}

/* --- what the gate says ----------------------------------------------------------------------- */

static void on_settled(struct endpoint *endpoint, struct fate_wait *wait) {
    struct amqp_delivery *delivery = container_of(wait, struct amqp_delivery, wait);
    fates_wait_end(&endpoint->server->fates, wait);
    amqp_delivery_done(delivery->amqp, delivery, true);
}

/* Its delivery is settled when the message is. False: it is already, or nobody knows of it. */
static bool fate_await(struct amqp_port *amqp, struct amqp_delivery *delivery, struct fate *fate) {
    struct fates *fates = &amqp->port.server->fates;
    if (fate == NULL)
        return false;
    fates_hold(fates, fate);
    delivery->wait = (struct fate_wait){.told = on_settled};
    list_init(&delivery->wait.link);
    if (fates_wait(fates, &delivery->wait, fate, amqp->port.index)) {
        held_end(amqp, delivery);
        bytes_free(amqp, delivery);
        delivery->state = DELIVERY_PENDING;
        return true;
    }
    fates_release(fates, fate);
    return false;
}

/* A 503: it is held. Its addresses are read again where that is new. */
static void answer_hold(struct amqp_port *amqp, struct amqp_delivery *delivery, enum code code) {
    struct envelope envelope;
    struct amqp_properties properties;
    struct complaint complaint;
    bool held = list_linked(&delivery->held.link);
    if (!held && !SHORTAGE(!room_for(amqp, delivery->body_len)) &&
        form_read(amqp, delivery, &envelope, &properties, &complaint))
        held = hold(amqp, delivery, &envelope);
    if (SHORTAGE(!held))
        refuse_with(amqp, delivery, result_find(code_word(code)), "no memory to hold it");
    else
        hold_on(amqp, delivery, code);
}

void amqp_delivery_on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                             uint32_t index, const struct gate_result *result) {
    struct amqp_port *amqp = container_of(source, struct amqp_port, source);
    struct amqp_delivery *delivery = request;
    (void)endpoint, (void)index;
    amqp->at_gate--;
    if (delivery->queue == NULL) {
        amqp_delivery_free(amqp, delivery);
        if (amqp->port.stopped && amqp->at_gate == 0)
            pool_fini(&amqp->delivery_pool);
        return;
    }
    if (result->code == CODE_NONE) {
        amqp_reply_result(amqp, delivery, result);
        if (delivery->is_ack)
            amqp_reply_await(amqp, delivery, result->fate);
        if (!amqp->settle_acked || !delivery->is_ack || !fate_await(amqp, delivery, result->fate))
            amqp_delivery_done(amqp, delivery, true);
    } else if (result->status == 503) {
        answer_hold(amqp, delivery, result->code);
    } else {
        struct complaint complaint = {.code = CODE_NONE};
        complaint_make(&complaint, result->code,
                       span_text(result->field != NULL ? result->field : ""), "%s",
                       result->message);
        amqp_reply_result(amqp, delivery, result);
        refuse(amqp, delivery, code_word(result->code), &complaint);
    }
}

/* --- those that are held ---------------------------------------------------------------------- */

static struct amqp_delivery *delivery_of(struct list *link) {
    return container_of(link, struct amqp_delivery, held.link);
}

/* More is held than may be: the oldest one that is not being tried gets its last answer. */
static void held_bound(struct amqp_port *amqp, struct amqp_queue *queue) {
    uint32_t most = amqp->prefetch > 1 ? amqp->prefetch / 2 : 1;
    struct list *at = queue->held.next;
    while (at != &queue->held &&
           (queue->held_count > most || amqp->held_bytes > amqp->share_bytes / 2)) {
        struct amqp_delivery *delivery = delivery_of(at);
        at = at->next;
        if (delivery->state == DELIVERY_HELD)
            hold_over(amqp, delivery, false);
    }
}

void amqp_delivery_retry(struct amqp_port *amqp, struct amqp_queue *queue) {
    uint64_t now_ns = amqp->port.now_ns;
    held_bound(amqp, queue);
    if (list_empty(&queue->held)) {
        stats_set(&queue->figures.oldest_held_ms, 0);
        queue->held_due_ns = CLOCK_NEVER;
        return;
    }
    stats_set(&queue->figures.oldest_held_ms,
              (now_ns - delivery_of(queue->held.next)->came_ns) / NS_PER_MS);
    if (now_ns < queue->held_due_ns || amqp->leaves)
        return;
    uint64_t due_ns = CLOCK_NEVER;
    struct list *next;
    queue->held_due_ns = CLOCK_NEVER; /* until one is held again, or lets others pass */
    for (struct list *at = queue->held.next; at != &queue->held; at = next) {
        struct amqp_delivery *delivery = delivery_of(at);
        struct held *held = &delivery->held;
        next = at->next;
        if (delivery->state != DELIVERY_HELD)
            continue;
        if (now_ns >= held->until_ns) {
            hold_over(amqp, delivery, held->ttl_ends);
            continue;
        }
        if (held->behind == 0 && now_ns >= held->retry_ns) {
            try(amqp, delivery);
            if (endpoint_slice_over(&amqp->port.endpoint)) {
                due_ns = now_ns;
                break;
            }
            continue;
        }
        uint64_t own_ns =
            held->behind == 0 && held->retry_ns < held->until_ns ? held->retry_ns : held->until_ns;
        if (own_ns < due_ns)
            due_ns = own_ns;
    }
    if (due_ns < queue->held_due_ns)
        queue->held_due_ns = due_ns;
}
