/* body_type.h - what a request says of its body: media type, character set, coding.
 *
 * Threads: any (pure functions). Owns nothing. */
#ifndef RINGPOST_PROTO_HTTP_BODY_TYPE_H
#define RINGPOST_PROTO_HTTP_BODY_TYPE_H

#include "proto/http/http.h"

enum body_kind {
    BODY_PLAIN, /* no type, or what curl sends by itself */
    BODY_JSON,
    BODY_LINES, /* application/x-ndjson */
    BODY_TEXT,
    BODY_OTHER
};

/* By the media type alone, in any letter case. */
enum body_kind body_kind(struct span content_type);

/* May a body be read as JSON or text, by the first `charset` of its type? Yes if that is UTF-8 or
 * there is none, and for what agrees with it in ASCII as long as every byte is ASCII: otherwise a
 * character would arrive as another one. Parameters that are malformed are skipped. */
bool body_charset_fits(struct span content_type, struct span body);

/* Is the body as it is, or under a Content-Encoding that would have to be undone first? */
bool body_is_encoded(const struct http_request *request);

#endif
