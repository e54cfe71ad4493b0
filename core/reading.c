/* reading.c - which connection is read when; see reading.h and connection.h. */
#include "core/reading.h"

#include "core/server.h"
#include "core/tag.h"
#include "core/worker.h"

static uint64_t tag_of(enum tag_op op, const struct connection *connection) {
    return tag_make(op, connection->generation, connection->slot);
}

/* --- one connection --------------------------------------------------------------------------- */

void connection_receive_stop(struct worker *worker, struct connection *connection) {
    if (!(connection->ops & OP_RECEIVE) || (connection->ops & OP_CANCEL))
        return;
    connection->ops |= OP_CANCEL;
    ring_cancel(worker->ring, tag_of(TAG_CANCEL, connection), tag_of(TAG_RECEIVE, connection));
}

/* While the worker is busy, who asks for much is read by single receives, behind everybody else:
 * who has more waiting than a buffer, since a multishot receive takes 32 of them before the next
 * socket has its turn, and who pushes more than a modest number. */
void connection_flood_look(struct worker *worker, struct connection *connection, bool more) {
    const struct intake *intake = connection->intake;
    bool much = more || (intake != NULL && intake_asks_much(intake, &worker->admission, 1));
    if (connection->once && !more && !worker->loop.crowded) {
        connection->once = false;
    } else if (worker->loop.crowded && !connection->once && much) {
        connection->once = true;
        connection_receive_stop(worker, connection);
    }
}

static bool receive_wanted(const struct connection *connection) {
    bool wanted =
        connection->state == CONNECTION_OPEN
            /* What a connection that had to give way has left is read first: more would wait
               unseen. */
            ? connection_input_wanted(connection) ||
                  (!connection->yielded && connection->moving == 0 && !connection->deaf &&
                   connection->input_len <= PAUSE_SLACK_BYTES)
            : connection->state == CONNECTION_FLUSHING || connection->state == CONNECTION_LINGERING;
    return wanted && !connection->end_seen && !(connection->ops & OP_RECEIVE);
}

static bool receive_start(struct worker *worker, struct connection *connection, bool once) {
    if (!receive_wanted(connection))
        return false;
    connection->ops |= OP_RECEIVE;
    stats_add(&worker->stats.rearms, 1);
    ring_receive(worker->ring, tag_of(TAG_RECEIVE, connection), connection->socket, once);
    return true;
}

void connection_receive(struct worker *worker, struct connection *connection) {
    (void)receive_start(worker, connection, connection->once);
}

bool connection_receive_once(struct worker *worker, struct connection *connection) {
    return receive_start(worker, connection, true);
}

bool connection_is_unread(const struct connection *connection) {
    return list_linked(&connection->resume_link) || receive_wanted(connection);
}

void connection_rearm(struct worker *worker, struct connection *connection) {
    if (!connection->once || connection->state != CONNECTION_OPEN)
        connection_receive(worker, connection);
    else if (receive_wanted(connection) && !list_linked(&connection->resume_link))
        list_add_tail(&worker->reading.floods, &connection->resume_link);
    connection_watch(worker, connection);
}

void connection_watch(struct worker *worker, struct connection *connection) {
    if (connection->state != CONNECTION_OPEN || !connection->paused || connection->moving != 0 ||
        connection->end_seen || (connection->ops & (OP_RECEIVE | OP_WATCH)) ||
        receive_wanted(connection) || connection->protocol->on_end_unread == NULL)
        return;
    connection->ops |= OP_WATCH;
    ring_watch_end(worker->ring, tag_of(TAG_WATCH, connection), connection->socket);
}

void connection_unwatch(struct worker *worker, struct connection *connection) {
    if (!(connection->ops & OP_WATCH) || connection->unwatched)
        return;
    connection->unwatched = true;
    ring_cancel(worker->ring, tag_of(TAG_UNWATCH, connection), tag_of(TAG_WATCH, connection));
}

void connection_look_again(struct worker *worker, struct connection *connection) {
    list_remove(&connection->resume_link);
    if (connection->state == CONNECTION_OPEN)
        list_add_tail(&worker->reading.resumed, &connection->resume_link);
}

void connection_yield(struct worker *worker, struct connection *connection) {
    connection->yielded = true;
    connection_look_again(worker, connection);
}

void connection_pause(struct worker *worker, struct connection *connection) {
    (void)worker;
    connection->paused = true;
}

void connection_pause_long(struct worker *worker, struct connection *connection) {
    connection->paused = connection->deaf = true;
    connection_receive_stop(worker, connection);
    connection_watch(worker, connection);
}

void connection_resume(struct worker *worker, struct connection *connection) {
    if (!connection->paused)
        return;
    connection->paused = connection->deaf = false;
    connection_look_again(worker, connection);
}

/* --- those without a buffer ------------------------------------------------------------------- */

/* One that finds none again, although there should have been one, does not lose its place. */
void starved_add(struct worker *worker, struct connection *connection) {
    bool again = connection->starved_ms != 0;
    if (!again)
        connection->starved_ms = (uint32_t)(worker->now_ns / NS_PER_MS) | 1;
    if (list_linked(&connection->resume_link))
        return;
    if (again)
        list_add_head(&worker->reading.starved, &connection->resume_link);
    else
        list_add_tail(&worker->reading.starved, &connection->resume_link);
}

/* These come first into the coming submit, before the kernel looks at what other sockets have got,
 * so each finds the buffer that is counted here. */
void starved_handle(struct worker *worker) {
    if (list_empty(&worker->reading.starved))
        return;
    unsigned buffers = ring_buffers_free(worker->ring);
    struct list *node;
    while (buffers > 0 && (node = list_pop(&worker->reading.starved)) != NULL) {
        struct connection *connection = container_of(node, struct connection, resume_link);
        if (connection->once && connection->state == CONNECTION_OPEN)
            connection_rearm(worker, connection); /* it floods, and is read behind the others */
        else
            buffers -= connection_receive_once(worker, connection);
    }
}

/* --- how late --------------------------------------------------------------------------------- */

void reading_init(struct reading *reading, uint64_t now_ns) {
    *reading = (struct reading){.heard_ns = now_ns};
    list_init(&reading->resumed);
    list_init(&reading->starved);
    list_init(&reading->floods);
}

void reading_received(struct reading *reading, const struct completion *completion) {
    if (completion->tag != reading->last_tag && reading->mark_left != 0)
        reading->mark_left--;
    reading->last_tag = completion->tag;
}

/* Where there is always more, what had come at one moment has been handled when as many others have
 * been read as may have been before it: the kernel takes sockets in the order in which they got
 * something, and a connection that is read several times in a row had one place in that. */
static void heard_look(struct worker *worker, bool all) {
    struct reading *reading = &worker->reading;
    if (all) {
        reading->heard_ns = worker->now_ns;
        reading->mark_left = 0;
        reading->mark_ns = 0;
    } else if (reading->mark_left == 0) {
        if (reading->mark_ns != 0)
            reading->heard_ns = reading->mark_ns;
        reading->mark_ns = worker->now_ns;
        reading->mark_left = worker->slots.live + ring_waiting(worker->ring) + 1;
    }
}

static uint64_t late_ns(const struct worker *worker) {
    const struct reading *reading = &worker->reading;
    uint64_t late_ns = worker->now_ns - reading->heard_ns;
    if (!list_empty(&reading->starved)) {
        const struct connection *first =
            container_of(reading->starved.next, struct connection, resume_link);
        uint64_t waits_ns =
            (uint32_t)((uint32_t)(worker->now_ns / NS_PER_MS) - first->starved_ms) * NS_PER_MS;
        if ((int64_t)waits_ns > (int64_t)late_ns)
            late_ns = waits_ns;
    }
    return late_ns;
}

/* Those who hand connections over look at it, too. */
static void piles_tell(struct worker *worker, bool piles) {
    if (worker->reading.piles == piles)
        return;
    worker->reading.piles = piles;
    server_piles_set(worker->server, worker->index, piles);
}

static void late_tell(struct worker *worker, uint64_t late_ns) {
    struct reading *reading = &worker->reading;
    bool late = late_ns >= READ_LATE_NS;
    if (late)
        reading->seen_late_ns = worker->now_ns;
    if (late && reading->late_ns == 0) {
        reading->late_ns = worker->now_ns;
        log_event(LOG_WARN, "reading_late", LOG_U64("worker", worker->index),
                  LOG_STR("meaning", "more comes than the worker can read; peers wait, and no one "
                                     "is closed for silence meanwhile"),
                  LOG_STR("remedy", "let clients wait longer before they reconnect, lower "
                                    "--max-per-address, add workers or nodes"));
    } else if (!late && reading->late_ns != 0 &&
               worker->now_ns - reading->seen_late_ns >= READ_OVER_NS) {
        log_event(LOG_INFO, "reading_late_over", LOG_U64("worker", worker->index),
                  LOG_U64("seconds", (worker->now_ns - reading->late_ns) / NS_PER_S));
        reading->late_ns = 0;
    }
}

void reading_look(struct worker *worker, bool all) {
    heard_look(worker, all);
    uint64_t ns = late_ns(worker);
    piles_tell(worker, ns >= ACCEPT_LATE_NS);
    late_tell(worker, ns);
}

bool reading_heard(const struct worker *worker, const struct connection *connection,
                   uint64_t due_ns) {
    return worker->reading.heard_ns >= due_ns &&
           (connection == NULL || !connection_is_unread(connection));
}
