#include "ha/redis/redis_socket.h"

#include <errno.h>
#include <unistd.h>

unsigned redis_socket_resolve(const char *host, uint16_t port,
                              struct port_address addresses[REDIS_ADDRESSES_MAX], char *problem,
                              size_t problem_cap) {
    return port_socket_resolve(host, port, addresses, REDIS_ADDRESSES_MAX, problem, problem_cap);
}

int redis_socket_open(const struct port_address *address) {
    return port_socket_open((const struct sockaddr *)&address->address, address->len);
}

int redis_socket_connected(int fd) {
    int error = 0;
    socklen_t len = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

ssize_t redis_socket_send(int fd, const void *at, size_t len) {
    return send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t redis_socket_receive(int fd, void *at, size_t cap) {
    return recv(fd, at, cap, MSG_DONTWAIT);
}

void redis_socket_close(int fd) {
    close(fd);
}

void redis_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns) {
    port_socket_wait(fds, count, wait_ns);
}
