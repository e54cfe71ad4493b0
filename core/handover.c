#include "core/handover.h"

#include "core/arrival.h"
#include "core/balance.h"
#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/kept_input.h"
#include "core/server.h"
#include "core/slots.h"
#include "core/tag.h"

#include <stdlib.h>

/* A connection on its way. */
struct handover {
    struct peer_address peer;
    uint8_t listener;
    bool proxied, address_held, late;
    const struct protocol *protocol;
    uint32_t input_len;
    char input[]; /* blocks of an account are for its own thread, so this is a copy */
};

/* The protocol lets go of it. */
static void protocol_leave(struct worker *worker, struct connection *connection) {
    const struct protocol *protocol = connection->protocol;
    if (protocol->on_leave != NULL)
        protocol->on_leave(worker, connection);
    CHECK(connection->state == CONNECTION_OPEN && connection->publishes == 0,
          "%s leaves a connection in state %u with %u publishes", protocol->name, connection->state,
          connection->publishes);
    timer_disarm(&worker->wheel, &connection->timer);
    connection->intake = NULL;
}

void connection_become(struct worker *worker, struct connection *connection,
                       const struct protocol *protocol) {
    CHECK(connection->state == CONNECTION_OPEN && !connection->proxy_header &&
              connection->moving == 0,
          "a connection in state %u becomes %s", connection->state, protocol->name);
    protocol_leave(worker, connection);
    if (!FAULT(STATE_KEPT))
        memset(connection->protocol_state, 0, sizeof(connection->protocol_state));
    bool drains = connection->drain_told;
    connection->protocol = protocol;
    connection->paused = connection->deaf = false;
    connection->end_told = connection->drain_told = false;
    protocol->on_open(worker, connection);
    if (drains)
        connection_drain(worker, connection);
    connection_look_again(worker, connection);
}

void connection_hand_over(struct worker *worker, struct connection *connection, unsigned to) {
    CHECK(connection->state == CONNECTION_OPEN && !connection->proxy_header &&
              connection->moving == 0 && to < worker->server->worker_count && to != worker->index,
          "worker %u hands a connection in state %u over to %u", worker->index, connection->state,
          to);
    connection->moving = (uint8_t)(to + 1);
    connection_receive_stop(worker, connection);
    connection_look_again(worker, connection);
}

/* --- here ------------------------------------------------------------------------------------- */

static void stay(struct worker *worker, struct connection *connection) {
    stats_add(&worker->stats.moves_failed, 1);
    connection->moving = 0;
    connection_look_again(worker, connection);
    if (connection->protocol->on_stayed != NULL)
        connection->protocol->on_stayed(worker, connection);
    else
        connection_close(worker, connection, CLOSE_OVERLOADED);
}

/* What is to be mailed; NULL: no room or memory, nothing has happened. */
static struct handover *handover_make(struct worker *worker, struct connection *connection) {
    if (SHORTAGE(!post_room(&worker->server->post, worker->index, connection->moving - 1u)))
        return NULL;
    uint32_t len = FAULT(MOVED_WITHOUT_INPUT) ? 0 : connection->input_len;
    struct handover *handover = malloc(sizeof(*handover) + len);
    if (SHORTAGE(handover == NULL))
        return NULL;
    *handover = (struct handover){.peer = connection->peer,
                                  .listener = connection->listener,
                                  .proxied = connection->proxied,
                                  .address_held = connection->address_held,
                                  .late = connection->late,
                                  .protocol = connection->protocol,
                                  .input_len = len};
    if (len != 0)
        memcpy(handover->input, connection->input, len);
    input_free(worker, connection);
    account_force(&worker->account, len);
    account_send(&worker->account, len);
    return handover;
}

/* `fd` is the socket's, or one more for it. The slot is free afterwards, unless it stays. */
static void handover_go(struct worker *worker, struct connection *connection, int fd) {
    struct handover *handover = handover_make(worker, connection);
    if (handover == NULL) {
        if (fd != connection->socket)
            net_close(fd);
        stay(worker, connection);
        return;
    }
    protocol_leave(worker, connection);
    ring_let_go(worker->ring, connection->socket);
    post_send(&worker->endpoint, connection->moving - 1u,
              &(struct mail){.kind = MAIL_MOVE, .number = (uint32_t)fd, .object = handover});
    balance_leave(worker, connection);
    stats_sub(&worker->stats.connections, 1);
    worker->slots.live_api -= worker->listeners.at[connection->listener].kind == LISTENER_API;
    worker->slots.live_late -= connection->late;
    outbox_undirty(worker, connection);
    list_remove(&connection->resume_link);
    connection->socket = -1;
    connection->address_held = false; /* it is still counted */
    slot_put(worker, connection);
}

static bool is_still(const struct connection *connection) {
    bool flies = connection->ops != 0 && !FAULT(MOVED_TOO_EARLY);
    return !flies && outbox_empty(&connection->outbox) && connection->publishes == 0;
}

void handover_step(struct worker *worker, struct connection *connection) {
    connection_receive_stop(worker, connection);
    connection_unwatch(worker, connection);
    if (!is_still(connection))
        return; /* what it waits for calls again when it ends */
    if (!ring_is_kept(connection->socket)) {
        handover_go(worker, connection, connection->socket);
        return;
    }
    connection->ops |= OP_SHUTDOWN;
    ring_lend_descriptor(worker->ring, tag_make(TAG_LEND, connection->generation, connection->slot),
                         connection->socket);
}

void handover_on_lent(struct worker *worker, struct connection *connection, int32_t result) {
    if (SHORTAGE(result < 0)) {
        stay(worker, connection);
    } else if (is_still(connection)) {
        handover_go(worker, connection, result);
    } else {
        /* Something was written meanwhile; there will be another one. */
        net_close(result);
        connection_look_again(worker, connection);
    }
}

/* --- there ------------------------------------------------------------------------------------ */

static void handover_lose(struct worker *worker, struct handover *handover,
                          enum close_reason reason) {
    stats_add(&worker->stats.moves_failed, 1);
    stats_add(&worker->stats.closed[reason], 1);
    log_event(LOG_WARN, "move_failed", LOG_STR("reason", close_reason_word(reason)),
              LOG_U64("worker", worker->index));
    budget_give(&worker->server->budget, handover->input_len);
    arrival_leave(worker, &handover->peer, handover->address_held);
}

/* NULL: there is no room for it, or its time is over. */
static struct connection *connection_place(struct worker *worker, const struct handover *handover,
                                           enum close_reason *reason) {
    struct listener *listener = &worker->listeners.at[handover->listener];
    enum refuse_reason why;
    *reason = CLOSE_STOPPED;
    if (server_phase(worker->server) >= PHASE_STOPPED)
        return NULL;
    *reason = CLOSE_OVERLOADED;
    return arrival_place(worker, listener, &handover->peer, &why);
}

/* The input that came with it is kept here. False: no memory. */
static bool input_arrive(struct worker *worker, struct connection *connection,
                         const struct handover *handover) {
    account_receive(&worker->account, handover->input_len);
    account_give(&worker->account, handover->input_len);
    return handover->input_len == 0 ||
           input_keep(worker, connection, handover->input, handover->input_len);
}

void handover_on_mail(struct worker *worker, const struct mail *mail) {
    struct handover *handover = mail->object;
    enum close_reason reason;
    struct connection *connection = connection_place(worker, handover, &reason);
    if (SHORTAGE(connection == NULL)) {
        handover_lose(worker, handover, reason);
        free(handover);
        worker->slots.refusing++;
        ring_close_socket(worker->ring, tag_make(TAG_REFUSE, 0, 0), (int)mail->number);
        return;
    }
    stats_add(&worker->stats.moved, 1);
    connection->protocol = handover->protocol;
    connection->proxied = handover->proxied;
    connection->address_held = handover->address_held;
    connection->late = handover->late;
    bool kept = input_arrive(worker, connection, handover);
    free(handover);
    arrival_open(worker, connection, (int)mail->number);
    arrival_begin(worker, connection);
    if (SHORTAGE(!kept)) {
        connection_close(worker, connection, CLOSE_OVERLOADED);
        return;
    }
    if (sweep_tells(worker, connection))
        connection_drain(worker, connection);
    connection_look_again(worker, connection);
}

void handover_drop(struct worker *worker, const struct mail *mail) {
    handover_lose(worker, mail->object, CLOSE_STOPPED);
    net_close((int)mail->number);
    free(mail->object);
}
