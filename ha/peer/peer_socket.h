/* peer_socket.h - the system calls of connections between nodes, and nothing else.
 *
 * Nothing waits but peer_socket_wait. Threads: the port's. Owns nothing: descriptors belong to the
 * caller. */
#ifndef RINGPOST_HA_PEER_PEER_SOCKET_H
#define RINGPOST_HA_PEER_PEER_SOCKET_H

#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Nobody waits in peer_socket_accept. */
void peer_socket_patient(int fd);
/* The next connection that has come, which does not wait; -1 with errno. */
int peer_socket_accept(int fd);
/* Begins to connect. -1 with errno. */
int peer_socket_open(const struct sockaddr_storage *address, socklen_t len);
/* Once it can be written to: 0, it is connected, or the errno of why not. */
int peer_socket_connected(int fd);
/* As send(2) and recv(2), without waiting and without a signal. */
ssize_t peer_socket_send(int fd, const void *at, size_t len);
ssize_t peer_socket_receive(int fd, void *at, size_t cap);
/* Our end goes out behind what was sent. */
void peer_socket_end(int fd);
void peer_socket_close(int fd);
/* Waits until one of them is ready, or for so long; CLOCK_NEVER: for ever. */
void peer_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns);

#endif
