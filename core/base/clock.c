#include "core/base/clock.h"

#include "core/base/check.h"

#include <time.h>

static uint64_t read_ns(clockid_t clock) {
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_ns(void) {
    return CLOCK_BASE_NS + read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ms(void) {
    return clock_wall_ns() / NS_PER_MS;
}

uint64_t clock_wall_ns(void) {
    return read_ns(CLOCK_REALTIME);
}

uint64_t clock_thread_cpu_ns(void) {
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}
