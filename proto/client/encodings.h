/* encodings.h - the wire forms of a message: what the engine calls to write one for a protocol.
 *
 * Thin: takes a message apart and lets the codec write it. To add one: a struct here, and its place
 * in the composition root (server_parts).
 *
 * Threads: any (pure functions over sealed messages). */
#ifndef RINGPOST_PROTO_CLIENT_ENCODINGS_H
#define RINGPOST_PROTO_CLIENT_ENCODINGS_H

#include "core/message.h"

/* JSON lines over TCP, with the line end. A payload of bytes is in the head, as base64, and so is
 * one with U+0085, U+2028 or U+2029, escaped: line readers of some languages split there. */
extern struct encoding encoding_line;
/* Counted framing. The payload is never touched. */
extern struct encoding encoding_counted;
/* JSON objects over WebSocket, each in one text frame. */
extern struct encoding encoding_frame;
/* The same for a message that may have been written before: they say `redelivered`. */
extern struct encoding encoding_line_again, encoding_counted_again, encoding_frame_again;

#endif
