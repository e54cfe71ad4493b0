/* sim_sse.h - clients on server-sent events: the same clients as on raw TCP (sim_client.c), whose
 * session is a stream over HTTP, and who acknowledge over other connections of `web`.
 *
 * Posters are a few connections that take what any of them wants acknowledged, in that order, and
 * post it, several requests at a time; so most acknowledgements come to other workers than the
 * session's.
 *
 * Threads: one. Owns: posters, and what waits for them. */
#ifndef RINGPOST_TESTS_SIM_SIM_SSE_H
#define RINGPOST_TESTS_SIM_SIM_SSE_H

#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct link;
struct sim_peer;
struct tap;
struct text;

void posters_open(void);
void posters_close(void);
bool posters_step(void);
bool posters_can_step(void);
uint64_t posters_next_ns(void);
void posters_leave(void);
/* Is every connection over? */
bool posters_gone(void);
void poster_on_answer(struct link *link, unsigned status, struct span body);

/* The request of a client's stream; its session is there. */
void sse_hello_write(struct sim_peer *peer);
/* Somebody posts these acknowledgements: the ids, each in quotes, with commas. */
void sse_post(const struct sim_peer *peer, const struct text *ids);

/* sim_tap_sse.c: takes what is whole of a stream. False: more must come. */
bool tap_sse(struct tap *tap);

#endif
