/* toy_protocol.h - two trivial protocols (core/protocol.h), for tests of connections that change.
 *
 *   toy    a line is answered by `=` and itself, and `become` changes to pairs after that; `move N`
 *          goes on on worker N, and is answered by `@` and the worker that it is on then
 *          `take` brings sessions onto the connection (toy_session.h), `say` is a message for all
 *          of them: what they get stands between the answers
 *   pairs  two bytes are answered the other way round, and two line feeds change back after that
 *
 * Both say `bye` when the node drains, and end when nothing comes for TOY_QUIET_NS.
 *
 * Threads: the connection's worker. Owns: a block of memory behind its state. */
#ifndef RINGPOST_TESTS_TOYS_TOY_PROTOCOL_H
#define RINGPOST_TESTS_TOYS_TOY_PROTOCOL_H

#include "core/protocol.h"

#define TOY_QUIET_NS (20 * NS_PER_S)

extern const struct protocol toy_protocol, toy_pairs_protocol;

#endif
