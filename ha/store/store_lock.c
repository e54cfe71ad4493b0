/* Whose a store's directory is. */
#include "ha/store/store_lock.h"

#include "ha/store/disk.h"
#include "ha/store/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PID_TEXT_BYTES 24

static void held_problem(const char *directory, int folder, struct journal_problem *problem) {
    char text[PID_TEXT_BYTES] = "";
    size_t got = 0;
    int fd = disk_open(folder, STORE_LOCK, DISK_READ);
    if (fd >= 0 && !disk_read(fd, text, sizeof(text) - 1, 0, &got))
        got = 0;
    if (fd >= 0)
        disk_close(fd);
    text[got] = '\0';
    unsigned long pid = strtoul(text, NULL, 10);
    char who[PID_TEXT_BYTES + 16] = "another process";
    if (pid != 0)
        (void)snprintf(who, sizeof(who), "process %lu", pid);
    trouble_set(problem,
                "%.*s is in use by %s; stop that one first, or give each node a directory of its "
                "own",
                TROUBLE_PATH_MAX, directory, who);
}

bool store_lock(const char *directory, int folder, bool writes, int *fd,
                struct journal_problem *problem) {
    char text[PID_TEXT_BYTES];
    *fd = -1;
    /* Not every file system can lock a directory (NFS cannot); there the file has to do. */
    if (!disk_lock(folder) && errno == EWOULDBLOCK) {
        held_problem(directory, folder, problem);
        return false;
    }
    *fd = disk_open(folder, STORE_LOCK, writes ? DISK_WRITE : DISK_READ);
    if (*fd < 0 && errno == ENOENT) {
        if (!writes)
            return true;
        *fd = disk_open(folder, STORE_LOCK, DISK_MAKE);
    }
    if (*fd < 0) {
        trouble_errno(problem, directory, "open " STORE_LOCK, errno);
        return false;
    }
    if (!disk_lock(*fd)) {
        if (errno == EWOULDBLOCK)
            held_problem(directory, folder, problem);
        else
            trouble_errno(problem, directory, "lock " STORE_LOCK, errno);
        disk_close(*fd);
        *fd = -1;
        return false;
    }
    if (!writes)
        return true;
    /* Only for the sentence above. */
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    (void)(disk_truncate(*fd, 0) && disk_write(*fd, text, (size_t)len, 0));
    return true;
}
