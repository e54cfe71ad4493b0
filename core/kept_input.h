/* kept_input.h - what has come on a connection and its protocol has not consumed yet.
 *
 * It is one block, accounted, which at least doubles when it grows; an idle connection has none.
 *
 * Threads: the connection's worker. Owns: the block. Limits: whoever feeds the protocol pauses, or
 * ends, a connection that keeps too much (connection.c). */
#ifndef RINGPOST_CORE_KEPT_INPUT_H
#define RINGPOST_CORE_KEPT_INPUT_H

#include <stdbool.h>
#include <stddef.h>

struct connection;
struct worker;

/* Keeps the bytes behind those that are kept already. False: there is no memory; what was kept
 * stays. */
bool input_keep(struct worker *worker, struct connection *connection, const char *at, size_t len);
void input_free(struct worker *worker, struct connection *connection);
/* For on_bytes, when the bytes that it was given are kept input: takes over the block up to `end`,
 * which lies in them; what is behind it is kept in another. NULL: they are in a receive buffer, or
 * there is no memory for the rest. The block has *cap bytes, to be given back with memory_put. */
char *input_take(struct worker *worker, struct connection *connection, const char *end,
                 size_t *cap);

#endif
