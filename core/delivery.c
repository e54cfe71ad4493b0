#include "core/delivery.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"

bool delivery_rooms_leave_out(const struct session *session) {
    const struct list *all = &session->memberships;
    for (const struct list *at = all->next; at != all; at = at->next)
        if (container_of(at, struct membership, session_link)->name->excepted)
            return true;
    return false;
}

void delivery_except_rooms(struct worker *worker, unsigned namespace,
                           const struct message_name *names, uint32_t count, const char *texts,
                           bool excepted) {
    worker->delivery.excepts_rooms = false;
    for (uint32_t i = 0; i < count; i++) {
        struct name *name =
            directory_find(worker, (enum name_kind)names[i].kind, namespace, names[i].hash,
                           span_of(texts + names[i].at, names[i].len));
        if (name == NULL)
            continue;
        name->excepted = excepted;
        worker->delivery.excepts_rooms = excepted;
    }
}

void delivery_except(struct worker *worker, const struct message *message, bool excepted) {
    if (message->excepts_rooms) {
        delivery_except_rooms(worker, message->namespace, message_except(message),
                              message->except_count, message_texts(message), excepted);
        return;
    }
    const struct message_name *except = message_except(message);
    for (uint16_t i = 0; i < message->except_count; i++) {
        struct name *name = directory_find(worker, NAME_ID, message->namespace, except[i].hash,
                                           message_name_text(message, &except[i]));
        if (name != NULL)
            name->excepted = excepted;
    }
}

enum outbox_verdict delivery_push(struct worker *worker, struct session *session,
                                  struct outbox *outbox, struct parcel *parcel,
                                  enum send_lane lane) {
    const struct encoding *encoding = session->type->encoding(session);
    if (SHORTAGE(parcel_frame(worker, parcel, encoding) == NULL)) {
        uint8_t class = parcel->message->class;
        stats_add(&worker->stats.memory_refused, 1);
        stats_add(&worker->stats.copies[class], 1);
        stats_add(&worker->stats.copies_dropped[class][DROP_NO_MEMORY], 1);
        return OUTBOX_STARVED;
    }
    enum outbox_verdict verdict = outbox_push(worker, outbox, session, parcel, encoding, lane);
    if (verdict == OUTBOX_TAKEN)
        trail_note(worker, session, parcel->message);
    else if (verdict == OUTBOX_FULL)
        session->type->close(worker, session, CLOSE_TOO_SLOW);
    return verdict;
}

/* --- at once ---------------------------------------------------------------------------------- */

/* Would one of the sessions have to send first? */
static bool must_wait(struct worker *worker, struct name *name, struct parcel *parcel) {
    for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
        struct session *session = name_session(name, at);
        struct outbox *outbox = session->type->outbox(session);
        if (outbox == NULL)
            continue;
        const struct frame *frame = parcel_frame(worker, parcel, session->type->encoding(session));
        /* Without memory for the frame nobody knows; with the next try there may be some. */
        if (SHORTAGE(frame == NULL) ||
            outbox_must_wait(worker, outbox, session, frame->total_bytes))
            return true;
    }
    return false;
}

/* The message may go to its sessions here and now: `*name`, or nobody. */
static bool is_direct(struct worker *worker, struct parcel *parcel, struct name **name) {
    const struct message *message = parcel->message;
    if (message->broadcast || message_address_count(message) != 1)
        return false;
    const struct message_name *address = &message->names[0];
    *name = directory_find(worker, address->kind, message->namespace, address->hash,
                           message_name_text(message, address));
    if (*name == NULL)
        return true;
    return (*name)->session_count <= DIRECT_SESSIONS_MAX &&
           !fanout_has(&worker->fanout, address->hash) && !must_wait(worker, *name, parcel);
}

static void deliver_now(struct worker *worker, struct name *name, struct parcel *parcel,
                        const struct mail *request) {
    uint32_t recipients = 0;
    unsigned flags = 0;
    enum send_lane lane = (request->flag & DELIVER_PROMPT) != 0 ? LANE_PROMPT : LANE_DIRECT;
    delivery_except(worker, parcel->message, true);
    if (name != NULL) {
        /* Any of them may be closed as too slow while it is looked at. */
        name_pin(name);
        struct list *next;
        for (struct list *at = name->sessions.next; at != &name->sessions; at = next) {
            next = at->next;
            struct session *session = name_session(name, at);
            struct outbox *outbox = session->type->outbox(session);
            if (outbox == NULL || delivery_leaves_out(worker, session))
                continue;
            enum outbox_verdict verdict = delivery_push(worker, session, outbox, parcel, lane);
            CHECK(verdict != OUTBOX_WAIT, "an outbox filled up while it was looked at");
            flags |= verdict == OUTBOX_STARVED ? ANSWER_FOUND | ANSWER_STARVED : ANSWER_FOUND;
            recipients += verdict == OUTBOX_TAKEN;
        }
        name_unpin(worker, name);
    }
    delivery_except(worker, parcel->message, false);
    bool unicast = message_is_unicast(parcel->message);
    fanout_release(&worker->server->post, worker->index, request->number);
    parcel_unref(worker, parcel);
    hub_answer(&worker->endpoint, request, recipients, flags, unicast);
}

/* --- without memory --------------------------------------------------------------------------- */

/* Was it counted under a name before? */
static bool is_counted(const struct session *session) {
    if (session->id != NULL && session->id->counted)
        return true;
    const struct list *all = &session->memberships;
    for (const struct list *at = all->next; at != all; at = at->next)
        if (container_of(at, struct membership, session_link)->name->counted)
            return true;
    return false;
}

static bool would_get(const struct worker *worker, const struct message *message,
                      struct session *session) {
    return session->namespace == message->namespace && session->type->outbox(session) != NULL &&
           !delivery_leaves_out(worker, session);
}

static struct name *address_find(struct worker *worker, const struct message *message, uint32_t i) {
    const struct message_name *address = &message->names[i];
    return directory_find(worker, address->kind, message->namespace, address->hash,
                          message_name_text(message, address));
}

/* How many sessions the message would go to. All of them at once: there is no memory to do it in
 * slices, and it is rare. */
static uint32_t delivery_count(struct worker *worker, const struct message *message) {
    uint32_t count = 0, addresses = message_address_count(message);
    delivery_except(worker, message, true);
    for (uint32_t i = 0; message->broadcast && i < worker->sessions.count; i++)
        count += would_get(worker, message, worker->sessions.at[i]);
    for (uint32_t i = 0; !message->broadcast && i < addresses; i++) {
        struct name *name = address_find(worker, message, i);
        if (name == NULL || name->counted)
            continue;
        for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
            struct session *session = name_session(name, at);
            count += would_get(worker, message, session) && !is_counted(session);
        }
        name->counted = true;
    }
    for (uint32_t i = 0; !message->broadcast && i < addresses; i++) {
        struct name *name = address_find(worker, message, i);
        if (name != NULL)
            name->counted = false;
    }
    delivery_except(worker, message, false);
    return count;
}

static void delivery_refuse(struct worker *worker, const struct message *message,
                            const struct mail *request) {
    stats_add(&worker->stats.memory_refused, 1);
    fanout_release(&worker->server->post, worker->index, request->number);
    hub_answer(&worker->endpoint, request, delivery_count(worker, message), ANSWER_OVERLOADED,
               message_is_unicast(message));
}

/* --- the door --------------------------------------------------------------------------------- */

void deliver(struct worker *worker, struct message *message, const struct mail *request) {
    struct parcel *parcel = parcel_open(worker, message);
    if (SHORTAGE(parcel == NULL)) {
        delivery_refuse(worker, message, request);
        message_release(&worker->endpoint, message);
        return;
    }
    struct name *name = NULL;
    if (is_direct(worker, parcel, &name)) {
        deliver_now(worker, name, parcel, request);
    } else if (SHORTAGE(message->broadcast ? !broadcast_push(worker, parcel, request)
                                           : !fanout_push(worker, parcel, request))) {
        delivery_refuse(worker, message, request);
        parcel_unref(worker, parcel);
    }
}
