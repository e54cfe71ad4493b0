/* micro.h - the single steps that perf/micro/micro times, and what they share.
 *
 * A step does its work `times` times; preparing belongs into the init of its file. What it computes
 * goes into micro_sink, and memory that it reads or writes is shown to micro_touch, so that the
 * compiler can neither know the one nor leave out the other. A step that does not do what it says
 * ends the program by micro_fail: a fast error path is no figure.
 *
 * Threads: the main one; a step may start others and must join them. */
#ifndef RINGPOST_PERF_MICRO_MICRO_H
#define RINGPOST_PERF_MICRO_MICRO_H

#include <stddef.h>
#include <stdint.h>

struct micro_step {
    const char *name; /* NULL: the end of a list */
    void (*run)(uint64_t times);
    const size_t *bytes; /* read or written each time; NULL: not a matter of bytes */
};

extern volatile uint64_t micro_sink;
static inline void micro_touch(const void *memory) {
    __asm__ volatile("" : : "r"(memory) : "memory");
}
_Noreturn void micro_fail(const char *what);

/* Text to bytes and back: JSON, HTTP, client lines, messages on the wire. */
extern const struct micro_step micro_codec_steps[];
void micro_codec_init(void);

/* The engine: queues, mailboxes, messages, parcels. */
extern const struct micro_step micro_engine_steps[];
void micro_engine_init(void);
void micro_engine_fini(void);

/* Replies of Redis, and the same by hiredis alone. */
extern const struct micro_step micro_resp_steps[];
void micro_resp_init(void);
void micro_resp_fini(void);

#endif
