/* The store's system calls. */
#include "ha/store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOLDER_MODE 0700
#define FILE_MODE 0600

int disk_folder(const char *path, bool make) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || !make)
        return fd;
    if (mkdir(path, FOLDER_MODE) != 0)
        return -1;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Its name has to survive, too. */
    int above = fd >= 0 ? openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (above >= 0) {
        (void)fsync(above);
        close(above);
    }
    return fd;
}

bool disk_folder_same(int folder, const char *path) {
    struct stat open_one, there;
    return fstat(folder, &open_one) == 0 && open_one.st_nlink != 0 && stat(path, &there) == 0 &&
           open_one.st_dev == there.st_dev && open_one.st_ino == there.st_ino;
}

uint64_t disk_free_bytes(int folder) {
    struct statvfs about;
    if (fstatvfs(folder, &about) != 0 || about.f_frsize == 0 ||
        about.f_bavail > UINT64_MAX / about.f_frsize)
        return UINT64_MAX;
    return (uint64_t)about.f_bavail * about.f_frsize;
}

bool disk_list(int folder, bool (*visit)(void *argument, const char *name), void *argument) {
    /* A description of its own: the position in a directory belongs to it. */
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *all = fd >= 0 ? fdopendir(fd) : NULL;
    if (all == NULL) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        errno = error;
        return false;
    }
    const struct dirent *entry;
    errno = 0;
    while ((entry = readdir(all)) != NULL) {
        if (!visit(argument, entry->d_name))
            break;
        errno = 0;
    }
    int error = entry == NULL ? errno : 0;
    closedir(all);
    errno = error;
    return error == 0;
}

bool disk_folder_sync(int folder) {
    return fsync(folder) == 0;
}

int disk_open(int folder, const char *name, enum disk_mode mode) {
    static const int flags[] = {
        [DISK_READ] = O_RDONLY, [DISK_WRITE] = O_RDWR, [DISK_MAKE] = O_RDWR | O_CREAT | O_TRUNC};
    /* O_NONBLOCK: a FIFO of that name must not make us wait. */
    int fd = openat(folder, name, flags[mode] | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, FILE_MODE);
    struct stat about;
    if (fd >= 0 && (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

void disk_close(int fd) {
    close(fd);
}

bool disk_rename(int folder, const char *from, const char *to) {
    return renameat(folder, from, folder, to) == 0;
}

bool disk_unlink(int folder, const char *name) {
    return unlinkat(folder, name, 0) == 0;
}

bool disk_about(int fd, uint64_t *bytes, bool *named) {
    struct stat about;
    if (fstat(fd, &about) != 0)
        return false;
    *bytes = (uint64_t)about.st_size;
    *named = about.st_nlink != 0;
    return true;
}

bool disk_read(int fd, void *at, size_t len, uint64_t offset, size_t *got) {
    *got = 0;
    while (*got < len) {
        ssize_t count = pread(fd, (char *)at + *got, len - *got, (off_t)(offset + *got));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        if (count == 0)
            break;
        *got += (size_t)count;
    }
    return true;
}

bool disk_write(int fd, const void *at, size_t len, uint64_t offset) {
    size_t done = 0;
    while (done < len) {
        ssize_t count = pwrite(fd, (const char *)at + done, len - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            errno = count == 0 ? ENOSPC : errno;
            return false;
        }
        done += (size_t)count;
    }
    return true;
}

bool disk_reserve(int fd, uint64_t bytes) {
    int result;
    do
        result = fallocate(fd, 0, 0, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

bool disk_truncate(int fd, uint64_t bytes) {
    return ftruncate(fd, (off_t)bytes) == 0;
}

bool disk_sync(int fd) {
    int result;
    do
        result = fdatasync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

bool disk_lock(int fd) {
    return flock(fd, LOCK_EX | LOCK_NB) == 0;
}
