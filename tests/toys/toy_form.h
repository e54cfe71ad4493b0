/* toy_form.h - messages of the toy sessions (toy_session.h): how they are written, with a mark that
 * each copy has of its own, and who says them.
 *
 *     !<mark>:<payload> LF      or with a ? in front, the other variant; the third is the first as
 *                               a chunk of an HTTP answer (toy_stream.h), the last two as packets
 *                               of Engine.IO, in a poll and as a frame (toy_engine.h)
 *
 * Threads: the worker's. Owns: nothing. */
#ifndef RINGPOST_TESTS_TOYS_TOY_FORM_H
#define RINGPOST_TESTS_TOYS_TOY_FORM_H

#include "core/message.h"

#define TOY_NAMESPACE 1
#define TOY_TTL_NS (5 * NS_PER_S)

enum toy_variant { TOY_PLAIN, TOY_OTHER, TOY_CHUNK, TOY_PACKET, TOY_FRAME, TOY_VARIANTS };
extern struct encoding toy_encodings[TOY_VARIANTS]; /* for server_parts */

/* Publishes a message for all toy sessions, on whatever worker they are, if there is room for it.
 */
void toy_say(struct worker *worker, struct span payload);

#endif
