/* sim_malloc.h - stands in front of every source of the engine in the simulation (-include): now
 * and then, while the node runs, the system has no memory. A start without memory is a clear error
 * and nothing else, so it has what it wants.
 *
 * Threads: one. */
#ifndef RINGPOST_TESTS_SIM_SIM_MALLOC_H
#define RINGPOST_TESTS_SIM_SIM_MALLOC_H

#include <stdlib.h>

void *sim_malloc(size_t size);
void *sim_calloc(size_t count, size_t size);
void *sim_realloc(void *at, size_t size);

#define malloc(size) sim_malloc(size)
#define calloc(count, size) sim_calloc(count, size)
#define realloc(at, size) sim_realloc(at, size)

#endif
