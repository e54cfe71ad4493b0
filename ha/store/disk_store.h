/* disk_store.h - the store on disk (core/store.h): a journal (journal.h) on a thread of its own.
 *
 *   mail:  PUT     a MESSAGE entry is added ---+
 *          SETTLE  an ADDRESS or FATE entry ---+--> waiting, in the order of the journal
 *   turn:  one commit for all that has come since the last one; what is safe then is answered, or
 *          settled; then a step of what the journal has to do besides
 *
 * So groups form by what waits: while one is written and synced, the next comes. Memory holds what
 * is pending (the keepers' messages, and all fates); the journal holds what a start needs. What is
 * still needed of an old segment, the fates know (fates_need).
 *
 * Trouble. A message that finds no room, or whose group could not be written or synced, is refused
 * (storage_unavailable), and a VOID entry follows it as soon as the disk takes one; until then a
 * node that is killed may have it after the next start. An acknowledgement waits until it is safe,
 * however long that takes; who waits for it waits, too.
 *
 * Room. A message is taken only if the file system also has the room for what will end it, with a
 * quarter of all to spare; so a disk that this node alone fills never keeps it from recording
 * acknowledgements. Where fates take more than an eighth of a full disk, and no message finds room,
 * the oldest give way.
 *
 * A start (restore.c): all that is in the journal is read on the store's thread while the workers
 * take what comes of it, before the node accepts connections.
 *
 * Threads: the store's own; init before it runs. Owns: the journal. Limits: what waits is bounded
 * by the messages at the store (store.h) and those that are kept. */
#ifndef RINGPOST_HA_STORE_DISK_STORE_H
#define RINGPOST_HA_STORE_DISK_STORE_H

#include "core/base/hash.h"
#include "core/store.h"
#include "ha/store/entry.h"
#include "ha/store/journal.h"

#include <limits.h>

struct config;

struct disk_store {
    struct store store;
    char directory[PATH_MAX];
    struct journal_options options;
    struct journal journal;
    bool open;
    bool more; /* the journal has something to do in the next turn */
    struct pool waiter_pool;
    struct list waiting;   /* struct waiter: added to the journal, not safe yet; in its order */
    struct list unwritten; /* not even added, since the journal had no room; in order */
    uint64_t waiter_count;
    /* Bytes that the records of what is pending take, and those that will end it. */
    uint64_t pending_bytes, ending_bytes;
    uint64_t free_bytes; /* of the file system, looked at once a second; at first: enough */
    uint64_t looked_ns;
    bool astray;           /* the directory is not where it was */
    struct entry_in entry; /* the one that is being read */
};

void disk_store_init(struct disk_store *disk, const struct config *config);
void disk_store_fini(struct disk_store *disk);

/* The key by which contents were hashed that the fates in this directory know (hash.h): reads it,
 * or makes it, with the directory if its parent is there. Before any thread. False: `problem` says
 * what is wrong. */
bool disk_store_key(const char *directory, uint8_t key[HASH_KEY_BYTES], char *problem,
                    size_t problem_cap);

/* What a pending message's end will take in the journal. */
uint64_t disk_store_ending_bytes(const struct fate *fate);

/* restore.c, restore_bring.c: opens the journal and restores what is in it. On the store's thread.
 */
bool disk_store_restore(struct disk_store *disk, char *problem, size_t problem_cap);

#endif
