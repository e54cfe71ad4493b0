/* store_lock.h - a store's directory is one process's at a time.
 *
 * Locked (flock) are the directory itself, so that it does not matter if somebody removes files in
 * it, and a file in it, which says whose it is, and does where a directory cannot be locked. Both
 * locks end with the process; the file stays.
 *
 * Threads: any. */
#ifndef RINGPOST_HA_STORE_STORE_LOCK_H
#define RINGPOST_HA_STORE_STORE_LOCK_H

#include "ha/store/journal.h"

/* Locks the store; `folder`, its open directory, and `*fd` hold it while they are open. Who only
 * wants to look (not `writes`) changes nothing: in a store without that file only the directory is
 * locked then, and `*fd` is -1. False: why is in `problem`; nothing but `folder` is open, which may
 * hold the directory until it is closed. */
bool store_lock(const char *directory, int folder, bool writes, int *fd,
                struct journal_problem *problem);

#endif
