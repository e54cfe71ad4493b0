/* bench_sse.h - a client's side of server-sent events, as the load tool reads them.
 *
 * The body of the answer is taken out of its chunks where it is, and events are read in what is
 * left: where a chunk begins and ends says nothing of an event.
 *
 * Pure functions over bytes but for what a client keeps of its chunk: no clock, no socket, no
 * allocation. Threads: any. */
#ifndef RINGPOST_PERF_LOAD_BENCH_SSE_H
#define RINGPOST_PERF_LOAD_BENCH_SSE_H

#include "perf/load/bench_wire.h"

/* An event that is longer is refused: the node's messages have less. */
#define BENCH_SSE_EVENT_MAX (256u * 1024)

/* Where the body of an answer stands. Zeroed: before it. */
struct bench_chunks {
    uint32_t left; /* bytes of the chunk; its length as far as it is read */
    uint8_t state;
};

/* Reads the head of the answer to a request for events. BENCH_LINE_OTHER: `used` is the head, and
 * *chunks is at the start of its body; BENCH_LINE_BAD with `why`; BENCH_LINE_MORE. */
struct bench_line bench_sse_answer(const uint8_t *at, size_t len, struct bench_chunks *chunks);
/* Takes the next `len` bytes of the body out of their chunks, to `at` on. Gives how many they are,
 * -1 if they are no chunks. */
long bench_chunks_take(struct bench_chunks *chunks, uint8_t *at, size_t len);

/* The next event in what bench_chunks_take gave. BENCH_LINE_MESSAGE has an id, as every message of
 * the node has, and a payload of `payload_size` bytes or NULL. A comment is BENCH_LINE_NOTHING, but
 * for the `hi` by which nchan (perf/peers) welcomes. */
struct bench_line bench_sse_read(const uint8_t *at, size_t len, uint32_t payload_size);

#endif
