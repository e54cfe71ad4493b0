/* store_key.c - the key that goes with a store's directory; see disk_store.h. */
#include "core/base/rand.h"
#include "ha/store/disk.h"
#include "ha/store/disk_store.h"

#include <errno.h>
#include <stdio.h>

#define KEY_FILE "store.key"
#define KEY_FILE_NEW "store.key.new"

/* `errno` says why. */
static bool fail(const char *directory, const char *what, char *problem, size_t problem_cap) {
    const char *remedy = "look at its owner and its rights";
    if (errno == ENOSPC || errno == EDQUOT)
        remedy = "make room on that file system";
    else if (errno == EROFS)
        remedy = "mount that file system for writing, or name another directory";
    else if (errno == ENOENT)
        remedy = "make the directory that it is to be in";
    else if (errno == ENOTDIR)
        remedy = "name a directory";
    snprintf(problem, problem_cap, "--data %s: %s (%s): %s", directory, what, strerror(errno),
             remedy);
    return false;
}

/* 1: read, 0: there is none, -1: `errno` says what is wrong. */
static int key_read(int folder, uint8_t key[HASH_KEY_BYTES]) {
    uint8_t bytes[HASH_KEY_BYTES + 1];
    size_t got = 0;
    int fd = disk_open(folder, KEY_FILE, DISK_READ);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    bool good = disk_read(fd, bytes, sizeof(bytes), 0, &got);
    disk_close(fd);
    if (!good)
        return -1;
    if (got != HASH_KEY_BYTES) {
        errno = EBADMSG;
        return -1;
    }
    memcpy(key, bytes, HASH_KEY_BYTES);
    return 1;
}

static bool key_make(int folder, uint8_t key[HASH_KEY_BYTES]) {
    rand_fill(key, HASH_KEY_BYTES);
    int fd = disk_open(folder, KEY_FILE_NEW, DISK_MAKE);
    if (fd < 0)
        return false;
    bool good = disk_write(fd, key, HASH_KEY_BYTES, 0) && disk_sync(fd);
    int error = errno;
    disk_close(fd);
    errno = error;
    return good && disk_rename(folder, KEY_FILE_NEW, KEY_FILE) && disk_folder_sync(folder);
}

bool disk_store_key(const char *directory, uint8_t key[HASH_KEY_BYTES], char *problem,
                    size_t problem_cap) {
    int folder = disk_folder(directory, true);
    if (folder < 0)
        return fail(directory, "it cannot be opened", problem, problem_cap);
    int found = key_read(folder, key);
    bool good = found > 0 || (found == 0 && key_make(folder, key));
    if (!good && errno == EBADMSG)
        snprintf(problem, problem_cap,
                 "--data %s: " KEY_FILE " is damaged: remove it, then the node starts, but takes "
                 "what is pushed again under an id of before for another message",
                 directory);
    else if (!good)
        (void)fail(directory, found == 0 ? "it cannot be written" : "its key cannot be read",
                   problem, problem_cap);
    disk_close(folder);
    return good;
}
