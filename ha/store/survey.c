/* What stands in a directory of segments. */
#include "ha/store/survey.h"

#include "ha/store/disk.h"
#include "ha/store/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SEGMENTS_BYTES (JOURNAL_SEGMENTS_MAX * sizeof(struct survey_segment))
#define ADVICE                                                                                     \
    "look with `ringpost store check %.*s`, and save what is whole with `ringpost store repair "   \
    "%.*s`"
#define ADVICE_ARGS(survey)                                                                        \
    TROUBLE_PATH_MAX / 2, (survey)->directory, TROUBLE_PATH_MAX / 2, (survey)->directory

static bool on_name(void *argument, const char *name) {
    struct survey *survey = argument;
    uint64_t number;
    enum store_file file = store_name_read(name, &number);
    if (file == FILE_STRANGE)
        snprintf(survey->strange, sizeof(survey->strange), "%s", name);
    if (file == FILE_OTHER || file == FILE_STRANGE)
        return true;
    if (number > survey->number_highest)
        survey->number_highest = number;
    if (file == FILE_SEGMENT) {
        if (survey->count < JOURNAL_SEGMENTS_MAX)
            survey->segments[survey->count] = (struct survey_segment){.number = number};
        survey->count++;
    }
    return true;
}

static int by_number(const void *a, const void *b) {
    const struct survey_segment *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static bool meta_look(struct survey *survey, struct journal_problem *problem) {
    char slots[META_SLOTS * SEGMENT_HEADER_BYTES];
    size_t got;
    int fd = disk_open(survey->folder, STORE_META, DISK_READ);
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 || !disk_read(fd, slots, sizeof(slots), 0, &got)) {
        trouble_errno(problem, survey->directory, "read " STORE_META, errno);
        if (fd >= 0)
            disk_close(fd);
        return false;
    }
    disk_close(fd);
    survey->meta_there = true;
    survey->meta_form = FORM_NONE;
    for (size_t at = 0; at < sizeof(slots); at += SEGMENT_HEADER_BYTES) {
        struct store_meta meta;
        enum store_form form =
            meta_read(span_of(slots + at, at < got ? got - at : 0), &meta, &survey->meta_version);
        if (form == FORM_VERSION)
            survey->meta_form = FORM_VERSION;
        if (form != FORM_GOOD || survey->meta_form == FORM_VERSION)
            continue;
        if (survey->meta_form != FORM_GOOD || meta.generation > survey->meta.generation)
            survey->meta = meta;
        survey->meta_form = FORM_GOOD;
    }
    return true;
}

static enum survey_state header_look(const struct survey *survey, struct survey_segment *segment,
                                     struct span bytes) {
    const struct segment_header *header = &segment->header;
    enum store_form form = segment_header_read(bytes, &segment->header, &segment->version);
    if (form != FORM_GOOD)
        return form == FORM_VERSION ? SURVEY_VERSION : SURVEY_DAMAGED;
    if (survey->meta_form == FORM_GOOD) {
        if (memcmp(&header->identity, &survey->meta.identity, sizeof(header->identity)) != 0)
            return SURVEY_FOREIGN;
        if (header->epoch != survey->meta.epoch)
            return SURVEY_VOID;
    }
    if (header->number != segment->number)
        return SURVEY_MISPLACED;
    return header->bytes == segment->file_bytes ? SURVEY_GOOD : SURVEY_LENGTH;
}

static enum survey_state segment_look(const struct survey *survey, struct survey_segment *segment) {
    char name[STORE_NAME_BYTES], start[SEGMENT_HEADER_BYTES];
    size_t got = 0;
    bool named;
    if (survey->meta_form == FORM_GOOD && segment->number < survey->meta.oldest)
        return SURVEY_VOID;
    store_name_write(name, FILE_SEGMENT, segment->number);
    int fd = disk_open(survey->folder, name, DISK_READ);
    if (fd < 0 || !disk_about(fd, &segment->file_bytes, &named) ||
        !disk_read(fd, start, sizeof(start), 0, &got)) {
        segment->error = errno;
        if (fd >= 0)
            disk_close(fd);
        return SURVEY_UNREADABLE;
    }
    disk_close(fd);
    if (segment->file_bytes > SEGMENT_BYTES_MAX)
        return SURVEY_LENGTH;
    return header_look(survey, segment, span_of(start, got));
}

bool survey_open(struct survey *survey, const char *directory, int folder,
                 struct journal_problem *problem) {
    *survey = (struct survey){.directory = directory, .folder = folder, .meta_form = FORM_NONE};
    survey->segments = mmap(NULL, SEGMENTS_BYTES, PROT_READ | PROT_WRITE,
                            MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    if (survey->segments == MAP_FAILED) {
        trouble_set(problem, "%.*s: no memory to read the store", TROUBLE_PATH_MAX, directory);
        return false;
    }
    bool good = meta_look(survey, problem);
    if (good && !disk_list(folder, on_name, survey)) {
        trouble_errno(problem, directory, "list its files", errno);
        good = false;
    }
    if (good && survey->count > JOURNAL_SEGMENTS_MAX) {
        trouble_set(problem, "%.*s holds %u segments; at most %d can be read; " ADVICE,
                    TROUBLE_PATH_MAX, directory, survey->count, JOURNAL_SEGMENTS_MAX,
                    ADVICE_ARGS(survey));
        good = false;
    }
    if (!good) {
        survey_free(survey);
        return false;
    }
    qsort(survey->segments, survey->count, sizeof(survey->segments[0]), by_number);
    uint64_t first = 0;
    for (unsigned i = 0; i < survey->count; i++) {
        struct survey_segment *segment = &survey->segments[i];
        segment->state = segment_look(survey, segment);
        if (segment->state == SURVEY_GOOD && segment->header.first < first)
            segment->state = SURVEY_DISORDER;
        if (segment->state == SURVEY_GOOD)
            first = segment->header.first;
        if (segment->file_bytes > survey->bytes_highest && segment->file_bytes <= SEGMENT_BYTES_MAX)
            survey->bytes_highest = segment->file_bytes;
    }
    return true;
}

void survey_free(struct survey *survey) {
    munmap(survey->segments, SEGMENTS_BYTES);
    survey->segments = NULL;
}

unsigned survey_next(const struct survey *survey, unsigned at) {
    while (at < survey->count && survey->segments[at].state == SURVEY_VOID)
        at++;
    return at;
}

static void version_problem(const struct survey *survey, const char *name, uint32_t version,
                            struct journal_problem *problem) {
    trouble_set(problem,
                "%.*s/%s has version %" PRIu32 " of the store's format, and this ringpost reads "
                "version %d: start the ringpost that wrote it, or give another directory",
                TROUBLE_PATH_MAX, survey->directory, name, version, STORE_VERSION);
}

bool survey_meta_sound(const struct survey *survey, struct journal_problem *problem) {
    unsigned first = survey_next(survey, 0);
    if (!survey->meta_there && survey->count == 0)
        return true;
    if (!survey->meta_there) {
        trouble_set(problem, "%.*s holds segments, but no " STORE_META "; " ADVICE,
                    TROUBLE_PATH_MAX, survey->directory, ADVICE_ARGS(survey));
        return false;
    }
    if (survey->meta_form == FORM_VERSION) {
        version_problem(survey, STORE_META, survey->meta_version, problem);
        return false;
    }
    if (survey->meta_form != FORM_GOOD) {
        trouble_set(problem, "%.*s/" STORE_META " is damaged; " ADVICE, TROUBLE_PATH_MAX,
                    survey->directory, ADVICE_ARGS(survey));
        return false;
    }
    if (survey->meta.oldest == 0 ||
        (first < survey->count && survey->segments[first].number == survey->meta.oldest))
        return true;
    trouble_set(problem, "%.*s/%016" PRIx64 ".segment is missing: records are lost; " ADVICE,
                TROUBLE_PATH_MAX, survey->directory, survey->meta.oldest, ADVICE_ARGS(survey));
    return false;
}

bool survey_sound(const struct survey *survey, unsigned at, struct journal_problem *problem) {
    const struct survey_segment *segment = &survey->segments[at];
    char name[STORE_NAME_BYTES], path[TROUBLE_PATH_MAX + STORE_NAME_BYTES + 2];
    store_name_write(name, FILE_SEGMENT, segment->number);
    (void)snprintf(path, sizeof(path), "%.*s/%s", TROUBLE_PATH_MAX, survey->directory, name);
    switch (segment->state) {
    case SURVEY_GOOD:
    case SURVEY_VOID:
        return true;
    case SURVEY_DAMAGED:
        trouble_set(problem, "%s is damaged at byte 0: it has no valid header; " ADVICE, path,
                    ADVICE_ARGS(survey));
        break;
    case SURVEY_VERSION:
        version_problem(survey, name, segment->version, problem);
        break;
    case SURVEY_FOREIGN:
        trouble_set(problem,
                    "%s belongs to another node's store: put it back there; or, if it stands here "
                    "in place of a segment of this store, " ADVICE,
                    path, ADVICE_ARGS(survey));
        break;
    case SURVEY_MISPLACED:
        trouble_set(problem,
                    "%s is segment %016" PRIx64 " by its header: give it back its name; or " ADVICE,
                    path, segment->header.number, ADVICE_ARGS(survey));
        break;
    case SURVEY_DISORDER:
        trouble_set(problem,
                    "%s begins with record %" PRIu64 ", before that of an older segment; " ADVICE,
                    path, segment->header.first, ADVICE_ARGS(survey));
        break;
    case SURVEY_LENGTH:
        trouble_set(problem,
                    "%s is damaged at byte %" PRIu64
                    ": the file has that length, and was made with "
                    "%" PRIu64 "; " ADVICE,
                    path, segment->file_bytes, segment->header.bytes, ADVICE_ARGS(survey));
        break;
    case SURVEY_UNREADABLE:
        trouble_set(problem, "%s cannot be read: %s; %s", path, trouble_reason(segment->error),
                    trouble_remedy(segment->error));
        break;
    }
    return false;
}

int survey_read(const struct survey *survey, unsigned at, char *room, struct span *bytes) {
    char name[STORE_NAME_BYTES];
    store_name_write(name, FILE_SEGMENT, survey->segments[at].number);
    int fd = disk_open(survey->folder, name, DISK_READ);
    if (fd < 0)
        return errno;
    size_t got;
    int error = disk_read(fd, room, (size_t)survey->segments[at].file_bytes, 0, &got) ? 0 : errno;
    disk_close(fd);
    *bytes = span_of(room, got);
    return error;
}
