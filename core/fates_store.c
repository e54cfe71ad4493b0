/* fates_store.c - what a fate has to do with the store; see fates.h and store.h. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/fate.h"

struct span fate_scope_of(const struct fate *fate) {
    return fate_scope(fate);
}

struct hash128 fate_content(const struct fate *fate) {
    return fate->content;
}

uint32_t fate_recipients(const struct fate *fate) {
    return fate->recipients;
}

uint64_t fate_serial(const struct fate *fate) {
    return fate->serial;
}

uint32_t fate_took_ms(const struct fate *fate, uint64_t settled_ns) {
    uint64_t took_ms = settled_ns > fate->at_ns ? (settled_ns - fate->at_ns) / NS_PER_MS : 0;
    return took_ms < UINT32_MAX ? (uint32_t)took_ms : UINT32_MAX;
}

bool fates_give_up(struct fates *fates, struct fate *fate) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    fate_lock(stripe);
    bool in_time = fate->stored == FATE_UNSTORED;
    if (in_time)
        fate->stored = FATE_GIVEN_UP;
    fate_unlock(stripe);
    return in_time;
}

bool fates_stored(struct fates *fates, struct fate *fate) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    fate_lock(stripe);
    bool wanted = fate->stored == FATE_UNSTORED || FAULT(VOID_LOST);
    if (wanted)
        fate->stored = FATE_STORED;
    fate_unlock(stripe);
    return wanted;
}

void fates_record(struct fates *fates, struct fate *fate, uint64_t serial, uint32_t recipients,
                  uint64_t record, uint32_t record_bytes) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    fate_lock(stripe);
    /* One that was forgotten meanwhile has no record any more. */
    if (fate->phase != FATE_FORGOTTEN) {
        atomic_fetch_add_explicit(&fates->record_bytes, (uint64_t)record_bytes - fate->record_bytes,
                                  memory_order_relaxed);
        fate->serial = serial & FATE_SERIAL_MASK;
        fate->recipients = recipients & FATE_RECIPIENTS_MAX;
        fate->record = record;
        fate->record_bytes = record_bytes;
    }
    fate_unlock(stripe);
}

void fates_record_grow(struct fates *fates, struct fate *fate, uint32_t bytes) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    fate_lock(stripe);
    if (fate->phase != FATE_FORGOTTEN) {
        fate->record_bytes += bytes;
        atomic_fetch_add_explicit(&fates->record_bytes, bytes, memory_order_relaxed);
    }
    fate_unlock(stripe);
}

uint32_t fate_record_bytes(const struct fate *fate) {
    return fate->record_bytes;
}

/* Most have one address. */
static bool noted_all(const struct fate *fate) {
    for (unsigned i = 0; i < fate->count; i++)
        if (fate->addresses[i].noted == 0)
            return false;
    return true;
}

bool fates_note(struct fates *fates, struct fate *fate, uint32_t address, enum fate_state state,
                enum fate_reason reason) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    CHECK(address < fate->count);
    fate_lock(stripe);
    CHECK(fate->addresses[address].noted == 0, "the store notes an address twice");
    fate->addresses[address].noted = (uint8_t)fate_word_of(state, reason);
    bool all = noted_all(fate);
    fate_unlock(stripe);
    return all;
}

/* A copy has a higher sequence than what it was copied from, which its fate goes on to know. */
static bool record_needed(const struct fate *fate, uint64_t serial, enum fate_record sort,
                          uint64_t record) {
    if (fate->serial != serial || fate->record_bytes == 0 || fate->stored == FATE_GIVEN_UP)
        return false;
    if (sort == FATE_RECORD_ADDRESS)
        return !noted_all(fate);
    return noted_all(fate) == (sort == FATE_RECORD_WHOLE) && record >= fate->record;
}

bool fates_need(struct fates *fates, struct span scope, struct span id, uint64_t serial,
                enum fate_record sort, uint64_t record) {
    uint64_t hash = hash64(id);
    struct fate_stripe *stripe = fate_stripe_of(fates, hash);
    bool needed = false;
    fate_lock(stripe);
    struct table_node *node = table_first(&stripe->fates, hash);
    for (; node != NULL && !needed; node = table_next(node)) {
        const struct fate *fate = container_of(node, struct fate, node);
        needed = record_needed(fate, serial, sort, record) && span_equal(fate_id(fate), id) &&
                 span_equal(fate_scope(fate), scope);
    }
    fate_unlock(stripe);
    return needed;
}

bool fates_displaced(struct fates *fates, const struct fate *fate) {
    struct fate_stripe *stripe = fate_stripe_of(fates, fate->node.hash);
    bool displaced = false;
    fate_lock(stripe);
    struct table_node *node = table_first(&stripe->fates, fate->node.hash);
    for (; node != NULL && !displaced; node = table_next(node)) {
        const struct fate *other = container_of(node, struct fate, node);
        displaced = other->serial > fate->serial && span_equal(fate_id(other), fate_id(fate)) &&
                    span_equal(fate_scope(other), fate_scope(fate));
    }
    fate_unlock(stripe);
    return displaced;
}

uint64_t fates_record_bytes(const struct fates *fates) {
    return atomic_load_explicit(&fates->record_bytes, memory_order_relaxed);
}
