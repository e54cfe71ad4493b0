/* bench_share.h - what the processes of one load tool share: what is to be done, what was seen.
 *
 * Lies in memory mapped before the helper processes are forked. The main process writes the orders
 * and the addresses' counts; each swarm of clients writes, and clears when a run begins, its own
 * tally and the streams of its own clients: messages of the last run may still be coming.
 *
 * Threads: as said for each member. Owns: one mapping. */
#ifndef RINGPOST_PERF_LOAD_BENCH_SHARE_H
#define RINGPOST_PERF_LOAD_BENCH_SHARE_H

#include "perf/load/bench_fates.h"
#include "perf/load/bench_hist.h"
#include "perf/load/bench_wire.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BENCH_SWARMS_MAX 16u
#define BENCH_SLOTS 200u
#define BENCH_SLOT_NS UINT64_C(100000000)
#define BENCH_SAMPLE_BYTES 200u /* a row of bench_report.h has room for it and some words */

/* The addresses of one kind of message, and where what is counted for them stands. */
struct bench_aim {
    uint32_t addresses;    /* 0: there is no such traffic */
    uint32_t streams;      /* of each client: addresses that it can get messages of */
    uint32_t first;        /* place of the first address in `accepted` and `sent` */
    uint32_t first_stream; /* place of the first one among a client's streams */
};

/* What one client got from one address. */
struct bench_stream {
    uint64_t window; /* bit i: message next - 1 - i has arrived */
    uint32_t next;   /* one more than the highest number seen */
    uint32_t unique; /* different messages that arrived */
};

/* What one swarm saw. Written by its process. */
struct bench_tally {
    uint32_t ready;              /* clients that have their welcome and are still there */
    uint32_t opened;             /* connections begun since the last order */
    uint32_t settled;            /* of them, answered or failed */
    uint32_t failed;             /* could not connect or were not welcomed */
    uint32_t lost;               /* were ready and got closed by the node, since the start */
    _Atomic uint32_t order_seen; /* what is above is of this order */
    uint64_t settled_ns;         /* when the last one settled */
    _Atomic uint32_t run;        /* what is below is of this one, but for greeting and sample */
    uint64_t received;           /* messages of this run, whatever else is said about them below */
    uint64_t duplicate;
    uint64_t disordered;              /* arrived after a later one of the same address */
    uint64_t misrouted;               /* for another client, group or kind */
    uint64_t damaged;                 /* not the bytes that were sent, or of no run of ours */
    uint64_t stale;                   /* of traffic that had ended already */
    uint64_t receives;                /* receive calls that brought something */
    uint64_t slot_count[BENCH_SLOTS]; /* by the time in the message, 100 ms each */
    uint64_t slot_timed[BENCH_SLOTS]; /* of them, whose latency is told */
    uint64_t slot_slow[BENCH_SLOTS];  /* of those, slower than share->slow_ns */
    uint64_t pings;                   /* heartbeats that clients sent */
    uint64_t pongs;                   /* of them, answered */
    uint64_t pings_lost;              /* of them, on connections that ended */
    uint64_t pongs_unasked;           /* answers to nothing */
    uint64_t acks;                    /* acknowledgements written */
    uint64_t held;                    /* received, to be acknowledged later */
    uint64_t again;                   /* copies of what was there; not in `received` */
    uint64_t reconnects;
    uint64_t polls;                  /* written; only of bench_polls.h, as the next ones */
    uint64_t polls_moved;            /* of them, on another connection than the session had last */
    uint32_t shared;                 /* connections that had several sessions */
    uint32_t carried;                /* sessions that each had, as far as told apart, summed up */
    uint64_t forgotten;              /* tickets too old to say when they were written */
    struct bench_hist latency;       /* from the time of the message to its arrival */
    struct bench_hist unread;        /* how long what arrived lay in a stamped socket */
    struct bench_hist lone;          /* the same of the lone producer's, which are not in it */
    struct bench_hist pong;          /* from the write of a ping to its answer */
    struct bench_hist greeting;      /* from connecting to the welcome */
    char sample[BENCH_SAMPLE_BYTES]; /* the first thing that went wrong */
    struct bench_fates fates;        /* of this run; not in the sum */
};

enum bench_order { BENCH_ORDER_NONE, BENCH_ORDER_OPEN, BENCH_ORDER_CLOSE, BENCH_ORDER_QUIT };

struct bench_share {
    /* fixed before the first fork */
    uint32_t run_base; /* low 8 bits are 0; a run is this plus 1..255 */
    uint32_t clients;
    uint32_t timed; /* clients whose latency is told: the first ones (bench_swarm.h) */
    struct bench_aim aims[BENCH_KINDS];
    uint32_t streams_each; /* streams of each client, of all kinds */
    uint32_t groups, join; /* client i is in groups i % groups and the join - 1 after it */
    uint32_t members;      /* clients that are in groups: the first ones */
    uint32_t addresses;    /* of all kinds */
    bool together;         /* the members come from one address, so they are on one worker */
    uint32_t payload_size;
    enum bench_form form;
    bool by_hello;      /* a WebSocket's path has no registration, and a hello follows */
    bool asks;          /* some messages ask to be acknowledged */
    char host[32];      /* of the Host header of a handshake */
    uint32_t never;     /* percent of the clients acknowledge nothing: the first of each hundred */
    uint32_t hold;      /* messages that each other client has before it acknowledges one of them */
    uint32_t reconnect; /* percent connect anew, when told to: the last of each hundred */
    /* orders */
    _Atomic uint32_t order_number;
    enum bench_order order;
    double open_rate;      /* connections a second, all swarms together; 0: no limit */
    uint32_t open_pending; /* connections that may wait for their welcome, for each swarm */
    /* the traffic that runs */
    _Atomic uint32_t run;   /* 0: none */
    uint64_t slot_start_ns; /* 0: slots are not counted */
    uint32_t slot_kind;     /* whose messages they count */
    uint64_t slow_ns;
    _Atomic uint64_t ping_every_ns;      /* each client sends a heartbeat so often; 0: none does */
    _Atomic uint64_t reconnect_every_ns; /* each client that does connects anew; 0: none does */
    _Atomic uint64_t ticket_next;        /* see bench_ticket_take */

    struct bench_tally tallies[BENCH_SWARMS_MAX];
    /* What is in their `latency`, by kinds; not in a sum. */
    struct bench_hist of_kind[BENCH_SWARMS_MAX][BENCH_KINDS];
    struct bench_stream *streams; /* clients * streams_each; in the mapping */
    uint32_t *accepted;           /* for each address: messages that the node took */
    uint32_t *sent;               /* for each address: the next number */
    uint64_t map_bytes;
    _Atomic uint64_t *tickets; /* BENCH_TICKETS write times; NULL: payloads have the time itself */
};

/* `aims` with their addresses and streams. NULL with errno if memory is short. */
struct bench_share *bench_share_open(uint32_t clients, const struct bench_aim aims[BENCH_KINDS]);
/* From now on latency counts from the write of a message, by tickets. Before the first fork. False
 * with errno if memory is short. */
bool bench_share_tickets(struct bench_share *share);
void bench_share_close(struct bench_share *share);
/* Gives an order to all swarms. */
void bench_share_order(struct bench_share *share, enum bench_order order);
/* The latency of the messages of one kind, of all swarms, in the run. */
void bench_share_latency(const struct bench_share *share, enum bench_kind kind,
                         struct bench_hist *latency);
/* Begins a run with a number of its own, which each swarm has taken over once bench_share_begun. */
void bench_share_begin(struct bench_share *share);
bool bench_share_begun(const struct bench_share *share, uint32_t swarms);
/* For a swarm: the run that goes on. If it is new, clears what its tally and the streams of its
 * clients had of the last one. */
uint32_t bench_share_run(struct bench_share *share, struct bench_tally *tally, uint32_t first,
                         uint32_t count);
/* Keeps "what: text" as far as it fits and harmless for people (bench_text.h), unless something is
 * kept already. */
void bench_sample_keep(char sample[BENCH_SAMPLE_BYTES], const char *what, const void *at,
                       size_t len);
/* Sum of all tallies into *sum (sample: the first there is; settled_ns: the latest). */
void bench_share_sum(const struct bench_share *share, struct bench_tally *sum);
/* received, over all swarms: cheap enough for each turn. */
uint64_t bench_share_received(const struct bench_share *share, uint32_t swarms);
/* What became of the messages of one kind, a copy for each client that it was for. */
struct bench_copies {
    uint64_t arrived; /* accepted, and there */
    uint64_t missing; /* accepted, and not there */
    uint64_t unasked; /* there, and not accepted */
};
void bench_share_copies(const struct bench_share *share, enum bench_kind kind,
                        struct bench_copies *copies);
/* The address of a kind that a client's `stream` (0 .. aim.streams - 1) is of. False if this client
 * gets nothing there. */
bool bench_share_address(const struct bench_share *share, enum bench_kind kind, uint32_t client,
                         uint32_t stream, uint32_t *address);

/* A ticket stands in a payload for the time when the last byte of its request was taken by the
 * socket, which nobody knows when the payload is made. The producers note that time under the
 * ticket's number, and whoever reads the message looks it up. The table forgets the oldest. */
#define BENCH_TICKETS (UINT64_C(1) << 23)
/* `count` numbers in a row, not written yet; gives the first. Only for the producers' process. */
static inline uint64_t bench_ticket_take(struct bench_share *share, uint32_t count) {
    uint64_t first = atomic_load_explicit(&share->ticket_next, memory_order_relaxed);
    for (uint64_t i = first; i < first + count; i++)
        atomic_store_explicit(&share->tickets[i % BENCH_TICKETS], 0, memory_order_relaxed);
    atomic_store_explicit(&share->ticket_next, first + count, memory_order_release);
    return first;
}
static inline void bench_ticket_write(struct bench_share *share, uint64_t first, uint32_t count,
                                      uint64_t now_ns) {
    for (uint64_t i = first; i < first + count; i++)
        atomic_store_explicit(&share->tickets[i % BENCH_TICKETS], now_ns, memory_order_relaxed);
}
enum bench_ticket { BENCH_TICKET_GOOD, BENCH_TICKET_FORGOTTEN, BENCH_TICKET_FALSE };
/* When a message that is read at now_ns was written: now_ns itself if the write has not returned
 * yet, the oldest time known if the table has forgotten it. False: no such ticket was given out. */
enum bench_ticket bench_ticket_read(const struct bench_share *share, uint64_t ticket,
                                    uint64_t now_ns, uint64_t *written_ns);

/* Does a client acknowledge nothing; does it connect anew? */
static inline bool bench_never(const struct bench_share *share, uint32_t client) {
    return client % 100 < share->never;
}
static inline bool bench_reconnects(const struct bench_share *share, uint32_t client) {
    return client % 100 >= 100 - share->reconnect;
}

/* Group number `k` (0..join-1) of a client. */
static inline uint32_t bench_group_of(const struct bench_share *share, uint32_t client,
                                      uint32_t k) {
    return (client + k) % share->groups;
}

#endif
