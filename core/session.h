/* session.h - one connected client, on whatever transport: what messages are addressed to.
 *
 * Embedded in the protocol's own thing (today the state area of a TCP connection; a polling session
 * that outlives its connections embeds it in a slot of its own). The directory knows sessions,
 * never connections.
 *
 * Threads: its worker. Owns: its memberships. */
#ifndef RINGPOST_CORE_SESSION_H
#define RINGPOST_CORE_SESSION_H

#include "core/base/list.h"
#include "core/stats.h"

struct worker;
struct session;
struct connection;
struct name;

/* What a protocol does for its sessions. */
struct session_type {
    const char *transport; /* "tcp" */
    const struct encoding *(*encoding)(const struct session *session);
    /* Where its messages go at this moment; NULL: nowhere. */
    struct connection *(*connection)(struct session *session);
    /* The API ends it. */
    void (*close)(struct worker *worker, struct session *session, enum close_reason reason);
};

struct session {
    const struct session_type *type;
    struct name *id;         /* NULL: it goes without one */
    struct list id_link;     /* in id->sessions */
    struct list memberships; /* struct membership */
    uint64_t since_ms;       /* wall clock */
    uint64_t visit;          /* the last delivery that looked at it: once per message */
    uint32_t heard;          /* the last broadcast that it was visited with (broadcast.h) */
    uint32_t index;          /* in worker->sessions.at; UINT32_MAX: not open */
    uint16_t membership_count;
};

/* All open ones of a worker, dense. */
struct sessions {
    struct session **at;
    uint32_t count, cap;
};

/* "worker-slot-generation" in hex, unique within the run of a node, at most 31 bytes and NUL. */
#define SESSION_TEXT_MAX 32

/* Enters the worker's set of all sessions: from now on it gets broadcasts. False: no memory. */
bool session_open(struct worker *worker, struct session *session, const struct session_type *type);
/* Leaves everything. Harmless when it is not open. */
void session_close(struct worker *worker, struct session *session);
static inline bool session_is_open(const struct session *session) {
    return session->type != NULL && session->index != UINT32_MAX;
}

#endif
