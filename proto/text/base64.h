/* base64.h - base64 of RFC 4648, standard alphabet, with padding.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_PROTO_TEXT_BASE64_H
#define RINGPOST_PROTO_TEXT_BASE64_H

#include "core/base/builder.h"
#include "core/base/span.h"

/* How long `len` bytes become. */
static inline size_t base64_len(size_t len) {
    return (len / 3 + (len % 3 != 0)) * 4;
}

/* Writes the bytes in base64; all or nothing. */
void base64_encode(struct builder *out, struct span bytes);

/* Decodes strictly: whole quads, padding where it belongs, unused bits zero, no blanks. NULL, or a
 * constant that says what is wrong. The result is never longer than 3/4 of the text. */
const char *base64_decode(struct span text, struct builder *out);

#endif
