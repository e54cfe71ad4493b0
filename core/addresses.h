/* addresses.h - how many connections each source address has, for --max-per-address.
 *
 * One table for the node under one mutex: an address may have connections on several workers, and
 * it is touched once when a connection comes and once when it goes, never by a message.
 *
 * Threads: any. Owns: its entries; one for each address that has connections now. */
#ifndef RINGPOST_CORE_ADDRESSES_H
#define RINGPOST_CORE_ADDRESSES_H

#include "core/net.h"

struct addresses;

/* NULL: no memory. */
struct addresses *addresses_new(uint32_t connections_max);
void addresses_free(struct addresses *addresses);
/* One more connection from there. FULL: it has as many as it may. Nothing is counted but with DONE.
 */
enum addresses_verdict { ADDRESSES_DONE, ADDRESSES_FULL, ADDRESSES_NO_MEMORY };
enum addresses_verdict addresses_enter(struct addresses *addresses,
                                       const struct peer_address *peer);
void addresses_leave(struct addresses *addresses, const struct peer_address *peer);

#endif
