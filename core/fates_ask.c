/* fates_ask.c - looking a fate up, at it, and waiting for it; see fates.h. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/shortage.h"
#include "core/fate.h"
#include "core/message.h"

#include <stdlib.h>

const char *fate_state_word(enum fate_state state) {
    static const char *const words[FATE_STATES] = {
        [FATE_PENDING] = "pending",
        [FATE_ACKED] = "acked",
        [FATE_EXPIRED] = "expired",
        [FATE_DROPPED] = "dropped",
    };
    return words[state];
}

/* --- one that is held ------------------------------------------------------------------------ */

struct span fate_id(const struct fate *fate) {
    return span_of(fate_texts(fate) + fate->scope_len, fate->id_len);
}

uint32_t fate_count(const struct fate *fate) {
    return fate->count;
}

const struct fate_address *fate_address(const struct fate *fate, uint32_t index) {
    CHECK(index < fate->count);
    return &fate->addresses[index];
}

struct span fate_address_text(const struct fate *fate, uint32_t index) {
    const struct fate_address *address = fate_address(fate, index);
    return span_of(fate_texts(fate) + fate_address_at(fate, index), address->len);
}

unsigned fate_namespace(const struct fate *fate) {
    return (unsigned)fate->namespace;
}

uint64_t fate_address_hash(const struct fate *fate, uint32_t index) {
    return name_hash(NAME_ID, fate->namespace, fate_address_text(fate, index));
}

enum fate_state fate_state(const struct fate *fate) {
    enum fate_state worst = FATE_ACKED;
    for (unsigned i = 0; i < fate->count; i++) {
        uint8_t state = atomic_load_explicit(&fate->addresses[i].state, memory_order_acquire);
        if (state == FATE_PENDING)
            return FATE_PENDING;
        if (state > worst)
            worst = (enum fate_state)state;
    }
    return worst;
}

enum fate_reason fate_reason(const struct fate *fate) {
    enum fate_reason greatest = FATE_REASON_NONE;
    for (unsigned i = 0; i < fate->count; i++) {
        uint8_t reason = atomic_load_explicit(&fate->addresses[i].reason, memory_order_relaxed);
        if (reason > greatest)
            greatest = (enum fate_reason)reason;
    }
    return greatest;
}

uint64_t fate_accepted_ms(const struct fate *fate) {
    return fate->accepted_ms;
}

uint64_t fate_settled_ms(const struct fate *fate) {
    return fate_state(fate) == FATE_PENDING ? 0 : fate->accepted_ms + fate->took_ms;
}

uint64_t fate_settled_ns(const struct fate *fate) {
    return fate_state(fate) == FATE_PENDING ? 0 : fate->at_ns;
}

/* --- looking up ------------------------------------------------------------------------------ */

/* Is `fate` the one to tell of, rather than the other? */
static bool comes_first(const struct fate *fate, const struct fate *other) {
    if (other == NULL)
        return true;
    if ((fate->scope_len == 0) != (other->scope_len == 0))
        return fate->scope_len == 0;
    /* Who gives an id that the node made knows it from there. */
    if (fate_id_is_made(fate) != fate_id_is_made(other))
        return !fate_id_is_made(fate);
    /* Of the others of one scope at most one is not settled, and it is the younger one. */
    if (fate->accepted_ms == other->accepted_ms)
        return fate->phase < other->phase;
    return fate->accepted_ms > other->accepted_ms;
}

struct fate *fate_look(const struct fate_stripe *stripe, uint64_t hash, struct span id,
                       const struct span *scope) {
    struct fate *found = NULL;
    for (struct table_node *node = table_first(&stripe->fates, hash); node != NULL;
         node = table_next(node)) {
        struct fate *fate = container_of(node, struct fate, node);
        if (fate->phase == FATE_OPEN || !span_equal(fate_id(fate), id))
            continue;
        bool wanted = scope == NULL ? fate->phase != FATE_RECALLED && !fate->lent
                                    : span_equal(fate_scope(fate), *scope);
        if (wanted && comes_first(fate, found))
            found = fate;
    }
    return found;
}

/* True: nothing is there. Whoever has claimed an id is behind all that others did with it, so it
 * misses none. */
static bool stripe_empty(const struct fate_stripe *stripe) {
    return atomic_load_explicit(&stripe->count, memory_order_relaxed) == 0;
}

struct fate *fates_find(struct fates *fates, struct span id) {
    uint64_t hash = hash64(id);
    struct fate_stripe *stripe = fate_stripe_of(fates, hash);
    fate_lock(stripe);
    struct fate *fate = fate_look(stripe, hash, id, NULL);
    if (fate != NULL)
        fate->holds++;
    fate_unlock(stripe);
    return fate;
}

void fates_hold(struct fates *fates, struct fate *fate) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    fate_lock(stripe);
    fate->holds++;
    fate_unlock(stripe);
}

void fates_release(struct fates *fates, struct fate *fate) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    fate_lock(stripe);
    fate_let_go(stripe, fate);
    fate_unlock(stripe);
}

/* Its client had left; who keeps the message has lent it again. */
static bool was_lent(const struct fate *fate) {
    return fate->left == 0 && fate_reason(fate) == FATE_REASON_LENT;
}

enum fate_verdict fates_repeat(struct fates *fates, struct span scope, struct span id,
                               struct hash128 content, uint64_t now_ns,
                               struct fate_repeat *repeat) {
    *repeat = (struct fate_repeat){.fate = NULL};
    if (fates->stripe_count == 1 && stripe_empty(&fates->stripes[0]))
        return FATE_UNKNOWN;
    uint64_t hash = hash64(id);
    struct fate_stripe *stripe = fate_stripe_of(fates, hash);
    if (stripe_empty(stripe))
        return FATE_UNKNOWN;
    enum fate_verdict verdict = FATE_UNKNOWN;
    fate_lock(stripe);
    struct fate *fate = fate_look(stripe, hash, id, &scope);
    if (fate != NULL && !fate_id_is_made(fate) && !was_lent(fate) &&
        (fate->left != 0 || fate->at_ns + fates->dedup_window_ns > now_ns)) {
        bool same = fate->content.low == content.low && fate->content.high == content.high;
        verdict = same ? FATE_DUPLICATE : FATE_REUSED;
        if (same) {
            fate->holds++;
            repeat->fate = fate;
            repeat->first = (enum result_word)fate->first;
            repeat->recipients = fate->recipients;
        }
    }
    fate_unlock(stripe);
    return verdict;
}

/* --- waiting --------------------------------------------------------------------------------- */

/* An address that is waited for, and by how many. */
struct fate_named {
    struct table_node node;
    uint32_t waits;
};

/* Of an entry, with its share of the table and what the allocator adds. */
#define NAMED_BYTES (sizeof(struct fate_named) + 3 * sizeof(void *))

static size_t named_bytes(const struct fate *fate) {
    return fate_count(fate) * NAMED_BYTES;
}

static struct fate_named *named_find(const struct fate_waited *waited, uint64_t hash) {
    struct table_node *node = table_first(&waited->entries, hash);
    return node == NULL ? NULL : container_of(node, struct fate_named, node);
}

/* False: no memory. */
static bool named_add(struct fate_waited *waited, uint64_t hash) {
    struct fate_named *named = named_find(waited, hash);
    if (named != NULL) {
        named->waits++;
        return true;
    }
    named = malloc(sizeof *named);
    if (SHORTAGE(named == NULL))
        return false;
    *named = (struct fate_named){.node.hash = hash, .waits = 1};
    if (!SHORTAGE(!table_add(&waited->entries, &named->node)))
        return true;
    free(named);
    return false;
}

/* False: there is none. With several waits for one address it does not matter which of them found
 * no memory. */
static bool named_remove(struct fate_waited *waited, uint64_t hash) {
    struct fate_named *named = named_find(waited, hash);
    if (named == NULL)
        return false;
    if (--named->waits == 0) {
        table_remove(&waited->entries, &named->node);
        free(named);
    }
    return true;
}

static void waited_add(struct fates *fates, const struct fate_wait *wait) {
    for (uint32_t i = 0; i < fate_count(wait->fate); i++) {
        uint64_t hash = fate_address_hash(wait->fate, i);
        struct fate_waited *waited = &fates->waited[hash % FATE_WAITED_PLACES];
        CHECK(pthread_mutex_lock(&waited->lock) == 0);
        if (!wait->named || !named_add(waited, hash))
            waited->unnamed++;
        atomic_fetch_add_explicit(&waited->addresses, 1, memory_order_relaxed);
        CHECK(pthread_mutex_unlock(&waited->lock) == 0);
    }
}

static void waited_remove(struct fates *fates, const struct fate_wait *wait) {
    for (uint32_t i = 0; i < fate_count(wait->fate); i++) {
        uint64_t hash = fate_address_hash(wait->fate, i);
        struct fate_waited *waited = &fates->waited[hash % FATE_WAITED_PLACES];
        CHECK(pthread_mutex_lock(&waited->lock) == 0);
        if (!wait->named || !named_remove(waited, hash))
            waited->unnamed--;
        atomic_fetch_sub_explicit(&waited->addresses, 1, memory_order_relaxed);
        CHECK(pthread_mutex_unlock(&waited->lock) == 0);
    }
}

bool fates_waited(struct fates *fates, uint64_t hash) {
    struct fate_waited *waited = &fates->waited[hash % FATE_WAITED_PLACES];
    if (atomic_load_explicit(&waited->addresses, memory_order_relaxed) == 0)
        return false;
    CHECK(pthread_mutex_lock(&waited->lock) == 0);
    bool has = waited->unnamed != 0 || named_find(waited, hash) != NULL;
    CHECK(pthread_mutex_unlock(&waited->lock) == 0);
    return has;
}

bool fates_any_waited(const struct fates *fates) {
    for (unsigned i = 0; i < FATE_WAITED_PLACES; i++)
        if (atomic_load_explicit(&fates->waited[i].addresses, memory_order_relaxed) != 0)
            return true;
    return false;
}

uint32_t fates_waits_ended(const struct fates *fates) {
    return atomic_load_explicit(&fates->waits_ended, memory_order_acquire);
}

bool fates_wait(struct fates *fates, struct fate_wait *wait, struct fate *fate, unsigned endpoint) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    wait->fate = fate;
    wait->endpoint = (uint16_t)endpoint;
    list_init(&wait->link);
    fate_lock(stripe);
    bool pending = fate->left != 0;
    wait->named = pending && !SHORTAGE(!account_take(&stripe->account, named_bytes(fate)));
    if (pending)
        list_add_tail(&fate->waits, &wait->link);
    fate_unlock(stripe);
    if (pending)
        waited_add(fates, wait);
    return pending;
}

void fates_wait_end(struct fates *fates, struct fate_wait *wait) {
    struct fate *fate = wait->fate;
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    waited_remove(fates, wait);
    atomic_fetch_add_explicit(&fates->waits_ended, 1, memory_order_release);
    fate_lock(stripe);
    if (fate->left != 0) {
        list_remove(&wait->link);
    } else { /* it is in `told`, or was fetched */
        struct fate_told *told = &fates->told[wait->endpoint];
        CHECK(pthread_mutex_lock(&told->lock) == 0);
        list_remove(&wait->link);
        CHECK(pthread_mutex_unlock(&told->lock) == 0);
    }
    if (wait->named)
        account_give(&stripe->account, named_bytes(fate));
    fate_let_go(stripe, fate);
    fate_unlock(stripe);
    wait->fate = NULL;
}

struct fate_wait *fates_told(struct fates *fates, unsigned endpoint) {
    struct fate_told *told = &fates->told[endpoint];
    CHECK(pthread_mutex_lock(&told->lock) == 0);
    struct list *link = list_pop(&told->waits);
    CHECK(pthread_mutex_unlock(&told->lock) == 0);
    return link == NULL ? NULL : container_of(link, struct fate_wait, link);
}
