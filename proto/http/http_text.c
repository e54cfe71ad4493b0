#include "proto/http/http_text.h"

bool http_is_token(unsigned char byte) {
    unsigned char folded = byte | 0x20;
    if ((byte >= '0' && byte <= '9') || (folded >= 'a' && folded <= 'z'))
        return true;
    return byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL;
}

/* The place of the next control byte, tabs included, or `len`; eight bytes at a time. */
static size_t control_find(const char *at, size_t from, size_t len) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    for (; len - from >= 8; from += 8) {
        uint64_t word, del;
        memcpy(&word, at + from, sizeof word);
        del = word ^ ones * 0x7F;
        if ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops)
            break;
    }
    while (from < len && (unsigned char)at[from] >= 0x20 && at[from] != 0x7F)
        from++;
    return from;
}

static enum http_scan_status refuse(struct http_refusal *refusal, unsigned status,
                                    const char *message, size_t offset) {
    http_refuse(refusal, status, message, offset);
    return HTTP_SCAN_REFUSED;
}

static enum http_scan_status line_on_end(struct http_scan *scan, const char *at, size_t end,
                                         struct http_refusal *refusal) {
    size_t start = scan->line_start;
    scan->line_start = scan->bytes = (uint32_t)end + 2;
    if (end != start) {
        if (at[start] == ' ' || at[start] == '\t')
            return refuse(refusal, 400, "a line of the head begins with a blank", start);
        return HTTP_SCAN_MORE;
    }
    if (start == 0)
        return HTTP_SCAN_MORE;
    if (start == http_head_start(at))
        return refuse(refusal, 400, "empty lines where a head should begin", start);
    return HTTP_SCAN_DONE;
}

enum http_scan_status http_head_scan(struct http_scan *scan, const char *at, size_t len,
                                     struct http_refusal *refusal) {
    size_t end = len < HTTP_HEAD_BYTES_MAX ? len : HTTP_HEAD_BYTES_MAX;
    for (;;) {
        size_t here = control_find(at, scan->bytes, end);
        scan->bytes = (uint32_t)here;
        if (here == end || (at[here] == '\r' && here + 1 == end))
            break;
        if (at[here] == '\t') {
            scan->bytes++;
            continue;
        }
        if (at[here] == '\n')
            return refuse(refusal, 400, "a line feed without a carriage return before it", here);
        if (at[here] != '\r')
            return refuse(refusal, 400, "a control byte in the head", here);
        if (at[here + 1] != '\n')
            return refuse(refusal, 400, "a carriage return without a line feed behind it", here);
        enum http_scan_status status = line_on_end(scan, at, here, refusal);
        if (status != HTTP_SCAN_MORE)
            return status;
    }
    if (end < HTTP_HEAD_BYTES_MAX)
        return HTTP_SCAN_MORE;
    if (scan->line_start == http_head_start(at))
        return refuse(refusal, 431, "the first line of the head is too long", end);
    return refuse(refusal, 431, "the head is too long", end);
}
