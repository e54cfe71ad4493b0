/* bench_redis.h - a Redis server of our own, which ties the nodes under load together.
 *
 * `redis-server` is looked for in PATH. It listens on a free port of loopback, keeps nothing on
 * disk, has a temporary directory (in TMPDIR, or /tmp), and dies with the load tool.
 *
 * Threads: one. Owns: the child process and the directory. */
#ifndef RINGPOST_PERF_LOAD_BENCH_REDIS_H
#define RINGPOST_PERF_LOAD_BENCH_REDIS_H

#include <sys/types.h>

#include <stdbool.h>

struct bench_redis {
    pid_t pid; /* 0: none, or it has ended */
    char dir[256];
    char url[40]; /* for --redis */
};

/* Starts it and waits until it answers. False after a line on standard error. */
bool bench_redis_open(struct bench_redis *redis);
/* Does it still live? True also of none. */
bool bench_redis_alive(struct bench_redis *redis);
/* Ends it; a zeroed one is none. */
void bench_redis_close(struct bench_redis *redis);

#endif
