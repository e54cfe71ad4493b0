#include "core/presence.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/server.h"

#include <pthread.h>
#include <stdlib.h>

struct presence {
    struct server *server;
    unsigned port;
    pthread_mutex_t lock;
    struct table names;
    struct list changed;
    uint64_t numbered; /* begins so far */
    /* The port's shards: */
    unsigned shards;
    unsigned (*shard_of)(void *argument, enum name_kind kind, struct span text); /* NULL: one */
    void *argument;
    struct list seen[PRESENCE_SHARDS_MAX];
    uint32_t connections[PRESENCE_SHARDS_MAX]; /* by which names are subscribed; 0: none */
    uint32_t subscribed[PRESENCE_SHARDS_MAX];  /* so many */
    _Atomic uint64_t begun, ready;
    _Atomic uint64_t watching; /* endpoints to be nudged */
    _Atomic uint32_t count;
};

struct presence *presence_new(struct server *server, unsigned port) {
    struct presence *presence = calloc(1, sizeof(*presence));
    if (presence == NULL)
        return NULL;
    presence->server = server;
    presence->port = port;
    pthread_mutex_init(&presence->lock, NULL);
    table_init(&presence->names);
    list_init(&presence->changed);
    presence->shards = 1;
    for (unsigned i = 0; i < PRESENCE_SHARDS_MAX; i++)
        list_init(&presence->seen[i]);
    return presence;
}

static void name_free(struct presence *presence, struct presence_name *name) {
    list_remove(&name->link);
    table_remove(&presence->names, &name->node);
    atomic_fetch_sub_explicit(&presence->count, 1, memory_order_relaxed);
    free(name);
}

void presence_free(struct presence *presence) {
    for (unsigned i = 0; i < PRESENCE_SHARDS_MAX; i++)
        list_append(&presence->changed, &presence->seen[i]);
    while (!list_empty(&presence->changed)) {
        struct presence_name *name =
            container_of(presence->changed.next, struct presence_name, link);
        CHECK(name->holders == 0 && name->holds == 0, "a name is still in use");
        name_free(presence, name);
    }
    table_fini(&presence->names);
    pthread_mutex_destroy(&presence->lock);
    free(presence);
}

static struct presence_name *name_find(struct presence *presence, enum name_kind kind,
                                       struct span text) {
    struct table_node *node = table_first(&presence->names, name_hash(kind, NAMESPACE_MAIN, text));
    for (; node != NULL; node = table_next(node)) {
        struct presence_name *name = container_of(node, struct presence_name, node);
        if (name->kind == kind && span_equal(span_of(name->text, name->len), text))
            return name;
    }
    return NULL;
}

/* The entry, made if it is not there. NULL: no memory. */
static struct presence_name *name_have(struct presence *presence, enum name_kind kind,
                                       struct span text) {
    struct presence_name *name = name_find(presence, kind, text);
    if (name != NULL)
        return name;
    name = malloc(sizeof(*name) + text.len);
    if (SHORTAGE(name == NULL))
        return NULL;
    *name = (struct presence_name){.node.hash = name_hash(kind, NAMESPACE_MAIN, text),
                                   .kind = (uint8_t)kind,
                                   .len = (uint8_t)text.len};
    memcpy(name->text, text.at, text.len);
    list_init(&name->link);
    if (SHORTAGE(!table_add(&presence->names, &name->node))) {
        free(name);
        return NULL;
    }
    atomic_fetch_add_explicit(&presence->count, 1, memory_order_relaxed);
    return name;
}

static bool is_subscribed(const struct presence *presence, const struct presence_name *name) {
    return name->subscribed != 0 && name->subscribed == presence->connections[name->shard];
}

static void subscribed_set(struct presence *presence, struct presence_name *name, bool wanted) {
    bool was = is_subscribed(presence, name);
    presence->subscribed[name->shard] += (uint32_t)wanted - (uint32_t)was;
    name->subscribed = wanted ? presence->connections[name->shard] : 0;
}

/* Frees it, if nobody has it and nothing is to be told of it. */
static void name_look(struct presence *presence, struct presence_name *name) {
    if (name->holds == 0 && name->holders == 0 && !is_subscribed(presence, name))
        name_free(presence, name);
}

/* It is to be looked at by the port. True: nothing else was. */
static bool change(struct presence *presence, struct presence_name *name) {
    bool first = list_empty(&presence->changed);
    list_remove(&name->link);
    list_add_tail(&presence->changed, &name->link);
    return first;
}

static void wake(const struct presence *presence, bool wakes) {
    if (wakes)
        server_nudge_endpoint(presence->server, presence->port);
}

bool presence_begin(struct presence *presence, enum name_kind kind, struct span text) {
    bool wakes = false;
    pthread_mutex_lock(&presence->lock);
    struct presence_name *name = name_have(presence, kind, text);
    bool good = !SHORTAGE(name == NULL);
    if (good && name->holders++ == 0) {
        wakes = change(presence, name);
        name->came = true;
        name->begun = ++presence->numbered;
        atomic_store_explicit(&presence->begun, presence->numbered, memory_order_release);
    }
    pthread_mutex_unlock(&presence->lock);
    wake(presence, wakes);
    return good;
}

void presence_end(struct presence *presence, enum name_kind kind, struct span text) {
    bool wakes = false;
    pthread_mutex_lock(&presence->lock);
    struct presence_name *name = name_find(presence, kind, text);
    CHECK(name != NULL && name->holders > 0, "a name ends that was not begun");
    if (--name->holders == 0) {
        wakes = change(presence, name);
        name_look(presence, name);
    }
    pthread_mutex_unlock(&presence->lock);
    wake(presence, wakes);
}

uint64_t presence_begun(const struct presence *presence) {
    return atomic_load_explicit(&presence->begun, memory_order_acquire);
}

uint64_t presence_ready(const struct presence *presence) {
    return atomic_load_explicit(&presence->ready, memory_order_acquire);
}

void presence_watch(struct presence *presence, unsigned endpoint) {
    atomic_fetch_or_explicit(&presence->watching, UINT64_C(1) << endpoint, memory_order_acq_rel);
}

uint32_t presence_count(const struct presence *presence) {
    return atomic_load_explicit(&presence->count, memory_order_relaxed);
}

/* --- the port's ------------------------------------------------------------------------------ */

void presence_share(struct presence *presence, unsigned shards,
                    unsigned (*shard_of)(void *argument, enum name_kind kind, struct span text),
                    void *argument) {
    CHECK(shards > 0 && shards <= PRESENCE_SHARDS_MAX, "%u shards", shards);
    pthread_mutex_lock(&presence->lock);
    presence->shards = shards;
    presence->shard_of = shard_of;
    presence->argument = argument;
    pthread_mutex_unlock(&presence->lock);
}

/* Puts it among those of its shard that were looked at. False: nobody is there to be told of it. */
static bool place(struct presence *presence, struct presence_name *name) {
    unsigned shard = 0;
    if (presence->shard_of != NULL)
        shard = presence->shard_of(presence->argument, (enum name_kind)name->kind,
                                   span_of(name->text, name->len));
    CHECK(shard < presence->shards, "a name of shard %u", shard);
    bool there = presence->connections[shard] != 0;
    if (!there || shard != name->shard)
        subscribed_set(presence, name, false);
    name->shard = (uint8_t)shard;
    list_add_tail(&presence->seen[shard], &name->link);
    return there;
}

unsigned presence_take(struct presence *presence, bool leaves, struct presence_change *changes,
                       unsigned max, uint64_t *all) {
    unsigned count = 0;
    pthread_mutex_lock(&presence->lock);
    for (unsigned i = 0; i < max && !list_empty(&presence->changed); i++) {
        struct presence_name *name =
            container_of(list_pop(&presence->changed), struct presence_name, link);
        bool wanted = name->holders != 0 && !leaves;
        bool there = place(presence, name);
        bool came = name->came && wanted && there;
        bool same = !there || wanted == is_subscribed(presence, name);
        name->came = false;
        if (same && !came) {
            name_look(presence, name);
            continue;
        }
        name->holds++;
        subscribed_set(presence, name, wanted);
        changes[count++] = (struct presence_change){name, same     ? PRESENCE_CAME
                                                          : wanted ? PRESENCE_SUBSCRIBE
                                                                   : PRESENCE_UNSUBSCRIBE};
    }
    *all = list_empty(&presence->changed) ? presence->numbered : 0;
    pthread_mutex_unlock(&presence->lock);
    return count;
}

struct presence_name *presence_hold(struct presence *presence, enum name_kind kind,
                                    struct span text, uint64_t *begun) {
    pthread_mutex_lock(&presence->lock);
    struct presence_name *name = name_find(presence, kind, text);
    if (name != NULL)
        name->holds++;
    if (name != NULL && begun != NULL)
        *begun = name->begun;
    pthread_mutex_unlock(&presence->lock);
    return name;
}

uint64_t presence_begun_of(struct presence *presence, uint64_t hash) {
    pthread_mutex_lock(&presence->lock);
    const struct table_node *node = table_first(&presence->names, hash);
    const struct presence_name *name =
        node == NULL ? NULL : container_of(node, const struct presence_name, node);
    uint64_t begun = name != NULL && name->holders != 0 ? name->begun : 0;
    pthread_mutex_unlock(&presence->lock);
    return begun;
}

void presence_let(struct presence *presence, struct presence_name *name) {
    pthread_mutex_lock(&presence->lock);
    CHECK(name->holds > 0);
    name->holds--;
    name_look(presence, name);
    pthread_mutex_unlock(&presence->lock);
}

void presence_renew(struct presence *presence, unsigned shard, uint32_t connection) {
    pthread_mutex_lock(&presence->lock);
    if (presence->connections[shard] != connection)
        presence->subscribed[shard] = 0;
    presence->connections[shard] = connection;
    list_append(&presence->changed, &presence->seen[shard]);
    pthread_mutex_unlock(&presence->lock);
}

bool presence_gone(struct presence *presence, enum name_kind kind, struct span text,
                   uint32_t connection) {
    pthread_mutex_lock(&presence->lock);
    struct presence_name *name = name_find(presence, kind, text);
    bool was = name != NULL && name->subscribed == connection && is_subscribed(presence, name);
    if (was)
        subscribed_set(presence, name, false);
    if (name != NULL)
        name_look(presence, name);
    pthread_mutex_unlock(&presence->lock);
    return was;
}

uint32_t presence_subscribed(struct presence *presence, unsigned shard) {
    pthread_mutex_lock(&presence->lock);
    uint32_t count = presence->subscribed[shard];
    pthread_mutex_unlock(&presence->lock);
    return count;
}

void presence_ready_to(struct presence *presence, uint64_t begun) {
    if (presence_ready(presence) == begun)
        return;
    atomic_store_explicit(&presence->ready, begun, memory_order_release);
    uint64_t watching = atomic_exchange_explicit(&presence->watching, 0, memory_order_acq_rel);
    for (uint64_t rest = watching; rest != 0; rest &= rest - 1)
        server_nudge_endpoint(presence->server, (unsigned)__builtin_ctzll(rest));
}

bool presence_ids(struct presence *presence, uint64_t *at, unsigned max,
                  void (*each)(void *argument, struct span id), void *argument) {
    struct table_node last = {.hash = *at};
    pthread_mutex_lock(&presence->lock);
    struct table_node *node = table_walk(&presence->names, *at == 0 ? NULL : &last);
    /* Whole buckets: the walk goes on by the hash alone. */
    bool within = false;
    for (unsigned i = 0; node != NULL && (i < max || within); i++) {
        const struct presence_name *name = container_of(node, const struct presence_name, node);
        if (name->kind == NAME_ID && name->holders != 0)
            each(argument, span_of(name->text, name->len));
        *at = node->hash;
        within = node->next != NULL;
        node = table_walk(&presence->names, node);
    }
    pthread_mutex_unlock(&presence->lock);
    return node != NULL;
}
