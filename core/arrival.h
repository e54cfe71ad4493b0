/* arrival.h - how an accepted descriptor becomes a connection: on which worker, or why not.
 *
 * Threads: the worker that accepted it, then the one that adopts it. Owns: the descriptor, until a
 * connection has it or it is closed. */
#ifndef RINGPOST_CORE_ARRIVAL_H
#define RINGPOST_CORE_ARRIVAL_H

#include "core/net.h"
#include "core/stats.h"

struct connection;
struct listener;
struct worker;

/* An accepted descriptor: passed on to the worker that it belongs to, refused (closed and counted),
 * or adopted. */
void connection_arrive(struct worker *worker, struct listener *listener, int fd);
/* Takes over an accepted descriptor; on refusal it is closed and counted. */
void connection_adopt(struct worker *worker, struct listener *listener, int fd,
                      const struct peer_address *peer);
/* Gives back all that was taken when the connection was adopted, in the opposite order. The slot is
 * free afterwards. The one place for it: refusals and ends alike. */
void connection_release(struct worker *worker, struct connection *connection);

/* --- for handover.c --------------------------------------------------------------------------- */

/* A slot on this worker, and a place in the table of files, for a connection that the node counts
 * already. NULL: there is none, `why` says of what. */
struct connection *arrival_place(struct worker *worker, struct listener *listener,
                                 const struct peer_address *peer, enum refuse_reason *why);
/* It has a socket and is counted; then its protocol hears of it. */
void arrival_open(struct worker *worker, struct connection *connection, int fd);
void arrival_begin(struct worker *worker, struct connection *connection);
/* Counts one more of the address for --max-per-address, if that is set and this is no proxy that
 * forwards: a connection, or a session that lives without one. `*held`: it was counted, and
 * address_let is owed. False: it may have no more (REFUSE_ADDRESS), or REFUSE_MEMORY. */
bool address_hold(struct worker *worker, enum listener_kind kind, const struct peer_address *peer,
                  bool *held, enum refuse_reason *why);
void address_let(struct worker *worker, const struct peer_address *peer, bool held);
/* One connection less from the address, if it was counted, and in the node. */
void arrival_leave(struct worker *worker, const struct peer_address *peer, bool address_held);

/* Gives up a connection whose mail came after the last turn. */
struct mail;
void arrival_drop(const struct mail *mail);
/* Takes the PROXY header off the front of the first bytes, after which the protocol hears of the
 * connection. Returns what was consumed; the connection may be closed. */
size_t arrival_proxy_header(struct worker *worker, struct connection *connection,
                            struct span bytes);

/* What comes on the connection now is from that address, as a trusted proxy says (--forwarded): it
 * serves logs and limits from here on. False: this one counts for nobody, because the address has
 * as many connections as --max-per-address allows (REFUSE_ADDRESS), or REFUSE_MEMORY. */
bool arrival_rename(struct worker *worker, struct connection *connection,
                    const struct peer_address *peer, enum refuse_reason *why);

#endif
