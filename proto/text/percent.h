/* percent.h - percent-encoding: parts of URL paths, query strings, words of the counted framing.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_PROTO_TEXT_PERCENT_H
#define RINGPOST_PROTO_TEXT_PERCENT_H

#include "core/base/builder.h"
#include "core/base/span.h"

enum percent_mode {
    PERCENT_PATH,  /* `+` is itself; also for counted words */
    PERCENT_QUERY, /* `+` is a space */
};

/* Decodes once. The characters are in place if nothing had to be decoded, otherwise in `scratch`;
 * never longer than `raw`. NULL, or a constant that says what is wrong ("holds a bad escape"): a
 * bad escape, bad UTF-8, U+0000, no room in the scratch; `*offset` (may be NULL) is then where in
 * `raw`. */
const char *percent_text(struct span raw, enum percent_mode mode, struct builder *scratch,
                         struct span *text, size_t *offset);

/* Writes a word of the counted framing: space, `%`, and bytes below 0x21 or above 0x7E as %XX. */
void percent_encode(struct builder *out, struct span text);
static inline size_t percent_encode_max(size_t len) {
    return 3 * len;
}

/* Takes the next `name=value` off the front of a query string (without its `?`), both still
 * encoded. Empty pieces (`&&`) are passed over; without `=` the value is empty. False: there is no
 * more. */
bool query_next(struct span *rest, struct span *name, struct span *value);

#endif
