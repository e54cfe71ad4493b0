/* What is added, written and synced, and what happens when that fails. */
#include "ha/store/journal.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "ha/store/disk.h"
#include "ha/store/journal_parts.h"
#include "ha/store/trouble.h"

#include <errno.h>
#include <sys/mman.h>

void *journal_map(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    return at != MAP_FAILED ? at : NULL;
}

void journal_unmap(void *at, size_t bytes) {
    if (at != NULL)
        munmap(at, bytes);
}

/* --- adding ---------------------------------------------------------------------------------- */

bool pending_add(struct journal *journal, const struct record_head *head, const struct span *parts,
                 unsigned count) {
    uint64_t bytes = record_bytes(head->body_bytes);
    if (bytes > journal->pending.cap - journal->pending.len)
        return false;
    char *at = journal->pending.at + journal->pending.len;
    record_head_write(head, at);
    char *end = at + RECORD_HEAD_BYTES;
    for (unsigned i = 0; i < count; i++) {
        if (parts[i].len != 0)
            memcpy(end, parts[i].at, parts[i].len);
        end += parts[i].len;
    }
    memset(end, 0, (size_t)(at + bytes - end));
    journal->pending.len += bytes;
    journal->added = head->sequence;
    return true;
}

bool journal_add(struct journal *journal, uint8_t kind, const struct span *parts, unsigned count) {
    size_t body_bytes = 0;
    for (unsigned i = 0; i < count; i++)
        body_bytes += parts[i].len;
    CHECK(body_bytes <= journal->options.record_max);
    const struct record_head head = {
        .sequence = journal->added + 1, .kind = kind, .body_bytes = (uint32_t)body_bytes};
    return pending_add(journal, &head, parts, count);
}

/* What is left for new records where no spare can be made. Spares are for what ends others and for
 * copies: a segment of which everything is alive needs one, and what comes meanwhile another. */
static uint64_t space_left(const struct journal *journal) {
    uint64_t unwritten = journal->pending.len - journal->pending.written, left = 0;
    if (journal->spare_count < JOURNAL_SPARES)
        return 0;
    if (journal->current.fd >= 0)
        left = journal->segments[journal->segment_count - 1].bytes - journal->current.end;
    /* At the end of each segment a record may not have fitted. */
    left += (journal->spare_count - JOURNAL_SPARES) *
            (journal->segment_bytes / RECORDS_MIN * (RECORDS_MIN - 1) - SEGMENT_HEADER_BYTES);
    return left > unwritten ? left - unwritten : 0;
}

bool journal_room(const struct journal *journal, uint64_t bytes, uint64_t live_bytes) {
    /* One that is larger than all of it may come alone. */
    if (journal->failing ||
        (journal->pending.len != 0 && journal->pending.len + bytes > JOURNAL_UNSYNCED_MAX))
        return false;
    return !journal->full ||
           (space_left(journal) >= bytes && journal->disk_bytes / 4 * 3 >= live_bytes + bytes);
}

/* --- writing and syncing --------------------------------------------------------------------- */

static void safe_set(struct journal *journal) {
    uint64_t safe =
        journal->options.sync == JOURNAL_SYNC_ALWAYS ? journal->synced : journal->written;
    if (safe > journal->safe)
        journal->safe = safe;
}

bool pending_sync(struct journal *journal) {
    uint64_t bytes, took_ns = clock_ns();
    bool named;
    journal->doing = "sync a segment";
    if (journal->pending.written == 0)
        return true;
    /* What has no name any more would be gone with the process. */
    if (!disk_about(journal->current.fd, &bytes, &named))
        return false;
    if (!named) {
        errno = ESTALE;
        return false;
    }
    if (!disk_sync(journal->current.fd))
        return false;
    pending_synced(journal, clock_ns() - took_ns);
    return true;
}

void pending_synced(struct journal *journal, uint64_t took_ns) {
    STAT_ADD(journal, syncs, 1);
    STAT_ADD(journal, sync_ns, took_ns);
    if (took_ns > atomic_load_explicit(&journal->stats.sync_ns_max, memory_order_relaxed))
        STAT_SET(journal, sync_ns_max, took_ns);
    journal->synced = journal->written;
    journal->pending.len -= journal->pending.written;
    memmove(journal->pending.at, journal->pending.at + journal->pending.written,
            journal->pending.len);
    journal->pending.written = 0;
    journal->pending.since_ns = 0;
    journal->pending.wanted = false;
    safe_set(journal);
}

size_t pending_seal(struct journal *journal, uint32_t seed, uint64_t left, uint64_t *count) {
    char *from = journal->pending.at + journal->pending.written, *at = from;
    const char *end = journal->pending.at + journal->pending.len;
    *count = 0;
    while (at < end) {
        uint64_t bytes = record_bytes(record_body_bytes(at));
        if (bytes > left)
            break;
        record_seal(at, journal->synced, seed);
        at += bytes;
        left -= bytes;
        ++*count;
    }
    return (size_t)(at - from);
}

void pending_wrote(struct journal *journal, size_t bytes, uint64_t count) {
    STAT_ADD(journal, records, count);
    STAT_ADD(journal, record_bytes, bytes);
    journal->current.end += bytes;
    journal->pending.written += bytes;
    journal->written += count;
}

/* Writes as much as fits in the segment, or into a new one. */
static bool pending_write_some(struct journal *journal) {
    uint64_t count;
    if (journal->current.fd < 0)
        return space_begin(journal);
    const struct journal_segment *segment = &journal->segments[journal->segment_count - 1];
    size_t bytes =
        pending_seal(journal, segment->seed, segment->bytes - journal->current.end, &count);
    if (bytes == 0) {
        /* A segment begins with what is not synced, and everything before it is. */
        if (!pending_sync(journal))
            return false;
        space_end(journal, false);
        return true;
    }
    journal->doing = "write to a segment";
    if (!disk_write(journal->current.fd, journal->pending.at + journal->pending.written, bytes,
                    journal->current.end))
        return false;
    pending_wrote(journal, bytes, count);
    return true;
}

bool pending_write(struct journal *journal) {
    while (journal->pending.written < journal->pending.len)
        if (!pending_write_some(journal))
            return false;
    return true;
}

/* --- committing ------------------------------------------------------------------------------ */

void journal_fail(struct journal *journal, uint64_t now_ns) {
    int error = errno;
    STAT_ADD(journal, failures, 1);
    if (!journal->failing)
        log_event(LOG_ERROR, "store_failed", LOG_STR("store", journal->options.directory),
                  LOG_STR("doing", journal->doing), LOG_STR("error", trouble_reason(error)),
                  LOG_U64("unsynced_bytes", journal->pending.len),
                  LOG_STR("remedy", trouble_remedy(error)));
    journal->backoff_ns = journal->failing ? journal->backoff_ns * 2 : JOURNAL_RETRY_NS_MIN;
    if (journal->backoff_ns > JOURNAL_RETRY_NS_MAX)
        journal->backoff_ns = JOURNAL_RETRY_NS_MAX;
    journal->failing = true;
    STAT_SET(journal, failing, 1);
    journal->retry_ns = now_ns + journal->backoff_ns;
    space_end(journal, true);
    journal->pending.written = 0;
    journal->written = journal->synced;
}

static void journal_recover(struct journal *journal) {
    journal->failing = false;
    STAT_SET(journal, failing, 0);
    log_event(LOG_INFO, "store_recovered", LOG_STR("store", journal->options.directory),
              LOG_U64("synced", journal->synced));
}

static bool sync_due(const struct journal *journal, uint64_t now_ns) {
    if (journal->options.sync == JOURNAL_SYNC_ALWAYS || journal->failing ||
        journal->pending.wanted || journal->pending.len >= JOURNAL_UNSYNCED_MAX / 2)
        return true;
    return journal->options.sync == JOURNAL_SYNC_INTERVAL && journal->pending.since_ns != 0 &&
           now_ns >= journal->pending.since_ns + journal->options.interval_ns;
}

bool journal_commit(struct journal *journal, uint64_t now_ns) {
    journal->now_ns = now_ns;
    if (journal->failing && now_ns < journal->retry_ns)
        return false;
    if (journal->pending.len == 0 && !journal->failing)
        return true;
    bool more = journal->pending.written < journal->pending.len;
    if (!pending_write(journal) || (sync_due(journal, now_ns) && !pending_sync(journal))) {
        journal_fail(journal, now_ns);
        return false;
    }
    if (more)
        STAT_ADD(journal, commits, 1);
    if (journal->pending.written != 0 && journal->pending.since_ns == 0)
        journal->pending.since_ns = now_ns;
    safe_set(journal);
    if (journal->failing)
        journal_recover(journal);
    return true;
}

void journal_retry(struct journal *journal) {
    journal->retry_ns = 0;
}

uint64_t journal_next_ns(const struct journal *journal) {
    uint64_t next_ns = CLOCK_NEVER;
    if (journal->failing)
        return journal->retry_ns;
    if (journal->options.sync == JOURNAL_SYNC_INTERVAL && journal->pending.since_ns != 0)
        next_ns = journal->pending.since_ns + journal->options.interval_ns;
    if (journal->full && journal->space_retry_ns < next_ns)
        next_ns = journal->space_retry_ns;
    if (journal->reclaim.active && journal->reclaim.retry_ns != 0 &&
        journal->reclaim.retry_ns < next_ns)
        next_ns = journal->reclaim.retry_ns;
    return next_ns;
}

bool journal_tend(struct journal *journal, uint64_t live_bytes, uint64_t now_ns,
                  journal_survives *survives, void *argument) {
    journal->now_ns = now_ns;
    if (journal->failing)
        return false;
    /* While the disk is full one more is tried from time to time: else nobody would see that it no
     * longer is. */
    bool wants = journal->spare_count < JOURNAL_SPARES ||
                 (journal->full && journal->spare_count < JOURNAL_SPARES_MAX);
    if (journal->making.fd >= 0 || (wants && now_ns >= journal->space_retry_ns)) {
        if (space_make(journal))
            return true;
    }
    return reclaim_step(journal, live_bytes, survives, argument);
}
