/* outbox_batch.c - batches that an outbox must treat message by message; see piece.h. */
#include "core/base/shortage.h"
#include "core/piece.h"

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
        struct piece *piece = piece_get_again(worker, whole);
        if (SHORTAGE(piece == NULL)) {
            pieces_free(worker, chain);
            return NULL;
        }
        parcel_ref(part->parcel);
        piece->parcel = part->parcel;
        piece->encoding = (uint8_t)whole->batch->encoding;
        piece->bytes = part->frame->total_bytes;
        piece->prev = *last;
        *last = *end = piece;
        end = &piece->next;
    }
    return chain;
}

/* In the session's list they take the place of the batch; before all, if that is out in part. */
static void batch_pieces_wait(struct piece *whole, struct piece *first,
                              const struct piece *behind) {
    struct list *at = &piece_shared(whole)->own;
    at = list_linked(at) ? at->prev : whole->session->type->waiting(whole->session);
    for (struct piece *piece = first; piece != behind; piece = piece->next) {
        list_add_head(at, &piece_shared(piece)->own);
        at = at->next;
    }
}

struct piece *batch_split(struct worker *worker, struct outbox *outbox, struct piece *piece) {
    struct frame_batch *batch = piece->batch;
    uint32_t sent = piece->prev == NULL ? outbox->sent_bytes : 0, whole = 0, begin = 0;
    while (batch->parts[whole].end <= sent)
        begin = batch->parts[whole++].end;
    struct piece *last = NULL, *chain = batch_pieces(worker, piece, whole, &last);
    if (SHORTAGE(chain == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    for (uint32_t i = 0; i < whole; i++)
        copies_settled(worker, piece, batch->parts[i].parcel->message->class, 1,
                       batch->parts[i].parcel->message->accepted_ns, NULL);
    backlog_less(piece, whole, begin);
    outbox->bytes -= begin;
    stats_sub(&worker->stats.outbox_bytes, begin);
    last->next = piece->next;
    if (piece->next != NULL)
        piece->next->prev = last;
    else
        outbox->last = last;
    chain->prev = piece->prev;
    if (piece->prev == NULL) {
        outbox->first = chain;
        outbox->sent_bytes = sent - begin;
        outbox->committed = sent != begin ? chain : NULL;
    } else {
        piece->prev->next = chain;
    }
    if (piece->shared && piece->session != NULL)
        batch_pieces_wait(piece, sent != begin ? chain->next : chain, last->next);
    piece_unwait(piece);
    piece_free(worker, piece);
    return chain;
}

void batch_cut(struct worker *worker, struct outbox *outbox) {
    struct piece *piece = outbox->first;
    const struct frame_batch_part *parts = piece->batch->parts;
    const enum drop_reason reason = DROP_NO_MEMORY;
    uint32_t kept = 0, end = 0;
    while (end < outbox->sent_bytes)
        end = parts[kept++].end;
    for (uint32_t i = kept; i < piece->parts; i++) {
        const struct message *message = parts[i].parcel->message;
        copies_settled(worker, piece, message->class, 1, message->accepted_ns, &reason);
    }
    uint32_t bytes = piece->bytes - end;
    backlog_less(piece, piece->parts - kept, bytes);
    outbox->bytes -= bytes;
    stats_sub(&worker->stats.outbox_bytes, bytes);
    piece->parts = kept;
    piece->bytes = end;
    if (end != outbox->sent_bytes)
        return;
    piece_unlink(outbox, piece);
    outbox->sent_bytes = 0;
    outbox->committed = NULL;
    piece_settle(worker, outbox, piece, end, reason);
    piece_free(worker, piece);
}
