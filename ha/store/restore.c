/* restore.c - what a start makes of the journal; see disk_store.h and entry.h.
 *
 * All entries are read in order, and what they say of one serial is gathered in a struct restored.
 * A message gets its block, with its fate, as soon as its MESSAGE is there, and loses it when the
 * FATE or VOID comes. When all is read, fates are settled in the order of their times, and what is
 * pending goes to its keepers in the order of the serials.
 *
 * Memory: at the ceiling fates give way; then what is pending goes beyond it (memory.h). What even
 * that is too little for is only counted, so that the sentence says how much there must be. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/map.h"
#include "core/base/memory_short.h"
#include "ha/store/restore_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A start that would use the last serials is refused: what is left lasts for years. */
#define SERIALS_LEFT_MIN (UINT64_C(1) << 40)
/* One that takes longer says so now and then. */
#define PROGRESS_NS (2 * NS_PER_S)
/* What a message takes at the most, beside its record: itself, and each of its addresses. */
#define MESSAGE_BYTES_MAX 1024
#define ADDRESS_BYTES_MAX 512

/* Addresses that settled before their message came again. */
struct early {
    struct early *next;
    uint16_t address;
    uint8_t word;
};

static uint64_t ended_count(const struct restore *restore) {
    return restore->ended[FATE_PRODUCERS].count + restore->ended[FATE_CLIENTS].count;
}

bool restore_fail_memory(struct restore *restore) {
    char remedy[MEMORY_LIMIT_TEXT_MAX];
    memory_short(remedy);
    snprintf(restore->problem, restore->problem_cap,
             "--data %s: there is not the memory for what is in it (%llu messages that are pending "
             "and %llu fates came so far): %s",
             restore->disk->options.directory, (unsigned long long)restore->pending,
             (unsigned long long)ended_count(restore), remedy);
    return false;
}

bool restore_fail_ceiling(struct restore *restore) {
    char remedy[MEMORY_LIMIT_TEXT_MAX];
    if (memory_limit_hit(0, remedy))
        return restore_fail_memory(restore);
    uint64_t bytes = budget_of(restore)->ceiling_bytes + over_bytes(restore) + restore->short_bytes;
    unsigned long long enough_mib = bytes / (1 << 20) + 1;
    snprintf(restore->problem, restore->problem_cap,
             "--data %s: --memory %llu is not the memory for what is in it (%llu messages that are "
             "pending): raise --memory to %lluM",
             restore->disk->options.directory,
             (unsigned long long)budget_of(restore)->ceiling_bytes,
             (unsigned long long)restore->pending, enough_mib);
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

static uint64_t sheet_hash(uint64_t number) {
    return number * UINT64_C(0x9e3779b97f4a7c15);
}

static struct sheet *sheet_find(struct restore *restore, uint64_t number) {
    struct table_node *node = table_first(&restore->sheets, sheet_hash(number));
    for (; node != NULL; node = table_next(node)) {
        struct sheet *sheet = container_of(node, struct sheet, node);
        if (sheet->number == number)
            return sheet;
    }
    return NULL;
}

/* NULL: no memory. */
static struct sheet *sheet_get(struct restore *restore, uint64_t number) {
    struct sheet *sheet = sheet_find(restore, number);
    if (sheet != NULL)
        return sheet;
    sheet = pool_get(&restore->sheet_pool);
    if (sheet == NULL)
        return NULL;
    *sheet = (struct sheet){.node.hash = sheet_hash(number), .number = number};
    if (!table_add(&restore->sheets, &sheet->node)) {
        pool_put(&restore->sheet_pool, sheet);
        return NULL;
    }
    return sheet;
}

/* What is known of that serial; NULL: no memory. */
static struct restored *restored_get(struct restore *restore, uint64_t serial) {
    uint64_t number = serial >> SHEET_BITS;
    if (restore->sheet == NULL || restore->sheet->number != number) {
        struct sheet *sheet = sheet_get(restore, number);
        if (sheet == NULL)
            return NULL;
        restore->sheet = sheet;
    }
    if (serial > restore->serial_max)
        restore->serial_max = serial;
    return &restore->sheet->restored[serial % SHEET_SERIALS];
}

/* It will have no message. */
static void early_drop(struct restore *restore, struct restored *restored) {
    while (restored->phase == UNKNOWN && restored->early != NULL) {
        struct early *next = restored->early->next;
        pool_put(&restore->early_pool, restored->early);
        restored->early = next;
    }
}

static void message_drop(struct restore *restore, struct restored *restored) {
    if (restored->phase != PENDING)
        return;
    message_release(restore->endpoint, restored->message);
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
    if (fates_open(restore->fates, message, in->scope, in->content, in->accepted_ms))
        return message;
    message_release(restore->endpoint, message);
    return NULL;
}

static bool ended_forget(struct restore *restore, enum fate_share share);

/* One of a client if there is any. False: there is none. */
static bool ended_give_way(struct restore *restore) {
    return ended_forget(restore, FATE_CLIENTS) || ended_forget(restore, FATE_PRODUCERS);
}

/* The same; fates give way to it, as in a node that runs, before it goes beyond the ceiling. */
static struct message *message_have(struct restore *restore, const struct entry_in *in,
                                    bool whole) {
    while (over_bytes(restore) != 0 && ended_give_way(restore)) {
    }
    for (;;) {
        struct message *message = message_make(restore, in, whole);
        if (message != NULL)
            return message;
        if (ended_give_way(restore))
            continue;
        if (restore->beyond)
            return NULL;
        restore->beyond = true;
        budget_restore(budget_of(restore));
    }
}

static void note(struct restore *restore, struct fate *fate, uint32_t address, unsigned word) {
    if (address < fate_count(fate) && fate_address(fate, address)->noted == 0)
        (void)fates_note(restore->fates, fate, address, fate_word_state(word),
                         fate_word_reason(word));
}

/* The fate of that share that was settled first is forgotten: there are too many, or memory is
 * short. False: there is none. */
static bool ended_forget(struct restore *restore, enum fate_share share) {
    struct restored *oldest = ended_pop(&restore->ended[share]);
    if (oldest == NULL)
        return false;
    fates_cancel(restore->fates, oldest->fate);
    oldest->phase = VOIDED;
    return true;
}

static void ended_set(struct restore *restore, struct restored *restored, uint64_t at_ns) {
    enum fate_share share = fate_share_of(fate_scope_of(restored->fate));
    message_drop(restore, restored);
    restored->phase = ENDED;
    restored->at_ns = at_ns;
    if (ended_push(&restore->ended[share], (struct ended_entry){at_ns, restored}))
        (void)ended_forget(restore, share);
}

/* Its addresses are all noted, though nothing says when the last one was. */
static void ended_look(struct restore *restore, struct restored *restored) {
    for (uint32_t i = 0; i < fate_count(restored->fate); i++)
        if (fate_address(restored->fate, i)->noted == 0)
            return;
    ended_set(restore, restored, restore->now_ns);
}

static void short_count(struct restore *restore, const struct journal_record *record,
                        const struct entry_in *in) {
    restore->short_bytes += record->body.len + MESSAGE_BYTES_MAX + in->count * ADDRESS_BYTES_MAX;
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
    struct message *message = message_have(restore, in, true);
    if (message == NULL) {
        short_count(restore, record, in);
        return true;
    }
    struct early *early = restored->early;
    restored->message = message;
    restored->fate = message->fate;
    restored->recipients = in->recipients;
    restored->phase = PENDING;
    restore->pending++;
    (void)fates_stored(restore->fates, restored->fate);
    fates_record(restore->fates, restored->fate, in->serial, in->recipients, record->sequence,
                 bytes);
    while (early != NULL) {
        struct early *next = early->next;
        note(restore, restored->fate, early->address, early->word);
        pool_put(&restore->early_pool, early);
        early = next;
    }
    ended_look(restore, restored);
    return true;
}

static bool address_read(struct restore *restore, const struct entry_in *in,
                         struct restored *restored) {
    if (restored->phase == PENDING) {
        note(restore, restored->fate, in->address, in->word);
        fates_record_grow(restore->fates, restored->fate,
                          (uint32_t)journal_bytes(entry_address_bytes(restored->fate)));
        ended_look(restore, restored);
    }
    if (restored->phase != UNKNOWN)
        return true;
    struct early *early = pool_get(&restore->early_pool);
    if (early == NULL)
        return restore_fail_memory(restore);
    *early = (struct early){restored->early, in->address, in->word};
    restored->early = early;
    return true;
}

static bool fate_read(struct restore *restore, const struct journal_record *record,
                      const struct entry_in *in, struct restored *restored) {
    uint64_t settled_ms = in->accepted_ms + in->took_ms;
    uint64_t kept_ms = restore->fates->kept_ns / NS_PER_MS;
    if (restored->phase == UNKNOWN) {
        early_drop(restore, restored);
        if (settled_ms + kept_ms <= restore->now_wall_ms) {
            restored->phase = VOIDED; /* it would be forgotten */
            return true;
        }
        struct message *message = message_have(restore, in, false);
        if (message == NULL) { /* it gives way itself */
            restored->phase = VOIDED;
            return true;
        }
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
    early_drop(restore, restored);
    if (restored->phase == PENDING)
        fates_cancel(restore->fates, restored->fate);
    message_drop(restore, restored);
    if (restored->phase != ENDED)
        restored->phase = VOIDED;
}

void restore_progress(struct restore *restore) {
    uint64_t now_ns = clock_ns();
    if (now_ns - restore->progress_ns < PROGRESS_NS)
        return;
    restore->progress_ns = now_ns;
    log_event(LOG_INFO, "restoring", LOG_STR("data", restore->disk->options.directory),
              LOG_U64("records", restore->entries), LOG_U64("pending", restore->pending),
              LOG_U64("fates", ended_count(restore)));
}

static bool on_record(void *argument, const struct journal_record *record) {
    struct restore *restore = argument;
    struct entry_in *in = &restore->disk->entry;
    const char *wrong = entry_read(record->kind, record->body, in);
    if (wrong != NULL)
        return fail_entry(restore, record, wrong);
    if (restore->entries == 0)
        fates_reserve(restore->fates, restore->disk->journal.coming);
    if (++restore->entries % 4096 == 0)
        restore_progress(restore);
    if (restore->short_bytes != 0) {
        if (record->kind == ENTRY_MESSAGE)
            short_count(restore, record, in);
        return true;
    }
    struct restored *restored = restored_get(restore, in->serial);
    if (restored == NULL)
        return restore_fail_memory(restore);
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

static void sheets_free(struct restore *restore) {
    struct table_node *node = table_walk(&restore->sheets, NULL);
    while (node != NULL) {
        struct sheet *sheet = container_of(node, struct sheet, node);
        node = table_walk(&restore->sheets, node);
        for (unsigned i = 0; i < SHEET_SERIALS; i++) {
            early_drop(restore, &sheet->restored[i]);
            message_drop(restore, &sheet->restored[i]); /* of a start that failed */
        }
        table_remove(&restore->sheets, &sheet->node);
        pool_put(&restore->sheet_pool, sheet);
    }
    table_fini(&restore->sheets);
    pool_fini(&restore->sheet_pool);
    pool_fini(&restore->early_pool);
}

static void restored_log(const struct restore *restore) {
    log_event(LOG_INFO, "restored", LOG_STR("data", restore->disk->options.directory),
              LOG_U64("pending", restore->pending), LOG_U64("fates", ended_count(restore)),
              LOG_U64("records", restore->entries),
              LOG_U64("ms", (clock_ns() - restore->began_ns) / NS_PER_MS));
}

static bool restore_all(struct restore *restore) {
    struct disk_store *disk = restore->disk;
    struct server *server = disk->store.port.server;
    struct journal_problem trouble;
    if (!journal_open(&disk->journal, &disk->options, on_record, restore, &trouble)) {
        if (restore->problem[0] == '\0')
            snprintf(restore->problem, restore->problem_cap, "%s", trouble.text);
        return false;
    }
    disk->open = true;
    if (restore->serial_max > ENTRY_SERIAL_MAX - SERIALS_LEFT_MIN) {
        snprintf(restore->problem, restore->problem_cap,
                 "--data %s: a message in it has the serial %llu, which ringpost does not come to: "
                 "start with another directory",
                 disk->directory, (unsigned long long)restore->serial_max);
        return false;
    }
    if (restore->short_bytes != 0)
        return restore_fail_ceiling(restore);
    if (!restore_bring(restore))
        return false;
    atomic_store_explicit(&server->serial, restore->serial_max + 1, memory_order_relaxed);
    stats_set(&disk->store.figures.restored, restore->pending);
    restored_log(restore);
    if (fates_count(restore->fates) != 0)
        server_nudge_endpoint(server, 0); /* which looks after them */
    return true;
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
    problem[0] = '\0';
    restore.began_ns = restore.progress_ns = restore.now_ns;
    table_init(&restore.sheets);
    pool_init(&restore.sheet_pool, sizeof(struct sheet));
    pool_init(&restore.early_pool, sizeof(struct early));
    size_t ended_max = restore.fates->kept_max;
    bool good = ended_init(&restore.ended[FATE_PRODUCERS], ended_max) &&
                        ended_init(&restore.ended[FATE_CLIENTS], ended_max / 4)
                    ? restore_all(&restore)
                    : restore_fail_memory(&restore);
    sheets_free(&restore);
    ended_fini(&restore.ended[FATE_PRODUCERS]);
    ended_fini(&restore.ended[FATE_CLIENTS]);
    return good;
}
