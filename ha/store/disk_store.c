#include "ha/store/disk_store.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/net.h"
#include "core/server.h"
#include "ha/store/disk.h"

#include <stdio.h>

/* What found no room in the journal is tried again after so long. */
#define UNWRITTEN_LOOK_NS (5 * NS_PER_MS)
#define LOOK_NS (1 * NS_PER_S)
#define SYNC_INTERVAL_NS (1 * NS_PER_S)

/* What waits for the journal. */
enum waiter_kind { WAITS_PUT, WAITS_SETTLE, WAITS_VOID };

struct waiter {
    struct list link;
    uint64_t sequence;            /* of its entry */
    struct fate *fate;            /* PUT: held; SETTLE: not settled, so it stays */
    uint64_t serial;              /* VOID */
    uint64_t bytes, ending_bytes; /* PUT: of its entry, of what would end it */
    uint64_t at_ns;               /* SETTLE: when it was */
    struct mail request;          /* PUT */
    uint32_t address;             /* SETTLE */
    uint8_t kind;                 /* enum waiter_kind */
    uint8_t word;                 /* SETTLE: fate_word_of */
    bool whole;                   /* SETTLE: it was the last address */
};

static struct disk_store *disk_of(struct port *port) {
    return container_of(port, struct disk_store, store.port);
}

static struct fates *fates_of(struct disk_store *disk) {
    return &disk->store.port.server->fates;
}

static struct waiter *waiter_get(struct disk_store *disk, enum waiter_kind kind) {
    struct waiter *waiter = pool_get(&disk->waiter_pool);
    if (SHORTAGE(waiter == NULL))
        return NULL;
    account_force(&disk->store.port.account, sizeof(*waiter));
    *waiter = (struct waiter){.kind = (uint8_t)kind};
    list_init(&waiter->link);
    disk->waiter_count++;
    return waiter;
}

static void waiter_put(struct disk_store *disk, struct waiter *waiter) {
    pool_put(&disk->waiter_pool, waiter);
    account_give(&disk->store.port.account, sizeof(*waiter));
    disk->waiter_count--;
}

static struct waiter *waiter_first(const struct list *waiters) {
    return list_empty(waiters) ? NULL : container_of(waiters->next, struct waiter, link);
}

static bool entry_add(struct disk_store *disk, enum entry_kind kind, const struct entry_out *out) {
    return journal_add(&disk->journal, (uint8_t)kind, out->parts, out->count);
}

/* --- room ------------------------------------------------------------------------------------ */

uint64_t disk_store_ending_bytes(const struct fate *fate) {
    return (fate_count(fate) - 1) * journal_bytes(entry_address_bytes(fate)) +
           journal_bytes(entry_fate_bytes(fate));
}

/* Of the journal, with what will end the messages that are pending. */
static uint64_t live_bytes(struct disk_store *disk) {
    return fates_record_bytes(fates_of(disk)) + disk->ending_bytes;
}

static uint64_t space_bytes(const struct disk_store *disk) {
    uint64_t has = stats_get(&disk->journal.stats.disk_bytes);
    return disk->free_bytes > UINT64_MAX - has ? UINT64_MAX : has + disk->free_bytes;
}

/* Is there room for something new that takes so much until it has ended? */
static bool has_room(struct disk_store *disk, uint64_t bytes) {
    uint64_t live = live_bytes(disk);
    return !disk->astray && live + bytes <= space_bytes(disk) / 4 * 3 &&
           journal_room(&disk->journal, bytes, live);
}

/* Once a second: what others do to the file system. */
static void surroundings_look(struct disk_store *disk, uint64_t now_ns) {
    if (disk->looked_ns != 0 && now_ns - disk->looked_ns < LOOK_NS)
        return;
    disk->looked_ns = now_ns;
    disk->free_bytes = disk_free_bytes(disk->journal.folder);
    bool astray = !disk_folder_same(disk->journal.folder, disk->directory);
    if (astray && !disk->astray)
        log_event(LOG_ERROR, "store_astray", LOG_STR("data", disk->directory),
                  LOG_STR("meaning", "the directory that the node writes to is not there any more, "
                                     "or another one is; messages with ack are refused"),
                  LOG_STR("remedy", "put it back, or drain the node and start it again"));
    else if (!astray && disk->astray)
        log_event(LOG_INFO, "store_found_again", LOG_STR("data", disk->directory));
    disk->astray = astray;
}

/* Where no message finds room on a full disk, and fates take more than an eighth of what there is,
 * the oldest give way. */
static void fates_make_room(struct disk_store *disk, uint64_t now_ns) {
    uint64_t all = fates_record_bytes(fates_of(disk));
    uint64_t of_fates = all > disk->pending_bytes ? all - disk->pending_bytes : 0;
    if (stats_get(&disk->journal.stats.full) != 0 && of_fates > space_bytes(disk) / 8 &&
        !has_room(disk, disk->options.record_max))
        (void)fates_relieve(fates_of(disk), now_ns);
}

/* --- messages -------------------------------------------------------------------------------- */

static void put_refuse(struct disk_store *disk, const struct mail *request, struct fate *fate) {
    stats_add(&disk->store.figures.refused, 1);
    fates_release(fates_of(disk), fate);
    store_answer(&disk->store, request, false);
}

static void on_put(struct store *store, const struct mail *mail) {
    struct disk_store *disk = container_of(store, struct disk_store, store);
    struct fates *fates = fates_of(disk);
    struct message *message = mail->object;
    struct fate *fate = message->fate;
    struct entry_out out;
    entry_message_write(message, mail->number, &out);
    uint64_t bytes = journal_bytes(out.bytes), serial = message->serial;
    struct waiter *waiter = NULL;
    uint64_t ending_bytes = disk_store_ending_bytes(fate);
    surroundings_look(disk, store->port.now_ns);
    if (list_empty(&disk->unwritten) && has_room(disk, bytes + ending_bytes))
        waiter = waiter_get(disk, WAITS_PUT);
    bool added = waiter != NULL && entry_add(disk, ENTRY_MESSAGE, &out);
    message_release(&store->port.endpoint, message);
    if (SHORTAGE(!added)) {
        if (waiter != NULL)
            waiter_put(disk, waiter);
        put_refuse(disk, mail, fate);
        return;
    }
    waiter->sequence = journal_added(&disk->journal);
    waiter->fate = fate;
    waiter->serial = serial;
    waiter->bytes = bytes;
    waiter->ending_bytes = ending_bytes;
    waiter->request = *mail;
    disk->pending_bytes += bytes;
    disk->ending_bytes += ending_bytes;
    fates_record(fates, fate, serial, mail->number, waiter->sequence, (uint32_t)bytes);
    list_add_tail(&disk->waiting, &waiter->link);
}

/* The entry of a message is in the journal, and its producer is told that it was not taken. */
static void put_void(struct disk_store *disk, struct waiter *waiter) {
    waiter->kind = WAITS_VOID;
    disk->pending_bytes -= waiter->bytes;
    disk->ending_bytes -= waiter->ending_bytes;
    put_refuse(disk, &waiter->request, waiter->fate);
    list_add_tail(&disk->unwritten, &waiter->link);
}

/* --- what is settled ------------------------------------------------------------------------- */

/* Adds the waiter's entry. False: the journal has no room, not even for that. */
static bool waiter_write(struct disk_store *disk, struct waiter *waiter) {
    struct fates *fates = fates_of(disk);
    struct entry_out out;
    enum entry_kind kind = ENTRY_VOID;
    if (waiter->kind == WAITS_VOID) {
        entry_void_write(waiter->serial, &out);
    } else if (waiter->whole) {
        kind = ENTRY_FATE;
        entry_fate_write(waiter->fate, fate_took_ms(waiter->fate, waiter->at_ns), &out);
    } else {
        kind = ENTRY_ADDRESS;
        entry_address_write(waiter->fate, waiter->address, waiter->word, &out);
    }
    if (SHORTAGE(!entry_add(disk, kind, &out)))
        return false;
    waiter->sequence = journal_added(&disk->journal);
    uint32_t bytes = (uint32_t)journal_bytes(out.bytes);
    if (kind == ENTRY_ADDRESS) {
        disk->pending_bytes += bytes;
        fates_record_grow(fates, waiter->fate, bytes);
    } else if (kind == ENTRY_FATE) {
        disk->pending_bytes -= fate_record_bytes(waiter->fate);
        disk->ending_bytes -= disk_store_ending_bytes(waiter->fate);
        fates_record(fates, waiter->fate, fate_serial(waiter->fate), fate_recipients(waiter->fate),
                     waiter->sequence, bytes);
    }
    list_add_tail(&disk->waiting, &waiter->link);
    return true;
}

static void unwritten_work(struct disk_store *disk) {
    struct waiter *waiter;
    while ((waiter = waiter_first(&disk->unwritten)) != NULL) {
        list_remove(&waiter->link);
        if (!waiter_write(disk, waiter)) {
            list_add_head(&disk->unwritten, &waiter->link);
            return;
        }
    }
}

static void waiter_settle(struct disk_store *disk, const struct waiter *waiter) {
    store_settled(&disk->store, waiter->fate, waiter->address, fate_word_state(waiter->word),
                  fate_word_reason(waiter->word), waiter->at_ns);
}

static void on_settle(struct store *store, struct message *message, uint32_t address,
                      enum fate_state state, enum fate_reason reason) {
    struct disk_store *disk = container_of(store, struct disk_store, store);
    struct waiter *waiter = waiter_get(disk, WAITS_SETTLE), spare = {.kind = WAITS_SETTLE};
    /* Without memory to wait with, it is written all the same, and only told too early. */
    bool waits = !SHORTAGE(waiter == NULL);
    if (!waits) {
        waiter = &spare;
        list_init(&spare.link);
    }
    waiter->fate = message->fate;
    waiter->address = address;
    waiter->word = (uint8_t)fate_word_of(state, reason);
    waiter->at_ns = store->port.now_ns;
    waiter->whole = fates_note(fates_of(disk), message->fate, address, state, reason);
    message_release(&store->port.endpoint, message);
    if (!list_empty(&disk->unwritten) || !waiter_write(disk, waiter))
        list_add_tail(&disk->unwritten, &waiter->link);
    if (!waits) {
        list_remove(&spare.link);
        waiter_settle(disk, &spare);
    }
}

/* --- the turn -------------------------------------------------------------------------------- */

/* What is safe now is told. */
static void waiting_tell(struct disk_store *disk) {
    struct fates *fates = fates_of(disk);
    uint64_t safe = journal_safe(&disk->journal);
    struct waiter *waiter;
    while ((waiter = waiter_first(&disk->waiting)) != NULL && waiter->sequence <= safe) {
        list_remove(&waiter->link);
        if (waiter->kind == WAITS_PUT && !fates_stored(fates, waiter->fate)) {
            put_void(disk, waiter); /* too late */
            continue;
        }
        if (waiter->kind == WAITS_PUT) {
            fates_release(fates, waiter->fate);
            store_answer(&disk->store, &waiter->request, true);
        } else if (waiter->kind == WAITS_SETTLE) {
            waiter_settle(disk, waiter);
        }
        waiter_put(disk, waiter);
    }
}

/* The disk has failed: producers do not wait until it works again. */
static void puts_void(struct disk_store *disk) {
    for (struct list *node = disk->waiting.next, *next; node != &disk->waiting; node = next) {
        struct waiter *waiter = container_of(node, struct waiter, link);
        next = node->next;
        if (waiter->kind == WAITS_PUT) {
            list_remove(&waiter->link);
            put_void(disk, waiter);
        }
    }
}

static bool survives(void *argument, const struct journal_record *record) {
    struct disk_store *disk = argument;
    static const enum fate_record sorts[ENTRY_KINDS] = {[ENTRY_MESSAGE] = FATE_RECORD_MESSAGE,
                                                        [ENTRY_ADDRESS] = FATE_RECORD_ADDRESS,
                                                        [ENTRY_FATE] = FATE_RECORD_WHOLE};
    if (record->kind == ENTRY_VOID)
        return false;
    struct entry_in *in = &disk->entry;
    /* What this version does not understand is no reason to lose it. */
    if (entry_read(record->kind, record->body, in) != NULL)
        return true;
    return fates_need(fates_of(disk), in->scope, in->id, in->serial, sorts[record->kind],
                      record->sequence);
}

/* Several of one turn count with their mean. */
static void syncs_count(struct store_figures *to, uint64_t count, uint64_t took_ns) {
#define SYNC_NS(us, text) (us) * NS_PER_US,
    static const uint64_t bounds_ns[SYNC_BUCKETS] = {SYNC_BOUNDS(SYNC_NS) UINT64_MAX};
#undef SYNC_NS
    unsigned at = 0;
    while (took_ns / count > bounds_ns[at])
        at++;
    stats_add(&to->sync_buckets[at], count);
}

static void figures_take(struct disk_store *disk) {
    struct store_figures *to = &disk->store.figures;
    const struct journal_stats *from = &disk->journal.stats;
    stats_set(&to->records, stats_get(&from->records));
    stats_set(&to->written_bytes, stats_get(&from->record_bytes));
    stats_set(&to->commits, stats_get(&from->commits));
    uint64_t syncs = stats_get(&from->syncs) - stats_get(&to->syncs);
    if (syncs != 0)
        syncs_count(to, syncs, stats_get(&from->sync_ns) - stats_get(&to->sync_ns));
    stats_set(&to->syncs, stats_get(&from->syncs));
    stats_set(&to->sync_ns, stats_get(&from->sync_ns));
    stats_set(&to->sync_longest_ns, stats_get(&from->sync_ns_max));
    stats_set(&to->failures, stats_get(&from->failures));
    stats_set(&to->reclaimed_bytes, stats_get(&from->reclaimed_bytes));
    stats_set(&to->copied_bytes, stats_get(&from->copied_bytes));
    stats_set(&to->disk_bytes, stats_get(&from->disk_bytes));
    stats_set(&to->segments, stats_get(&from->segments));
    stats_set(&to->spares, stats_get(&from->spares));
    stats_set(&to->unreadable, stats_get(&from->unreadable));
    stats_set(&to->cut_bytes, stats_get(&from->cut_bytes));
    stats_set(&to->cut_records, stats_get(&from->cut_records));
    stats_set(&to->live_bytes, fates_record_bytes(fates_of(disk)));
    stats_set(&to->waiting, disk->waiter_count);
    atomic_store_explicit(&disk->store.unavailable, !has_room(disk, disk->options.record_max),
                          memory_order_relaxed);
}

static void on_turn(struct port *port) {
    struct disk_store *disk = disk_of(port);
    struct journal *journal = &disk->journal;
    surroundings_look(disk, port->now_ns);
    unwritten_work(disk);
    bool good = journal_commit(journal, clock_ns());
    figures_take(disk); /* whoever is told finds what it took in the metrics */
    waiting_tell(disk);
    if (!good)
        puts_void(disk);
    post_wake_all(&port->endpoint);
    disk->more =
        journal_tend(journal, fates_record_bytes(fates_of(disk)), clock_ns(), survives, disk);
    fates_make_room(disk, port->now_ns);
    figures_take(disk);
}

static void on_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    const struct disk_store *disk = disk_of(port);
    if (disk->open && wait_ns != 0) {
        uint64_t next_ns = journal_next_ns(&disk->journal), now_ns = clock_ns();
        if (!list_empty(&disk->unwritten) && next_ns > now_ns + UNWRITTEN_LOOK_NS)
            next_ns = now_ns + UNWRITTEN_LOOK_NS;
        if (disk->more || next_ns <= now_ns)
            wait_ns = 0;
        else if (next_ns - now_ns < wait_ns)
            wait_ns = next_ns - now_ns;
    }
    if (wait_ns != 0)
        net_wake_wait(wake_fd, wait_ns);
    else
        net_wake_clear(wake_fd);
}

static void on_stop(struct port *port) {
    struct disk_store *disk = disk_of(port);
    if (!disk->open)
        return;
    /* Twice: what is given up in the first takes its message back in the second. */
    for (unsigned i = 0; i < 2; i++) {
        journal_retry(&disk->journal);
        unwritten_work(disk);
        (void)journal_commit(&disk->journal, clock_ns());
        waiting_tell(disk);
        puts_void(disk);
    }
    journal_close(&disk->journal);
    figures_take(disk);
    disk->open = false;
    for (struct waiter *waiter; (waiter = waiter_first(&disk->waiting)) != NULL ||
                                (waiter = waiter_first(&disk->unwritten)) != NULL;) {
        list_remove(&waiter->link);
        disk->store.untaken += waiter->kind == WAITS_VOID;
        waiter_put(disk, waiter);
    }
}

static bool on_open(struct port *port, char *problem, size_t problem_cap) {
    return disk_store_restore(disk_of(port), problem, problem_cap);
}

/* --- the store ------------------------------------------------------------------------------- */

void disk_store_init(struct disk_store *disk, const struct config *config) {
    static const struct store_type type = {.put = on_put, .settle = on_settle};
    static const struct port_type port_type = {
        .name = "store", .open = on_open, .turn = on_turn, .wait = on_wait, .stop = on_stop};
    static const enum journal_sync syncs[] = {
        [STORE_SYNC_ALWAYS] = JOURNAL_SYNC_ALWAYS,
        [STORE_SYNC_INTERVAL] = JOURNAL_SYNC_INTERVAL,
        [STORE_SYNC_NEVER] = JOURNAL_SYNC_NEVER,
    };
    *disk = (struct disk_store){.free_bytes = UINT64_MAX};
    store_init(&disk->store, &type, &port_type, "disk");
    snprintf(disk->directory, sizeof(disk->directory), "%s", config->data);
    disk->options = (struct journal_options){
        .directory = disk->directory,
        .sync = syncs[config->store_sync],
        .interval_ns = SYNC_INTERVAL_NS,
        .record_max = entry_bytes_max(config->max_message_bytes),
        .slack_bytes = JOURNAL_SLACK_BYTES,
    };
    pool_init(&disk->waiter_pool, sizeof(struct waiter));
    list_init(&disk->waiting);
    list_init(&disk->unwritten);
}

void disk_store_fini(struct disk_store *disk) {
    pool_fini(&disk->waiter_pool);
}
