/* directory.h - who is where on this worker: client ids and groups to sessions.
 *
 * A worker that gets the first session of a name, or loses the last, says so in the table that all
 * workers share (holders.h). So whatever is published after a session has taken a name finds it.
 *
 * Threads: the worker that owns it. Owns: names, memberships. Limits: GROUPS_PER_SESSION_MAX, and
 * the memory ceiling, within which names and memberships count. */
#ifndef RINGPOST_CORE_DIRECTORY_H
#define RINGPOST_CORE_DIRECTORY_H

#include "core/base/check.h"
#include "core/base/table.h"
#include "core/pool.h"
#include "core/session.h"

/* A client id, a group, or one session's own name, that has sessions here. */
struct name {
    struct table_node node;
    struct list sessions;   /* NAME_ID: session.id_link; others: membership.name_link */
    uint32_t session_count; /* here, and pins */
    uint32_t told_count;    /* of those, the table of holders knows */
    uint32_t seen;          /* the last look at ids that met it (calls->stamp); 0: none has */
    uint32_t question;      /* the last one that was sent, while it is under way; 0: none is */
    uint16_t pins;          /* of walks that stand at it */
    uint8_t kind;           /* enum name_kind */
    uint8_t namespace;
    uint8_t len;
    bool excepted; /* left out of the delivery that is under way */
    bool counted;  /* its sessions are, by delivery_count */
    bool asking;   /* a question to its keeper waits, for sessions that have come (attend.h) */
    char text[];
};

struct membership {
    struct list name_link;
    struct list session_link;
    struct name *name;
    struct session *session;
};

/* The session whose place in the list of the name that is. */
static inline struct session *name_session(const struct name *name, struct list *at) {
    return name->kind == NAME_ID ? container_of(at, struct session, id_link)
                                 : container_of(at, struct membership, name_link)->session;
}

/* Names are kept by the length of their text. */
#define NAME_SIZES 3

struct directory {
    struct table names;
    struct pool name_pools[NAME_SIZES];
    struct pool memberships;
};

enum directory_verdict { DIRECTORY_DONE, DIRECTORY_TOO_MANY_GROUPS, DIRECTORY_NO_MEMORY };

void directory_init(struct worker *worker);
void directory_fini(struct worker *worker);

/* Gives the session its client id. It has none yet. */
enum directory_verdict directory_take_id(struct worker *worker, struct session *session,
                                         struct span id);
/* Gives it another one, or its first. Without memory it keeps what it has. What was said to the
 * keeper of the old one is forgotten: attend_begin comes next. */
enum directory_verdict directory_rename(struct worker *worker, struct session *session,
                                        struct span id);
/* Joins all the groups or none. Groups it is in already are passed over. */
enum directory_verdict directory_join(struct worker *worker, struct session *session,
                                      const struct span *groups, size_t count);
/* Leaves the groups; those it is not in are passed over. */
void directory_leave(struct worker *worker, struct session *session, const struct span *groups,
                     size_t count);
/* Gives the session a name of its own, which is no group of its: messages to rooms find it (and
 * leave it out) by that. It has none yet. Other nodes are not told. */
enum directory_verdict directory_take_own(struct worker *worker, struct session *session,
                                          struct span own);
/* That name; NULL: it has none. */
static inline struct name *directory_own(const struct session *session) {
    if (list_empty(&session->memberships))
        return NULL;
    struct name *name =
        container_of(session->memberships.next, struct membership, session_link)->name;
    return name->kind == NAME_OWN ? name : NULL;
}
/* Leaves all groups and gives up the id, and its own name. */
void directory_leave_all(struct worker *worker, struct session *session);
/* The name, if it has sessions here; NULL otherwise. */
struct name *directory_find(struct worker *worker, enum name_kind kind, unsigned namespace,
                            uint64_t hash, struct span text);
/* Keeps the name from going while its sessions are walked through, one of which may close. */
void name_pin(struct name *name);
void name_unpin(struct worker *worker, struct name *name);
bool directory_is_member(const struct session *session, const struct name *group);

#endif
