#include "ingest/amqp/amqp_out.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/config.h"
#include "core/server.h"
#include "ingest/amqp/amqp_port.h"

#define CHANNEL 1
#define OUT_ANSWER_NS (10 * NS_PER_S)
#define OUT_RETRY_MIN_NS (200 * NS_PER_MS)
#define OUT_RETRY_MAX_NS (10 * NS_PER_S)
#define EVENTS_AT_ONCE 16
#define LETTERS_AT_ONCE 64

struct amqp_letter {
    struct list link; /* in `letters` or `unconfirmed` */
    uint64_t tag;
    const char *exchange; /* NULL: a queue */
    uint32_t key_len, header_len, body_len;
    size_t block_bytes;
    char bytes[]; /* routing key, header, body */
};

static struct amqp_letter *letter_at(struct list *link) {
    return container_of(link, struct amqp_letter, link);
}

static struct amqp_delivery *delivery_at(struct list *link) {
    return container_of(link, struct amqp_delivery, done);
}

void amqp_out_init(struct amqp_port *amqp, const struct door_self *self) {
    struct amqp_out *out = &amqp->out;
    amqp_link_init(&out->link, &amqp->broker, "publishes",
                   "answers and outcomes wait, and refused messages stay unacknowledged", self);
    out->link.self.channels = CHANNEL;
    list_init(&out->leaving);
    list_init(&out->letters);
    list_init(&out->unconfirmed);
}

/* --- letters ---------------------------------------------------------------------------------- */

static void letter_free(struct amqp_port *amqp, struct amqp_letter *letter) {
    list_remove(&letter->link);
    amqp->out.letter_count--;
    amqp->out.letter_bytes -= letter->block_bytes;
    memory_put(&amqp->port.account, letter, letter->block_bytes);
}

static void letter_drop(struct amqp_port *amqp, struct amqp_letter *letter) {
    stats_add(letter->exchange == NULL ? &amqp->figures.replies_dropped
                                       : &amqp->figures.results_dropped,
              1);
    letter_free(amqp, letter);
}

struct amqp_letter *amqp_out_letter(struct amqp_port *amqp, const char *exchange,
                                    struct span routing_key, const struct amqp_answer *answer,
                                    size_t bytes, struct builder *out) {
    char header_bytes[AMQP_ANSWER_BYTES];
    struct builder header = builder_over(header_bytes, sizeof(header_bytes));
    struct amqp_letter *letter = NULL;
    amqp_answer_write(&header, answer);
    size_t block = sizeof(*letter) + routing_key.len + header.len + bytes;
    if (!SHORTAGE(amqp->out.letter_count >= LETTERS_MAX ||
                  amqp->out.letter_bytes + block >
                      amqp->port.server->budget.ceiling_bytes / LETTERS_SHARE))
        letter = memory_get(&amqp->port.account, block);
    if (SHORTAGE(letter == NULL)) {
        stats_add(
            exchange == NULL ? &amqp->figures.replies_dropped : &amqp->figures.results_dropped, 1);
        return NULL;
    }
    *letter = (struct amqp_letter){.exchange = exchange,
                                   .key_len = (uint32_t)routing_key.len,
                                   .header_len = (uint32_t)header.len,
                                   .block_bytes = block};
    memcpy(letter->bytes, routing_key.at, routing_key.len);
    memcpy(letter->bytes + routing_key.len, header.at, header.len);
    *out = builder_over(letter->bytes + routing_key.len + header.len, bytes);
    amqp->out.letter_count++;
    amqp->out.letter_bytes += block;
    return letter;
}

/* The room for what was not written goes back. */
static struct amqp_letter *letter_fit(struct amqp_port *amqp, struct amqp_letter *letter) {
    size_t bytes = sizeof(*letter) + letter->key_len + letter->header_len + letter->body_len;
    struct amqp_letter *fitting = memory_get(&amqp->port.account, bytes);
    if (SHORTAGE(fitting == NULL))
        return letter;
    memcpy(fitting, letter, bytes);
    amqp->out.letter_bytes -= letter->block_bytes - bytes;
    memory_put(&amqp->port.account, letter, letter->block_bytes);
    fitting->block_bytes = bytes;
    return fitting;
}

void amqp_out_put(struct amqp_port *amqp, struct amqp_letter *letter, const struct builder *out) {
    CHECK(!out->full, "a letter is longer than it was said to be");
    letter->body_len = (uint32_t)out->len;
    letter = letter_fit(amqp, letter);
    list_add_tail(&amqp->out.letters, &letter->link);
    amqp->more = true;
}

static void letters_send(struct amqp_port *amqp) {
    struct amqp_out *out = &amqp->out;
    for (unsigned n = 0; !list_empty(&out->letters) && !amqp->out.blocked &&
                         out->unconfirmed_count < LETTERS_UNCONFIRMED;
         n++) {
        struct amqp_letter *letter = letter_at(out->letters.next);
        const char *header = letter->bytes + letter->key_len;
        const char *exchange = letter->exchange == NULL ? "" : letter->exchange;
        struct door_letter sent = {.exchange = span_text(exchange),
                                   .routing_key = span_of(letter->bytes, letter->key_len),
                                   .header = span_of(header, letter->header_len),
                                   .body = span_of(header + letter->header_len, letter->body_len),
                                   .mandatory = letter->exchange == NULL};
        if ((n % LETTERS_AT_ONCE == 0 && !door_takes(&out->link.door)) ||
            !door_publish(&out->link.door, CHANNEL, &sent))
            return;
        letter->tag = ++out->tag;
        list_remove(&letter->link);
        list_add_tail(&out->unconfirmed, &letter->link);
        out->unconfirmed_count++;
    }
}

/* --- refused deliveries ----------------------------------------------------------------------- */

static void leave_fails(struct amqp_port *amqp, const char *why) {
    struct amqp_out *out = &amqp->out;
    out->leaving_tag = 0;
    out->leave_ns = amqp->port.now_ns +
                    amqp_link_wait_ns(out->leave_tries++, OUT_RETRY_MIN_NS, OUT_RETRY_MAX_NS);
    if (out->told)
        return;
    out->told = true;
    log_event(LOG_WARN, "amqp_refused_waits", LOG_STR("exchange", amqp->config->amqp_refused),
              LOG_STR("problem", why),
              LOG_STR("meaning", "refused messages stay unacknowledged in their queues"),
              LOG_STR("remedy", "create the exchange of --amqp-refused, and bind a queue to it"));
}

void amqp_out_leave(struct amqp_port *amqp, struct amqp_delivery *delivery) {
    delivery->state = DELIVERY_LEAVING;
    list_add_tail(&amqp->out.leaving, &delivery->done);
    amqp->more = true;
}

void amqp_out_forget(struct amqp_port *amqp, struct amqp_delivery *delivery) {
    if (amqp->out.leaving.next == &delivery->done)
        amqp->out.leaving_tag = 0;
    list_remove(&delivery->done);
}

static void leaving_send(struct amqp_port *amqp) {
    struct amqp_out *out = &amqp->out;
    if (list_empty(&out->leaving) || out->leaving_tag != 0 || out->blocked ||
        amqp->port.now_ns < out->leave_ns || !door_takes(&out->link.door))
        return;
    struct amqp_delivery *delivery = delivery_at(out->leaving.next);
    const struct amqp_refused *refused = &delivery->refused;
    struct amqp_refusal refusal = {
        .code = span_text(refused->code),
        .text = span_text(refused->complaint != NULL ? refused->complaint->text : refused->code),
        .field = span_text(refused->complaint != NULL ? refused->complaint->field : ""),
        .queue = span_text(delivery->queue->name),
        .has_offset = refused->complaint != NULL && refused->complaint->code == CODE_BAD_JSON,
        .offset = refused->complaint != NULL ? refused->complaint->offset : 0,
        .time_s = refused->wall_ms / 1000};
    struct span raw = span_of(delivery->bytes, delivery->header_len);
    size_t cap = raw.len + AMQP_REFUSAL_BYTES;
    char *room = memory_get(&amqp->port.account, cap);
    if (SHORTAGE(room == NULL)) {
        out->leave_ns = amqp->port.now_ns + OUT_RETRY_MIN_NS;
        return;
    }
    struct builder header = builder_over(room, cap);
    amqp_refusal_write(&header, raw, &refusal, true);
    if (header.len > door_header_max(&out->link.door)) {
        header = builder_over(room, cap);
        amqp_refusal_write(&header, raw, &refusal, false);
    }
    struct door_letter sent = {
        .exchange = span_text(amqp->config->amqp_refused),
        .routing_key = span_text(delivery->queue->name),
        .header = builder_span(&header),
        .body = span_of(delivery->bytes + delivery->header_len, delivery->body_len),
        .mandatory = true};
    out->returned = false;
    if (door_publish(&out->link.door, CHANNEL, &sent))
        out->leaving_tag = ++out->tag;
    else if (!out->link.door.broke) /* nobody can say that in a header */
        amqp_delivery_left(amqp, delivery, false);
    memory_put(&amqp->port.account, room, cap);
}

/* The broker has decided about the one that is under way. */
static void leaving_decided(struct amqp_port *amqp, bool good) {
    struct amqp_out *out = &amqp->out;
    if (!good || out->returned) {
        leave_fails(amqp, out->returned ? "it comes back, since no queue is bound to the exchange"
                                        : "the broker could not keep it");
        return;
    }
    out->leaving_tag = out->leave_ns = 0;
    out->leave_tries = 0;
    out->told = false;
    amqp_delivery_left(amqp, delivery_at(out->leaving.next), true);
}

/* --- what the broker says --------------------------------------------------------------------- */

static void confirmed(struct amqp_port *amqp, const struct door_event *event, bool good) {
    struct amqp_out *out = &amqp->out;
    struct list *next;
    for (struct list *at = out->unconfirmed.next; at != &out->unconfirmed; at = next) {
        struct amqp_letter *letter = letter_at(at);
        next = at->next;
        if (letter->tag > event->tag)
            break;
        if (letter->tag != event->tag && !event->multiple)
            continue;
        out->unconfirmed_count--;
        stats_add(letter->exchange == NULL ? &amqp->figures.replies : &amqp->figures.results, good);
        if (good)
            letter_free(amqp, letter);
        else
            letter_drop(amqp, letter);
    }
    if (out->leaving_tag != 0 &&
        (event->tag == out->leaving_tag || (event->multiple && event->tag > out->leaving_tag)))
        leaving_decided(amqp, good);
}

/* The channel is gone: outcomes are sent again, answers are not. */
static void channel_lost(struct amqp_port *amqp, const char *why) {
    struct amqp_out *out = &amqp->out;
    while (!list_empty(&out->unconfirmed)) {
        struct amqp_letter *letter = letter_at(out->unconfirmed.prev);
        out->unconfirmed_count--;
        if (letter->exchange == NULL) {
            letter_drop(amqp, letter);
            continue;
        }
        list_remove(&letter->link);
        list_add_head(&out->letters, &letter->link);
    }
    if (out->leaving_tag != 0)
        leave_fails(amqp, why);
    out->state = OUT_DOWN;
    out->tag = out->skip_bytes = 0;
    out->blocked = false;
}

static void on_channel_lost(struct amqp_port *amqp, const struct door_event *event) {
    struct amqp_out *out = &amqp->out;
    char why[DOOR_WHY_BYTES];
    struct builder text = builder_over(why, sizeof(why) - 1);
    builder_span_add(&text, event->text);
    why[text.len] = '\0';
    log_event(LOG_WARN, "amqp_publish_lost", LOG_U64("code", event->code), LOG_STR("problem", why),
              LOG_STR("remedy",
                      "create the exchanges of --amqp-refused and --amqp-results, and let "
                      "the user of --amqp write to them"));
    channel_lost(amqp, why);
    out->retry_ns =
        amqp->port.now_ns + amqp_link_wait_ns(out->tries++, OUT_RETRY_MIN_NS, OUT_RETRY_MAX_NS);
}

static void blocked_set(struct amqp_port *amqp, bool blocked, struct span why) {
    amqp->out.blocked = blocked;
    if (blocked)
        log_event(LOG_WARN, "amqp_blocked", LOG_SPAN("problem", why),
                  LOG_STR("meaning", "the broker is in alarm and takes nothing that is published; "
                                     "it still gives, and is told what is settled"),
                  LOG_STR("remedy", "look at the broker's memory and disk"));
    else
        log_event(LOG_INFO, "amqp_unblocked");
}

static void event_take(struct amqp_port *amqp, const struct door_event *event) {
    struct amqp_out *out = &amqp->out;
    switch (event->kind) {
    case DOOR_CAME_UP:
        out->was_up = true;
        out->retry_ns = 0;
        break;
    case DOOR_CHANNEL_OPEN:
        door_confirm(&out->link.door, CHANNEL);
        out->state = OUT_CONFIRMING;
        out->asked_ns = amqp->port.now_ns;
        break;
    case DOOR_CONFIRMS:
        out->state = OUT_READY;
        break;
    case DOOR_CHANNEL_LOST:
        on_channel_lost(amqp, event);
        break;
    case DOOR_RETURN:
        if (event->text.len == 0)
            stats_add(&amqp->figures.replies_untaken, 1);
        else if (amqp->config->amqp_refused != NULL &&
                 span_equal(event->text, span_text(amqp->config->amqp_refused)))
            out->returned = true;
        break;
    case DOOR_ACK:
    case DOOR_NACK:
        out->tries = 0;
        confirmed(amqp, event, event->kind == DOOR_ACK);
        break;
    case DOOR_BLOCKED:
    case DOOR_UNBLOCKED:
        blocked_set(amqp, event->kind == DOOR_BLOCKED, event->text);
        break;
    default: /* what came back is passed over */
        break;
    }
}

static void out_read(struct amqp_port *amqp) {
    struct amqp_out *out = &amqp->out;
    struct door_event event;
    for (unsigned n = 1; out->link.door.state != DOOR_CLOSED; n++) {
        amqp_link_next(&out->link, &event, amqp->port.now_ns);
        if (event.kind == DOOR_NOTHING || event.kind == DOOR_LOST)
            return;
        event_take(amqp, &event);
        if (n % EVENTS_AT_ONCE == 0 && endpoint_slice_over(&amqp->port.endpoint)) {
            amqp->more = true;
            return;
        }
    }
}

void amqp_out_step(struct amqp_port *amqp) {
    struct amqp_out *out = &amqp->out;
    uint64_t now_ns = amqp->port.now_ns;
    if (!amqp->leaves)
        amqp_link_step(&out->link, now_ns);
    out_read(amqp);
    bool waits = out->state == OUT_OPENING || out->state == OUT_CONFIRMING;
    if (out->link.is_up && waits && now_ns - out->asked_ns >= OUT_ANSWER_NS)
        amqp_link_lose(&out->link, now_ns, "it does not answer within 10 s");
    if (out->was_up && !out->link.is_up) {
        out->was_up = false;
        stats_add(&amqp->figures.lost, 1);
        channel_lost(amqp, "the connection was lost");
    }
    if (out->link.is_up && out->state == OUT_DOWN && now_ns >= out->retry_ns &&
        door_takes(&out->link.door)) {
        door_channel_open(&out->link.door, CHANNEL);
        out->state = OUT_OPENING;
        out->asked_ns = now_ns;
    }
    if (out->state != OUT_READY)
        return;
    leaving_send(amqp);
    letters_send(amqp);
}

uint64_t amqp_out_due_ns(const struct amqp_port *amqp) {
    const struct amqp_out *out = &amqp->out;
    uint64_t due_ns = amqp_link_due_ns(&out->link);
    if (out->link.is_up && out->state == OUT_DOWN && out->retry_ns < due_ns)
        due_ns = out->retry_ns;
    if (out->state == OUT_READY && !list_empty(&out->leaving) && out->leaving_tag == 0 &&
        !out->blocked && out->leave_ns < due_ns)
        due_ns = out->leave_ns;
    return due_ns;
}

bool amqp_out_is_well(const struct amqp_port *amqp) {
    const struct amqp_out *out = &amqp->out;
    return out->state == OUT_READY && out->leave_tries == 0 &&
           (!out->blocked || list_empty(&out->leaving));
}

bool amqp_out_is_empty(const struct amqp_port *amqp) {
    const struct amqp_out *out = &amqp->out;
    return out->state != OUT_READY || out->blocked ||
           (out->letter_count == 0 && (list_empty(&out->leaving) || out->leave_tries != 0));
}

void amqp_out_stop(struct amqp_port *amqp) {
    struct amqp_out *out = &amqp->out;
    door_close(&out->link.door);
    out->link.is_up = false;
    while (!list_empty(&out->unconfirmed))
        letter_drop(amqp, letter_at(out->unconfirmed.next));
    while (!list_empty(&out->letters))
        letter_drop(amqp, letter_at(out->letters.next));
}
