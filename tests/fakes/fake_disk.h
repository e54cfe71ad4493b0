/* fake_disk.h - one directory in memory, with a kernel that forgets and a power that is cut.
 *
 * Stands in for ha/store/disk.c. What was written is there for who reads, but on the disk only
 * after a sync: a cut keeps any of the sectors of 512 bytes that were not synced, and of what was
 * done to names since the last sync of the directory the first few. A sync that fails leaves some
 * sectors unwritten and forgets about them, as Linux does: a later one succeeds without them.
 *
 * Threads: one. */
#ifndef RINGPOST_TESTS_FAKES_FAKE_DISK_H
#define RINGPOST_TESTS_FAKES_FAKE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_call {
    FAKE_OPEN,
    FAKE_READ,
    FAKE_WRITE,
    FAKE_RESERVE,
    FAKE_SYNC,
    FAKE_FOLDER_SYNC,
    FAKE_RENAME,
    FAKE_UNLINK,
    FAKE_CALLS
};

/* Empties it; `capacity` bytes for all files. */
void fake_disk_reset(uint64_t seed, uint64_t capacity);
void fake_disk_capacity(uint64_t capacity);
/* The process ends: its files are closed. Nothing is lost. */
void fake_disk_kill(void);
/* The same, and what was not synced is kept or not. */
void fake_disk_cut(void);
/* The call of that kind fails that is the nth from now on, 1 the next, and `count` - 1 behind it.
 * 0: none does. */
void fake_disk_fail(enum fake_call call, unsigned nth, unsigned count, int error);
bool fake_disk_failed(void); /* did one, since fake_disk_fail? */
/* The power is cut in the middle of that change, 1 the next: it and all that follow fail, until
 * fake_disk_cut says what is left. */
void fake_disk_die(unsigned calls);
bool fake_disk_dead(void);
/* The directory was removed, or is back. */
void fake_disk_gone(bool gone);
/* The names, until one is NULL; any order. */
const char *fake_disk_name(unsigned index);
/* Everything is on the disk as it is. */
void fake_disk_settle(void);
/* What stands in a file; to be damaged (and settled, if the power is cut later). NULL: no such
 * file. */
uint8_t *fake_disk_bytes(const char *name, size_t *len);
/* Makes such a file, or replaces it. */
void fake_disk_put(const char *name, const void *at, size_t len);
/* A number below `bound` from the same seed. */
uint64_t fake_disk_draw(uint64_t bound);

#endif
