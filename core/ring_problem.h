/* ring_problem.h - why there is no ring, and what helps; for ring.c only.
 *
 * Threads: any (pure but for what they ask the kernel). Owns: nothing. */
#ifndef RINGPOST_CORE_RING_PROBLEM_H
#define RINGPOST_CORE_RING_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The system call failed with that errno. Always false. */
bool ring_refused(char *problem, size_t problem_cap, const char *call, int error);
/* The process gets no memory for it, locked or not. Always false. */
bool ring_no_memory(char *problem, size_t problem_cap);
/* Is a limit of the process's own memory in the way (memory_short.h)? ENOMEM of the kernel is then
 * none of locked memory. */
bool ring_space_short(void);
/* Is there a limit of locked memory? `bytes` is it, or UINT64_MAX. */
bool ring_lock_limited(uint64_t *bytes);
/* Root in the first namespace is not bound by it; root in another is, and looks the same. */
bool ring_may_lock(void);

#endif
