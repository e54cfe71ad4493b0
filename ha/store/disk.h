/* disk.h - the files of one directory: the only door of the store to the file system.
 *
 * Tests link tests/fakes/fake_disk.c in its place, which fails calls, cuts the power and forgets
 * what was not synced. Each call blocks. Files are named within an open directory, never by a path,
 * and are never symbolic links (O_NOFOLLOW); they are made with mode 0600.
 *
 * Unless a function says otherwise it returns false with errno set when it failed. No function
 * retries but after EINTR, and none is told twice of an error that the kernel tells only once: who
 * gets false from a sync does not know what is on the disk, also after a later sync that succeeds.
 *
 * What an open journal calls, for core/sandbox.c: openat (also to write and create), close,
 * newfstatat, fstat, pread64, pwrite64, fallocate, fdatasync, fsync, renameat, unlinkat.
 *
 * Threads: any; one at a time for a descriptor. Owns nothing. */
#ifndef RINGPOST_HA_STORE_DISK_H
#define RINGPOST_HA_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_mode {
    DISK_READ,
    DISK_WRITE, /* read and write */
    DISK_MAKE   /* the same, made if it is not there, emptied if it is */
};

/* Opens a directory (a symbolic link to one will do); with `make` it is made, mode 0700, if only
 * its last part is missing. -1: failed. */
int disk_folder(const char *path, bool make);
/* Is that path still the directory that is open? False also if it cannot be told. */
bool disk_folder_same(int folder, const char *path);
/* Bytes that may still be written to its file system; UINT64_MAX: it cannot be told. */
uint64_t disk_free_bytes(int folder);
/* Tells the names in it, in no order, until `visit` says false. */
bool disk_list(int folder, bool (*visit)(void *argument, const char *name), void *argument);
/* Syncs the directory: its names are what they are now after a cut of the power. */
bool disk_folder_sync(int folder);

/* -1: failed. */
int disk_open(int folder, const char *name, enum disk_mode mode);
void disk_close(int fd);
bool disk_rename(int folder, const char *from, const char *to);
bool disk_unlink(int folder, const char *name);

/* The file's length, and whether it still has a name. */
bool disk_about(int fd, uint64_t *bytes, bool *named);
/* Reads until `len` bytes or the end of the file; `*got` bytes. */
bool disk_read(int fd, void *at, size_t len, uint64_t offset, size_t *got);
/* All of it; after a failure any part of it may be there. */
bool disk_write(int fd, const void *at, size_t len, uint64_t offset);
/* Reserves room for a file of so many bytes, which it then has. */
bool disk_reserve(int fd, uint64_t bytes);
bool disk_truncate(int fd, uint64_t bytes);
/* fdatasync: the bytes, and the length where that has changed. */
bool disk_sync(int fd);
/* Locks the file or directory for who has it open, until it is closed. False with EWOULDBLOCK:
 * somebody else has locked it. */
bool disk_lock(int fd);

#endif
