/* json_blanks.h - blanks between the tokens of JSON, by the megabyte: whoever pads a body with them
 * takes no more of a turn than reading memory does.
 *
 * Threads: any (pure functions). Owns nothing. */
#ifndef RINGPOST_PROTO_TEXT_JSON_BLANKS_H
#define RINGPOST_PROTO_TEXT_JSON_BLANKS_H

#include "core/base/builder.h"
#include "core/base/span.h"

static inline bool json_is_blank(char byte) {
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}
/* The first byte from `at` on that is no blank; `end`: there is none. */
const char *json_blanks_end(const char *at, const char *end);
/* Where the text has so many bytes that are no blanks; its end, if it has fewer. (In a string,
 * spaces and tabs count as blanks here, too.) */
const char *json_dense_end(struct span text, size_t max_bytes);
/* Writes a valid text without CR and LF. They can only stand between its tokens, and leaving them
 * out joins no two of them. Spaces and tabs stay. */
void json_compact(struct span text, struct builder *out);
/* How long json_compact makes it. */
size_t json_compact_len(struct span text);

#endif
