/* outbox_parked.c - messages of sessions without a connection: into the answer of a poll; see
 * outbox.h. */
#include "core/attend.h"
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/outbox.h"
#include "core/piece.h"

const struct message *outbox_parked_first(struct worker *worker, struct outbox *parked) {
    struct piece *piece;
    while ((piece = parked->first) != NULL) {
        CHECK(piece_is_single(piece), "there is a piece of kind %u without a connection",
              piece->kind);
        struct session *session = piece->session;
        bool expired = piece_expires_ns(piece) <= worker->now_ns;
        if (session != NULL && !expired)
            return piece->parcel->message;
        piece_drop(worker, parked, piece, expired ? DROP_EXPIRED : DROP_GONE);
        if (session != NULL)
            attend_look(worker, session);
    }
    return NULL;
}

/* Its frame is that of the session's encoding now. Only the sums that are told (outbox_bytes) stay
 * those of the old one until it is settled. False: no memory. */
static bool encode_anew(struct worker *worker, struct piece *piece, uint32_t *bytes) {
    struct session *session = piece->session;
    const struct encoding *encoding = session->type->encoding(session);
    if (piece->again && encoding->again != NULL)
        encoding = encoding->again;
    const struct frame *frame = parcel_frame(worker, piece->parcel, encoding);
    if (SHORTAGE(frame == NULL))
        return false;
    CHECK(frame_is_marked(frame) == (piece->kind == PIECE_MARKED),
          "a session moved to an encoding of another kind");
    piece->encoding = (uint8_t)encoding->index;
    *bytes = frame->total_bytes;
    return true;
}

enum outbox_take outbox_parked_take(struct worker *worker, struct outbox *parked,
                                    struct chain *chain, struct span between, size_t max_bytes) {
    struct piece *piece = parked->first;
    struct session *session = piece->session;
    struct iovec runs[PIECE_RUNS_MAX];
    uint32_t bytes, queued_bytes = piece->bytes;
    uint8_t encoding = piece->encoding;
    if (!encode_anew(worker, piece, &bytes))
        return OUTBOX_TAKE_STARVED;
    bool is_long = between.len + bytes > max_bytes;
    if (is_long || SHORTAGE(!chain_room(chain, between.len + bytes))) {
        piece->encoding = encoding;
        return is_long ? OUTBOX_TAKE_LONG : OUTBOX_TAKE_STARVED;
    }
    piece->bytes = bytes; /* of the runs */
    unsigned count = piece_message_runs(piece, runs);
    builder_span_add(&chain->out, between);
    for (unsigned i = 0; i < count; i++)
        builder_bytes(&chain->out, runs[i].iov_base, runs[i].iov_len);
    piece->bytes = queued_bytes;
    piece_unlink(parked, piece);
    piece_settle(worker, parked, piece, queued_bytes, DROP_GONE);
    piece_free(worker, piece);
    backlog_took(worker, &session->backlog, queued_bytes);
    attend_look(worker, session);
    return OUTBOX_TAKE_DONE;
}
