#include "core/outbox.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/piece.h"
#include "core/reply.h"
#include "core/worker.h"

#include <stdlib.h>

/* Small replies are gathered into buffers of this size; a larger one gets a buffer of its own. */
#define BUFFER_BYTES 4096

void sending_init(struct sending *sending) {
    for (unsigned lane = 0; lane < LANES; lane++)
        list_init(&sending->dirty[lane]);
    pool_init(&sending->pieces, sizeof(struct piece));
    pool_init(&sending->shared_pieces, sizeof(struct shared_piece));
    sending->pieces.lazy = sending->shared_pieces.lazy = true;
}

bool sending_trim(struct sending *sending) {
    pool_trim(&sending->pieces);
    pool_trim(&sending->shared_pieces);
    return pool_wants_trim(&sending->pieces) || pool_wants_trim(&sending->shared_pieces);
}

void sending_fini(struct sending *sending) {
    pool_fini(&sending->pieces);
    pool_fini(&sending->shared_pieces);
}

static bool outbox_sends(struct outbox *outbox) {
    const struct connection *connection = connection_of_outbox(outbox);
    return connection != NULL && (connection->ops & OP_SEND) != 0;
}

/* The first piece that is not in flight nor sent in part. */
static struct piece *first_waiting(const struct outbox *outbox) {
    return outbox->committed == NULL ? outbox->first : outbox->committed->next;
}

/* The next piece that waits for the session behind that one; NULL: the first. What is another's is
 * not walked through: of a session that may have any neighbours in its outbox there is a list. */
static struct piece *next_of(const struct outbox *outbox, struct session *session,
                             struct piece *piece) {
    if (session->type->waiting != NULL) {
        const struct list *own = session->type->waiting(session);
        const struct list *at = piece == NULL ? own->next : piece_shared(piece)->own.next;
        return at == own ? NULL : &container_of(at, struct shared_piece, own)->piece;
    }
    piece = piece == NULL ? first_waiting(outbox) : piece->next;
    while (piece != NULL && piece->session != session)
        piece = piece->next;
    return piece;
}

/* --- messages --------------------------------------------------------------------------------- */

/* Must the peer take something first, before there can be room? */
static void slow_watch(const struct worker *worker, struct outbox *outbox,
                       struct session *session) {
    if (outbox->parked || outbox_sends(outbox))
        backlog_watch(worker, &session->backlog);
}

/* Asked when something does not fit. */
static bool is_slow(const struct worker *worker, struct outbox *outbox, struct session *session) {
    slow_watch(worker, outbox, session);
    return backlog_is_slow(worker, &session->backlog);
}

/* Drops the session's waiting messages from the front until `wanted` bytes more have room, or all
 * of them. What is to be acknowledged stays: those behind it must not overtake it. */
static void outbox_make_room(struct worker *worker, struct outbox *outbox, struct session *session,
                             uint32_t wanted, bool all, enum drop_reason reason) {
    uint32_t limit = worker->config->outbox_bytes;
    struct piece *piece = next_of(outbox, session, NULL);
    while (piece != NULL && (all || !backlog_has_room(&session->backlog, wanted, limit))) {
        struct piece *parts =
            piece->kind == PIECE_BATCH ? batch_split(worker, outbox, piece) : piece;
        bool apart = !SHORTAGE(parts == NULL);
        if (apart)
            piece = parts;
        struct piece *next = next_of(outbox, session, piece);
        if (!apart)
            piece_drop(worker, outbox, piece, DROP_NO_MEMORY);
        else if (piece->parcel->message->class == CLASS_VOLATILE)
            piece_drop(worker, outbox, piece, DROP_VOLATILE);
        else if (!message_is_kept(piece->parcel->message))
            piece_drop(worker, outbox, piece, reason);
        piece = next;
    }
}

/* In an outbox of its own nothing else looks at the time. */
static void parked_expire(struct worker *worker, struct outbox *outbox) {
    while (outbox->first != NULL && piece_expires_ns(outbox->first) <= worker->now_ns)
        piece_drop(worker, outbox, outbox->first, DROP_EXPIRED);
}

bool outbox_must_wait(struct worker *worker, struct outbox *outbox, struct session *session,
                      uint32_t bytes) {
    return worker->config->slow != SLOW_KEEP_LATEST &&
           !backlog_has_room(&session->backlog, bytes, worker->config->outbox_bytes) &&
           !is_slow(worker, outbox, session);
}

/* May the message be queued? Otherwise `reason` and `verdict` say what becomes of it. */
static bool outbox_admit(struct worker *worker, struct outbox *outbox, struct session *session,
                         const struct message *message, uint32_t bytes, enum drop_reason *reason,
                         enum outbox_verdict *verdict) {
    struct backlog *backlog = &session->backlog;
    uint32_t limit = worker->config->outbox_bytes;
    enum slow_policy slow = worker->config->slow;
    *verdict = OUTBOX_DROPPED;
    if (outbox->parked)
        parked_expire(worker, outbox);
    if (message_is_kept(message)) {
        /* Its keeper has it; it comes again when there is room. */
        *verdict = OUTBOX_WAIT;
        return backlog_has_room(backlog, bytes, limit);
    }
    if (message->class == CLASS_VOLATILE) {
        /* Half the limit is left to what must not be lost. */
        *reason = DROP_VOLATILE;
        return backlog_has_room(backlog, bytes, limit / 2);
    }
    if (slow == SLOW_KEEP_LATEST) {
        if (outbox->committed != NULL || !backlog_has_room(backlog, bytes, limit))
            outbox_make_room(worker, outbox, session, 0, true, DROP_KEEP_LATEST);
        return true;
    }
    if (backlog_has_room(backlog, bytes, limit))
        return true;
    if (!is_slow(worker, outbox, session)) {
        *verdict = OUTBOX_WAIT;
        return false;
    }
    if (slow == SLOW_DROP_OLDEST) {
        *reason = DROP_DROP_OLDEST;
        outbox_make_room(worker, outbox, session, bytes, false, DROP_DROP_OLDEST);
        return backlog_has_room(backlog, bytes, limit);
    }
    *reason = DROP_TOO_SLOW;
    *verdict = OUTBOX_FULL;
    return false;
}

/* Something new waits for the session. */
static void outbox_tell(struct worker *worker, struct outbox *outbox, struct session *session,
                        bool was_empty, enum send_lane lane) {
    if (!outbox->parked)
        outbox_dirty(worker, connection_of_outbox(outbox), lane);
    else if (was_empty)
        session->type->on_parked(worker, session);
}

enum outbox_verdict outbox_push(struct worker *worker, struct outbox *outbox,
                                struct session *session, struct parcel *parcel,
                                const struct encoding *encoding, enum send_lane lane) {
    const struct frame *frame = parcel_find(parcel, encoding->index);
    uint8_t class = parcel->message->class;
    enum drop_reason reason = DROP_NO_MEMORY;
    enum outbox_verdict verdict = OUTBOX_DROPPED;

    struct piece *piece = NULL;
    if (outbox_admit(worker, outbox, session, parcel->message, frame->total_bytes, &reason,
                     &verdict)) {
        reason = DROP_NO_MEMORY;
        verdict = OUTBOX_STARVED;
        piece = piece_get(worker, frame_is_marked(frame) ? PIECE_MARKED : PIECE_PARCEL, session);
    } else if (SHORTAGE(verdict == OUTBOX_WAIT)) {
        return verdict;
    }
    stats_add(&worker->stats.copies[class], 1);
    if (SHORTAGE(piece == NULL)) {
        stats_add(&worker->stats.copies_dropped[class][reason], 1);
        return verdict;
    }
    bool was_empty = outbox_empty(outbox);
    parcel_ref(parcel);
    piece->parcel = parcel;
    piece->encoding = (uint8_t)encoding->index;
    piece->bytes = frame->total_bytes;
    piece->again = encoding->is_again;
    if (piece->kind == PIECE_MARKED)
        session->type->mark(worker, session, parcel->message, piece_mark(piece));
    backlog_add(worker, &session->backlog, 1, piece->bytes);
    stats_add(&worker->stats.outbox_bytes, piece->bytes);
    stats_add(&worker->stats.copies_waiting[class], 1);
    piece_link(outbox, piece);
    if (backlog_half_full(worker, &session->backlog))
        slow_watch(worker, outbox, session);
    outbox_tell(worker, outbox, session, was_empty, lane);
    return OUTBOX_TAKEN;
}

bool outbox_push_batch(struct worker *worker, struct outbox *outbox, struct session *session,
                       struct frame_batch *batch) {
    struct backlog *backlog = &session->backlog;
    /* Out of an outbox of its own they will go one by one. */
    if (outbox->parked)
        return false;
    /* Half the limit is what volatile ones may use (outbox_admit); below it every class fits. */
    uint32_t limit = worker->config->outbox_bytes / 2;
    bool room = backlog->bytes + batch->bytes <= limit &&
                backlog->messages + batch->count <= BACKLOG_MESSAGES_MAX;
    if (SHORTAGE(!room) || worker->config->slow == SLOW_KEEP_LATEST)
        return false;
    struct piece *piece = piece_get(worker, PIECE_BATCH, session);
    if (SHORTAGE(piece == NULL))
        return false;
    frame_batch_ref(batch);
    piece->batch = batch;
    piece->parts = batch->count;
    piece->bytes = batch->bytes;
    for (unsigned class = 0; class < CLASSES; class ++) {
        stats_add(&worker->stats.copies[class], batch->of_class[class]);
        stats_add(&worker->stats.copies_waiting[class], batch->of_class[class]);
    }
    backlog_add(worker, backlog, batch->count, batch->bytes);
    stats_add(&worker->stats.outbox_bytes, batch->bytes);
    piece_link(outbox, piece);
    outbox_tell(worker, outbox, session, false, LANE_BULK);
    return true;
}

/* --- what happens to sessions ----------------------------------------------------------------- */

/* The message has another frame from now on; its mark stays. */
static void piece_reframe(struct worker *worker, struct piece *piece,
                          const struct encoding *encoding) {
    piece->encoding = (uint8_t)encoding->index;
    const struct frame *frame = piece_frame(piece);
    CHECK(frame_is_marked(frame) == (piece->kind == PIECE_MARKED),
          "a session moved to an encoding of another kind");
    backlog_less(piece, 0, piece->bytes);
    stats_sub(&worker->stats.outbox_bytes, piece->bytes);
    piece->bytes = frame->total_bytes;
    piece->session->backlog.bytes += piece->bytes;
    stats_add(&worker->stats.outbox_bytes, piece->bytes);
}

/* What has left a session's outbox counts for nobody. */
static void piece_disown(const struct worker *worker, struct piece *piece) {
    struct session *session = piece->session;
    piece_unwait(piece);
    backlog_less(piece, piece_messages(piece), piece->bytes);
    backlog_took(worker, &session->backlog, piece->bytes);
    piece->session = NULL;
}

/* The same for what is in flight. */
static void flight_disown(const struct worker *worker, struct outbox *outbox,
                          const struct session *session) {
    struct piece *piece = outbox->committed == NULL ? NULL : outbox->first;
    for (; piece != NULL; piece = piece == outbox->committed ? NULL : piece->next)
        if (piece->session == session)
            piece_disown(worker, piece);
}

/* One that waits goes to the end of the other outbox, unless it is a batch, which comes apart.
 * Returns the bytes that were moved. */
static uint32_t piece_move(struct worker *worker, struct piece *piece, struct outbox *from,
                           struct outbox *to) {
    struct session *session = piece->session;
    const struct encoding *encoding = session->type->encoding(session);
    const struct frame *frame = NULL;
    if (piece->again && encoding->again != NULL)
        encoding = encoding->again;
    bool expired = piece_expires_ns(piece) <= worker->now_ns;
    if (!expired)
        frame = parcel_frame(worker, piece->parcel, encoding);
    if (expired || SHORTAGE(frame == NULL)) {
        piece_drop(worker, from, piece, expired ? DROP_EXPIRED : DROP_NO_MEMORY);
        return 0;
    }
    piece_unlink(from, piece);
    from->bytes -= piece->bytes;
    tally_see(worker, piece);
    piece_reframe(worker, piece, encoding);
    piece_link(to, piece);
    if (session->type->outbox(session) != to)
        piece_disown(worker, piece);
    if (!to->parked)
        outbox_dirty(worker, connection_of_outbox(to), LANE_DIRECT);
    return piece->bytes;
}

uint32_t outbox_move(struct worker *worker, struct session *session, struct outbox *from,
                     struct outbox *to) {
    uint32_t moved = 0;
    if (session->type->outbox(session) != from)
        flight_disown(worker, from, session);
    struct piece *next, *piece = first_waiting(from);
    for (; piece != NULL; piece = next) {
        next = piece->next;
        if (piece->session != session)
            continue;
        if (piece->kind != PIECE_BATCH) {
            moved += piece_move(worker, piece, from, to);
            continue;
        }
        struct piece *parts = batch_split(worker, from, piece);
        if (SHORTAGE(parts == NULL))
            piece_drop(worker, from, piece, DROP_NO_MEMORY);
        else
            next = parts;
    }
    return moved;
}

void outbox_move_all(struct worker *worker, struct outbox *parked, struct outbox *to) {
    while (parked->first != NULL) {
        CHECK(piece_is_single(parked->first), "there is a piece of kind %u without a connection",
              parked->first->kind);
        if (parked->first->session == NULL)
            piece_drop(worker, parked, parked->first, DROP_GONE);
        else
            piece_move(worker, parked->first, parked, to);
    }
}

void outbox_disown(struct worker *worker, struct outbox *outbox, struct session *session) {
    if (session->backlog.messages == 0)
        return;
    flight_disown(worker, outbox, session);
    struct piece *next, *piece = next_of(outbox, session, NULL);
    for (; piece != NULL; piece = next) {
        next = next_of(outbox, session, piece);
        piece_disown(worker, piece);
    }
    session->backlog = (struct backlog){.bytes = 0};
}

void outbox_drop(struct worker *worker, struct outbox *outbox, struct session *session,
                 enum drop_reason reason) {
    struct piece *next, *piece = next_of(outbox, session, NULL);
    for (; piece != NULL; piece = next) {
        next = next_of(outbox, session, piece);
        piece_drop(worker, outbox, piece, reason);
    }
}

/* --- replies ---------------------------------------------------------------------------------- */

/* The lane of answers and control lines. */
static enum send_lane reply_lane(const struct worker *worker, const struct connection *connection) {
    const struct intake *intake = connection->intake;
    bool api = worker->listeners.at[connection->listener].kind == LISTENER_API;
    bool pushes_much = intake != NULL && intake_asks_much(intake, &worker->admission, 0);
    return api || pushes_much ? LANE_DIRECT : LANE_PROMPT;
}

static void reply_append(struct outbox *outbox, struct piece *piece) {
    piece_link(outbox, piece);
    outbox->reply_bytes += piece->bytes;
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
        outbox->reply_bytes += (uint32_t)bytes.len;
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
        reply_append(outbox, piece);
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
        reply_append(&connection->outbox, piece);
        outbox_dirty(worker, connection, reply_lane(worker, connection));
    }
    return true;
}

void outbox_clear(struct worker *worker, struct outbox *outbox, enum drop_reason reason) {
    uint32_t sent = 0;
    struct piece *piece = outbox->first;
    if (outbox_sends(outbox)) {
        piece = first_waiting(outbox);
    } else {
        sent = outbox->sent_bytes;
        outbox->committed = NULL;
        outbox->sent_bytes = 0;
    }
    while (piece != NULL) {
        struct piece *next = piece->next;
        piece_unlink(outbox, piece);
        piece_settle(worker, outbox, piece, sent, reason);
        piece_free(worker, piece);
        piece = next;
        sent = 0;
    }
}
