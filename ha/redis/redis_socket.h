/* redis_socket.h - the system calls of connections to Redis, and nothing else.
 *
 * The simulation links another implementation. Nothing waits but redis_socket_wait, and
 * redis_socket_resolve, which is for the start.
 *
 * Threads: the port's. Owns nothing: descriptors belong to the caller. */
#ifndef RINGPOST_HA_REDIS_REDIS_SOCKET_H
#define RINGPOST_HA_REDIS_REDIS_SOCKET_H

#include "core/base/span.h"
#include "core/port_socket.h"

#include <sys/types.h>

#define REDIS_ADDRESSES_MAX 8

/* The addresses of a host: at most REDIS_ADDRESSES_MAX, returned as their number; 0: `problem` says
 * why there are none. May take as long as the resolver does. */
unsigned redis_socket_resolve(const char *host, uint16_t port,
                              struct port_address addresses[REDIS_ADDRESSES_MAX], char *problem,
                              size_t problem_cap);
/* Begins to connect. -1 with errno. */
int redis_socket_open(const struct port_address *address);
/* Once it can be written to: 0, it is connected, or the errno of why not. */
int redis_socket_connected(int fd);
/* As send(2) and recv(2), without waiting and without a signal. */
ssize_t redis_socket_send(int fd, const void *at, size_t len);
ssize_t redis_socket_receive(int fd, void *at, size_t cap);
void redis_socket_close(int fd);
/* Waits until one of them is ready, or for so long; CLOCK_NEVER: for ever. */
void redis_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns);

#endif
