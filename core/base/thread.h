/* thread.h - starting a thread.
 *
 * Its stack has a size of its own. By default it would be RLIMIT_STACK, which is made for the main
 * thread: a small one ends a worker with SIGSEGV before its first turn, and a large one takes
 * address space for nothing.
 *
 * Signals are for the main thread. A new thread blocks all but those that its own doing causes: a
 * blocked one of these would end the process instead of reaching its handler.
 *
 * Threads: any. Owns: nothing. */
#ifndef RINGPOST_CORE_BASE_THREAD_H
#define RINGPOST_CORE_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Variables of a thread (_Thread_local) take 144 KiB of it, and a worker under load 16 KiB more.
 * The rest is for builds with a sanitizer, and for libraries that the system loads (name services);
 * what is not used takes address space only. */
#define THREAD_STACK_BYTES (1024 * 1024)

/* 0, or an errno. */
int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);
/* The same with another size of the stack, for a library that calls itself. */
int thread_start_deep(pthread_t *thread, void *(*run)(void *argument), void *argument,
                      size_t stack_bytes);
/* Right after such an errno: what is short, and what helps. */
void thread_problem(int error, char *problem, size_t problem_cap);

#endif
