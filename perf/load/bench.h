/* bench.h - `ringpost bench`: the load tool.
 *
 * Opens clients on raw TCP, WebSocket, server-sent events or Socket.IO, pushes messages over the
 * HTTP API of a node, or by a queue that it consumes, and checks that each arrives once, in order
 * and where it belongs; prints latencies, rates, the node's CPU and memory, and its own CPU use, so
 * that a tired generator is not mistaken for a slow node. Loopback only.
 *
 * Threads: runs on the calling thread, in this process and in helper processes that it ends. */
#ifndef RINGPOST_PERF_LOAD_BENCH_H
#define RINGPOST_PERF_LOAD_BENCH_H

/* Runs one scenario. `argv[0]` is "bench". Gives the exit status: 0 done and everything checked
 * out, 1 it could not run or messages were lost, repeated, mixed up or damaged, 2 bad usage. */
int bench_main(int argc, char **argv);

#endif
