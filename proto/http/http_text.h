/* http_text.h - the bytes that HTTP is written in, and where a head ends.
 *
 * llhttp 8.1 folds lines that begin with a blank, and skips any mix of CR and LF before a head; so
 * the lines are checked here, as they come in, before llhttp sees them: each ends in CR LF, none
 * holds a control byte but tabs, none begins with a blank, at most one empty one comes first. That
 * also refuses at once whoever speaks something else, instead of waiting for an end of head.
 *
 * Pure functions over bytes. Threads: any. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_TEXT_H
#define RINGPOST_PROTO_HTTP_HTTP_TEXT_H

#include "core/base/span.h"
#include "proto/http/http_refusal.h"

#define HTTP_HEAD_BYTES_MAX 16384 /* from the first byte to the empty line, both included */

/* How far a head has been looked at; all zero at its first byte. */
struct http_scan {
    uint32_t bytes;      /* looked at; once complete, the length of the head */
    uint32_t line_start; /* of the line that the scan is in */
};

enum http_scan_status { HTTP_SCAN_MORE, HTTP_SCAN_DONE, HTTP_SCAN_REFUSED };

/* Goes on over `at[0..len)`, all there is of the head; looks at no byte twice (but a last CR). */
enum http_scan_status http_head_scan(struct http_scan *scan, const char *at, size_t len,
                                     struct http_refusal *refusal);

/* Where the first line begins: behind the empty line that is let through. */
static inline size_t http_head_start(const char *at) {
    return at[0] == '\r' ? 2 : 0;
}

/* A byte of a method or of a header's name. */
bool http_is_token(unsigned char byte);
/* A byte that text may hold: all but control bytes; tabs may. */
static inline bool http_is_text(unsigned char byte) {
    return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}

#endif
