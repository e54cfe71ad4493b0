/* sim_frames.h - clients that speak over WebSocket: their frames, and the node's.
 *
 * A parser and a writer of their own, which share nothing with the node's but zlib.
 *
 * Threads: one. Owns nothing. */
#ifndef RINGPOST_TESTS_SIM_SIM_FRAMES_H
#define RINGPOST_TESTS_SIM_SIM_FRAMES_H

#include "tests/sim/sim_text.h"

/* The request that makes a connection of `web` one; it may offer to compress. */
void frames_ask(struct text *out, bool deflates);
/* Each line of `lines` as a message, whole or in pieces, perhaps with a ping between them, and
 * compressed, if that was agreed on, by chance. */
void frames_write(struct text *out, const struct text *lines, bool deflates);
/* Frames without a message. */
void frames_write_pong(struct text *out);
void frames_write_close(struct text *out);

enum { FRAME_PACKED = 0x40, FRAME_TEXT = 1, FRAME_CLOSE = 8, FRAME_PING = 9, FRAME_PONG = 10 };
/* The first frame of the node's: the bytes that it takes, 0 while some are missing, or -1 if it is
 * none that a server may send. */
int frame_read(struct span bytes, unsigned *opcode, struct span *payload);
/* What a compressed payload says; it stays until the next call. */
struct span frame_inflate(struct span payload);

#endif
