/* http_stream.h - an answer whose end is not known when it begins: a head, then pieces.
 *
 *   serve: exchange_stream_begin, exchange_stream_write ...
 *                                   TAKEN: goes on; FULL: waits for `room`, then writes it again
 *          exchange_stream_end, from anywhere but `gone`
 *
 * To HTTP/1.1 each piece is a chunk; to HTTP/1.0 it is its bytes, and the connection ends with the
 * stream. Until the stream ends no request behind it is read. Answers to those before it leave
 * first, and till then there is no room.
 *
 * What the peer has not taken counts against HTTP_UNSENT_BYTES_MAX (HTTP_UNSENT_FEW_BYTES while the
 * node is at --memory), as for every answer: a piece that would pass it is not taken. Who takes
 * nothing for HTTP_ANSWER_NS is closed. A stream that is silent may go on for ever; so that a peer
 * that has gone is found out, and proxies do not give up, it may send heartbeats (`quiet`).
 *
 * Messages need not be copied into it: while exchange_stream_is_open, a session may have the
 * connection's outbox for its own (session.h). Its encoding then writes each message as a chunk of
 * its own, or as it is where the client knows none (exchange->chunks), and what has not left moves
 * away before exchange_stream_end, and in `gone`. The session's limits hold for these messages;
 * what waits of them counts against the room for pieces, too.
 *
 * Threads: the connection's worker. Owns nothing: pieces are copied. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_STREAM_H
#define RINGPOST_PROTO_HTTP_HTTP_STREAM_H

#include "proto/http/http_connection.h"

#define HTTP_STREAM_PIECE_BYTES_MAX HTTP_UNSENT_FEW_BYTES

/* What the writer of a stream is told. */
struct http_stream {
    /* A piece was FULL, or the head had to wait, and there is room now. */
    void (*room)(struct worker *worker, struct http_exchange *exchange);
    /* No more is wanted: the node drains (CLOSE_DRAINING), or the peer has sent its end
     * (CLOSE_CLIENT; found out within HTTP_WATCH_NS, at once if nothing came behind the request).
     * The stream should end soon, and may have last words. At most once for each: a peer that has
     * sent its end may read on, so a stream may stay for it, but not in a drain. Nothing is told
     * after CLOSE_DRAINING. */
    void (*stop)(struct worker *worker, struct http_exchange *exchange, enum close_reason reason);
    /* The connection has closed before the end. The exchange goes when this returns. */
    void (*gone)(struct worker *worker, struct http_exchange *exchange);
    /* Nothing has left for quiet_ns, and nothing waits: time for a heartbeat. NULL: none. */
    void (*quiet)(struct worker *worker, struct http_exchange *exchange);
    uint64_t quiet_ns;
};

/* From `serve`, or while the connection is held (http_hold). `type` and `extra` as for
 * exchange_answer. False: no pieces are wanted (HEAD), or the connection closes; the exchange is
 * answered and gone. */
bool exchange_stream_begin(struct worker *worker, struct http_exchange *exchange, unsigned status,
                           const char *type, struct span extra, const struct http_stream *stream);

/* Has its head been written? If not, `room` tells when it is. */
static inline bool exchange_stream_is_open(const struct http_exchange *exchange) {
    return exchange->stream_open;
}

enum http_stream_verdict {
    HTTP_STREAM_TAKEN,
    HTTP_STREAM_FULL, /* nothing of it was taken; `room` will be called, or `gone` */
    HTTP_STREAM_GONE  /* the connection has closed, `gone` was called */
};
/* A piece, of 1 to HTTP_STREAM_PIECE_BYTES_MAX bytes. */
enum http_stream_verdict exchange_stream_write(struct worker *worker,
                                               struct http_exchange *exchange, struct span piece);
/* The exchange is gone; the connection may have begun to close. */
void exchange_stream_end(struct worker *worker, struct http_exchange *exchange);
/* The same, and the connection ends with the stream, for that reason. */
void exchange_stream_end_as(struct worker *worker, struct http_exchange *exchange,
                            enum close_reason reason);

/* For the other files of this module. */
/* All answers before it have left. */
void http_stream_turn(struct worker *worker, struct http_connection *http);
/* Everything that was written has left. */
void http_stream_sent(struct worker *worker, struct http_connection *http);
/* The deadline fired: has the peer sent its end, is it time for a heartbeat? */
void http_stream_look(struct worker *worker, struct http_connection *http);
void http_stream_stop(struct worker *worker, struct http_connection *http,
                      enum close_reason reason);
/* The connection has closed. The exchange is not freed. */
void http_stream_gone(struct worker *worker, struct http_connection *http);

#endif
