/* bench_rabbit.h - the RabbitMQ whose queue a node under load consumes.
 *
 * One that runs already, or one of our own: `rabbitmq-server` of Debian's package, with the port
 * mapper of Erlang (epmd), on free ports of loopback, in a temporary directory (in TMPDIR, or
 * /tmp), not clustered, without plugins, one scheduler. Both die with the load tool.
 *
 * Threads: one. Owns: the child processes and the directory. */
#ifndef RINGPOST_PERF_LOAD_BENCH_RABBIT_H
#define RINGPOST_PERF_LOAD_BENCH_RABBIT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

struct bench_rabbit {
    pid_t pid; /* of the broker; 0: none, or unknown */
    pid_t epmd;
    bool ours;
    struct sockaddr_in at;
    char dir[256];
    char url[40]; /* for --amqp */
};

/* Starts it and waits until it listens; `running`, if its port is not 0, is one to use instead.
 * False after a line on standard error. */
bool bench_rabbit_open(struct bench_rabbit *rabbit, const struct sockaddr_in *running);
/* Does it still live? True also of one that is not ours. */
bool bench_rabbit_alive(struct bench_rabbit *rabbit);
/* Ends one of our own; a zeroed one is none. */
void bench_rabbit_close(struct bench_rabbit *rabbit);

#endif
