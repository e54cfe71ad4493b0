/* Segments begin and end, and spare ones are made. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "ha/store/disk.h"
#include "ha/store/journal_parts.h"
#include "ha/store/trouble.h"

#include <errno.h>

#define SPACE_RETRY_NS NS_PER_S

static char zeros[JOURNAL_STEP_BYTES]; /* not const, so that it takes no room in the program */

void space_count(struct journal *journal) {
    journal->disk_bytes = journal->spare_count * journal->segment_bytes;
    for (unsigned i = 0; i < journal->segment_count; i++)
        journal->disk_bytes += journal->segments[i].bytes;
    STAT_SET(journal, segments, journal->segment_count);
    STAT_SET(journal, spares, journal->spare_count);
    STAT_SET(journal, disk_bytes, journal->disk_bytes);
}

void space_drop(struct journal *journal, enum store_file file, uint64_t number) {
    char name[STORE_NAME_BYTES];
    store_name_write(name, file, number);
    /* One that stays is void, and goes with the next start. */
    (void)disk_unlink(journal->folder, name);
}

void space_remove(struct journal *journal, unsigned at) {
    journal->segment_count--;
    memmove(&journal->segments[at], &journal->segments[at + 1],
            (journal->segment_count - at) * sizeof(journal->segments[0]));
    space_count(journal);
}

bool space_meta(struct journal *journal, uint64_t oldest, uint64_t synced) {
    char slot[META_SLOT_BYTES];
    struct store_meta meta = journal->meta;
    /* Written again after a failure it has the same number, and so the same slot: the other one
     * holds what was valid before. */
    meta.generation++;
    meta.oldest = oldest;
    meta.synced = synced;
    meta_write(&meta, slot);
    journal->doing = "write " STORE_META;
    if (!disk_write(journal->meta_file, slot, sizeof(slot),
                    meta.generation % META_SLOTS * SEGMENT_HEADER_BYTES) ||
        !disk_sync(journal->meta_file))
        return false;
    journal->meta = meta;
    return true;
}

/* --- making a spare -------------------------------------------------------------------------- */

static bool make_begin(struct journal *journal) {
    char name[STORE_NAME_BYTES];
    uint64_t number = journal->number_next++;
    if (!disk_folder_same(journal->folder, journal->options.directory)) {
        errno = ESTALE;
        return false;
    }
    store_name_write(name, FILE_NEW, number);
    journal->making.fd = disk_open(journal->folder, name, DISK_MAKE);
    if (journal->making.fd < 0)
        return false;
    journal->making.number = number;
    journal->making.done = 0;
    /* Not every file system can reserve; there the zeros do. */
    return disk_reserve(journal->making.fd, journal->segment_bytes) || errno == EOPNOTSUPP ||
           errno == ENOSYS;
}

static bool make_step(struct journal *journal) {
    char name[STORE_NAME_BYTES], ready[STORE_NAME_BYTES];
    uint64_t left = journal->segment_bytes - journal->making.done;
    size_t step = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);
    /* Synced step by step, since one sync of all would keep its owner for long. */
    if (!disk_write(journal->making.fd, zeros, step, journal->making.done) ||
        !disk_sync(journal->making.fd))
        return false;
    journal->making.done += step;
    if (journal->making.done < journal->segment_bytes)
        return true;
    CHECK(journal->spare_count < JOURNAL_SPARES_MAX);
    store_name_write(name, FILE_NEW, journal->making.number);
    store_name_write(ready, FILE_SPARE, journal->making.number);
    if (!disk_rename(journal->folder, name, ready))
        return false;
    disk_close(journal->making.fd);
    journal->making.fd = -1;
    journal->spares[journal->spare_count++] = journal->making.number;
    if (journal->full)
        log_event(LOG_INFO, "store_has_room_again", LOG_STR("store", journal->options.directory));
    journal->full = false;
    STAT_SET(journal, full, 0);
    space_count(journal);
    return true;
}

bool space_make(struct journal *journal) {
    if ((journal->making.fd >= 0 || make_begin(journal)) && make_step(journal))
        return true;
    int error = errno;
    if (!journal->full)
        log_event(LOG_WARN, "store_no_spare", LOG_STR("store", journal->options.directory),
                  LOG_STR("doing", "make a spare segment"),
                  LOG_U64("bytes", journal->segment_bytes), LOG_U64("spares", journal->spare_count),
                  LOG_STR("error", trouble_reason(error)),
                  LOG_STR("remedy", trouble_remedy(error)));
    if (journal->making.fd >= 0) {
        disk_close(journal->making.fd);
        journal->making.fd = -1;
        space_drop(journal, FILE_NEW, journal->making.number);
    }
    journal->full = true;
    STAT_SET(journal, full, 1);
    journal->space_retry_ns = journal->now_ns + SPACE_RETRY_NS;
    errno = error;
    return false;
}

/* --- beginning and ending -------------------------------------------------------------------- */

/* A spare for now, all of it at once if none is ready. */
static bool spare_get(struct journal *journal) {
    while (journal->spare_count == 0)
        if (!space_make(journal))
            return false;
    return true;
}

/* Writes the header and the first records into a spare, and makes it a segment. False: nobody knows
 * what it is. With the header, what an older segment has of these records is void, so they must be
 * there before it is. */
static bool spare_use(struct journal *journal, uint64_t spare, const struct segment_header *header,
                      const char *start, size_t bytes) {
    char name[STORE_NAME_BYTES], segment[STORE_NAME_BYTES];
    store_name_write(name, FILE_SPARE, spare);
    store_name_write(segment, FILE_SEGMENT, header->number);
    journal->current.fd = disk_open(journal->folder, name, DISK_WRITE);
    return journal->current.fd >= 0 &&
           disk_write(journal->current.fd, start, SEGMENT_HEADER_BYTES, 0) &&
           disk_write(journal->current.fd, journal->pending.at, bytes, SEGMENT_HEADER_BYTES) &&
           disk_sync(journal->current.fd) && disk_rename(journal->folder, name, segment);
}

/* A segment before the new one that begins with the same sequence: nothing in it counts. One that
 * stays is reclaimed like any other. */
static void empty_remove(struct journal *journal) {
    while (journal->segment_count > 1) {
        unsigned at = journal->segment_count - 2;
        const struct journal_segment empty = journal->segments[at];
        if (empty.first != journal->segments[at + 1].first)
            break;
        if (journal->meta.oldest == empty.number &&
            !space_meta(journal, journal->segments[at + 1].number, journal->synced))
            break;
        if (journal->reclaim.active && journal->reclaim.number == empty.number)
            reclaim_stop(journal);
        space_remove(journal, at);
        space_drop(journal, FILE_SEGMENT, empty.number);
    }
}

bool space_begin(struct journal *journal) {
    journal->doing = "begin a segment";
    if (!disk_folder_same(journal->folder, journal->options.directory)) {
        errno = ESTALE;
        return false;
    }
    if (journal->segment_count == JOURNAL_SEGMENTS_MAX) {
        errno = ENOSPC;
        return false;
    }
    if (!spare_get(journal))
        return false;
    uint64_t spare = journal->spares[--journal->spare_count];
    struct segment_header header = {.identity = journal->meta.identity,
                                    .number = journal->number_next++,
                                    .epoch = journal->meta.epoch,
                                    .first = journal->synced + 1,
                                    .salt = rand_u64(),
                                    .bytes = journal->segment_bytes};
    char start[SEGMENT_HEADER_BYTES];
    uint64_t count, began_ns = clock_ns();
    segment_header_write(&header, start);
    CHECK(journal->pending.written == 0 && journal->pending.len != 0);
    size_t bytes = pending_seal(journal, header.checksum, header.bytes - sizeof(start), &count);
    if (!spare_use(journal, spare, &header, start, bytes)) {
        int error = errno;
        if (journal->current.fd >= 0)
            disk_close(journal->current.fd);
        journal->current.fd = -1;
        space_drop(journal, FILE_SPARE, spare);
        space_drop(journal, FILE_SEGMENT, header.number);
        space_count(journal);
        errno = error;
        return false;
    }
    journal->segments[journal->segment_count++] = (struct journal_segment){.number = header.number,
                                                                           .first = header.first,
                                                                           .bytes = header.bytes,
                                                                           .seed = header.checksum};
    journal->current.end = SEGMENT_HEADER_BYTES;
    space_count(journal);
    if (!disk_folder_sync(journal->folder) ||
        (journal->meta.oldest == 0 &&
         !space_meta(journal, journal->segments[0].number, journal->synced)))
        return false;
    pending_wrote(journal, bytes, count);
    pending_synced(journal, clock_ns() - began_ns);
    empty_remove(journal);
    return true;
}

void space_end(struct journal *journal, bool worn) {
    if (journal->current.fd < 0)
        return;
    disk_close(journal->current.fd);
    journal->current.fd = -1;
    journal->segments[journal->segment_count - 1].worn = worn;
}
