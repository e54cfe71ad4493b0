/* ws_deflate.h - messages of WebSocket compressed and not (RFC 7692), each by itself: raw deflate,
 * without the 00 00 ff ff at its end. By zlib; proto/ws/ws_deflate.c is the only file that knows
 * it.
 *
 * A thread has one stream for each direction, made when it needs it first and kept, so no
 * connection has memory for it. Whoever ends a thread calls ws_deflate_thread_end on it.
 *
 * Limits. A thread's streams are made in one block of WS_DEFLATE_THREAD_BYTES, of which some 190
 * KiB are ever touched; it is not charged to anybody. Compressing never writes beyond the room of
 * its builder, inflating makes at most one byte more than it has room for, and then stops; so what
 * a small message can cost is known, whatever it says it becomes: 0.7 us for each KiB that it
 * becomes, and, if it is made of nothing but the heads of blocks, up to 80 us for each KiB of it.
 *
 * Threads: any, each with streams of its own. */
#ifndef RINGPOST_PROTO_WS_WS_DEFLATE_H
#define RINGPOST_PROTO_WS_WS_DEFLATE_H

#include "core/base/builder.h"
#include "core/base/span.h"

#define WS_DEFLATE_THREAD_BYTES ((size_t)512 << 10)

/* The room that a message of so many bytes needs at most, with what ws_deflate wants beyond. */
static inline size_t ws_deflate_bytes_max(size_t bytes) {
    return bytes + bytes / 8 + bytes / 64 + 64;
}

/* Appends the compressed form of one message, of which `input` has the `count` parts, less than 1
 * GiB together. It wants 5 bytes of room more than are written; without, `out->full` is set and
 * nothing written, so whoever gives as much room as the message has takes no form that is longer.
 * `window_bits` (WS_WINDOW_BITS_MIN to _MAX, ws_handshake.h) is what was agreed on; less than 15
 * costs some 10 us more for messages that are longer than the window, where it changes from one
 * call to the next.
 *
 * False: the system has no memory for the streams; nothing was written. */
bool ws_deflate(struct builder *out, const struct span *input, size_t count, unsigned window_bits);

enum ws_inflated {
    WS_INFLATED,
    WS_INFLATED_TOO_LARGE, /* it does not fit; close with WS_CLOSE_TOO_LARGE */
    WS_INFLATED_BROKEN,    /* it is no compressed message; close with WS_CLOSE_BAD_TEXT */
    WS_INFLATED_NO_MEMORY, /* the system has none for the streams */
};

/* Appends the message to `out`, for which out->cap is the limit. With anything but WS_INFLATED
 * out->len is as before, and what is behind it undefined. Takes any blocks of deflate, also several
 * final ones; only the last byte of the message's payload may be missing behind a final one. Does
 * not look whether a text is UTF-8. */
enum ws_inflated ws_inflate(struct span message, struct builder *out);

/* Gives back what the thread has; later calls make it anew. */
void ws_deflate_thread_end(void);

#endif
