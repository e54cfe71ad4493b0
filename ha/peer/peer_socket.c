#include "ha/peer/peer_socket.h"

#include "core/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static void prompt(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void peer_socket_patient(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int peer_socket_accept(int fd) {
    int made = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (made >= 0)
        prompt(made);
    return made;
}

int peer_socket_open(const struct sockaddr_storage *address, socklen_t len) {
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    prompt(fd);
    if (connect(fd, (const struct sockaddr *)address, len) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
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
    uint64_t wait_ms = (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    poll(fds, count, wait_ns == CLOCK_NEVER || wait_ms > INT_MAX ? -1 : (int)wait_ms);
}
