#include "core/piece.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/chain.h"

static size_t piece_bytes(bool shared) {
    return shared ? sizeof(struct shared_piece) : sizeof(struct piece);
}

static struct pool *piece_pool(struct worker *worker, bool shared) {
    return shared ? &worker->sending.shared_pieces : &worker->sending.pieces;
}

void piece_free(struct worker *worker, struct piece *piece) {
    if (piece->kind == PIECE_BYTES) {
        reply_put(worker, piece->buffer, sizeof(struct piece) + piece->buffer_cap, piece->beyond);
    } else if (piece->kind == PIECE_CHUNK) {
        chunk_put(piece->chunk);
    } else {
        if (piece->kind == PIECE_BATCH)
            frame_batch_unref(worker, piece->batch);
        else if (!FAULT(PARCEL_LEAK))
            parcel_unref(worker, piece->parcel);
        account_give(&worker->account, piece_bytes(piece->shared));
    }
    pool_put(piece_pool(worker, piece->shared), piece);
}

void copies_settled(struct worker *worker, const struct piece *piece, unsigned class,
                    uint32_t count, uint64_t accepted_ns, const enum drop_reason *reason) {
    if (piece->side != worker->tally.side)
        worker->tally.unseen[class] -= count;
    stats_sub(&worker->stats.copies_waiting[class], count);
    if (reason == NULL && count != 0)
        stats_delay(&worker->stats, class, count, piece_age_ns(worker, accepted_ns));
    if (reason == NULL)
        stats_add(&worker->stats.copies_sent[class], count);
    else if (!FAULT(DROP_UNCOUNTED))
        stats_add(&worker->stats.copies_dropped[class][*reason], count);
}

void piece_settle(struct worker *worker, struct outbox *outbox, const struct piece *piece,
                  uint32_t sent, enum drop_reason reason) {
    bool whole = sent >= piece->bytes;
    if (piece_is_single(piece)) {
        const struct message *message = piece->parcel->message;
        copies_settled(worker, piece, message->class, 1, message->accepted_ns,
                       whole ? NULL : &reason);
    } else if (piece->kind == PIECE_BATCH && whole && piece->parts == piece->batch->count) {
        for (unsigned class = 0; class < CLASSES; class ++)
            copies_settled(worker, piece, class, piece->batch->of_class[class],
                           piece->batch->accepted_ns, NULL);
    } else if (piece->kind == PIECE_BATCH) {
        for (uint32_t i = 0; i < piece->parts; i++) {
            const struct frame_batch_part *part = &piece->batch->parts[i];
            copies_settled(worker, piece, part->parcel->message->class, 1,
                           part->parcel->message->accepted_ns, part->end <= sent ? NULL : &reason);
        }
    }
    outbox->bytes -= piece->bytes;
    if (piece_is_reply(piece)) {
        outbox->reply_bytes -= piece->bytes;
        return;
    }
    stats_sub(&worker->stats.outbox_bytes, piece->bytes);
    backlog_less(piece, piece_messages(piece), piece->bytes);
}

struct piece *piece_get(struct worker *worker, enum piece_kind kind, struct session *session) {
    bool shared = session->type->waiting != NULL;
    CHECK(shared || kind != PIECE_MARKED, "a session with marks has no list");
    struct pool *pool = piece_pool(worker, shared);
    if (SHORTAGE(!account_take(&worker->account, piece_bytes(shared)))) {
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    struct piece *piece = pool_get(pool);
    if (SHORTAGE(piece == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        account_give(&worker->account, piece_bytes(shared));
        return NULL;
    }
    *piece = (struct piece){
        .kind = (uint8_t)kind, .session = session, .side = worker->tally.side, .shared = shared};
    if (shared)
        list_init(&piece_shared(piece)->own);
    return piece;
}

struct piece *piece_get_again(struct worker *worker, const struct piece *batch) {
    struct piece *piece = pool_get(piece_pool(worker, batch->shared));
    if (SHORTAGE(piece == NULL))
        return NULL;
    account_force(&worker->account, piece_bytes(batch->shared));
    *piece = (struct piece){.kind = PIECE_PARCEL,
                            .session = batch->session,
                            .side = batch->side,
                            .shared = batch->shared};
    if (batch->shared)
        list_init(&piece_shared(piece)->own);
    return piece;
}

void piece_link(struct outbox *outbox, struct piece *piece) {
    piece->next = NULL;
    piece->prev = outbox->last;
    if (outbox->last != NULL)
        outbox->last->next = piece;
    else
        outbox->first = piece;
    outbox->last = piece;
    outbox->bytes += piece->bytes;
    if (piece->shared)
        list_add_tail(piece->session->type->waiting(piece->session), &piece_shared(piece)->own);
}

void piece_unlink(struct outbox *outbox, struct piece *piece) {
    piece_unwait(piece);
    if (piece->prev != NULL)
        piece->prev->next = piece->next;
    else
        outbox->first = piece->next;
    if (piece->next != NULL)
        piece->next->prev = piece->prev;
    else
        outbox->last = piece->prev;
}

void piece_drop(struct worker *worker, struct outbox *outbox, struct piece *piece,
                enum drop_reason reason) {
    piece_unlink(outbox, piece);
    piece_settle(worker, outbox, piece, 0, reason);
    piece_free(worker, piece);
}
