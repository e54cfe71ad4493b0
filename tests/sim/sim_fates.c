/* The node's table of fates, seen after every turn. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/fate.h"
#include "core/keeper.h"
#include "core/server.h"
#include "core/worker.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_store.h"

#include <stdio.h>
#include <stdlib.h>

#define ADDRESSES_MAX 8
#define BUCKETS 1024
#define LENT_SCOPE_BYTES 32

struct record_address {
    int id;
    uint8_t state, reason;
    uint64_t stamp, now_ns; /* when it was seen to be settled */
};

/* A fate, from when it was seen first. */
struct record {
    struct record *older; /* of all */
    struct record *next;  /* of those that are there, with the same hash */
    const struct fate *fate;
    uint64_t looked, accepted_ms;
    uint64_t kept; /* a bit for each address, for a moment */
    uint64_t serial;
    struct text id, scope;
    uint32_t count;
    uint8_t phase;
    bool lent; /* by another node, whose run its scope begins with */
    struct record_address addresses[ADDRESSES_MAX];
};

static struct record *records, *there[BUCKETS];
static uint64_t looks;

void fate_records_open(void) {
    records = NULL;
    memset(there, 0, sizeof(there));
    looks = 0;
}

void fate_records_close(void) {
    while (records != NULL) {
        struct record *record = records;
        records = record->older;
        text_free(&record->id);
        text_free(&record->scope);
        free(record);
    }
    fate_records_open();
}

static int id_number(struct span text) {
    for (unsigned i = 0; i < sim.scenario.ids; i++)
        if (span_equal(text, name_of_id(i)))
            return (int)i;
    /* Of Socket.IO clients (sim_sio.h), whose messages are nobody else's. */
    struct span prefix = SPAN("sio-");
    if (sim.scenario.sio && text.len == prefix.len + 1 && span_starts(text, prefix))
        return (int)sim.scenario.ids + text.at[prefix.len] - '0';
    sim_fail("a fate is for %.*s, which is nobody", SPAN_ARG(text));
}

static struct record **bucket_of(const struct fate *fate) {
    return &there[((uintptr_t)fate >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 54];
}

static bool is_same(const struct record *record, const struct fate *fate) {
    return record->fate == fate && record->accepted_ms == fate->accepted_ms &&
           record->phase <= fate->phase && record->count == fate->count &&
           span_equal(text_as_span(&record->id), fate_id(fate)) &&
           span_equal(text_as_span(&record->scope), fate_scope(fate));
}

static struct record *record_of(const struct fate *fate) {
    struct record **bucket = bucket_of(fate);
    for (struct record *record = *bucket; record != NULL; record = record->next)
        if (is_same(record, fate))
            return record;
    struct record *record = calloc(1, sizeof(*record));
    CHECK(record != NULL && fate->count <= ADDRESSES_MAX);
    record->fate = fate;
    record->accepted_ms = fate->accepted_ms;
    record->count = fate->count;
    text_span(&record->id, fate_id(fate));
    text_span(&record->scope, fate_scope(fate));
    record->lent = fate_scope(fate).len == LENT_SCOPE_BYTES;
    for (uint32_t i = 0; i < fate->count; i++)
        record->addresses[i].id = id_number(fate_address_text(fate, i));
    record->older = records;
    records = record;
    record->next = *bucket;
    *bucket = record;
    return record;
}

static void record_look(struct record *record, const struct fate *fate) {
    unsigned left = 0;
    record->looked = looks;
    record->phase = fate->phase;
    record->serial = fate->serial;
    bool store = sim.scenario.store && !record->lent;
    if (store && fate->phase != FATE_OPEN && !sim_store_has(fate->serial))
        sim_fail("%.*s is taken, and the store does not have it",
                 SPAN_ARG(text_as_span(&record->id)));
    for (uint32_t i = 0; i < record->count; i++) {
        struct record_address *address = &record->addresses[i];
        uint8_t state = atomic_load(&fate->addresses[i].state);
        left += state == FATE_PENDING;
        if (state == address->state)
            continue;
        if (address->state != FATE_PENDING)
            sim_fail("the fate of %.*s for id %d was %s and becomes %s",
                     SPAN_ARG(text_as_span(&record->id)), address->id,
                     fate_state_word((enum fate_state)address->state),
                     fate_state_word((enum fate_state)state));
        address->state = state;
        address->reason = atomic_load(&fate->addresses[i].reason);
        if (store && !sim_store_has_settled(fate->serial, i, (enum fate_state)state,
                                            (enum fate_reason)address->reason))
            sim_fail("the fate of %.*s for id %d becomes %s, and the store does not know",
                     SPAN_ARG(text_as_span(&record->id)), address->id,
                     fate_state_word((enum fate_state)state));
        address->stamp = sim_stamp();
        address->now_ns = sim.now_ns;
        sim_digest(UINT64_C(0xC000000000000000) | (uint64_t)address->id << 8 | state);
    }
    if (left != fate->left || (left == 0) != (fate->phase >= FATE_SETTLED || fate->left == 0))
        sim_fail("a fate says that %u addresses are pending, there are %u", fate->left, left);
}

static void records_gone(void) {
    for (unsigned i = 0; i < BUCKETS; i++) {
        struct record **link = &there[i];
        while (*link != NULL) {
            if ((*link)->looked == looks)
                link = &(*link)->next;
            else
                *link = (*link)->next;
        }
    }
}

/* How many there are of each share, that are told, and in all. */
struct queued {
    uint32_t settled[FATE_SHARES], kept[FATE_SHARES];
};

static void limit_check(const uint32_t counts[FATE_SHARES], uint32_t max, const char *what) {
    if (counts[FATE_PRODUCERS] + counts[FATE_CLIENTS] > max || counts[FATE_CLIENTS] > max / 4)
        sim_fail("%u fates of producers are %s, and %u of clients, %u are allowed",
                 counts[FATE_PRODUCERS], what, counts[FATE_CLIENTS], max);
}

static void queues_check(const struct fate_stripe *stripe, const struct queued *queued) {
    for (unsigned share = 0; share < FATE_SHARES; share++) {
        uint32_t settled = stripe->settled[share].count, recalled = stripe->recalled[share].count;
        if (queued->settled[share] != settled || queued->kept[share] != settled + recalled)
            sim_fail("%u fates of share %u are settled, %u with the recalled ones; %u and %u are "
                     "counted",
                     queued->settled[share], share, queued->kept[share], settled, recalled);
    }
    limit_check(queued->settled, stripe->settled_max, "settled");
    limit_check(queued->kept, stripe->kept_max, "kept");
}

void fate_records_look(struct server *server) {
    if (sim.scenario.ack == 0)
        return;
    looks++;
    uint64_t record_bytes = 0;
    for (unsigned i = 0; i < server->fates.stripe_count; i++) {
        const struct fate_stripe *stripe = &server->fates.stripes[i];
        struct queued queued = {.settled = {0}};
        struct table_node *node = NULL;
        while (stripe->fates.count != 0 && (node = table_walk(&stripe->fates, node)) != NULL) {
            const struct fate *fate = container_of(node, struct fate, node);
            record_look(record_of(fate), fate);
            enum fate_share share = fate_share_of(fate_scope(fate));
            queued.settled[share] += fate->phase == FATE_SETTLED;
            queued.kept[share] += fate->phase >= FATE_SETTLED;
            record_bytes += fate->record_bytes;
        }
        queues_check(stripe, &queued);
    }
    if (record_bytes != fates_record_bytes(&server->fates))
        sim_fail("the records of all fates have %llu bytes, %llu are counted",
                 (unsigned long long)record_bytes,
                 (unsigned long long)fates_record_bytes(&server->fates));
    records_gone();
}

/* --- contents --------------------------------------------------------------------------------- */

/* The only message that ever had its id; NULL: several had, or it is not known. */
static struct sim_content *content_of(const struct record *record) {
    struct span id = text_as_span(&record->id);
    for (uint32_t i = content_total(); i > 0; i--) {
        struct sim_content *content = content_at(i - 1);
        if (!content->ack || content->lent != record->lent ||
            !span_equal(span_text(content->id), id))
            continue;
        return record->lent || ack_is_alone(content) ? content : NULL;
    }
    return NULL;
}

/* What is settled leaves the window at once, and its fate is settled when the store has that. */
static bool perhaps_settling(const struct sim_content *content, int place) {
    const struct sim_attempt *attempt = attempt_at(content->first_attempt);
    double ttl_s = content->ttl_s > 0 ? content->ttl_s : 600;
    return sim.scenario.store && (content->acks[place].acked != 0 || content->withdrawn != 0 ||
                                  sim.now_ns >= attempt->begin_ns + (uint64_t)(ttl_s * 1e9));
}

struct fate_seen fate_record_find(struct span run, const char *message_id, int id) {
    for (const struct record *record = records; record != NULL; record = record->older) {
        if (record->lent != (run.len != 0) || !span_starts(text_as_span(&record->scope), run) ||
            !span_equal(text_as_span(&record->id), span_text(message_id)))
            continue;
        for (uint32_t i = 0; i < record->count; i++)
            if (record->addresses[i].id == id)
                return (struct fate_seen){true, record->addresses[i].state,
                                          record->addresses[i].stamp};
    }
    return (struct fate_seen){.found = false};
}

unsigned fate_records_in_flight(int id) {
    unsigned count = 0;
    fate_records_look(node_server()); /* a turn that was interrupted may have settled some */
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (const struct record *record = there[i]; record != NULL; record = record->next) {
            /* What was lent, let go and lent again was written, and waits. */
            for (uint32_t j = 0; !record->lent && j < record->count; j++) {
                if (record->addresses[j].id != id || record->addresses[j].state != FATE_PENDING)
                    continue;
                const struct sim_content *content = content_of(record);
                int place = content == NULL ? -1 : ack_place(content, id);
                count += place >= 0 && content->acks[place].written != 0 &&
                         !perhaps_settling(content, place);
            }
        }
    }
    return count;
}

/* --- when all is quiet ------------------------------------------------------------------------ */

static void kept_mark(const struct worker *worker, bool undecided) {
    const struct table *kepts = &worker->keeper.kept;
    struct table_node *node = NULL;
    while (kepts->count != 0 && (node = table_walk(kepts, node)) != NULL) {
        const struct kept *kept = container_of(node, struct kept, node);
        struct record *record = record_of(kept_message(kept)->fate);
        /* A publish ends when all keepers know; the first may have handed it over by then. */
        if (kept->state != KEPT_RESERVED && record->phase != FATE_TAKEN && !undecided)
            sim_fail("worker %u keeps %.*s, which is in phase %u", worker->index,
                     SPAN_ARG(text_as_span(&record->id)), record->phase);
        if (record->addresses[kept->address].state != FATE_PENDING)
            sim_fail("worker %u keeps %.*s for id %d, which is settled", worker->index,
                     SPAN_ARG(text_as_span(&record->id)), record->addresses[kept->address].id);
        record->kept |= UINT64_C(1) << kept->address;
    }
    for (const struct list *at = worker->keeper.settling.next; at != &worker->keeper.settling;
         at = at->next) {
        const struct kept *kept = container_of(at, struct kept, order);
        record_of(kept_message(kept)->fate)->kept |= UINT64_C(1) << kept->address;
    }
}

/* The store has stopped in the middle of something: what is settled may be in its mailbox. */
static bool store_stands_still(const struct server *server) {
    return server->parts.store != NULL && sim_port_dead(server->parts.store->port.index);
}

/* Is that address neither kept, nor on its way into the store? */
static bool is_lost(const struct server *server, const struct record *record, uint32_t address) {
    return record->addresses[address].state == FATE_PENDING && (record->kept >> address & 1) == 0 &&
           !store_stands_still(server) &&
           (record->lent ||
            !(sim.scenario.store && sim_store_is_settling(record->serial, address)));
}

void fate_records_quiet_check(struct server *server) {
    if (sim.scenario.ack == 0 || server_phase(server) >= PHASE_STOPPED)
        return;
    fate_records_look(server);
    for (unsigned i = 0; i < server->worker_count; i++)
        kept_mark(&server->workers[i], keepers_undecided(server));
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct record *record = there[i]; record != NULL; record = record->next) {
            for (uint32_t j = 0; record->phase == FATE_TAKEN && j < record->count; j++)
                if (is_lost(server, record, j))
                    sim_fail("%.*s is pending for id %d, and nobody keeps it",
                             SPAN_ARG(text_as_span(&record->id)), record->addresses[j].id);
            if (sim.scenario.store && !record->lent && record->phase != FATE_OPEN)
                sim_store_need_check(record->fate);
            record->kept = 0;
        }
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static void address_account(const struct sim_content *content, const struct sim_attempt *attempt,
                            const struct record_address *address) {
    int place = ack_place(content, address->id);
    if (place < 0)
        sim_fail("message %u has a fate for id %d, which it was not for", content->number,
                 address->id);
    const struct sim_ack *ack = &content->acks[place];
    double ttl_s = content->ttl_s > 0 ? content->ttl_s : 600;
    switch ((enum fate_state)address->state) {
    case FATE_PENDING:
    case FATE_STATES:
        break;
    case FATE_ACKED:
        if (ack->acked == 0 || ack->acked > address->stamp)
            sim_fail("message %u is acked by id %d, of which nobody who had it said so",
                     content->number, address->id);
        break;
    case FATE_EXPIRED:
        if (address->now_ns < attempt->begin_ns + (uint64_t)(ttl_s * 1e9))
            sim_fail("message %u expired for id %d after %.3f s, its ttl was %.3f s",
                     content->number, address->id,
                     (double)(address->now_ns - attempt->begin_ns) / 1e9, ttl_s);
        break;
    case FATE_DROPPED:
        if (address->reason != FATE_REASON_WITHDRAWN || content->withdrawn == 0 ||
            content->withdrawn > address->stamp)
            sim_fail("message %u is dropped for id %d, and nobody withdrew it", content->number,
                     address->id);
        break;
    }
}

/* One that another node keeps, for one of its ids. */
static void lent_account(const struct sim_content *content, const struct record *record) {
    const struct sim_attempt *attempt = attempt_at(content->first_attempt);
    const struct record_address *address = &record->addresses[0];
    if (record->count != 1 || ack_place(content, address->id) < 0)
        sim_fail("message %u, which another node keeps, has a fate for id %d of %u",
                 content->number, address->id, record->count);
    if (address->state == FATE_ACKED && !ack_said_here(content->id, address->id))
        sim_fail("message %u, which another node keeps, is acked by id %d, and nobody said so",
                 content->number, address->id);
    if (address->state == FATE_EXPIRED &&
        address->now_ns < attempt->begin_ns + (uint64_t)(content->ttl_s * 1e9))
        sim_fail("message %u, which another node keeps, expired too early for id %d",
                 content->number, address->id);
    if (address->state == FATE_DROPPED && address->reason != FATE_REASON_LENT &&
        content->withdrawn == 0 && ack_is_alone(content))
        sim_fail("message %u, which another node keeps, is dropped for id %d", content->number,
                 address->id);
}

static uint8_t whole_state(const struct record *record) {
    uint8_t worst = FATE_ACKED;
    for (uint32_t i = 0; i < record->count; i++) {
        if (record->addresses[i].state == FATE_PENDING)
            return FATE_PENDING;
        if (record->addresses[i].state > worst)
            worst = record->addresses[i].state;
    }
    return worst;
}

static void record_account(const struct record *record, const struct sim_content *content,
                           bool forgotten) {
    const struct sim_attempt *attempt = attempt_at(content->first_attempt);
    if (record->phase != FATE_OPEN && attempt->state != ATTEMPT_OPEN &&
        attempt->state != ATTEMPT_QUEUED)
        sim_fail("message %u was refused, and has a fate", content->number);
    if (record->count != content->to_count)
        sim_fail("message %u has a fate of %u addresses, it was for %u", content->number,
                 record->count, content->to_count);
    for (uint32_t i = 0; i < record->count; i++)
        address_account(content, attempt, &record->addresses[i]);
    /* One that settles and is forgotten in the same turn is not seen to settle. */
    uint8_t whole = whole_state(record);
    if (attempt->told > FATE_PENDING + 1 && attempt->told != whole + 1 &&
        (whole != FATE_PENDING || !forgotten))
        sim_fail("message %u was said to be %s, and is %s", content->number,
                 fate_state_word((enum fate_state)(attempt->told - 1)),
                 fate_state_word((enum fate_state)whole));
}

void fate_records_account(const struct stats *total, bool forgotten) {
    uint64_t settled[FATE_STATES] = {0}, dropped = 0;
    for (const struct record *record = records; record != NULL; record = record->older) {
        for (uint32_t i = 0; i < record->count; i++)
            settled[record->addresses[i].state]++;
        const struct sim_content *content = content_of(record);
        if (content != NULL && record->lent)
            lent_account(content, record);
        else if (content != NULL)
            record_account(record, content, forgotten);
    }
    for (unsigned i = 0; i < FATE_REASON_COUNT; i++)
        dropped += stats_get(&total->acks_dropped[i]);
    /* What a store does not have when the node stops is pending again after the next start. */
    forgotten |= sim.scenario.store;
    uint64_t acked = stats_get(&total->acks_acked), expired = stats_get(&total->acks_expired);
    bool more = settled[FATE_ACKED] > acked || settled[FATE_EXPIRED] > expired ||
                settled[FATE_DROPPED] > dropped;
    bool fewer = settled[FATE_ACKED] < acked || settled[FATE_EXPIRED] < expired ||
                 settled[FATE_DROPPED] < dropped;
    if (more || (fewer && !forgotten))
        sim_fail("%llu addresses were acked, %llu expired, %llu dropped; the fates say %llu, %llu, "
                 "%llu",
                 (unsigned long long)acked, (unsigned long long)expired,
                 (unsigned long long)dropped, (unsigned long long)settled[FATE_ACKED],
                 (unsigned long long)settled[FATE_EXPIRED],
                 (unsigned long long)settled[FATE_DROPPED]);
}
