/* sim_tap.h - reads what the node writes to a link, at the moment when the fake kernel takes it.
 *
 * So the oracle knows every byte that was handed to a socket, also when the peer never reads it.
 * The tap has parsers of its own, which share nothing with the node's: lines of JSON, counted
 * frames, HTTP answers, streams of events. What a peer reacts to (welcome, ping, answers) is queued
 * as events with the place in the stream at which they end; the peer sees an event once it has read
 * that far.
 *
 * Threads: one. Owns: bytes of an unfinished unit, events. */
#ifndef RINGPOST_TESTS_SIM_SIM_TAP_H
#define RINGPOST_TESTS_SIM_SIM_TAP_H

#include "core/base/span.h"

struct link;
struct sim_session;
struct sim_peer;
struct sim_toy;
struct sim_stream;

enum tap_kind {
    TAP_UNKNOWN,
    TAP_JSON,
    TAP_COUNTED,
    TAP_UPGRADE, /* the answer to a handshake, then FRAMES */
    TAP_FRAMES,
    TAP_HTTP,
    TAP_TOY,
    TAP_STREAM,
    TAP_SSE,
    TAP_POSTER,
    TAP_POLL
};
enum tap_event_kind {
    TAP_WELCOME,
    TAP_OK,
    TAP_ERROR,
    TAP_GOODBYE,
    TAP_PING,
    TAP_PONG,
    TAP_MESSAGE,
    TAP_ANSWER,
    TAP_REFUSED /* a handshake */
};

struct tap_event {
    uint64_t end; /* offset in the stream */
    enum tap_event_kind kind;
    uint32_t ref;
    uint32_t status;
    uint32_t content; /* of a message; UINT32_MAX: unknown */
    uint32_t acks;    /* messages to be acknowledged that the session had with it */
    char id[66];      /* of a message of a stream */
    char code[24];
};

struct tap {
    struct link *link;
    enum tap_kind kind;
    struct sim_session *session; /* of a client */
    struct sim_peer *producer;   /* of an HTTP connection */
    struct sim_toy *toy;         /* of a toy's (sim_toys.h), which looks at the bytes itself */
    struct sim_stream *stream;   /* the same (sim_streams.h) */
    struct wire *wire;           /* the same (sim_polls.c) */
    char *at;
    size_t len, size;
    size_t looked;   /* bytes in which there is no end of a line */
    uint64_t offset; /* of at[0] in the stream */
    bool in_payload;
    char head[1024]; /* counted: the control line of the payload that follows; a stream: what comes
                        behind its head, 'c' for chunks, 'p' for bytes, 'e' for nothing */
    uint64_t head_offset;
    size_t payload_len; /* counted */
    struct tap_event *events;
    unsigned event_count, event_taken, event_size;
    unsigned messages; /* whole ones */
};

void tap_open(struct tap *tap, struct link *link);
void tap_close(struct tap *tap);
/* Between the files of this module: what is whole is told, and done with. */
struct tap_event *tap_event_add(struct tap *tap, enum tap_event_kind kind, uint64_t end);
void tap_drop(struct tap *tap, size_t count);
void tap_feed(struct tap *tap, const char *at, size_t len);
/* The next event that ends within what the peer has read; NULL: none. */
const struct tap_event *tap_next(struct tap *tap, uint64_t read_offset);

#endif
