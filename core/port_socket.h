/* port_socket.h - how ports come to connections of their own, outside the ring: addresses, the
 * beginning of a connection, waiting for several.
 *
 * Nothing waits but port_socket_wait, and port_socket_resolve, which is for the start. Threads: the
 * port's. Owns nothing: descriptors belong to the caller. */
#ifndef RINGPOST_CORE_PORT_SOCKET_H
#define RINGPOST_CORE_PORT_SOCKET_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct port_address {
    struct sockaddr_storage address;
    socklen_t len;
};

/* The addresses of a host: `addresses_max` at most, returned as their number; 0: `problem` says why
 * there are none. May take as long as the resolver does. */
unsigned port_socket_resolve(const char *host, uint16_t port, struct port_address *addresses,
                             unsigned addresses_max, char *problem, size_t problem_cap);
/* A socket that begins to connect and never waits. -1 with errno. */
int port_socket_open(const struct sockaddr *address, socklen_t len);
/* Waits until one of them is ready, or for so long; CLOCK_NEVER: for ever. */
void port_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns);

#endif
