/* sim_redis.h - a fake Redis behind the fake sockets (tests/fakes/fake_redis_socket.h), with other
 * nodes and programs that subscribe and publish there.
 *
 * The port's two connections have no order to each other: each carries out its commands, and is
 * told their answers, at times of its own. It refuses connections, resets them between any two
 * bytes, stands still, reads slowly and answers wrongly as the scenario says.
 *
 * Each other node counts as PORT_TAKES in what PUBLISH answers, so that the oracle can tell them
 * from sessions, and from the node itself where it is counted by mistake. What they publish are
 * messages as those of any producer; their answer is the gate's result.
 *
 * Threads: one. Owns: the port, its server, the others. */
#ifndef RINGPOST_TESTS_SIM_SIM_REDIS_H
#define RINGPOST_TESTS_SIM_SIM_REDIS_H

#include "core/message.h"
#include "core/stats.h"
#include "tests/sim/sim.h"

struct request;
struct server_parts;
struct sim_session;

/* --- the port (sim_redis_port.c) -------------------------------------------------------------- */

/* Before server_init, behind the store: the port, if the scenario has one. */
void sim_redis_open(struct server_parts *parts, const struct config *config);
/* The body of the fiber of that endpoint, if sim_redis_at says that it is the port's. */
bool sim_redis_at(unsigned index);
void sim_redis_body(unsigned index);
/* Messages of all endpoints that it has and has not answered. */
uint64_t sim_redis_owes(void);
/* Does a call wait for other nodes? For a time at the most. */
bool sim_redis_calls_wait(void);
/* How many others it knows. Both connections are up to it, and it has no message that waits. */
uint64_t sim_redis_nodes(void);
/* Does it know the node of that run? */
bool sim_redis_knows(const char *run);
bool sim_redis_port_is_steady(void);
/* When the node has stopped. */
void sim_redis_port_account(void);

/* --- what is behind it ------------------------------------------------------------------------ */

void redis_open(void);
void redis_close(void);
bool redis_step(void);
bool redis_can_step(void);
uint64_t redis_next_ns(void);
/* Is it the stream of another node? */
bool redis_is_stream(uint32_t stream);
/* The gate's result for the message with that id. */
void redis_told(struct span id, enum result_word result, uint32_t recipients);
/* The session has its welcome: are its names subscribed? */
void sim_redis_welcome_check(const struct sim_session *session);
/* What other nodes have said to calls that the request may have made. */
struct redis_said {
    bool complete;        /* to one of them all that the node knew have answered */
    uint64_t least, most; /* of whatever is counted, and that it must say if it is complete */
    bool full;            /* some say that not all could join */
};
struct redis_said redis_said(const struct request *request);
/* An answer to the request has so many sessions, or fates, of other nodes: do they fit? */
void redis_call_check(const struct request *request, struct span body, uint64_t count);
/* Nothing goes on at this moment: is all done that is due between nodes? */
void redis_quiet_check(void);
/* The node has stopped: what it never took is refused. */
void redis_account(void);

#endif
