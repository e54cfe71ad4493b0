/* restore_parts.h - what reading the journal (restore.c) and bringing what came of it to the
 * keepers (restore_bring.c) have in common.
 *
 * Threads: the store's. */
#ifndef RINGPOST_HA_STORE_RESTORE_PARTS_H
#define RINGPOST_HA_STORE_RESTORE_PARTS_H

#include "core/server.h"
#include "ha/store/disk_store.h"
#include "ha/store/ended.h"

struct early;

enum phase { UNKNOWN, PENDING, ENDED, VOIDED };

/* What is known of one serial. */
struct restored {
    union {
        struct early *early;     /* UNKNOWN */
        struct message *message; /* PENDING: a hold */
        uint64_t at_ns;          /* ENDED: when it was settled */
    };
    struct fate *fate; /* PENDING, ENDED: open and held */
    uint32_t recipients;
    uint8_t phase;
};

/* Serials come nearly in order, so those that follow each other stand together. */
#define SHEET_BITS 4
#define SHEET_SERIALS (1 << SHEET_BITS)

struct sheet {
    struct table_node node;
    uint64_t number; /* of its first serial, in sheets */
    struct restored restored[SHEET_SERIALS];
};

struct restore {
    struct disk_store *disk;
    struct endpoint *endpoint;
    struct fates *fates;
    struct table sheets;
    struct sheet *sheet; /* the one that was looked at last */
    struct pool sheet_pool, early_pool;
    uint64_t now_ns, now_wall_ms;
    uint64_t began_ns, progress_ns;
    uint64_t serial_max;
    uint64_t entries, pending;
    uint64_t short_bytes;            /* for messages that there was no memory for */
    bool beyond;                     /* the ceiling may be passed */
    struct ended ended[FATE_SHARES]; /* as many as the node will remember */
    char *problem;
    size_t problem_cap;
};

static inline struct budget *budget_of(const struct restore *restore) {
    return restore->endpoint->account.budget;
}

/* So much is granted beyond the ceiling. */
static inline uint64_t over_bytes(const struct restore *restore) {
    const struct budget *budget = budget_of(restore);
    uint64_t granted = atomic_load_explicit(&budget->granted_bytes, memory_order_relaxed);
    return granted > budget->ceiling_bytes ? granted - budget->ceiling_bytes : 0;
}

/* These return false; why is in `problem` then. The system has no memory: */
bool restore_fail_memory(struct restore *restore);
/* The ceiling is too low: */
bool restore_fail_ceiling(struct restore *restore);

/* A start that takes long says so now and then. */
void restore_progress(struct restore *restore);

/* All is read: fates are settled, and messages go to their keepers. False: why is in `problem`. */
bool restore_bring(struct restore *restore);

#endif
