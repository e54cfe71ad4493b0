#include "core/directory.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/server.h"

#include <stdlib.h>

void directory_init(struct worker *worker) {
    struct directory *directory = &worker->directory;
    *directory = (struct directory){0};
    table_init(&directory->names);
    pool_init(&directory->memberships, sizeof(struct membership));
    list_init(&directory->settling);
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        list_init(&directory->notes[i]);
}

void directory_fini(struct worker *worker) {
    struct directory *directory = &worker->directory;
    CHECK(list_empty(&directory->settling), "a session is still settling");
    /* Names whose other holders ended after this worker are left over; nobody asks for them any
     * more. */
    struct table_node *node = table_walk(&directory->names, NULL);
    while (node != NULL) {
        struct table_node *next = table_walk(&directory->names, node);
        struct name *name = container_of(node, struct name, node);
        CHECK(name->session_count == 0, "a name still has sessions");
        table_remove(&directory->names, node);
        free(name);
        node = next;
    }
    table_fini(&directory->names);
    pool_fini(&directory->memberships);
}

/* --- names ------------------------------------------------------------------------------------ */

struct name *directory_find(struct worker *worker, enum name_kind kind, uint64_t hash,
                            struct span text) {
    struct table_node *node = table_first(&worker->directory.names, hash);
    for (; node != NULL; node = table_next(node)) {
        struct name *name = container_of(node, struct name, node);
        if (name->kind == kind && span_equal(span_of(name->text, name->len), text))
            return name;
    }
    return NULL;
}

static struct name *name_get(struct worker *worker, enum name_kind kind, uint64_t hash,
                             struct span text) {
    struct name *name = directory_find(worker, kind, hash, text);
    if (name != NULL)
        return name;
    name = malloc(sizeof(*name) + text.len);
    if (name == NULL)
        return NULL;
    *name = (struct name){.node.hash = hash, .kind = (uint8_t)kind, .len = (uint8_t)text.len};
    memcpy(name->text, text.at, text.len);
    list_init(&name->sessions);
    list_init(&name->note_link);
    if (!table_add(&worker->directory.names, &name->node)) {
        free(name);
        return NULL;
    }
    stats_add(&worker->stats.names, 1);
    return name;
}

/* Frees a name that nobody needs any more. */
static void name_put(struct worker *worker, struct name *name) {
    if (name->session_count != 0 || name->holders != 0 || list_linked(&name->note_link))
        return;
    table_remove(&worker->directory.names, &name->node);
    stats_sub(&worker->stats.names, 1);
    free(name);
}

static uint64_t worker_bit(const struct worker *worker) {
    return UINT64_C(1) << worker->index;
}

/* The name has got its first session here or lost its last: the home must know. */
static void name_changed(struct worker *worker, struct name *name) {
    struct directory *directory = &worker->directory;
    unsigned home = name_home(name->node.hash, worker->server->worker_count);
    if (home == worker->index) {
        if (name->session_count != 0)
            name->holders |= worker_bit(worker);
        else
            name->holders &= ~worker_bit(worker);
        return;
    }
    if (name->session_count == 0 && FAULT(DIRECTORY_STALE))
        return;
    directory->note_number++;
    if (directory->queued_oldest[home] == 0)
        directory->queued_oldest[home] = directory->note_number;
    if (!list_linked(&name->note_link))
        list_add_tail(&directory->notes[home], &name->note_link);
    directory->pending |= UINT64_C(1) << home;
}

void name_pin(struct name *name) {
    name->session_count++;
}

void name_unpin(struct worker *worker, struct name *name) {
    if (--name->session_count == 0) {
        name_changed(worker, name);
        name_put(worker, name);
    }
}

static void name_enter(struct worker *worker, struct name *name) {
    if (name->session_count++ == 0)
        name_changed(worker, name);
}

/* --- sessions and names ----------------------------------------------------------------------- */

enum directory_verdict directory_take_id(struct worker *worker, struct session *session,
                                         struct span id) {
    CHECK(session->id == NULL, "a session takes a second id");
    struct name *name = name_get(worker, NAME_ID, name_hash(NAME_ID, id), id);
    if (name == NULL)
        return DIRECTORY_NO_MEMORY;
    name_enter(worker, name);
    session->id = name;
    list_add_tail(&name->sessions, &session->id_link);
    return DIRECTORY_DONE;
}

static struct membership *membership_find(const struct session *session, const struct name *group) {
    for (struct list *at = session->memberships.next; at != &session->memberships; at = at->next) {
        struct membership *membership = container_of(at, struct membership, session_link);
        if (membership->name == group)
            return membership;
    }
    return NULL;
}

bool directory_is_member(const struct session *session, const struct name *group) {
    return membership_find(session, group) != NULL;
}

static void membership_end(struct worker *worker, struct membership *membership) {
    struct name *name = membership->name;
    list_remove(&membership->name_link);
    list_remove(&membership->session_link);
    membership->session->membership_count--;
    pool_put(&worker->directory.memberships, membership);
    stats_sub(&worker->stats.memberships, 1);
    name_unpin(worker, name);
}

static struct name *group_find(struct worker *worker, struct span group) {
    return directory_find(worker, NAME_GROUP, name_hash(NAME_GROUP, group), group);
}

enum directory_verdict directory_join(struct worker *worker, struct session *session,
                                      const struct span *groups, size_t count) {
    size_t joined = session->membership_count;
    for (size_t i = 0; i < count; i++) {
        struct name *name = group_find(worker, groups[i]);
        joined += name == NULL || !directory_is_member(session, name);
        if (joined > GROUPS_PER_SESSION_MAX)
            return DIRECTORY_TOO_MANY_GROUPS;
    }
    uint16_t before = session->membership_count;
    for (size_t i = 0; i < count; i++) {
        struct name *name =
            name_get(worker, NAME_GROUP, name_hash(NAME_GROUP, groups[i]), groups[i]);
        if (name != NULL && directory_is_member(session, name))
            continue;
        struct membership *membership = NULL;
        if (name != NULL)
            membership = pool_get(&worker->directory.memberships);
        if (membership == NULL) {
            if (name != NULL)
                name_put(worker, name);
            /* All or none: what was joined by this call is at the end of the list. */
            while (session->membership_count > before)
                membership_end(worker, container_of(session->memberships.prev, struct membership,
                                                    session_link));
            return DIRECTORY_NO_MEMORY;
        }
        name_enter(worker, name);
        membership->name = name;
        membership->session = session;
        list_add_tail(&name->sessions, &membership->name_link);
        list_add_tail(&session->memberships, &membership->session_link);
        session->membership_count++;
        stats_add(&worker->stats.memberships, 1);
    }
    return DIRECTORY_DONE;
}

void directory_leave(struct worker *worker, struct session *session, const struct span *groups,
                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct name *name = group_find(worker, groups[i]);
        struct membership *membership = name == NULL ? NULL : membership_find(session, name);
        if (membership != NULL)
            membership_end(worker, membership);
    }
}

void directory_leave_all(struct worker *worker, struct session *session) {
    while (!list_empty(&session->memberships))
        membership_end(worker,
                       container_of(session->memberships.next, struct membership, session_link));
    if (session->id != NULL) {
        struct name *name = session->id;
        session->id = NULL;
        list_remove(&session->id_link);
        name_unpin(worker, name);
    }
}

/* --- notes ------------------------------------------------------------------------------------ */

/* The oldest note that some home has not confirmed; UINT64_MAX: all are. */
static uint64_t oldest_unconfirmed(const struct directory *directory) {
    uint64_t oldest = UINT64_MAX;
    for (uint64_t rest = directory->pending; rest != 0; rest &= rest - 1) {
        unsigned home = (unsigned)__builtin_ctzll(rest);
        uint64_t at = directory->sent_oldest[home] != 0 ? directory->sent_oldest[home]
                                                        : directory->queued_oldest[home];
        if (at < oldest)
            oldest = at;
    }
    return oldest;
}

static void settle_ready(struct worker *worker) {
    struct directory *directory = &worker->directory;
    while (!list_empty(&directory->settling)) {
        struct session *session =
            container_of(directory->settling.next, struct session, settle_link);
        if (oldest_unconfirmed(directory) <= session->settle_number)
            return;
        list_remove(&session->settle_link);
        session->type->on_settled(worker, session);
    }
}

void directory_settle(struct worker *worker, struct session *session) {
    CHECK(!list_linked(&session->settle_link), "a session settles twice at a time");
    session->settle_number = worker->directory.note_number;
    list_add_tail(&worker->directory.settling, &session->settle_link);
    settle_ready(worker);
}

static struct name_note *note_make(const struct name *name) {
    struct name_note *note = malloc(sizeof(*note) + name->len);
    if (note == NULL)
        return NULL;
    *note = (struct name_note){.hash = name->node.hash,
                               .kind = name->kind,
                               .len = name->len,
                               .held = name->session_count != 0};
    memcpy(note->text, name->text, name->len);
    return note;
}

static void notes_send(struct worker *worker, unsigned home) {
    struct directory *directory = &worker->directory;
    struct name_note *first = NULL, **end = &first;
    while (!list_empty(&directory->notes[home])) {
        struct name *name = container_of(directory->notes[home].next, struct name, note_link);
        struct name_note *note = note_make(name);
        if (note == NULL)
            break; /* the rest goes with the next chain */
        *end = note;
        end = &note->next;
        list_remove(&name->note_link);
        name_put(worker, name);
    }
    if (first == NULL)
        return;
    directory->sent_oldest[home] = directory->queued_oldest[home];
    if (list_empty(&directory->notes[home]))
        directory->queued_oldest[home] = 0;
    post_send(worker, home,
              &(struct mail){.kind = MAIL_NAMES, .from = (uint16_t)worker->index, .object = first});
}

void directory_flush(struct worker *worker) {
    struct directory *directory = &worker->directory;
    for (uint64_t rest = directory->pending; rest != 0; rest &= rest - 1) {
        unsigned home = (unsigned)__builtin_ctzll(rest);
        if (directory->sent_oldest[home] == 0)
            notes_send(worker, home);
    }
}

void directory_on_names(struct worker *worker, const struct mail *mail) {
    struct name_note *note = mail->object;
    uint64_t holder = UINT64_C(1) << mail->from;
    while (note != NULL) {
        struct span text = span_of(note->text, note->len);
        if (note->held) {
            struct name *name = name_get(worker, note->kind, note->hash, text);
            /* A home that forgets would lose messages without a word. */
            CHECK(name != NULL, "no memory for a name");
            name->holders |= holder;
        } else {
            struct name *name = directory_find(worker, note->kind, note->hash, text);
            if (name != NULL) {
                name->holders &= ~holder;
                name_put(worker, name);
            }
        }
        struct name_note *next = note->next;
        free(note);
        note = next;
    }
    post_send(worker, mail->from,
              &(struct mail){.kind = MAIL_NAMES_DONE, .from = (uint16_t)worker->index});
}

void directory_drop_notes(struct name_note *note) {
    while (note != NULL) {
        struct name_note *next = note->next;
        free(note);
        note = next;
    }
}

void directory_on_names_done(struct worker *worker, const struct mail *mail) {
    struct directory *directory = &worker->directory;
    directory->sent_oldest[mail->from] = 0;
    if (directory->queued_oldest[mail->from] == 0)
        directory->pending &= ~(UINT64_C(1) << mail->from);
    settle_ready(worker);
}
