#include "ingest/amqp/amqp_port.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/config.h"
#include "core/server.h"

#include <stdio.h>

/* What had no memory is tried again after that; and heartbeats are looked after so often. */
#define STALL_NS (10 * NS_PER_MS)
#define BEAT_NS NS_PER_S
#define STALLED_BEAT_NS (3 * NS_PER_S)
/* The clock is read once in so many events. */
#define EVENTS_AT_ONCE 16

/* --- the consuming connection ----------------------------------------------------------------- */

static struct amqp_queue *queue_at(struct amqp_port *amqp, uint16_t channel) {
    return channel == 0 || channel > amqp->queue_count ? NULL : &amqp->queues[channel - 1];
}

/* Whoever was called may have given it up. */
static void lost_look(struct amqp_port *amqp) {
    if (!amqp->was_up || amqp->consumer.is_up)
        return;
    amqp->was_up = amqp->has_event = false;
    stats_add(&amqp->figures.lost, 1);
    for (unsigned i = 0; i < amqp->queue_count; i++) {
        amqp_queue_lost(amqp, &amqp->queues[i]);
        amqp->queues[i].retry_ns = 0;
    }
}

/* False: it could not be taken for want of memory, and comes again. */
static bool event_take(struct amqp_port *amqp, const struct door_event *event) {
    struct amqp_queue *queue = queue_at(amqp, event->channel);
    if (event->kind == DOOR_CAME_UP)
        amqp->was_up = true;
    return queue == NULL || amqp_queue_event(amqp, queue, event);
}

/* Heartbeats are sent by who reads; who does not for a while sends them by itself. */
static void stalled_beat(struct amqp_port *amqp) {
    if (amqp->port.now_ns - amqp->beat_ns < STALLED_BEAT_NS)
        return;
    amqp->beat_ns = amqp->port.now_ns;
    door_beat(&amqp->consumer.door);
}

static void consumer_read(struct amqp_port *amqp) {
    struct amqp_link *link = &amqp->consumer;
    for (unsigned n = 1; link->door.state != DOOR_CLOSED; n++) {
        if (!amqp->has_event)
            amqp_link_next(link, &amqp->event, amqp->port.now_ns);
        if (amqp->event.kind == DOOR_NOTHING || amqp->event.kind == DOOR_LOST)
            return;
        bool again = amqp->has_event;
        amqp->has_event = !event_take(amqp, &amqp->event);
        if (amqp->has_event) {
            stats_add(&amqp->figures.stalled, !again);
            stalled_beat(amqp);
            return;
        }
        if (n % EVENTS_AT_ONCE == 0 && endpoint_slice_over(&amqp->port.endpoint)) {
            amqp->more = true;
            return;
        }
    }
}

static void consumer_step(struct amqp_port *amqp) {
    if (!amqp->leaves)
        amqp_link_step(&amqp->consumer, amqp->port.now_ns);
    consumer_read(amqp);
    for (unsigned i = 0; i < amqp->queue_count && amqp->consumer.is_up; i++)
        amqp_queue_step(amqp, &amqp->queues[i]);
    lost_look(amqp);
}

/* --- the port --------------------------------------------------------------------------------- */

static void degraded_tell(struct amqp_port *amqp) {
    bool good = (amqp->consumer.is_up && amqp_out_is_well(amqp)) || amqp->leaves;
    for (unsigned i = 0; i < amqp->queue_count && !amqp->leaves; i++)
        good = good && amqp->queues[i].state == QUEUE_CONSUMING;
    atomic_store_explicit(&amqp->port.degraded, good ? NULL : "amqp", memory_order_relaxed);
}

static void amqp_turn(struct port *port) {
    struct amqp_port *amqp = amqp_of(port);
    amqp->more = false;
    for (unsigned i = 0; i < amqp->queue_count; i++)
        amqp_delivery_retry(amqp, &amqp->queues[i]);
    consumer_step(amqp);
    for (unsigned i = 0; i < amqp->queue_count && amqp->consumer.is_up; i++)
        amqp_queue_settle(amqp, &amqp->queues[i]);
    amqp_results_work(amqp);
    amqp_out_step(amqp);
    stats_set(&amqp->figures.connected, amqp->consumer.is_up && amqp->out.link.is_up);
    degraded_tell(amqp);
    amqp_books_write(amqp);
}

static uint64_t due_ns(const struct amqp_port *amqp, uint64_t now_ns) {
    uint64_t due_ns = now_ns + (amqp->has_event ? STALL_NS : BEAT_NS);
    if (amqp->more)
        return now_ns;
    for (unsigned i = 0; i < amqp->queue_count; i++) {
        uint64_t own_ns = amqp_queue_due_ns(&amqp->queues[i]);
        due_ns = own_ns < due_ns && amqp->consumer.is_up ? own_ns : due_ns;
    }
    uint64_t link_ns = amqp_link_due_ns(&amqp->consumer), out_ns = amqp_out_due_ns(amqp);
    if (amqp->leaves)
        return due_ns;
    due_ns = link_ns < due_ns ? link_ns : due_ns;
    return out_ns < due_ns ? out_ns : due_ns;
}

static void amqp_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    struct amqp_port *amqp = amqp_of(port);
    /* What has no memory is not read, so that it being there is no news. */
    struct door *const doors[] = {&amqp->out.link.door, &amqp->consumer.door};
    uint64_t now_ns = clock_ns(), at_ns = due_ns(amqp, now_ns);
    if (port->stopped || server_phase(port->server) < PHASE_RUNNING) {
        net_wake_wait(wake_fd, wait_ns);
        return;
    }
    uint64_t until_ns = at_ns <= now_ns ? 0 : at_ns - now_ns;
    door_wait(doors, amqp->has_event ? 1 : 2, wake_fd, until_ns < wait_ns ? until_ns : wait_ns);
    net_wake_clear(wake_fd);
}

static bool amqp_open(struct port *port, char *problem, size_t problem_cap) {
    struct amqp_port *amqp = amqp_of(port);
    char why[DOOR_WHY_BYTES];
    if (!door_load(problem, problem_cap))
        return false;
    for (unsigned i = 0; i < amqp->broker.place_count; i++) {
        struct door_place *place = &amqp->broker.places[i];
        if (!door_resolve(place, why, sizeof(why))) {
            snprintf(problem, problem_cap, "--amqp %s: its host is not found (%s)", place->text,
                     why);
            return false;
        }
        amqp->broker.addresses += place->address_count;
    }
    amqp->share_bytes = port->server->budget.ceiling_bytes / AMQP_SHARE;
    held_set_init(&amqp->held, &port->account);
    if (amqp->config->amqp_results != NULL && !fates_feed(&port->server->fates, port->index)) {
        snprintf(problem, problem_cap, "no memory for --amqp-results");
        return false;
    }
    return true;
}

/* Nothing more is asked for; what is under way gets its answer, and the broker is told. */
static bool amqp_refuse(struct port *port) {
    struct amqp_port *amqp = amqp_of(port);
    bool all_left = true;
    if (!amqp->leaves) {
        amqp->leaves = true;
        amqp->leaves_ns = port->now_ns;
        for (unsigned i = 0; i < amqp->queue_count; i++) {
            struct amqp_queue *queue = &amqp->queues[i];
            if (queue->state != QUEUE_CONSUMING || !door_takes(&amqp->consumer.door)) {
                queue->state = QUEUE_LEFT;
                continue;
            }
            door_cancel(&amqp->consumer.door, queue->channel);
            queue->state = QUEUE_LEAVING;
            queue->asked_ns = port->now_ns;
        }
    }
    for (unsigned i = 0; i < amqp->queue_count; i++)
        all_left = all_left && amqp->queues[i].state == QUEUE_LEFT;
    return (all_left && amqp->at_gate == 0 && amqp_out_is_empty(amqp)) ||
           port->now_ns - amqp->leaves_ns >= AMQP_LEAVE_NS;
}

/* What is not settled goes back to its queue with the connection. */
static bool amqp_close(struct port *port) {
    struct amqp_port *amqp = amqp_of(port);
    if (amqp->consumer.is_up && door_takes(&amqp->consumer.door)) {
        for (unsigned i = 0; i < amqp->queue_count; i++)
            amqp_queue_settle(amqp, &amqp->queues[i]);
        door_leave(&amqp->consumer.door);
    }
    if (amqp->out.link.is_up && door_takes(&amqp->out.link.door))
        door_leave(&amqp->out.link.door);
    door_close(&amqp->consumer.door);
    door_close(&amqp->out.link.door);
    amqp->consumer.is_up = amqp->out.link.is_up = false;
    return true;
}

static void amqp_stop(struct port *port) {
    struct amqp_port *amqp = amqp_of(port);
    door_close(&amqp->consumer.door);
    amqp->leaves = true;
    for (unsigned i = 0; i < amqp->queue_count; i++)
        amqp_queue_lost(amqp, &amqp->queues[i]);
    amqp_replies_stop(amqp);
    amqp_out_stop(amqp);
    if (amqp->room != NULL)
        memory_put(&port->account, amqp->room, amqp->room_cap);
    amqp->room = NULL;
    amqp->room_cap = 0;
    stats_set(&amqp->figures.connected, 0);
    if (amqp->held.account != NULL)
        held_set_fini(&amqp->held);
    if (amqp->at_gate == 0) /* else what the gate answers last does that */
        pool_fini(&amqp->delivery_pool);
}

bool amqp_looks_up(const struct config *config) {
    return amqp_url_any_tls(config->amqp, config->amqp_count);
}

void amqp_port_init(struct amqp_port *amqp, const struct config *config) {
    static const struct port_type type = {.name = "amqp",
                                          .stack_bytes = DOOR_STACK_BYTES,
                                          .open = amqp_open,
                                          .turn = amqp_turn,
                                          .wait = amqp_wait,
                                          .refuse = amqp_refuse,
                                          .close = amqp_close,
                                          .books = amqp_books_read,
                                          .stop = amqp_stop};
    memset(amqp, 0, sizeof(*amqp));
    port_init(&amqp->port, &type);
    amqp->config = config;
    amqp->prefetch = (uint16_t)config->amqp_prefetch;
    amqp->settle_acked = config->amqp_settle == AMQP_SETTLE_ACKED;
    for (unsigned i = 0; i < config->amqp_count; i++) {
        struct door_place *place = &amqp->broker.places[amqp->broker.place_count++];
        struct builder out = builder_over(place->text, sizeof(place->text) - 1);
        CHECK(amqp_url_parse(span_text(config->amqp[i]), &place->url) == NULL, "its URL is none");
        amqp_url_write(&out, &place->url);
    }
    amqp->queue_count = config->amqp_queue_count;
    for (unsigned i = 0; i < amqp->queue_count; i++)
        amqp_queue_init(&amqp->queues[i], config->amqp_queues[i], (uint16_t)(i + 1));
    struct door_self self = {.name = config->node,
                             .ca_file = config->amqp_ca,
                             .cert_file = config->amqp_cert,
                             .key_file = config->amqp_key,
                             .channels = amqp->queue_count};
    amqp_link_init(&amqp->consumer, &amqp->broker, "consumes",
                   "nothing comes from the queues, and they keep what they have", &self);
    amqp_out_init(amqp, &self);
    list_init(&amqp->replies);
    pool_init(&amqp->delivery_pool, sizeof(struct amqp_delivery));
    gate_source_init(&amqp->source, NULL, amqp_delivery_on_result, NULL);
    amqp->source.standing = ASKS_MUCH;
    amqp_figures_init(amqp);
    atomic_store_explicit(&amqp->port.degraded, "amqp", memory_order_relaxed);
}
