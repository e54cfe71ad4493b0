/* A store is made of what is whole of a damaged one.
 *
 * New segments are written with the next epoch, so they are void until store.meta has that epoch;
 * its rename is the moment in which they count and all others do not. */
#include "core/base/rand.h"
#include "ha/store/disk.h"
#include "ha/store/journal_check_parts.h"
#include "ha/store/journal_parts.h"
#include "ha/store/scan.h"
#include "ha/store/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECE_BYTES 4096

struct repair {
    struct check check;
    struct store_meta meta; /* of the new store */
    /* The segment that is being filled. */
    char *out;
    uint64_t out_bytes, out_end;
    struct segment_header header;
    uint64_t number_next;
    uint64_t last;       /* sequence of the last record that was taken over, as it was */
    uint64_t kept, lost; /* records */
};

/* By the number in their headers: names may be exchanged. What has none comes first. */
static int by_header(const void *a, const void *b) {
    const struct survey_segment *x = a, *y = b;
    return (x->header.number > y->header.number) - (x->header.number < y->header.number);
}

/* Reads a segment piece by piece; what cannot be read is zeros. */
static struct span segment_read(const struct repair *repair, const struct survey_segment *segment) {
    char name[STORE_NAME_BYTES];
    char *room = repair->check.room;
    size_t len = 0, got = 0;
    store_name_write(name, FILE_SEGMENT, segment->number);
    int fd = disk_open(repair->check.folder, name, DISK_READ);
    if (fd < 0)
        return span_of(room, 0);
    while (len + PIECE_BYTES <= repair->check.room_bytes && len < segment->file_bytes) {
        memset(room + len, 0, PIECE_BYTES);
        if (disk_read(fd, room + len, PIECE_BYTES, len, &got) && got < PIECE_BYTES) {
            len += got;
            break;
        }
        len += PIECE_BYTES;
    }
    disk_close(fd);
    return span_of(room, len);
}

/* --- writing --------------------------------------------------------------------------------- */

static void out_begin(struct repair *repair) {
    repair->header = (struct segment_header){.identity = repair->meta.identity,
                                             .number = repair->number_next++,
                                             .epoch = repair->meta.epoch,
                                             .first = repair->meta.synced + 1,
                                             .salt = rand_u64(),
                                             .bytes = repair->out_bytes};
    segment_header_write(&repair->header, repair->out);
    memset(repair->out + SEGMENT_HEADER_BYTES, 0, repair->out_bytes - SEGMENT_HEADER_BYTES);
    repair->out_end = SEGMENT_HEADER_BYTES;
    if (repair->meta.oldest == 0)
        repair->meta.oldest = repair->header.number;
}

static bool file_write(const struct repair *repair, const char *name, const void *at, size_t len) {
    int fd = disk_open(repair->check.folder, name, DISK_MAKE);
    bool good = fd >= 0 && disk_write(fd, at, len, 0) && disk_sync(fd);
    int error = errno;
    if (fd >= 0)
        disk_close(fd);
    errno = error;
    return good;
}

static bool out_end(struct repair *repair) {
    char name[STORE_NAME_BYTES];
    if (repair->out_end == 0)
        return true;
    repair->out_end = 0;
    store_name_write(name, FILE_SEGMENT, repair->header.number);
    return file_write(repair, name, repair->out, repair->out_bytes);
}

static bool out_record(struct repair *repair, struct record_head head, struct span body) {
    uint64_t bytes = record_bytes(head.body_bytes);
    if (repair->out_end != 0 && repair->out_bytes - repair->out_end < bytes && !out_end(repair))
        return false;
    if (repair->out_end == 0)
        out_begin(repair);
    char *at = repair->out + repair->out_end;
    head.sequence = repair->meta.synced + 1;
    record_head_write(&head, at);
    if (body.len != 0)
        memcpy(at + RECORD_HEAD_BYTES, body.at, body.len);
    record_seal(at, repair->meta.synced, repair->header.checksum);
    repair->out_end += bytes;
    repair->meta.synced = head.sequence;
    repair->kept++;
    return true;
}

/* --- reading --------------------------------------------------------------------------------- */

static void gap_say(struct repair *repair, const struct survey_segment *segment, uint64_t from,
                    uint64_t to, uint64_t offset) {
    if (from > to)
        return;
    repair->lost += to - from + 1;
    check_say(&repair->check,
              "records %" PRIu64 " to %" PRIu64 " are lost; %016" PRIx64
              ".segment goes on at byte %" PRIu64,
              from, to, segment->number, offset);
}

/* Takes over what is whole in a segment, up to where the next one begins. */
static bool segment_save(struct repair *repair, const struct survey_segment *segment,
                         uint64_t limit) {
    struct span bytes = segment_read(repair, segment), body;
    struct scan scan = scan_begin(bytes, &segment->header);
    struct record_head head;
    uint64_t offset = scan.at;
    if (repair->last == 0)
        repair->last = scan.sequence - 1;
    while (scan_next(&scan, &head, &body) || scan_later(&scan, limit, &head, &body, &offset)) {
        if (head.sequence >= limit)
            break;
        if (head.sequence <= repair->last)
            continue;
        gap_say(repair, segment, repair->last + 1, head.sequence - 1, offset);
        repair->last = head.sequence;
        if (!out_record(repair, head, body))
            return false;
        offset = scan.at;
    }
    if (limit != UINT64_MAX && repair->last + 1 < limit) {
        gap_say(repair, segment, repair->last + 1, limit - 1, bytes.len);
        repair->last = limit - 1;
    }
    return true;
}

/* Is it one of this store's that counts? Finds what the header is where it is damaged. */
static bool segment_sort(struct repair *repair, struct survey_segment *segment) {
    const struct survey *survey = &repair->check.survey;
    if (segment->state == SURVEY_VOID || segment->state == SURVEY_FOREIGN)
        return false;
    if (segment->state == SURVEY_DAMAGED || segment->state == SURVEY_UNREADABLE) {
        struct span bytes = segment_read(repair, segment);
        uint32_t version;
        if (segment_header_read(bytes, &segment->header, &version) != FORM_GOOD &&
            !segment_header_second(bytes, &segment->header)) {
            segment->header.number = 0;
            return false;
        }
    }
    return survey->meta_form != FORM_GOOD || segment->header.number >= survey->meta.oldest;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* What is known of the store, from store.meta or from the headers. */
static void meta_find(struct repair *repair) {
    const struct survey *survey = &repair->check.survey;
    bool known = survey->meta_form == FORM_GOOD;
    repair->meta = known ? survey->meta : (struct store_meta){.generation = 0};
    for (unsigned i = 0; i < survey->count; i++) {
        const struct survey_segment *segment = &survey->segments[i];
        if (segment->state == SURVEY_DAMAGED || segment->state == SURVEY_UNREADABLE)
            continue;
        if (!known && segment->header.epoch >= repair->meta.epoch) {
            repair->meta.identity = segment->header.identity;
            repair->meta.epoch = segment->header.epoch;
        }
    }
    repair->number_next = survey->number_highest + 1;
}

/* New sequences are beyond all that were used. */
static uint64_t sequence_highest(struct repair *repair) {
    struct survey *survey = &repair->check.survey;
    uint64_t highest = survey->meta_form == FORM_GOOD ? survey->meta.synced : 0;
    for (unsigned i = 0; i < survey->count; i++) {
        const struct survey_segment *segment = &survey->segments[i];
        if (segment->header.number == 0)
            continue;
        /* There is room for so many records at most. */
        uint64_t last = segment->header.first + segment->file_bytes / RECORD_HEAD_BYTES;
        if (last > highest)
            highest = last;
    }
    return highest;
}

/* A copy of a file that is about to go. */
static bool copy_keep(struct repair *repair, const struct survey_segment *segment) {
    char name[STORE_NAME_BYTES], copy[STORE_NAME_BYTES + 16];
    struct span bytes = segment_read(repair, segment);
    store_name_write(name, FILE_SEGMENT, segment->number);
    (void)snprintf(copy, sizeof(copy), "%s.damaged", name);
    check_say(&repair->check, "%s is kept as %s", name, copy);
    return file_write(repair, copy, bytes.at, bytes.len);
}

/* From here on the segments with this epoch are the store, and all others are void. */
static bool meta_commit(struct repair *repair) {
    char slots[META_SLOTS * SEGMENT_HEADER_BYTES] = {0};
    repair->meta.generation++;
    meta_write(&repair->meta, slots + repair->meta.generation % META_SLOTS * SEGMENT_HEADER_BYTES);
    return disk_folder_sync(repair->check.folder) &&
           file_write(repair, STORE_META_NEW, slots, sizeof(slots)) &&
           disk_rename(repair->check.folder, STORE_META_NEW, STORE_META) &&
           disk_folder_sync(repair->check.folder);
}

/* Takes over all that is whole, in the order of the headers. */
static bool segments_save(struct repair *repair) {
    struct survey *survey = &repair->check.survey;
    unsigned count = survey->count, counted = 0;
    for (unsigned i = 0; i < count; i++) {
        struct survey_segment segment = survey->segments[i];
        if (segment_sort(repair, &segment)) {
            /* Those that count come first; what is known of the others stays. */
            survey->segments[i] = survey->segments[counted];
            survey->segments[counted++] = segment;
        } else if (segment.state != SURVEY_VOID && !copy_keep(repair, &segment)) {
            return false;
        }
    }
    qsort(survey->segments, counted, sizeof(survey->segments[0]), by_header);
    for (unsigned i = 0; i < counted; i++) {
        const struct survey_segment *segment = &survey->segments[i];
        uint64_t lost = repair->lost;
        uint64_t limit = i + 1 < counted ? survey->segments[i + 1].header.first : UINT64_MAX;
        if (!segment_save(repair, segment, limit))
            return false;
        if ((segment->state != SURVEY_GOOD || repair->lost != lost) && !copy_keep(repair, segment))
            return false;
    }
    return out_end(repair);
}

static bool repair_run(struct repair *repair) {
    struct survey *survey = &repair->check.survey;
    meta_find(repair);
    /* What is left over from a repair that was not finished must be known as such the next time. */
    if (survey->meta_form != FORM_GOOD && !meta_commit(repair))
        return false;
    repair->meta.synced = sequence_highest(repair);
    repair->meta.epoch++;
    repair->meta.oldest = 0;
    if (!segments_save(repair) || !meta_commit(repair))
        return false;
    /* Files that stay are void, and go at the next start. */
    for (unsigned i = 0; i < survey->count; i++) {
        char name[STORE_NAME_BYTES];
        store_name_write(name, FILE_SEGMENT, survey->segments[i].number);
        (void)disk_unlink(repair->check.folder, name);
    }
    return true;
}

enum journal_verdict journal_repair(const char *directory, journal_say *say, void *argument,
                                    struct journal_problem *problem) {
    struct repair repair = {.check = {.say = say, .argument = argument}};
    if (!check_open(&repair.check, directory, true, problem))
        return JOURNAL_UNKNOWN;
    enum journal_verdict verdict = JOURNAL_SOUND;
    if (check_all(&repair.check)) {
        check_say(&repair.check, "sound: there is nothing to repair");
    } else {
        repair.out_bytes = repair.check.survey.bytes_highest;
        if (repair.out_bytes < JOURNAL_SEGMENT_BYTES_MIN)
            repair.out_bytes = JOURNAL_SEGMENT_BYTES_MIN;
        repair.out_bytes = (repair.out_bytes + 7) & ~UINT64_C(7);
        repair.out = journal_map(repair.out_bytes);
        bool good = repair.out != NULL && repair_run(&repair);
        if (!good) {
            trouble_errno(problem, directory, "write the repaired store", errno);
            verdict = JOURNAL_UNKNOWN;
        } else {
            check_say(&repair.check,
                      "repaired: %" PRIu64 " records are kept, at least %" PRIu64 " are lost",
                      repair.kept, repair.lost);
        }
        journal_unmap(repair.out, repair.out_bytes);
    }
    check_close(&repair.check);
    return verdict;
}
