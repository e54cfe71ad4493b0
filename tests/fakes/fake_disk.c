/* A directory in memory that forgets what was not synced. */
#include "tests/fakes/fake_disk.h"

#include "core/base/check.h"
#include "ha/store/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512
#define FAKE_FILES_MAX 256
#define OPEN_MAX 32
#define CHANGES_MAX 4096
#define NAME_MAX_BYTES 64
#define FOLDER_FD 1000
#define FD_BASE 100

struct fake_file {
    bool used;
    unsigned names, opens;
    char *now, *durable;
    uint8_t *dirty; /* of each sector */
    size_t size, durable_size, cap;
};

struct fake_name {
    char text[NAME_MAX_BYTES];
    int file; /* -1: the place is free */
};

/* Of names, since the last sync of the directory; from empty: it was added, to empty: removed. */
struct fake_change {
    char from[NAME_MAX_BYTES], to[NAME_MAX_BYTES];
    int file;
};

static struct {
    uint64_t random, capacity;
    struct fake_file files[FAKE_FILES_MAX];
    struct fake_name names[FAKE_FILES_MAX], durable[FAKE_FILES_MAX];
    struct fake_change changes[CHANGES_MAX];
    unsigned change_count;
    int open[OPEN_MAX]; /* file, -1: free */
    int locked;         /* the place in `open` of who has the lock, -1: nobody */
    bool gone, failed, dead;
    unsigned dies_in;
    enum fake_call fail_call;
    unsigned fail_nth, fail_count;
    int fail_error;
} disk;

uint64_t fake_disk_draw(uint64_t bound) {
    uint64_t mixed = (disk.random += UINT64_C(0x9E3779B97F4A7C15));
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (mixed ^ (mixed >> 31)) % bound;
}

static bool fails(enum fake_call call) {
    bool changes = call != FAKE_OPEN && call != FAKE_READ;
    if (changes && disk.dies_in != 0 && --disk.dies_in == 0) {
        disk.dead = true;
        errno = EIO;
        return true;
    }
    if (call != disk.fail_call || disk.fail_nth == 0)
        return false;
    if (disk.fail_nth > 1) {
        disk.fail_nth--;
        return false;
    }
    if (--disk.fail_count == 0)
        disk.fail_nth = 0;
    disk.failed = true;
    errno = disk.fail_error;
    return true;
}

void fake_disk_fail(enum fake_call call, unsigned nth, unsigned count, int error) {
    disk.fail_call = call;
    disk.fail_nth = nth;
    disk.fail_count = count;
    disk.fail_error = error;
    disk.failed = false;
}

bool fake_disk_failed(void) {
    return disk.failed;
}

void fake_disk_die(unsigned calls) {
    disk.dies_in = calls;
}

bool fake_disk_dead(void) {
    return disk.dead;
}

/* What comes after the power is cut. */
static bool is_dead(void) {
    errno = EIO;
    return disk.dead;
}

void fake_disk_gone(bool gone) {
    disk.gone = gone;
}

void fake_disk_capacity(uint64_t capacity) {
    disk.capacity = capacity;
}

/* --- files ----------------------------------------------------------------------------------- */

static struct fake_file *file_of(int fd) {
    CHECK(fd >= FD_BASE && fd < FD_BASE + OPEN_MAX && disk.open[fd - FD_BASE] >= 0, "fd %d", fd);
    return &disk.files[disk.open[fd - FD_BASE]];
}

static void file_room(struct fake_file *file, size_t size) {
    size_t cap = (size + SECTOR - 1) / SECTOR * SECTOR;
    if (cap <= file->cap)
        return;
    cap = cap > 2 * file->cap ? cap : 2 * file->cap;
    file->now = realloc(file->now, cap);
    file->durable = realloc(file->durable, cap);
    file->dirty = realloc(file->dirty, cap / SECTOR);
    CHECK(file->now != NULL && file->durable != NULL && file->dirty != NULL);
    memset(file->now + file->cap, 0, cap - file->cap);
    memset(file->durable + file->cap, 0, cap - file->cap);
    memset(file->dirty + file->cap / SECTOR, 0, (cap - file->cap) / SECTOR);
    file->cap = cap;
}

/* Files that have no name, also none on the disk, and that nobody has open, are gone. */
static void files_release(void) {
    bool held[FAKE_FILES_MAX] = {false};
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++) {
        if (disk.durable[i].file >= 0)
            held[disk.durable[i].file] = true;
        if (disk.names[i].file >= 0)
            held[disk.names[i].file] = true;
    }
    for (unsigned i = 0; i < disk.change_count; i++)
        if (disk.changes[i].file >= 0)
            held[disk.changes[i].file] = true;
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++)
        disk.files[i].used &= held[i] || disk.files[i].opens != 0;
}

static int file_new(void) {
    int at = 0;
    while (at < FAKE_FILES_MAX && disk.files[at].used)
        at++;
    CHECK(at < FAKE_FILES_MAX, "the fake disk has too few files");
    struct fake_file *file = &disk.files[at];
    if (file->cap != 0) {
        memset(file->now, 0, file->cap);
        memset(file->durable, 0, file->cap);
        memset(file->dirty, 0, file->cap / SECTOR);
    }
    file->used = true;
    file->names = file->opens = 0;
    file->size = file->durable_size = 0;
    return at;
}

static uint64_t bytes_used(void) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++)
        if (disk.files[i].used && (disk.files[i].names != 0 || disk.files[i].opens != 0))
            bytes += disk.files[i].size;
    return bytes;
}

static bool file_grow(struct fake_file *file, uint64_t size) {
    if (size <= file->size)
        return true;
    if (bytes_used() + (size - file->size) > disk.capacity) {
        errno = ENOSPC;
        return false;
    }
    file_room(file, (size_t)size);
    file->size = (size_t)size;
    return true;
}

static void sector_save(struct fake_file *file, size_t sector) {
    memcpy(file->durable + sector * SECTOR, file->now + sector * SECTOR, SECTOR);
    file->dirty[sector] = 0;
}

/* --- names ----------------------------------------------------------------------------------- */

static struct fake_name *name_find(struct fake_name *names, const char *text) {
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++)
        if (names[i].file >= 0 && strcmp(names[i].text, text) == 0)
            return &names[i];
    return NULL;
}

static void name_set(struct fake_name *names, const char *text, int file) {
    struct fake_name *name = name_find(names, text);
    for (unsigned i = 0; name == NULL && i < FAKE_FILES_MAX; i++)
        if (names[i].file < 0)
            name = &names[i];
    CHECK(name != NULL);
    snprintf(name->text, sizeof name->text, "%s", text);
    name->file = file;
}

static void change_apply(struct fake_name *names, const struct fake_change *change) {
    struct fake_name *from = change->from[0] != '\0' ? name_find(names, change->from) : NULL;
    if (from != NULL)
        from->file = -1;
    if (change->to[0] != '\0')
        name_set(names, change->to, change->file);
}

static void names_count(void) {
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++)
        disk.files[i].names = 0;
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++)
        if (disk.names[i].file >= 0)
            disk.files[disk.names[i].file].names++;
    files_release();
}

static void change_make(const char *from, const char *to, int file) {
    CHECK(disk.change_count < CHANGES_MAX, "the directory is never synced");
    struct fake_change *change = &disk.changes[disk.change_count++];
    snprintf(change->from, sizeof change->from, "%s", from);
    snprintf(change->to, sizeof change->to, "%s", to);
    change->file = file;
    change_apply(disk.names, change);
    names_count();
}

static void changes_save(unsigned count) {
    for (unsigned i = 0; i < count; i++)
        change_apply(disk.durable, &disk.changes[i]);
    disk.change_count = 0;
}

/* --- from outside ---------------------------------------------------------------------------- */

void fake_disk_reset(uint64_t seed, uint64_t capacity) {
    disk.random = seed;
    disk.capacity = capacity;
    disk.change_count = 0;
    disk.gone = disk.dead = false;
    disk.dies_in = 0;
    disk.locked = -1;
    fake_disk_fail(FAKE_OPEN, 0, 0, 0);
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++) {
        disk.names[i].file = disk.durable[i].file = -1;
        disk.files[i].used = false;
    }
    for (unsigned i = 0; i < OPEN_MAX; i++)
        disk.open[i] = -1;
}

void fake_disk_kill(void) {
    for (unsigned i = 0; i < OPEN_MAX; i++)
        if (disk.open[i] >= 0)
            disk_close((int)i + FD_BASE);
    disk.locked = -1;
}

void fake_disk_cut(void) {
    fake_disk_kill();
    disk.dead = false;
    disk.dies_in = 0;
    changes_save((unsigned)fake_disk_draw(disk.change_count + 1));
    memcpy(disk.names, disk.durable, sizeof disk.names);
    names_count();
    unsigned odds = (unsigned)fake_disk_draw(5); /* of 4: none, some or all sectors survive */
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++) {
        struct fake_file *file = &disk.files[i];
        if (!file->used)
            continue;
        for (size_t sector = 0; sector < file->cap / SECTOR; sector++)
            if (file->dirty[sector] != 0 && fake_disk_draw(4) < odds)
                sector_save(file, sector);
        if (fake_disk_draw(2) == 0)
            file->durable_size = file->size;
        memset(file->durable + file->durable_size, 0, file->cap - file->durable_size);
        memcpy(file->now, file->durable, file->cap);
        memset(file->dirty, 0, file->cap / SECTOR);
        file->size = file->durable_size;
    }
}

const char *fake_disk_name(unsigned index) {
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++)
        if (disk.names[i].file >= 0 && index-- == 0)
            return disk.names[i].text;
    return NULL;
}

/* Everything in it is on the disk. */
static void file_settle(struct fake_file *file) {
    memcpy(file->durable, file->now, file->cap);
    memset(file->dirty, 0, file->cap / SECTOR);
    file->durable_size = file->size;
}

void fake_disk_settle(void) {
    changes_save(disk.change_count);
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++)
        if (disk.files[i].used && disk.files[i].cap != 0)
            file_settle(&disk.files[i]);
}

uint8_t *fake_disk_bytes(const char *name, size_t *len) {
    const struct fake_name *found = name_find(disk.names, name);
    if (found == NULL)
        return NULL;
    *len = disk.files[found->file].size;
    return (uint8_t *)disk.files[found->file].now;
}

void fake_disk_put(const char *name, const void *at, size_t len) {
    int file = file_new();
    file_room(&disk.files[file], len);
    disk.files[file].size = len;
    if (len != 0)
        memcpy(disk.files[file].now, at, len);
    if (disk.files[file].cap != 0)
        file_settle(&disk.files[file]);
    change_make("", name, file);
    changes_save(disk.change_count);
}

/* --- the door -------------------------------------------------------------------------------- */

int disk_folder(const char *path, bool make) {
    (void)path;
    (void)make;
    return FOLDER_FD;
}

bool disk_folder_same(int folder, const char *path) {
    (void)path;
    CHECK(folder == FOLDER_FD);
    return !disk.gone;
}

uint64_t disk_free_bytes(int folder) {
    (void)folder;
    return UINT64_MAX;
}

bool disk_list(int folder, bool (*visit)(void *argument, const char *name), void *argument) {
    static struct fake_name listed[FAKE_FILES_MAX];
    CHECK(folder == FOLDER_FD);
    memcpy(listed, disk.names, sizeof listed);
    for (unsigned i = 0; i < FAKE_FILES_MAX; i++)
        if (listed[i].file >= 0 && !visit(argument, listed[i].text))
            break;
    return true;
}

bool disk_folder_sync(int folder) {
    CHECK(folder == FOLDER_FD);
    if (is_dead())
        return false;
    if (fails(FAKE_FOLDER_SYNC)) {
        changes_save((unsigned)fake_disk_draw(disk.change_count + 1));
        /* The rest is on no disk, and never will be; what is seen stays as it is. */
        return false;
    }
    changes_save(disk.change_count);
    return true;
}

int disk_open(int folder, const char *name, enum disk_mode mode) {
    CHECK(folder == FOLDER_FD);
    if (fails(FAKE_OPEN))
        return -1;
    const struct fake_name *found = name_find(disk.names, name);
    if (mode == DISK_MAKE && is_dead())
        return -1;
    if (found == NULL && (mode != DISK_MAKE || disk.gone)) {
        errno = ENOENT;
        return -1;
    }
    if (found == NULL)
        change_make("", name, file_new());
    found = name_find(disk.names, name);
    int at = 0;
    while (at < OPEN_MAX && disk.open[at] >= 0)
        at++;
    CHECK(at < OPEN_MAX, "descriptors are lost");
    disk.open[at] = found->file;
    struct fake_file *file = &disk.files[found->file];
    file->opens++;
    if (mode == DISK_MAKE && file->size != 0) {
        memset(file->now, 0, file->cap);
        memset(file->dirty, 1, file->cap / SECTOR);
        file->size = 0;
    }
    return at + FD_BASE;
}

void disk_close(int fd) {
    if (fd == FOLDER_FD)
        return;
    struct fake_file *file = file_of(fd);
    if (disk.locked == fd - FD_BASE)
        disk.locked = -1;
    disk.open[fd - FD_BASE] = -1;
    if (--file->opens == 0)
        files_release();
}

bool disk_rename(int folder, const char *from, const char *to) {
    CHECK(folder == FOLDER_FD);
    const struct fake_name *found = name_find(disk.names, from);
    if (is_dead() || fails(FAKE_RENAME))
        return false;
    if (found == NULL || disk.gone) {
        errno = ENOENT;
        return false;
    }
    change_make(from, to, found->file);
    return true;
}

bool disk_unlink(int folder, const char *name) {
    CHECK(folder == FOLDER_FD);
    if (is_dead() || fails(FAKE_UNLINK))
        return false;
    if (name_find(disk.names, name) == NULL) {
        errno = ENOENT;
        return false;
    }
    change_make(name, "", -1);
    return true;
}

bool disk_about(int fd, uint64_t *bytes, bool *named) {
    const struct fake_file *file = file_of(fd);
    *bytes = file->size;
    *named = file->names != 0 && !disk.gone;
    return true;
}

bool disk_read(int fd, void *at, size_t len, uint64_t offset, size_t *got) {
    const struct fake_file *file = file_of(fd);
    *got = 0;
    if (fails(FAKE_READ))
        return false;
    if (offset < file->size)
        *got = len < file->size - offset ? len : (size_t)(file->size - offset);
    if (*got != 0)
        memcpy(at, file->now + offset, *got);
    return true;
}

bool disk_write(int fd, const void *at, size_t len, uint64_t offset) {
    struct fake_file *file = file_of(fd);
    if (is_dead())
        return false;
    bool failed = fails(FAKE_WRITE);
    int error = errno;
    if (failed)
        len = (size_t)fake_disk_draw(len + 1);
    if (!file_grow(file, offset + len))
        return false;
    if (len != 0) {
        size_t first = (size_t)offset / SECTOR, last = (size_t)(offset + len - 1) / SECTOR;
        /* The kernel writes out when it likes. */
        for (size_t sector = first; sector <= last; sector++)
            if (file->dirty[sector] != 0 && fake_disk_draw(4) == 0)
                sector_save(file, sector);
        memcpy(file->now + offset, at, len);
        memset(file->dirty + first, 1, last - first + 1);
    }
    errno = error;
    return !failed;
}

bool disk_reserve(int fd, uint64_t bytes) {
    return !is_dead() && !fails(FAKE_RESERVE) && file_grow(file_of(fd), bytes);
}

bool disk_truncate(int fd, uint64_t bytes) {
    struct fake_file *file = file_of(fd);
    if (is_dead())
        return false;
    if (bytes > file->size)
        return file_grow(file, bytes);
    if (file->cap != 0) {
        memset(file->now + bytes, 0, file->cap - bytes);
        memset(file->dirty + bytes / SECTOR, 1, file->cap / SECTOR - bytes / SECTOR);
    }
    file->size = (size_t)bytes;
    return true;
}

bool disk_sync(int fd) {
    struct fake_file *file = file_of(fd);
    if (is_dead())
        return false;
    bool failed = fails(FAKE_SYNC);
    for (size_t sector = 0; sector < file->cap / SECTOR; sector++) {
        if (file->dirty[sector] != 0 && (!failed || fake_disk_draw(2) == 0))
            sector_save(file, sector);
        file->dirty[sector] = 0;
    }
    if (!failed)
        file->durable_size = file->size;
    return !failed;
}

bool disk_lock(int fd) {
    if (fd == FOLDER_FD) {
        errno = EBADF; /* as on file systems that cannot */
        return false;
    }
    if (disk.locked >= 0) {
        errno = EWOULDBLOCK;
        return false;
    }
    disk.locked = fd - FD_BASE;
    return true;
}
