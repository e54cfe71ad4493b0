#include "core/delivery.h"

#include "core/base/check.h"
#include "core/server.h"

void delivery_except(struct worker *worker, const struct message *message, bool excepted) {
    const struct message_name *except = message_except(message);
    for (uint16_t i = 0; i < message->except_count; i++) {
        struct name *name =
            directory_find(worker, NAME_ID, except[i].hash, message_name_text(message, &except[i]));
        if (name != NULL)
            name->excepted = excepted;
    }
}

enum outbox_verdict delivery_push(struct worker *worker, struct session *session,
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

/* --- at once ---------------------------------------------------------------------------------- */

static struct session *session_at(const struct name *name, struct list *at) {
    return name->kind == NAME_ID ? container_of(at, struct session, id_link)
                                 : container_of(at, struct membership, name_link)->session;
}

/* Would one of the sessions have to send first? */
static bool must_wait(struct worker *worker, struct name *name, struct parcel *parcel) {
    for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
        struct session *session = session_at(name, at);
        struct connection *connection = session->type->connection(session);
        const struct form *form = NULL;
        if (connection != NULL)
            form = parcel_form(worker, parcel, session->type->encoding(session));
        if (form != NULL && outbox_must_wait(worker, connection, form->total_bytes))
            return true;
    }
    return false;
}

/* The message may go to its sessions here and now: `*name`, or nobody. */
static bool is_direct(struct worker *worker, struct parcel *parcel, struct name **name) {
    const struct message *message = parcel->message;
    if (message->broadcast || message->to_count + message->group_count != 1)
        return false;
    const struct message_name *address = &message->names[0];
    *name =
        directory_find(worker, address->kind, address->hash, message_name_text(message, address));
    if (*name == NULL)
        return true;
    return (*name)->session_count <= DIRECT_SESSIONS_MAX &&
           !fanout_has(&worker->fanout, address->hash) && !must_wait(worker, *name, parcel);
}

static void deliver_now(struct worker *worker, struct name *name, struct parcel *parcel,
                        const struct mail *request) {
    uint32_t recipients = 0;
    unsigned flags = 0;
    delivery_except(worker, parcel->message, true);
    if (name != NULL) {
        /* Any of them may be closed as too slow while it is looked at. */
        name_pin(name);
        struct list *next;
        for (struct list *at = name->sessions.next; at != &name->sessions; at = next) {
            next = at->next;
            struct session *session = session_at(name, at);
            struct connection *connection = session->type->connection(session);
            if (connection == NULL || (session->id != NULL && session->id->excepted))
                continue;
            enum outbox_verdict verdict = delivery_push(worker, session, connection, parcel);
            CHECK(verdict != OUTBOX_WAIT, "an outbox filled up while it was looked at");
            flags |= ANSWER_FOUND;
            recipients += verdict == OUTBOX_TAKEN;
        }
        name_unpin(worker, name);
    }
    delivery_except(worker, parcel->message, false);
    bool unicast = message_is_unicast(parcel->message);
    fanout_release(&worker->server->post, worker->index, request->number);
    parcel_unref(worker, parcel);
    hub_answer(worker, request, recipients, flags, unicast);
}

/* --- the door --------------------------------------------------------------------------------- */

void deliver(struct worker *worker, struct message *message, const struct mail *request) {
    bool unicast = message_is_unicast(message);
    struct parcel *parcel = parcel_open(worker, message);
    if (parcel == NULL) {
        fanout_release(&worker->server->post, worker->index, request->number);
        message_release(worker, message);
        hub_answer(worker, request, 0, ANSWER_OVERLOADED, unicast);
        return;
    }
    struct name *name = NULL;
    if (is_direct(worker, parcel, &name)) {
        deliver_now(worker, name, parcel, request);
    } else if (!fanout_push(worker, parcel, request)) {
        fanout_release(&worker->server->post, worker->index, request->number);
        parcel_unref(worker, parcel);
        hub_answer(worker, request, 0, ANSWER_OVERLOADED, unicast);
    }
}
