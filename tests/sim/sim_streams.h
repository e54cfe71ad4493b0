/* sim_streams.h - peers of the toy service whose answers stream (tests/toys/toy_web.h) on the `web`
 * listener: they ask for streams and what is behind them, read all, little or nothing, end and
 * reset, and know every byte that may come back.
 *
 * Threads: one. Owns: its peers. */
#ifndef RINGPOST_TESTS_SIM_SIM_STREAMS_H
#define RINGPOST_TESTS_SIM_SIM_STREAMS_H

#include "core/server.h"
#include "tests/sim/sim_world.h"

void streams_open(void);
void streams_close(void);
/* As their namesakes in sim_toys.h. */
bool streams_step(void);
bool streams_can_step(void);
uint64_t streams_next_ns(void);
void streams_leave(void);
void streams_quiet_check(void);
void stream_on_bytes(struct link *link, const char *at, size_t len);
/* After a turn of the worker: its streams are on connections that are open, within their limits,
 * and their writers know what they are to know. */
void streams_turn_check(struct worker *worker);
/* The node has stopped: no stream is left. */
void streams_left_check(void);

#endif
