/* ws_deflate.c - see ws_deflate.h. */
#include "proto/ws/ws_deflate.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "proto/ws/ws_handshake.h"

#include <stdlib.h>
#include <zlib.h>

/* Measured with JSON of 600 bytes to 64 KiB. Up to 8 KiB levels 1 to 3 take the same time (5 us for
 * 600 bytes, 14 us for 8 KiB), and from 4 on it is twice that for 2 % less; of 64 KiB level 3 makes
 * 11 % less than level 1 in half as much time again, and level 6 another 12 % less in four times as
 * much. What is compressed once is sent many times, so it is 3. More memory than that of level 5
 * makes nothing shorter, and each message pays for clearing it. */
#define LEVEL 3
#define MEMORY_LEVEL 5

#define TAIL_BYTES 4
static const unsigned char tail[TAIL_BYTES] = {0x00, 0x00, 0xFF, 0xFF};

/* The memory of one stream: zlib takes it piece by piece, and gives back all of it at the end. */
struct arena {
    char *at;
    size_t used, cap;
};

struct streams {
    z_stream deflate, inflate;
    struct arena deflate_memory, inflate_memory;
    unsigned window_bits; /* of the stream `deflate`; 0: there is none */
    bool inflates;        /* there is a stream `inflate` */
};

#define INFLATE_BYTES ((size_t)64 << 10)
#define DEFLATE_BYTES (WS_DEFLATE_THREAD_BYTES - INFLATE_BYTES - sizeof(struct streams))

static __thread struct streams *streams;

static void *arena_take(void *of, unsigned count, unsigned size) {
    struct arena *arena = of;
    size_t bytes = ((size_t)count * size + 63) / 64 * 64;
    if (bytes > arena->cap - arena->used)
        return NULL;
    char *at = arena->at + arena->used;
    arena->used += bytes;
    return at;
}

static void arena_give(void *of, void *at) {
    (void)of;
    (void)at;
}

static void stream_init(z_stream *stream, struct arena *arena, char *at, size_t bytes) {
    *arena = (struct arena){at, 0, bytes};
    *stream = (z_stream){.zalloc = arena_take, .zfree = arena_give, .opaque = arena};
}

static bool streams_have(void) {
    if (streams != NULL)
        return true;
    struct streams *made = malloc(WS_DEFLATE_THREAD_BYTES);
    if (SHORTAGE(made == NULL))
        return false;
    char *behind = (char *)(made + 1);
    made->window_bits = 0;
    made->inflates = false;
    stream_init(&made->deflate, &made->deflate_memory, behind, DEFLATE_BYTES);
    stream_init(&made->inflate, &made->inflate_memory, behind + DEFLATE_BYTES, INFLATE_BYTES);
    streams = made;
    return true;
}

void ws_deflate_thread_end(void) {
    free(streams);
    streams = NULL;
}

/* --- deflate ---------------------------------------------------------------------------------- */

static z_stream *deflate_begin(unsigned window_bits) {
    z_stream *stream = &streams->deflate;
    if (streams->window_bits == window_bits) {
        CHECK(deflateReset(stream) == Z_OK);
        return stream;
    }
    if (streams->window_bits != 0)
        deflateEnd(stream);
    streams->deflate_memory.used = 0;
    streams->window_bits = window_bits;
    /* Without a header of zlib's own the bits are negative. The arena is larger than what it takes.
     */
    CHECK(deflateInit2(stream, LEVEL, Z_DEFLATED, -(int)window_bits, MEMORY_LEVEL,
                       Z_DEFAULT_STRATEGY) == Z_OK);
    return stream;
}

static void deflate_part(z_stream *stream, struct span part, int flush) {
    stream->next_in = (z_const Bytef *)part.at;
    stream->avail_in = (uInt)part.len;
    if (stream->avail_out != 0 && (part.len != 0 || flush != Z_NO_FLUSH))
        CHECK(deflate(stream, flush) == Z_OK);
}

bool ws_deflate(struct builder *out, const struct span *input, size_t count, unsigned window_bits) {
    CHECK(window_bits >= WS_WINDOW_BITS_MIN && window_bits <= WS_WINDOW_BITS_MAX);
    if (!streams_have())
        return false;
    if (out->full)
        return true;
    size_t bytes = 0, room = out->cap - out->len;
    for (size_t i = 0; i < count; i++)
        bytes += input[i].len;
    CHECK(bytes < 1u << 30);
    /* A message that is no longer than the window cannot refer to anything outside of it. */
    z_stream *stream = deflate_begin(bytes <= 1u << window_bits ? WS_WINDOW_BITS_MAX : window_bits);
    stream->next_out = (Bytef *)out->at + out->len;
    stream->avail_out = room < 1u << 31 ? (uInt)room : 1u << 31;
    uInt room_given = stream->avail_out;
    for (size_t i = 0; i < count; i++)
        deflate_part(stream, input[i], Z_NO_FLUSH);
    deflate_part(stream, (struct span){NULL, 0}, Z_SYNC_FLUSH);
    /* Only with room left is it known that the tail was written, once. */
    if (stream->avail_out == 0) {
        out->full = true;
        return true;
    }
    size_t written = room_given - stream->avail_out;
    CHECK(written > TAIL_BYTES &&
          memcmp(out->at + out->len + written - TAIL_BYTES, tail, TAIL_BYTES) == 0);
    out->len += written - TAIL_BYTES;
    return true;
}

/* --- inflate ---------------------------------------------------------------------------------- */

/* Where inflating is. */
struct inflating {
    z_stream *stream;
    bool is_beyond;  /* all room is used; what comes goes to `beyond` */
    bool at_end;     /* nothing has come behind a final block */
    Bytef beyond[1]; /* the byte that is one too many */
};

static z_stream *inflate_begin(void) {
    z_stream *stream = &streams->inflate;
    if (streams->inflates) {
        CHECK(inflateReset(stream) == Z_OK);
    } else {
        CHECK(inflateInit2(stream, -WS_WINDOW_BITS_MAX) == Z_OK);
        streams->inflates = true;
    }
    return stream;
}

/* Has a block ended with the last byte, and no other begun? zlib.h says how it tells: bit 7 behind
 * a block, bit 6 inside a final one, below them how many bits are left. */
static bool is_between_blocks(const z_stream *stream) {
    return (stream->data_type & 0xFF) == 0x80;
}

static enum ws_inflated inflate_part(struct inflating *inflating, const void *at, size_t len) {
    z_stream *stream = inflating->stream;
    stream->next_in = (z_const Bytef *)at;
    stream->avail_in = (uInt)len;
    for (;;) {
        if (inflating->at_end) {
            if (stream->avail_in == 0)
                return WS_INFLATED;
            CHECK(inflateReset(stream) == Z_OK);
            inflating->at_end = false;
        }
        if (stream->avail_out == 0) {
            inflating->is_beyond = true;
            stream->next_out = inflating->beyond;
            stream->avail_out = sizeof inflating->beyond;
        }
        int result = inflate(stream, Z_SYNC_FLUSH);
        CHECK(result != Z_MEM_ERROR, "the arena is larger than what zlib takes");
        if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END)
            return WS_INFLATED_BROKEN;
        if (inflating->is_beyond && stream->avail_out == 0)
            return WS_INFLATED_TOO_LARGE;
        inflating->at_end = result == Z_STREAM_END;
        if (inflating->at_end)
            continue;
        /* Between blocks no output is held back, and another call would forget that it was there.
         */
        if (stream->avail_in == 0 && (stream->avail_out != 0 || is_between_blocks(stream)))
            return WS_INFLATED;
        CHECK(stream->avail_out == 0);
    }
}

enum ws_inflated ws_inflate(struct span message, struct builder *out) {
    if (!streams_have())
        return WS_INFLATED_NO_MEMORY;
    CHECK(message.len < 1u << 30);
    if (message.len == 0 || out->full)
        return message.len == 0 ? WS_INFLATED_BROKEN : WS_INFLATED_TOO_LARGE;
    size_t room = out->cap - out->len;
    struct inflating inflating = {.stream = inflate_begin()};
    z_stream *stream = inflating.stream;
    stream->next_out = (Bytef *)out->at + out->len;
    stream->avail_out = room < 1u << 31 ? (uInt)room : 1u << 31;
    uInt room_given = stream->avail_out;
    enum ws_inflated result = inflate_part(&inflating, message.at, message.len);
    if (result == WS_INFLATED && !inflating.at_end)
        result = inflate_part(&inflating, tail, sizeof tail);
    if (result != WS_INFLATED)
        return result;
    if (!inflating.at_end && !is_between_blocks(stream))
        return WS_INFLATED_BROKEN;
    out->len += inflating.is_beyond ? room_given : room_given - stream->avail_out;
    return WS_INFLATED;
}
