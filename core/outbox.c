#include "core/outbox.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/frame_batch.h"
#include "core/piece.h"
#include "core/reply.h"
#include "core/tag.h"
#include "core/worker.h"

#include <netinet/in.h>
#include <stdlib.h>

/* Small replies are gathered into buffers of this size; a larger one gets a buffer of its own. */
#define BUFFER_BYTES 4096
#define PIECE_RUNS_MAX 3

size_t outbox_piece_bytes(void) {
    return sizeof(struct piece);
}

static void piece_append(struct outbox *outbox, struct piece *piece) {
    piece->next = NULL;
    if (outbox->last != NULL)
        outbox->last->next = piece;
    else
        outbox->first = piece;
    outbox->last = piece;
    outbox->bytes += piece->bytes;
}

/* Takes one waiting message out of the queue. `before` is the piece in front of it. */
static void piece_drop(struct worker *worker, struct outbox *outbox, struct piece *before,
                       struct piece *piece, enum drop_reason reason) {
    if (before != NULL)
        before->next = piece->next;
    else
        outbox->first = piece->next;
    if (outbox->last == piece)
        outbox->last = before;
    piece_settle(worker, outbox, piece, 0, reason);
    piece_free(worker, piece);
}

static void pieces_free(struct worker *worker, struct piece *piece) {
    while (piece != NULL) {
        struct piece *next = piece->next;
        piece_free(worker, piece);
        piece = next;
    }
}

/* A piece for each message of a batch from number `first` on, in their order; `last` is the last
 * of them. They take no more than was promised when the batch was taken, so the memory ceiling does
 * not stop them. NULL: the system has no memory. */
static struct piece *batch_pieces(struct worker *worker, const struct piece *whole, uint32_t first,
                                  struct piece **last) {
    struct piece *chain = NULL, **end = &chain;
    for (uint32_t i = first; i < whole->parts; i++) {
        const struct frame_batch_part *part = &whole->batch->parts[i];
        struct piece *piece = pool_get(&worker->sending.pieces);
        if (SHORTAGE(piece == NULL)) {
            pieces_free(worker, chain);
            return NULL;
        }
        account_force(&worker->account, sizeof(struct piece));
        parcel_ref(part->parcel);
        *piece = (struct piece){.kind = PIECE_PARCEL,
                                .parcel = part->parcel,
                                .frame = part->frame,
                                .bytes = part->frame->total_bytes};
        *last = *end = piece;
        end = &piece->next;
    }
    return chain;
}

/* Puts a piece for each message in the place of a batch that is not in flight and stands behind
 * `before`. Of a first one, sent_bytes are out: the messages that are out as a whole are settled,
 * and one that is out in part stays the first. False: no memory, and nothing has changed. */
static bool batch_split(struct worker *worker, struct outbox *outbox, struct piece *before,
                        struct piece *piece) {
    struct frame_batch *batch = piece->batch;
    uint32_t sent = before == NULL ? outbox->sent_bytes : 0, whole = 0, begin = 0;
    while (batch->parts[whole].end <= sent)
        begin = batch->parts[whole++].end;
    struct piece *last = NULL, *chain = batch_pieces(worker, piece, whole, &last);
    if (SHORTAGE(chain == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return false;
    }
    for (uint32_t i = 0; i < whole; i++)
        copies_settled(worker, batch->parts[i].parcel->message->class, 1,
                       batch->parts[i].parcel->message->accepted_ns, NULL);
    outbox->pieces -= whole;
    outbox->message_bytes -= begin;
    outbox->bytes -= begin;
    stats_sub(&worker->stats.outbox_bytes, begin);
    if (before == NULL) {
        outbox->first = chain;
        outbox->sent_bytes = sent - begin;
        outbox->committed = sent != begin ? chain : NULL;
    } else {
        before->next = chain;
    }
    last->next = piece->next;
    if (outbox->last == piece)
        outbox->last = last;
    piece_free(worker, piece);
    return true;
}

/* Without memory to take it apart, a first batch of which some is out: the message that is out in
 * part is finished, and those behind it are dropped. */
static void batch_cut(struct worker *worker, struct outbox *outbox) {
    struct piece *piece = outbox->first;
    const struct frame_batch_part *parts = piece->batch->parts;
    const enum drop_reason reason = DROP_NO_MEMORY;
    uint32_t kept = 0, end = 0;
    while (end < outbox->sent_bytes)
        end = parts[kept++].end;
    for (uint32_t i = kept; i < piece->parts; i++) {
        const struct message *message = parts[i].parcel->message;
        copies_settled(worker, message->class, 1, message->accepted_ns, &reason);
    }
    uint32_t bytes = piece->bytes - end;
    outbox->pieces -= piece->parts - kept;
    outbox->message_bytes -= bytes;
    outbox->bytes -= bytes;
    stats_sub(&worker->stats.outbox_bytes, bytes);
    piece->parts = kept;
    piece->bytes = end;
    if (end != outbox->sent_bytes)
        return;
    outbox->first = piece->next;
    if (outbox->first == NULL)
        outbox->last = NULL;
    outbox->sent_bytes = 0;
    outbox->committed = NULL;
    piece_settle(worker, outbox, piece, end, reason);
    piece_free(worker, piece);
}

static bool outbox_has_room(const struct outbox *outbox, uint32_t wanted, uint32_t limit_bytes,
                            uint32_t limit_pieces) {
    /* A message that is larger than the limit by itself may still go to an empty outbox. */
    return outbox->pieces == 0 || ((uint64_t)outbox->message_bytes + wanted <= limit_bytes &&
                                   outbox->pieces < limit_pieces);
}

/* Drops waiting messages from the front until `wanted` bytes more have room, or all of them. */
static void outbox_make_room(struct worker *worker, struct outbox *outbox, uint32_t wanted,
                             bool all, enum drop_reason reason) {
    struct piece *before = outbox->committed;
    struct piece *piece = before == NULL ? outbox->first : before->next;
    uint32_t limit = worker->config->outbox_bytes;
    while (piece != NULL && (all || !outbox_has_room(outbox, wanted, limit, OUTBOX_PIECES_MAX))) {
        bool apart =
            piece->kind != PIECE_BATCH || !SHORTAGE(!batch_split(worker, outbox, before, piece));
        piece = before == NULL ? outbox->first : before->next;
        struct piece *next = piece->next;
        if (!apart)
            piece_drop(worker, outbox, before, piece, DROP_NO_MEMORY);
        else if (piece->kind != PIECE_PARCEL)
            before = piece;
        else if (piece->parcel->message->class == CLASS_VOLATILE)
            piece_drop(worker, outbox, before, piece, DROP_VOLATILE);
        else
            piece_drop(worker, outbox, before, piece, reason);
        piece = next;
    }
}

static uint32_t now_ms(const struct worker *worker) {
    return (uint32_t)(worker->now_ns / NS_PER_MS) | 1; /* 0 is for: not */
}

static bool half_waits(const struct worker *worker, const struct outbox *outbox) {
    return outbox->message_bytes > worker->config->outbox_bytes / 2 ||
           outbox->pieces > OUTBOX_PIECES_MAX / 2;
}

/* Notes what waits, at most half the limit, if a send waits for the socket: the peer must take so
 * much within SLOW_NS. */
static void slow_watch(const struct worker *worker, struct connection *connection) {
    struct outbox *outbox = &connection->outbox;
    if (outbox->watch_ms != 0 || !(connection->ops & OP_SEND))
        return;
    uint32_t half = worker->config->outbox_bytes / 2;
    outbox->watch_ms = now_ms(worker);
    outbox->watch_bytes = outbox->bytes < half ? outbox->bytes : half;
}

/* The peer took so many bytes. With less than half, and room for any message, nobody waits for it.
 */
static void slow_took(const struct worker *worker, struct outbox *outbox, uint32_t bytes) {
    const struct config *config = worker->config;
    uint64_t largest = (uint64_t)config->max_message_bytes + LINE_SLACK_BYTES;
    bool roomy =
        !half_waits(worker, outbox) && outbox->message_bytes + largest <= config->outbox_bytes;
    outbox->watch_bytes -= bytes < outbox->watch_bytes ? bytes : outbox->watch_bytes;
    if (outbox->watch_bytes == 0 || roomy)
        outbox->watch_ms = 0;
}

/* Asked when something does not fit. */
static bool is_slow(const struct worker *worker, struct connection *connection) {
    slow_watch(worker, connection);
    uint32_t since_ms = connection->outbox.watch_ms, slow_ms = SLOW_NS / NS_PER_MS;
    if (since_ms == 0)
        return false;
    uint32_t waits_ms = now_ms(worker) - since_ms + 1;
    /* While the worker had no CPU, sends that the peer took were not seen; but not for ever. */
    return waits_ms >= SLOW_AT_LAST * slow_ms ||
           (waits_ms >= slow_ms && now_ms(worker) - worker->sending.away_ms >= slow_ms);
}

bool outbox_must_wait(struct worker *worker, struct connection *connection, uint32_t bytes) {
    return worker->config->slow != SLOW_KEEP_LATEST &&
           !outbox_has_room(&connection->outbox, bytes, worker->config->outbox_bytes,
                            OUTBOX_PIECES_MAX) &&
           !is_slow(worker, connection);
}

/* May the message be queued? Otherwise `reason` and `verdict` say what becomes of it. */
static bool outbox_admit(struct worker *worker, struct connection *connection, uint8_t class,
                         uint32_t bytes, enum drop_reason *reason, enum outbox_verdict *verdict) {
    struct outbox *outbox = &connection->outbox;
    uint32_t limit = worker->config->outbox_bytes;
    enum slow_policy slow = worker->config->slow;
    *verdict = OUTBOX_DROPPED;
    if (class == CLASS_VOLATILE) {
        /* Half the limit is left to what must not be lost. */
        *reason = DROP_VOLATILE;
        return outbox_has_room(outbox, bytes, limit / 2, OUTBOX_PIECES_MAX);
    }
    if (slow == SLOW_KEEP_LATEST) {
        if (outbox->committed != NULL || !outbox_has_room(outbox, bytes, limit, OUTBOX_PIECES_MAX))
            outbox_make_room(worker, outbox, 0, true, DROP_KEEP_LATEST);
        return true;
    }
    if (outbox_has_room(outbox, bytes, limit, OUTBOX_PIECES_MAX))
        return true;
    if (!is_slow(worker, connection)) {
        *verdict = OUTBOX_WAIT;
        return false;
    }
    if (slow == SLOW_DROP_OLDEST) {
        *reason = DROP_DROP_OLDEST;
        outbox_make_room(worker, outbox, bytes, false, DROP_DROP_OLDEST);
        return outbox_has_room(outbox, bytes, limit, OUTBOX_PIECES_MAX);
    }
    *reason = DROP_TOO_SLOW;
    *verdict = OUTBOX_FULL;
    return false;
}

void outbox_dirty(struct worker *worker, struct connection *connection, enum send_lane lane) {
    bool better = lane > connection->lane;
    if (better)
        connection->lane = (uint8_t)lane;
    else if (list_linked(&connection->flush_link))
        return;
    list_remove(&connection->flush_link);
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
    struct list *node = list_pop(&worker->sending.dirty[lane]);
    return node != NULL ? container_of(node, struct connection, flush_link) : NULL;
}

enum outbox_verdict outbox_push(struct worker *worker, struct connection *connection,
                                struct parcel *parcel, const struct frame *frame,
                                enum send_lane lane) {
    struct outbox *outbox = &connection->outbox;
    uint8_t class = parcel->message->class;
    enum drop_reason reason = DROP_NO_MEMORY;
    enum outbox_verdict verdict = OUTBOX_DROPPED;

    struct piece *piece = NULL;
    if (outbox_admit(worker, connection, class, frame->total_bytes, &reason, &verdict)) {
        reason = DROP_NO_MEMORY;
        verdict = OUTBOX_STARVED;
        piece = piece_get(worker);
    } else if (SHORTAGE(verdict == OUTBOX_WAIT)) {
        return verdict;
    }
    stats_add(&worker->stats.copies[class], 1);
    if (SHORTAGE(piece == NULL)) {
        stats_add(&worker->stats.copies_dropped[class][reason], 1);
        return verdict;
    }
    parcel_ref(parcel);
    *piece = (struct piece){
        .kind = PIECE_PARCEL, .parcel = parcel, .frame = frame, .bytes = frame->total_bytes};
    outbox->pieces++;
    outbox->message_bytes += piece->bytes;
    stats_add(&worker->stats.outbox_bytes, piece->bytes);
    stats_add(&worker->stats.copies_waiting[class], 1);
    piece_append(outbox, piece);
    if (half_waits(worker, outbox))
        slow_watch(worker, connection);
    outbox_dirty(worker, connection, lane);
    return OUTBOX_TAKEN;
}

bool outbox_push_batch(struct worker *worker, struct connection *connection,
                       struct frame_batch *batch) {
    struct outbox *outbox = &connection->outbox;
    /* Half the limit is what volatile ones may use (outbox_admit); below it every class fits. */
    uint32_t limit = worker->config->outbox_bytes / 2;
    bool room = outbox->message_bytes + batch->bytes <= limit &&
                outbox->pieces + batch->count <= OUTBOX_PIECES_MAX;
    if (SHORTAGE(!room) || worker->config->slow == SLOW_KEEP_LATEST)
        return false;
    struct piece *piece = piece_get(worker);
    if (SHORTAGE(piece == NULL))
        return false;
    frame_batch_ref(batch);
    *piece = (struct piece){
        .kind = PIECE_BATCH, .batch = batch, .parts = batch->count, .bytes = batch->bytes};
    for (unsigned class = 0; class < CLASSES; class ++) {
        stats_add(&worker->stats.copies[class], batch->of_class[class]);
        stats_add(&worker->stats.copies_waiting[class], batch->of_class[class]);
    }
    outbox->pieces += batch->count;
    outbox->message_bytes += batch->bytes;
    stats_add(&worker->stats.outbox_bytes, batch->bytes);
    piece_append(outbox, piece);
    outbox_dirty(worker, connection, LANE_BULK);
    return true;
}

/* The lane of answers and control lines. */
static enum send_lane reply_lane(const struct worker *worker, const struct connection *connection) {
    const struct intake *intake = connection->intake;
    bool api = worker->listeners.at[connection->listener].kind == LISTENER_API;
    bool pushes_much = intake != NULL && intake->taken > worker->admission.modest;
    return api || pushes_much ? LANE_DIRECT : LANE_PROMPT;
}

/* An empty piece of a reply. */
static struct piece *reply_piece(struct worker *worker, const struct connection *connection,
                                 uint32_t cap) {
    struct piece *piece = pool_get(&worker->sending.pieces);
    if (SHORTAGE(piece == NULL))
        return NULL;
    /* The block is a piece longer than need be, so that the piece is charged with it. */
    bool beyond;
    char *buffer =
        reply_get(worker, replies_unsent(connection), sizeof(struct piece) + cap, &beyond);
    if (SHORTAGE(buffer == NULL)) {
        pool_put(&worker->sending.pieces, piece);
        return NULL;
    }
    *piece =
        (struct piece){.kind = PIECE_BYTES, .buffer = buffer, .buffer_cap = cap, .beyond = beyond};
    return piece;
}

bool outbox_write(struct worker *worker, struct connection *connection, struct span bytes) {
    struct outbox *outbox = &connection->outbox;
    struct piece *last = outbox->last;
    if (bytes.len == 0)
        return true;
    /* The last buffer may be added to unless the kernel has it already. */
    if (last != NULL && last->kind == PIECE_BYTES && last->buffer_cap - last->bytes >= bytes.len &&
        outbox->committed != last) {
        memcpy(last->buffer + last->bytes, bytes.at, bytes.len);
        last->bytes += (uint32_t)bytes.len;
        outbox->bytes += (uint32_t)bytes.len;
    } else {
        /* The very first reply of a client is often its only one: no more memory than it needs. */
        uint32_t cap = (uint32_t)bytes.len;
        if (outbox->first != NULL && cap < BUFFER_BYTES && !budget_is_full(worker->account.budget))
            cap = BUFFER_BYTES;
        struct piece *piece = reply_piece(worker, connection, cap);
        if (SHORTAGE(piece == NULL))
            return false;
        memcpy(piece->buffer, bytes.at, bytes.len);
        piece->bytes = (uint32_t)bytes.len;
        piece_append(outbox, piece);
    }
    outbox_dirty(worker, connection, reply_lane(worker, connection));
    return true;
}

bool outbox_write_chunks(struct worker *worker, struct connection *connection,
                         struct chunk *first) {
    for (struct chunk *chunk = first, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        if (chunk->len == 0) {
            chunk_put(chunk);
            continue;
        }
        struct piece *piece = pool_get(&worker->sending.pieces);
        if (SHORTAGE(piece == NULL)) {
            chunks_put(chunk);
            return false;
        }
        *piece = (struct piece){.kind = PIECE_CHUNK, .chunk = chunk, .bytes = chunk->len};
        piece_append(&connection->outbox, piece);
        outbox_dirty(worker, connection, reply_lane(worker, connection));
    }
    return true;
}

/* The runs of one piece from `skip` bytes on. */
static unsigned piece_runs(const struct piece *piece, uint32_t skip, struct iovec *runs) {
    struct iovec all[PIECE_RUNS_MAX];
    unsigned count = 0, out = 0;
    if (piece->kind == PIECE_BYTES) {
        all[count++] = (struct iovec){piece->buffer, piece->bytes};
    } else if (piece->kind == PIECE_CHUNK) {
        all[count++] = (struct iovec){piece->chunk->text, piece->bytes};
    } else if (piece->kind == PIECE_BATCH) {
        all[count++] = (struct iovec){frame_batch_bytes(piece->batch), piece->bytes};
    } else if (!piece->frame->around) {
        all[count++] = (struct iovec){(void *)(uintptr_t)piece->frame->bytes, piece->bytes};
    } else {
        const struct frame *frame = piece->frame;
        struct span payload = message_payload(piece->parcel->message);
        char *bytes = (char *)(uintptr_t)frame->bytes;
        all[count++] = (struct iovec){bytes, frame->head_bytes};
        all[count++] = (struct iovec){(void *)(uintptr_t)payload.at, payload.len};
        all[count++] = (struct iovec){bytes + frame->head_bytes, frame->tail_bytes};
    }
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

void outbox_flush(struct worker *worker, struct connection *connection) {
    struct outbox *outbox = &connection->outbox;
    if (outbox->first == NULL || ((connection->ops & OP_SEND) && !FAULT(OUTBOX_DOUBLE_SEND)))
        return;
    struct flight *flight = worker_flight_get(worker);
    if (outbox->sent_bytes != 0 && outbox->first->kind == PIECE_BATCH &&
        piece_expires_ns(outbox->first) <= worker->now_ns &&
        SHORTAGE(!batch_split(worker, outbox, NULL, outbox->first)))
        batch_cut(worker, outbox);
    unsigned runs = 0;
    uint32_t bytes = 0, skip = outbox->sent_bytes;
    struct piece *before = NULL, *piece = outbox->first;
    while (piece != NULL && runs + PIECE_RUNS_MAX <= SEND_RUNS_MAX && bytes < SEND_BYTES_MAX) {
        /* One that the peer has seen a part of must be finished, expired or not. */
        bool expired = skip == 0 && piece_expires_ns(piece) <= worker->now_ns;
        enum drop_reason reason = DROP_EXPIRED;
        if (expired && piece->kind == PIECE_BATCH) {
            if (SHORTAGE(!batch_split(worker, outbox, before, piece)))
                reason = DROP_NO_MEMORY;
            piece = before == NULL ? outbox->first : before->next;
            expired = piece_expires_ns(piece) <= worker->now_ns;
        }
        struct piece *next = piece->next;
        if (expired) {
            piece_drop(worker, outbox, before, piece, reason);
        } else {
            runs += piece_runs(piece, skip, flight->runs + runs);
            bytes += piece->bytes - skip;
            skip = 0;
            before = piece;
        }
        piece = next;
    }
    outbox->committed = before;
    if (piece == NULL)
        connection->lane = LANE_BULK; /* nothing is left that hurries */
    if (runs == 0)
        return;
    connection->ops |= OP_SEND;
    connection->sending_ms = (uint32_t)(worker->now_ns / NS_PER_MS);
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

void outbox_on_sent(struct worker *worker, struct connection *connection, uint32_t sent) {
    struct outbox *outbox = &connection->outbox;
    stats_add(&worker->stats.sent_bytes, sent);
    if (sent < connection->flight_bytes) {
        stats_add(&worker->stats.send_shorts, 1);
        if (FAULT(OUTBOX_SKIP_SHORT))
            sent = connection->flight_bytes;
    }
    uint32_t took = sent;
    outbox->committed = NULL;
    sent += outbox->sent_bytes;
    outbox->sent_bytes = 0;
    while (sent > 0) {
        struct piece *piece = outbox->first;
        CHECK(piece != NULL, "more was sent than there was");
        if (sent < piece->bytes) {
            outbox->sent_bytes = sent;
            outbox->committed = piece;
            break;
        }
        sent -= piece->bytes;
        outbox->first = piece->next;
        if (outbox->first == NULL)
            outbox->last = NULL;
        piece_settle(worker, outbox, piece, piece->bytes, DROP_GONE);
        piece_free(worker, piece);
    }
    slow_took(worker, outbox, took);
}

void outbox_clear(struct worker *worker, struct connection *connection, enum drop_reason reason) {
    struct outbox *outbox = &connection->outbox;
    struct piece *before = (connection->ops & OP_SEND) ? outbox->committed : NULL;
    struct piece *piece = before == NULL ? outbox->first : before->next;
    uint32_t sent = 0;
    if (before != NULL) {
        before->next = NULL;
        outbox->last = before;
    } else {
        sent = outbox->sent_bytes;
        outbox->first = outbox->last = outbox->committed = NULL;
        outbox->sent_bytes = 0;
    }
    while (piece != NULL) {
        struct piece *next = piece->next;
        piece_settle(worker, outbox, piece, sent, reason);
        piece_free(worker, piece);
        piece = next;
        sent = 0;
    }
}

/* Only the front is looked at: behind an answer or two stands the first message. */
#define AGE_PIECES 4

uint64_t outbox_age_ns(const struct worker *worker, const struct outbox *outbox) {
    const struct piece *piece = outbox->first;
    for (unsigned i = 0; piece != NULL && i < AGE_PIECES; i++, piece = piece->next) {
        if (piece->kind == PIECE_PARCEL)
            return piece_age_ns(worker, piece->parcel->message->accepted_ns);
        if (piece->kind == PIECE_BATCH)
            return piece_age_ns(worker, piece->batch->accepted_ns);
    }
    return 0;
}
