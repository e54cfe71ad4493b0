/* bench_queue.h - the queue between producers and node: a broker, and the tool's own connection
 * to it.
 *
 * Threads: one. Owns: the broker if it is ours, the connection, and the queue, whose name is
 * BENCH_AMQP_QUEUE whatever the broker. */
#ifndef RINGPOST_PERF_LOAD_BENCH_QUEUE_H
#define RINGPOST_PERF_LOAD_BENCH_QUEUE_H

#include "perf/load/bench_rabbit.h"

#include <stdint.h>

struct bench_queue {
    struct bench_rabbit rabbit;
    int control; /* -1: there is no queue */
    bool held;   /* whoever consumes gets nothing yet */
};

void bench_queue_init(struct bench_queue *queue);
/* A broker (bench_rabbit_open) with an empty queue, `held` or not. False after a complaint. */
bool bench_queue_open(struct bench_queue *queue, const struct sockaddr_in *running, bool held);
/* Waits until somebody consumes it beside whoever holds it. False after a complaint. */
bool bench_queue_consumed(struct bench_queue *queue);
/* From now on what is in a queue that is held is given out. */
bool bench_queue_release(struct bench_queue *queue);
void bench_queue_close(struct bench_queue *queue);

#endif
