/* The oldest segment is read, what survives of it added again, and its file used again. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "ha/store/disk.h"
#include "ha/store/journal_parts.h"
#include "ha/store/scan.h"
#include "ha/store/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define RECLAIM_RETRY_NS NS_PER_S
#define REMEDY_BYTES 384

/* What may be in use before something is reclaimed. */
static uint64_t bytes_allowed(const struct journal *journal, uint64_t live_bytes) {
    uint64_t allowed = 2 * live_bytes + journal->options.slack_bytes;
    uint64_t least = (JOURNAL_SPARES + 2) * journal->segment_bytes;
    return allowed > least ? allowed : least;
}

static bool reclaim_wanted(const struct journal *journal, uint64_t live_bytes) {
    if (journal->disk_bytes > bytes_allowed(journal, live_bytes))
        return true;
    /* Worth it as long as segments are not nearly full of what is alive. */
    uint64_t used = journal->disk_bytes - journal->spare_count * journal->segment_bytes;
    return journal->full && used / 8 * 7 > live_bytes + journal->segment_bytes;
}

static void room_return(struct journal *journal) {
    if (journal->reclaim.fd >= 0)
        disk_close(journal->reclaim.fd);
    journal->reclaim.fd = -1;
    /* The memory goes back to the system, the addresses stay. */
    (void)madvise(journal->room.at, journal->room.cap, MADV_DONTNEED);
}

static void kept_set(struct journal *journal, bool kept) {
    journal->reclaim.kept = kept;
    STAT_SET(journal, unreadable, kept);
}

void reclaim_stop(struct journal *journal) {
    room_return(journal);
    kept_set(journal, false);
    journal->reclaim.active = false;
}

static void kept_log(const struct journal *journal, const char *why, const char *remedy) {
    char name[STORE_NAME_BYTES], text[REMEDY_BYTES];
    store_name_write(name, FILE_SEGMENT, journal->reclaim.number);
    (void)snprintf(text, sizeof(text),
                   "%s; it is tried again, and until then neither this segment nor a newer one is "
                   "used again, so the directory grows: see that its file system has room",
                   remedy);
    log_event(LOG_ERROR, "store_segment_unreadable", LOG_STR("store", journal->options.directory),
              LOG_STR("segment", name), LOG_U64("offset", journal->reclaim.at),
              LOG_U64("record", journal->reclaim.sequence), LOG_STR("error", why),
              LOG_STR("remedy", text));
}

/* It stays as it is for a while, and with it all that are newer: without what is in between nobody
 * could tell at the next start whether they are whole. */
static void segment_keep(struct journal *journal, const char *why, const char *remedy) {
    uint64_t backoff_ns =
        journal->reclaim.kept ? journal->reclaim.backoff_ns * 2 : JOURNAL_REREAD_NS_MIN;
    if (!journal->reclaim.kept)
        kept_log(journal, why, remedy);
    room_return(journal);
    kept_set(journal, true);
    journal->reclaim.backoff_ns =
        backoff_ns < JOURNAL_REREAD_NS_MAX ? backoff_ns : JOURNAL_REREAD_NS_MAX;
    journal->reclaim.retry_ns = journal->now_ns + journal->reclaim.backoff_ns;
}

/* A record was read where that had failed. */
static void segment_recover(struct journal *journal) {
    char name[STORE_NAME_BYTES];
    store_name_write(name, FILE_SEGMENT, journal->reclaim.number);
    kept_set(journal, false);
    log_event(LOG_INFO, "store_segment_readable", LOG_STR("store", journal->options.directory),
              LOG_STR("segment", name), LOG_U64("record", journal->reclaim.sequence));
}

static void reclaim_begin(struct journal *journal) {
    const struct journal_segment *oldest = &journal->segments[0];
    journal->reclaim.active = true;
    journal->reclaim.number = oldest->number;
    journal->reclaim.at = SEGMENT_HEADER_BYTES;
    journal->reclaim.sequence = oldest->first;
    journal->reclaim.loaded = journal->reclaim.rests_on = journal->reclaim.retry_ns = 0;
}

/* Begins to read, or again where it was: what survived before that was added already. */
static bool reclaim_open(struct journal *journal) {
    char name[STORE_NAME_BYTES];
    store_name_write(name, FILE_SEGMENT, journal->reclaim.number);
    journal->reclaim.fd = disk_open(journal->folder, name, DISK_READ);
    journal->reclaim.loaded = journal->reclaim.at;
    return journal->reclaim.fd >= 0;
}

/* Reads on. If it cannot be read, or there is no more, it is kept. */
static void reclaim_load(struct journal *journal) {
    size_t got = 0;
    bool good = journal->reclaim.fd >= 0 || reclaim_open(journal);
    if (good) {
        uint64_t left = journal->segments[0].bytes - journal->reclaim.loaded;
        size_t step = left < JOURNAL_STEP_BYTES ? (size_t)left : JOURNAL_STEP_BYTES;
        good = disk_read(journal->reclaim.fd, journal->room.at + journal->reclaim.loaded, step,
                         journal->reclaim.loaded, &got);
    }
    journal->reclaim.loaded += got;
    if (!good)
        segment_keep(journal, trouble_reason(errno), trouble_remedy(errno));
    else if (got == 0)
        segment_keep(journal, "a record in it is damaged",
                     "stop the node and run `ringpost store repair` on the directory");
}

/* Looks at what was read; the owner is asked for so many bytes at most. False: it wants to be
 * called again after a commit. */
static bool reclaim_records(struct journal *journal, uint64_t limit, journal_survives *survives,
                            void *argument) {
    struct scan scan = {.bytes = span_of(journal->room.at, journal->reclaim.loaded),
                        .seed = journal->segments[0].seed,
                        .at = journal->reclaim.at,
                        .sequence = journal->reclaim.sequence};
    struct record_head head;
    struct span body;
    uint64_t most = scan.at + JOURNAL_STEP_BYTES;
    while (scan.sequence < limit && scan.at < most &&
           journal->pending.len < JOURNAL_UNSYNCED_MAX / 2 && scan_next(&scan, &head, &body)) {
        const struct journal_record record = {
            .kind = head.kind, .again = head.again, .sequence = head.sequence, .body = body};
        if (survives(argument, &record)) {
            head.sequence = journal->added + 1;
            head.again = true;
            if (!pending_add(journal, &head, &body, 1))
                return false;
            STAT_ADD(journal, copied_bytes, record_bytes(head.body_bytes));
        }
        /* Not only the copy: also what the owner's answer rests on, such as an acknowledgement. */
        journal->reclaim.rests_on = journal->added;
        journal->reclaim.at = scan.at;
        journal->reclaim.sequence = scan.sequence;
        if (journal->reclaim.kept)
            segment_recover(journal);
    }
    return scan.at < most && journal->pending.len < JOURNAL_UNSYNCED_MAX / 2;
}

/* Nothing in the segment is needed any more: it becomes a spare, or goes. */
static bool reclaim_finish(struct journal *journal, uint64_t live_bytes) {
    const struct journal_segment segment = journal->segments[0];
    char name[STORE_NAME_BYTES], spare[STORE_NAME_BYTES];
    /* The log ends with a segment, at all times. */
    if (!space_meta(journal, journal->segments[1].number, journal->synced))
        return false;
    store_name_write(name, FILE_SEGMENT, segment.number);
    store_name_write(spare, FILE_SPARE, segment.number);
    STAT_ADD(journal, reclaimed_bytes, segment.bytes);
    bool fits = !segment.worn && segment.bytes == journal->segment_bytes &&
                journal->spare_count < JOURNAL_SPARES_MAX;
    bool needed = journal->spare_count < JOURNAL_SPARES ||
                  journal->disk_bytes <= bytes_allowed(journal, live_bytes);
    reclaim_stop(journal);
    space_remove(journal, 0);
    /* The old name must not come back after the file has become another segment. */
    if (!fits || !needed || !disk_rename(journal->folder, name, spare)) {
        space_drop(journal, FILE_SEGMENT, segment.number);
    } else if (!disk_folder_sync(journal->folder)) {
        space_drop(journal, FILE_SPARE, segment.number);
    } else {
        journal->spares[journal->spare_count++] = segment.number;
    }
    space_count(journal);
    return true;
}

/* Spares beyond those that are needed go first. */
static bool surplus_drop(struct journal *journal, uint64_t live_bytes) {
    if (journal->spare_count <= JOURNAL_SPARES ||
        journal->disk_bytes <= bytes_allowed(journal, live_bytes))
        return false;
    space_drop(journal, FILE_SPARE, journal->spares[--journal->spare_count]);
    space_count(journal);
    return true;
}

bool reclaim_step(struct journal *journal, uint64_t live_bytes, journal_survives *survives,
                  void *argument) {
    if (surplus_drop(journal, live_bytes))
        return true;
    if (!journal->reclaim.active) {
        /* The last one stays, also while none is written. */
        if (journal->segment_count < 2 || !reclaim_wanted(journal, live_bytes))
            return false;
        reclaim_begin(journal);
        return true;
    }
    if (journal->now_ns < journal->reclaim.retry_ns)
        return false;
    journal->reclaim.retry_ns = 0;
    uint64_t limit = journal->segments[1].first;
    if (journal->reclaim.sequence < limit) {
        if (reclaim_records(journal, limit, survives, argument) &&
            journal->reclaim.sequence < limit)
            reclaim_load(journal);
        return journal->reclaim.retry_ns == 0;
    }
    if (journal->synced < journal->reclaim.rests_on) {
        journal->pending.wanted = true;
        return true;
    }
    if (!reclaim_finish(journal, live_bytes)) {
        log_event(LOG_WARN, "store_not_reclaimed", LOG_STR("store", journal->options.directory),
                  LOG_STR("doing", journal->doing), LOG_STR("error", trouble_reason(errno)),
                  LOG_STR("remedy", trouble_remedy(errno)));
        STAT_ADD(journal, failures, 1);
        journal->reclaim.retry_ns = journal->now_ns + RECLAIM_RETRY_NS;
        return false;
    }
    return true;
}
