/* encodings.h - the wire forms of a message: what the engine calls to write one for a protocol.
 *
 * Thin: takes a message apart and lets the codec write it. To add one: a line in the enum, a struct
 * here, ENCODINGS_MAX permitting.
 *
 * Threads: any (pure functions over sealed messages). */
#ifndef RINGPOST_PROTO_CLIENT_ENCODINGS_H
#define RINGPOST_PROTO_CLIENT_ENCODINGS_H

#include "core/message.h"

enum encoding_index { ENCODING_LINE, ENCODING_COUNTED, ENCODING_COUNT };

/* JSON lines over TCP, with the line end. A payload of bytes is in the head, as base64, and so is
 * one with U+0085, U+2028 or U+2029, escaped: line readers of some languages split there. */
extern const struct encoding encoding_line;
/* Counted framing. The payload is never touched. */
extern const struct encoding encoding_counted;

_Static_assert(ENCODING_COUNT <= ENCODINGS_MAX, "every encoding has a place in a parcel");

#endif
