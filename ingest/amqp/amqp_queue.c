/* amqp_queue.c - a queue and its channel: how it comes to be consumed, what comes from it, what the
 * broker is told; see amqp_port.h.
 *
 *   DOWN --> OPENING --> DECLARING --> BOUNDING --> ASKING --> CONSUMING --drain--> LEAVING -->
 * LEFT ^                                                             |
 *    +--- the broker closes the channel, or cancels (CLOSING) -----+
 */
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/config.h"
#include "core/server.h"
#include "ingest/amqp/amqp_port.h"

/* What the broker is asked it answers within that. */
#define QUEUE_ANSWER_NS (10 * NS_PER_S)
#define QUEUE_RETRY_MIN_NS (200 * NS_PER_MS)
#define QUEUE_RETRY_MAX_NS (10 * NS_PER_S)
#define QUEUE_TOLD_NS (60 * NS_PER_S)
/* So many methods are written after one look whether the connection takes them. */
#define SETTLES_AT_ONCE 64

#define CODE_NOT_FOUND 404
#define CODE_LOCKED 405
#define CODE_FAILED 406
#define CODE_REFUSED 403

void amqp_queue_init(struct amqp_queue *queue, const char *name, uint16_t channel) {
    memset(queue, 0, sizeof(*queue));
    queue->name = name;
    queue->channel = channel;
    queue->held_due_ns = CLOCK_NEVER;
    list_init(&queue->order);
    list_init(&queue->done);
    list_init(&queue->held);
}

static void state_set(struct amqp_port *amqp, struct amqp_queue *queue,
                      enum amqp_queue_state state) {
    queue->state = (uint8_t)state;
    queue->asked_ns = amqp->port.now_ns;
    stats_set(&queue->figures.consuming, state == QUEUE_CONSUMING);
}

static struct amqp_delivery *delivery_at(struct list *link) {
    return container_of(link, struct amqp_delivery, order);
}

/* --- it is lost ------------------------------------------------------------------------------- */

void amqp_queue_lost(struct amqp_port *amqp, struct amqp_queue *queue) {
    while (!list_empty(&queue->order))
        amqp_delivery_abandon(amqp, delivery_at(queue->order.next));
    queue->coming = NULL;
    queue->wants_header = false;
    queue->skip_bytes = 0;
    queue->last_tag = 0;
    state_set(amqp, queue, amqp->leaves ? QUEUE_LEFT : QUEUE_DOWN);
}

static const char *remedy_of(const struct amqp_port *amqp, unsigned code) {
    switch (code) {
    case CODE_NOT_FOUND:
        return "create the queue, or let the node do it (--amqp-declare classic, quorum)";
    case CODE_FAILED:
        return amqp->config->amqp_declare == AMQP_DECLARE_OFF
                   ? "look at the queue; the text says what the broker does not allow"
                   : "leave the queue as it is with --amqp-declare off, or delete it, so that the "
                     "node makes it anew";
    case CODE_LOCKED:
        return "another connection has the queue for itself alone; end that";
    case CODE_REFUSED:
        return "let the user of --amqp read the queue (and configure it, to declare it)";
    default:
        return "none needed: the node tries again by itself";
    }
}

/* It cannot be consumed, and is looked up again later. */
static void queue_fails(struct amqp_port *amqp, struct amqp_queue *queue, unsigned code,
                        struct span why) {
    uint64_t now_ns = amqp->port.now_ns;
    amqp_queue_lost(amqp, queue);
    queue->retry_ns =
        now_ns + amqp_link_wait_ns(queue->tries++, QUEUE_RETRY_MIN_NS, QUEUE_RETRY_MAX_NS);
    if (queue->told && now_ns - queue->told_ns < QUEUE_TOLD_NS)
        return;
    queue->told = true;
    queue->told_ns = now_ns;
    log_event(LOG_WARN, "amqp_queue_lost", LOG_STR("queue", queue->name), LOG_U64("code", code),
              LOG_SPAN("problem", why), LOG_STR("remedy", remedy_of(amqp, code)));
}

/* The broker does what none does: whatever it has said is not to be trusted. */
static void broker_strange(struct amqp_port *amqp, const char *what) {
    amqp_link_lose(&amqp->consumer, amqp->port.now_ns, what);
}

/* --- it comes up ------------------------------------------------------------------------------ */

void amqp_queue_step(struct amqp_port *amqp, struct amqp_queue *queue) {
    uint64_t now_ns = amqp->port.now_ns;
    bool waits =
        queue->state != QUEUE_DOWN && queue->state != QUEUE_CONSUMING && queue->state != QUEUE_LEFT;
    if (waits && now_ns - queue->asked_ns >= QUEUE_ANSWER_NS) {
        broker_strange(amqp, "it does not answer within 10 s");
        return;
    }
    if (queue->state != QUEUE_DOWN || now_ns < queue->retry_ns || amqp->leaves ||
        !door_takes(&amqp->consumer.door))
        return;
    door_channel_open(&amqp->consumer.door, queue->channel);
    state_set(amqp, queue, QUEUE_OPENING);
}

static void declare(struct amqp_port *amqp, struct amqp_queue *queue) {
    static const char *const types[] = {[AMQP_DECLARE_OFF] = NULL,
                                        [AMQP_DECLARE_CLASSIC] = "classic",
                                        [AMQP_DECLARE_QUORUM] = "quorum"};
    door_declare(&amqp->consumer.door, queue->channel, queue->name,
                 types[amqp->config->amqp_declare], amqp->config->amqp_queue_ttl_ns / NS_PER_MS);
    state_set(amqp, queue, QUEUE_DECLARING);
}

static void consumes(struct amqp_port *amqp, struct amqp_queue *queue) {
    state_set(amqp, queue, QUEUE_CONSUMING);
    queue->tries = 0;
    queue->told = false;
    log_event(LOG_INFO, "amqp_consuming", LOG_STR("queue", queue->name),
              LOG_U64("prefetch", amqp->prefetch));
}

/* The answer to what was asked has come. False: it is the answer to something else. */
static bool answer_take(struct amqp_port *amqp, struct amqp_queue *queue,
                        enum door_event_kind kind) {
    struct door *door = &amqp->consumer.door;
    if (kind == DOOR_CHANNEL_OPEN && queue->state == QUEUE_OPENING) {
        declare(amqp, queue);
    } else if (kind == DOOR_DECLARED && queue->state == QUEUE_DECLARING) {
        door_qos(door, queue->channel, amqp->prefetch);
        state_set(amqp, queue, QUEUE_BOUNDING);
    } else if (kind == DOOR_QOS_SET && queue->state == QUEUE_BOUNDING) {
        door_consume(door, queue->channel, queue->name);
        state_set(amqp, queue, QUEUE_ASKING);
    } else if (kind == DOOR_CONSUMES && queue->state == QUEUE_ASKING) {
        consumes(amqp, queue);
    } else {
        return false;
    }
    return true;
}

static void on_cancelled(struct amqp_port *amqp, struct amqp_queue *queue) {
    if (amqp->leaves) {
        state_set(amqp, queue, QUEUE_LEFT);
        amqp->more = true; /* whoever asked whether it has is to ask again */
        return;
    }
    /* What it gave is settled no more: the queue is gone, or has moved. */
    door_channel_close(&amqp->consumer.door, queue->channel);
    queue_fails(amqp, queue, 0,
                SPAN("the broker has cancelled the consumer: the queue was "
                     "deleted, or has moved to another node of the broker"));
    state_set(amqp, queue, QUEUE_CLOSING);
}

/* --- what comes ------------------------------------------------------------------------------- */

static bool on_delivery(struct amqp_port *amqp, struct amqp_queue *queue,
                        const struct door_event *event) {
    bool expected = queue->state >= QUEUE_ASKING && queue->state <= QUEUE_LEFT;
    if (!expected || queue->coming != NULL || queue->skip_bytes != 0 ||
        event->tag != queue->last_tag + 1) {
        broker_strange(amqp, "it delivers what nobody asked for");
        return true;
    }
    if (!amqp_delivery_begin(amqp, queue, event->tag, event->redelivered))
        return false;
    queue->last_tag = event->tag;
    queue->wants_header = true;
    return true;
}

static bool on_header(struct amqp_port *amqp, struct amqp_queue *queue,
                      const struct door_event *event) {
    struct amqp_delivery *delivery = queue->coming;
    if (!queue->wants_header) {
        broker_strange(amqp, "it sends a content header that belongs to nothing");
        return true;
    }
    /* It is there twice while it is read. What never finds room would stop its queue for good. */
    uint64_t room_bytes = amqp->port.server->budget.ceiling_bytes / 3;
    if (event->body_size > amqp->config->max_body_bytes || event->body_size > room_bytes) {
        log_event(LOG_DEBUG, "amqp_delivery_refused", LOG_STR("queue", queue->name),
                  LOG_STR("code", "too_large"),
                  LOG_STR("problem", "its body is longer than --max-body, or a third of --memory"));
        amqp_delivery_done(amqp, delivery, false);
        queue->coming = NULL;
        queue->skip_bytes = event->body_size;
    } else if (!amqp_delivery_header(amqp, delivery, event->bytes, event->body_size)) {
        return false;
    } else if (event->body_size == 0) {
        queue->coming = NULL;
        amqp_delivery_take(amqp, delivery);
    }
    queue->wants_header = false;
    return true;
}

static void on_body(struct amqp_port *amqp, struct amqp_queue *queue, struct span bytes) {
    struct amqp_delivery *delivery = queue->coming;
    if (delivery == NULL && bytes.len <= queue->skip_bytes) {
        queue->skip_bytes -= bytes.len;
        return;
    }
    if (delivery == NULL || queue->wants_header ||
        bytes.len > delivery->body_len - delivery->body_got) {
        broker_strange(amqp, "it sends a body that belongs to nothing, or is longer than it said");
        return;
    }
    memcpy(delivery->bytes + delivery->header_len + delivery->body_got, bytes.at, bytes.len);
    delivery->body_got += bytes.len;
    if (delivery->body_got == delivery->body_len) {
        queue->coming = NULL;
        amqp_delivery_take(amqp, delivery);
    }
}

bool amqp_queue_event(struct amqp_port *amqp, struct amqp_queue *queue,
                      const struct door_event *event) {
    switch (event->kind) {
    case DOOR_PASSED:
        return true;
    case DOOR_DELIVERY:
        return queue->state == QUEUE_CLOSING || on_delivery(amqp, queue, event);
    case DOOR_HEADER:
        return queue->state == QUEUE_CLOSING || on_header(amqp, queue, event);
    case DOOR_BODY:
        if (queue->state != QUEUE_CLOSING)
            on_body(amqp, queue, event->bytes);
        return true;
    case DOOR_CHANNEL_LOST:
        queue_fails(amqp, queue, event->code, event->text);
        return true;
    case DOOR_CHANNEL_CLOSED:
        if (queue->state == QUEUE_CLOSING)
            state_set(amqp, queue, amqp->leaves ? QUEUE_LEFT : QUEUE_DOWN);
        return true;
    case DOOR_CANCELLED:
        if (queue->state != QUEUE_CLOSING)
            on_cancelled(amqp, queue);
        return true;
    default:
        if (queue->state != QUEUE_CLOSING && !answer_take(amqp, queue, event->kind))
            broker_strange(amqp, "it answers what nobody asked");
        return true;
    }
}

/* --- what the broker is told ------------------------------------------------------------------ */

static void settled(struct amqp_port *amqp, struct amqp_queue *queue,
                    struct amqp_delivery *delivery) {
    enum amqp_settled how = delivery->state == DELIVERY_BAD  ? AMQP_REJECTED
                            : delivery->refused.code != NULL ? AMQP_REFUSED
                                                             : AMQP_ACKNOWLEDGED;
    stats_add(&queue->figures.settled[how], 1);
    stats_sub(&queue->figures.under_way, 1);
    list_remove(&delivery->order);
    list_remove(&delivery->done);
    amqp_delivery_free(amqp, delivery);
}

static bool is_done(const struct list *link) {
    return container_of(link, const struct amqp_delivery, order)->state == DELIVERY_DONE;
}

/* All that are done from the front on: one word for as many as are to be acknowledged. What is
 * rejected was told before. */
static void run_settle(struct amqp_port *amqp, struct amqp_queue *queue) {
    struct list *end = queue->order.next;
    while (end != &queue->order && is_done(end))
        end = end->next;
    if (end == queue->order.next)
        return;
    door_ack(&amqp->consumer.door, queue->channel, delivery_at(end->prev)->tag, true);
    while (queue->order.next != end)
        settled(amqp, queue, delivery_at(queue->order.next));
}

/* Those that cannot wait: what is rejected, and what was done a while ago and is not in the run. */
static void singles_settle(struct amqp_port *amqp, struct amqp_queue *queue) {
    struct door *door = &amqp->consumer.door;
    unsigned written = 0;
    struct list *next;
    for (struct list *at = queue->done.next; at != &queue->done; at = next) {
        struct amqp_delivery *delivery = container_of(at, struct amqp_delivery, done);
        next = at->next;
        bool bad = delivery->state == DELIVERY_BAD;
        if (!bad && amqp->port.now_ns - delivery->settled_ns < STRAGGLE_NS)
            continue;
        if (written++ % SETTLES_AT_ONCE == 0 && !door_takes(door))
            return;
        if (bad)
            door_reject(door, queue->channel, delivery->tag);
        else
            door_ack(door, queue->channel, delivery->tag, false);
        settled(amqp, queue, delivery);
    }
}

void amqp_queue_settle(struct amqp_port *amqp, struct amqp_queue *queue) {
    if (list_empty(&queue->done) || !door_takes(&amqp->consumer.door))
        return;
    singles_settle(amqp, queue);
    run_settle(amqp, queue);
}

uint64_t amqp_queue_due_ns(const struct amqp_queue *queue) {
    uint64_t due_ns = queue->held_due_ns;
    if (!list_empty(&queue->done)) {
        const struct amqp_delivery *first =
            container_of(queue->done.next, struct amqp_delivery, done);
        if (first->settled_ns + STRAGGLE_NS < due_ns)
            due_ns = first->settled_ns + STRAGGLE_NS;
    }
    if (queue->state == QUEUE_DOWN && queue->retry_ns < due_ns)
        due_ns = queue->retry_ns;
    return due_ns;
}
