/* bench_flights.h - the requests of one connection that were made and not answered yet.
 *
 * A ring in the order of the requests, which is that of their answers. It knows where in the stream
 * of bytes each request ends, so what the socket takes tells which of them are written.
 *
 * Threads: one. Owns: its memory, which grows by doubling up to BENCH_FLIGHTS_MAX requests. */
#ifndef RINGPOST_PERF_LOAD_BENCH_FLIGHTS_H
#define RINGPOST_PERF_LOAD_BENCH_FLIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_FLIGHTS_MAX (1u << 18)

struct bench_flight {
    uint64_t first;      /* its first message in the order of its connection */
    uint64_t written_ns; /* when its last byte was taken; until then, when it was made */
    uint64_t ends;       /* bytes of its connection up to its end */
    uint64_t ticket; /* of its first message, if latency counts from the write; 0: it does not */
    uint32_t count;  /* messages in it */
    uint32_t run;    /* that it belongs to: its answer may come when another one goes on */
};

struct bench_flights {
    struct bench_flight *ring;
    uint32_t size;                    /* places, a power of two */
    uint32_t oldest, written, newest; /* free-running: the first not answered, not written, free */
};

/* False without memory. */
bool bench_flights_open(struct bench_flights *flights);
void bench_flights_close(struct bench_flights *flights);
static inline uint32_t bench_flights_count(const struct bench_flights *flights) {
    return flights->newest - flights->oldest;
}
/* Room for one more, if there are fewer than `limit` (0: BENCH_FLIGHTS_MAX). False if not, or
 * without memory. */
bool bench_flights_room(struct bench_flights *flights, uint32_t limit);
/* The next one; only after bench_flights_room. */
void bench_flights_push(struct bench_flights *flights, const struct bench_flight *flight);
/* The one that has this place in the order of the connection's requests, from 0, and is in the
 * ring; NULL if none is. It stays the ring's. */
struct bench_flight *bench_flights_at(struct bench_flights *flights, uint32_t place);
/* Takes the oldest one out. False if there is none. */
bool bench_flights_pop(struct bench_flights *flights, struct bench_flight *flight);
/* The next request that ends within the first `bytes` of the connection and was not given before;
 * NULL if there is none. It stays the ring's. */
struct bench_flight *bench_flights_written(struct bench_flights *flights, uint64_t bytes);

#endif
