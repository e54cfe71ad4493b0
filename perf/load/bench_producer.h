/* bench_producer.h - the producers: keep-alive HTTP connections, or connections to a broker, that
 * push messages on a schedule.
 *
 * The schedule is open-loop: message i of a run is due at start + floor(i * 1000 / rate) ms,
 * whatever the node does, and its latency counts from then. Message i belongs to lane i % lanes, a
 * lane to each connection that has addresses, and each address to one connection, since order is
 * promised for one address and one connection. What cannot be written since a connection has all
 * its requests in flight, or its socket is full, waits in the schedule, which is arithmetic and
 * takes no memory. Closed-loop (rate 0): as many as fit in flight; latency counts from the write.
 * Where the share has tickets, latency counts from the write in both.
 *
 * Threads: the one that drives the net. Owns: its sockets and buffers. */
#ifndef RINGPOST_PERF_LOAD_BENCH_PRODUCER_H
#define RINGPOST_PERF_LOAD_BENCH_PRODUCER_H

#include "perf/load/bench_flights.h"
#include "perf/load/bench_net.h"
#include "perf/load/bench_share.h"

/* Tags: the place of a connection in the lower half, the number of its crew above this bit. */
#define BENCH_PRODUCER_TAG (UINT64_C(1) << 32)
#define BENCH_CREW_SHIFT 33

struct bench_producer {
    int fd;
    uint32_t number;
    uint8_t *out;
    size_t out_len, out_off;
    bool connected;
    bool blocked;        /* the socket took only a part: wait for room */
    uint64_t bytes_sent; /* in all */
    uint64_t bytes_made; /* in all */
    struct bench_flights flights;
    uint64_t next;              /* its next message */
    uint32_t lane;              /* its place among those that send */
    const uint32_t *list;       /* of its addresses; NULL: its share of all */
    uint32_t addresses, stride; /* how it walks through them; addresses 0: it stays silent */
    struct bench_rest rest;
    struct bench_answer_memory memory;
};

/* What a run asks for. */
struct bench_push {
    double rate;       /* messages a second, 0: closed-loop */
    uint64_t messages; /* in all; closed-loop: UINT64_MAX */
    uint64_t start_ns;
    uint64_t end_ns; /* nothing is written after it */
    uint64_t
        give_up_ns; /* what could not be written so long after it was due is left out; 0: never */
    bool at_write;  /* latency counts from the write also in an open loop */
    uint64_t deliveries_max; /* closed-loop: deliveries that may be outstanding */
    bool pss;                /* watch the node's PSS, which costs it a little */
};

/* What the producers saw in a run. */
struct bench_pushed {
    uint64_t sent; /* messages written */
    uint64_t answered;
    uint64_t accepted; /* of them, taken by the node */
    uint64_t refused;  /* 503 and 429 */
    uint64_t absent;   /* 404 */
    uint64_t failed;   /* anything else, lost connections included */
    uint64_t given_up; /* never written, see give_up_ns */
    uint64_t unread;   /* of them, since the node did not read: the socket was full */
    uint64_t stale;    /* answers to requests of an earlier run; counted nowhere else */
    uint64_t expected; /* deliveries that the accepted ones must make */
    uint64_t last_answer_ns;
    struct bench_hist answer;         /* from the write of a request to its answer */
    struct bench_hist late;           /* from when a message was due to its write */
    char sample[BENCH_SAMPLE_BYTES];  /* the first thing that went wrong */
    char refusal[BENCH_SAMPLE_BYTES]; /* the first of `refused` */
};

struct bench_producer_options {
    uint32_t connections;
    enum bench_kind kind;
    uint32_t number; /* of this crew of producers in the tags of its connections */
    double part;     /* of the rate of a run; 0: it has a rate of its own */
    double own_rate; /* messages a second, for latency from the write */
    bool placed; /* the caller assigns all addresses, so there may be more connections than these */
    uint32_t send_buffer; /* SO_SNDBUF; 0: as the system has it */
    uint32_t inflight;    /* requests on each connection; 0: no limit */
    uint32_t batch;       /* messages in a request; 1: one to its own path */
    bool ndjson;
    const char *api_key;
    struct sockaddr_in to;
    bool queued; /* `to` is a broker: messages go to its queue (bench_amqp.h), each by itself */
};

struct bench_producers {
    struct bench_net *net;
    struct bench_share *share;
    struct bench_producer_options options;
    struct bench_producer *list;
    struct bench_request request; /* a whole one, or an entry of a batch */
    uint8_t *form;                /* memory of request */
    size_t request_max, out_max;
    uint32_t *members; /* deliveries that one message to an address makes */
    uint32_t lanes;    /* connections that have addresses */
    char host[32];
    struct bench_push push;
    struct bench_pushed pushed;
    uint64_t received; /* what the caller knows to have arrived; closed-loop */
    bool broken;       /* a connection was lost */
};

/* Connects. False with errno. */
bool bench_producers_open(struct bench_producers *producers, struct bench_net *net,
                          struct bench_share *share, const struct bench_producer_options *options);
void bench_producers_close(struct bench_producers *producers);
/* Gives a connection the addresses it serves, which the caller keeps; a `count` of 0 silences it.
 * Only between runs. */
void bench_producers_assign(struct bench_producers *producers, uint32_t number,
                            const uint32_t *list, uint32_t count);
/* From now on its messages, which go to single clients each by its own path, are to be
 * acknowledged; `wait`: and each is answered when it is. Only between runs. */
void bench_producers_ask(struct bench_producers *producers, bool wait);
/* Starts a run, after bench_field_begin. What the last one left in flight keeps its place on its
 * connection; answers to it are only counted as such. */
void bench_producers_begin(struct bench_producers *producers, const struct bench_push *push);
/* Writes what is due. Gives in how many nanoseconds the next message is due; UINT64_MAX if none is
 * or if only an event can help. */
uint64_t bench_producers_step(struct bench_producers *producers, uint64_t now_ns);
/* Messages that were written and got no answer. */
uint64_t bench_unanswered(const struct bench_pushed *pushed);
/* Nothing is left to write. */
bool bench_producers_written(const struct bench_producers *producers, uint64_t now_ns);
/* The same, and everything written was answered. */
bool bench_producers_done(const struct bench_producers *producers, uint64_t now_ns);
/* Requests that are not answered yet. */
uint32_t bench_producers_inflight(const struct bench_producers *producers);
/* The mean of the deliveries that a message makes. */
double bench_producers_fan(const struct bench_producers *producers);
/* Adds what other producers saw. */
void bench_pushed_add(struct bench_pushed *into, const struct bench_pushed *from);
void bench_producers_on_event(struct bench_producers *producers, uint32_t number, uint32_t events);

#endif
