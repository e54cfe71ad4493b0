#include "core/piece.h"

#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/chain.h"

static size_t piece_bytes(unsigned kind) {
    return kind == PIECE_MARKED ? sizeof(struct marked_piece) : sizeof(struct piece);
}

static struct pool *piece_pool(struct worker *worker, unsigned kind) {
    return kind == PIECE_MARKED ? &worker->sending.marked_pieces : &worker->sending.pieces;
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
        account_give(&worker->account, piece_bytes(piece->kind));
    }
    pool_put(piece_pool(worker, piece->kind), piece);
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

struct piece *piece_get(struct worker *worker, enum piece_kind kind) {
    struct pool *pool = piece_pool(worker, kind);
    if (SHORTAGE(!account_take(&worker->account, piece_bytes(kind)))) {
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    struct piece *piece = pool_get(pool);
    if (SHORTAGE(piece == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        account_give(&worker->account, piece_bytes(kind));
        return NULL;
    }
    *piece = (struct piece){.kind = (uint8_t)kind, .side = worker->tally.side};
    return piece;
}

void piece_unlink(struct outbox *outbox, struct piece *before, const struct piece *piece) {
    if (before != NULL)
        before->next = piece->next;
    else
        outbox->first = piece->next;
    if (outbox->last == piece)
        outbox->last = before;
}

void piece_drop(struct worker *worker, struct outbox *outbox, struct piece *before,
                struct piece *piece, enum drop_reason reason) {
    piece_unlink(outbox, before, piece);
    piece_settle(worker, outbox, piece, 0, reason);
    piece_free(worker, piece);
}
