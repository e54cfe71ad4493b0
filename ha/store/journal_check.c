/* What stands in a store, for people. */
#include "ha/store/journal_check.h"

#include "core/base/builder.h"
#include "ha/store/disk.h"
#include "ha/store/journal_check_parts.h"
#include "ha/store/journal_parts.h"
#include "ha/store/store_key.h"
#include "ha/store/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define KINDS 256

void check_say(const struct check *check, const char *format, ...) {
    char line[sizeof(struct journal_problem)];
    va_list words;
    va_start(words, format);
    (void)vsnprintf(line, sizeof(line), format, words);
    va_end(words);
    check->say(check->argument, line);
}

bool check_open(struct check *check, const char *directory, bool writes,
                struct journal_problem *problem) {
    problem->text[0] = '\0';
    check->lock = -1;
    check->folder = disk_folder(directory, false);
    if (check->folder < 0) {
        if (errno == ENOENT)
            trouble_set(problem, "there is no directory %.*s", TROUBLE_PATH_MAX, directory);
        else
            trouble_errno(problem, directory, "open the directory", errno);
        return false;
    }
    if (!store_lock(directory, check->folder, writes, &check->lock, problem)) {
        disk_close(check->folder);
        return false;
    }
    if (!survey_open(&check->survey, directory, check->folder, problem)) {
        check_close(check);
        return false;
    }
    bool good = check->survey.meta_there || check->survey.count != 0;
    if (!good)
        trouble_set(problem, "%.*s holds no store; give the directory of a node's store",
                    TROUBLE_PATH_MAX, directory);
    for (unsigned i = 0; good && i < check->survey.count; i++)
        if (check->survey.segments[i].state == SURVEY_VERSION)
            good = survey_sound(&check->survey, i, problem);
    if (good && check->survey.meta_form == FORM_VERSION)
        good = survey_meta_sound(&check->survey, problem);
    check->room_bytes = check->survey.bytes_highest + SEGMENT_HEADER_BYTES;
    check->room = good ? journal_map(check->room_bytes) : NULL;
    if (good && check->room == NULL)
        trouble_set(problem, "%.*s: no memory to read the store", TROUBLE_PATH_MAX, directory);
    if (check->room == NULL) {
        survey_free(&check->survey);
        check_close(check);
    }
    return check->room != NULL;
}

void check_close(struct check *check) {
    if (check->room != NULL)
        journal_unmap(check->room, check->room_bytes);
    if (check->survey.segments != NULL)
        survey_free(&check->survey);
    if (check->lock >= 0)
        disk_close(check->lock);
    disk_close(check->folder);
}

struct kinds {
    uint64_t count[KINDS];
};

static bool on_record(void *argument, const struct journal_record *record) {
    struct kinds *kinds = argument;
    kinds->count[record->kind]++;
    return true;
}

static void records_say(const struct check *check, const struct survey_segment *segment,
                        const struct replay *replay, const struct kinds *kinds) {
    char text[512];
    struct builder out = builder_over(text, sizeof(text) - 1);
    builder_format(&out, "%016" PRIx64 ".segment: ", segment->number);
    if (replay->records == 0)
        builder_text(&out, "no records");
    else
        builder_format(&out, "records %" PRIu64 " to %" PRIu64, segment->header.first,
                       replay->next - 1);
    for (unsigned kind = 0; kind < KINDS; kind++)
        if (kinds->count[kind] != 0)
            builder_format(&out, ", %" PRIu64 " of kind %u", kinds->count[kind], kind);
    builder_format(&out, "; %" PRIu64 " of %" PRIu64 " bytes", replay->end, segment->file_bytes);
    text[out.len] = '\0';
    check_say(check, "%s", text);
}

/* Reads and reports one segment. False: it is damaged. */
static bool segment_check(struct check *check, unsigned at, struct replay *replay) {
    const struct survey *survey = &check->survey;
    struct survey_segment *segment = &check->survey.segments[at];
    unsigned next = survey_next(survey, at + 1);
    bool last = next == survey->count;
    struct span bytes = SPAN("");
    struct kinds kinds = {.count = {0}};
    struct journal_problem problem;
    int error = segment->state == SURVEY_GOOD ? survey_read(survey, at, check->room, &bytes) : 0;
    if (error != 0) {
        segment->state = SURVEY_UNREADABLE;
        segment->error = error;
    }
    if (!survey_sound(survey, at, &problem)) {
        check_say(check, "DAMAGED: %s", problem.text);
        return false;
    }
    /* Where the next one begins is not known if that is damaged. */
    bool unknown = !last && survey->segments[next].state != SURVEY_GOOD;
    uint64_t synced = replay->synced;
    replay->limit = last || unknown ? UINT64_MAX : survey->segments[next].header.first;
    replay->synced = unknown ? 0 : synced;
    enum replay_end end = replay_segment(bytes, &segment->header, replay, on_record, &kinds);
    if (replay->synced < synced)
        replay->synced = synced;
    records_say(check, segment, replay, &kinds);
    check->records += replay->records;
    if (end == REPLAY_DAMAGED) {
        replay_problem(survey, at, replay, &problem);
        check_say(check, "DAMAGED: %s", problem.text);
        return false;
    }
    if (end == REPLAY_TORN)
        check_say(check,
                  "torn at byte %" PRIu64 ", %" PRIu64 " bytes with %" PRIu64
                  " records or more: the end of the log, which nobody was told is safe; the next "
                  "start cuts it off",
                  replay->end, replay->later_end - replay->end, replay->later_records);
    return true;
}

bool check_all(struct check *check) {
    const struct survey *survey = &check->survey;
    struct journal_problem problem;
    bool sound = true;
    if (!survey_meta_sound(survey, &problem)) {
        check_say(check, "DAMAGED: %s", problem.text);
        sound = false;
    }
    struct replay replay = {.next = survey->meta.synced + 1, .synced = survey->meta.synced};
    check->records = 0;
    if (survey->strange[0] != '\0')
        check_say(check, "%s: left alone, ringpost makes no file of such a number; remove it",
                  survey->strange);
    for (unsigned at = 0; at < survey->count; at++)
        if (survey->segments[at].state == SURVEY_VOID)
            check_say(check, "%016" PRIx64 ".segment: void, the next start removes it",
                      survey->segments[at].number);
        else if (!segment_check(check, at, &replay))
            sound = false;
    return sound;
}

/* False: a start would refuse it. */
static bool key_check(const struct check *check) {
    uint8_t key[HASH_KEY_BYTES];
    int found = store_key_read(check->folder, key);
    if (found < 0)
        check_say(check,
                  "DAMAGED: " STORE_KEY " (%s): put it back from a copy; or remove it, then the "
                  "node starts, but " STORE_KEY_LOST,
                  errno == EBADMSG ? "not the bytes of a key" : trouble_reason(errno));
    else if (found == 0 && check->records != 0)
        check_say(check, STORE_KEY " is missing: put it back from a copy; else the next start "
                                   "makes another, and " STORE_KEY_LOST);
    return found >= 0;
}

enum journal_verdict journal_check(const char *directory, journal_say *say, void *argument,
                                   struct journal_problem *problem) {
    struct check check = {.say = say, .argument = argument};
    if (!check_open(&check, directory, false, problem))
        return JOURNAL_UNKNOWN;
    bool sound = check_all(&check);
    sound = key_check(&check) && sound;
    check_say(&check, "%s: %" PRIu64 " records can be read", sound ? "sound" : "damaged",
              check.records);
    check_close(&check);
    return sound ? JOURNAL_SOUND : JOURNAL_DAMAGED;
}
