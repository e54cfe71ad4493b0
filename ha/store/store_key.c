/* store_key.c - the key that goes with a store's directory; see disk_store.h. */
#include "ha/store/store_key.h"

#include "core/base/log.h"
#include "core/base/rand.h"
#include "ha/store/disk.h"
#include "ha/store/disk_store.h"
#include "ha/store/store_lock.h"

#include <errno.h>
#include <stdio.h>

#define STORE_KEY_NEW STORE_KEY ".new"

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

int store_key_read(int folder, uint8_t key[HASH_KEY_BYTES]) {
    uint8_t bytes[HASH_KEY_BYTES + 1];
    size_t got = 0;
    int fd = disk_open(folder, STORE_KEY, DISK_READ);
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
    int fd = disk_open(folder, STORE_KEY_NEW, DISK_MAKE);
    if (fd < 0)
        return false;
    bool good = disk_write(fd, key, HASH_KEY_BYTES, 0) && disk_sync(fd);
    int error = errno;
    disk_close(fd);
    errno = error;
    return good && disk_rename(folder, STORE_KEY_NEW, STORE_KEY) && disk_folder_sync(folder);
}

static bool on_name(void *argument, const char *name) {
    uint64_t number;
    if (store_name_read(name, &number) == FILE_SEGMENT)
        *(bool *)argument = true;
    return true;
}

/* What was hashed by another key stands there. */
static void loss_look(const char *directory, int folder) {
    bool segments = false;
    if (disk_list(folder, on_name, &segments) && segments)
        log_event(LOG_WARN, "store_key_lost", LOG_STR("data", directory),
                  LOG_STR("meaning", "there was no " STORE_KEY " beside the records, and another "
                                     "was made: " STORE_KEY_LOST),
                  LOG_STR("remedy", "stop the node and put " STORE_KEY " back from a copy of the "
                                    "directory, else none"));
}

/* Made by one process at a time: all others read that one. False: `problem` says why. */
static bool key_have(const char *directory, int folder, uint8_t key[HASH_KEY_BYTES], int *found,
                     struct journal_problem *problem) {
    int lock;
    if (!store_lock(directory, folder, true, &lock, problem))
        return false;
    *found = store_key_read(folder, key);
    bool made = *found == 0 && key_make(folder, key);
    int error = errno;
    if (made)
        loss_look(directory, folder);
    disk_close(lock);
    errno = error;
    return made || *found > 0;
}

bool disk_store_key(const char *directory, uint8_t key[HASH_KEY_BYTES], char *problem,
                    size_t problem_cap) {
    int folder = disk_folder(directory, true);
    if (folder < 0)
        return fail(directory, "it cannot be opened", problem, problem_cap);
    struct journal_problem trouble = {.text = ""};
    int found = store_key_read(folder, key);
    bool good = found > 0 || (found == 0 && key_have(directory, folder, key, &found, &trouble));
    if (!good && trouble.text[0] != '\0')
        snprintf(problem, problem_cap, "%s", trouble.text);
    else if (!good && errno == EBADMSG)
        snprintf(problem, problem_cap,
                 "--data %s: " STORE_KEY
                 " is damaged: remove it, then the node starts, but " STORE_KEY_LOST,
                 directory);
    else if (!good)
        (void)fail(directory, found == 0 ? "it cannot be written" : "its key cannot be read",
                   problem, problem_cap);
    disk_close(folder);
    return good;
}
