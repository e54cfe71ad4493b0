/* scan.h - walks over the records of one segment.
 *
 * The records that count are those with the sequences from the segment's first up to where the next
 * segment begins, one after the other. What stands behind them is of no use: zeros, records of an
 * earlier use of the file, or records that were written but whose sync failed, which stand in the
 * next segment again.
 *
 * Pure functions over bytes. Threads: any. Owns nothing. */
#ifndef RINGPOST_HA_STORE_SCAN_H
#define RINGPOST_HA_STORE_SCAN_H

#include "ha/store/segment.h"

struct scan {
    struct span bytes; /* of the file, from its beginning, as far as they were read */
    uint32_t seed;     /* checksum of its header */
    uint64_t at;       /* where the next record is to begin */
    uint64_t sequence; /* which that is to be */
    uint64_t synced;   /* the most that a record said had been synced */
};

struct scan scan_begin(struct span bytes, const struct segment_header *header);
/* The next record. False: none stands there that is whole and has the sequence. */
bool scan_next(struct scan *scan, struct record_head *head, struct span *body);
/* The next record behind that place which is whole and has a sequence from the next one on, but
 * not `limit` or more; the walk stands behind it then. `*offset` is where it begins. False: there
 * is none up to the end of the bytes. For what is damaged or torn. */
bool scan_later(struct scan *scan, uint64_t limit, struct record_head *head, struct span *body,
                uint64_t *offset);

#endif
