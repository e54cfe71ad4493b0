#include "perf/load/bench_flights.h"

#include <stdlib.h>

#define SIZE_FIRST 256u

bool bench_flights_open(struct bench_flights *flights) {
    *flights = (struct bench_flights){.ring = malloc(SIZE_FIRST * sizeof *flights->ring)};
    flights->size = SIZE_FIRST;
    return flights->ring != NULL;
}

void bench_flights_close(struct bench_flights *flights) {
    free(flights->ring);
    *flights = (struct bench_flights){.ring = NULL};
}

static bool flights_grow(struct bench_flights *flights) {
    uint32_t size = flights->size * 2;
    struct bench_flight *ring = malloc(size * sizeof *ring);
    if (ring == NULL)
        return false;
    for (uint32_t i = flights->oldest; i != flights->newest; i++)
        ring[i % size] = flights->ring[i % flights->size];
    free(flights->ring);
    flights->ring = ring;
    flights->size = size;
    return true;
}

bool bench_flights_room(struct bench_flights *flights, uint32_t limit) {
    uint32_t count = bench_flights_count(flights);
    if (count >= (limit == 0 ? BENCH_FLIGHTS_MAX : limit))
        return false;
    return count < flights->size || flights_grow(flights);
}

void bench_flights_push(struct bench_flights *flights, const struct bench_flight *flight) {
    flights->ring[flights->newest++ % flights->size] = *flight;
}

struct bench_flight *bench_flights_at(struct bench_flights *flights, uint32_t place) {
    if (place - flights->oldest >= bench_flights_count(flights))
        return NULL;
    return &flights->ring[place % flights->size];
}

bool bench_flights_pop(struct bench_flights *flights, struct bench_flight *flight) {
    if (flights->oldest == flights->newest)
        return false;
    if (flights->written == flights->oldest)
        flights->written++; /* answered before its end was written */
    *flight = flights->ring[flights->oldest++ % flights->size];
    return true;
}

struct bench_flight *bench_flights_written(struct bench_flights *flights, uint64_t bytes) {
    if (flights->written == flights->newest)
        return NULL;
    struct bench_flight *flight = &flights->ring[flights->written % flights->size];
    if (flight->ends > bytes)
        return NULL;
    flights->written++;
    return flight;
}
