/* port_wait.h - publishes that wait for the answer of a port.
 *
 * A worker answers soon, or there is a bug. A port answers when what it speaks to has answered:
 * late, or never. Two bounds keep that from whoever publishes:
 *
 *   time:   after PORT_ANSWER_NS a publish goes on without the ports' answers, as one that these
 *           could not take (publish->unavailable); an answer that comes later is dropped
 *   credit: of one endpoint at most a quarter of requests_max may wait in, and at, one port without
 *           an answer, also where the publish has gone on; half of them may wait for ports in all.
 *           Beyond that the port is passed over at once.
 *
 * So a port that is silent costs each endpoint a quarter of one queue, PORT_ANSWER_NS for those
 * publishes, and the memory of their messages until it lets go of them (port.h).
 *
 * Threads: the endpoint's own. Owns: struct port_wait, one for each publish that waits. */
#ifndef RINGPOST_CORE_PORT_WAIT_H
#define RINGPOST_CORE_PORT_WAIT_H

#include "core/endpoint.h"

/* No message of an endpoint waits longer for a port than that. */
#define PORT_ANSWER_NS (1 * NS_PER_S)

void port_waits_init(struct port_waits *waits);
/* None may be left. */
void port_waits_fini(struct port_waits *waits);
/* The publish is about to be sent to these ports. Returns those that it may be sent to; their
 * answers are waited for. */
uint64_t port_waits_begin(struct endpoint *endpoint, struct publish *publish, uint64_t ports);
/* An answer of a port has come. True: the publish still waits for it. */
bool port_waits_answered(struct endpoint *endpoint, unsigned port, uint64_t token);

#endif
