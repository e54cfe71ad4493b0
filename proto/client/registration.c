#include "proto/client/registration.h"

#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"

/* After a goodbye clients come back within so much, spread by chance: one millisecond for each
 * session of the node, in these bounds. */
#define RECONNECT_MS_MIN 1000
#define RECONNECT_MS_MAX 10000

static enum code no_memory(const char **text, const char *what) {
    SHORTAGE_MET();
    *text = what;
    return CODE_OVERLOADED;
}

static enum code code_of(enum directory_verdict verdict, const char *without_memory,
                         const char **text) {
    switch (verdict) {
    case DIRECTORY_DONE:
        break;
    case DIRECTORY_TOO_MANY_GROUPS:
        *text = "a session is in 64 groups at the most";
        return CODE_TOO_MANY_GROUPS;
    case DIRECTORY_NO_MEMORY:
        return no_memory(text, without_memory);
    }
    return CODE_NONE;
}

#define NO_SESSION "no memory for one more session"

enum code registration_enter(struct worker *worker, struct session *session,
                             const struct session_type *type, struct span id,
                             const struct name_list *groups, const char **text) {
    enum directory_verdict verdict = DIRECTORY_DONE;
    if (SHORTAGE(!session_open(worker, session, type)))
        verdict = DIRECTORY_NO_MEMORY;
    else if (id.len != 0)
        verdict = directory_take_id(worker, session, id);
    if (verdict == DIRECTORY_DONE && groups->count != 0)
        verdict = directory_join(worker, session, groups->at, groups->count);
    return code_of(verdict, NO_SESSION, text);
}

enum code registration_join(struct worker *worker, struct session *session,
                            const struct name_list *groups, const char **text) {
    return code_of(directory_join(worker, session, groups->at, groups->count),
                   "no memory for one more group", text);
}

/* Leaves what it has joined last, until it is in so many groups. */
static void memberships_cut(struct worker *worker, struct session *session, unsigned count) {
    while (session->membership_count > count) {
        const struct membership *last =
            container_of(session->memberships.prev, struct membership, session_link);
        struct span group = span_of(last->name->text, last->name->len);
        directory_leave(worker, session, &group, 1);
    }
}

enum code registration_change(struct worker *worker, struct session *session, struct span id,
                              const struct name_list *groups, bool *renamed, const char **text) {
    unsigned before = session->membership_count;
    const struct name *id_before = session->id;
    enum directory_verdict verdict = DIRECTORY_DONE;
    *renamed = false;
    if (groups->count != 0)
        verdict = directory_join(worker, session, groups->at, groups->count);
    if (verdict == DIRECTORY_DONE && id.len != 0) {
        verdict = directory_rename(worker, session, id);
        *renamed = verdict == DIRECTORY_DONE && session->id != id_before;
        if (verdict != DIRECTORY_DONE)
            memberships_cut(worker, session, before);
    }
    return code_of(verdict, "no memory for another name", text);
}

enum code registration_attend(struct worker *worker, struct session *session, const char **text) {
    ready_begin(worker, session);
    if (session->id != NULL && SHORTAGE(!attend_begin(worker, session)))
        return no_memory(text, NO_SESSION);
    return CODE_NONE;
}

bool registration_end_is_ordinary(enum close_reason reason) {
    return reason == CLOSE_CLIENT || reason == CLOSE_DRAINING || reason == CLOSE_CLOSED_BY_API ||
           reason == CLOSE_STOPPED;
}

void registration_end_log(const struct session *session, const struct peer_address *peer,
                          enum close_reason reason, uint64_t left_bytes) {
    if (registration_end_is_ordinary(reason))
        return;
    const struct name *id = session_is_open(session) ? session->id : NULL;
    char address[PEER_ADDRESS_TEXT_MAX];
    net_peer_text(peer, address);
    log_event(LOG_INFO, "session_closed", LOG_STR("reason", close_reason_word(reason)),
              LOG_SPAN("id", id != NULL ? span_of(id->text, id->len) : SPAN("")),
              LOG_STR("address", address), LOG_U64("outbox_bytes", left_bytes));
}

struct welcome registration_welcome(const struct worker *worker, struct span session_text) {
    return (struct welcome){
        .session = session_text,
        .node = span_text(worker->config->node),
        .heartbeat_ns = worker->config->heartbeat_ns,
        .max_message_bytes = worker->config->max_message_bytes,
    };
}

uint64_t registration_reconnect_ms(const struct worker *worker) {
    uint64_t spread_ms = (uint64_t)worker->sessions.count * worker->server->worker_count;
    if (spread_ms < RECONNECT_MS_MIN)
        spread_ms = RECONNECT_MS_MIN;
    if (spread_ms > RECONNECT_MS_MAX)
        spread_ms = RECONNECT_MS_MAX;
    return rand_below(spread_ms + 1);
}
