/* outbox_send.c - from the outboxes of connections to the kernel; see outbox.h. */
#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/piece.h"
#include "core/tag.h"

/* --- whose turn it is ------------------------------------------------------------------------- */

void outbox_undirty(struct worker *worker, struct connection *connection) {
    if (!list_linked(&connection->flush_link))
        return;
    list_remove(&connection->flush_link);
    worker->sending.due[connection->lane]--;
}

void outbox_dirty(struct worker *worker, struct connection *connection, enum send_lane lane) {
    bool better = lane > connection->lane;
    if (!better && list_linked(&connection->flush_link))
        return;
    outbox_undirty(worker, connection);
    if (better)
        connection->lane = (uint8_t)lane;
    worker->sending.due[connection->lane]++;
    connection->dirty_us = (uint32_t)(worker->now_ns / NS_PER_US);
    list_add_tail(&worker->sending.dirty[connection->lane], &connection->flush_link);
}

bool outbox_any_dirty(const struct worker *worker) {
    for (unsigned lane = 0; lane < LANES; lane++)
        if (!list_empty(&worker->sending.dirty[lane]))
            return true;
    return false;
}

/* The lane that has turn number `i`. */
static enum send_lane lane_due(const struct worker *worker, unsigned i) {
    if (!list_empty(&worker->sending.dirty[LANE_PROMPT])) {
        if (i % 2 == 0)
            return LANE_PROMPT;
        i /= 2;
    }
    enum send_lane lane = i % 2 == 0 ? LANE_DIRECT : LANE_BULK;
    if (!list_empty(&worker->sending.dirty[lane]))
        return lane;
    lane = lane == LANE_BULK ? LANE_DIRECT : LANE_BULK;
    return list_empty(&worker->sending.dirty[lane]) ? LANE_PROMPT : lane;
}

struct connection *outbox_next_dirty(struct worker *worker, unsigned i) {
    enum send_lane lane = lane_due(worker, i);
    if (list_empty(&worker->sending.dirty[lane]))
        return NULL;
    struct connection *connection =
        container_of(worker->sending.dirty[lane].next, struct connection, flush_link);
    outbox_undirty(worker, connection);
    worker->sending.begun[lane]++;
    return connection;
}

void outbox_hurry(struct worker *worker, struct outbox *outbox) {
    struct connection *connection = connection_of_outbox(outbox);
    if (connection == NULL || !list_linked(&connection->flush_link))
        return; /* its send is in flight */
    list_remove(&connection->flush_link);
    list_add_head(&worker->sending.dirty[connection->lane], &connection->flush_link);
}

/* --- sends ------------------------------------------------------------------------------------ */

unsigned piece_message_runs(struct piece *piece, struct iovec *runs) {
    const struct frame *frame = piece_frame(piece);
    char *bytes = (char *)(uintptr_t)frame->bytes;
    struct span payload = message_payload(piece->parcel->message);
    uint32_t at = 0, end = frame->around ? frame->head_bytes : piece->bytes;
    unsigned count = 0;
    if (piece->kind == PIECE_MARKED) {
        at = frame->mark_at + MARK_BYTES;
        runs[count++] = (struct iovec){bytes, frame->mark_at};
        runs[count++] = (struct iovec){piece_mark(piece), MARK_BYTES};
    }
    runs[count++] = (struct iovec){bytes + at, end - at};
    if (frame->around) {
        runs[count++] = (struct iovec){(void *)(uintptr_t)payload.at, payload.len};
        runs[count++] = (struct iovec){bytes + frame->head_bytes, frame->tail_bytes};
    }
    return count;
}

/* The runs of one piece from `skip` bytes on. */
static unsigned piece_runs(struct piece *piece, uint32_t skip, struct iovec *runs) {
    struct iovec all[PIECE_RUNS_MAX];
    unsigned count = 0, out = 0;
    if (piece->kind == PIECE_BYTES)
        all[count++] = (struct iovec){piece->buffer, piece->bytes};
    else if (piece->kind == PIECE_CHUNK)
        all[count++] = (struct iovec){piece->chunk->text, piece->bytes};
    else if (piece->kind == PIECE_BATCH)
        all[count++] = (struct iovec){frame_batch_bytes(piece->batch), piece->bytes};
    else
        count = piece_message_runs(piece, all);
    for (unsigned i = 0; i < count; i++) {
        if (skip >= all[i].iov_len) {
            skip -= (uint32_t)all[i].iov_len;
            continue;
        }
        runs[out++] = (struct iovec){(char *)all[i].iov_base + skip, all[i].iov_len - skip};
        skip = 0;
    }
    return out;
}

/* Those with something in flight are not slow for that time. */
static void flight_excuse(const struct worker *worker, const struct outbox *outbox, uint32_t ms) {
    struct session *excused = NULL;
    struct piece *piece = ms == 0 || outbox->committed == NULL ? NULL : outbox->first;
    for (; piece != NULL; piece = piece == outbox->committed ? NULL : piece->next) {
        if (piece->session == NULL || piece->session == excused)
            continue;
        excused = piece->session;
        backlog_excuse(worker, &excused->backlog, ms);
    }
}

/* Its send is about to wait for the peer. Whoever pushes asks at the first session without room
 * alone, and waits there: the time of the others must run meanwhile. */
static void flight_watch(const struct worker *worker, const struct piece *piece) {
    if (piece->session != NULL && backlog_half_full(worker, &piece->session->backlog))
        backlog_watch(worker, &piece->session->backlog);
}

/* What is in flight cannot be dropped for what comes: where it would be the whole of a small
 * outbox, a policy that drops the oldest had only the newest to drop. */
static uint32_t send_bytes_max(const struct config *config) {
    uint32_t part = config->outbox_bytes / 4;
    if (config->slow == SLOW_CLOSE || part > SEND_BYTES_MAX)
        return SEND_BYTES_MAX;
    return part > SEND_BYTES_MIN ? part : SEND_BYTES_MIN;
}

void outbox_flush(struct worker *worker, struct connection *connection) {
    struct outbox *outbox = &connection->outbox;
    if (outbox->first == NULL || ((connection->ops & OP_SEND) && !FAULT(OUTBOX_DOUBLE_SEND)))
        return;
    if (connection->held && connection_is_open(connection))
        return;
    struct flight *flight = worker_flight_get(worker);
    if (outbox->sent_bytes != 0 && outbox->first->kind == PIECE_BATCH &&
        piece_expires_ns(outbox->first) <= worker->now_ns &&
        SHORTAGE(batch_split(worker, outbox, outbox->first) == NULL))
        batch_cut(worker, outbox);
    unsigned runs = 0;
    uint32_t bytes = 0, skip = outbox->sent_bytes, bytes_max = send_bytes_max(worker->config);
    struct piece *last = NULL, *piece = outbox->first;
    while (piece != NULL && runs + PIECE_RUNS_MAX <= SEND_RUNS_MAX && bytes < bytes_max) {
        /* One that the peer has seen a part of must be finished, expired or not. */
        bool expired = skip == 0 && piece_expires_ns(piece) <= worker->now_ns;
        enum drop_reason reason = DROP_EXPIRED;
        if (expired && piece->kind == PIECE_BATCH) {
            struct piece *parts = batch_split(worker, outbox, piece);
            if (SHORTAGE(parts == NULL))
                reason = DROP_NO_MEMORY;
            else
                piece = parts;
            expired = piece_expires_ns(piece) <= worker->now_ns;
        }
        struct piece *next = piece->next;
        if (expired) {
            struct session *session = piece->session;
            piece_drop(worker, outbox, piece, reason);
            if (session != NULL) /* perhaps nothing is left that could be sent */
                attend_look(worker, session);
        } else {
            flight_watch(worker, piece);
            runs += piece_runs(piece, skip, flight->runs + runs);
            bytes += piece->bytes - skip;
            skip = 0;
            piece_unwait(piece);
            last = piece;
        }
        piece = next;
    }
    outbox->committed = last;
    if (piece == NULL)
        connection->lane = LANE_BULK; /* nothing is left that hurries */
    if (runs == 0)
        return;
    connection->ops |= OP_SEND;
    connection->sending_ms = (uint32_t)(worker->now_ns / NS_PER_MS);
    flight_excuse(worker, outbox,
                  ((uint32_t)(worker->now_ns / NS_PER_US) - connection->dirty_us) / 1000);
    stats_add(&worker->stats.sends, 1);
    uint64_t tag = tag_make(TAG_SEND, connection->generation, connection->slot);
    if (runs == 1) {
        ring_send(worker->ring, tag, connection->socket, flight->runs[0].iov_base,
                  flight->runs[0].iov_len);
    } else {
        flight->header = (struct msghdr){.msg_iov = flight->runs, .msg_iovlen = runs};
        worker_flight_keep(worker);
        ring_send_gathered(worker->ring, tag, connection->socket, &flight->header);
    }
    connection->flight_bytes = bytes;
}

/* The send in flight has ended: what is left of it waits again, but for a first piece that is out
 * in part. */
static void flight_end(struct outbox *outbox) {
    struct piece *piece = outbox->committed;
    outbox->committed = outbox->sent_bytes != 0 ? outbox->first : NULL;
    for (; piece != outbox->committed; piece = piece->prev)
        if (piece->shared && piece->session != NULL)
            list_add_head(piece->session->type->waiting(piece->session), &piece_shared(piece)->own);
}

void outbox_on_unsent(struct connection *connection) {
    flight_end(&connection->outbox);
}

void outbox_on_sent(struct worker *worker, struct connection *connection, uint32_t sent) {
    struct outbox *outbox = &connection->outbox;
    uint32_t seen_ms = worker->sending.seen_ms, started_ms = connection->sending_ms;
    if ((int32_t)(seen_ms - started_ms) < 0)
        seen_ms = started_ms;
    flight_excuse(worker, outbox, (uint32_t)(worker->now_ns / NS_PER_MS) - seen_ms);
    stats_add(&worker->stats.sent_bytes, sent);
    if (sent < connection->flight_bytes) {
        stats_add(&worker->stats.send_shorts, 1);
        if (FAULT(OUTBOX_SKIP_SHORT))
            sent = connection->flight_bytes;
    }
    while (sent > 0) {
        struct piece *piece = outbox->first;
        CHECK(piece != NULL, "more was sent than there was");
        struct session *session = piece->session;
        uint32_t took = piece->bytes - outbox->sent_bytes;
        if (sent < took) {
            took = sent;
            outbox->sent_bytes += sent;
        } else {
            outbox->sent_bytes = 0;
            if (piece == outbox->committed)
                outbox->committed = NULL;
            piece_unlink(outbox, piece);
            piece_settle(worker, outbox, piece, piece->bytes, DROP_GONE);
            piece_free(worker, piece);
        }
        sent -= took;
        if (session != NULL) {
            backlog_took(worker, &session->backlog, took);
            attend_look(worker, session);
        }
    }
    flight_end(outbox);
}

/* Only the front is looked at: behind an answer or two stands the first message. */
#define AGE_PIECES 4

uint64_t outbox_age_ns(const struct worker *worker, const struct outbox *outbox) {
    const struct piece *piece = outbox->first;
    for (unsigned i = 0; piece != NULL && i < AGE_PIECES; i++, piece = piece->next) {
        if (piece_is_single(piece))
            return piece_age_ns(worker, piece->parcel->message->accepted_ns);
        if (piece->kind == PIECE_BATCH)
            return piece_age_ns(worker, piece->batch->accepted_ns);
    }
    return 0;
}
