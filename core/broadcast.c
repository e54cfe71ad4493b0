#include "core/broadcast.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/delivery.h"
#include "core/server.h"
#include "core/worker.h"

#include <string.h>

/* Sessions that are looked at ahead: they are spread over memory, and each visit would wait for
 * two cache lines. */
#define AHEAD_SESSION 8
#define AHEAD_OUTBOX 4
/* The clock is read after so many visits. */
#define VISITS_PER_LOOK 16

struct broadcast {
    struct list link; /* in `waiting` */
    struct parcel *parcel;
    struct mail request;
};

void broadcasts_init(struct broadcasts *broadcasts) {
    *broadcasts = (struct broadcasts){.count = 0};
    list_init(&broadcasts->waiting);
    pool_init(&broadcasts->pool, sizeof(struct broadcast));
}

void broadcasts_fini(struct broadcasts *broadcasts) {
    CHECK(!broadcasts_busy(broadcasts), "%u broadcasts were not delivered", broadcasts->count);
    pool_fini(&broadcasts->pool);
}

/* --- what waits ------------------------------------------------------------------------------- */

bool broadcast_push(struct worker *worker, struct parcel *parcel, const struct mail *request) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    struct broadcast *broadcast = pool_get(&broadcasts->pool);
    if (SHORTAGE(broadcast == NULL))
        return false;
    *broadcast = (struct broadcast){.parcel = parcel, .request = *request};
    list_init(&broadcast->link);
    list_add_tail(&broadcasts->waiting, &broadcast->link);
    return true;
}

static struct broadcast *first_waiting(const struct broadcasts *broadcasts) {
    return container_of(broadcasts->waiting.next, struct broadcast, link);
}

uint64_t broadcasts_late_ns(const struct broadcasts *broadcasts, uint64_t now_ns) {
    if (list_empty(&broadcasts->waiting))
        return 0;
    uint64_t since_ns = first_waiting(broadcasts)->parcel->message->accepted_ns;
    return since_ns < broadcasts->begun_ns[1] && since_ns < now_ns ? now_ns - since_ns : 0;
}

/* --- joining, and the end --------------------------------------------------------------------- */

static bool can_share(const struct message *message) {
    return message->except_count == 0 && message->payload_len <= FRAME_COPY_BYTES_MAX;
}

/* May the first that waits join those that are under way, which are of one namespace? */
static bool may_join(const struct broadcasts *broadcasts, const struct message *message) {
    if (broadcasts->count == 0)
        return true;
    return !broadcasts->alone && can_share(message) &&
           message->namespace == broadcasts->namespace &&
           broadcasts->count < FRAME_BATCH_PARTS_MAX &&
           broadcasts->bytes + message->payload_len <= FRAME_BATCH_BYTES_MAX;
}

static void rounds_begin(struct worker *worker) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    while (!list_empty(&broadcasts->waiting)) {
        struct broadcast *broadcast = first_waiting(broadcasts);
        const struct message *message = broadcast->parcel->message;
        if (!may_join(broadcasts, message))
            return;
        list_remove(&broadcast->link);
        if (broadcasts->count == 0) {
            broadcasts->alone = !can_share(message);
            broadcasts->namespace = message->namespace;
        }
        broadcasts->rounds[broadcasts->count++] =
            (struct broadcast_round){.broadcast = broadcast, .left = worker->sessions.count};
        broadcasts->bytes += message->payload_len;
        broadcasts->newest++;
    }
}

static void batch_drop(struct worker *worker, struct broadcast_batch *made) {
    if (made->batch != NULL)
        frame_batch_unref(worker, made->batch);
    *made = (struct broadcast_batch){.batch = NULL};
}

/* Ends those that have been round. */
static void rounds_end(struct worker *worker) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    while (broadcasts->count != 0 && broadcasts->rounds[0].left == 0) {
        struct broadcast_round over = broadcasts->rounds[0];
        struct broadcast broadcast = *over.broadcast;
        const struct message *message = broadcast.parcel->message;
        broadcasts->count--;
        memmove(broadcasts->rounds, broadcasts->rounds + 1,
                broadcasts->count * sizeof(broadcasts->rounds[0]));
        broadcasts->bytes -= message->payload_len;
        pool_put(&broadcasts->pool, over.broadcast);
        if (broadcasts->count == 0)
            for (unsigned i = 0; i < ENCODINGS_MAX; i++)
                batch_drop(worker, &broadcasts->batches[i]);
        fanout_release(&worker->server->post, worker->index, broadcast.request.number);
        parcel_unref(worker, broadcast.parcel);
        /* Last: what the answer sets off may deliver again, or close a session. */
        hub_answer(&worker->endpoint, &broadcast.request, over.recipients, over.flags, false);
    }
}

/* How many of those under way the session has not been visited with. */
static uint32_t session_lacks(const struct broadcasts *broadcasts, const struct session *session) {
    uint32_t lacks = broadcasts->newest - session->heard;
    CHECK(lacks <= broadcasts->count, "a session lacks %u broadcasts of %u", lacks,
          broadcasts->count);
    return lacks;
}

void broadcasts_leave(struct broadcasts *broadcasts, const struct session *session) {
    uint32_t lacks = session_lacks(broadcasts, session);
    for (uint32_t i = broadcasts->count - lacks; i < broadcasts->count; i++)
        broadcasts->rounds[i].left--;
}

/* --- a session -------------------------------------------------------------------------------- */

/* The last `lacks` messages as one piece. Only the second session that asks for the same shows that
 * it is worth the copy. */
static struct frame_batch *batch_for(struct worker *worker, const struct encoding *encoding,
                                     uint32_t lacks) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    struct broadcast_batch *made = &broadcasts->batches[encoding->index];
    if (made->last != broadcasts->newest || made->count != lacks) {
        batch_drop(worker, made);
        made->last = broadcasts->newest;
        made->count = lacks;
    } else if (!made->tried) {
        struct parcel *parcels[FRAME_BATCH_PARTS_MAX];
        const struct broadcast_round *first = &broadcasts->rounds[broadcasts->count - lacks];
        for (uint32_t i = 0; i < lacks; i++)
            parcels[i] = first[i].broadcast->parcel;
        made->tried = true;
        made->batch = frame_batch_open(worker, parcels, lacks, encoding);
    }
    return made->batch;
}

/* The session was visited with the next one that it lacked. */
static void round_visited(struct session *session, struct broadcast_round *round, bool taken,
                          unsigned flags) {
    session->heard++;
    round->left--;
    round->recipients += taken;
    round->flags |= flags;
}

/* Gives the session what it lacks. False: its own send must go first; come again. */
static bool session_visit(struct worker *worker, struct session *session) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    uint32_t lacks = session_lacks(broadcasts, session);
    if (lacks == 0)
        return true;
    struct broadcast_round *round = &broadcasts->rounds[broadcasts->count - lacks];
    struct broadcast_round *end = broadcasts->rounds + broadcasts->count;
    struct outbox *outbox = session->type->outbox(session);
    if (outbox == NULL || session->namespace != broadcasts->namespace ||
        delivery_leaves_out(worker, session)) {
        for (; round < end; round++)
            round_visited(session, round, false, 0);
        return true;
    }
    if (lacks > 1) {
        struct frame_batch *batch = batch_for(worker, session->type->encoding(session), lacks);
        if (batch != NULL && outbox_push_batch(worker, outbox, session, batch)) {
            trail_note_batch(worker, session, batch);
            for (; round < end; round++)
                round_visited(session, round, true, ANSWER_FOUND);
            if (FAULT(BROADCAST_REPEATED))
                session->heard--;
            return true;
        }
    }
    /* One by one: each has its own fate. */
    for (; round < end; round++) {
        enum outbox_verdict verdict =
            delivery_push(worker, session, outbox, round->broadcast->parcel, LANE_BULK);
        if (verdict == OUTBOX_WAIT) {
            outbox_hurry(worker, outbox);
            return false;
        }
        if (verdict == OUTBOX_FULL) {
            round->flags |= ANSWER_FOUND;
            return true; /* the session has gone, and left all rounds */
        }
        round_visited(session, round, verdict == OUTBOX_TAKEN,
                      verdict == OUTBOX_STARVED ? ANSWER_FOUND | ANSWER_STARVED : ANSWER_FOUND);
    }
    return true;
}

static void outbox_prefetch(struct session *session) {
    const struct outbox *outbox = session->type->outbox(session);
    if (outbox != NULL)
        __builtin_prefetch(outbox);
}

/* Goes on until the oldest has been round, or the slice is over. False: a session must send first,
 * in this turn. */
static bool walk(struct worker *worker) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    for (unsigned visits = 1; broadcasts->rounds[0].left != 0; visits++) {
        /* Some may have left. */
        if (broadcasts->ahead > worker->sessions.count)
            broadcasts->ahead = worker->sessions.count;
        if (broadcasts->ahead == 0) {
            broadcasts->ahead = worker->sessions.count;
            broadcasts->begun_ns[1] = broadcasts->begun_ns[0];
            broadcasts->begun_ns[0] = worker->now_ns;
        }
        CHECK(broadcasts->ahead != 0, "a broadcast waits for %u sessions of none",
              broadcasts->rounds[0].left);
        uint32_t i = broadcasts->ahead - 1;
        if (i >= AHEAD_SESSION)
            __builtin_prefetch(worker->sessions.at[i - AHEAD_SESSION]);
        if (i >= AHEAD_OUTBOX)
            outbox_prefetch(worker->sessions.at[i - AHEAD_OUTBOX]);
        uint32_t sessions = worker->sessions.count;
        if (!session_visit(worker, worker->sessions.at[i]))
            return false;
        broadcasts->ahead = i;
        /* All that waited for one that was closed by this was dropped, which takes its time. */
        bool closed = worker->sessions.count != sessions;
        if (worker_copies_wait(worker) ||
            ((closed || visits % VISITS_PER_LOOK == 0) && slice_over(worker)))
            break;
    }
    return true;
}

/* --- the door --------------------------------------------------------------------------------- */

void broadcasts_work(struct worker *worker) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    broadcasts->held = false;
    while (broadcasts_busy(broadcasts) && !worker_copies_wait(worker)) {
        rounds_begin(worker);
        const struct message *alone =
            broadcasts->alone ? broadcasts->rounds[0].broadcast->parcel->message : NULL;
        if (alone != NULL)
            delivery_except(worker, alone, true);
        broadcasts->held = !walk(worker);
        if (alone != NULL)
            delivery_except(worker, alone, false);
        rounds_end(worker);
        if (broadcasts->held || slice_over(worker))
            return;
    }
}

void broadcasts_held_tell(struct worker *worker) {
    const struct broadcasts *broadcasts = &worker->broadcasts;
    _Atomic bool *told = &worker->server->post.boxes[worker->index].broadcasts_held_late;
    bool late = broadcasts->held && broadcasts->count != 0 &&
                worker->now_ns >= broadcasts->rounds[0].broadcast->parcel->message->accepted_ns +
                                      worker->delivery.held_late_ns;
    if (late != atomic_load_explicit(told, memory_order_relaxed))
        atomic_store_explicit(told, late, memory_order_relaxed);
}
