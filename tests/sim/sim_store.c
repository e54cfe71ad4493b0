#include "tests/sim/sim_store.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/fate.h"
#include "core/message.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_port.h"

#include <stdlib.h>

#define ADDRESSES_MAX 8
#define MESSAGE_BYTES 100 /* of a record, so that the node has something to count */
#define FATE_BYTES 40

enum record_state { RECORD_NONE, RECORD_WRITTEN, RECORD_SAFE, RECORD_VOID };

/* Of one message, by its serial. */
struct record {
    uint32_t content;
    uint8_t state;                  /* enum record_state */
    uint8_t written[ADDRESSES_MAX]; /* fate_word_of; 0: nothing */
    uint8_t safe[ADDRESSES_MAX];
    uint64_t sequence; /* of the last that is of the whole, message or fate */
};

/* What waits until it is safe, in the order of the records. */
struct waiter {
    struct list link;
    uint64_t due_ns; /* not before those before it; CLOCK_NEVER: the disk hangs */
    struct fate *fate;
    struct message *message; /* PUT: it is let go of only now; NULL: it was */
    uint64_t serial;
    struct mail request; /* PUT */
    uint64_t at_ns;      /* SETTLE: when it was */
    uint32_t address;
    bool settles;
    uint8_t word;
};

static struct {
    struct store store;
    struct list waiting;
    struct timer due;
    uint64_t full_until_ns;
    uint64_t sequence;
    uint32_t owes[ENDPOINTS_MAX];
    struct record *records;
    size_t record_cap;
} toy;

static struct fates *fates_of(void) {
    return &node_server()->fates;
}

static struct waiter *waiter_of(struct list *node) {
    return container_of(node, struct waiter, link);
}

static void store_pause(void) {
    sim_port_pause(&toy.store.port, sim.scenario.store_death);
}

/* --- records ---------------------------------------------------------------------------------- */

static const struct record *record_find(uint64_t serial) {
    static const struct record none;
    return serial < toy.record_cap ? &toy.records[serial] : &none;
}

static struct record *record_at(uint64_t serial) {
    if (serial >= toy.record_cap) {
        size_t cap = (size_t)serial * 2 + 64;
        toy.records = realloc(toy.records, cap * sizeof(*toy.records));
        CHECK(toy.records != NULL);
        memset(toy.records + toy.record_cap, 0, (cap - toy.record_cap) * sizeof(*toy.records));
        toy.record_cap = cap;
    }
    return &toy.records[serial];
}

bool sim_store_has(uint64_t serial) {
    return record_find(serial)->state == RECORD_SAFE;
}

bool sim_store_has_settled(uint64_t serial, uint32_t address, enum fate_state state,
                           enum fate_reason reason) {
    return sim_store_has(serial) && record_find(serial)->safe[address] != 0 &&
           record_find(serial)->safe[address] == fate_word_of(state, reason);
}

bool sim_store_is_settling(uint64_t serial, uint32_t address) {
    const struct record *record = record_find(serial);
    return record->written[address] != 0 && record->safe[address] == 0;
}

bool sim_store_may_refuse(void) {
    return sim.scenario.store && !sim.scenario.calm;
}

bool sim_store_may_be_late(void) {
    return sim.scenario.store && !sim.scenario.calm;
}

bool sim_store_hangs(void) {
    return sim.scenario.store &&
           (sim_port_dead(toy.store.port.index) ||
            (!list_empty(&toy.waiting) && waiter_of(toy.waiting.prev)->due_ns == CLOCK_NEVER));
}

uint32_t sim_store_owes(unsigned endpoint) {
    return toy.owes[endpoint];
}

/* --- what waits ------------------------------------------------------------------------------- */

/* When the next one will be safe; now: with the next group. */
static uint64_t due_draw(uint64_t now_ns) {
    if (sim_chance(sim.scenario.store_hang))
        return CLOCK_NEVER;
    if (!sim_chance(sim.scenario.store_late))
        return now_ns;
    uint64_t roll = sim_roll(100);
    if (roll < 80)
        return now_ns + sim_roll(50 * NS_PER_MS);
    if (roll < 90)
        return now_ns + sim_roll(2 * NS_PER_S);
    /* About when nobody waits for it any more. */
    return now_ns + STORE_ANSWER_NS - 200 * NS_PER_MS + sim_roll(400 * NS_PER_MS);
}

static struct waiter *waiter_add(struct fate *fate, uint64_t serial) {
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    CHECK(waiter != NULL);
    *waiter = (struct waiter){.fate = fate, .serial = serial};
    waiter->due_ns = due_draw(toy.store.port.now_ns);
    if (!list_empty(&toy.waiting) && waiter_of(toy.waiting.prev)->due_ns > waiter->due_ns)
        waiter->due_ns = waiter_of(toy.waiting.prev)->due_ns;
    list_init(&waiter->link);
    list_add_tail(&toy.waiting, &waiter->link);
    return waiter;
}

/* Its answer: nobody waits for it longer. */
static void put_answer(struct waiter *waiter, bool stored) {
    struct message *message = waiter->message;
    if (message != NULL)
        message_release(&toy.store.port.endpoint, message);
    fates_release(fates_of(), waiter->fate);
    toy.owes[waiter->request.from]--;
    store_answer(&toy.store, &waiter->request, stored);
}

/* The record is on the disk, and is taken back. */
static void put_void(struct waiter *waiter) {
    record_at(waiter->serial)->state = RECORD_VOID;
    put_answer(waiter, false);
}

static void put_tell(struct waiter *waiter) {
    /* Between the two its producer may give it up; dead it cannot be, a thread goes on. */
    if (sim_chance(sim.scenario.preempt))
        fiber_yield(FIBER_READY);
    if (!fates_stored(fates_of(), waiter->fate)) {
        put_void(waiter);
        return;
    }
    struct record *record = record_at(waiter->serial);
    record->state = RECORD_SAFE;
    content_at(record->content)->stored++;
    if (sim_chance(sim.scenario.preempt))
        fiber_yield(FIBER_READY);
    put_answer(waiter, true);
}

static void settle_tell(const struct waiter *waiter) {
    record_at(waiter->serial)->safe[waiter->address] = waiter->word;
    store_settled(&toy.store, waiter->fate, waiter->address, fate_word_state(waiter->word),
                  fate_word_reason(waiter->word), waiter->at_ns);
}

/* What is due is safe. */
static void waiting_tell(uint64_t now_ns) {
    while (!list_empty(&toy.waiting) && waiter_of(toy.waiting.next)->due_ns <= now_ns) {
        struct waiter *waiter = waiter_of(list_pop(&toy.waiting));
        if (waiter->settles)
            settle_tell(waiter);
        else
            put_tell(waiter);
        free(waiter);
        store_pause();
    }
    timer_disarm(&toy.store.port.wheel, &toy.due);
    if (!list_empty(&toy.waiting) && waiter_of(toy.waiting.next)->due_ns != CLOCK_NEVER)
        timer_arm(&toy.store.port.wheel, &toy.due, waiter_of(toy.waiting.next)->due_ns);
}

/* A write fails: producers do not wait until the disk works again, what is settled does. */
static void group_fail(void) {
    SIM_TRACE("the store fails");
    for (struct list *node = toy.waiting.next, *next; node != &toy.waiting; node = next) {
        struct waiter *waiter = waiter_of(node);
        next = node->next;
        if (waiter->settles)
            continue;
        list_remove(&waiter->link);
        put_void(waiter);
        free(waiter);
    }
}

/* --- the seat --------------------------------------------------------------------------------- */

static bool is_full(const struct port *port) {
    if (port->now_ns >= toy.full_until_ns && sim_chance(sim.scenario.store_full))
        toy.full_until_ns = port->now_ns + sim_roll(100 * NS_PER_MS);
    bool full = port->now_ns < toy.full_until_ns;
    atomic_store(&toy.store.unavailable, full);
    return full;
}

static void toy_put(struct store *store, const struct mail *mail) {
    struct message *message = mail->object;
    store_pause();
    uint32_t content = check_store_arrival(message_event(message), message_payload(message));
    struct record *record = record_at(message->serial);
    if (record->state != RECORD_NONE)
        sim_fail("the store is given message %u with the serial of message %u", content,
                 record->content);
    toy.owes[mail->from]++;
    if (is_full(&store->port)) {
        struct waiter refused = {.fate = message->fate, .message = message, .request = *mail};
        put_answer(&refused, false);
        return;
    }
    record->content = content;
    record->state = RECORD_WRITTEN;
    record->sequence = ++toy.sequence;
    fates_record(fates_of(), message->fate, message->serial, mail->number, toy.sequence,
                 MESSAGE_BYTES);
    struct waiter *waiter = waiter_add(message->fate, message->serial);
    waiter->request = *mail;
    waiter->message = message;
    if (sim_chance(700)) {
        waiter->message = NULL;
        message_release(&store->port.endpoint, message);
    }
}

static void toy_settle(struct store *store, struct message *message, uint32_t address,
                       enum fate_state state, enum fate_reason reason) {
    store_pause();
    struct fate *fate = message->fate;
    uint64_t serial = message->serial;
    struct record *record = record_at(serial);
    if (record->state != RECORD_SAFE)
        sim_fail("an address of message %u is settled, which is not safe", record->content);
    CHECK(address < ADDRESSES_MAX);
    struct waiter *waiter = waiter_add(fate, serial);
    waiter->settles = true;
    waiter->address = address;
    waiter->word = record->written[address] = (uint8_t)fate_word_of(state, reason);
    waiter->at_ns = store->port.now_ns;
    if (fates_note(fates_of(), fate, address, state, reason)) {
        record->sequence = ++toy.sequence;
        fates_record(fates_of(), fate, serial, fate_recipients(fate), toy.sequence, FATE_BYTES);
    }
    message_release(&store->port.endpoint, message);
}

/* It only wakes. */
static void on_due(struct endpoint *endpoint, struct timer *timer) {
    (void)endpoint, (void)timer;
}

static void on_turn(struct port *port) {
    store_pause();
    if (!list_empty(&toy.waiting) && sim_chance(sim.scenario.store_fail))
        group_fail();
    waiting_tell(port->now_ns);
}

static void on_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    store_pause();
    sim_port_wait(port, wake_fd, wait_ns);
}

static void on_stop(struct port *port) {
    if (sim_chance(500))
        waiting_tell(CLOCK_NEVER - 1); /* the disk takes it yet, unless it hangs */
    group_fail();
    timer_disarm(&port->wheel, &toy.due);
    for (struct list *node; (node = list_pop(&toy.waiting)) != NULL;)
        free(waiter_of(node)); /* pending again after the next start */
}

/* --- the run ---------------------------------------------------------------------------------- */

void sim_store_open(struct server_parts *parts) {
    static const struct store_type type = {.put = toy_put, .settle = toy_settle};
    static const struct port_type port_type = {
        .name = "store", .turn = on_turn, .wait = on_wait, .stop = on_stop};
    memset(&toy, 0, sizeof(toy));
    list_init(&toy.waiting);
    if (!sim.scenario.store)
        return;
    store_init(&toy.store, &type, &port_type, "sim");
    timer_init(&toy.due, on_due);
    parts->store = &toy.store;
    parts->ports[parts->port_count++] = &toy.store.port;
}

void sim_store_close(void) {
    free(toy.records);
    toy.records = NULL;
}

bool sim_store_at(unsigned index) {
    return sim.scenario.store && index == sim.scenario.workers + sim.scenario.ports;
}

void sim_store_body(unsigned index) {
    sim_port_run(&toy.store.port, index);
}

/* --- the oracle ------------------------------------------------------------------------------- */

void sim_store_need_check(const struct fate *fate) {
    const struct record *record = record_find(fate->serial);
    bool whole = true;
    for (uint32_t i = 0; i < fate->count; i++)
        whole &= record->written[i] != 0;
    for (unsigned i = 0; i < 2; i++) {
        enum fate_record sort = i == 0 ? FATE_RECORD_MESSAGE : FATE_RECORD_WHOLE;
        bool needed = fates_need(fates_of(), fate_scope(fate), fate_id(fate), fate->serial, sort,
                                 record->sequence);
        if (needed != ((sort == FATE_RECORD_WHOLE) == whole))
            sim_fail("record %llu of message %u: the node says that it is %sneeded",
                     (unsigned long long)fate->serial, record->content, needed ? "" : "not ");
    }
}

void sim_store_account(void) {
    if (!list_empty(&toy.waiting))
        sim_fail("something waits for a store that has stopped");
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++)
        if (toy.owes[i] != 0)
            sim_fail("the store owes endpoint %u %u answers", i, toy.owes[i]);
}
