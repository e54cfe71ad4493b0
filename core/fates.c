#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/shortage.h"
#include "core/config.h"
#include "core/fate.h"
#include "core/message.h"

#include <stdlib.h>

/* The year 10889 is the last. */
#define ACCEPTED_MS_MASK ((UINT64_C(1) << 45) - 1)
/* A bucket of the table, which takes no memory that could be short. */
#define BUCKET_BYTES sizeof(struct table_node *)

/* --- the table ------------------------------------------------------------------------------- */

struct fate_stripe *fate_stripe_of(struct fates *fates, uint64_t hash) {
    /* The table of the stripe looks at the low bits. */
    return &fates->stripes[(hash >> 48) % fates->stripe_count];
}

void fate_lock(struct fate_stripe *stripe) {
    CHECK(pthread_mutex_lock(&stripe->lock) == 0);
}

void fate_unlock(struct fate_stripe *stripe) {
    CHECK(pthread_mutex_unlock(&stripe->lock) == 0);
}

static void queues_init(struct fate_queue queues[FATE_SHARES]) {
    for (unsigned share = 0; share < FATE_SHARES; share++) {
        list_init(&queues[share].fates);
        queues[share].count = 0;
    }
}

void fates_init(struct fates *fates, struct budget *budget, const struct config *config,
                void (*nudge)(void *argument, unsigned endpoint), void *argument) {
    fates->stripe_count = config->fate_max < FATE_STRIPES_FROM ? 1 : FATE_STRIPES;
    atomic_init(&fates->relieved, 0);
    atomic_init(&fates->forgotten, 0);
    atomic_init(&fates->ids_forgotten, 0);
    atomic_init(&fates->waits_ended, 0);
    for (unsigned i = 0; i < FATE_WAITED_PLACES; i++) {
        CHECK(pthread_mutex_init(&fates->waited[i].lock, NULL) == 0);
        table_init(&fates->waited[i].entries);
        fates->waited[i].unnamed = 0;
        atomic_init(&fates->waited[i].addresses, 0);
    }
    atomic_init(&fates->record_bytes, 0);
    fates->window_ns = config->fate_window_ns;
    fates->dedup_window_ns = config->dedup_window_ns;
    fates->kept_ns =
        fates->window_ns > fates->dedup_window_ns ? fates->window_ns : fates->dedup_window_ns;
    fates->kept_max = config->fate_max > config->dedup_max ? config->fate_max : config->dedup_max;
    CHECK(pthread_mutex_init(&fates->feed.lock, NULL) == 0);
    atomic_init(&fates->feed.runs, false);
    fates->feed.count = 0;
    fates->feed.fates = NULL;
    fates->nudge = nudge;
    fates->nudge_argument = argument;
    for (unsigned i = 0; i < fates->stripe_count; i++) {
        struct fate_stripe *stripe = &fates->stripes[i];
        CHECK(pthread_mutex_init(&stripe->lock, NULL) == 0);
        table_init(&stripe->fates);
        queues_init(stripe->settled);
        queues_init(stripe->recalled);
        account_init(&stripe->account, budget);
        stripe->account.blocks.warm_max = 0; /* all is charged that is not back with the system */
        stripe->settled_max = config->fate_max / fates->stripe_count;
        stripe->kept_max = fates->kept_max / fates->stripe_count;
        atomic_init(&stripe->count, 0);
    }
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        CHECK(pthread_mutex_init(&fates->told[i].lock, NULL) == 0);
        list_init(&fates->told[i].waits);
    }
}

void fates_reserve(struct fates *fates, uint64_t count) {
    for (unsigned i = 0; i < fates->stripe_count; i++)
        table_reserve(&fates->stripes[i].fates, count / fates->stripe_count);
}

/* --- one fate -------------------------------------------------------------------------------- */

static size_t size_for(unsigned addresses, size_t texts) {
    size_t bytes = offsetof(struct fate, addresses) + fate_addresses_bytes(addresses) + texts;
    return bytes > sizeof(struct fate) ? bytes : sizeof(struct fate);
}

static size_t fate_bytes(const struct fate *fate) {
    uint32_t last = fate->count - 1u;
    return size_for(fate->count, (size_t)fate_address_at(fate, last) + fate->addresses[last].len);
}

static void count_set(struct fate_stripe *stripe) {
    atomic_store_explicit(&stripe->count, stripe->fates.count, memory_order_relaxed);
}

/* Where it is; NULL: in none. */
static struct fate_queue *queue_of(struct fate_stripe *stripe, const struct fate *fate) {
    enum fate_share share = fate_share_of(fate_scope(fate));
    if (fate->phase == FATE_RECALLED)
        return &stripe->recalled[share];
    return fate->phase == FATE_SETTLED ? &stripe->settled[share] : NULL;
}

static void queue_leave(struct fate_stripe *stripe, struct fate *fate) {
    struct fate_queue *queue = queue_of(stripe, fate);
    if (queue == NULL)
        return;
    list_remove(&fate->order);
    queue->count--;
}

static void queue_enter(struct fate_stripe *stripe, struct fate *fate, enum fate_phase phase) {
    fate->phase = phase & 7u;
    struct fate_queue *queue = queue_of(stripe, fate);
    list_init(&fate->order);
    list_add_tail(&queue->fates, &fate->order);
    queue->count++;
}

static void fate_free(struct fate_stripe *stripe, struct fate *fate) {
    memory_put(&stripe->account, fate, fate_bytes(fate));
    account_give(&stripe->account, BUCKET_BYTES);
}

/* Nobody finds it any more; it goes now, or with the last one who holds it. */
static void fate_forget(struct fates *fates, struct fate_stripe *stripe, struct fate *fate) {
    atomic_fetch_sub_explicit(&fates->record_bytes, fate->record_bytes, memory_order_relaxed);
    fate->record_bytes = 0;
    queue_leave(stripe, fate);
    fate->phase = FATE_FORGOTTEN;
    table_remove(&stripe->fates, &fate->node);
    count_set(stripe);
    if (fate->holds == 0)
        fate_free(stripe, fate);
}

void fate_let_go(struct fate_stripe *stripe, struct fate *fate) {
    CHECK(fate->holds > 0, "a fate is let go of once too often");
    if (--fate->holds == 0 && fate->phase == FATE_FORGOTTEN)
        fate_free(stripe, fate);
}

static struct fate *queue_oldest(const struct fate_queue *queue) {
    return list_empty(&queue->fates) ? NULL : container_of(queue->fates.next, struct fate, order);
}

/* Which of these gives way first to one of that share: the oldest of all, or of those that clients
 * sent. NULL: there is none. */
static struct fate *oldest_of(const struct fate_queue queues[FATE_SHARES], enum fate_share share) {
    struct fate *clients = queue_oldest(&queues[FATE_CLIENTS]);
    struct fate *producers = queue_oldest(&queues[FATE_PRODUCERS]);
    if (share == FATE_CLIENTS || producers == NULL)
        return clients;
    return clients != NULL && clients->at_ns < producers->at_ns ? clients : producers;
}

static bool settled_since(const struct fate *fate, uint64_t window_ns, uint64_t now_ns) {
    return fate->at_ns + window_ns <= now_ns;
}

/* Is its id to be known? */
static bool id_wanted(const struct fates *fates, const struct fate *fate, uint64_t now_ns) {
    return !fate_id_is_made(fate) && !settled_since(fate, fates->dedup_window_ns, now_ns);
}

/* Nobody will be told of it any more: it is too old, or has to give way. */
static void untold_count(struct fates *fates, const struct fate *fate, uint64_t now_ns) {
    if (fate->phase == FATE_SETTLED && !settled_since(fate, fates->window_ns, now_ns))
        atomic_fetch_add_explicit(&fates->forgotten, 1, memory_order_relaxed);
}

/* The same; its id stays as long as it is wanted. */
static void fate_recall(struct fates *fates, struct fate_stripe *stripe, struct fate *fate,
                        uint64_t now_ns) {
    untold_count(fates, fate, now_ns);
    if (id_wanted(fates, fate, now_ns)) {
        queue_leave(stripe, fate);
        queue_enter(stripe, fate, FATE_RECALLED);
    } else {
        fate_forget(fates, stripe, fate);
    }
}

/* The oldest one gives way to one of that share, before its time. False: there is none. */
static bool oldest_forget(struct fates *fates, struct fate_stripe *stripe, enum fate_share share,
                          uint64_t now_ns) {
    struct fate *oldest = oldest_of(stripe->recalled, share);
    if (oldest == NULL)
        oldest = oldest_of(stripe->settled, share);
    if (oldest == NULL)
        return false;
    untold_count(fates, oldest, now_ns);
    if (id_wanted(fates, oldest, now_ns))
        atomic_fetch_add_explicit(&fates->ids_forgotten, 1, memory_order_relaxed);
    fate_forget(fates, stripe, oldest);
    return true;
}

/* Are there too many, now that one of that share has come? */
static bool is_over(uint32_t producers, uint32_t clients, enum fate_share share, uint32_t max) {
    return producers + clients > max || (share == FATE_CLIENTS && clients > max / 4);
}

/* All its addresses are settled, and its message was taken. */
static void fate_queue(struct fates *fates, struct fate_stripe *stripe, struct fate *fate,
                       uint64_t now_ns) {
    const struct fate_queue *settled = stripe->settled, *recalled = stripe->recalled;
    enum fate_share share = fate_share_of(fate_scope(fate));
    queue_enter(stripe, fate, FATE_SETTLED);
    while (is_over(settled[FATE_PRODUCERS].count, settled[FATE_CLIENTS].count, share,
                   stripe->settled_max))
        fate_recall(fates, stripe, oldest_of(settled, share), now_ns);
    while (is_over(settled[FATE_PRODUCERS].count + recalled[FATE_PRODUCERS].count,
                   settled[FATE_CLIENTS].count + recalled[FATE_CLIENTS].count, share,
                   stripe->kept_max))
        (void)oldest_forget(fates, stripe, share, now_ns);
}

/* --- a message ------------------------------------------------------------------------------- */

static struct fate *fate_try(struct fate_stripe *stripe, const struct message *message,
                             uint64_t hash, size_t texts) {
    size_t bytes = size_for(message->to_count, texts);
    table_prefetch(&stripe->fates, hash);
    struct fate *fate = memory_get(&stripe->account, bytes);
    if (SHORTAGE(fate == NULL))
        return NULL;
    fate->node.hash = hash;
    if (SHORTAGE(!table_add(&stripe->fates, &fate->node))) {
        memory_put(&stripe->account, fate, bytes);
        return NULL;
    }
    account_force(&stripe->account, BUCKET_BYTES);
    count_set(stripe);
    return fate;
}

/* The same; while memory is short the oldest settled ones of the stripe give way. */
static struct fate *fate_make(struct fates *fates, struct fate_stripe *stripe,
                              enum fate_share share, const struct message *message, uint64_t hash,
                              size_t texts) {
    struct fate *fate;
    while ((fate = fate_try(stripe, message, hash, texts)) == NULL)
        if (SHORTAGE(!oldest_forget(fates, stripe, share, message->accepted_ns)))
            return NULL;
    return fate;
}

bool fates_open(struct fates *fates, struct message *message, struct span scope,
                struct hash128 content, uint64_t accepted_ms) {
    const struct message_name *to = message_to(message);
    struct span id = message_id(message);
    uint64_t hash = hash64(id);
    size_t texts = scope.len + id.len;
    CHECK(message->to_count != 0 && scope.len <= UINT8_MAX);
    for (unsigned i = 0; i < message->to_count; i++)
        texts += to[i].len;

    struct fate_stripe *stripe = fate_stripe_of(fates, hash);
    fate_lock(stripe);
    struct fate *fate = fate_make(fates, stripe, fate_share_of(scope), message, hash, texts);
    if (SHORTAGE(fate == NULL)) {
        fate_unlock(stripe);
        return false;
    }
    struct table_node node = fate->node;
    *fate = (struct fate){.node = node,
                          .content = content,
                          .accepted_ms = accepted_ms & ACCEPTED_MS_MASK,
                          .at_ns = message->accepted_ns,
                          .holds = 1,
                          .count = message->to_count,
                          .left = message->to_count & FATE_LEFT_MASK,
                          .namespace = message->namespace & 15u,
                          .id_len = id.len & 127u,
                          .scope_len = (uint8_t)scope.len,
                          .lent = message->lent,
                          .phase = FATE_OPEN};
    list_init(&fate->waits);
    char *text = fate_texts(fate);
    uint32_t at = 0;
    if (scope.len != 0)
        memcpy(text, scope.at, scope.len);
    at += (uint32_t)scope.len;
    memcpy(text + at, id.at, id.len);
    at += (uint32_t)id.len;
    for (unsigned i = 0; i < fate->count; i++) {
        struct fate_address *address = &fate->addresses[i];
        fate_address_at_set(fate, i, at);
        address->len = to[i].len;
        address->noted = 0;
        atomic_init(&address->state, FATE_PENDING);
        atomic_init(&address->reason, FATE_REASON_NONE);
        memcpy(text + at, message_name_text(message, &to[i]).at, to[i].len);
        at += to[i].len;
    }
    fate_unlock(stripe);
    message->fate = fate;
    return true;
}

void fates_cancel(struct fates *fates, struct fate *fate) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    fate_lock(stripe);
    CHECK(fate->phase == FATE_OPEN, "a fate is cancelled that others know");
    fate_forget(fates, stripe, fate);
    fate_let_go(stripe, fate);
    fate_unlock(stripe);
}

/* The id was taken again: of two settled ones only the younger can be asked for. An id that the
 * node makes was never taken before. */
static void older_forget(struct fates *fates, struct fate_stripe *stripe, const struct fate *fate) {
    if (fate_id_is_made(fate))
        return;
    struct span id = fate_id(fate), scope = fate_scope(fate);
    struct fate *older = fate_look(stripe, fate->node.hash, id, &scope);
    if (older != NULL && older->phase != FATE_TAKEN)
        fate_forget(fates, stripe, older);
}

void fates_taken(struct fates *fates, struct fate *fate, enum result_word first,
                 uint32_t recipients, uint64_t now_ns) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    fate_lock(stripe);
    CHECK(fate->phase == FATE_OPEN, "a message is taken twice");
    older_forget(fates, stripe, fate);
    fate->first = first & 7u;
    fate->recipients = recipients & FATE_RECIPIENTS_MAX;
    fate->phase = FATE_TAKEN;
    bool told = false;
    if (fate->left == 0) {
        fate_queue(fates, stripe, fate, now_ns);
        told = fate_feed_put(&fates->feed, fate);
    }
    fate_unlock(stripe);
    if (told)
        fates->nudge(fates->nudge_argument, fates->feed.endpoint);
}

/* Hands those who wait to their endpoints, and returns which. The stripe's lock is held, so none of
 * them can end meanwhile. */
static uint64_t waits_tell(struct fates *fates, struct fate *fate) {
    uint64_t endpoints = 0;
    struct list *link;
    while ((link = list_pop(&fate->waits)) != NULL) {
        unsigned endpoint = container_of(link, struct fate_wait, link)->endpoint;
        struct fate_told *told = &fates->told[endpoint];
        CHECK(pthread_mutex_lock(&told->lock) == 0);
        list_add_tail(&told->waits, link);
        CHECK(pthread_mutex_unlock(&told->lock) == 0);
        endpoints |= UINT64_C(1) << endpoint;
    }
    return endpoints;
}

void fates_settle(struct fates *fates, struct fate *fate, uint32_t address, enum fate_state state,
                  enum fate_reason reason, uint64_t now_ns) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    uint64_t endpoints = 0;
    fate_lock(stripe);
    struct fate_address *settled = &fate->addresses[address];
    CHECK(address < fate->count && state != FATE_PENDING &&
              atomic_load_explicit(&settled->state, memory_order_relaxed) == FATE_PENDING,
          "an address is settled twice");
    if (--fate->left == 0) {
        /* Before the last address is seen to be settled, for who looks without the lock. */
        fate->took_ms = fate_took_ms(fate, now_ns);
        fate->at_ns = now_ns;
    }
    atomic_store_explicit(&settled->reason, reason, memory_order_relaxed);
    atomic_store_explicit(&settled->state, state, memory_order_release);
    if (fate->left == 0) {
        endpoints = waits_tell(fates, fate);
        if (fate->phase == FATE_TAKEN) {
            fate_queue(fates, stripe, fate, now_ns);
            if (fate_feed_put(&fates->feed, fate))
                endpoints |= UINT64_C(1) << fates->feed.endpoint;
        }
    }
    fate_unlock(stripe);
    for (; endpoints != 0; endpoints &= endpoints - 1)
        fates->nudge(fates->nudge_argument, (unsigned)__builtin_ctzll(endpoints));
}

/* --- the end of fates ------------------------------------------------------------------------ */

/* Gives a piece of what a burst of fates took back to the system. False: nothing. */
static bool memory_sweep(struct account *account) {
    return account_wants_release(account) &&
           block_cache_due(&account->blocks, budget_is_full(account->budget)) != 0 &&
           account_release(account, TRIM_STEP_BYTES) != 0;
}

/* Forgets what is past its window, at most `count`; when the next one will be. */
static uint64_t stripe_sweep(struct fates *fates, struct fate_stripe *stripe, uint64_t now_ns,
                             unsigned count) {
    struct fate *settled, *recalled;
    unsigned gone = 0;
    while ((settled = oldest_of(stripe->settled, FATE_PRODUCERS)) != NULL && gone < count &&
           settled_since(settled, fates->window_ns, now_ns)) {
        fate_recall(fates, stripe, settled, now_ns);
        gone++;
    }
    while ((recalled = oldest_of(stripe->recalled, FATE_PRODUCERS)) != NULL && gone < count &&
           settled_since(recalled, fates->dedup_window_ns, now_ns)) {
        fate_forget(fates, stripe, recalled);
        gone++;
    }
    uint64_t next_ns = CLOCK_NEVER;
    if (settled != NULL)
        next_ns = settled->at_ns + fates->window_ns;
    if (recalled != NULL && recalled->at_ns + fates->dedup_window_ns < next_ns)
        next_ns = recalled->at_ns + fates->dedup_window_ns;
    return next_ns;
}

uint64_t fates_sweep(struct fates *fates, uint64_t now_ns, unsigned count) {
    uint64_t next_ns = CLOCK_NEVER;
    bool swept = false;
    for (unsigned i = 0; i < fates->stripe_count; i++) {
        struct fate_stripe *stripe = &fates->stripes[i];
        fate_lock(stripe);
        uint64_t stripe_ns = stripe_sweep(fates, stripe, now_ns, count);
        if (stripe_ns < next_ns)
            next_ns = stripe_ns;
        swept = swept || memory_sweep(&stripe->account); /* of one stripe at a time */
        if (account_wants_release(&stripe->account))
            next_ns = now_ns;
        fate_unlock(stripe);
    }
    return next_ns;
}

uint32_t fates_relieve(struct fates *fates, uint64_t now_ns) {
    for (unsigned tries = 0; tries < fates->stripe_count; tries++) {
        uint32_t turn = atomic_fetch_add_explicit(&fates->relieved, 1, memory_order_relaxed);
        struct fate_stripe *stripe = &fates->stripes[turn % fates->stripe_count];
        uint32_t forgotten = 0;
        fate_lock(stripe);
        /* A whole grant's worth, for less goes to nobody else. */
        uint64_t wanted = stripe->account.budget->grant_bytes, before = stripe->account.used_bytes;
        while (before - stripe->account.used_bytes <= wanted &&
               oldest_forget(fates, stripe, FATE_PRODUCERS, now_ns))
            forgotten++;
        /* What they leave goes to others only when it is back with the system. */
        (void)account_release(&stripe->account, 2 * wanted);
        account_trim(&stripe->account);
        fate_unlock(stripe);
        if (forgotten != 0)
            return forgotten;
    }
    return 0;
}

uint64_t fates_count(const struct fates *fates) {
    uint64_t count = 0;
    for (unsigned i = 0; i < fates->stripe_count; i++)
        count += atomic_load_explicit(&fates->stripes[i].count, memory_order_relaxed);
    return count;
}

void fates_fini(struct fates *fates) {
    fates_feed_end(fates);
    pthread_mutex_destroy(&fates->feed.lock);
    free(fates->feed.fates);
    for (unsigned i = 0; i < fates->stripe_count; i++) {
        struct fate_stripe *stripe = &fates->stripes[i];
        struct table_node *node = table_walk(&stripe->fates, NULL);
        while (node != NULL) {
            struct fate *fate = container_of(node, struct fate, node);
            node = table_walk(&stripe->fates, node);
            CHECK(fate->holds == 0, "a fate is held at the end");
            fate_forget(fates, stripe, fate);
        }
        CHECK(stripe->account.used_bytes == 0, "a forgotten fate is held at the end");
        account_fini(&stripe->account);
        table_fini(&stripe->fates);
        pthread_mutex_destroy(&stripe->lock);
    }
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        CHECK(list_empty(&fates->told[i].waits), "a wait was told and has not ended");
        pthread_mutex_destroy(&fates->told[i].lock);
    }
    for (unsigned i = 0; i < FATE_WAITED_PLACES; i++) {
        CHECK(fates->waited[i].entries.count + fates->waited[i].unnamed == 0,
              "somebody waits at the end");
        table_fini(&fates->waited[i].entries);
        pthread_mutex_destroy(&fates->waited[i].lock);
    }
}
