#include "core/trail.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/directory.h"
#include "core/frame_batch.h"
#include "core/server.h"
#include "core/worker.h"

#define ENTRIES_MIN 8
/* So many entries are looked at for one list of acknowledgements: to end a trail early saves
 * memory, and is no more than that. */
#define LOOKS_MAX 65536
/* What is forgotten in slices goes on after so long. */
#define FORGET_AGAIN_NS (1 * NS_PER_MS)

_Static_assert(TRAIL_IDS_MAX <= UINT16_MAX, "entries can be counted");

/* The trail of a session that has ended. */
struct ended {
    struct table_node node; /* hash: of the client id */
    struct list order;
    uint64_t until_ns;
    struct trail trail;
};

/* One, and its bucket in the table. */
#define ENDED_BYTES (sizeof(struct ended) + sizeof(void *))

static struct ended *ended_of(struct list *order) {
    return container_of(order, struct ended, order);
}

static void on_due(struct endpoint *endpoint, struct timer *timer);

void trails_init(struct trails *trails) {
    *trails = (struct trails){.bytes = 0};
    table_init(&trails->ended);
    list_init(&trails->order);
    pool_init(&trails->pool, sizeof(struct ended));
    timer_init(&trails->timer, on_due);
}

uint64_t trails_bytes_max(const struct worker *worker) {
    return worker->config->memory_bytes / TRAILS_SHARE / worker->server->worker_count;
}

/* --- is there any? ---------------------------------------------------------------------------- */

static void place_count(struct worker *worker, uint64_t id_hash, bool more) {
    _Atomic uint32_t *place = &worker->server->trailed[id_hash % TRAIL_PLACES];
    if (more)
        atomic_fetch_add_explicit(place, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(place, 1, memory_order_relaxed);
}

bool trails_may_have(const struct server *server, uint64_t id_hash) {
    return atomic_load_explicit(&server->trailed[id_hash % TRAIL_PLACES], memory_order_relaxed) !=
           0;
}

/* --- entries ---------------------------------------------------------------------------------- */

static struct trail_entry *entry_at(const struct trail *trail, unsigned i) {
    return &trail->at[(trail->first + i) % trail->cap];
}

static size_t entries_bytes(unsigned count) {
    return count * sizeof(struct trail_entry);
}

static void forget_first(struct worker *worker, struct trail *trail, unsigned count) {
    trail->first = (uint16_t)((trail->first + count) % trail->cap);
    trail->count = (uint16_t)(trail->count - count);
    stats_add(&worker->stats.trails_forgotten, count);
}

static void ids_count(struct worker *worker) {
    stats_set(&worker->stats.trail_bytes, worker->trails.bytes);
}

/* Lets go of the entries, whoever had them. */
static void trail_free(struct worker *worker, struct trail *trail, uint64_t id_hash) {
    if (trail->at == NULL)
        return;
    memory_put(&worker->account, trail->at, entries_bytes(trail->cap));
    worker->trails.bytes -= entries_bytes(trail->cap);
    ids_count(worker);
    *trail = (struct trail){.at = NULL};
    place_count(worker, id_hash, false);
}

static void ended_free(struct worker *worker, struct ended *ended) {
    trail_free(worker, &ended->trail, ended->node.hash);
    table_remove(&worker->trails.ended, &ended->node);
    list_remove(&ended->order);
    pool_put(&worker->trails.pool, ended);
    account_give(&worker->account, ENDED_BYTES);
    worker->trails.bytes -= ENDED_BYTES;
    ids_count(worker);
}

/* Room for so many bytes more, for which the oldest ended ones give way. */
static bool room_make(struct worker *worker, size_t bytes) {
    struct trails *trails = &worker->trails;
    while (trails->bytes + bytes > trails_bytes_max(worker)) {
        if (list_empty(&trails->order))
            return false;
        struct ended *oldest = ended_of(trails->order.next);
        stats_add(&worker->stats.trails_forgotten, oldest->trail.count);
        ended_free(worker, oldest);
    }
    return true;
}

static bool trail_grow(struct worker *worker, struct trail *trail, uint64_t id_hash) {
    unsigned cap = trail->cap == 0 ? ENTRIES_MIN : trail->cap * 2U;
    struct trail_entry *grown = NULL;
    /* Both are there for a moment. */
    if (!SHORTAGE(!room_make(worker, entries_bytes(cap))))
        grown = memory_get(&worker->account, entries_bytes(cap));
    if (SHORTAGE(grown == NULL))
        return false;
    for (unsigned i = 0; i < trail->count; i++)
        grown[i] = *entry_at(trail, i);
    if (trail->at == NULL)
        place_count(worker, id_hash, true);
    else
        memory_put(&worker->account, trail->at, entries_bytes(trail->cap));
    worker->trails.bytes += entries_bytes(cap - trail->cap);
    ids_count(worker);
    trail->at = grown;
    trail->cap = (uint16_t)cap;
    trail->first = 0;
    return true;
}

void trail_add(struct worker *worker, struct session *session, const struct message *message) {
    struct trail *trail = session->type->trail(session);
    bool kept = message_is_kept(message);
    if (session->id == NULL || (trail->count == 0 && !kept))
        return;
    if (trail->count == trail->cap) {
        bool full = trail->cap == TRAIL_IDS_MAX;
        if (!full && SHORTAGE(!trail_grow(worker, trail, session->id->node.hash))) {
            if (trail->cap == 0) {
                stats_add(&worker->stats.trails_forgotten, 1);
                return;
            }
            forget_first(worker, trail, 1);
        } else if (full) {
            trail->first = (uint16_t)((trail->first + 1) % trail->cap);
            trail->count--;
        }
    }
    *entry_at(trail, trail->count++) =
        (struct trail_entry){.message = hash64(message_id(message)),
                             .serial = session->taken_serial | (kept ? TRAIL_OPEN : 0)};
    trail->open += kept;
}

void trail_note_batch(struct worker *worker, struct session *session,
                      const struct frame_batch *batch) {
    if (session->type->trail == NULL)
        return;
    for (uint32_t i = 0; i < batch->count; i++)
        trail_add(worker, session, batch->parts[i].parcel->message);
}

void trail_acknowledged(struct worker *worker, struct session *session, const uint64_t *messages,
                        uint32_t count) {
    struct trail *trail = session->type->trail == NULL ? NULL : session->type->trail(session);
    uint32_t looks = 0;
    if (trail == NULL)
        return;
    for (uint32_t i = 0; i < count && looks < LOOKS_MAX; i++) {
        for (unsigned k = trail->count; k > 0; k--, looks++) {
            struct trail_entry *entry = entry_at(trail, k - 1);
            if (entry->message != messages[i] || !(entry->serial & TRAIL_OPEN))
                continue;
            entry->serial &= ~TRAIL_OPEN;
            trail->open--;
            break;
        }
    }
    if (trail->open == 0 && session->id != NULL)
        trail_free(worker, trail, session->id->node.hash);
}

/* --- the ended -------------------------------------------------------------------------------- */

/* Of one client id the last TRAIL_IDS_MAX stay. */
static void id_trim(struct worker *worker, uint64_t id_hash) {
    for (;;) {
        struct ended *oldest = NULL;
        uint32_t count = 0;
        struct table_node *node = table_first(&worker->trails.ended, id_hash);
        for (; node != NULL; node = table_next(node)) {
            struct ended *ended = container_of(node, struct ended, node);
            count += ended->trail.count;
            if (oldest == NULL || ended->until_ns < oldest->until_ns)
                oldest = ended;
        }
        if (count <= TRAIL_IDS_MAX)
            return;
        uint32_t excess = count - TRAIL_IDS_MAX;
        if (excess < oldest->trail.count) {
            forget_first(worker, &oldest->trail, excess);
            return;
        }
        stats_add(&worker->stats.trails_forgotten, oldest->trail.count);
        ended_free(worker, oldest);
    }
}

void trail_end(struct worker *worker, struct session *session) {
    struct trail *trail = session->type->trail == NULL ? NULL : session->type->trail(session);
    struct trails *trails = &worker->trails;
    if (trail == NULL || trail->at == NULL)
        return;
    uint64_t id_hash = session->id->node.hash;
    struct ended *ended = NULL;
    if (!SHORTAGE(!room_make(worker, ENDED_BYTES)) &&
        !SHORTAGE(!account_take(&worker->account, ENDED_BYTES))) {
        ended = pool_get(&trails->pool);
        if (ended != NULL) {
            *ended = (struct ended){.node.hash = id_hash};
            if (SHORTAGE(!table_add(&trails->ended, &ended->node))) {
                pool_put(&trails->pool, ended);
                ended = NULL;
            }
        }
        if (SHORTAGE(ended == NULL))
            account_give(&worker->account, ENDED_BYTES);
    }
    if (SHORTAGE(ended == NULL)) {
        stats_add(&worker->stats.trails_forgotten, trail->count);
        trail_free(worker, trail, id_hash);
        return;
    }
    trails->bytes += ENDED_BYTES;
    ids_count(worker);
    ended->until_ns = worker->now_ns + worker->config->dedup_window_ns;
    ended->trail = *trail;
    *trail = (struct trail){.at = NULL};
    list_init(&ended->order);
    list_add_tail(&trails->order, &ended->order);
    if (!timer_armed(&trails->timer))
        timer_arm(&worker->wheel, &trails->timer, ended->until_ns);
    id_trim(worker, id_hash);
}

static void on_due(struct endpoint *endpoint, struct timer *timer) {
    struct worker *worker = worker_of(endpoint);
    struct trails *trails = &worker->trails;
    while (!list_empty(&trails->order)) {
        struct ended *oldest = ended_of(trails->order.next);
        if (oldest->until_ns > worker->now_ns) {
            timer_arm(&worker->wheel, timer, oldest->until_ns);
            return;
        }
        ended_free(worker, oldest);
        if (!list_empty(&trails->order) && slice_over(worker)) {
            timer_arm(&worker->wheel, timer, worker->now_ns + FORGET_AGAIN_NS);
            return;
        }
    }
}

void trails_drop(struct worker *worker) {
    struct trails *trails = &worker->trails;
    timer_disarm(&worker->wheel, &trails->timer);
    while (!list_empty(&trails->order)) {
        ended_free(worker, ended_of(trails->order.next));
        if (slice_over(worker))
            return;
    }
}

void trails_fini(struct trails *trails) {
    CHECK(trails->bytes == 0, "%llu bytes of trails are left", (unsigned long long)trails->bytes);
    table_fini(&trails->ended);
    pool_fini(&trails->pool);
}

/* --- who comes back --------------------------------------------------------------------------- */

bool trail_find(const struct trail *trail, uint64_t message, uint64_t *serial) {
    for (unsigned i = 0; i < trail->count; i++) {
        const struct trail_entry *entry = entry_at(trail, i);
        if (entry->message == message) {
            *serial = entry->serial & ~TRAIL_OPEN;
            return true;
        }
    }
    return false;
}

bool trails_find_ended(const struct worker *worker, uint64_t id_hash, uint64_t message,
                       uint64_t *serial) {
    bool found = false;
    struct table_node *node = table_first(&worker->trails.ended, id_hash);
    for (; node != NULL; node = table_next(node)) {
        uint64_t one;
        if (!trail_find(&container_of(node, struct ended, node)->trail, message, &one))
            continue;
        if (!found || one < *serial)
            *serial = one;
        found = true;
    }
    return found;
}
