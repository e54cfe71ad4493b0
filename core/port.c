#include "core/port.h"

#include "core/call.h"
#include "core/delivery.h"
#include "core/hub.h"
#include "core/keeper.h"
#include "core/server.h"

/* What waits for room in a mailbox is tried again after so long. */
#define ROOM_LOOK_NS NS_PER_MS

static struct port *port_of(struct endpoint *endpoint) {
    CHECK(!endpoint->is_worker, "endpoint %u is a worker", endpoint->index);
    return (struct port *)(void *)endpoint;
}

void port_init(struct port *port, const struct port_type *type) {
    memset(port, 0, sizeof(*port));
    port->type = type;
}

static void on_deliver(struct endpoint *endpoint, const struct mail *mail) {
    struct port *port = port_of(endpoint);
    if (port->type->deliver != NULL && !port->stopped) {
        port->type->deliver(port, mail->object, mail);
        return;
    }
    message_release(endpoint, mail->object);
    port_answer(port, mail, 0, ANSWER_UNAVAILABLE);
}

void port_on_hand(struct endpoint *endpoint, const struct mail *mail) {
    struct port *port = port_of(endpoint);
    if (port->type->hand != NULL && !port->stopped)
        port->type->hand(port, mail->object, mail);
    else
        message_release(endpoint, mail->object);
}

void port_on_call(struct endpoint *endpoint, struct call *call) {
    struct port *port = port_of(endpoint);
    if (port->type->call != NULL && !port->stopped) {
        port->type->call(port, call);
        return;
    }
    call->parts[endpoint->server->worker_count].missing = true;
    call_part_done(endpoint, call);
}

void port_on_called(struct endpoint *endpoint, struct call *call) {
    struct port *port = port_of(endpoint);
    port->type->called(port, call);
}

void port_on_relay(struct endpoint *endpoint, struct relay *relay) {
    struct port *port = port_of(endpoint);
    port->type->relay(port, relay);
}

bool port_open(struct port *port, struct server *server, unsigned index) {
    CHECK(index >= server->worker_count && index < server->post.endpoints, "port %u", index);
    port->on_deliver = on_deliver;
    return endpoint_open(&port->endpoint, server, index);
}

void port_answer(struct port *port, const struct mail *request, uint32_t recipients,
                 unsigned flags) {
    hub_answer(&port->endpoint, request, recipients, flags, false);
}

static void hear(const struct port *port, _Atomic uint64_t *set, bool hears) {
    uint64_t bit = UINT64_C(1) << port->index;
    if (hears)
        atomic_fetch_or_explicit(set, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(set, ~bit, memory_order_relaxed);
}

void port_hear_broadcasts(struct port *port, bool hears) {
    hear(port, &port->server->broadcast_set, hears);
}

void port_hear_everything(struct port *port, bool hears) {
    hear(port, &port->server->everything_set, hears);
}

/* --- the turn --------------------------------------------------------------------------------- */

static uint64_t wait_for(const struct port *port, uint64_t wait_ns) {
    if (port->mail_left)
        return 0;
    if ((keeper_decisions_wait(&port->endpoint) || relays_wait(&port->relays)) &&
        wait_ns > ROOM_LOOK_NS)
        wait_ns = ROOM_LOOK_NS;
    return endpoint_wait_ns(&port->endpoint, wait_ns, CLOCK_NEVER);
}

static void port_wait(struct port *port, uint64_t wait_ns) {
    int wake_fd = port->server->post.boxes[port->index].wake_fd;
    bool sleeps = wait_ns != 0 && post_may_sleep(&port->endpoint);
    if (!sleeps)
        wait_ns = 0;
    if (port->type->wait != NULL)
        port->type->wait(port, wake_fd, wait_ns);
    else if (sleeps)
        net_wake_wait(wake_fd, wait_ns);
    if (sleeps) {
        stats_add(&port->stats.sleeps, 1);
        post_awake(&port->endpoint);
    }
}

/* Is what this phase asks of the port done? What it was sent and has not answered is not waited
 * for here: its publishers go on without it. */
static bool phase_done(struct port *port, enum server_phase phase) {
    if (phase == PHASE_REFUSING)
        return (port->type->refuse == NULL || port->type->refuse(port)) && port->publishing == 0;
    if (phase == PHASE_CLOSING)
        return port->type->close == NULL || port->type->close(port);
    return phase != PHASE_STOPPED ||
           (port->stopped && port->requests == 0 && port->relays.away == 0);
}

static void phase_follow(struct port *port) {
    enum server_phase phase = server_phase(port->server);
    if (phase >= PHASE_CLOSING)
        store_give_up(&port->endpoint);
    /* What was sent to it before is taken first. */
    if (phase == PHASE_STOPPED && !port->stopped && !port->mail_left) {
        port->stopped = true;
        port_hear_broadcasts(port, false);
        port_hear_everything(port, false);
        if (port->type->stop != NULL)
            port->type->stop(port);
    }
    if (phase > PHASE_RUNNING &&
        atomic_load_explicit(&port->phase, memory_order_relaxed) != phase &&
        phase_done(port, phase)) {
        atomic_store_explicit(&port->phase, phase, memory_order_release);
        if (phase == PHASE_STOPPED)
            server_nudge(port->server);
    }
}

static void slices_give(struct port *port, unsigned slices) {
    port->slice_until_ns = clock_ns() + slices * port->slice_ns;
}

/* What comes from outside; not before all are there to answer. */
static void outside_look(struct port *port) {
    if (port->type->turn == NULL || port->stopped || server_phase(port->server) < PHASE_RUNNING)
        return;
    post_wake_all(&port->endpoint); /* before it takes its time */
    slices_give(port, WORK_SLICES);
    port->type->turn(port);
}

bool port_turn(struct port *port, uint64_t wait_ns) {
    struct endpoint *endpoint = &port->endpoint;
    port_wait(port, wait_for(port, wait_ns));
    endpoint_turn_begin(endpoint);
    atomic_store_explicit(&port->turn_ns, endpoint->now_ns, memory_order_relaxed);
    slices_give(port, MAIL_SLICES);
    port->mail_left = post_receive(endpoint);
    endpoint_nudges_take(endpoint);
    slices_give(port, 1);
    if (keeper_decisions_wait(endpoint))
        keeper_decisions_work(endpoint);
    if (relays_wait(&port->relays))
        relays_work(endpoint);
    wheel_advance(&endpoint->wheel, endpoint, endpoint->now_ns);
    phase_follow(port);
    outside_look(port);
    post_wake_all(endpoint);
    endpoint_messages_return(endpoint);
    post_wake_all(endpoint);
    stats_add(&port->stats.turns, 1);
    stats_set(&port->stats.memory_bytes, port->account.used_bytes);
    atomic_store_explicit(&port->turn_ns, 0, memory_order_relaxed);
    return !server_through(port->server, PHASE_STOPPED);
}

void port_fini(struct port *port) {
    endpoint_fini(&port->endpoint);
}
