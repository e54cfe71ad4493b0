/* toy_stream.h - toy answers that stream (http_stream.h) as those of SSE and long polls will: their
 * own pieces, and the messages of sessions (toy_session.h) that share the connection.
 *
 *   tick   a piece at once and one for each tick, and the messages that come
 *   poll   what waits for its sessions, and what comes until the next tick
 *   flood  pieces as fast as there is room for them: more than there is
 *   quiet  messages, and heartbeats between them
 *   held   its request is carried out over more than one turn before it begins
 *
 * Piece `i` is toy_stream_piece(kind, number, i), a line; the last one says `end`, a heartbeat `:`.
 * Whose stream is stopped hears `bye`, if there is room, and nothing more.
 *
 * Threads: the worker's. Owns: the streams. Limits: TOY_STREAMS for each worker. */
#ifndef RINGPOST_TESTS_TOYS_TOY_STREAM_H
#define RINGPOST_TESTS_TOYS_TOY_STREAM_H

#include "core/base/builder.h"
#include "proto/http/http_stream.h"

#define TOY_STREAMS 6 /* few, so that there is no place for some */
#define TOY_TICK_NS (100 * NS_PER_MS)
#define TOY_HOLD_NS (2 * NS_PER_S)
#define TOY_QUIET_BEAT_NS (1 * NS_PER_S)
#define TOY_BEATS 4
#define TOY_PIECE_BYTES_MAX (16 * 1024)

struct toy_stream_kind {
    const char *word;
    unsigned pieces;  /* before the end */
    unsigned at_once; /* of those and the end, due without a tick */
    size_t piece_bytes;
    bool sessions, beats, held;
};
#define TOY_STREAM_KINDS 5
extern const struct toy_stream_kind toy_stream_kinds[TOY_STREAM_KINDS];

struct toy_stream {
    struct timer timer;
    const struct toy_stream_kind *kind; /* NULL: the place is free */
    struct http_exchange *exchange;
    struct connection_handle connection;
    unsigned number, due, written, beats;
    bool begun, full, seated;
    enum close_reason stopped; /* what its writer was told of last; NONE: of nothing */
};

/* What a writer was told, and what it met: so often since the start of the program. */
#define TOY_STREAM_POINTS(X)                                                                       \
    X(head_waits, "a stream waits for the answers before it")                                      \
    X(ends_unopened, "a stream ends before its head has left")                                     \
    X(full, "a piece has no room")                                                                 \
    X(room, "there is room again")                                                                 \
    X(ends, "a stream comes to its own end")                                                       \
    X(drain, "a stream is stopped by the drain")                                                   \
    X(begun_in_drain, "a stream begins on a connection that was told of the drain")                \
    X(client, "a stream is stopped by its peer's end")                                             \
    X(gone, "a stream's connection goes")                                                          \
    X(beat, "a stream sends a heartbeat")                                                          \
    X(unwanted, "no pieces are wanted")                                                            \
    X(no_place, "there is no place for one more stream")
extern struct toy_stream_told {
#define TOY_STREAM_MEMBER(name, what) uint64_t name;
    TOY_STREAM_POINTS(TOY_STREAM_MEMBER)
#undef TOY_STREAM_MEMBER
} toy_stream_told;

/* Answers the request by a stream of that kind. */
void toy_stream_serve(struct worker *worker, struct http_exchange *exchange,
                      const struct toy_stream_kind *kind, unsigned number);
static inline struct span toy_stream_piece(const struct toy_stream_kind *kind, unsigned number,
                                           unsigned index, char room[TOY_PIECE_BYTES_MAX]) {
    struct builder out = builder_over(room, TOY_PIECE_BYTES_MAX);
    if (index == kind->pieces)
        return SPAN("end\n");
    builder_format(&out, "=%u.%u:", number, index);
    size_t len = kind->piece_bytes - index * 31 % (kind->piece_bytes / 2) - 1;
    memset(room + out.len, 'a' + (int)(index % 26), len - out.len);
    room[len] = '\n';
    return span_of(room, len + 1);
}

/* For checks: one place; NULL: it is free. */
const struct toy_stream *toy_stream_at(unsigned worker, unsigned place);

#endif
