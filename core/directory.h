/* directory.h - who is where: client ids and groups to sessions, and for the names this worker is
 * home of, which workers hold them.
 *
 * Every name has a home worker, name_home(hash). A worker that gets the first session of a name, or
 * loses the last, tells the home by a note; notes to one home travel in order, a chain at a time,
 * and are confirmed by number. A session is settled (on_settled) when everything noted up to its
 * joining is confirmed, so that whatever is published after that finds it. A publish goes to the
 * home, and from there to the holders: two mails, whatever the number of workers.
 *
 * Notes cannot pile up: a name is queued for its home at most once and what is sent is its state at
 * that moment.
 *
 * Threads: the worker that owns it. Owns: names, memberships. Limits: GROUPS_PER_SESSION_MAX. */
#ifndef RINGPOST_CORE_DIRECTORY_H
#define RINGPOST_CORE_DIRECTORY_H

#include "core/base/table.h"
#include "core/memory.h"
#include "core/session.h"

struct mail;

/* A client id or group that has sessions here, or whose home this is. */
struct name {
    struct table_node node;
    struct list sessions;   /* NAME_ID: session.id_link; NAME_GROUP: membership.name_link */
    uint64_t holders;       /* at home: the workers that hold it */
    struct list note_link;  /* in directory->notes[home] while its home has to be told */
    uint32_t session_count; /* here */
    uint8_t kind;           /* enum name_kind */
    uint8_t len;
    bool excepted; /* left out of the delivery that is under way */
    char text[];
};

struct membership {
    struct list name_link;
    struct list session_link;
    struct name *name;
    struct session *session;
};

/* One name in a NAMES mail. */
struct name_note {
    struct name_note *next;
    uint64_t hash;
    uint8_t kind;
    uint8_t len;
    bool held;
    char text[];
};

struct directory {
    struct table names;
    struct pool memberships;
    struct list notes[WORKERS_MAX];      /* names whose home has to be told */
    uint64_t note_number;                /* of the last one queued; they begin with 1 */
    uint64_t queued_oldest[WORKERS_MAX]; /* oldest number queued for that home; 0: none */
    uint64_t sent_oldest[WORKERS_MAX];   /* oldest in the chain that is not confirmed; 0: none */
    uint64_t pending;                    /* homes with something queued or not confirmed */
    struct list settling;                /* sessions, by settle_number */
};

enum directory_verdict { DIRECTORY_DONE, DIRECTORY_TOO_MANY_GROUPS, DIRECTORY_NO_MEMORY };

void directory_init(struct worker *worker);
void directory_fini(struct worker *worker);

/* Gives the session its client id. It has none yet. */
enum directory_verdict directory_take_id(struct worker *worker, struct session *session,
                                         struct span id);
/* Joins all the groups or none. Groups it is in already are passed over. */
enum directory_verdict directory_join(struct worker *worker, struct session *session,
                                      const struct span *groups, size_t count);
/* Leaves the groups; those it is not in are passed over. */
void directory_leave(struct worker *worker, struct session *session, const struct span *groups,
                     size_t count);
/* Leaves all groups and gives up the id. */
void directory_leave_all(struct worker *worker, struct session *session);
/* Calls type->on_settled once everything noted until now is confirmed: at once, or later. */
void directory_settle(struct worker *worker, struct session *session);

/* The name, if it has sessions here or this is its home; NULL otherwise. */
struct name *directory_find(struct worker *worker, enum name_kind kind, uint64_t hash,
                            struct span text);
/* Keeps the name from going while its sessions are walked through, one of which may close. */
void name_pin(struct name *name);
void name_unpin(struct worker *worker, struct name *name);
bool directory_is_member(const struct session *session, const struct name *group);

/* End of turn: sends notes to the homes that have confirmed the chain before. */
void directory_flush(struct worker *worker);
void directory_on_names(struct worker *worker, const struct mail *mail);
/* Frees a chain of notes that came too late to matter. */
void directory_drop_notes(struct name_note *note);
void directory_on_names_done(struct worker *worker, const struct mail *mail);

#endif
