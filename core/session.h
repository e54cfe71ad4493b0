/* session.h - one connected client, on whatever transport: what messages are addressed to.
 *
 * Embedded in the protocol's own thing (the state area of a TCP connection; a polling session that
 * outlives its connections embeds it in a slot of its own). It may be alone on a connection, share
 * one with others, have none for a while, and move from one to another: the directory and whoever
 * delivers know sessions only, and ask each where its messages wait at this moment.
 *
 * Threads: its worker. Owns: its memberships. */
#ifndef RINGPOST_CORE_SESSION_H
#define RINGPOST_CORE_SESSION_H

#include "core/backlog.h"
#include "core/base/list.h"
#include "core/net.h"
#include "core/stats.h"

struct worker;
struct session;
struct outbox;
struct message;
struct name;
struct trail;

/* "worker-slot-generation" in hex or the like, unique within the run of a node, at most 95 bytes
 * and NUL. */
#define SESSION_TEXT_MAX 96

/* What an operator is told of a session. */
struct session_look {
    char text[SESSION_TEXT_MAX];
    struct peer_address peer;
    const char *transport; /* as it is at this moment; NULL: as its type says */
};

/* What a protocol does for its sessions. */
struct session_type {
    const char *transport; /* "tcp" */
    const struct encoding *(*encoding)(const struct session *session);
    /* Where its messages wait at this moment: in the outbox of a connection, or in one of its own.
     * NULL: it takes none (it has no welcome yet, or is about to end). */
    struct outbox *(*outbox)(struct session *session);
    /* Something waits in an outbox of its own that was empty. NULL: it never has one. */
    void (*on_parked)(struct worker *worker, struct session *session);
    /* Writes MARK_BYTES (message.h) for one copy of a message. NULL: its encodings have no marks.
     * With it there is `waiting`. */
    void (*mark)(struct worker *worker, struct session *session, const struct message *message,
                 char *mark);
    /* The outbox's list of what waits for it. NULL: it never shares an outbox with others, so all
     * messages there are its own. */
    struct list *(*waiting)(struct session *session);
    /* Where it is noted what was written to it (trail.h). NULL: it is not. */
    struct trail *(*trail)(struct session *session);
    /* A message that its client does not acknowledge comes again only when the client comes back:
     * its silence says nothing. */
    bool is_patient;
    /* `look->transport` is NULL until then. */
    void (*look)(const struct worker *worker, const struct session *session,
                 struct session_look *look);
    /* Nothing that is written to it leaves until it is let go (ready.h). NULL: its connection is
     * held. */
    void (*hold)(struct worker *worker, struct session *session, bool holds);
    /* The API, or a full backlog, ends it. */
    void (*close)(struct worker *worker, struct session *session, enum close_reason reason);
};

/* What it does with messages that are to be acknowledged (attend.h). */
enum attend_state {
    ATTEND_NONE,
    ATTEND_CAME, /* its question waits to be sent */
    ATTEND_ASKED,
    ATTEND_OPEN,
    ATTEND_STOPPED,
    ATTEND_RESUMING
};

struct session {
    const struct session_type *type;
    struct name *id;         /* NULL: it goes without one */
    struct list id_link;     /* in id->sessions */
    struct list memberships; /* struct membership; that of its own name, if any, is the first */
    uint64_t since_ms : 48;  /* wall clock */
    uint64_t membership_count : 7;
    uint64_t attend : 3;    /* enum attend_state */
    uint64_t namespace : 4; /* of its names; set by its protocol before session_open */
    uint64_t held : 1;      /* what is written to it stays for a while (ready.h) */
    uint64_t visit;         /* the last delivery that looked at it: once per message */
    uint32_t heard;         /* the last broadcast that it was visited with (broadcast.h) */
    uint32_t index;         /* in worker->sessions.at; UINT32_MAX: not open */
    struct backlog backlog; /* what waits for it */
    uint64_t taken_serial;  /* of messages to be acknowledged, up to which it has all */
};

_Static_assert(GROUPS_PER_SESSION_MAX < 1 << 7, "its memberships can be counted");
_Static_assert(NAMESPACES_MAX <= 1 << 4, "its namespace has room");

/* All open ones of a worker, dense. */
struct sessions {
    struct session **at;
    uint32_t count, cap;
};

/* Enters the worker's set of all sessions: from now on it gets broadcasts. False: no memory. */
bool session_open(struct worker *worker, struct session *session, const struct session_type *type);
/* Leaves everything. What waits for it in that outbox stays there, for its owner to send or to
 * drop. Harmless when it is not open. */
void session_close(struct worker *worker, struct session *session, struct outbox *outbox);
static inline bool session_is_open(const struct session *session) {
    return session->type != NULL && session->index != UINT32_MAX;
}

#endif
