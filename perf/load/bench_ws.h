/* bench_ws.h - a client's side of WebSocket (RFC 6455), as the load tool speaks it.
 *
 * It is as strict as the server has to be good: what a server must not write is refused with a
 * sentence that says what it is. Two things that RFC 6455 allows a server are refused, too, since
 * ringpost never writes them and a load tool should not hide them: a message in fragments, and a
 * binary one. It offers no extension and no subprotocol.
 *
 * Pure functions over bytes: no clock, no socket, no allocation. Threads: any. */
#ifndef RINGPOST_PERF_LOAD_BENCH_WS_H
#define RINGPOST_PERF_LOAD_BENCH_WS_H

#include "perf/load/bench_wire.h"

#define BENCH_WS_KEY_BYTES 24u
#define BENCH_WS_ACCEPT_BYTES 28u
/* A server's frame that is longer is refused: the node's messages have less. */
#define BENCH_WS_FRAME_MAX (256u * 1024)

/* Writes a Sec-WebSocket-Key and a NUL. The key of other values is another one. */
void bench_ws_key(char out[BENCH_WS_KEY_BYTES + 1], uint64_t one, uint64_t other);
/* Writes the Sec-WebSocket-Accept that answers the key, and a NUL. */
void bench_ws_accept(char out[BENCH_WS_ACCEPT_BYTES + 1], const char key[BENCH_WS_KEY_BYTES]);

/* Is the line of an HTTP head `name: value`, whatever the case of the letters? An empty value: any
 * is. */
bool bench_header_is(const char *line, size_t len, const char *name, const char *value);

/* Writes the request that asks for WebSocket. `target` is path and query, `host` the Host header.
 * Gives its length; 0: there is not the room for it. */
size_t bench_ws_request(char *out, size_t room, const char *target, const char *host,
                        const char key[BENCH_WS_KEY_BYTES]);
/* Reads the answer to it. BENCH_LINE_OTHER: the connection is WebSocket now; BENCH_LINE_BAD with
 * `why` if it is not; BENCH_LINE_MORE. `used` is the head alone. */
struct bench_line bench_ws_answer(const uint8_t *at, size_t len,
                                  const char key[BENCH_WS_KEY_BYTES]);

enum bench_ws_opcode {
    BENCH_WS_GOES_ON = 0,
    BENCH_WS_TEXT = 1,
    BENCH_WS_BINARY = 2,
    BENCH_WS_CLOSE = 8,
    BENCH_WS_PING = 9,
    BENCH_WS_PONG = 10
};

/* Room that the head of a client's frame needs in front of what is in it. */
#define BENCH_WS_HEAD_MAX 8u
/* Masks the `len` bytes (at most 65,535) where they are, and writes the head of the frame in front
 * of them. Gives where the frame begins. */
uint8_t *bench_ws_wrap(uint8_t *at, size_t len, enum bench_ws_opcode opcode, uint32_t mask);

/* The next frame in what a client received. A text is what bench_line_text says it is, but for a
 * ping, which is a frame here; with BENCH_FORM_SIO it is what bench_sio_text says, pings as well.
 * What is in a frame begins `head` bytes behind `at`. */
struct bench_line bench_ws_read(const uint8_t *at, size_t len, enum bench_form form,
                                uint32_t payload_size);

#endif
