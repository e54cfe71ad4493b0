/* bench_polls.h - clients of Socket.IO by long polling: as many sessions as keep-alive connections,
 * and no session has a connection of its own.
 *
 * A session has one request under way at most, on a connection that it has for that request alone:
 * the handshake, the POST of its CONNECT (and of its `register`), then one poll after the other,
 * and the POST of a pong where a poll brought a ping. After each answer its next request takes a
 * random one of the connections that are idle. Since each session that polls holds one of them, a
 * few have to be idle for a choice: a session waits for its next poll until more than one in
 * BENCH_POLLS_CHOICE connections are idle, and two at least, or BENCH_POLLS_PAUSE_NS are over. So,
 * of many sessions, fewer than one message in a hundred finds its session without a poll by that.
 *
 * It is a swarm (bench_swarm.h) by other means, and keeps the same tally; `polls`, `polls_moved`,
 * `shared` and `carried` in it are for what it has to prove.
 *
 * Threads: the one that drives its net. Owns: its sockets; writes one tally of the share. */
#ifndef RINGPOST_PERF_LOAD_BENCH_POLLS_H
#define RINGPOST_PERF_LOAD_BENCH_POLLS_H

#include "perf/load/bench_net.h"
#include "perf/load/bench_share.h"
#include "perf/load/bench_sio.h"
#include "perf/load/bench_talk.h"

#define BENCH_POLLS_CHOICE 128u
#define BENCH_POLLS_PAUSE_NS UINT64_C(20000000)
#define BENCH_POLLS_CARRIED 8u /* sessions of a connection that are told apart */

struct bench_poller { /* a session */
    char sid[BENCH_SIO_SID_MAX + 1];
    uint8_t state;
    uint8_t next;  /* its next request, or the one under way */
    uint32_t last; /* the connection that it had last */
    uint64_t begun_ns;
    uint64_t wants_ns; /* since when it waits for a connection */
};

struct bench_carrier { /* a connection */
    int fd;
    uint8_t state;
    bool used; /* a request of it was answered */
    uint8_t carried_count;
    uint32_t run;                          /* of `carried` */
    uint32_t session;                      /* whose request it has */
    uint32_t carried[BENCH_POLLS_CARRIED]; /* the first sessions that it had in a run */
    struct bench_rest rest;
};

struct bench_polls {
    struct bench_net *net;
    struct bench_share *share;
    struct bench_tally *tally;
    struct sockaddr_in to;
    uint32_t first, count, sources;
    struct bench_poller *sessions;
    struct bench_carrier *carriers;
    uint32_t *idle, idle_count;                /* connections */
    uint32_t *wanting, want_at, wanting_count; /* a ring of sessions without a connection */
    uint32_t pending;                          /* sessions that have begun and are not ready */
    uint32_t scan;
    uint64_t opening_ns; /* when the order to open came; 0: not opening */
    uint64_t chance;
    struct bench_answer_memory memory; /* of all connections: their answers are alike */
    struct bench_talk talk;
};

/* The same as those of a swarm. */
struct bench_polls *bench_polls_open(struct bench_net *net, struct bench_share *share,
                                     struct bench_tally *tally, uint32_t first, uint32_t count,
                                     const struct sockaddr_in *to, uint32_t sources);
void bench_polls_close(struct bench_polls *polls);
uint64_t bench_polls_step(struct bench_polls *polls, uint64_t now_ns);
void bench_polls_on_event(struct bench_polls *polls, uint32_t place, uint32_t events);

#endif
