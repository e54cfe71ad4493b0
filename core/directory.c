#include "core/directory.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"

/* What a name costs besides itself: its bucket here, its entry in the table of holders. */
#define NAME_SHARE_BYTES 64

static const uint8_t name_text_max[NAME_SIZES] = {24, 64, NAME_BYTES_MAX};

/* What it costs where other hosts are told of it. */
static size_t name_share(const struct worker *worker, enum name_kind kind, size_t len) {
    bool told = kind != NAME_OWN && worker->server->presence != NULL;
    return NAME_SHARE_BYTES + (told ? PRESENCE_ENTRY_BYTES + len : 0);
}

static unsigned name_size(size_t len) {
    unsigned size = 0;
    while (size + 1 < NAME_SIZES && len > name_text_max[size])
        size++;
    return size;
}

void directory_init(struct worker *worker) {
    table_init(&worker->directory.names);
    for (unsigned i = 0; i < NAME_SIZES; i++)
        pool_init(&worker->directory.name_pools[i], sizeof(struct name) + name_text_max[i]);
    pool_init(&worker->directory.memberships, sizeof(struct membership));
}

void directory_fini(struct worker *worker) {
    CHECK(worker->directory.names.count == 0, "%u names still have sessions",
          worker->directory.names.count);
    table_fini(&worker->directory.names);
    for (unsigned i = 0; i < NAME_SIZES; i++)
        pool_fini(&worker->directory.name_pools[i]);
    pool_fini(&worker->directory.memberships);
}

/* --- names ------------------------------------------------------------------------------------ */

struct name *directory_find(struct worker *worker, enum name_kind kind, unsigned namespace,
                            uint64_t hash, struct span text) {
    struct table_node *node = table_first(&worker->directory.names, hash);
    for (; node != NULL; node = table_next(node)) {
        struct name *name = container_of(node, struct name, node);
        if (name->kind == kind && name->namespace == namespace &&
            span_equal(span_of(name->text, name->len), text))
            return name;
    }
    return NULL;
}

/* An object of the pool within the ceiling, and `share` bytes more; NULL: there is no room. */
static void *charged_get(struct worker *worker, struct pool *pool, size_t share) {
    if (SHORTAGE(!account_take(&worker->account, pool->object_bytes + share))) {
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    void *object = pool_get(pool);
    if (SHORTAGE(object == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        account_give(&worker->account, pool->object_bytes + share);
    }
    return object;
}

static void charged_put(struct worker *worker, struct pool *pool, void *object, size_t share) {
    account_give(&worker->account, pool->object_bytes + share);
    pool_put(pool, object);
}

static struct name *name_get(struct worker *worker, enum name_kind kind, unsigned namespace,
                             struct span text) {
    uint64_t hash = name_hash(kind, namespace, text);
    struct name *name = directory_find(worker, kind, namespace, hash, text);
    if (name != NULL)
        return name;
    struct pool *pool = &worker->directory.name_pools[name_size(text.len)];
    name = charged_get(worker, pool, name_share(worker, kind, text.len));
    if (SHORTAGE(name == NULL))
        return NULL;
    *name = (struct name){.node.hash = hash,
                          .kind = (uint8_t)kind,
                          .namespace = (uint8_t) namespace,
                          .len = (uint8_t)text.len};
    memcpy(name->text, text.at, text.len);
    list_init(&name->sessions);
    if (SHORTAGE(!table_add(&worker->directory.names, &name->node))) {
        stats_add(&worker->stats.memory_refused, 1);
        charged_put(worker, pool, name, name_share(worker, kind, text.len));
        return NULL;
    }
    stats_add(&worker->stats.names, kind != NAME_OWN);
    return name;
}

/* Frees a name that has no session. */
static void name_put(struct worker *worker, struct name *name) {
    if (name->session_count != 0)
        return;
    table_remove(&worker->directory.names, &name->node);
    stats_sub(&worker->stats.names, name->kind != NAME_OWN);
    charged_put(worker, &worker->directory.name_pools[name_size(name->len)], name,
                name_share(worker, (enum name_kind)name->kind, name->len));
}

/* Does this worker hold another name with the same hash? */
static bool hash_shared(const struct worker *worker, const struct name *name) {
    struct table_node *node = table_first(&worker->directory.names, name->node.hash);
    for (; node != NULL; node = table_next(node)) {
        const struct name *other = container_of(node, struct name, node);
        if (other != name && other->session_count != 0)
            return true;
    }
    return false;
}

void name_pin(struct name *name) {
    name->session_count++;
    name->pins++;
}

/* Of client ids, whose sessions are few, the table of holders knows the number: a message to be
 * acknowledged is answered with it before it has reached them. */
static void ids_tell(struct worker *worker, struct name *name) {
    uint32_t count = name->session_count - name->pins;
    if (count == name->told_count)
        return;
    holders_grow(worker->server->holders, name->node.hash, (int32_t)(count - name->told_count));
    name->told_count = count;
}

/* Keeps the table of holders up to date to HOLDERS_STEP sessions. */
static void count_tell(struct worker *worker, struct name *name) {
    if (name->kind == NAME_ID) {
        ids_tell(worker, name);
        return;
    }
    uint32_t count = name->session_count / HOLDERS_STEP * HOLDERS_STEP;
    bool more = count > name->told_count;
    /* Two steps down, so that one who comes and goes is not told each time. */
    if (!more && name->session_count + HOLDERS_STEP > name->told_count)
        return;
    if (count == name->told_count)
        return;
    holders_grow(worker->server->holders, name->node.hash, (int32_t)(count - name->told_count));
    name->told_count = count;
}

/* All who may send to it know of its first session here, or of the last one's end. False: no memory
 * to tell them, and nobody knows. */
static bool name_begin(struct worker *worker, const struct name *name) {
    struct server *server = worker->server;
    struct span text = span_of(name->text, name->len);
    if (SHORTAGE(!holders_add(server->holders, name->node.hash, worker->index)))
        return false;
    if (server->presence == NULL || name->kind == NAME_OWN ||
        !SHORTAGE(!presence_begin(server->presence, (enum name_kind)name->kind, text)))
        return true;
    if (!hash_shared(worker, name))
        holders_remove(server->holders, name->node.hash, worker->index);
    return false;
}

static void name_end(struct worker *worker, const struct name *name) {
    struct server *server = worker->server;
    if (!hash_shared(worker, name) && !FAULT(DIRECTORY_STALE))
        holders_remove(server->holders, name->node.hash, worker->index);
    if (server->presence != NULL && name->kind != NAME_OWN)
        presence_end(server->presence, (enum name_kind)name->kind, span_of(name->text, name->len));
}

/* A session, or a pin, less. */
static void name_leave(struct worker *worker, struct name *name) {
    name->session_count--;
    count_tell(worker, name);
    if (name->session_count != 0)
        return;
    name_end(worker, name);
    name_put(worker, name);
}

void name_unpin(struct worker *worker, struct name *name) {
    name->pins--;
    name_leave(worker, name);
}

/* One session more. False: no memory to tell the others; the name may have gone. */
static bool name_enter(struct worker *worker, struct name *name) {
    if (name->session_count == 0 && SHORTAGE(!name_begin(worker, name))) {
        stats_add(&worker->stats.memory_refused, 1);
        name_put(worker, name);
        return false;
    }
    name->session_count++;
    count_tell(worker, name);
    return true;
}

/* --- sessions and names ----------------------------------------------------------------------- */

enum directory_verdict directory_take_id(struct worker *worker, struct session *session,
                                         struct span id) {
    CHECK(session->id == NULL, "a session takes a second id");
    struct name *name = name_get(worker, NAME_ID, session->namespace, id);
    if (SHORTAGE(name == NULL) || SHORTAGE(!name_enter(worker, name)))
        return DIRECTORY_NO_MEMORY;
    session->id = name;
    list_add_tail(&name->sessions, &session->id_link);
    return DIRECTORY_DONE;
}

/* Gives up its id, which it has. */
static void id_end(struct worker *worker, struct session *session) {
    struct name *name = session->id;
    session->id = NULL;
    fanout_pass(worker, &session->id_link);
    walk_pass(&worker->calls.walk, &session->id_link);
    list_remove(&session->id_link);
    name_leave(worker, name);
}

enum directory_verdict directory_rename(struct worker *worker, struct session *session,
                                        struct span id) {
    struct name *name = name_get(worker, NAME_ID, session->namespace, id);
    if (SHORTAGE(name == NULL))
        return DIRECTORY_NO_MEMORY;
    if (name == session->id)
        return DIRECTORY_DONE;
    if (SHORTAGE(!name_enter(worker, name)))
        return DIRECTORY_NO_MEMORY;
    if (session->id != NULL)
        id_end(worker, session);
    session->id = name;
    list_add_tail(&name->sessions, &session->id_link);
    session->attend = ATTEND_NONE;
    session->taken_serial = 0;
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
    fanout_pass(worker, &membership->name_link);
    walk_pass(&worker->calls.walk, &membership->name_link);
    list_remove(&membership->name_link);
    list_remove(&membership->session_link);
    if (name->kind == NAME_GROUP) {
        membership->session->membership_count--;
        stats_sub(&worker->stats.memberships, 1);
    }
    charged_put(worker, &worker->directory.memberships, membership, 0);
    name_leave(worker, name);
}

/* False: no memory; the name may have gone. */
static bool membership_begin(struct worker *worker, struct session *session, struct name *name) {
    if (SHORTAGE(!name_enter(worker, name)))
        return false;
    struct membership *membership = charged_get(worker, &worker->directory.memberships, 0);
    if (SHORTAGE(membership == NULL)) {
        name_leave(worker, name);
        return false;
    }
    membership->name = name;
    membership->session = session;
    list_add_tail(&name->sessions, &membership->name_link);
    if (name->kind == NAME_OWN) {
        list_add_head(&session->memberships, &membership->session_link);
        return true;
    }
    list_add_tail(&session->memberships, &membership->session_link);
    session->membership_count++;
    stats_add(&worker->stats.memberships, 1);
    return true;
}

enum directory_verdict directory_take_own(struct worker *worker, struct session *session,
                                          struct span own) {
    CHECK(directory_own(session) == NULL, "a session takes a second name of its own");
    struct name *name = name_get(worker, NAME_OWN, session->namespace, own);
    if (SHORTAGE(name == NULL) || SHORTAGE(!membership_begin(worker, session, name)))
        return DIRECTORY_NO_MEMORY;
    return DIRECTORY_DONE;
}

static struct name *group_find(struct worker *worker, const struct session *session,
                               struct span group) {
    unsigned namespace = session->namespace;
    return directory_find(worker, NAME_GROUP, namespace, name_hash(NAME_GROUP, namespace, group),
                          group);
}

enum directory_verdict directory_join(struct worker *worker, struct session *session,
                                      const struct span *groups, size_t count) {
    size_t joined = session->membership_count;
    for (size_t i = 0; i < count; i++) {
        struct name *name = group_find(worker, session, groups[i]);
        joined += name == NULL || !directory_is_member(session, name);
        if (joined > GROUPS_PER_SESSION_MAX)
            return DIRECTORY_TOO_MANY_GROUPS;
    }
    uint16_t before = session->membership_count;
    for (size_t i = 0; i < count; i++) {
        struct name *name = name_get(worker, NAME_GROUP, session->namespace, groups[i]);
        if (name != NULL && directory_is_member(session, name))
            continue;
        if (SHORTAGE(name == NULL) || SHORTAGE(!membership_begin(worker, session, name))) {
            /* All or none: what was joined by this call is at the end of the list. */
            while (session->membership_count > before)
                membership_end(worker, container_of(session->memberships.prev, struct membership,
                                                    session_link));
            return DIRECTORY_NO_MEMORY;
        }
    }
    return DIRECTORY_DONE;
}

void directory_leave(struct worker *worker, struct session *session, const struct span *groups,
                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct name *name = group_find(worker, session, groups[i]);
        struct membership *membership = name == NULL ? NULL : membership_find(session, name);
        if (membership != NULL)
            membership_end(worker, membership);
    }
}

void directory_leave_all(struct worker *worker, struct session *session) {
    while (!list_empty(&session->memberships))
        membership_end(worker,
                       container_of(session->memberships.next, struct membership, session_link));
    if (session->id != NULL)
        id_end(worker, session);
}
