/* line.h - the JSON client protocol: one object per line over TCP, one per text frame over
 * WebSocket.
 *
 * Reads one line of a client, already cut off its line end, into a `struct client_line`, which
 * counted framing (counted.h) fills as well, so that a session handles one thing. Writes the
 * objects of the server, without a line end, which belongs to the transport.
 *
 * A line that is no JSON is BAD_JSON, whatever else is wrong with it. Fields that the line's type
 * does not know are ignored, known ones must be right and must not come twice; null counts as
 * absent.
 *
 * Threads: any (pure functions). Owns nothing: spans point into the line or into the room. */
#ifndef RINGPOST_PROTO_CLIENT_LINE_H
#define RINGPOST_PROTO_CLIENT_LINE_H

#include "core/base/builder.h"
#include "core/base/span.h"
#include "core/limits.h"
#include "proto/text/complaint.h"
#include "proto/text/names.h"

enum client_line_type {
    CLIENT_LINE_NONE, /* not known (refused) */
    CLIENT_LINE_HELLO,
    CLIENT_LINE_ACK,
    CLIENT_LINE_JOIN,
    CLIENT_LINE_LEAVE,
    CLIENT_LINE_SEND,
    CLIENT_LINE_PING,
    CLIENT_LINE_PONG,
};

/* Where a line's names are kept; one for each worker, used for one line at a time, need not be
 * zeroed. */
#define LINE_NAMES_MAX ADDRESSES_PER_MESSAGE_MAX
#define LINE_TEXT_BYTES ((LINE_NAMES_MAX + 4) * NAME_BYTES_MAX)
struct line_scratch {
    struct span names[LINE_NAMES_MAX];
    char text[LINE_TEXT_BYTES];
};

struct client_line {
    enum client_line_type type;
    struct span ref;        /* as it was written, to be echoed; empty: none */
    struct span id;         /* HELLO: the client id; empty: none */
    struct span resume;     /* HELLO: the message id to go on after; empty: it can be none */
    bool resumes;           /* HELLO: `resume` was there */
    struct name_list names; /* HELLO, JOIN, LEAVE: groups, perhaps none; ACK: message ids */
    struct span fields;     /* SEND: the object with the message's fields, for envelope_parse */
    size_t payload_bytes;   /* SEND in counted framing: what follows the line, without its end */
};

/* Reads one line (a trailing CR is ignored). False: `complaint`, and `line` has the type and the
 * ref if they could be made out.
 * SEND: the rest of the line was not looked at. `fields` is the whole object; envelope_parse checks
 * it and finds `ref` (ENVELOPE_LINE). */
bool line_parse(struct span text, struct line_scratch *room, struct client_line *line,
                struct complaint *complaint);
/* Reads a hello object in which `type` may be missing. */
bool line_parse_hello(struct span text, struct line_scratch *room, struct client_line *line,
                      struct complaint *complaint);

/* What a welcome says. */
struct welcome {
    struct span session;
    struct span node;
    uint64_t heartbeat_ns;
    uint64_t max_message_bytes;
    bool resumed; /* the hello had `resume`, so `recovered` is told */
    bool recovered;
};

/* What is written about a message beside its payload. */
struct message_label {
    struct span id;
    struct span event;
    struct span group_json; /* the message's own `group`, JSON in one line; empty: not by group */
    bool ack;
    bool redelivered;
    bool bytes; /* the payload is bytes, not JSON */
};

/* At most so many bytes are written by each of line_welcome, line_ok, line_sent, line_error,
 * line_goodbye, if the caller keeps the contract's limits for names. */
#define LINE_ANSWER_BYTES_MAX 4096

void line_welcome(struct builder *out, const struct welcome *welcome);
/* Nothing must be written when the line had no ref. */
void line_ok(struct builder *out, struct span ref);
/* The answer to a send. */
void line_sent(struct builder *out, struct span ref, struct span id, const char *state);
/* `ref` may be empty. */
void line_error(struct builder *out, enum code code, const char *text, struct span ref);
void line_goodbye(struct builder *out, const char *reason, uint64_t reconnect_ms);
#define LINE_PING SPAN("{\"type\":\"ping\"}")
#define LINE_PONG SPAN("{\"type\":\"pong\"}")

/* A message: head, payload, tail. The payload is JSON in one line, or, with label->bytes, base64 in
 * quotes, which line_message_bytes writes. */
void line_message_head(struct builder *out, const struct message_label *label);
void line_message_bytes(struct builder *out, struct span payload);
void line_message_tail(struct builder *out);
/* At most so many bytes are written by head and tail. */
size_t line_message_bound(const struct message_label *label);

#endif
