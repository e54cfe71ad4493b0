#include "core/delivery.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/server.h"

/* Sessions that are looked at ahead: they are spread over memory, and each visit would wait for
 * two cache lines. */
#define AHEAD_SESSION 8
#define AHEAD_CONNECTION 4

/* --- one message ------------------------------------------------------------------------------ */

struct delivery {
    struct worker *worker;
    const struct message *message;
    struct parcel *parcel;
    uint64_t visit;
    uint32_t recipients;
    unsigned flags; /* of the answer */
};

/* Marks the ids that are left out, for the time of one delivery; a mark is one look a session,
 * however many are left out. */
static void except_mark(const struct delivery *delivery, bool excepted) {
    const struct message *message = delivery->message;
    const struct message_name *except = message_except(message);
    for (uint16_t i = 0; i < message->except_count; i++) {
        struct name *name = directory_find(delivery->worker, NAME_ID, except[i].hash,
                                           message_name_text(message, &except[i]));
        if (name != NULL)
            name->excepted = excepted;
    }
}

/* Puts one copy into the outbox of an addressed session. */
static enum outbox_verdict copy_push(struct worker *worker, struct session *session,
                                     struct connection *connection, struct parcel *parcel) {
    const struct form *form = parcel_form(worker, parcel, session->type->encoding(session));
    if (form == NULL) {
        uint8_t class = parcel->message->class;
        stats_add(&worker->stats.copies[class], 1);
        stats_add(&worker->stats.copies_dropped[class][DROP_NO_MEMORY], 1);
        return OUTBOX_DROPPED;
    }
    enum outbox_verdict verdict = outbox_push(worker, connection, parcel, form);
    if (verdict == OUTBOX_FULL)
        session->type->close(worker, session, CLOSE_TOO_SLOW);
    return verdict;
}

static void deliver_to(struct delivery *delivery, struct session *session) {
    if (session->visit == delivery->visit && !FAULT(DEDUPE_MISSED))
        return;
    session->visit = delivery->visit;
    if (session->id != NULL && session->id->excepted)
        return;
    struct connection *connection = session->type->connection(session);
    if (connection == NULL)
        return;
    delivery->flags |= ANSWER_FOUND;
    if (copy_push(delivery->worker, session, connection, delivery->parcel) == OUTBOX_TAKEN)
        delivery->recipients++;
}

static void deliver_to_name(struct delivery *delivery, const struct message_name *address) {
    struct name *name = directory_find(delivery->worker, address->kind, address->hash,
                                       message_name_text(delivery->message, address));
    if (name == NULL || name->session_count == 0)
        return;
    /* Any of them may be closed as too slow while it is looked at. */
    name_pin(name);
    struct list *next;
    for (struct list *at = name->sessions.next; at != &name->sessions; at = next) {
        next = at->next;
        deliver_to(delivery, address->kind == NAME_ID
                                 ? container_of(at, struct session, id_link)
                                 : container_of(at, struct membership, name_link)->session);
    }
    name_unpin(delivery->worker, name);
}

static void ahead_look(struct worker *worker, uint32_t i) {
    if (i >= AHEAD_SESSION)
        __builtin_prefetch(worker->sessions[i - AHEAD_SESSION]);
    if (i >= AHEAD_CONNECTION) {
        struct session *session = worker->sessions[i - AHEAD_CONNECTION];
        const struct connection *connection = session->type->connection(session);
        if (connection != NULL)
            __builtin_prefetch(&connection->outbox);
    }
}

static void deliver_now(struct worker *worker, struct parcel *parcel, const struct mail *request) {
    const struct message *message = parcel->message;
    struct delivery delivery = {
        .worker = worker, .message = message, .parcel = parcel, .visit = ++worker->visit};
    except_mark(&delivery, true);
    if (message->broadcast) {
        /* Backwards: one that closes changes places with one that was looked at already. */
        for (uint32_t i = worker->session_count; i-- > 0;) {
            ahead_look(worker, i);
            deliver_to(&delivery, worker->sessions[i]);
        }
    } else {
        const struct message_name *address = message->names;
        for (uint32_t i = 0; i < (uint32_t)message->to_count + message->group_count; i++)
            deliver_to_name(&delivery, &address[i]);
    }
    except_mark(&delivery, false);
    bool unicast = message_is_unicast(message);
    parcel_unref(worker, parcel);
    hub_answer(worker, request, delivery.recipients, delivery.flags, unicast);
}

/* --- broadcasts that were put off ------------------------------------------------------------- */

/* Those of one turn, on their way to all sessions. */
struct round {
    struct worker *worker;
    struct broadcast list[BROADCASTS_MAX];
    uint32_t count;
    struct parcel *parcels[BROADCASTS_MAX];
    struct sheaf *sheaves[ENCODINGS_MAX]; /* made when the first session needs one */
    bool tried[ENCODINGS_MAX];
    uint32_t recipients[BROADCASTS_MAX]; /* beyond those that took all of them */
    uint32_t took_all;
    unsigned flags;
};

static struct sheaf *round_sheaf(struct round *round, const struct encoding *encoding) {
    if (!round->tried[encoding->index]) {
        round->tried[encoding->index] = true;
        round->sheaves[encoding->index] =
            sheaf_open(round->worker, round->parcels, round->count, encoding);
    }
    return round->sheaves[encoding->index];
}

static void round_visit(struct round *round, struct session *session) {
    struct worker *worker = round->worker;
    struct connection *connection = session->type->connection(session);
    if (connection == NULL)
        return;
    round->flags |= ANSWER_FOUND;
    struct sheaf *sheaf = round_sheaf(round, session->type->encoding(session));
    if (sheaf != NULL && outbox_push_sheaf(worker, connection, sheaf)) {
        round->took_all++;
        return;
    }
    /* One by one: each has its own fate. */
    for (uint32_t i = 0; i < round->count; i++) {
        enum outbox_verdict verdict = copy_push(worker, session, connection, round->parcels[i]);
        round->recipients[i] += verdict == OUTBOX_TAKEN;
        if (verdict == OUTBOX_FULL)
            return; /* the session has gone */
    }
}

void deliver_broadcasts(struct worker *worker) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    if (broadcasts->count == 0)
        return;
    struct round round = {.worker = worker, .count = broadcasts->count};
    for (uint32_t i = 0; i < round.count; i++) {
        round.list[i] = broadcasts->waiting[i];
        round.parcels[i] = round.list[i].parcel;
    }
    broadcasts->count = broadcasts->payload_bytes = 0;
    if (round.count == 1) {
        deliver_now(worker, round.parcels[0], &round.list[0].request);
        return;
    }
    stats_add(&worker->stats.sheaves, 1);
    /* Backwards: one that closes changes places with one that was looked at already. */
    for (uint32_t i = worker->session_count; i-- > 0;) {
        ahead_look(worker, i);
        round_visit(&round, worker->sessions[i]);
    }
    for (unsigned i = 0; i < ENCODINGS_MAX; i++)
        if (round.sheaves[i] != NULL)
            sheaf_unref(worker, round.sheaves[i]);
    /* The answers last: what they set off may deliver again. */
    for (uint32_t i = 0; i < round.count; i++) {
        const struct mail *request = &round.list[i].request;
        parcel_unref(worker, round.parcels[i]);
        hub_answer(worker, request, round.took_all + round.recipients[i], round.flags, false);
    }
}

/* --- the door --------------------------------------------------------------------------------- */

static bool can_wait(const struct worker *worker, const struct message *message) {
    return message->broadcast && message->except_count == 0 &&
           message->payload_len <= FORM_COPY_BYTES_MAX && worker->session_count > 1;
}

void deliver(struct worker *worker, struct message *message, const struct mail *request) {
    struct broadcasts *broadcasts = &worker->broadcasts;
    bool wait = can_wait(worker, message);
    if (!wait || broadcasts->count == BROADCASTS_MAX ||
        broadcasts->payload_bytes + message->payload_len > SHEAF_BYTES_MAX)
        deliver_broadcasts(worker);
    struct parcel *parcel = parcel_open(worker, message);
    if (parcel == NULL) {
        bool unicast = message_is_unicast(message);
        message_release(worker, message);
        hub_answer(worker, request, 0, ANSWER_OVERLOADED, unicast);
    } else if (wait) {
        broadcasts->waiting[broadcasts->count++] = (struct broadcast){parcel, *request};
        broadcasts->payload_bytes += message->payload_len;
        worker->turn_copies += worker->session_count / BROADCASTS_MAX;
    } else {
        deliver_now(worker, parcel, request);
    }
}
