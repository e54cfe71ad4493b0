#include "core/tally.h"

#include "core/base/log.h"
#include "core/piece.h"
#include "core/worker.h"

/* Slots, sessions and kept messages between two looks at the clock. */
#define STEPS_PER_LOOK 32

void tally_see(struct worker *worker, struct piece *piece) {
    struct tally *tally = &worker->tally;
    if (piece->side == tally->side || piece_is_reply(piece))
        return;
    piece->side = tally->side;
    if (piece_is_single(piece))
        tally->unseen[piece->parcel->message->class]--;
    else
        for (uint32_t i = 0; i < piece->parts; i++)
            tally->unseen[piece->batch->parts[i].parcel->message->class]--;
}

static void outbox_see(struct worker *worker, const struct outbox *outbox) {
    for (struct piece *piece = outbox->first; piece != NULL; piece = piece->next)
        tally_see(worker, piece);
}

static bool copies_missing(const struct tally *tally) {
    for (unsigned class = 0; class < CLASSES; class ++)
        if (tally->unseen[class] != 0)
            return true;
    return false;
}

/* --- steps: one thing is looked at. False: that was all --------------------------------------- */

static bool connection_step(struct worker *worker) {
    struct tally *tally = &worker->tally;
    if (tally->at >= worker->slots.block_count * CONNECTION_BLOCK)
        return false;
    outbox_see(worker, &slot_at(worker, tally->at++)->outbox);
    return true;
}

/* From the last one down: when one ends, the last one takes its place, and was met already. */
static bool session_step(struct worker *worker) {
    struct tally *tally = &worker->tally;
    if (tally->at > worker->sessions.count)
        tally->at = worker->sessions.count;
    if (tally->at == 0)
        return false;
    struct session *session = worker->sessions.at[--tally->at];
    const struct outbox *outbox = session->type->outbox(session);
    if (outbox != NULL && outbox->parked)
        outbox_see(worker, outbox);
    return true;
}

static void id_begin(struct worker *worker, const struct kept_id *before) {
    struct tally *tally = &worker->tally;
    const struct table_node *node =
        table_walk(&worker->keeper.ids, before == NULL ? NULL : &before->node);
    tally->id = node == NULL ? NULL : container_of(node, const struct kept_id, node);
    tally->kept = tally->id == NULL ? NULL : tally->id->all.next;
}

static bool kept_step(struct worker *worker) {
    struct tally *tally = &worker->tally;
    if (tally->id == NULL)
        return false;
    if (tally->kept == &tally->id->all) {
        id_begin(worker, tally->id);
        return true;
    }
    struct kept *kept = container_of(tally->kept, struct kept, order);
    tally->kept = kept->order.next;
    if (kept->state != KEPT_RESERVED && kept->side != tally->side) {
        kept->side = tally->side;
        tally->acks_unseen--;
    }
    return true;
}

void tally_pass_id(struct worker *worker, const struct kept_id *id) {
    if (worker->tally.id == id)
        id_begin(worker, id);
}

/* --- the whole -------------------------------------------------------------------------------- */

static void tally_begin(struct worker *worker) {
    struct tally *tally = &worker->tally;
    tally->side = !tally->side;
    for (unsigned class = 0; class < CLASSES; class ++)
        tally->unseen[class] = stats_get(&worker->stats.copies_waiting[class]);
    /* What is at the store is in no list here. */
    tally->acks_unseen = stats_get(&worker->stats.acks_pending) - worker->keeper.safe.unsafe;
    tally->stage = TALLY_CONNECTIONS;
    tally->at = 0;
}

static void stage_end(struct worker *worker) {
    struct tally *tally = &worker->tally;
    /* Most nodes have no session with an outbox of its own. */
    if (tally->stage == TALLY_CONNECTIONS && copies_missing(tally)) {
        tally->stage = TALLY_SESSIONS;
        tally->at = worker->sessions.count;
    } else if (tally->stage != TALLY_KEPT) {
        tally->stage = TALLY_KEPT;
        id_begin(worker, NULL);
    } else {
        tally->stage = TALLY_NONE;
    }
}

/* The gauges are what was found, which may be more than they were. */
static void tally_end(struct worker *worker) {
    struct tally *tally = &worker->tally;
    uint64_t copies = 0;
    for (unsigned class = 0; class < CLASSES; class ++) {
        stats_sub(&worker->stats.copies_waiting[class], tally->unseen[class]);
        copies += tally->unseen[class];
    }
    stats_sub(&worker->stats.acks_pending, tally->acks_unseen);
    if (copies_missing(tally) || tally->acks_unseen != 0)
        log_event(LOG_ERROR, "ledger_unbalanced", LOG_U64("worker", worker->index),
                  LOG_I64("copies_missing", (int64_t)copies),
                  LOG_I64("acks_missing", (int64_t)tally->acks_unseen));
}

bool tally_work(struct worker *worker) {
    static bool (*const step[])(struct worker * worker) = {
        [TALLY_CONNECTIONS] = connection_step,
        [TALLY_SESSIONS] = session_step,
        [TALLY_KEPT] = kept_step,
    };
    struct tally *tally = &worker->tally;
    if (tally->stage == TALLY_NONE)
        tally_begin(worker);
    for (unsigned steps = 1;; steps++) {
        if (!step[tally->stage](worker))
            stage_end(worker);
        if (tally->stage == TALLY_NONE)
            break;
        if (steps % STEPS_PER_LOOK == 0 && slice_over(worker))
            return false;
    }
    tally_end(worker);
    return true;
}
