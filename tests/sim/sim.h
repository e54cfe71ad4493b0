/* sim.h - what all parts of the simulation share: the seed, the scenario, chance, time, failure,
 * trace.
 *
 * The whole node runs in one thread of one process: each worker is a fiber (sim_fiber.h) that runs
 * the real worker_turn, the ring and the network below it are fakes (fake_ring.c, fake_net.c), time
 * and randomness too. All chance comes from one seed, so a run is repeated exactly by its seed.
 *
 * Every thing that happens gets the next number of one sequence (sim_stamp); the oracle
 * (sim_check.c) reasons about before and after with these numbers and never with time.
 *
 * Threads: one. Limits: below. */
#ifndef RINGPOST_TESTS_SIM_SIM_H
#define RINGPOST_TESTS_SIM_SIM_H

#include "core/config.h"

#include <stdarg.h>

#define SIM_WORKERS_MAX 16
#define SIM_PORTS_MAX 3
#define SIM_ENDPOINTS_MAX (SIM_WORKERS_MAX + SIM_PORTS_MAX + 2) /* and the store, and Redis */

/* What a seed means; made by scenario_make and never changed afterwards. Chances are per mille. */
struct scenario {
    const char *name;
    unsigned workers;
    enum steer steer;
    bool kernel_steers;
    enum slow_policy slow;
    uint32_t outbox_bytes, max_message_bytes, max_body_bytes;
    uint64_t memory_bytes;
    unsigned buffers, buffer_bytes;
    uint32_t post_slots; /* 0: the real number */
    unsigned places;     /* in the table of files of each ring; 0: there is none */
    unsigned sq_entries, cq_entries;
    unsigned no_memory;     /* mallocs that fail */
    uint32_t copies_max;    /* that may wait for a worker; 0: the real number */
    uint32_t reserve_bytes; /* beyond the memory; 0: the real number */
    uint64_t slice_ns;      /* of each kind of work in a turn; 0: the real one */
    bool soon_behind;       /* admission.h: a request that waited at all comes late */
    bool client_send, with_key, rate_limited;
    bool proxies;
    uint32_t max_connections, max_per_address, dedup_max;
    uint64_t dedup_window_ns, heartbeat_ns, heartbeat_timeout_ns, hello_timeout_ns,
        drain_timeout_ns;
    unsigned descriptors; /* of the fake process */

    /* The fake kernel and network. */
    unsigned eager, short_send, early_end, accept_error, send_error, chunk_small, stall, reset;
    unsigned close_error, preempt, freeze, odd_end, signal;
    uint64_t delay_max_ns;
    uint64_t turn_max_ns; /* how long submitting takes: the worker has little of a CPU */
    uint32_t send_window, receive_window;

    /* The peers. */
    unsigned clients, producers, lives, messages, ids, groups;
    unsigned slow_clients, deaf_clients, mute_clients, abusive_clients, counted_clients;
    bool deflate;
    unsigned framed_clients; /* speak over WebSocket, where `web` has no toys */
    unsigned abusive_producers;
    unsigned late; /* clients that come when the drain begins, if not before */
    unsigned keyed, repeated, is_volatile, wide, broadcast, short_ttl, bytes_payload, calls;
    unsigned payload_max;
    unsigned flood; /* messages that one client sends at once */
    uint64_t think_max_ns;
    uint64_t load_ns; /* 0: drawn; the run goes on at least as long */
    bool calm;        /* nothing is lost or refused here: the oracle insists on it */
    bool drain_early;
    bool close_first; /* all peers leave before the drain */

    /* The ports. */
    unsigned ports, port_messages; /* of each */
    unsigned port_late, port_silent, port_unavailable, port_death;

    unsigned toys;    /* peers of the toy protocols, which `web` speaks then */
    unsigned streams; /* peers of the toy service whose answers stream; `web` has that then */

    unsigned sse;   /* clients that come over server-sent events instead of raw TCP */
    unsigned polls; /* clients of Engine.IO; `web` is itself then */
    bool sio;       /* and they speak Socket.IO (sim_sio.h) */
    bool old;       /* some of them an old one */
    uint32_t max_payload_bytes;
    uint64_t upgrade_timeout_ns;

    /* Messages that are to be acknowledged; none if `ack` is 0. */
    unsigned ack;
    uint32_t ack_window, ack_backlog, fate_max;
    uint64_t ack_silence_ns;

    /* The store that such messages survive in. */
    bool store;
    unsigned store_late, store_hang, store_fail, store_full, store_death;

    /* Redis, with other nodes behind it; none if `redis` is 0, else how many of these there are. */
    unsigned redis, redis_messages; /* of each */
    unsigned redis_eager, redis_reset, redis_stall, redis_refuse, redis_wrong, redis_window;
};

/* Fibers: the workers, then the ports, then the store, then the port to Redis. */
static inline unsigned scenario_endpoints(const struct scenario *scenario) {
    return scenario->workers + scenario->ports + scenario->store + (scenario->redis != 0);
}

struct sim {
    uint64_t seed;
    struct scenario scenario;
    uint64_t random;        /* of the world */
    uint64_t engine_random; /* what the engine gets */
    uint64_t now_ns;
    uint64_t sequence;
    uint64_t steps;
    bool running;    /* the start is over */
    bool late;       /* the time for the drain is over */
    uint64_t digest; /* of everything that was traced or would have been */
    bool trace;
    unsigned canary; /* enum sim_canary */
    int fault;       /* enum fault that is planted, now and then; FAULTS: none */
};
extern struct sim sim;

/* Bugs planted into the simulation itself, to prove that the oracle rings. */
enum sim_canary {
    CANARY_NONE,
    CANARY_MESSAGE_LOST,
    CANARY_MESSAGE_TWICE,
    CANARY_MESSAGE_MANGLED,
    CANARY_MESSAGES_SWAPPED,
    CANARY_WAKE_LOST,
    CANARIES
};

void scenario_make(struct scenario *scenario, uint64_t seed);

/* One run. Returns when it passed; a violation prints what, the seed and the command, and ends the
 * process with status 1. */
void sim_run(uint64_t seed, bool trace);

static inline uint64_t sim_stamp(void) {
    return ++sim.sequence;
}

/* Do messages go to somebody else than sessions, who may not answer? */
static inline bool scenario_has_others(void) {
    return sim.scenario.ports != 0 || sim.scenario.redis != 0;
}

/* Chance of the world: uniform in [0, bound), in [low, high], and a coin of so many per mille. */
uint64_t sim_roll(uint64_t bound);
uint64_t sim_between(uint64_t low, uint64_t high);
bool sim_chance(unsigned per_mille);
uint64_t splitmix(uint64_t *state);

_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), cold));
/* Prints a line that explains a violation that follows. */
void sim_tell(const char *format, ...) __attribute__((format(printf, 1, 2), cold));
void sim_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Mixes numbers into the digest, so that two runs of one seed can be compared. */
void sim_digest(uint64_t value);

#define SIM_TRACE(...)                                                                             \
    do {                                                                                           \
        if (__builtin_expect(sim.trace, 0))                                                        \
            sim_note(__VA_ARGS__);                                                                 \
    } while (0)

#endif
