/* restore_bring.c - a start gives what it read to its keepers; see restore.c.
 *
 * Threads: the store's. */
#include "core/base/log.h"
#include "core/base/map.h"
#include "ha/store/restore_parts.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static bool fail_workers(struct restore *restore) {
    snprintf(restore->problem, restore->problem_cap,
             "the workers do not take what is in the store: start the node again");
    return false;
}

static int by_number(const void *a, const void *b) {
    const struct sheet *first = *(struct sheet *const *)a;
    const struct sheet *second = *(struct sheet *const *)b;
    return (first->number > second->number) - (first->number < second->number);
}

/* Of a list of all sheets, of which there may be none. */
static size_t sheets_bytes(const struct restore *restore) {
    return map_round((restore->sheets.count + (size_t)1) * sizeof(struct sheet *));
}

/* All sheets, by their serials; NULL: no memory. */
static struct sheet **sheets_sort(struct restore *restore) {
    struct sheet **sorted = map_pages(sheets_bytes(restore));
    if (sorted == NULL)
        return NULL;
    size_t count = 0;
    struct table_node *node = table_walk(&restore->sheets, NULL);
    for (; node != NULL; node = table_walk(&restore->sheets, node))
        sorted[count++] = container_of(node, struct sheet, node);
    qsort(sorted, count, sizeof(struct sheet *), by_number);
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

static void fate_bring(struct restore *restore, const struct restored *restored) {
    struct fate *fate = restored->fate;
    /* The wall clock may have been set back in between, serials only grow. */
    if (fates_displaced(restore->fates, fate)) {
        fates_cancel(restore->fates, fate);
        return;
    }
    fate_taken(restore, restored);
    for (uint32_t i = 0, addresses = fate_count(fate); i < addresses; i++)
        address_settle(restore, restored, i);
    fates_release(restore->fates, fate);
}

/* In the order in which they settled. */
static void fates_bring(struct restore *restore) {
    struct ended *producers = &restore->ended[FATE_PRODUCERS];
    struct ended *clients = &restore->ended[FATE_CLIENTS];
    ended_sort(producers);
    ended_sort(clients);
    for (size_t n = 0, m = 0; n < producers->count || m < clients->count;) {
        bool client = m < clients->count &&
                      (n == producers->count || clients->heap[m].at_ns < producers->heap[n].at_ns);
        fate_bring(restore, client ? clients->heap[m++].restored : producers->heap[n++].restored);
    }
}

static bool message_bring(struct restore *restore, struct restored *restored) {
    struct fate *fate = restored->fate;
    fate_taken(restore, restored);
    for (uint32_t i = 0; i < fate_count(fate); i++)
        address_settle(restore, restored, i);
    restore->disk->pending_bytes += fate_record_bytes(fate);
    restore->disk->ending_bytes += disk_store_ending_bytes(fate);
    fates_release(restore->fates, fate);
    restored->phase = VOIDED; /* what there is of it is its keepers' */
    return store_restore(&restore->disk->store, restored->message);
}

/* The workers have it all, and each may have a grant more than it needs. */
static bool ceiling_look(struct restore *restore) {
    struct server *server = restore->disk->store.port.server;
    struct budget *budget = &server->budget;
    uint64_t in_hand = server->post.endpoints * budget->grant_bytes;
    while (over_bytes(restore) != 0 && fates_relieve(restore->fates, restore->now_ns) != 0) {
    }
    if (over_bytes(restore) > budget->ceiling_bytes / BUDGET_BEYOND_PART + in_hand)
        return restore_fail_ceiling(restore);
    uint64_t over = budget_restored(budget);
    if (over != 0)
        log_event(LOG_WARN, "restored_beyond_memory", LOG_U64("memory", budget->ceiling_bytes),
                  LOG_U64("beyond", over),
                  LOG_STR("meaning", "what is pending takes more than --memory after this start; "
                                     "messages are refused until enough of it is settled"),
                  LOG_STR("remedy", "let clients acknowledge, or raise --memory"));
    return true;
}

/* What message_bring will look at. */
static void sheet_prefetch(const struct sheet *sheet) {
    for (unsigned i = 0; i < SHEET_SERIALS; i++) {
        const struct restored *restored = &sheet->restored[i];
        if (restored->phase != PENDING)
            continue;
        __builtin_prefetch(restored->fate);
        __builtin_prefetch(restored->message);
        __builtin_prefetch(restored->message->names);
    }
}

static bool messages_bring(struct restore *restore, struct sheet **sheets) {
    bool good = true;
    store_restoring(&restore->disk->store, restore->pending);
    for (uint32_t n = 0; n < restore->sheets.count && good; n++) {
        if (n + 1 < restore->sheets.count)
            sheet_prefetch(sheets[n + 1]);
        for (unsigned i = 0; i < SHEET_SERIALS && good; i++)
            if (sheets[n]->restored[i].phase == PENDING)
                good = message_bring(restore, &sheets[n]->restored[i]);
        restore_progress(restore);
    }
    if (!good || !store_restored(&restore->disk->store))
        return fail_workers(restore);
    return ceiling_look(restore);
}

bool restore_bring(struct restore *restore) {
    size_t bytes = sheets_bytes(restore);
    struct sheet **sheets = sheets_sort(restore);
    if (sheets == NULL)
        return restore_fail_memory(restore);
    fates_bring(restore);
    (void)fates_sweep(restore->fates, restore->now_ns, UINT_MAX);
    bool good = messages_bring(restore, sheets);
    munmap(sheets, bytes);
    return good;
}
