/* clock.h - the only place where time is read, so that tests can own it (they link another
 * clock.c).
 *
 * Threads: any. Units: nanoseconds unless the name says otherwise. */
#ifndef RINGPOST_CORE_BASE_CLOCK_H
#define RINGPOST_CORE_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define CLOCK_NEVER UINT64_MAX

/* The monotonic clock begins so long before the machine did (36 years): what was accepted before
 * that, and survived, has a time as well. */
#define CLOCK_BASE_NS (UINT64_C(1) << 60)

/* Monotonic. */
uint64_t clock_ns(void);
/* Since 1970, UTC; may jump. */
uint64_t clock_wall_ms(void);
uint64_t clock_wall_ns(void);
/* CPU time of the calling thread. */
uint64_t clock_thread_cpu_ns(void);

#endif
