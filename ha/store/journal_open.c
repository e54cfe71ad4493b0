/* The start: whose directory it is, what stands in it, and what goes on from there. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "ha/store/disk.h"
#include "ha/store/journal_parts.h"
#include "ha/store/store_lock.h"
#include "ha/store/survey.h"
#include "ha/store/trouble.h"

#include <errno.h>
#include <inttypes.h>

#define SEGMENTS_BYTES (JOURNAL_SEGMENTS_MAX * sizeof(struct journal_segment))

static uint64_t segment_bytes_for(uint64_t wanted, uint64_t record_max) {
    uint64_t bytes = SEGMENT_HEADER_BYTES + RECORDS_MIN * record_bytes(record_max);
    if (wanted == 0)
        wanted = JOURNAL_SEGMENT_BYTES;
    if (wanted < JOURNAL_SEGMENT_BYTES_MIN)
        wanted = JOURNAL_SEGMENT_BYTES_MIN;
    if (bytes < wanted)
        bytes = wanted;
    return (bytes + SEGMENT_HEADER_BYTES - 1) / SEGMENT_HEADER_BYTES * SEGMENT_HEADER_BYTES;
}

/* --- store.meta ------------------------------------------------------------------------------ */

static bool meta_make(struct journal *journal) {
    const char empty[SEGMENT_HEADER_BYTES * META_SLOTS] = {0};
    rand_fill(&journal->meta.identity, sizeof(journal->meta.identity));
    journal->meta_file = disk_open(journal->folder, STORE_META_NEW, DISK_MAKE);
    return journal->meta_file >= 0 && disk_write(journal->meta_file, empty, sizeof(empty), 0) &&
           space_meta(journal, 0, 0) && disk_rename(journal->folder, STORE_META_NEW, STORE_META) &&
           disk_folder_sync(journal->folder);
}

static bool meta_open(struct journal *journal, const struct survey *survey,
                      struct journal_problem *problem) {
    if (!survey_meta_sound(survey, problem))
        return false;
    if (!survey->meta_there) {
        if (meta_make(journal))
            return true;
        trouble_errno(problem, survey->directory, "make " STORE_META, errno);
        return false;
    }
    journal->meta = survey->meta;
    journal->meta_file = disk_open(journal->folder, STORE_META, DISK_WRITE);
    if (journal->meta_file >= 0)
        return true;
    trouble_errno(problem, survey->directory, "open " STORE_META, errno);
    return false;
}

/* --- records --------------------------------------------------------------------------------- */

struct opening {
    struct survey *survey;
    struct replay replay;
    /* Of the last segment: */
    struct span unclaimed; /* records that nothing says were synced */
    uint64_t cut_bytes, cut_records;
};

/* Takes note of how the log ends. */
static void end_note(struct opening *opening, struct span bytes,
                     const struct segment_header *header) {
    const struct replay *replay = &opening->replay;
    uint64_t from = replay_find(bytes, header, replay->synced + 1);
    opening->unclaimed = span_of(bytes.at + from, replay->end - from);
    opening->cut_bytes = replay->later_end - replay->end;
    opening->cut_records = replay->later_records;
}

/* The records of all segments but the last, as the headers say, which may be wrong. */
static uint64_t records_coming(const struct survey *survey) {
    uint64_t most = 0, first = 0, last = 0;
    for (unsigned at = survey_next(survey, 0); at < survey->count;
         at = survey_next(survey, at + 1)) {
        last = survey->segments[at].header.first;
        if (most == 0)
            first = last;
        most += survey->segments[at].header.bytes / RECORD_HEAD_BYTES;
    }
    return last > first && last - first < most ? last - first : 0;
}

static bool segments_replay(struct journal *journal, struct opening *opening, journal_visit *visit,
                            void *argument, struct journal_problem *problem) {
    struct survey *survey = opening->survey;
    struct replay *replay = &opening->replay;
    journal->coming = records_coming(survey);
    replay->next = journal->meta.synced + 1;
    replay->synced = journal->meta.synced;
    for (unsigned at = survey_next(survey, 0), next; at < survey->count; at = next) {
        const struct segment_header *header = &survey->segments[at].header;
        struct span bytes;
        next = survey_next(survey, at + 1);
        replay->limit = next < survey->count ? survey->segments[next].header.first : UINT64_MAX;
        int error = survey_read(survey, at, journal->room.at, &bytes);
        if (error != 0) {
            survey->segments[at].state = SURVEY_UNREADABLE;
            survey->segments[at].error = error;
            return survey_sound(survey, at, problem);
        }
        enum replay_end end = replay_segment(bytes, header, replay, visit, argument);
        if (end == REPLAY_DAMAGED)
            replay_problem(survey, at, replay, problem);
        if (end == REPLAY_DAMAGED || end == REPLAY_STOPPED)
            return false;
        if (next == survey->count)
            end_note(opening, bytes, header);
        journal->segments[journal->segment_count++] =
            (struct journal_segment){.number = survey->segments[at].number,
                                     .first = header->first,
                                     .bytes = header->bytes,
                                     .seed = header->checksum};
    }
    return true;
}

/* Memory and sizes for what was found and what is to come; takes what is to be written anew. */
static bool memory_fit(struct journal *journal, const struct opening *opening) {
    const struct span unclaimed = opening->unclaimed;
    uint64_t record_max = journal->options.record_max;
    if (opening->replay.body_bytes_max > record_max)
        record_max = opening->replay.body_bytes_max; /* it may have to be copied */
    journal->segment_bytes = segment_bytes_for(journal->options.segment_bytes, record_max);
    /* What is written anew must be in the new segment before that one counts. */
    if (journal->segment_bytes < SEGMENT_HEADER_BYTES + unclaimed.len)
        journal->segment_bytes =
            segment_bytes_for(SEGMENT_HEADER_BYTES + unclaimed.len, record_max);
    journal->pending.cap = JOURNAL_UNSYNCED_MAX + record_bytes(record_max);
    if (journal->pending.cap < unclaimed.len)
        journal->pending.cap = unclaimed.len;
    journal->pending.at = journal_map(journal->pending.cap);
    if (journal->pending.at == NULL)
        return false;
    if (unclaimed.len != 0)
        memcpy(journal->pending.at, unclaimed.at, unclaimed.len);
    journal->pending.len = unclaimed.len;
    journal_unmap(journal->room.at, journal->room.cap);
    if (journal->room.cap < journal->segment_bytes)
        journal->room.cap = journal->segment_bytes;
    journal->room.at = journal_map(journal->room.cap);
    return journal->room.at != NULL;
}

/* --- files ----------------------------------------------------------------------------------- */

/* Of the store's files those that are no segments: spares of the right size are taken over. */
static bool file_sort(void *argument, const char *name) {
    struct journal *journal = argument;
    uint64_t number, bytes = 0;
    bool named;
    enum store_file file = store_name_read(name, &number);
    if (file != FILE_SPARE && file != FILE_NEW)
        return true;
    int fd = file == FILE_SPARE && journal->spare_count < JOURNAL_SPARES_MAX
                 ? disk_open(journal->folder, name, DISK_READ)
                 : -1;
    if (fd >= 0) {
        if (!disk_about(fd, &bytes, &named))
            bytes = 0;
        disk_close(fd);
    }
    if (bytes == journal->segment_bytes)
        journal->spares[journal->spare_count++] = number;
    else
        space_drop(journal, file, number);
    return true;
}

static bool files_sort(struct journal *journal, const struct survey *survey,
                       struct journal_problem *problem) {
    for (unsigned i = 0; i < survey->count; i++)
        if (survey->segments[i].state == SURVEY_VOID)
            space_drop(journal, FILE_SEGMENT, survey->segments[i].number);
    if (!disk_list(journal->folder, file_sort, journal)) {
        trouble_errno(problem, survey->directory, "list its files", errno);
        return false;
    }
    while (journal->spare_count == 0)
        if (!space_make(journal)) {
            /* What is there may make room. */
            if (journal->segment_count != 0)
                break;
            trouble_errno(problem, survey->directory, "make a segment", errno);
            return false;
        }
    return true;
}

/* --- opening and closing --------------------------------------------------------------------- */

static bool replay_all(struct journal *journal, struct survey *survey, journal_visit *visit,
                       void *argument, struct journal_problem *problem) {
    struct opening opening = {.survey = survey};
    for (unsigned i = 0; i < survey->count; i++)
        if (!survey_sound(survey, i, problem))
            return false;
    journal->number_next = survey->number_highest + 1;
    journal->room.cap = survey->bytes_highest;
    if (journal->room.cap != 0)
        journal->room.at = journal_map(journal->room.cap);
    journal->segments = journal_map(SEGMENTS_BYTES);
    bool memory = journal->segments != NULL && (journal->room.cap == 0 || journal->room.at != NULL);
    if (memory && !segments_replay(journal, &opening, visit, argument, problem))
        return false;
    if (!memory || !memory_fit(journal, &opening)) {
        trouble_set(problem, "%.*s: no memory for the store", TROUBLE_PATH_MAX, survey->directory);
        return false;
    }
    journal->added = opening.replay.next - 1;
    journal->synced = journal->written = journal->safe = opening.replay.synced;
    if (opening.cut_bytes != 0) {
        STAT_SET(journal, cut_bytes, opening.cut_bytes);
        STAT_SET(journal, cut_records, opening.cut_records);
        log_event(LOG_WARN, "store_cut", LOG_STR("store", survey->directory),
                  LOG_U64("bytes", opening.cut_bytes), LOG_U64("records", opening.cut_records),
                  LOG_U64("last_record", journal->added),
                  LOG_STR("remedy", "none where the power was cut, or the node killed, while these "
                                    "were written: nobody had been told that they are safe; "
                                    "else look at the disk (dmesg, smartctl)"));
    }
    return files_sort(journal, survey, problem);
}

static bool directory_open(struct journal *journal, journal_visit *visit, void *argument,
                           struct journal_problem *problem) {
    struct survey survey;
    if (!survey_open(&survey, journal->options.directory, journal->folder, problem))
        return false;
    if (survey.strange[0] != '\0')
        log_event(LOG_WARN, "store_file_strange", LOG_STR("store", survey.directory),
                  LOG_STR("file", survey.strange),
                  LOG_STR("meaning", "ringpost makes no file of such a number; it is left alone"),
                  LOG_STR("remedy", "remove it"));
    bool good = meta_open(journal, &survey, problem) &&
                replay_all(journal, &survey, visit, argument, problem);
    survey_free(&survey);
    return good;
}

void journal_free(struct journal *journal) {
    reclaim_stop(journal);
    space_end(journal, false);
    const int files[] = {journal->making.fd, journal->meta_file, journal->lock, journal->folder};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (files[i] >= 0)
            disk_close(files[i]);
    journal_unmap(journal->pending.at, journal->pending.cap);
    journal_unmap(journal->room.at, journal->room.cap);
    journal_unmap(journal->segments, SEGMENTS_BYTES);
}

bool journal_open(struct journal *journal, const struct journal_options *options,
                  journal_visit *visit, void *argument, struct journal_problem *problem) {
    *journal = (struct journal){.options = *options,
                                .now_ns = clock_ns(),
                                .folder = -1,
                                .lock = -1,
                                .meta_file = -1,
                                .current.fd = -1,
                                .making.fd = -1,
                                .reclaim.fd = -1};
    problem->text[0] = '\0';
    journal->segment_bytes = segment_bytes_for(options->segment_bytes, options->record_max);
    journal->folder = disk_folder(options->directory, true);
    if (journal->folder < 0)
        trouble_errno(problem, options->directory, "open the directory", errno);
    if (journal->folder < 0 ||
        !store_lock(options->directory, journal->folder, true, &journal->lock, problem) ||
        !directory_open(journal, visit, argument, problem)) {
        journal_free(journal);
        return false;
    }
    space_count(journal);
    /* What may not be on the disk although it can be read is written anew, before anything is built
     * on it. */
    (void)journal_commit(journal, clock_ns());
    return true;
}

void journal_close(struct journal *journal) {
    journal->pending.wanted = true;
    if (!journal->failing && journal_commit(journal, clock_ns()) && journal->meta.oldest != 0 &&
        journal->meta.synced != journal->synced)
        (void)space_meta(journal, journal->meta.oldest, journal->synced);
    journal_free(journal);
}
