/* proxy.h - the PROXY protocol header, versions 1 and 2, that a load balancer puts in front of a
 * connection.
 *
 * Pure functions over bytes. The format is HAProxy's proxy-protocol.txt. Threads: any. Limits: a
 * header of version 1 has at most 107 bytes, one of version 2 at most PROXY_HEADER_BYTES_MAX here
 * (it may carry type-length-values, which are passed over). */
#ifndef RINGPOST_CORE_PROXY_H
#define RINGPOST_CORE_PROXY_H

#include "core/config.h"
#include "core/net.h"

#define PROXY_HEADER_BYTES_MAX 4096

enum proxy_verdict {
    PROXY_MORE,  /* not whole yet */
    PROXY_KEEP,  /* whole; it names no address (LOCAL, UNKNOWN): the socket's own counts */
    PROXY_NAMED, /* whole; `peer` is the real one */
    PROXY_BAD    /* no PROXY header, or a broken one; `why` says what */
};

enum proxy_verdict proxy_parse(struct span bytes, size_t *header_bytes, struct peer_address *peer,
                               const char **why);
/* Is the address in one of the trusted networks, of --proxy-protocol and of --forwarded? */
bool proxy_trusts(const struct config *config, const struct peer_address *peer);
bool proxy_forwards(const struct config *config, const struct peer_address *peer);

#endif
