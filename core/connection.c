#include "core/connection.h"

#include "core/arrival.h"
#include "core/balance.h"
#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/handover.h"
#include "core/kept_input.h"
#include "core/proxy.h"
#include "core/reading.h"
#include "core/reply.h"
#include "core/slots.h"
#include "core/tag.h"
#include "core/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

/* How long a peer may take to read its last words: so long, and by their size, but not for ever. */
#define FLUSH_NS (5 * NS_PER_S)
#define FLUSH_BYTES_PER_S 16384
#define FLUSH_NS_MAX (60 * NS_PER_S)
#define FLUSH_SLOW_NS (1 * NS_PER_S) /* of one that is closed because it takes nothing */
/* After them it is read on, so that a body of --max-body on a line of 1.2 Mbit/s comes to its end:
 * for so long after the last byte, less after a goodbye, which is said between requests, and so
 * long in all. */
#define LINGER_QUIET_NS (5 * NS_PER_S)
#define LINGER_QUIET_GOODBYE_NS (1 * NS_PER_S)
#define LINGER_S 60
/* And so many bytes, or twice --max-body where that is more. */
#define LINGER_BYTES (64u * 1024 * 1024)

static uint64_t tag_of(enum tag_op op, const struct connection *connection) {
    return tag_make(op, connection->generation, connection->slot);
}

/* Every completion belongs to a connection that is still there: slots are not freed before. */
static struct connection *connection_of(struct worker *worker, const struct completion *of) {
    struct connection *connection =
        slot_resolve(worker, tag_slot(of->tag), tag_generation(of->tag));
    CHECK(connection != NULL, "a completion of %s for slot %u, which has gone",
          tag_op_name(tag_op(of->tag)), tag_slot(of->tag));
    return connection;
}

/* --- the end ---------------------------------------------------------------------------------- */

static enum drop_reason drop_reason_of(enum close_reason reason) {
    if (reason == CLOSE_TOO_SLOW)
        return DROP_TOO_SLOW;
    if (reason == CLOSE_DRAIN_TIMEOUT)
        return DROP_DRAIN_TIMEOUT;
    return DROP_GONE;
}

static void connection_join(struct worker *worker, struct connection *connection) {
    if (connection->state != CONNECTION_JOINING || connection->in_protocol)
        return;
    if ((connection->ops & ~OP_CLOSE) != 0 && !FAULT(SLOT_REUSED_EARLY))
        return;
    if (connection->socket != -1) {
        outbox_clear(worker, &connection->outbox, drop_reason_of(connection->reason));
        input_free(worker, connection);
        connection->ops |= OP_CLOSE;
        ring_close_socket(worker->ring, tag_of(TAG_CLOSE, connection), connection->socket);
        connection->socket = -1;
        return;
    }
    if (connection->ops != 0 || connection->publishes != 0)
        return;
    if (connection->protocol != NULL && connection->protocol->on_free != NULL)
        connection->protocol->on_free(worker, connection);
    stats_sub(&worker->stats.connections, 1);
    worker->slots.live_api -= worker->listeners.at[connection->listener].kind == LISTENER_API;
    worker->slots.live_late -= connection->late;
    connection_release(worker, connection);
}

/* Leaves OPEN: the protocol lets go of everything. */
static void connection_end(struct worker *worker, struct connection *connection,
                           enum close_reason reason) {
    connection->reason = (uint8_t)reason;
    connection->moving = 0;
    stats_add(&worker->stats.closed[reason], 1);
    timer_disarm(&worker->wheel, &connection->timer);
    list_remove(&connection->resume_link);
    balance_leave(worker, connection);
    /* Whatever the protocol does now finds the connection closed already. */
    connection->state = CONNECTION_FLUSHING;
    if (!connection->proxy_header)
        connection->protocol->on_close(worker, connection);
}

static void send_stop(struct worker *worker, struct connection *connection) {
    if (!(connection->ops & OP_SEND) || (connection->ops & OP_UNSEND))
        return;
    connection->ops |= OP_UNSEND;
    ring_cancel(worker->ring, tag_of(TAG_UNSEND, connection), tag_of(TAG_SEND, connection));
}

static void connection_shutdown(struct worker *worker, struct connection *connection, int how) {
    if (connection->ops & OP_SHUTDOWN)
        return;
    connection->ops |= OP_SHUTDOWN;
    connection->shut_whole = how == SHUT_RDWR;
    ring_shutdown(worker->ring, tag_of(TAG_SHUTDOWN, connection), connection->socket, how);
}

void connection_close(struct worker *worker, struct connection *connection,
                      enum close_reason reason) {
    if (connection->state == CONNECTION_JOINING || connection->state == CONNECTION_FREE)
        return;
    if (connection->state == CONNECTION_OPEN)
        connection_end(worker, connection, reason);
    connection->state = CONNECTION_JOINING;
    timer_disarm(&worker->wheel, &connection->timer);
    outbox_undirty(worker, connection);
    list_remove(&connection->resume_link);
    outbox_clear(worker, &connection->outbox, drop_reason_of(connection->reason));
    /* Closing a socket does not end what is in flight on it. */
    connection_receive_stop(worker, connection);
    connection_unwatch(worker, connection);
    send_stop(worker, connection);
    connection_join(worker, connection);
}

/* Waits for the peer's end until it has been quiet for a while, or all its time is over. */
static void linger_wait(struct worker *worker, struct connection *connection) {
    bool goodbye = connection->reason == CLOSE_DRAINING;
    uint64_t due_ns = worker->now_ns + (goodbye ? LINGER_QUIET_GOODBYE_NS : LINGER_QUIET_NS);
    uint64_t end_ns = connection->linger_end_s * NS_PER_S;
    timer_arm(&worker->wheel, &connection->timer, due_ns < end_ns ? due_ns : end_ns);
}

/* Our end, behind what was sent: by the system call, for which a socket in the ring's table needs a
 * descriptor for a moment. */
static void output_end(struct worker *worker, struct connection *connection) {
    if (!ring_is_kept(connection->socket)) {
        net_end(connection->socket);
    } else if (!(connection->ops & OP_SHUTDOWN)) {
        connection->ops |= OP_SHUTDOWN;
        ring_lend_descriptor(worker->ring, tag_of(TAG_LEND, connection), connection->socket);
    }
}

/* Everything was said: our end goes out, and what still comes in is thrown away until the peer's
 * end comes. Closing at once, with input unread, would make the kernel send a reset, which can
 * destroy the last words on their way (RFC 9112, 9.6). */
static void connection_linger(struct worker *worker, struct connection *connection) {
    connection->state = CONNECTION_LINGERING;
    if (connection->end_seen) {
        connection_close(worker, connection, connection->reason);
        return;
    }
    connection->linger_end_s = (uint32_t)(worker->now_ns / NS_PER_S) + LINGER_S;
    output_end(worker, connection);
    linger_wait(worker, connection);
    connection_rearm(worker, connection);
}

/* Bytes of a connection that has ended: too many, and the peer has to lose its last words. */
static void linger_take(struct worker *worker, struct connection *connection, uint32_t len) {
    uint64_t max = 2 * (uint64_t)worker->config->max_body_bytes;
    connection->lingered_bytes += len;
    if (connection->lingered_bytes > (max < LINGER_BYTES ? LINGER_BYTES : max)) {
        stats_add(&worker->stats.lingers_cut, 1);
        connection_close(worker, connection, connection->reason);
    } else if (connection->state == CONNECTION_LINGERING) {
        linger_wait(worker, connection);
    }
}

void connection_expire(struct worker *worker, struct connection *connection) {
    if (connection->state == CONNECTION_LINGERING &&
        worker->now_ns >= connection->linger_end_s * NS_PER_S)
        stats_add(&worker->stats.lingers_cut, 1);
    connection_close(worker, connection, connection->reason);
}

void connection_finish(struct worker *worker, struct connection *connection,
                       enum close_reason reason) {
    if (connection->state != CONNECTION_OPEN)
        return;
    connection_end(worker, connection, reason);
    if (!connection->in_protocol)
        input_free(worker, connection);
    uint64_t bytes_ns = connection->outbox.bytes * NS_PER_S / FLUSH_BYTES_PER_S;
    uint64_t flush_ns = reason == CLOSE_TOO_SLOW ? FLUSH_SLOW_NS : FLUSH_NS + bytes_ns;
    timer_arm(&worker->wheel, &connection->timer,
              worker->now_ns + (flush_ns < FLUSH_NS_MAX ? flush_ns : FLUSH_NS_MAX));
    if (outbox_empty(&connection->outbox)) {
        connection_linger(worker, connection);
        return;
    }
    if (connection->held) /* its session has ended, and nobody else lets it go */
        connection_hold(worker, connection, false);
    connection_rearm(worker, connection);
}

/* A step towards the end is done. */
static void shutdown_ended(struct worker *worker, struct connection *connection) {
    if (connection->state != CONNECTION_JOINING)
        return;
    /* It was half a shutdown, and what is still in flight, though cancelled, needs the whole one.
     */
    if ((connection->ops & (OP_RECEIVE | OP_SEND)) &&
        !(connection->ops & (OP_CANCEL | OP_UNSEND)) && !connection->shut_whole)
        connection_shutdown(worker, connection, SHUT_RDWR);
    connection_join(worker, connection);
}

void connection_on_shutdown(struct worker *worker, const struct completion *completion) {
    struct connection *connection = connection_of(worker, completion);
    connection->ops &= (uint8_t)~OP_SHUTDOWN;
    shutdown_ended(worker, connection);
}

void connection_on_lend(struct worker *worker, const struct completion *completion) {
    struct connection *connection = connection_of(worker, completion);
    connection->ops &= (uint8_t)~OP_SHUTDOWN;
    if (connection->moving != 0) {
        handover_on_lent(worker, connection, completion->result);
        return;
    }
    if (completion->result >= 0) {
        if (connection->state == CONNECTION_LINGERING)
            net_end(completion->result);
        net_close(completion->result);
    } else if (SHORTAGE(connection->state == CONNECTION_LINGERING)) {
        /* No descriptor is left. */
        connection_shutdown(worker, connection, SHUT_WR);
    }
    shutdown_ended(worker, connection);
}

void connection_on_closed(struct worker *worker, const struct completion *completion) {
    struct connection *connection = connection_of(worker, completion);
    connection->ops &= (uint8_t)~OP_CLOSE;
    connection_join(worker, connection);
}

void connection_publish_ended(struct worker *worker, struct connection *connection) {
    CHECK(connection->publishes > 0);
    connection->publishes--;
    handover_look(worker, connection);
    connection_join(worker, connection);
}

/* --- input ------------------------------------------------------------------------------------ */

/* Gives bytes to the protocol; returns what it consumed. What one leaves that becomes another goes
 * to that at once, unless it took over the block that they are in (input_take). */
static size_t protocol_feed(struct worker *worker, struct connection *connection, char *at,
                            size_t len) {
    size_t used = 0;
    const char *block = connection->input;
    const struct protocol *fed = NULL;
    connection->in_protocol = true;
    if (connection->proxy_header)
        used = arrival_proxy_header(worker, connection, span_of(at, len));
    while (connection->state == CONNECTION_OPEN && !connection->proxy_header && used < len &&
           connection->protocol != fed && connection->input == block &&
           (fed == NULL || connection_input_wanted(connection))) {
        fed = connection->protocol;
        used += fed->on_bytes(worker, connection, at + used, len - used);
        CHECK(used <= len, "%s consumed %zu of %zu bytes", fed->name, used, len);
    }
    connection->in_protocol = false;
    return used;
}

/* What is kept and may be taken again, but was not yet, comes before the peer's end. */
static void connection_told_end(struct worker *worker, struct connection *connection) {
    if (connection->input_len != 0 && list_linked(&connection->resume_link)) {
        connection_look_again(worker, connection);
        return;
    }
    connection->end_told = true;
    if (connection->protocol->on_end != NULL && !connection->proxy_header)
        connection->protocol->on_end(worker, connection);
    else
        connection_close(worker, connection, CLOSE_CLIENT);
}

/* Nothing is read of it, but that its peer has ended is known. */
static void connection_told_end_unread(struct worker *worker, struct connection *connection) {
    if (connection->protocol->on_end_unread != NULL)
        connection->protocol->on_end_unread(worker, connection);
}

/* What follows every feeding: the connection may have begun to end meanwhile. */
static void input_settle(struct worker *worker, struct connection *connection, size_t fed,
                         size_t used) {
    if (connection->state != CONNECTION_OPEN) {
        input_free(worker, connection);
        connection_join(worker, connection);
        return;
    }
    size_t max = connection->proxy_header ? PROXY_HEADER_BYTES_MAX
                                          : connection->protocol->input_max(worker, connection);
    replies_throttle(worker, connection);
    if (connection_input_wanted(connection) && used == 0 && fed > max) {
        if (connection->proxy_header)
            connection_close(worker, connection, CLOSE_BAD_PROXY_HEADER);
        else
            connection->protocol->on_flood(worker, connection);
        return;
    }
    if (!connection->end_seen || connection->end_told)
        return;
    if (connection_input_wanted(connection))
        connection_told_end(worker, connection);
    else if (connection->paused) /* again, after input of which the protocol was told no end */
        connection_told_end_unread(worker, connection);
}

/* There is no memory for what has come, so it is lost, and the stream with it. */
static void input_refuse(struct worker *worker, struct connection *connection, struct span came) {
    struct span kept = span_of(connection->input, connection->input_len);
    connection->moving = 0; /* not with a gap in what it sent */
    if (SHORTAGE(connection->proxy_header) || connection->protocol->on_no_memory == NULL)
        connection_close(worker, connection, CLOSE_OVERLOADED);
    else
        connection->protocol->on_no_memory(worker, connection, kept.len != 0 ? kept : came);
    input_free(worker, connection);
    connection_join(worker, connection);
}

static void connection_take(struct worker *worker, struct connection *connection, char *at,
                            size_t len) {
    if (connection->input_len == 0 && connection_input_wanted(connection)) {
        size_t used = protocol_feed(worker, connection, at, len);
        if (connection->state == CONNECTION_OPEN && used < len &&
            SHORTAGE(!input_keep(worker, connection, at + used, len - used))) {
            input_refuse(worker, connection, span_of(at + used, len - used));
            return;
        }
        input_settle(worker, connection, len, used);
        return;
    }
    if (SHORTAGE(!input_keep(worker, connection, at, len))) {
        input_refuse(worker, connection, span_of(at, len));
        return;
    }
    if (connection_input_wanted(connection)) {
        connection_reconsider(worker, connection);
    } else if (SHORTAGE(connection->input_len > PAUSE_SLACK_BYTES)) {
        connection_receive_stop(worker, connection);
    }
}

void connection_reconsider(struct worker *worker, struct connection *connection) {
    connection->yielded = false;
    if (connection->state != CONNECTION_OPEN)
        return;
    if (connection->moving != 0) {
        handover_step(worker, connection);
        return;
    }
    if (!connection_input_wanted(connection)) {
        connection_rearm(worker, connection); /* a little more may come (PAUSE_SLACK_BYTES) */
        return;
    }
    size_t fed = connection->input_len, used = 0;
    char *input = connection->input;
    if (fed != 0) {
        used = protocol_feed(worker, connection, input, fed);
        /* Where the block was taken over, what is kept is the rest already. */
        if (connection->state == CONNECTION_OPEN && used != 0 && connection->input == input) {
            connection->input_len -= (uint32_t)used;
            if (connection->input_len == 0)
                input_free(worker, connection);
            else
                memmove(connection->input, connection->input + used, connection->input_len);
        }
    }
    input_settle(worker, connection, fed, used);
    connection_rearm(worker, connection);
}

/* Keeps track of how long input waits in the socket. */
static void intake_look(struct worker *worker, struct connection *connection, uint32_t bytes,
                        bool more) {
    struct intake *intake = connection->intake;
    intake_received(intake, bytes, more, worker->now_ns);
    if ((connection->ops & OP_QUEUED) || !intake_asks(intake, more, worker->now_ns))
        return;
    int queued = ring_queued(worker->ring, tag_of(TAG_QUEUED, connection), connection->socket);
    if (queued >= 0)
        intake_told(intake, (uint32_t)queued, worker->now_ns);
    else
        connection->ops |= OP_QUEUED;
}

void connection_on_queued(struct worker *worker, const struct completion *completion) {
    struct connection *connection = connection_of(worker, completion);
    connection->ops &= (uint8_t)~OP_QUEUED;
    handover_look(worker, connection);
    if (connection->state == CONNECTION_JOINING)
        connection_join(worker, connection);
    else if (connection->intake != NULL && completion->result >= 0)
        intake_told(connection->intake, (uint32_t)completion->result, worker->now_ns);
}

/* Of the watch, or of its cancellation. What the watch says counts only while nothing is received,
 * which would tell it behind what comes before. */
void connection_on_watch(struct worker *worker, const struct completion *completion) {
    struct connection *connection = connection_of(worker, completion);
    bool ended = tag_op(completion->tag) == TAG_WATCH && completion->result > 0;
    if (connection->unwatched)
        connection->unwatched = false; /* one of two */
    else
        connection->ops &= (uint8_t)~OP_WATCH;
    if (ended && connection->state == CONNECTION_OPEN && !(connection->ops & OP_RECEIVE)) {
        if (completion->result & (POLLERR | POLLHUP))
            connection_close(worker, connection, CLOSE_PEER_ERROR);
        else if (connection->paused && connection->moving == 0)
            connection_told_end_unread(worker, connection);
    }
    handover_look(worker, connection);
    connection_join(worker, connection);
}

void connection_on_receive(struct worker *worker, const struct completion *completion) {
    struct connection *connection = connection_of(worker, completion);
    if (!completion->more)
        connection->ops &= (uint8_t)~OP_RECEIVE;
    int32_t result = completion->result;
    if (result != -ENOBUFS)
        connection->starved_ms = 0;
    if (result > 0) {
        size_t len = (size_t)result;
        stats_add(&worker->stats.received_bytes, len);
        connection_flood_look(worker, connection, completion->nonempty);
        if (connection->state == CONNECTION_OPEN && connection->intake != NULL)
            intake_look(worker, connection, (uint32_t)len, completion->nonempty);
        if (connection->state == CONNECTION_OPEN) {
            connection_take(worker, connection, ring_buffer(worker->ring, completion->buffer), len);
        } else if (connection->state != CONNECTION_JOINING) {
            linger_take(worker, connection, (uint32_t)len);
        }
    } else if (result == 0) {
        connection->end_seen = true;
        if (connection->state == CONNECTION_LINGERING)
            connection_close(worker, connection, connection->reason);
        else if (connection->state == CONNECTION_OPEN && connection_input_wanted(connection))
            connection_told_end(worker, connection);
        else if (connection->state == CONNECTION_OPEN)
            connection_told_end_unread(worker, connection);
    } else if (SHORTAGE(result == -ENOBUFS)) {
        stats_add(&worker->stats.buffers_out, 1);
    } else if (result != -ECANCELED && result != -EAGAIN && result != -EINTR) {
        connection_close(worker, connection, CLOSE_PEER_ERROR);
    }
    if (completion->has_buffer && !FAULT(BUFFER_LEAK))
        ring_buffer_return(worker->ring, completion->buffer);
    if (connection->state == CONNECTION_JOINING) {
        connection_join(worker, connection);
        return;
    }
    handover_look(worker, connection);
    if (connection->moving != 0 || FAULT(REARM_FORGOTTEN))
        return;
    if (result == -ENOBUFS)
        starved_add(worker, connection);
    else if (!completion->more)
        connection_rearm(worker, connection);
}

void connection_on_cancel(struct worker *worker, const struct completion *completion) {
    struct connection *connection = connection_of(worker, completion);
    bool unsend = tag_op(completion->tag) == TAG_UNSEND;
    connection->ops &= (uint8_t) ~(unsend ? OP_UNSEND : OP_CANCEL);
    handover_look(worker, connection);
    if (connection->state != CONNECTION_JOINING) {
        connection_rearm(worker, connection);
        return;
    }
    /* What was not found has completed before this, or is where only a shutdown reaches it. */
    if (completion->result < 0 && (connection->ops & (unsend ? OP_SEND : OP_RECEIVE)))
        connection_shutdown(worker, connection, SHUT_RDWR);
    connection_join(worker, connection);
}

/* --- output ----------------------------------------------------------------------------------- */

void connection_write(struct worker *worker, struct connection *connection, struct span bytes) {
    if (connection->state != CONNECTION_OPEN)
        return;
    if (SHORTAGE(!outbox_write(worker, connection, bytes)))
        connection_close(worker, connection, CLOSE_OVERLOADED);
}

void connection_write_last(struct worker *worker, struct connection *connection, struct span bytes,
                           enum close_reason reason) {
    if (connection->state != CONNECTION_OPEN)
        return;
    if (SHORTAGE(!outbox_write(worker, connection, bytes)))
        connection_close(worker, connection, reason);
    else
        connection_finish(worker, connection, reason);
}

/* Nothing is left to be sent. */
static void connection_emptied(struct worker *worker, struct connection *connection) {
    if (connection->state == CONNECTION_FLUSHING)
        connection_linger(worker, connection);
    else if (connection->state == CONNECTION_OPEN && connection->protocol->on_sent != NULL &&
             !connection->proxy_header)
        connection->protocol->on_sent(worker, connection);
}

void connection_on_send(struct worker *worker, const struct completion *completion) {
    struct connection *connection = connection_of(worker, completion);
    connection->ops &= (uint8_t)~OP_SEND;
    int32_t result = completion->result;
    if (result >= 0) {
        outbox_on_sent(worker, connection, (uint32_t)result);
    } else {
        outbox_on_unsent(connection);
        if (result != -EAGAIN && result != -EINTR) {
            connection_close(worker, connection, CLOSE_PEER_ERROR);
            connection_join(worker, connection);
            return;
        }
    }
    if (connection->state == CONNECTION_JOINING) {
        connection_join(worker, connection);
        return;
    }
    if (connection->throttled && replies_unsent(connection) <= replies_unsent_max(worker) / 2) {
        connection->throttled = false;
        connection_look_again(worker, connection);
    }
    handover_look(worker, connection);
    if (outbox_empty(&connection->outbox))
        connection_emptied(worker, connection);
    else
        outbox_dirty(worker, connection, (enum send_lane)connection->lane);
}

void connection_flush(struct worker *worker, struct connection *connection) {
    outbox_flush(worker, connection);
    handover_look(worker, connection);
    /* Everything that waited may have expired. */
    if (outbox_empty(&connection->outbox))
        connection_emptied(worker, connection);
}

void connection_hold(struct worker *worker, struct connection *connection, bool holds) {
    connection->held = holds;
    if (!holds && !outbox_empty(&connection->outbox))
        outbox_dirty(worker, connection, (enum send_lane)connection->lane);
}

void connection_deadline(struct worker *worker, struct connection *connection, uint64_t due_ns) {
    if (connection->state != CONNECTION_OPEN)
        return;
    connection->overdue = false;
    timer_arm(&worker->wheel, &connection->timer, due_ns);
}
