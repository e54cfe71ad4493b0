/* balance.h - notices when one source address holds over half of all client connections.
 *
 * With --steer ip such an address (a NAT, a proxy) puts them all on one worker, and the operator
 * should choose `tuple` or --proxy-protocol. A majority vote finds the candidate with a few bytes
 * of state: it is certain to name an address that has the majority, if there is one.
 *
 * Threads: the worker's. Owns: nothing. */
#ifndef RINGPOST_CORE_BALANCE_H
#define RINGPOST_CORE_BALANCE_H

#include "core/net.h"

struct worker;
struct connection;

struct balance {
    uint8_t candidate[16];
    uint32_t votes;
    uint32_t held;      /* connections of the candidate, since it became one */
    uint64_t warned_ns; /* 0: never */
};

void balance_enter(struct worker *worker, const struct connection *connection);
void balance_leave(struct worker *worker, const struct connection *connection);

#endif
