/* bench_server.h - a node under load: one that we start and end, or one that runs already.
 *
 * A started node gets ephemeral loopback ports, a temporary directory (in TMPDIR, or /tmp) for its
 * ports file and log, and dies with the load tool. It is ended by its process id and nothing else.
 *
 * Threads: one. Owns: the child process and the directory. */
#ifndef RINGPOST_PERF_LOAD_BENCH_SERVER_H
#define RINGPOST_PERF_LOAD_BENCH_SERVER_H

#include "perf/load/bench_options.h"

#define BENCH_DIR_BYTES 256u
#define BENCH_SERVER_MORE_MAX 6u

struct bench_server {
    pid_t pid; /* 0: unknown */
    bool ours;
    bool failed;     /* keep the log */
    char ending[96]; /* how it ended, if that was not as asked; otherwise empty */
    char dir[BENCH_DIR_BYTES];
    struct sockaddr_in clients, api; /* where clients connect, and producers */
};

/* Starts or finds the node. `more` are further arguments of one that is started, as many as there
 * are before a NULL, BENCH_SERVER_MORE_MAX at most. False after a line on standard error. */
bool bench_server_open(struct bench_server *server, const struct bench_options *options,
                       const char *const *more);
/* Does it still live? True also if we cannot know. */
bool bench_server_alive(struct bench_server *server);
/* Ends a node of ours: asks, waits 5 s, kills. */
void bench_server_close(struct bench_server *server);

#endif
