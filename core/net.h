/* net.h - the few socket calls that are not made through the ring: listening, steering, addresses,
 * waking.
 *
 * The simulation links another implementation. Threads: net_wake from any; the rest as said.
 * Owns: nothing; descriptors belong to the caller. */
#ifndef RINGPOST_CORE_NET_H
#define RINGPOST_CORE_NET_H

#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Where a peer is; IPv4 as v4-mapped IPv6. */
struct peer_address {
    uint8_t bytes[16];
    uint16_t port; /* host order */
};

#define PEER_ADDRESS_TEXT_MAX 56 /* "[…]:65535" and its NUL */

/* What the kernel keeps for each accepted connection. */
struct socket_buffers {
    uint32_t unsent_bytes;  /* it takes bytes while fewer are unsent: at most one segment more */
    uint32_t receive_bytes; /* SO_RCVBUF: about so many wait that were not read */
};

/* Binds and listens. An IPv6 wildcard takes IPv4 as well, unless `v6_only`. `reuseport` opens one
 * of several sockets on the same address. A port of 0 takes a free one. Returns the descriptor, or
 * -1 and one sentence with the remedy in `problem`. Start only. */
int net_listen(const struct sockaddr *address, socklen_t len, bool v6_only, bool reuseport,
               const struct socket_buffers *buffers, char *problem, size_t problem_cap);
/* Nobody listens there yet (an address with port 0 always passes). Waits a while for one that is
 * taken: the sockets of a process that was killed listen on until the kernel has taken its rings
 * apart, up to 0.3 s after the process is gone. False: `problem` as above. */
#define NET_FREE_WAIT_MS 2000
bool net_free(const struct sockaddr *address, socklen_t len, bool v6_only, char *problem,
              size_t problem_cap);
/* The address that a listening socket really has, as text "127.0.0.1:7000" or "[::1]:7000". */
bool net_local_text(int fd, char *text, size_t cap);
/* The address it really has, for opening the next socket of a group on the same port. */
bool net_local(int fd, struct sockaddr_storage *address, socklen_t *len);
/* Makes the kernel choose among the `sockets` sockets of fd's reuseport group by the hash of the
 * source address (steer_hash, below), the n-th in the order of their listen(). False: the kernel
 * cannot. */
bool net_steer(int fd, unsigned sockets);
/* The peer of an accepted connection; false when it is gone already. */
bool net_peer(int fd, struct peer_address *peer);
/* "192.0.2.7:4711" or "[2001:db8::1]:4711"; v4-mapped addresses are written as IPv4. Port 0
 * (X-Forwarded-For names none) is left out. */
void net_peer_text(const struct peer_address *peer, char text[PEER_ADDRESS_TEXT_MAX]);

/* The hash that net_steer's program computes, for steering in user space: the same address gives
 * the same worker on either path. */
uint32_t steer_hash(const struct peer_address *peer);
static inline unsigned steer_worker(const struct peer_address *peer, unsigned workers) {
    return (steer_hash(peer) >> 16) % workers;
}

/* A descriptor that wakes a ring (ring_wake_watch); -1 with errno. */
int net_wake_open(void);
/* For a thread without a ring: waits for net_wake, for at most so long, and clears it. */
void net_wake_wait(int fd, uint64_t wait_ns);
/* What net_wake has set is unset. */
void net_wake_clear(int fd);
/* Never blocks. */
void net_wake(int fd);
/* Sends our end behind what was sent; whatever the peer sends may still be received. Never blocks,
 * and does not mind that the connection has ended already. */
void net_end(int fd);
void net_close(int fd);

#endif
