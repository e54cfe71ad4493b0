/* sim_store.h - a toy store (core/store.h): one more fiber behind those of the ports. Its disk is a
 * list in memory, and is as bad as the scenario says: what it is given becomes safe in groups, at
 * once, late, later than any producer waits, or never; a write fails; there is no room; and the
 * thread may stand still in the middle of anything until the node stops.
 *
 * It takes the same steps as ha/store/disk_store.c does, so it proves the seat and not that store.
 * What it has it keeps by serial, for the oracle: no client gets a message, no producer is told of
 * one and no fate is settled before that is safe here.
 *
 * Threads: one. Owns: the store of the run, and its records. */
#ifndef RINGPOST_TESTS_SIM_SIM_STORE_H
#define RINGPOST_TESTS_SIM_SIM_STORE_H

#include "core/server.h"
#include "tests/sim/sim.h"

/* Before server_init, behind the ports: the store of the scenario, if it has one. */
void sim_store_open(struct server_parts *parts);
/* After server_fini. */
void sim_store_close(void);
/* The body of the fiber of that endpoint, if sim_store_at says that it is the store's. */
bool sim_store_at(unsigned index);
void sim_store_body(unsigned index);

/* May it say that it does not take a message? */
bool sim_store_may_refuse(void);
/* May what is settled wait in it, or before it, while all is quiet? */
bool sim_store_may_be_late(void);
/* It does not answer any more, or not before the node stops. */
bool sim_store_hangs(void);
/* Messages of the endpoint that it has and has not answered. */
uint32_t sim_store_owes(unsigned endpoint);

/* --- what a start would find ------------------------------------------------------------------ */

/* The message with that serial is safe, and was not taken back. */
bool sim_store_has(uint64_t serial);
/* It is safe that the address was settled so. */
bool sim_store_has_settled(uint64_t serial, uint32_t address, enum fate_state state,
                           enum fate_reason reason);
/* The address is settled, and that is not safe yet. */
bool sim_store_is_settling(uint64_t serial, uint32_t address);
/* The node's fates still count on the records of this one: none of them may be thrown away. */
void sim_store_need_check(const struct fate *fate);
/* When the node has stopped: nothing waits, and of each message there are as many records as times
 * that it was taken. */
void sim_store_account(void);

#endif
