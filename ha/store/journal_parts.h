/* journal_parts.h - what the files of the journal know of each other, and nobody else.
 *
 * Functions that return false have set errno, and `journal->doing` says what they did.
 *
 * Threads: the journal's owner. */
#ifndef RINGPOST_HA_STORE_JOURNAL_PARTS_H
#define RINGPOST_HA_STORE_JOURNAL_PARTS_H

#include "ha/store/journal.h"

#define RECORDS_MIN 8 /* of the largest size, in a segment */

#define STAT_ADD(journal, name, count)                                                             \
    atomic_fetch_add_explicit(&(journal)->stats.name, (count), memory_order_relaxed)
#define STAT_SET(journal, name, value)                                                             \
    atomic_store_explicit(&(journal)->stats.name, (value), memory_order_relaxed)

/* --- journal.c ------------------------------------------------------------------------------- */

/* Memory of its own, at its first use; NULL: none. */
void *journal_map(size_t bytes);
void journal_unmap(void *at, size_t bytes);
/* Begins to be `failing`, or goes on to be; why is in errno. */
void journal_fail(struct journal *journal, uint64_t now_ns);
/* Adds a record that was there before, or not. */
bool pending_add(struct journal *journal, const struct record_head *head, const struct span *parts,
                 unsigned count);
/* Writes all that was added. */
bool pending_write(struct journal *journal);
/* Makes records of what is to be written next into a segment with that seed, as many as have room
 * in `left` bytes; returns their bytes, and counts them. */
size_t pending_seal(struct journal *journal, uint32_t seed, uint64_t left, uint64_t *count);
/* So much of it was written to the current segment. */
void pending_wrote(struct journal *journal, size_t bytes, uint64_t count);
/* Syncs all that was written. */
bool pending_sync(struct journal *journal);
/* That was done. */
void pending_synced(struct journal *journal, uint64_t took_ns);

/* --- journal_open.c -------------------------------------------------------------------------- */

/* Gives back memory and descriptors, as the end of the process does. */
void journal_free(struct journal *journal);

/* --- journal_space.c ------------------------------------------------------------------------- */

/* Writes store.meta anew. */
bool space_meta(struct journal *journal, uint64_t oldest, uint64_t synced);
/* Begins a segment with the first record that is not synced, and with as many of those behind it as
 * have room; these are synced then. At least one was added and is not synced. */
bool space_begin(struct journal *journal);
/* The segment that is written is full, or has failed. */
void space_end(struct journal *journal, bool worn);
/* Makes a spare segment, or goes on to. False: there is no room; it is tried again later. */
bool space_make(struct journal *journal);
/* The file of a spare or a segment is not needed, or not to be used. */
void space_drop(struct journal *journal, enum store_file file, uint64_t number);
void space_remove(struct journal *journal, unsigned at); /* from the list of segments */
void space_count(struct journal *journal);               /* after any change of either list */

/* --- journal_reclaim.c ----------------------------------------------------------------------- */

/* A step. False: nothing is to be reclaimed. */
bool reclaim_step(struct journal *journal, uint64_t live_bytes, journal_survives *survives,
                  void *argument);
void reclaim_stop(struct journal *journal);

#endif
