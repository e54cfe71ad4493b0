/* What stands in a segment, and whether what is bad in it is a torn end or damage. */
#include "ha/store/scan.h"
#include "ha/store/survey.h"
#include "ha/store/trouble.h"

#include <inttypes.h>
#include <stdio.h>

/* Looks behind the last good record for what was written there. */
static enum replay_end end_look(const struct scan *scan, struct replay *replay) {
    struct scan later = *scan;
    struct record_head head;
    struct span body;
    uint64_t offset;
    struct span rest = scan->at < scan->bytes.len ? span_skip(scan->bytes, scan->at) : SPAN("");
    if (record_head_read(rest, &head) && head.sequence == scan->sequence) {
        replay->later_end = scan->at + record_bytes(head.body_bytes);
        replay->later_records = 1;
    }
    while (scan_later(&later, replay->limit, &head, &body, &offset)) {
        if (replay->later == 0) {
            replay->later = head.sequence;
            replay->later_at = offset;
        }
        replay->later_records++;
        if (later.at > replay->later_end)
            replay->later_end = later.at;
    }
    if (replay->limit != UINT64_MAX)
        return REPLAY_DAMAGED;
    if (later.synced > replay->synced)
        replay->synced = later.synced;
    if (replay->synced >= replay->next)
        return REPLAY_DAMAGED;
    return replay->later_records != 0 ? REPLAY_TORN : REPLAY_WHOLE;
}

enum replay_end replay_segment(struct span bytes, const struct segment_header *header,
                               struct replay *replay, journal_visit *visit, void *argument) {
    struct scan scan = scan_begin(bytes, header);
    struct record_head head;
    struct span body;
    replay->records = replay->later_records = replay->later = replay->later_at = 0;
    bool stopped = false;
    while (!stopped && scan.sequence < replay->limit && scan_next(&scan, &head, &body)) {
        const struct journal_record record = {
            .kind = head.kind, .again = head.again, .sequence = head.sequence, .body = body};
        replay->records++;
        if (head.body_bytes > replay->body_bytes_max)
            replay->body_bytes_max = head.body_bytes;
        stopped = visit != NULL && !visit(argument, &record);
    }
    replay->next = scan.sequence;
    replay->end = replay->later_end = scan.at;
    if (scan.synced > replay->synced)
        replay->synced = scan.synced;
    if (stopped)
        return REPLAY_STOPPED;
    return scan.sequence == replay->limit ? REPLAY_WHOLE : end_look(&scan, replay);
}

void replay_problem(const struct survey *survey, unsigned at, const struct replay *replay,
                    struct journal_problem *problem) {
    char name[STORE_NAME_BYTES], later[80] = "";
    store_name_write(name, FILE_SEGMENT, survey->segments[at].number);
    if (replay->later != 0)
        (void)snprintf(later, sizeof(later), ", and record %" PRIu64 " is whole at byte %" PRIu64,
                       replay->later, replay->later_at);
    uint64_t last = replay->limit != UINT64_MAX ? replay->limit - 1 : replay->synced;
    trouble_set(problem,
                "%.*s/%s is damaged at byte %" PRIu64 ": record %" PRIu64 " is missing there, "
                "although all up to %" PRIu64 " had been synced%s; look with `ringpost store check "
                "%.*s`, and save what is whole with `ringpost store repair %.*s`",
                TROUBLE_PATH_MAX, survey->directory, name, replay->end, replay->next, last, later,
                TROUBLE_PATH_MAX / 2, survey->directory, TROUBLE_PATH_MAX / 2, survey->directory);
}

uint64_t replay_find(struct span bytes, const struct segment_header *header, uint64_t sequence) {
    struct scan scan = scan_begin(bytes, header);
    struct record_head head;
    struct span body;
    while (scan.sequence < sequence && scan_next(&scan, &head, &body))
        ;
    return scan.at;
}
