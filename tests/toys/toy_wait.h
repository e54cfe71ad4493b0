/* toy_wait.h - an owner of waits (core/wait.h), for tests: one kind ends when the node drains, the
 * other stays until it is acknowledged or its time is over. It may concern one connection.
 *
 * Threads: the worker's. Owns: nothing. */
#ifndef RINGPOST_TESTS_TOYS_TOY_WAIT_H
#define RINGPOST_TESTS_TOYS_TOY_WAIT_H

#include "core/server.h"

struct toy_wait {
    struct wait wait;
    struct wait_concern concern;
    bool stays;     /* in a drain */
    bool open;      /* it has begun and not ended */
    bool concerned; /* `concern` has begun and not ended */
    /* How often it was told: */
    unsigned drains, deadlines;
};

/* `connection`: whom it concerns; NULL: nobody. False: it did not begin. */
bool toy_wait_begin(struct worker *worker, struct toy_wait *toy, bool stays, uint64_t timeout_ns,
                    const struct connection *connection);
/* What it waits for has come. */
void toy_wait_acknowledge(struct worker *worker, struct toy_wait *toy);

#endif
