/* A walk over the records of a segment. */
#include "ha/store/scan.h"

struct scan scan_begin(struct span bytes, const struct segment_header *header) {
    return (struct scan){.bytes = bytes,
                         .seed = header->checksum,
                         .at = SEGMENT_HEADER_BYTES,
                         .sequence = header->first,
                         .synced = header->first - 1};
}

static void scan_take(struct scan *scan, const struct record_head *head, struct span *body) {
    *body = span_of(scan->bytes.at + scan->at + RECORD_HEAD_BYTES, head->body_bytes);
    scan->at += record_bytes(head->body_bytes);
    scan->sequence = head->sequence + 1;
    if (head->synced > scan->synced)
        scan->synced = head->synced;
}

bool scan_next(struct scan *scan, struct record_head *head, struct span *body) {
    if (scan->at >= scan->bytes.len)
        return false;
    struct span rest = span_skip(scan->bytes, scan->at);
    /* The sequence first: what an earlier use left is not worth a checksum. */
    if (!record_head_read(rest, head) || head->sequence != scan->sequence ||
        !record_read(rest, scan->seed, head))
        return false;
    scan_take(scan, head, body);
    return true;
}

bool scan_later(struct scan *scan, uint64_t limit, struct record_head *head, struct span *body,
                uint64_t *offset) {
    /* In so many bytes there cannot be more records. */
    uint64_t left = scan->bytes.len > scan->at ? scan->bytes.len - scan->at : 0;
    uint64_t most = scan->sequence + left / RECORD_HEAD_BYTES;
    if (most < limit)
        limit = most + 1;
    for (uint64_t at = scan->at; at + RECORD_HEAD_BYTES <= scan->bytes.len; at += 8) {
        struct span rest = span_skip(scan->bytes, at);
        if (!record_head_read(rest, head) || head->sequence < scan->sequence ||
            head->sequence >= limit || !record_read(rest, scan->seed, head))
            continue;
        *offset = scan->at = at;
        scan_take(scan, head, body);
        return true;
    }
    return false;
}
