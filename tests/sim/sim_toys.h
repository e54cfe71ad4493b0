/* sim_toys.h - peers of the toy protocols (tests/toys/toy_protocol.h) on the `web` listener: they
 * write scripts of lines, changes of protocol and moves, and know every byte that must come back.
 *
 * Threads: one. Owns: its peers. */
#ifndef RINGPOST_TESTS_SIM_SIM_TOYS_H
#define RINGPOST_TESTS_SIM_SIM_TOYS_H

#include "tests/sim/sim_world.h"

void toys_open(void);
void toys_close(void);
/* As their namesakes in sim_peer.h. */
bool toys_step(void);
bool toys_can_step(void);
uint64_t toys_next_ns(void);
void toys_leave(void);
/* Nothing can go on without time or a peer: what the node has taken is answered. */
void toys_quiet_check(void);
/* Whoever hears a message of the toy sessions (toy_form.h), in one line: is it one that may come on
 * that link now? */
void toy_message_check(const struct link *link, const char *text);
/* From the tap, at the moment when the node writes. */
void toy_on_bytes(struct link *link, const char *at, size_t len);

#endif
