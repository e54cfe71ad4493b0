/* sse_write.h - how server-sent events are written: messages, what the server says of itself, and
 * comments.
 *
 * An event is a few lines and an empty one. A field's value ends with its line, so nothing that a
 * producer chose may hold a line break: ids and events cannot (names.h), and each line of a payload
 * becomes a `data` line of its own. What a client puts together out of these is the payload, with a
 * line feed for each line break.
 *
 * An encoding writes each message as one HTTP/1.1 chunk, or as it is for HTTP/1.0.
 *
 * Threads: any (pure functions). Owns nothing. */
#ifndef RINGPOST_PROTO_WEB_SSE_WRITE_H
#define RINGPOST_PROTO_WEB_SSE_WRITE_H

#include "core/message.h"
#include "proto/client/line.h"

/* In chunks, and without. A payload of bytes is a JSON string with their base64. A repeat says
 * nothing of itself. */
extern struct encoding encoding_sse, encoding_sse_plain;

/* What the server says, in events that have no id; within SSE_EVENT_BYTES_MAX. */
#define SSE_EVENT_BYTES_MAX (LINE_ANSWER_BYTES_MAX + 128)
void sse_welcome(struct builder *out, const struct welcome *welcome);
void sse_goodbye(struct builder *out, const char *reason, uint64_t reconnect_ms);
/* Means nothing; a heartbeat. */
#define SSE_COMMENT SPAN(":\n\n")

/* The next line of a text, without its end: LF, CR or both. False: there is none left. A text that
 * is empty, or that ends in a line break, has an empty last line. */
bool sse_line_next(struct span *rest, struct span *line);

#endif
