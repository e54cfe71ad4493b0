#include "core/session.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/worker.h"

#include <stdlib.h>

bool session_open(struct worker *worker, struct session *session, const struct session_type *type) {
    if (worker->sessions.count == worker->sessions.cap) {
        uint32_t cap = worker->sessions.cap == 0 ? 64 : worker->sessions.cap * 2;
        struct session **sessions = realloc(worker->sessions.at, cap * sizeof(*sessions));
        if (SHORTAGE(sessions == NULL)) {
            stats_add(&worker->stats.memory_refused, 1);
            return false;
        }
        worker->sessions.at = sessions;
        worker->sessions.cap = cap;
    }
    session->type = type;
    if (type->waiting != NULL)
        list_init(type->waiting(session));
    list_init(&session->id_link);
    list_init(&session->memberships);
    session->id = NULL;
    session->membership_count = 0;
    session->visit = 0;
    session->taken_serial = 0;
    session->attend = ATTEND_NONE;
    session->held = false;
    session->backlog = (struct backlog){.bytes = 0};
    broadcasts_enter(&worker->broadcasts, session);
    session->since_ms = worker->now_wall_ms & ((UINT64_C(1) << 48) - 1);
    session->index = worker->sessions.count;
    worker->sessions.at[worker->sessions.count++] = session;
    stats_add(&worker->stats.sessions, 1);
    return true;
}

void session_close(struct worker *worker, struct session *session, struct outbox *outbox) {
    if (!session_is_open(session))
        return;
    ready_end(worker, session);
    trail_end(worker, session);
    directory_leave_all(worker, session);
    outbox_disown(worker, outbox, session);
    CHECK(worker->sessions.at[session->index] == session);
    broadcasts_leave(&worker->broadcasts, session);
    struct session *last = worker->sessions.at[--worker->sessions.count];
    worker->sessions.at[session->index] = last;
    last->index = session->index;
    session->index = UINT32_MAX;
    stats_sub(&worker->stats.sessions, 1);
}
