#include "core/attend.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/delivery.h"
#include "core/keeper.h"
#include "core/server.h"
#include "core/worker.h"

#include <stdlib.h>

/* One that was stopped for want of memory asks again after so long. */
#define ASK_AGAIN_NS (100 * NS_PER_MS)

/* A question to a keeper that waits. */
struct ask {
    struct list link; /* in attends->waiting */
    uint64_t hash, serial;
    uint64_t due_ns;
    bool fresh;
};

void attends_init(struct attends *attends) {
    list_init(&attends->waiting);
    pool_init(&attends->pool, sizeof(struct ask));
}

static void ask_put(struct worker *worker, struct ask *ask) {
    pool_put(&worker->attends.pool, ask);
    account_give(&worker->account, sizeof(*ask));
}

void attends_fini(struct worker *worker) {
    struct list *node;
    while ((node = list_pop(&worker->attends.waiting)) != NULL)
        ask_put(worker, container_of(node, struct ask, link));
    pool_fini(&worker->attends.pool);
}

/* --- asking ---------------------------------------------------------------------------------- */

/* The next client id with that hash; `*node` is table_first at first. */
static struct name *next_id(struct table_node **node) {
    while (*node != NULL) {
        struct name *name = container_of(*node, struct name, node);
        *node = table_next(*node);
        if (name->kind == NAME_ID)
            return name;
    }
    return NULL;
}

/* A question for all that have come until now is sent. Returns its number. */
static uint32_t question_begin(struct worker *worker, uint64_t hash) {
    uint32_t number = ++worker->attends.questions;
    if (number == 0)
        number = ++worker->attends.questions;
    struct table_node *node = table_first(&worker->directory.names, hash);
    for (struct name *name; (name = next_id(&node)) != NULL;) {
        name->asking = false;
        name->question = number;
        for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
            struct session *session = name_session(name, at);
            if (session->attend == ATTEND_CAME)
                session->attend = ATTEND_ASKED;
        }
    }
    return number;
}

static bool question_under_way(struct worker *worker, uint64_t hash) {
    struct table_node *node = table_first(&worker->directory.names, hash);
    for (struct name *name; (name = next_id(&node)) != NULL;)
        if (name->question != 0)
            return true;
    return false;
}

/* False: there is no room. */
static bool ask_send(struct worker *worker, uint64_t hash, uint64_t serial, bool fresh) {
    unsigned keeper = keeper_of(worker->server, hash);
    struct mail mail = {.kind = MAIL_ATTEND,
                        .flag = fresh,
                        .from = (uint16_t)worker->index,
                        .token = hash,
                        .object = mail_object(serial)};
    if (keeper == worker->index) {
        mail.number = fresh ? question_begin(worker, hash) : 0;
        keeper_on_attend(worker, &mail);
        return true;
    }
    if (SHORTAGE(worker->requests >= worker->server->post.requests_max) ||
        SHORTAGE(!post_room(&worker->server->post, worker->index, keeper)))
        return false;
    mail.number = fresh ? question_begin(worker, hash) : 0;
    worker->requests++;
    stats_set(&worker->stats.requests, worker->requests);
    post_send(&worker->endpoint, keeper, &mail);
    return true;
}

static bool ask_later(struct worker *worker, uint64_t hash, uint64_t serial, bool fresh,
                      uint64_t due_ns) {
    struct ask *ask = NULL;
    if (!SHORTAGE(!account_take(&worker->account, sizeof(*ask)))) {
        ask = pool_get(&worker->attends.pool);
        if (SHORTAGE(ask == NULL))
            account_give(&worker->account, sizeof(*ask));
    }
    if (SHORTAGE(ask == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return false;
    }
    *ask = (struct ask){.hash = hash, .serial = serial, .fresh = fresh, .due_ns = due_ns};
    list_init(&ask->link);
    list_add_tail(&worker->attends.waiting, &ask->link);
    return true;
}

static bool ask_may_go(struct worker *worker, const struct ask *ask) {
    return ask->due_ns <= worker->now_ns && !(ask->fresh && question_under_way(worker, ask->hash));
}

void attends_work(struct worker *worker) {
    struct list todo, *node;
    list_init(&todo);
    while ((node = list_pop(&worker->attends.waiting)) != NULL)
        list_add_tail(&todo, node);
    while ((node = list_pop(&todo)) != NULL) {
        struct ask *ask = container_of(node, struct ask, link);
        if (!ask_may_go(worker, ask) || !ask_send(worker, ask->hash, ask->serial, ask->fresh))
            list_add_tail(&worker->attends.waiting, node);
        else
            ask_put(worker, ask);
    }
}

bool attend_begin(struct worker *worker, struct session *session) {
    struct name *name = session->id;
    CHECK(name != NULL && session->attend == ATTEND_NONE);
    uint64_t hash = name->node.hash;
    session->attend = ATTEND_CAME;
    if (name->asking)
        return true;
    /* Later in the turn, for all that come in it. */
    name->asking = ask_later(worker, hash, worker->now_ns, true, worker->now_ns);
    return name->asking || ask_send(worker, hash, worker->now_ns, true);
}

/* Asks for what it has not, later in this turn or after a while. If there is not even memory for
 * that, its client's silence brings it back here (is_wanted). */
static void ask_again(struct worker *worker, struct session *session, uint64_t due_ns) {
    if (ask_later(worker, session->id->node.hash, session->taken_serial, false, due_ns))
        session->attend = ATTEND_RESUMING;
}

void attend_resume(struct worker *worker, struct session *session) {
    if (session->id != NULL && !backlog_half_full(worker, &session->backlog))
        ask_again(worker, session, worker->now_ns);
}

static void name_answered(struct name *name, const struct mail *answer) {
    uint64_t serial = mail_value(answer);
    bool fresh = answer->flag != 0;
    /* Otherwise it is for sessions that have gone. */
    bool awaited = fresh && name->question == answer->number;
    if (awaited)
        name->question = 0;
    for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
        struct session *session = name_session(name, at);
        if (session->attend == ATTEND_ASKED && awaited) {
            session->attend = ATTEND_OPEN;
            session->taken_serial = serial;
        } else if (session->attend == ATTEND_RESUMING &&
                   (fresh || session->taken_serial >= serial)) {
            session->attend = ATTEND_OPEN;
        }
    }
}

void attend_answered(struct worker *worker, const struct mail *answer) {
    struct table_node *node = table_first(&worker->directory.names, answer->token);
    for (struct name *name; (name = next_id(&node)) != NULL;)
        name_answered(name, answer);
}

void attend_on_attended(struct worker *worker, const struct mail *mail) {
    worker->requests--;
    stats_set(&worker->stats.requests, worker->requests);
    attend_answered(worker, mail);
}

/* --- taking ---------------------------------------------------------------------------------- */

/* Does the session take this copy? One for the client's silence only if the first has left: that
 * was handed over a whole silence ago, so it has if nothing waited at some time since. (Half of a
 * silence: the first may have been on its way here for a while.) */
static bool is_wanted(struct worker *worker, struct session *session, uint64_t serial,
                      unsigned flags) {
    bool silent = (flags & HAND_SILENCE) != 0;
    if (session->attend == ATTEND_STOPPED && silent)
        attend_resume(worker, session);
    if (session->attend != ATTEND_OPEN)
        return false;
    return serial > session->taken_serial ||
           (silent && !session->type->is_patient &&
            backlog_was_empty(worker, &session->backlog, worker->config->ack_silence_ns / 2));
}

static void session_stop(struct worker *worker, struct session *session, bool starved) {
    session->attend = ATTEND_STOPPED;
    stats_add(&worker->stats.acks_stopped, 1);
    if (starved)
        ask_again(worker, session, worker->now_ns + ASK_AGAIN_NS);
}

static void session_hand(struct worker *worker, struct session *session, struct outbox *outbox,
                         struct parcel *parcel, uint64_t serial, unsigned flags) {
    const struct encoding *encoding = session->type->encoding(session);
    if ((flags & HAND_REDELIVERED) != 0 && encoding->again != NULL)
        encoding = encoding->again;
    enum outbox_verdict verdict = OUTBOX_STARVED;
    uint64_t before = session->taken_serial;
    if (SHORTAGE(parcel_frame(worker, parcel, encoding) == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
    } else {
        enum send_lane lane = (flags & HAND_PROMPT) != 0 ? LANE_PROMPT : LANE_DIRECT;
        verdict = outbox_push(worker, outbox, session, parcel, encoding, lane);
    }
    bool taken = verdict == OUTBOX_TAKEN;
    if (taken && (flags & HAND_REDELIVERED) != 0)
        stats_add(&worker->stats.redelivered, 1);
    if (taken && serial > before)
        session->taken_serial = serial;
    if (taken)
        trail_note(worker, session, parcel->message);
    else if (serial > before)
        session_stop(worker, session, SHORTAGE(verdict == OUTBOX_STARVED));
}

/* There is not even memory to look at it: nobody takes it. */
static void name_starve(struct worker *worker, struct name *name, uint64_t serial) {
    stats_add(&worker->stats.memory_refused, 1);
    for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
        struct session *session = name_session(name, at);
        if (session->attend == ATTEND_OPEN && serial > session->taken_serial)
            session_stop(worker, session, true);
    }
}

void attend_hand(struct worker *worker, struct message *message, uint16_t address, uint64_t serial,
                 unsigned flags) {
    const struct message_name *to = &message->names[address];
    struct name *name = directory_find(worker, NAME_ID, message->namespace, to->hash,
                                       message_name_text(message, to));
    if (name == NULL) {
        message_release(&worker->endpoint, message);
        return;
    }
    struct parcel *parcel = parcel_open(worker, message);
    if (SHORTAGE(parcel == NULL)) {
        name_starve(worker, name, serial);
        message_release(&worker->endpoint, message);
        return;
    }
    for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
        struct session *session = name_session(name, at);
        struct outbox *outbox = session->type->outbox(session);
        if (outbox != NULL && is_wanted(worker, session, serial, flags))
            session_hand(worker, session, outbox, parcel, serial, flags);
    }
    parcel_unref(worker, parcel);
}

void attend_on_hand(struct worker *worker, const struct mail *mail) {
    attend_hand(worker, mail->object, (uint16_t)mail->number, mail->token, mail->flag);
}

/* --- acknowledgements ------------------------------------------------------------------------ */

/* Without hashes. NULL: no memory. */
static struct ack_list *ack_list_make(struct worker *worker, uint64_t hash, uint32_t count) {
    size_t bytes = ack_list_bytes(count);
    bool taken = account_take(&worker->account, bytes);
    struct ack_list *list = taken ? malloc(bytes) : NULL; /* another thread frees it */
    if (SHORTAGE(list == NULL)) {
        if (taken)
            account_give(&worker->account, bytes);
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    list->id_hash = hash;
    list->count = count;
    return list;
}

static void ack_list_send(struct worker *worker, unsigned keeper, struct ack_list *list) {
    struct mail mail = {.kind = MAIL_ACK,
                        .from = (uint16_t)worker->index,
                        .number = list->count,
                        .token = list->id_hash,
                        .object = list};
    account_send(&worker->account, ack_list_bytes(list->count));
    post_send(&worker->endpoint, keeper, &mail);
}

/* `number` 1: of the message with that hash; 0: up to the serial. */
static void ack_send(struct worker *worker, unsigned keeper, uint64_t hash, uint32_t number,
                     uint64_t value) {
    struct mail mail = {.kind = MAIL_ACK,
                        .from = (uint16_t)worker->index,
                        .number = number,
                        .token = hash,
                        .object = mail_object(value)};
    post_send(&worker->endpoint, keeper, &mail);
}

bool attend_acknowledge_hash(struct worker *worker, uint64_t id_hash, uint64_t message_hash) {
    unsigned keeper = keeper_of(worker->server, id_hash);
    if (keeper == worker->index) {
        keeper_acknowledge(worker, id_hash, message_hash, false);
        return true;
    }
    if (SHORTAGE(!post_room(&worker->server->post, worker->index, keeper)))
        return false;
    ack_send(worker, keeper, id_hash, 1, message_hash);
    return true;
}

bool attend_acknowledge(struct worker *worker, struct session *session, const struct span *ids,
                        size_t count) {
    if (session->id == NULL || count == 0) {
        stats_add(&worker->stats.acks_ignored, count);
        return true;
    }
    uint64_t hash = session->id->node.hash;
    unsigned keeper = keeper_of(worker->server, hash);
    if (count == 1)
        return attend_acknowledge_hash(worker, hash, hash64(ids[0]));
    if (keeper == worker->index) {
        for (size_t i = 0; i < count; i++)
            keeper_acknowledge(worker, hash, hash64(ids[i]), false);
        return true;
    }
    if (SHORTAGE(!post_room(&worker->server->post, worker->index, keeper)))
        return false;
    struct ack_list *list = ack_list_make(worker, hash, (uint32_t)count);
    if (SHORTAGE(list == NULL))
        return true; /* the messages come again */
    for (uint32_t i = 0; i < count; i++)
        list->message_hashes[i] = hash64(ids[i]);
    ack_list_send(worker, keeper, list);
    return true;
}

enum ack_verdict attend_acknowledge_hashes(struct worker *worker, uint64_t id_hash,
                                           const uint64_t *messages, uint32_t count) {
    if (count == 1)
        return attend_acknowledge_hash(worker, id_hash, messages[0]) ? ACK_TAKEN : ACK_NO_ROOM;
    unsigned keeper = keeper_of(worker->server, id_hash);
    if (keeper == worker->index) {
        for (uint32_t i = 0; i < count; i++)
            keeper_acknowledge(worker, id_hash, messages[i], false);
        return ACK_TAKEN;
    }
    if (SHORTAGE(!post_room(&worker->server->post, worker->index, keeper)))
        return ACK_NO_ROOM;
    struct ack_list *list = ack_list_make(worker, id_hash, count);
    if (SHORTAGE(list == NULL))
        return ACK_NO_ROOM;
    memcpy(list->message_hashes, messages, count * sizeof(messages[0]));
    ack_list_send(worker, keeper, list);
    return ACK_TAKEN;
}

bool attend_acknowledge_to(struct worker *worker, uint64_t id_hash, uint64_t serial) {
    unsigned keeper = keeper_of(worker->server, id_hash);
    if (keeper == worker->index) {
        keeper_acknowledge_to(worker, id_hash, serial);
        return true;
    }
    if (SHORTAGE(!post_room(&worker->server->post, worker->index, keeper)))
        return false;
    ack_send(worker, keeper, id_hash, 0, serial);
    return true;
}
