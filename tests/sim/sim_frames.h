/* sim_frames.h - clients that speak over WebSocket: their frames, and the node's.
 *
 * A parser and a writer of their own, which share nothing with the node's.
 *
 * Threads: one. Owns nothing. */
#ifndef RINGPOST_TESTS_SIM_SIM_FRAMES_H
#define RINGPOST_TESTS_SIM_SIM_FRAMES_H

#include "tests/sim/sim_text.h"

/* The request that makes a connection of `web` one. */
void frames_ask(struct text *out);
/* Each line of `lines` as a message, whole or in pieces, perhaps with a ping between them. */
void frames_write(struct text *out, const struct text *lines);
/* Frames without a message. */
void frames_write_pong(struct text *out);
void frames_write_close(struct text *out);

enum { FRAME_TEXT = 1, FRAME_CLOSE = 8, FRAME_PING = 9, FRAME_PONG = 10 };
/* The first frame of the node's: the bytes that it takes, 0 while some are missing, or -1 if it is
 * none that a server may send. */
int frame_read(struct span bytes, unsigned *opcode, struct span *payload);

#endif
