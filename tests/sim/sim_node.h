/* sim_node.h - the real node on top of the fakes, put together like main/serve.c does it, and what
 * must hold of it at any time.
 *
 * Threads: one. Owns: the node of the run. */
#ifndef RINGPOST_TESTS_SIM_SIM_NODE_H
#define RINGPOST_TESTS_SIM_SIM_NODE_H

#include "core/server.h"

void node_open(void);
/* Everything has ended: sums up the statistics, frees, and checks that nothing is left. */
void node_close(struct stats *total);
struct server *node_server(void);
/* Gives the node a new config that says the same. */
void node_reload(void);

/* The turn of a worker begins or goes on after a sleep: what closes now closed not before. */
void turn_begun(unsigned worker);
/* It has ended: gauges, ledger, operations, buffers. */
void turn_check(struct worker *worker);
/* Nothing can go on without time or a peer: nobody may be waiting for anything but those. */
void node_quiet_check(void);
/* No worker keeps a message of another: what was let go is on its way home within a moment. */
bool node_messages_home(void);
/* Some message is kept for a client id. */
bool node_keeps(void);
/* How many fates were forgotten before their time, when the node had ended. */
uint64_t node_fates_forgotten(void);
/* No peer is left: nothing may be held for any. */
void node_empty_check(void);

#endif
