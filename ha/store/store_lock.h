/* store_lock.h - a store's directory is one process's at a time.
 *
 * The lock is on a file in it (flock), so it ends with the process; the file stays.
 *
 * Threads: any. */
#ifndef RINGPOST_HA_STORE_STORE_LOCK_H
#define RINGPOST_HA_STORE_STORE_LOCK_H

#include "ha/store/journal.h"

/* Locks the store; `*fd` holds it while it is open. Who only wants to look (not `writes`) changes
 * nothing: a store without that file is not locked then, and `*fd` is -1. False: why is in
 * `problem`. */
bool store_lock(const char *directory, int folder, bool writes, int *fd,
                struct journal_problem *problem);

#endif
