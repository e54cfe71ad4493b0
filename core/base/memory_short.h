/* memory_short.h - what is short when the system gives no memory.
 *
 * ENOMEM does not say whether the machine has none or a limit of the process is in the way; who has
 * to mend it must know.
 *
 * Threads: any; another thread that takes memory at the same moment may make an answer wrong.
 * Owns: nothing. */
#ifndef RINGPOST_CORE_BASE_MEMORY_SHORT_H
#define RINGPOST_CORE_BASE_MEMORY_SHORT_H

#include <stdbool.h>
#include <stdint.h>

#define MEMORY_LIMIT_TEXT_MAX 128

/* Would `bytes` more go beyond a limit of this process (RLIMIT_AS, RLIMIT_DATA)? Then `text` names
 * it and the remedy; otherwise it is empty. */
bool memory_limit_hit(uint64_t bytes, char text[MEMORY_LIMIT_TEXT_MAX]);
/* The process was refused memory, however much: names the limit if there is any, otherwise says
 * that the machine has too little. */
void memory_short(char text[MEMORY_LIMIT_TEXT_MAX]);

#endif
