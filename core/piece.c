#include "core/piece.h"

#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/chain.h"

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
        account_give(&worker->account, sizeof(struct piece));
    }
    pool_put(&worker->sending.pieces, piece);
}

void copies_settled(struct worker *worker, unsigned class, uint32_t count, uint64_t accepted_ns,
                    const enum drop_reason *reason) {
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
    if (piece->kind == PIECE_PARCEL) {
        const struct message *message = piece->parcel->message;
        copies_settled(worker, message->class, 1, message->accepted_ns, whole ? NULL : &reason);
    } else if (piece->kind == PIECE_BATCH && whole && piece->parts == piece->batch->count) {
        for (unsigned class = 0; class < CLASSES; class ++)
            copies_settled(worker, class, piece->batch->of_class[class], piece->batch->accepted_ns,
                           NULL);
    } else if (piece->kind == PIECE_BATCH) {
        for (uint32_t i = 0; i < piece->parts; i++) {
            const struct frame_batch_part *part = &piece->batch->parts[i];
            copies_settled(worker, part->parcel->message->class, 1,
                           part->parcel->message->accepted_ns, part->end <= sent ? NULL : &reason);
        }
    }
    if (!piece_is_reply(piece)) {
        outbox->pieces -= piece_messages(piece);
        outbox->message_bytes -= piece->bytes;
        stats_sub(&worker->stats.outbox_bytes, piece->bytes);
    }
    outbox->bytes -= piece->bytes;
}

struct piece *piece_get(struct worker *worker) {
    if (SHORTAGE(!account_take(&worker->account, sizeof(struct piece)))) {
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    struct piece *piece = pool_get(&worker->sending.pieces);
    if (SHORTAGE(piece == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        account_give(&worker->account, sizeof(struct piece));
    }
    return piece;
}
