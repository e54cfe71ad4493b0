/* address.h - reads what people write for a place on the network: ADDR:PORT and CIDR.
 *
 * Pure functions over text: no lookup of names, no socket, no allocation. Whatever the text holds,
 * they return; what is wrong with it goes into `why` as the second half of a sentence ("has no
 * port; ...").
 *
 * Threads: any. Limits: names of hosts up to ADDRESS_HOST_MAX bytes. Never resolves `localhost` or
 * any other name: for listening, `localhost` simply means 127.0.0.1. */
#ifndef RINGPOST_MAIN_ADDRESS_H
#define RINGPOST_MAIN_ADDRESS_H

#include "core/base/span.h"
#include "core/config.h"

#define ADDRESS_HOST_MAX 255
#define ADDRESS_WHY_MAX 160
#define NETWORK_TEXT_MAX 56 /* an IPv6 network and its NUL */

/* Cuts "host:port", "[v6]:port" or ":port" in two. `host` is a part of `text` without brackets and
 * may be empty. False: `why` says what is missing. */
bool address_split(struct span text, struct span *host, uint16_t *port, char why[ADDRESS_WHY_MAX]);

/* An address to listen on: an IPv4 or bracketed IPv6 literal, or `localhost`, and a port, 0 for a
 * free one. Fills `address` and `address_len` of `out`, not its kind and text. */
bool address_parse(struct span text, struct listen_address *out, char why[ADDRESS_WHY_MAX]);

/* Is it reachable from this machine alone (127.0.0.0/8, ::1)? */
bool address_is_loopback(const struct sockaddr_storage *address);

/* Can the two not be listened on at once: one port, which is not 0, and the same address, or one of
 * them all addresses of that family? */
bool address_overlaps(const struct listen_address *a, const struct listen_address *b);

/* Is `v6` all addresses of IPv6, [::], and `v4` an IPv4 address with the same port (not 0)? */
bool address_leaves_v4(const struct listen_address *v6, const struct listen_address *v4);

/* "10.0.0.0/8", "2001:db8::/32", or a single address. IPv4 becomes v4-mapped, its prefix 96 longer.
 * Bits behind the prefix must be 0, since a network that was mistyped would trust the wrong
 * machines. */
bool network_parse(struct span text, struct network *out, char why[ADDRESS_WHY_MAX]);

/* Writes it as it would be read, IPv4 networks as IPv4. */
void network_format(const struct network *network, char text[NETWORK_TEXT_MAX]);

#endif
