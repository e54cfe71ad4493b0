/* bench_swarm.h - a range of clients in one process: they connect, say hello, and check what
 * arrives.
 *
 * A client: closed -> connecting -> (over WebSocket and SSE: shaking, its handshake is under way)
 * -> greeting (hello sent, or registered by the handshake, or Socket.IO on its way) -> ready ->
 * lost. Clients that poll have no connections of their own: bench_polls.h does their part. Every
 * message is checked for being ours, undamaged, in the right place, once and in order; its latency
 * is its arrival less the time in it. One that asks for it is acknowledged, but by clients that
 * never do; such a message may come again, and is checked for having been there.
 *
 * A tool that has no CPU to spare reads late, and what it then finds together in a socket has the
 * time of the last. Where overload is measured, the first clients are therefore a swarm of their
 * own (share->timed): its process has little to do, so it reads in time, and latency is told by it
 * alone. It is a sample, of every shape of load.
 *
 * Threads: the one that drives its net. Owns: its clients' sockets; writes one tally of the share.
 */
#ifndef RINGPOST_PERF_LOAD_BENCH_SWARM_H
#define RINGPOST_PERF_LOAD_BENCH_SWARM_H

#include "perf/load/bench_held.h"
#include "perf/load/bench_net.h"
#include "perf/load/bench_polls.h"
#include "perf/load/bench_share.h"
#include "perf/load/bench_sse.h"
#include "perf/load/bench_talk.h"

#define BENCH_ACKS_MAX 512u /* ids in one acknowledgement */

struct bench_client {
    int fd;
    uint8_t state;
    struct bench_chunks chunks; /* of its stream of events */
    struct bench_rest rest;
    struct bench_held *held; /* what it has not acknowledged yet, if it is to hold something */
    uint64_t begun_ns;
    uint64_t pinged_ns;  /* when its heartbeat was written; 0: none is on its way */
    uint32_t pinged_run; /* in which run that was */
};

struct bench_swarm {
    struct bench_net *net;
    struct bench_share *share;
    struct bench_tally *tally;
    const struct sockaddr_in *to; /* where clients connect, */
    uint32_t to_count;            /* some at each */
    uint32_t first, count;        /* its clients: first .. first + count - 1 */
    uint32_t sources;             /* source addresses 127.0.1.1 and up */
    struct bench_client *clients;
    uint32_t pending;          /* connecting, shaking or greeting */
    uint64_t opening_ns;       /* when the order to open came; 0: not opening */
    uint32_t scan;             /* where the search for clients that wait too long stands */
    uint32_t ping_place;       /* whose heartbeat is next */
    uint64_t ping_ns;          /* when it is due; 0: they have not begun */
    uint32_t again_place;      /* who connects anew next, */
    uint64_t again_ns;         /* and when; 0: nobody does */
    struct bench_polls *polls; /* with BENCH_FORM_POLL, instead of clients */
    struct bench_talk talk;    /* what is being said */
    struct bench_talk acks;    /* of one client, to be written when what it received is read */
    uint64_t acks_hashes[BENCH_ACKS_MAX]; /* of the ids in it (bench_fate_hash) */
};

/* `to` must outlive it. False with errno without memory. */
bool bench_swarm_open(struct bench_swarm *swarm, struct bench_net *net, struct bench_share *share,
                      uint32_t number, uint32_t first, uint32_t count, const struct sockaddr_in *to,
                      uint32_t to_count, uint32_t sources);
void bench_swarm_close(struct bench_swarm *swarm);
/* Obeys orders and opens what is due. Call once each turn. Gives in how many nanoseconds it wants
 * to be called again at the latest. */
uint64_t bench_swarm_step(struct bench_swarm *swarm, uint64_t now_ns);
/* Something happened to a client's socket; the tag is the client's place in the swarm. */
void bench_swarm_on_event(struct bench_swarm *swarm, uint32_t place, uint32_t events);
/* Runs a helper process: this swarm alone, until ordered to quit. */
void bench_swarm_run(struct bench_swarm *swarm);

#endif
