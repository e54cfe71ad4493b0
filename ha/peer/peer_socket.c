#include "ha/peer/peer_socket.h"

#include "core/port_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

void peer_socket_patient(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int peer_socket_accept(int fd) {
    int on = 1, made = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (made >= 0)
        setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return made;
}

int peer_socket_open(const struct sockaddr_storage *address, socklen_t len) {
    return port_socket_open((const struct sockaddr *)address, len);
}

int peer_socket_connected(int fd) {
    int error = 0;
    socklen_t len = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

ssize_t peer_socket_send(int fd, const void *at, size_t len) {
    return send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t peer_socket_receive(int fd, void *at, size_t cap) {
    return recv(fd, at, cap, MSG_DONTWAIT);
}

void peer_socket_end(int fd) {
    shutdown(fd, SHUT_WR);
}

void peer_socket_close(int fd) {
    close(fd);
}

void peer_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns) {
    port_socket_wait(fds, count, wait_ns);
}
