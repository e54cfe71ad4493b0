/* restore.c - what a start makes of the journal; see disk_store.h and entry.h.
 *
 * All entries are read in order, and what they say of one serial is gathered in a struct restored.
 * A message gets its block, with its fate, as soon as its MESSAGE is there, and loses it when the
 * FATE or VOID comes. When all is read, fates are settled in the order of their times, and what is
 * pending goes to its keepers in the order of the serials. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/map.h"
#include "core/base/memory_short.h"
#include "core/server.h"
#include "ha/store/disk_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* One that takes longer says so now and then. */
#define PROGRESS_NS (2 * NS_PER_S)
#define PAGE_BYTES 4096

enum phase { PENDING, ENDED, VOIDED, UNKNOWN };

/* Addresses that settled before their message came again. */
struct early {
    struct early *next;
    uint16_t address;
    uint8_t word;
};

struct restored {
    struct table_node node; /* by the serial */
    uint64_t serial;
    struct message *message; /* PENDING: a hold */
    struct fate *fate;       /* PENDING, ENDED: open and held; NULL: not wanted any more */
    struct early *early;
    uint64_t at_ns; /* ENDED: when it was settled */
    uint32_t recipients;
    uint8_t phase;
};

struct restore {
    struct disk_store *disk;
    struct endpoint *endpoint;
    struct fates *fates;
    struct table table;
    struct pool pool, early_pool;
    uint64_t now_ns, now_wall_ms;
    uint64_t began_ns, progress_ns;
    uint64_t serial_max;
    uint64_t entries, pending, ended;
    char *problem;
    size_t problem_cap;
};

static bool fail(struct restore *restore, const char *text) {
    snprintf(restore->problem, restore->problem_cap, "%s", text);
    return false;
}

static bool fail_memory(struct restore *restore) {
    char remedy[MEMORY_LIMIT_TEXT_MAX];
    memory_short(remedy);
    snprintf(restore->problem, restore->problem_cap,
             "--data %s: there is not the memory for what is in it (%llu messages that are pending "
             "and %llu fates came so far): raise --memory, or %s",
             restore->disk->options.directory, (unsigned long long)restore->pending,
             (unsigned long long)restore->ended, remedy);
    return false;
}

static bool fail_entry(struct restore *restore, const struct journal_record *record,
                       const char *wrong) {
    snprintf(restore->problem, restore->problem_cap,
             "--data %s: record %llu, of kind %u, has %s, which ringpost does not write; see "
             "ringpost store check",
             restore->disk->options.directory, (unsigned long long)record->sequence, record->kind,
             wrong);
    return false;
}

/* --- by serial ------------------------------------------------------------------------------- */

static uint64_t serial_hash(uint64_t serial) {
    return serial * UINT64_C(0x9e3779b97f4a7c15);
}

static struct restored *restored_find(struct restore *restore, uint64_t serial) {
    struct table_node *node = table_first(&restore->table, serial_hash(serial));
    for (; node != NULL; node = table_next(node)) {
        struct restored *found = container_of(node, struct restored, node);
        if (found->serial == serial)
            return found;
    }
    return NULL;
}

/* The one of that serial, UNKNOWN if it was not there; NULL: no memory. */
static struct restored *restored_get(struct restore *restore, uint64_t serial) {
    struct restored *found = restored_find(restore, serial);
    if (found != NULL)
        return found;
    found = pool_get(&restore->pool);
    if (found == NULL)
        return NULL;
    *found =
        (struct restored){.node.hash = serial_hash(serial), .serial = serial, .phase = UNKNOWN};
    if (!table_add(&restore->table, &found->node)) {
        pool_put(&restore->pool, found);
        return NULL;
    }
    if (serial > restore->serial_max)
        restore->serial_max = serial;
    return found;
}

static void early_free(struct restore *restore, struct restored *restored) {
    while (restored->early != NULL) {
        struct early *next = restored->early->next;
        pool_put(&restore->early_pool, restored->early);
        restored->early = next;
    }
}

static void message_drop(struct restore *restore, struct restored *restored) {
    if (restored->message == NULL)
        return;
    message_release(restore->endpoint, restored->message);
    restored->message = NULL;
    restore->pending--;
}

/* --- messages and fates ---------------------------------------------------------------------- */

/* A moment by the wall clock, in this run's monotonic time. */
static uint64_t monotonic_of(const struct restore *restore, uint64_t wall_ms) {
    uint64_t age_ms = restore->now_wall_ms > wall_ms ? restore->now_wall_ms - wall_ms : 0;
    uint64_t age_max_ms = restore->now_ns / NS_PER_MS - 1;
    return restore->now_ns - (age_ms < age_max_ms ? age_ms : age_max_ms) * NS_PER_MS;
}

/* A message with its fate, both held; without a payload if only the fate is wanted. */
static struct message *message_make(struct restore *restore, const struct entry_in *in,
                                    bool whole) {
    struct message_parts parts = {.id = in->id,
                                  .event = whole ? in->event : SPAN("-"),
                                  .to = in->to,
                                  .to_count = in->count,
                                  .class = CLASS_ACK,
                                  .namespace = whole ? in->namespace : NAMESPACE_MAIN,
                                  .is_bytes = whole && in->is_bytes,
                                  .breaks_grow = whole ? in->breaks_grow : 0,
                                  .payload_max = whole ? in->payload.len : 0};
    struct message *message = message_open(restore->endpoint, &parts);
    if (message == NULL)
        return NULL;
    if (parts.payload_max != 0)
        memcpy(message_payload_room(message), in->payload.at, in->payload.len);
    message_seal(message, parts.payload_max);
    message->serial = in->serial;
    message->accepted_ns = monotonic_of(restore, in->accepted_ms);
    uint64_t ttl_ms = whole ? in->expires_ms - in->accepted_ms : 0;
    message->expires_ns = message->accepted_ns + ttl_ms * NS_PER_MS;
    message->expires_wall_ms = in->accepted_ms + ttl_ms;
    if (fates_open(restore->fates, message, in->scope, in->content, in->accepted_ms))
        return message;
    message_release(restore->endpoint, message);
    return NULL;
}

static void note(struct restore *restore, struct fate *fate, uint32_t address, unsigned word) {
    if (address < fate_count(fate) && fate_address(fate, address)->noted == 0)
        (void)fates_note(restore->fates, fate, address, fate_word_state(word),
                         fate_word_reason(word));
}

static void ended_set(struct restore *restore, struct restored *restored, uint64_t at_ns) {
    message_drop(restore, restored);
    restored->phase = ENDED;
    restored->at_ns = at_ns;
    restore->ended++;
}

/* Its addresses are all noted, though nothing says when the last one was. */
static void ended_look(struct restore *restore, struct restored *restored) {
    for (uint32_t i = 0; i < fate_count(restored->fate); i++)
        if (fate_address(restored->fate, i)->noted == 0)
            return;
    ended_set(restore, restored, restore->now_ns);
}

static bool message_read(struct restore *restore, const struct journal_record *record,
                         struct entry_in *in, struct restored *restored) {
    uint32_t bytes = (uint32_t)journal_bytes(record->body.len);
    if (restored->phase == PENDING) { /* it was reclaimed, and came again */
        fates_record(restore->fates, restored->fate, in->serial, in->recipients, record->sequence,
                     bytes);
        return true;
    }
    if (restored->phase != UNKNOWN)
        return true;
    const char *wrong = entry_payload_read(in);
    if (wrong != NULL)
        return fail_entry(restore, record, wrong);
    struct message *message = message_make(restore, in, true);
    if (message == NULL)
        return fail_memory(restore);
    restored->message = message;
    restored->fate = message->fate;
    restored->recipients = in->recipients;
    restored->phase = PENDING;
    restore->pending++;
    (void)fates_stored(restore->fates, restored->fate);
    fates_record(restore->fates, restored->fate, in->serial, in->recipients, record->sequence,
                 bytes);
    for (const struct early *early = restored->early; early != NULL; early = early->next)
        note(restore, restored->fate, early->address, early->word);
    early_free(restore, restored);
    ended_look(restore, restored);
    return true;
}

static bool address_read(struct restore *restore, const struct entry_in *in,
                         struct restored *restored) {
    if (restored->phase == PENDING) {
        note(restore, restored->fate, in->address, in->word);
        ended_look(restore, restored);
    }
    if (restored->phase != UNKNOWN)
        return true;
    struct early *early = pool_get(&restore->early_pool);
    if (early == NULL)
        return fail_memory(restore);
    *early = (struct early){restored->early, in->address, in->word};
    restored->early = early;
    return true;
}

static bool fate_read(struct restore *restore, const struct journal_record *record,
                      const struct entry_in *in, struct restored *restored) {
    uint64_t settled_ms = in->accepted_ms + in->took_ms;
    uint64_t window_ms = restore->fates->window_ns / NS_PER_MS;
    if (restored->phase == UNKNOWN) {
        if (settled_ms + window_ms <= restore->now_wall_ms) {
            restored->phase = VOIDED; /* nobody is told of it any more */
            return true;
        }
        struct message *message = message_make(restore, in, false);
        if (message == NULL)
            return fail_memory(restore);
        restored->fate = message->fate;
        restored->recipients = in->recipients;
        message_release(restore->endpoint, message);
    }
    if (restored->phase == VOIDED)
        return true;
    if (in->count != fate_count(restored->fate))
        return fail_entry(restore, record, "other addresses than its message");
    for (uint16_t i = 0; i < in->count; i++)
        note(restore, restored->fate, i, in->words[i]);
    fates_record(restore->fates, restored->fate, in->serial, restored->recipients, record->sequence,
                 (uint32_t)journal_bytes(record->body.len));
    if (restored->phase != ENDED)
        ended_set(restore, restored,
                  monotonic_of(restore, in->accepted_ms) + in->took_ms * NS_PER_MS);
    return true;
}

static void void_read(struct restore *restore, struct restored *restored) {
    if (restored->phase == PENDING) {
        fates_cancel(restore->fates, restored->fate);
        message_drop(restore, restored);
    }
    if (restored->phase != ENDED)
        restored->phase = VOIDED;
}

static void progress_look(struct restore *restore) {
    uint64_t now_ns = clock_ns();
    if (now_ns - restore->progress_ns < PROGRESS_NS)
        return;
    restore->progress_ns = now_ns;
    log_event(LOG_INFO, "restoring", LOG_STR("data", restore->disk->options.directory),
              LOG_U64("records", restore->entries), LOG_U64("pending", restore->pending),
              LOG_U64("fates", restore->ended));
}

static bool on_record(void *argument, const struct journal_record *record) {
    struct restore *restore = argument;
    struct entry_in *in = &restore->disk->entry;
    const char *wrong = entry_read(record->kind, record->body, in);
    if (wrong != NULL)
        return fail_entry(restore, record, wrong);
    if (++restore->entries % 4096 == 0)
        progress_look(restore);
    struct restored *restored = restored_get(restore, in->serial);
    if (restored == NULL)
        return fail_memory(restore);
    switch (record->kind) {
    case ENTRY_MESSAGE:
        return message_read(restore, record, in, restored);
    case ENTRY_ADDRESS:
        return address_read(restore, in, restored);
    case ENTRY_FATE:
        return fate_read(restore, record, in, restored);
    default:
        void_read(restore, restored);
        return true;
    }
}

/* --- when all is read ------------------------------------------------------------------------ */

static int by_time(const void *a, const void *b) {
    const struct restored *first = *(struct restored *const *)a;
    const struct restored *second = *(struct restored *const *)b;
    return (first->at_ns > second->at_ns) - (first->at_ns < second->at_ns);
}

static int by_serial(const void *a, const void *b) {
    const struct restored *first = *(struct restored *const *)a;
    const struct restored *second = *(struct restored *const *)b;
    return (first->serial > second->serial) - (first->serial < second->serial);
}

static size_t sorted_bytes(size_t count) {
    return (count * sizeof(struct restored *) + PAGE_BYTES) / PAGE_BYTES * PAGE_BYTES;
}

/* All of that phase, in order; NULL: no memory. */
static struct restored **restored_sort(struct restore *restore, enum phase phase, size_t count,
                                       int (*compare)(const void *, const void *)) {
    struct restored **sorted = map_pages(sorted_bytes(count));
    if (sorted == NULL)
        return NULL;
    size_t at = 0;
    struct table_node *node = table_walk(&restore->table, NULL);
    for (; node != NULL; node = table_walk(&restore->table, node)) {
        struct restored *restored = container_of(node, struct restored, node);
        if (restored->phase == phase)
            sorted[at++] = restored;
    }
    CHECK(at == count, "%zu of %zu are there", at, count);
    qsort(sorted, count, sizeof(struct restored *), compare);
    return sorted;
}

static void fate_taken(struct restore *restore, const struct restored *restored) {
    enum result_word first = restored->recipients == 0 ? RESULT_STORED : RESULT_QUEUED;
    fates_taken(restore->fates, restored->fate, first, restored->recipients, restore->now_ns);
}

static void address_settle(struct restore *restore, const struct restored *restored, uint32_t i) {
    unsigned word = fate_address(restored->fate, i)->noted;
    if (word != 0)
        fates_settle(restore->fates, restored->fate, i, fate_word_state(word),
                     fate_word_reason(word),
                     restored->phase == ENDED ? restored->at_ns : restore->now_ns);
}

static bool fates_bring(struct restore *restore) {
    struct restored **sorted = restored_sort(restore, ENDED, restore->ended, by_time);
    if (sorted == NULL)
        return fail_memory(restore);
    for (size_t n = 0; n < restore->ended; n++) {
        struct fate *fate = sorted[n]->fate;
        fate_taken(restore, sorted[n]);
        for (uint32_t i = 0, count = fate_count(fate); i < count; i++)
            address_settle(restore, sorted[n], i);
        fates_release(restore->fates, fate);
    }
    munmap(sorted, sorted_bytes(restore->ended));
    return true;
}

static bool messages_bring(struct restore *restore) {
    struct store *store = &restore->disk->store;
    struct restored **sorted = restored_sort(restore, PENDING, restore->pending, by_serial);
    bool good = sorted != NULL;
    if (!good)
        return fail_memory(restore);
    size_t count = restore->pending;
    for (size_t n = 0; n < count && good; n++) {
        fate_taken(restore, sorted[n]);
        for (uint32_t i = 0; i < fate_count(sorted[n]->fate); i++)
            address_settle(restore, sorted[n], i);
        fates_release(restore->fates, sorted[n]->fate);
        good = store_restore(store, sorted[n]->message);
        progress_look(restore);
    }
    munmap(sorted, sorted_bytes(count));
    if (!good || !store_restored(store))
        return fail(restore, "the workers do not take what is in the store: start the node again");
    return true;
}

static void restored_free(struct restore *restore) {
    struct table_node *node = table_walk(&restore->table, NULL);
    while (node != NULL) {
        struct restored *restored = container_of(node, struct restored, node);
        node = table_walk(&restore->table, node);
        early_free(restore, restored);
        table_remove(&restore->table, &restored->node);
        pool_put(&restore->pool, restored);
    }
    table_fini(&restore->table);
    pool_fini(&restore->pool);
    pool_fini(&restore->early_pool);
}

static void restored_log(const struct restore *restore) {
    const struct journal_stats *stats = &restore->disk->journal.stats;
    if (figure_get(&stats->cut_bytes) != 0)
        log_event(LOG_WARN, "store_cut", LOG_STR("data", restore->disk->options.directory),
                  LOG_U64("bytes", figure_get(&stats->cut_bytes)),
                  LOG_U64("records", figure_get(&stats->cut_records)),
                  LOG_STR("meaning", "the end of the last segment was torn; what was not safe yet "
                                     "is gone, and nobody was told that it was taken"),
                  LOG_STR("remedy", "none needed"));
    log_event(LOG_INFO, "restored", LOG_STR("data", restore->disk->options.directory),
              LOG_U64("pending", restore->pending), LOG_U64("fates", restore->ended),
              LOG_U64("records", restore->entries),
              LOG_U64("ms", (clock_ns() - restore->began_ns) / NS_PER_MS));
}

bool disk_store_restore(struct disk_store *disk, char *problem, size_t problem_cap) {
    struct port *port = &disk->store.port;
    struct restore restore = {.disk = disk,
                              .endpoint = &port->endpoint,
                              .fates = &port->server->fates,
                              .now_ns = clock_ns(),
                              .now_wall_ms = clock_wall_ms(),
                              .problem = problem,
                              .problem_cap = problem_cap};
    struct journal_problem trouble;
    problem[0] = '\0';
    restore.began_ns = restore.progress_ns = restore.now_ns;
    table_init(&restore.table);
    pool_init(&restore.pool, sizeof(struct restored));
    pool_init(&restore.early_pool, sizeof(struct early));
    if (!journal_open(&disk->journal, &disk->options, on_record, &restore, &trouble)) {
        if (problem[0] == '\0')
            snprintf(problem, problem_cap, "%s", trouble.text);
        return false;
    }
    disk->open = true;
    if (!fates_bring(&restore) || !messages_bring(&restore))
        return false;
    atomic_store_explicit(&port->server->serial, restore.serial_max + 1, memory_order_relaxed);
    figure_set(&disk->store.figures.restored, restore.pending);
    restored_log(&restore);
    if (fates_count(restore.fates) != 0)
        server_nudge_endpoint(port->server, 0); /* which looks after them */
    restored_free(&restore);
    return true;
}
