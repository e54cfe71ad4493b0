/* sim_port.h - fake ports (core/port.h): each is one more fiber behind those of the workers. They
 * hold names, take messages at once or late, keep them without a word, or say that they are
 * unavailable; they publish messages of their own, and may die in the middle of anything: then they
 * do nothing more until the node stops.
 *
 * A port counts PORT_TAKES recipients for a message that it takes, so that the oracle can tell them
 * from sessions.
 *
 * Threads: one. Owns: the ports of the run, and the messages that they keep. */
#ifndef RINGPOST_TESTS_SIM_SIM_PORT_H
#define RINGPOST_TESTS_SIM_SIM_PORT_H

#include "core/server.h"
#include "tests/sim/sim.h"

#define PORT_TAKES 1000 /* more than there are sessions */

/* --- any port's fiber, the store's too (sim_store.h) ------------------------------------------ */

/* Others may run here, and here it may die, at so many per mille of a few. */
void sim_port_pause(struct port *port, unsigned death);
/* As `wait` of struct port_type. */
void sim_port_wait(struct port *port, int wake_fd, uint64_t wait_ns);
/* The body of its fiber. */
void sim_port_run(struct port *port, unsigned index);
bool sim_port_opened(unsigned index);
/* Does it sleep no longer? When does it go on by itself? One that is dead never does. */
bool sim_port_wakes(unsigned index);
uint64_t sim_port_wake_ns(unsigned index);
bool sim_port_dead(unsigned index);

/* --- the ports of the scenario ---------------------------------------------------------------- */

/* Before server_init. */
void sim_ports_open(struct server_parts *parts);
/* The body of the fiber of that endpoint. */
void sim_port_body(unsigned index);
/* What a port owes: messages of the endpoint that it has and has not answered. */
uint32_t sim_port_owes(unsigned index, unsigned endpoint);

#endif
