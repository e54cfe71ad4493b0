#include "ingest/gate/dedup.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/shortage.h"

/* What a stripe lets go of by the way whenever it is asked. */
#define EXPIRE_PER_CLAIM 2

struct dedup_entry {
    struct table_node node; /* hash: the low half of the key's hash */
    uint64_t key_high;
    struct list order; /* in stripe->order */
    struct hash128 content;
    uint64_t expires_ns;
    union {
        struct list waiting; /* undecided: claims */
        struct {
            uint32_t recipients;
            uint8_t state;
        } first; /* taken */
    };
    bool taken;
    uint8_t share; /* enum dedup_share */
};

/* An entry, and its bucket in the table. */
#define ENTRY_BYTES (sizeof(struct dedup_entry) + sizeof(void *))

static struct hash128 key_hash(struct span scope, struct span id) {
    char key[1 + DEDUP_SCOPE_BYTES_MAX + MESSAGE_ID_BYTES_MAX];
    CHECK(scope.len <= DEDUP_SCOPE_BYTES_MAX && id.len <= MESSAGE_ID_BYTES_MAX);
    /* The length keeps scope and id apart. */
    key[0] = (char)scope.len;
    if (scope.len != 0)
        memcpy(key + 1, scope.at, scope.len);
    memcpy(key + 1 + scope.len, id.at, id.len);
    return hash128(span_of(key, 1 + scope.len + id.len));
}

static bool content_equal(struct hash128 a, struct hash128 b) {
    return a.low == b.low && a.high == b.high;
}

static struct dedup_stripe *stripe_of(struct dedup *dedup, uint64_t hash) {
    /* The table of the stripe looks at the low bits. */
    return &dedup->stripes[(hash >> 48) % dedup->stripe_count];
}

static void stripe_lock(struct dedup_stripe *stripe) {
    CHECK(pthread_mutex_lock(&stripe->lock) == 0);
}

static void stripe_unlock(struct dedup_stripe *stripe) {
    CHECK(pthread_mutex_unlock(&stripe->lock) == 0);
}

void dedup_init(struct dedup *dedup, struct budget *budget, uint32_t entries_max,
                uint64_t window_ns, void (*nudge)(void *argument, unsigned endpoint),
                void *argument) {
    dedup->stripe_count = entries_max < DEDUP_STRIPES_FROM ? 1 : DEDUP_STRIPES;
    atomic_init(&dedup->relieved, 0);
    dedup->window_ns = window_ns;
    dedup->nudge = nudge;
    dedup->nudge_argument = argument;
    for (unsigned i = 0; i < dedup->stripe_count; i++) {
        struct dedup_stripe *stripe = &dedup->stripes[i];
        CHECK(pthread_mutex_init(&stripe->lock, NULL) == 0);
        table_init(&stripe->entries);
        for (unsigned share = 0; share < DEDUP_SHARES; share++) {
            list_init(&stripe->order[share]);
            stripe->taken[share] = 0;
        }
        pool_init(&stripe->pool, sizeof(struct dedup_entry));
        account_init(&stripe->account, budget);
        stripe->taken_max = entries_max / dedup->stripe_count;
    }
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        CHECK(pthread_mutex_init(&dedup->told[i].lock, NULL) == 0);
        list_init(&dedup->told[i].claims);
    }
}

static void entry_remove(struct dedup_stripe *stripe, struct dedup_entry *entry) {
    if (entry->taken)
        stripe->taken[entry->share]--;
    table_remove(&stripe->entries, &entry->node);
    list_remove(&entry->order);
    pool_put(&stripe->pool, entry);
    account_give(&stripe->account, ENTRY_BYTES);
}

void dedup_fini(struct dedup *dedup) {
    for (unsigned i = 0; i < dedup->stripe_count; i++) {
        struct dedup_stripe *stripe = &dedup->stripes[i];
        for (unsigned share = 0; share < DEDUP_SHARES; share++) {
            while (!list_empty(&stripe->order[share])) {
                struct dedup_entry *entry =
                    container_of(stripe->order[share].next, struct dedup_entry, order);
                CHECK(entry->taken, "a claim is out");
                entry_remove(stripe, entry);
            }
        }
        table_fini(&stripe->entries);
        pool_fini(&stripe->pool);
        pthread_mutex_destroy(&stripe->lock);
    }
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        CHECK(list_empty(&dedup->told[i].claims), "a claim was told and not fetched");
        pthread_mutex_destroy(&dedup->told[i].lock);
    }
}

/* The oldest taken entry of the share; NULL: there is none. Undecided ones are passed over: they
 * are few and among the youngest, for each is a publish in flight. */
static struct dedup_entry *share_oldest(const struct dedup_stripe *stripe, enum dedup_share share) {
    if (stripe->taken[share] == 0)
        return NULL;
    const struct list *order = &stripe->order[share];
    for (struct list *at = order->next; at != order; at = at->next) {
        struct dedup_entry *entry = container_of(at, struct dedup_entry, order);
        if (entry->taken)
            return entry;
    }
    return NULL;
}

/* The oldest of all; all live equally long. */
static struct dedup_entry *stripe_oldest(const struct dedup_stripe *stripe) {
    struct dedup_entry *one = share_oldest(stripe, DEDUP_PRODUCERS);
    struct dedup_entry *other = share_oldest(stripe, DEDUP_CLIENTS);
    if (one == NULL || other == NULL)
        return one != NULL ? one : other;
    return other->expires_ns < one->expires_ns ? other : one;
}

/* What must go first to make room for an id of that share. */
static struct dedup_entry *stripe_victim(const struct dedup_stripe *stripe,
                                         enum dedup_share share) {
    return share == DEDUP_CLIENTS ? share_oldest(stripe, DEDUP_CLIENTS) : stripe_oldest(stripe);
}

static unsigned stripe_expire(struct dedup_stripe *stripe, uint64_t now_ns, unsigned entries) {
    for (unsigned gone = 0; gone < entries; gone++) {
        struct dedup_entry *entry = stripe_oldest(stripe);
        if (entry == NULL || entry->expires_ns > now_ns)
            return gone;
        entry_remove(stripe, entry);
    }
    return entries;
}

static struct dedup_entry *stripe_find(struct dedup_stripe *stripe, struct hash128 key) {
    for (struct table_node *node = table_first(&stripe->entries, key.low); node != NULL;
         node = table_next(node)) {
        struct dedup_entry *entry = container_of(node, struct dedup_entry, node);
        if (entry->key_high == key.high)
            return entry;
    }
    return NULL;
}

static struct dedup_entry *entry_try(struct dedup_stripe *stripe, struct hash128 key,
                                     enum dedup_share share) {
    if (SHORTAGE(!account_take(&stripe->account, ENTRY_BYTES)))
        return NULL;
    struct dedup_entry *entry = pool_get(&stripe->pool);
    if (SHORTAGE(entry == NULL)) {
        account_give(&stripe->account, ENTRY_BYTES);
        return NULL;
    }
    *entry =
        (struct dedup_entry){.node.hash = key.low, .key_high = key.high, .share = (uint8_t)share};
    if (SHORTAGE(!table_add(&stripe->entries, &entry->node))) {
        pool_put(&stripe->pool, entry);
        account_give(&stripe->account, ENTRY_BYTES);
        return NULL;
    }
    list_init(&entry->waiting);
    list_add_tail(&stripe->order[share], &entry->order);
    return entry;
}

/* A new entry; when memory is short, the oldest of the stripe gives way. NULL: none is left. */
static struct dedup_entry *entry_make(struct dedup_stripe *stripe, struct hash128 key,
                                      enum dedup_share share, uint64_t now_ns,
                                      uint32_t *forgotten) {
    struct dedup_entry *entry = entry_try(stripe, key, share);
    while (entry == NULL) {
        struct dedup_entry *victim = stripe_victim(stripe, share);
        if (SHORTAGE(victim == NULL))
            return NULL;
        *forgotten += victim->expires_ns > now_ns;
        entry_remove(stripe, victim);
        entry = entry_try(stripe, key, share);
    }
    return entry;
}

static void claim_compare(struct dedup_claim *claim, const struct dedup_entry *entry) {
    if (!content_equal(claim->content, entry->content)) {
        claim->verdict = DEDUP_REUSED;
        return;
    }
    claim->verdict = DEDUP_DUPLICATE;
    claim->first_state = entry->first.state;
    claim->first_recipients = entry->first.recipients;
}

enum dedup_verdict dedup_claim(struct dedup *dedup, unsigned endpoint, struct dedup_claim *claim,
                               struct span scope, struct span id, struct hash128 content,
                               uint64_t now_ns) {
    struct hash128 key = key_hash(scope, id);
    enum dedup_share share = scope.len == 0 ? DEDUP_PRODUCERS : DEDUP_CLIENTS;
    struct dedup_stripe *stripe = stripe_of(dedup, key.low);
    *claim = (struct dedup_claim){.endpoint = (uint16_t)endpoint, .content = content};
    list_init(&claim->link);

    stripe_lock(stripe);
    stripe_expire(stripe, now_ns, EXPIRE_PER_CLAIM);
    struct dedup_entry *entry = stripe_find(stripe, key);
    if (entry != NULL && entry->taken && entry->expires_ns <= now_ns) {
        entry_remove(stripe, entry);
        entry = NULL;
    }
    if (entry == NULL) {
        entry = entry_make(stripe, key, share, now_ns, &claim->forgotten);
        claim->verdict = DEDUP_NO_MEMORY;
        if (!SHORTAGE(entry == NULL)) {
            entry->content = content;
            entry->expires_ns = now_ns + dedup->window_ns;
            claim->entry = entry;
            claim->verdict = DEDUP_NEW;
        }
    } else if (entry->taken) {
        claim_compare(claim, entry);
    } else {
        claim->entry = entry;
        claim->verdict = DEDUP_WAIT;
        list_add_tail(&entry->waiting, &claim->link);
    }
    /* Once it waits, another thread may settle it as soon as the lock is let go. */
    enum dedup_verdict verdict = (enum dedup_verdict)claim->verdict;
    stripe_unlock(stripe);
    return verdict;
}

/* Forgets until the stripe is within its limits, now that an id of that share was taken. */
static uint32_t stripe_shrink(struct dedup_stripe *stripe, enum dedup_share share,
                              uint64_t now_ns) {
    uint32_t forgotten = 0;
    while (stripe->taken[DEDUP_PRODUCERS] + stripe->taken[DEDUP_CLIENTS] > stripe->taken_max ||
           (share == DEDUP_CLIENTS && stripe->taken[share] > stripe->taken_max / 4)) {
        struct dedup_entry *entry = stripe_victim(stripe, share);
        forgotten += entry->expires_ns > now_ns;
        entry_remove(stripe, entry);
    }
    return forgotten;
}

/* Hands claims that are decided to their endpoints. */
static void claims_tell(struct dedup *dedup, struct list *claims) {
    uint64_t endpoints = 0;
    struct list *link;
    while ((link = list_pop(claims)) != NULL) {
        struct dedup_claim *claim = container_of(link, struct dedup_claim, link);
        unsigned endpoint = claim->endpoint;
        struct dedup_told *told = &dedup->told[endpoint];
        CHECK(pthread_mutex_lock(&told->lock) == 0);
        list_add_tail(&told->claims, link);
        CHECK(pthread_mutex_unlock(&told->lock) == 0);
        endpoints |= UINT64_C(1) << endpoint;
    }
    for (; endpoints != 0; endpoints &= endpoints - 1)
        dedup->nudge(dedup->nudge_argument, (unsigned)__builtin_ctzll(endpoints));
}

uint32_t dedup_settle(struct dedup *dedup, struct dedup_claim *claim, bool took,
                      enum result_word state, uint32_t recipients, uint64_t now_ns) {
    struct dedup_entry *entry = claim->entry;
    struct list decided;
    list_init(&decided);
    uint32_t forgotten = 0;
    CHECK(entry != NULL && (claim->verdict == DEDUP_NEW || claim->verdict == DEDUP_PROMOTED));

    /* The entry cannot go while it is undecided, and its hash never changes. */
    struct dedup_stripe *stripe = stripe_of(dedup, entry->node.hash);
    stripe_lock(stripe);
    struct list *link;
    if (took) {
        while ((link = list_pop(&entry->waiting)) != NULL)
            list_add_tail(&decided, link);
        entry->taken = true;
        entry->first.state = (uint8_t)state;
        entry->first.recipients = recipients;
        stripe->taken[entry->share]++;
        for (link = decided.next; link != &decided; link = link->next) {
            struct dedup_claim *waiter = container_of(link, struct dedup_claim, link);
            waiter->entry = NULL;
            claim_compare(waiter, entry);
        }
        forgotten = stripe_shrink(stripe, (enum dedup_share)entry->share, now_ns);
    } else if ((link = list_pop(&entry->waiting)) != NULL) {
        struct dedup_claim *next = container_of(link, struct dedup_claim, link);
        next->verdict = DEDUP_PROMOTED;
        entry->content = next->content;
        entry->expires_ns = now_ns + dedup->window_ns;
        list_remove(&entry->order);
        list_add_tail(&stripe->order[entry->share], &entry->order);
        list_add_tail(&decided, link);
    } else {
        entry_remove(stripe, entry);
    }
    stripe_unlock(stripe);
    claim->entry = NULL;
    claims_tell(dedup, &decided);
    return forgotten;
}

struct dedup_claim *dedup_told(struct dedup *dedup, unsigned endpoint) {
    struct dedup_told *told = &dedup->told[endpoint];
    CHECK(pthread_mutex_lock(&told->lock) == 0);
    struct list *link = list_pop(&told->claims);
    CHECK(pthread_mutex_unlock(&told->lock) == 0);
    return link == NULL ? NULL : container_of(link, struct dedup_claim, link);
}

uint32_t dedup_relieve(struct dedup *dedup, bool for_client) {
    enum dedup_share share = for_client ? DEDUP_CLIENTS : DEDUP_PRODUCERS;
    for (unsigned tries = 0; tries < dedup->stripe_count; tries++) {
        uint32_t turn = atomic_fetch_add_explicit(&dedup->relieved, 1, memory_order_relaxed);
        struct dedup_stripe *stripe = &dedup->stripes[turn % dedup->stripe_count];
        uint32_t forgotten = 0;
        stripe_lock(stripe);
        /* A whole grant's worth, for less goes to nobody else. */
        uint64_t wanted = stripe->account.budget->grant_bytes / ENTRY_BYTES + 1;
        struct dedup_entry *entry;
        while (forgotten < wanted && (entry = stripe_victim(stripe, share)) != NULL) {
            entry_remove(stripe, entry);
            forgotten++;
        }
        account_trim(&stripe->account);
        stripe_unlock(stripe);
        if (forgotten != 0)
            return forgotten;
    }
    return 0;
}

uint64_t dedup_sweep(struct dedup *dedup, uint64_t now_ns, unsigned entries) {
    uint64_t next_ns = CLOCK_NEVER;
    for (unsigned i = 0; i < dedup->stripe_count; i++) {
        struct dedup_stripe *stripe = &dedup->stripes[i];
        stripe_lock(stripe);
        stripe_expire(stripe, now_ns, entries);
        const struct dedup_entry *entry = stripe_oldest(stripe);
        if (entry != NULL && entry->expires_ns < next_ns)
            next_ns = entry->expires_ns;
        stripe_unlock(stripe);
    }
    return next_ns;
}

uint64_t dedup_count(struct dedup *dedup) {
    uint64_t count = 0;
    for (unsigned i = 0; i < dedup->stripe_count; i++) {
        stripe_lock(&dedup->stripes[i]);
        count += dedup->stripes[i].taken[DEDUP_PRODUCERS];
        count += dedup->stripes[i].taken[DEDUP_CLIENTS];
        stripe_unlock(&dedup->stripes[i]);
    }
    return count;
}
