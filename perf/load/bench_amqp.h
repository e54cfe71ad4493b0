/* bench_amqp.h - what the load tool says to a broker of AMQP 0-9-1 (RabbitMQ).
 *
 * Two kinds of connection. One blocks and is the tool's own: it makes the queue, looks at it, and
 * can keep it from everybody else. The others are producers' (bench_producer.h): opened here, then
 * written and read without waiting, a publish being a request as one of HTTP is and a confirm its
 * answer. Messages are transient, and every one is confirmed.
 *
 * User guest, virtual host /, channel 1. A blocking call waits BENCH_AMQP_WAIT_S for each answer,
 * and says on standard error what was wrong.
 *
 * Threads: any, one for each connection. Owns: nothing; the caller closes the descriptors. */
#ifndef RINGPOST_PERF_LOAD_BENCH_AMQP_H
#define RINGPOST_PERF_LOAD_BENCH_AMQP_H

#include "perf/load/bench_wire.h"

#include <netinet/in.h>

#define BENCH_AMQP_WAIT_S 20
#define BENCH_AMQP_QUEUE "ringpost-bench"

/* Connects and opens the channel; `confirms`: what is published there is confirmed. Gives a
 * descriptor that blocks, -1 after a complaint. */
int bench_amqp_open(const struct sockaddr_in *to, bool confirms);
/* A new queue of that name, durable; one that is there is deleted with what is in it. Of several
 * consumers one gets all, until it is gone. */
bool bench_amqp_declare(int fd);
bool bench_amqp_delete(int fd);
/* Waits until the queue has so many consumers. */
bool bench_amqp_consumers_wait(int fd, uint32_t count);
/* This connection becomes the queue's first consumer, and takes no message but one that it
 * publishes itself: whoever consumes after it gets nothing until bench_amqp_release. The queue is
 * empty. */
bool bench_amqp_hold(int fd);
bool bench_amqp_release(int fd);

/* A publish to the queue: an envelope with its address and a payload, to be stamped. `out` has
 * bench_request_max bytes. */
struct bench_request bench_amqp_request(uint8_t *out, uint32_t payload_size);

/* What a broker says of publishes. */
struct bench_confirm {
    uint64_t tag;  /* of the publish, from 1 for the first of the connection; 0: it says nothing */
    bool multiple; /* of it and all before it that nothing was said of */
    bool good;
};
/* Reads one frame. Gives the bytes used, 0 if more are needed, -1 if it is none that belongs
 * there. */
long bench_amqp_confirm_read(const uint8_t *at, size_t len, struct bench_confirm *confirm);

#endif
