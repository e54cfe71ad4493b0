/* journal.h - a log of records in the files of one directory, which survives a cut of the power.
 *
 *   journal_open --> journal_add ... journal_add --> journal_commit --> journal_safe has grown
 *                          ^                               |
 *                          +------- journal_tend <---------+     journal_next_ns: at the latest
 *
 * A record has a kind, a body of up to `record_max` bytes, and a sequence number: the first is 1,
 * and each has one more than the one before. Records are written in groups: journal_add puts one
 * into memory, journal_commit writes all of them with one call and, as the policy wants, one
 * fdatasync. At the next start journal_open hands each record to its owner, in order.
 *
 * The log is a circle of segments (segment.h). The oldest is reclaimed when all of them are more
 * than twice what the owner says is alive, and some slack: journal_tend asks the owner about each
 * record in it, and appends again those that survive, with new sequences; then the file is used
 * again. So after a start a record may have come twice, the second time with `again`, and an owner
 * has to be content with either. Two spare segments are kept ready: their bytes are written and
 * synced before, so that a commit changes no metadata of the file system.
 *
 * After a failed write or fdatasync nobody knows what is on the disk, and the kernel tells of an
 * error only once. So the segment is never written again: what was not synced is still in memory,
 * and is written anew into another segment, which begins with the first sequence that was not
 * synced; in the older one, everything from there on is void. The same happens at a start with the
 * records that nothing says were synced.
 *
 * What a start may find: the end is torn (what was not synced when the power was cut), which is cut
 * off, counted, and harmless; or a record is missing that was known to be synced (each record, each
 * header and store.meta say up to where that was), or a segment, or one is another's. Then the
 * start is refused with a sentence, and `ringpost store repair` saves what is whole.
 *
 * What `survives` refuses is gone. A segment that cannot be opened or read when it is to be
 * reclaimed is tried again after a second, then ever later, each minute at last; meanwhile nothing
 * newer is reclaimed, so that there is never a hole in the log, and the directory grows. If it is
 * damaged, the next start is refused, and a repair loses only the records that are damaged, but may
 * bring back what these had ended.
 *
 * Threads: its owner's, but the numbers in journal_stats, which any may read. Every call but the
 * small questions may block for as long as the disk does. Owns: the files, and at most
 * JOURNAL_UNSYNCED_MAX and a record of memory for what is not synced, and a segment's bytes while
 * one is read, at the start or to be reclaimed. Never deletes a file that it did not make. */
#ifndef RINGPOST_HA_STORE_JOURNAL_H
#define RINGPOST_HA_STORE_JOURNAL_H

#include "ha/store/segment.h"

#include <stdatomic.h>

#define JOURNAL_SEGMENT_BYTES (UINT64_C(16) << 20)
#define JOURNAL_SEGMENT_BYTES_MIN (UINT64_C(64) << 10)
#define JOURNAL_SLACK_BYTES (UINT64_C(256) << 20)
#define JOURNAL_SEGMENTS_MAX 65536 /* a terabyte in segments of 16 MiB */
#define JOURNAL_SPARES 2
#define JOURNAL_SPARES_MAX 64
/* New records are refused when so much is not synced; what ends others finds a record's room more.
 * With INTERVAL and NEVER a commit syncs in any case when half of it is not. */
#define JOURNAL_UNSYNCED_MAX ((size_t)16 << 20)
#define JOURNAL_STEP_BYTES ((size_t)1 << 20) /* of a step of journal_tend */
#define JOURNAL_RETRY_NS_MIN (100 * UINT64_C(1000000))
#define JOURNAL_RETRY_NS_MAX (5 * UINT64_C(1000000000))
/* Between two tries to read a segment that is to be reclaimed. */
#define JOURNAL_REREAD_NS_MIN UINT64_C(1000000000)
#define JOURNAL_REREAD_NS_MAX (60 * UINT64_C(1000000000))

enum journal_sync {
    JOURNAL_SYNC_ALWAYS,   /* a record is safe when it is synced: with each commit */
    JOURNAL_SYNC_INTERVAL, /* when it is written; it is synced within `interval_ns` */
    JOURNAL_SYNC_NEVER     /* when it is written; the kernel writes it out when it likes */
};

struct journal_options {
    const char *directory; /* the caller's, as long as the journal is open */
    enum journal_sync sync;
    uint64_t interval_ns;
    uint32_t record_max; /* bytes of the largest body, up to RECORD_BODY_MAX */
    /* Of a segment; at least JOURNAL_SEGMENT_BYTES_MIN and 8 of the largest record. 0:
     * JOURNAL_SEGMENT_BYTES. */
    uint64_t segment_bytes;
    uint64_t slack_bytes;
};

struct journal_record {
    uint8_t kind;
    bool again; /* it was reclaimed: the same came before, with a lower sequence */
    uint64_t sequence;
    struct span body; /* dies with the call that shows it */
};

/* One sentence: what, where, what to do. */
struct journal_problem {
    char text[768];
};

/* A record at the start. False: stop; the owner says why. */
typedef bool journal_visit(void *argument, const struct journal_record *record);
/* Is that record still needed? The segment is used again only when everything that was added before
 * this answer is synced, so the answer may rest on it. */
typedef bool journal_survives(void *argument, const struct journal_record *record);

/* Since the start; the last six as it is now. */
struct journal_stats {
    _Atomic uint64_t records, record_bytes; /* written, those that were reclaimed included */
    _Atomic uint64_t commits, syncs;
    _Atomic uint64_t sync_ns, sync_ns_max;   /* all of them together, the longest */
    _Atomic uint64_t failures;               /* writes, syncs and segments that failed */
    _Atomic uint64_t reclaimed_bytes;        /* segments that are free again */
    _Atomic uint64_t copied_bytes;           /* records in them that survived */
    _Atomic uint64_t cut_bytes, cut_records; /* torn at the start, at least so much */
    _Atomic uint64_t unreadable; /* 1: the oldest segment cannot be read, and so not reclaimed */
    _Atomic uint64_t segments, spares;
    _Atomic uint64_t disk_bytes; /* of both */
    _Atomic uint64_t failing;    /* 1: a commit has failed, and none was good since */
    _Atomic uint64_t full;       /* 1: no spare segment can be made */
};

struct journal_segment {
    uint64_t number, first, bytes;
    uint32_t seed;
    bool worn; /* a write to it has failed: never to be used again */
};

struct journal {
    struct journal_options options;
    uint64_t segment_bytes; /* of new ones */
    int folder, lock, meta_file;
    struct store_meta meta; /* as it is on the disk */
    uint64_t number_next;
    uint64_t coming;                 /* records, at least, that a start is about to show */
    uint64_t added, written, synced; /* the last sequence each */
    uint64_t safe;                   /* never goes back */
    /* What is not synced, from the sequence synced + 1 on, as it is written. */
    struct {
        char *at;
        size_t len, written, cap;
        uint64_t since_ns; /* the oldest of it was written then; 0: nothing is */
        bool wanted;       /* to be synced with the next commit */
    } pending;
    /* The segment that is written; the last of `segments`. */
    struct {
        int fd; /* -1: none, the next commit begins one */
        uint64_t end;
    } current;
    struct journal_segment *segments; /* by number */
    unsigned segment_count;
    uint64_t spares[JOURNAL_SPARES_MAX]; /* their numbers */
    unsigned spare_count;
    uint64_t disk_bytes; /* of segments and spares */
    /* A spare that is being made. */
    struct {
        int fd; /* -1: none */
        uint64_t number, done;
    } making;
    /* The segment that is being reclaimed: the oldest. */
    struct {
        int fd; /* -1: none, or it is not open yet */
        bool active;
        bool kept; /* it could not be read */
        uint64_t number;
        uint64_t loaded; /* so far it is in `room`, from `at` on */
        uint64_t at, sequence;
        uint64_t rests_on; /* to be synced before the file is used again */
        /* To read or finish it is tried again then; 0: it is not waiting. */
        uint64_t retry_ns, backoff_ns;
    } reclaim;
    struct {
        char *at;
        size_t cap;
    } room; /* for a segment's bytes */
    bool failing, full;
    uint64_t now_ns; /* of the call */
    uint64_t retry_ns, backoff_ns;
    uint64_t space_retry_ns;
    const char *doing; /* for the log: what failed */
    struct journal_stats stats;
};

/* Opens the directory, which is made if only its last part is missing, locks it, and shows all
 * records. `visit` may be called before a problem is found, so what it made is worth nothing when
 * this returns false. With a full disk it may return true, and journal_room says no. False: why is
 * in `problem`, whose text is empty if `visit` has stopped it; nothing is open. */
bool journal_open(struct journal *journal, const struct journal_options *options,
                  journal_visit *visit, void *argument, struct journal_problem *problem);
/* Writes and syncs what was added, as far as that works, and closes the files; while a commit has
 * failed and none was good since, it does not try. Everything that is not safe may be lost. */
void journal_close(struct journal *journal);

/* What a record with such a body takes. */
static inline uint64_t journal_bytes(size_t body_bytes) {
    return record_bytes(body_bytes);
}
/* May something new be taken that adds so many bytes (sums of journal_bytes)? No while a commit has
 * failed and none was good since; while too much is not synced; and while no spare segment can be
 * made and either three quarters of the space would not hold what is alive, or what is left is
 * needed for what makes room: records that end others, and copies. `live_bytes` as journal_tend. */
bool journal_room(const struct journal *journal, uint64_t bytes, uint64_t live_bytes);
/* Adds a record whose body is the parts one after the other, `record_max` bytes at most. False: not
 * even the reserve has room; nothing was added. */
bool journal_add(struct journal *journal, uint8_t kind, const struct span *parts, unsigned count);
/* The sequence of the last record that was added, or came at the start. */
static inline uint64_t journal_added(const struct journal *journal) {
    return journal->added;
}
/* Every record up to this sequence is as safe as the policy promises. */
static inline uint64_t journal_safe(const struct journal *journal) {
    return journal->safe;
}
/* Writes what was added, and syncs it as the policy wants. False: that failed, just now or before,
 * and is tried again from journal_next_ns on; the log knows why, nothing is lost. */
bool journal_commit(struct journal *journal, uint64_t now_ns);
/* The next commit does not wait for journal_next_ns: for the end of the process, where what could
 * not be written is tried once more, or is lost. Without a failure it changes nothing. */
void journal_retry(struct journal *journal);
/* One step of what has to be done besides: making a spare segment, reclaiming the oldest. It
 * writes or reads some JOURNAL_STEP_BYTES. `live_bytes`: sum of journal_bytes of the records that
 * the owner would let survive. True: there is more to do, after the next commit. */
bool journal_tend(struct journal *journal, uint64_t live_bytes, uint64_t now_ns,
                  journal_survives *survives, void *argument);
/* When journal_commit and journal_tend are to be called at the latest; CLOCK_NEVER. */
uint64_t journal_next_ns(const struct journal *journal);

#endif
