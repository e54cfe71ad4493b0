/* micro_redis.h - what the Redis port adds to what must be done anyway: the port with one fake
 * worker, and a bare loop over hiredis' formatter and reader, each of them publishes as many
 * messages as it gets, by the same redis-server, with the same other side.
 *
 *   subject --PUBLISH ringpost:id:out--> Redis --> the other side, a bare loop in
 *           <------- ringpost:id:in -----       <-- a process of its own
 *
 * Each side is MICRO_AHEAD messages ahead of the other at most, and has MICRO_UNANSWERED without an
 * answer. So all is pipelined both ways, nothing piles up at Redis, and the fake worker, which is a
 * port, is never passed over for what it owes (port_wait.h: a quarter of a queue, 4,096 messages).
 *
 * Threads: one process for each side and turn; micro_port starts those of a node in its own. */
#ifndef RINGPOST_PERF_MICRO_REDIS_MICRO_REDIS_H
#define RINGPOST_PERF_MICRO_REDIS_MICRO_REDIS_H

#include "core/base/clock.h"

#include <stddef.h>

#define MICRO_OUT "ringpost:id:out"
#define MICRO_IN "ringpost:id:in"
#define MICRO_AHEAD 1024
#define MICRO_UNANSWERED 1024
/* Nothing has come for so long: it failed. */
#define MICRO_SILENT_NS (10 * NS_PER_S)

struct micro_took {
    uint64_t ns;     /* from the first message until all were sent, answered and received */
    uint64_t cpu_ns; /* of the process, within that */
};

_Noreturn void micro_fail(const char *what);
/* CPU time of this process so far. */
uint64_t micro_cpu_ns(void);

/* What nodes write on a channel: a message with a payload of 128 bytes, its numbers from `number`
 * on. Each has the same length. */
size_t micro_text(char text[512], const char *to, uint64_t number);
/* The payload, as JSON. */
#define MICRO_PAYLOAD_BYTES 128
void micro_payload(char payload[MICRO_PAYLOAD_BYTES + 1]);

/* A bare loop that publishes and hears so many; begins when both channels are subscribed. */
struct micro_took micro_bare(unsigned port, const char *out, const char *in, uint64_t count);
/* Waits until somebody has subscribed both channels. */
void micro_await(unsigned port);
/* A node without clients, of which the fake worker is a port: it holds the id `in`, and publishes
 * to `out`. */
struct micro_took micro_port(const char *url, unsigned port, uint64_t count);

#endif
