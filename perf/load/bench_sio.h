/* bench_sio.h - a client's side of Socket.IO 4 (Engine.IO 4), as the load tool speaks it.
 *
 * A client takes part in the namespace `/` alone. It says who it is in `auth` of its CONNECT, or
 * with share->by_hello by `register`, whose callback is BENCH_SIO_REGISTER; a heartbeat of its own
 * is a `leave` of no group, whose callback is BENCH_SIO_PING, since Socket.IO has none for clients.
 *
 * Pure functions over bytes: no clock, no socket, no allocation. Threads: any. */
#ifndef RINGPOST_PERF_LOAD_BENCH_SIO_H
#define RINGPOST_PERF_LOAD_BENCH_SIO_H

#include "perf/load/bench_wire.h"

#define BENCH_SIO_REGISTER '0'
#define BENCH_SIO_PING '1'
#define BENCH_SIO_SEPARATOR 0x1e /* of packets in the answer to a poll */
#define BENCH_SIO_SID_MAX 32u

/* What a packet of Engine.IO is; `used` is its length. BENCH_LINE_WELCOME is the callback of
 * `register` that says yes, BENCH_LINE_PONG that of the heartbeat. A message is an event of the
 * name `message`, whose first argument is the payload, and whose second one, if any, tells of it.
 */
struct bench_line bench_sio_text(const uint8_t *at, size_t len, uint32_t payload_size);
/* As bench_line_asks, for a client that has asked for a second argument (`meta`). */
bool bench_sio_asks(const uint8_t *at, const struct bench_line *line, struct bench_asks *asks);
/* The session id of a BENCH_LINE_OPEN, and a NUL. False: there is none, or a longer one. */
bool bench_sio_sid(const uint8_t *at, size_t len, char out[BENCH_SIO_SID_MAX + 1]);

#endif
